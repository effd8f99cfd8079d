"""What people do about alarms: acknowledge, silence, comment, close; each is an entry of the journal."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from owtrend.errors import UsageError
from owtrend.quality.alarms.alarm import Kind
from owtrend.quality.alarms.record import Record
from owtrend.quality.flag import Flag, Quality
from owtrend.quality.journal import Action, Entry, Journal, login_name
from owtrend.quality.journal.database import understood

__all__ = [
    "ACTIONS",
    "People",
    "Silence",
    "accept_warning",
    "acknowledge",
    "close",
    "comment",
    "end_silence",
    "ended",
    "silence",
    "undo_accept_warning",
]

ACTIONS = (
    Action.ACKNOWLEDGE, Action.COMMENT, Action.CLOSE, Action.SILENCE, Action.END_SILENCE, Action.ACCEPT_WARNING,
    Action.UNDO_ACCEPT_WARNING, Action.ACCEPT, Action.UNDO_ACCEPT,
)  # fmt: skip
_LONGEST = timedelta(days=90)  # of a silence: one that nobody remembers hides a fault


@dataclass(frozen=True)
class Silence:
    """Nothing is sent about alarms that fit, until it ends; then what is still there is announced.

    Parameters
    ----------
    until
        When it ends (UTC); None: with the alarm that it is for.
    alarm
        Id of the one alarm that it is for; empty: all that fit the shell patterns.
    name
        Of rules; ``incident`` or ``source`` of what comes from none.
    """

    entry: Entry
    until: datetime | None
    alarm: str = ""
    subsystem: str = "*"
    name: str = "*"
    histogram: str = "*"

    @property
    def id(self) -> str:
        return self.entry.subject

    def fits(self, record: Record) -> bool:
        """True if it keeps this alarm quiet."""
        if self.alarm:
            return record.id == self.alarm
        subject = record.alarm.subject
        words = (
            (record.alarm.concerns, self.subsystem), ((subject.source,), self.name),
            ((subject.histogram,), self.histogram),
        )  # fmt: skip
        return all(any(text == pattern or fnmatchcase(text, pattern) for text in texts) for texts, pattern in words)


@dataclass(frozen=True)
class People:
    """What people did, as far as it is about alarms: entries of the journal, oldest first."""

    entries: Sequence[Entry] = ()

    def acknowledged(self, alarm: str) -> Entry | None:
        """The latest acknowledgement of an alarm."""
        return self._latest(Action.ACKNOWLEDGE, alarm)

    def closed(self, alarm: str) -> Entry | None:
        """The entry by which a person closed an alarm."""
        return self._latest(Action.CLOSE, alarm)

    def accepted(self, record: Record) -> Entry | None:
        """The entry by which a person accepted the warnings of an alarm, or its incident as the new normal."""
        last: Entry | None = None
        for entry in self.entries:
            if entry.subject in (record.id, record.alarm.subject.name):
                if entry.action in (Action.ACCEPT, Action.ACCEPT_WARNING):
                    last = entry
                elif entry.action in (Action.UNDO_ACCEPT, Action.UNDO_ACCEPT_WARNING):
                    last = None
        return last

    def comments(self, alarm: str) -> list[Entry]:
        """Comments on an alarm, oldest first."""
        return [entry for entry in self.entries if (entry.action, entry.subject) == (Action.COMMENT, alarm)]

    def silences(self) -> list[Silence]:
        """Silences that have not ended, oldest first; one that has ended never comes back."""
        found: dict[str, Silence] = {}
        for entry in self.entries:
            if entry.action is Action.SILENCE:
                with understood(f"silence {entry.subject}"):
                    details = dict(entry.details)
                    until = details.pop("until")
                    found[entry.subject] = Silence(
                        entry, None if until is None else datetime.fromisoformat(until), **details
                    )
            elif entry.action is Action.END_SILENCE:
                found.pop(entry.subject, None)
        return list(found.values())

    def acceptable(self, flag: Flag) -> bool:
        """True if a person accepted warnings of this rule for this histogram, from a time before this one on."""
        return any(
            (one["rule"], one["subsystem"], one["histogram"]) == (flag.rule, flag.subsystem, flag.histogram)
            and flag.start >= one["start"]
            for one in (entry.details for entry in self.accepted_warnings)
        )

    @cached_property
    def accepted_warnings(self) -> list[Entry]:
        """Entries by which warnings of a rule for a histogram are acceptable now, oldest first."""
        found: dict[str, Entry] = {}
        for entry in self.entries:
            if entry.action is Action.ACCEPT_WARNING:
                found[entry.subject] = entry
            elif entry.action is Action.UNDO_ACCEPT_WARNING:
                found.pop(entry.subject, None)
        return list(found.values())

    def _latest(self, action: Action, alarm: str) -> Entry | None:
        fitting = (entry for entry in reversed(self.entries) if (entry.action, entry.subject) == (action, alarm))
        return next(fitting, None)


def acknowledge(journal: Journal, alarm: str, note: str, who: str | None = None) -> Entry:
    """Note that somebody looks after an alarm; it is not escalated, and the acknowledgement ends with it.

    Raises
    ------
    UsageError, StoreError
        If the note is empty, or the journal cannot be written.
    """
    return _add(journal, Action.ACKNOWLEDGE, alarm, note, who)


def comment(journal: Journal, alarm: str, note: str, who: str | None = None) -> Entry:
    """Add a comment to an alarm; raises as `acknowledge`."""
    return _add(journal, Action.COMMENT, alarm, note, who)


def close(journal: Journal, alarm: str, note: str, who: str | None = None) -> Entry:
    """End an alarm that no data will end, such as that of a histogram that is gone; raises as `acknowledge`."""
    return _add(journal, Action.CLOSE, alarm, note, who)


def accept_warning(journal: Journal, record: Record, note: str, who: str | None = None) -> Entry:
    """Take the warnings of a rule for a histogram as acceptable, from the beginning of an alarm on.

    Raises
    ------
    UsageError, StoreError
        As `acknowledge`; or if it is an error, or comes from no rule.
    """
    subject = record.alarm.subject
    if subject.kind is not Kind.RULE or record.alarm.worst is not Quality.WARNING:
        raise UsageError(f"alarm {record.id}: only a warning of a rule can be accepted; an error is to be mended")
    details = {
        "rule": subject.name, "subsystem": subject.subsystem, "histogram": subject.histogram,
        "start": record.alarm.start,
    }  # fmt: skip
    return _add(journal, Action.ACCEPT_WARNING, record.id, note, who, details)


def undo_accept_warning(journal: Journal, record: Record, note: str = "", who: str | None = None) -> Entry:
    """Take back what `accept_warning` did.

    Raises
    ------
    UsageError, StoreError
        If they are not accepted, or the journal cannot be written.
    """
    entry = People(journal.entries(ACTIONS)).accepted(record)
    if entry is None or entry.action is not Action.ACCEPT_WARNING:
        raise UsageError(f"alarm {record.id}: its warnings are not accepted")
    return journal.add(Action.UNDO_ACCEPT_WARNING, record.id, note=note, who=who or login_name(), details={})


def silence(
    journal: Journal, note: str, *, lasting: timedelta | None = None, alarm: str = "", subsystem: str = "*",
    name: str = "*", histogram: str = "*", who: str | None = None, now: datetime | None = None,
) -> Silence:  # fmt: skip
    """Send nothing about alarms that fit, for a time, or until one alarm is over.

    Parameters
    ----------
    lasting
        How long from now on; None: as long as ``alarm``.

    Raises
    ------
    UsageError, StoreError
        As `acknowledge`; or if it would never end, or last longer than 90 days.
    """
    if lasting is None and not alarm:
        raise UsageError("a silence needs an end: give how long it lasts, or the alarm that it is for")
    if lasting is not None and not timedelta(0) < lasting <= _LONGEST:
        raise UsageError(f"a silence lasts at most {_LONGEST.days} days; a longer one hides what nobody remembers")
    until = None if lasting is None else ((now or datetime.now(UTC)) + lasting).isoformat(timespec="seconds")
    details = {"until": until, "alarm": alarm, "subsystem": subsystem, "name": name, "histogram": histogram}
    text = f"{datetime.now(UTC).isoformat()} {details} {note}"
    identity = hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=6).hexdigest()
    entry = _add(journal, Action.SILENCE, identity, note, who, details)
    (made,) = People([entry]).silences()
    return made


def end_silence(journal: Journal, identity: str, note: str = "", who: str | None = None) -> Entry:
    """End a silence now."""
    return journal.add(Action.END_SILENCE, identity, note=note, who=who or login_name(), details={})


def _add(
    journal: Journal, action: Action, subject: str, note: str, who: str | None, details: dict[str, Any] | None = None
) -> Entry:
    if not note.strip():
        raise UsageError("no reason given; say why with --note, for the journal")
    return journal.add(action, subject, note=note, who=who or login_name(), details=details or {})


def ended(silences: Iterable[Silence], records: Iterable[Record], now: datetime) -> dict[str, str]:
    """Why, by id, for the silences that end now: their time is over, or their problem."""
    over = {record.id for record in records if record.alarm.state.over}
    found = {}
    for one in silences:
        if one.until is not None and now >= one.until:
            found[one.id] = "its time is over"
        elif one.alarm in over:
            found[one.id] = "its problem is over"
    return found
