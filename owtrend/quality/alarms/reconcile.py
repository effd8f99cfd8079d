"""Alarms as they are now and as they were recorded: what changed, and what people are to learn of it.

The alarms of now are computed from the data alone, so that neither the order in which data arrive nor a restart changes
them. What was recorded says what people know. This module finds the difference, and has no clock and no database.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from owtrend.quality.alarms.alarm import Alarm, Kind, State, Subject
from owtrend.quality.alarms.notice import Item, News, Notice
from owtrend.quality.alarms.people import People, ended
from owtrend.quality.alarms.record import Policy, Record
from owtrend.quality.flag import Quality

__all__ = ["Outcome", "Settings", "reconcile"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What holds for all alarms.

    Parameters
    ----------
    policies
        By name of the rule.
    default
        Of all others.
    max_age
        Nothing is sent about problems whose data ended longer ago.
    group_interval
        Further alarms of a group that was just announced wait so long, to be announced together.
    escalate_to
        Receivers of what nobody acknowledges; none: those of the alarm.
    """

    policies: Mapping[str, Policy] = field(default_factory=dict)
    default: Policy = field(default_factory=Policy)
    max_age: timedelta = timedelta(hours=12)
    group_interval: timedelta = timedelta(minutes=5)
    escalate_to: tuple[str, ...] = ()

    def policy(self, subject: Subject) -> Policy:
        """Of the alarms of a subject."""
        return self.policies.get(subject.source, self.default)


@dataclass(frozen=True)
class Outcome:
    """What changed.

    Parameters
    ----------
    records
        New ones, and those in a new state.
    history
        What became of each alarm: its id, its state, and words.
    ended_silences
        Why, by id.
    notices
        For people.
    """

    records: tuple[Record, ...]
    history: tuple[tuple[str, State, str], ...]
    ended_silences: Mapping[str, str]
    notices: tuple[Notice, ...]


def reconcile(
    known: Iterable[Record], alarms: Sequence[Alarm], people: People, settings: Settings, now: datetime,
    renamed: Mapping[Subject, Subject] | None = None,
) -> Outcome:  # fmt: skip
    """Compare the alarms of now with what was recorded.

    Parameters
    ----------
    known
        Records of all alarms that are on, or ended since the first of ``alarms`` may have begun.
    alarms
        As they are now; pending ones count as none.
    renamed
        Incidents that became part of another one.
    """
    before = {record.id: record for record in known}
    records = _updated(before, alarms, people, renamed or {})
    silences = people.silences()
    over = ended(silences, records.values(), now)
    silenced = {
        record.id: next((one.id for one in silences if one.id not in over and one.fits(record)), "")
        for record in records.values()
    }
    news = _News(records, people, settings, now, silenced)
    notices = news.notices()
    history = [
        (identity, record.alarm.state, _what(record, before.get(identity), people, settings))
        for identity, record in records.items()
        if identity not in before or before[identity].alarm.state is not record.alarm.state
    ]
    changed = tuple(record for identity, record in records.items() if before.get(identity) != record)
    return Outcome(changed, tuple(history), over, tuple(notices))


def _updated(
    before: Mapping[str, Record], alarms: Sequence[Alarm], people: People, renamed: Mapping[Subject, Subject]
) -> dict[str, Record]:
    """Records of all alarms, in their new state."""
    of_subject: dict[Subject, list[Record]] = {}
    for record in before.values():
        subject = renamed.get(record.alarm.subject, record.alarm.subject)
        record = replace(record, alarm=replace(record.alarm, subject=subject))
        of_subject.setdefault(subject, []).append(record)
    records = dict(before)
    fired = sorted((alarm for alarm in alarms if alarm.fired is not None), key=lambda one: (one.start, one.subject))
    for same, alarm in _pairs(fired, of_subject):
        if same is None:
            identity = _unused(alarm.id, records)
            records[identity] = Record(id=identity, alarm=alarm)
        elif same.alarm.state is State.CLOSED and (people.closed(same.id) or people.accepted(same)):
            continue  # an acceptance that was taken back keeps nothing closed
        elif same.settled and not alarm.state.over:  # people were sent word that it is over
            records[same.id] = replace(same, alarm=alarm, settled=False, announced=None, round=same.round + 1)
        else:
            records[same.id] = replace(same, alarm=alarm)
    for left in (record for of in of_subject.values() for record in of):
        if not left.alarm.state.over:
            state = State.CLOSED if people.accepted(left) else State.WITHDRAWN
            gone = replace(left.alarm, state=state, stop=left.alarm.latest)
            records[left.id] = replace(left, alarm=gone)
    for record in [*records.values()]:
        if record.alarm.state.on and people.closed(record.id):
            closed = replace(record.alarm, state=State.CLOSED, stop=record.alarm.latest)
            records[record.id] = replace(record, alarm=closed)
    return records


def _pairs(
    alarms: Sequence[Alarm], of_subject: Mapping[Subject, list[Record]]
) -> Iterator[tuple[Record | None, Alarm]]:
    """Each alarm and its record, with the same beginning or else an overlap; those left in ``of_subject`` have none."""
    for same in (_begins_with, Alarm.same_problem):
        left = []
        for alarm in alarms:
            records = of_subject.get(alarm.subject, [])
            found = next((record for record in records if same(record.alarm, alarm)), None)
            if found is None:
                left.append(alarm)
            else:
                records.remove(found)
                yield found, alarm
        alarms = left
    for alarm in alarms:
        yield None, alarm


