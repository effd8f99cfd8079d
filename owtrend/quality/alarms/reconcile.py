"""Alarms as they are now and as they were recorded: what changed, and what people are to learn of it.

The alarms of now are computed from the data alone, so that neither the order in which data arrive nor a restart changes
them. What was recorded says what people know. This module finds the difference, and has no clock and no database.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from owtrend.quality.alarms.alarm import Alarm, State, Subject
from owtrend.quality.alarms.notice import Item, News, Notice
from owtrend.quality.alarms.people import People, ended
from owtrend.quality.alarms.record import Policy, Record
from owtrend.quality.flag import Quality

__all__ = ["Outcome", "Settings", "reconcile"]

INCIDENT = "incident"  # name of the policy of all incidents


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What holds for all alarms.

    Parameters
    ----------
    policies
        By name of the rule, or ``incident``; others have the default.
    max_age
        Nothing is sent about problems whose data ended longer ago.
    group_interval
        Further alarms of a group that was just announced wait so long, to be announced together.
    escalate_to
        Receivers of what nobody acknowledges; none: those of the alarm.
    """

    policies: Mapping[str, Policy] = field(default_factory=dict)
    max_age: timedelta = timedelta(hours=12)
    group_interval: timedelta = timedelta(minutes=5)
    escalate_to: tuple[str, ...] = ()

    def policy(self, subject: Subject) -> Policy:
        """Of the alarms of a subject."""
        return self.policies.get(subject.source) or Policy()


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
        (identity, record.alarm.state, _what(record, before.get(identity)))
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
    for alarm in sorted(alarms, key=lambda one: (one.start, one.subject)):
        if alarm.fired is None:
            continue
        same = next((record for record in of_subject.get(alarm.subject, ()) if record.alarm.same_problem(alarm)), None)
        if same is None:
            records[alarm.id] = Record(id=alarm.id, alarm=alarm)
            continue
        of_subject[alarm.subject].remove(same)
        if same.alarm.state is not State.CLOSED:
            again = same.settled and not alarm.state.over
            records[same.id] = replace(same, alarm=alarm)
            if again:  # people were sent word that it is over
                records[same.id] = replace(same, alarm=alarm, settled=False, announced=None, round=same.round + 1)
    for left in (record for of in of_subject.values() for record in of):
        if not left.alarm.state.over:
            gone = replace(left.alarm, state=State.WITHDRAWN, stop=left.alarm.latest)
            records[left.id] = replace(left, alarm=gone)
    for record in [*records.values()]:
        if record.alarm.state.on and people.closed(record.id):
            closed = replace(record.alarm, state=State.CLOSED, stop=record.alarm.latest)
            records[record.id] = replace(record, alarm=closed)
    return records


def _what(record: Record, before: Record | None) -> str:
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
        for identity, record in [*self.records.items()]:
            record, news = self._news(record)
            self.records[identity] = record
            if news is not None:
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

    def _news(self, record: Record) -> tuple[Record, News | None]:
        """The record once people were sent word of it, and of what."""
        alarm, silence = record.alarm, self.silenced[record.id]
        if record.settled:
            return record, None
        if not alarm.state.on:
            record = replace(record, settled=True, silenced="")
            return record, News.RESOLVED if record.announced is not None else None
        spoke = bool(record.silenced) and not silence
        record = replace(record, silenced=silence)
        if silence or self._quiet(record):
            return record, None
        if record.announced is None:
            if self._grouped(record):
                return record, None
            return replace(record, announced=self.now, announced_as=alarm.worst), News.FIRING
        if alarm.worst is Quality.ERROR and record.announced_as is not Quality.ERROR:
            return replace(record, announced_as=alarm.worst), News.WORSE
        if spoke:
            return replace(record, round=record.round + 1), News.STILL
        after = self.settings.policy(alarm.subject).escalate_after
        waited = self.now - record.announced
        if not after or record.escalated is not None or waited < timedelta(seconds=after):
            return record, None
        if self.people.acknowledged(record.id) is not None:
            return record, None
        return replace(record, escalated=self.now), News.ESCALATED

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