def _begins_with(one: Alarm, other: Alarm) -> bool:
    return one.start == other.start


def _unused(identity: str, records: Mapping[str, Record]) -> str:
    """An id that no record has."""
    number = 1
    while (unused := identity if number == 1 else f"{identity}-{number}") in records:
        number += 1
    return unused


def _what(record: Record, before: Record | None, people: People, settings: Settings) -> str:
    """Words on a new state, for the history."""
    if record.alarm.state is State.CLOSED:
        entry = people.accepted(record) or people.closed(record.id)
        return "" if entry is None else f"{entry.action} by {entry.who}: {entry.note}"
    subject = record.alarm.subject
    if record.alarm.state is State.WITHDRAWN and subject.kind is Kind.RULE and subject.name not in settings.policies:
        return f"there is no rule {subject.name!r} any more: it was removed or renamed"
    if record.alarm.state is State.WITHDRAWN:
        return "no longer there after a recomputation, or part of another incident"
    if before is not None and record.alarm.state is State.FIRING and before.alarm.state.over:
        return f"there again after a recomputation: {record.alarm.why}"
    return record.alarm.why


class _News:
    """What people are to learn of alarms; notes in ``records`` that they did."""

    def __init__(
        self, records: dict[str, Record], people: People, settings: Settings, now: datetime,
        silenced: Mapping[str, str],
    ) -> None:  # fmt: skip
        self.records, self.people, self.settings, self.now, self.silenced = records, people, settings, now, silenced
        self.inhibited = {
            (record.alarm.subject.subsystem, name)
            for record in records.values() if record.alarm.state.on
            for name in settings.policy(record.alarm.subject).inhibits
        }  # fmt: skip
        self.announced: dict[tuple[str, str], datetime] = {}  # by subsystem and group
        for record in records.values():
            if record.announced is not None:
                group = self._group(record)
                self.announced[group] = max(record.announced, self.announced.get(group, record.announced))

    def notices(self) -> list[Notice]:
        """In the order of the alarms; those of one group and kind together."""
        found: dict[tuple[News, tuple[str, str], tuple[str, ...]], list[Item]] = {}
        for identity in [*self.records]:
            while (news := self._next(identity)) is not None:
                record = self.records[identity]
                policy = self.settings.policy(record.alarm.subject)
                receivers = policy.receivers
                if news is News.ESCALATED and self.settings.escalate_to:
                    receivers = self.settings.escalate_to
                item = Item(
                    id=identity, round=record.round, alarm=record.alarm, guidance=policy.guidance, owner=policy.owner
                )  # fmt: skip
                found.setdefault((news, self._group(record), receivers), []).append(item)
        return [
            Notice(news=news, group=group, items=tuple(items), receivers=receivers)
            for (news, (_, group), receivers), items in found.items()
        ]

    def _next(self, identity: str) -> News | None:
        """The next that people are to learn of an alarm; from now on they know it."""
        record = self.records[identity]
        if record.settled:
            return None
        news, changes = self._news(record)
        self.records[identity] = replace(record, **changes)
        return news

    def _news(self, record: Record) -> tuple[News | None, dict[str, Any]]:
        """What people are to learn of an alarm, and how its record changes by that."""
        alarm, silence = record.alarm, self.silenced[record.id]
        quiet = bool(silence) or self._quiet(record)
        if record.announced is None and not quiet and not self._grouped(record):  # it may be over by now
            return News.FIRING, {"announced": self.now, "announced_as": alarm.worst, "silenced": ""}
        if not alarm.state.on:
            known = record.announced is not None
            waits = not known and not quiet  # for others of its group
            return News.RESOLVED if known else None, {"settled": not waits, "silenced": ""}
        if quiet or record.announced is None:
            return None, {"silenced": silence}
        if alarm.worst is Quality.ERROR and record.announced_as is not Quality.ERROR:
            return News.WORSE, {"announced_as": alarm.worst, "silenced": ""}
        if record.silenced:
            return News.STILL, {"round": record.round + 1, "silenced": ""}
        after = self.settings.policy(alarm.subject).escalate_after
        waited = (self.now - record.announced).total_seconds()
        if after and record.escalated is None and waited >= after and not self.people.acknowledged(record.id):
            return News.ESCALATED, {"escalated": self.now}
        return None, {}

    def _quiet(self, record: Record) -> bool:
        """True if nothing is sent about an alarm now: it is old, or another one says it."""
        age = self.now.timestamp() - record.alarm.latest / 1e9
        subject = record.alarm.subject
        return age > self.settings.max_age.total_seconds() or (subject.subsystem, subject.source) in self.inhibited

    def _grouped(self, record: Record) -> bool:
        """True if others of its group were announced a moment ago."""
        last = self.announced.get(self._group(record))
        return last is not None and timedelta(0) <= self.now - last < self.settings.group_interval and last != self.now

    def _group(self, record: Record) -> tuple[str, str]:
        subject = record.alarm.subject
        return subject.subsystem, self.settings.policy(subject).group or subject.name or subject.source
