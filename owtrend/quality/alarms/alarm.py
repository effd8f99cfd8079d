"""The life of an alarm: one pure function of its state and the next report, or of the time."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple, Self

from owtrend.errors import StoreError
from owtrend.quality.flag import Quality

__all__ = ["Alarm", "Kind", "Report", "State", "Subject", "Timing", "advance", "at_time", "lives"]


class Kind(StrEnum):
    """What an alarm comes from, as stored."""

    RULE = "rule"  # a person's rule on a histogram, or on a subsystem
    INCIDENT = "incident"  # found without any configuration
    SOURCE = "source"  # a subsystem that no longer sends


class Subject(NamedTuple):
    """What an alarm is about.

    Parameters
    ----------
    name
        Of the rule; the id of the incident; empty for a source.
    histogram
        Displayed name; empty: whole snapshots, or several histograms.
    """

    kind: Kind
    name: str
    subsystem: str
    histogram: str = ""

    @property
    def source(self) -> str:
        """Name of its rule; ``incident`` or ``source`` where there is none, since nobody types their names."""
        return self.name if self.kind is Kind.RULE else self.kind.value


class State(StrEnum):
    """Where an alarm is in its life, as stored and shown."""

    PENDING = "pending"  # bad, but not for long enough
    FIRING = "firing"
    RECOVERING = "recovering"  # good again, but not for long enough
    NO_DATA = "no data"  # it fires; since then reports lack the values that would decide
    STALE = "stale"  # it fires; since then no report came at all
    RESOLVED = "resolved"
    WITHDRAWN = "withdrawn"  # what it rested on is another after a recomputation
    CLOSED = "closed"  # by a person

    @property
    def on(self) -> bool:
        """Whether the problem is there, as far as anybody knows."""
        return self in _ON

    @property
    def over(self) -> bool:
        """Whether nothing changes this alarm any more."""
        return self in _OVER


_ON = frozenset((State.FIRING, State.RECOVERING, State.NO_DATA, State.STALE))
_OVER = frozenset((State.RESOLVED, State.WITHDRAWN, State.CLOSED))
_BAD = frozenset((Quality.WARNING, Quality.ERROR))
_RANK = {Quality.WARNING: 1, Quality.ERROR: 2}


class Report(NamedTuple):
    """The quality of a subject in ``(start, stop]``, ns UTC.

    Parameters
    ----------
    recovered
        Whether it is good enough for an alarm to end: beyond the recovery threshold, where there is one.
    """

    start: int
    stop: int
    quality: Quality
    recovered: bool
    why: str = ""
    run: int = 0


@dataclass(frozen=True)
class Timing:
    """How patient an alarm is; all lengths of time in ns of the detector's time.

    Parameters
    ----------
    hold, hold_reports
        Bad for so long, and in so many reports, before it fires.
    keep
        Good for so long before it ends.
    no_data_after
        Reports in a row without a value before its state is "no data".
    stale_after
        Time without any report before its state is "stale"; 0: never.
    """

    hold: int = 0
    hold_reports: int = 1
    keep: int = 0
    no_data_after: int = 3
    stale_after: int = 0


@dataclass(frozen=True)
class Alarm:
    """One alarm, from the first bad report until it is over.

    Parameters
    ----------
    start
        When the first bad report began [ns UTC].
    latest
        When the last report ended that was looked at [ns UTC].
    quality, worst
        As last known; at its worst since it began.
    why, run
        Of the report that made it what it is at its worst.
    subsystems
        All that are concerned, where these are several.
    histogram
        The one to look at: that of the subject, or the most significant one of an incident; empty: there is none.
    bad, missed
        Bad reports so far; reports in a row without a value.
    fired, good_since, stop
        When it fired, became good again, ended [ns UTC]; None: not.
    """

    subject: Subject
    state: State
    start: int
    latest: int
    quality: Quality
    worst: Quality
    why: str = ""
    run: int = 0
    histogram: str = ""
    subsystems: tuple[str, ...] = ()
    bad: int = 1
    missed: int = 0
    fired: int | None = None
    good_since: int | None = None
    stop: int | None = None

    @property
    def concerns(self) -> tuple[str, ...]:
        """All subsystems that it is about."""
        return self.subsystems or (self.subject.subsystem,)

    @property
    def id(self) -> str:
        """Identity: a hash of what it is about and when it began."""
        return hashlib.blake2b(json.dumps([*self.subject, self.start]).encode(), digest_size=6).hexdigest()

    def same_problem(self, other: Self) -> bool:
        """True if both are about the same, and overlap."""
        if self.subject != other.subject:
            return False
        return (other.stop is None or self.start <= other.stop) and (self.stop is None or other.start <= self.stop)

    def to_dict(self) -> dict[str, Any]:
        """As in JSON."""
        return {**asdict(self), "subject": [*self.subject]}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """The alarm written by `to_dict`.

        Raises
        ------
        StoreError
            If a newer owtrend wrote it.
        """
        try:
            kind, *rest = fields["subject"]
            qualities = {name: Quality(fields[name]) for name in ("quality", "worst")}
            return cls(
                **{
                    **fields, **qualities, "subject": Subject(Kind(kind), *rest), "state": State(fields["state"]),
                    "subsystems": tuple(fields.get("subsystems", ())),
                }
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"an alarm of a newer owtrend ({error}); update owtrend") from error


def advance(alarm: Alarm | None, report: Report, subject: Subject, timing: Timing) -> Alarm | None:
    """The alarm after one more report; None: there is none. An alarm that is over is not given again.

    - Bad reports start it: pending, and firing once they lasted for long enough.
    - A pending alarm that gets a good report is gone. One that fires ends only by a report that says so: good, and
      beyond the recovery threshold. Where it must stay good for a while, it recovers until then.
    - A report without a value changes nothing that was known. It interrupts a recovery.
    """
    if report.quality in _BAD:
        return _bad(alarm, report, subject, timing)
    if alarm is None:
        return None
    alarm = replace(alarm, latest=report.stop)
    if report.quality is Quality.UNKNOWN:
        missed = alarm.missed + 1
        state = State.NO_DATA if alarm.state.on and missed >= timing.no_data_after else alarm.state
        if state is State.RECOVERING:
            state = State.FIRING
        return replace(alarm, missed=missed, state=state, good_since=None)
    if alarm.state is State.PENDING:
        return None
    alarm = replace(alarm, missed=0)
    if not report.recovered:
        return replace(alarm, state=State.FIRING, good_since=None)
    good_since = report.start if alarm.good_since is None else alarm.good_since
    if report.stop - good_since >= timing.keep:
        return replace(alarm, state=State.RESOLVED, quality=report.quality, good_since=good_since, stop=report.stop)
    return replace(alarm, state=State.RECOVERING, good_since=good_since)


def _bad(alarm: Alarm | None, report: Report, subject: Subject, timing: Timing) -> Alarm:
    if alarm is None:
        alarm = Alarm(
            subject, State.PENDING, report.start, report.stop, report.quality, report.quality, report.why, report.run,
            subject.histogram, bad=0,
        )  # fmt: skip
    worse = _RANK[report.quality] > _RANK[alarm.worst]
    alarm = replace(
        alarm, latest=report.stop, quality=report.quality, bad=alarm.bad + 1, missed=0, good_since=None,
        worst=report.quality if worse else alarm.worst, why=report.why if worse else alarm.why,
        run=report.run if worse else alarm.run,
    )  # fmt: skip
    if alarm.fired is not None:
        return replace(alarm, state=State.FIRING)
    if report.stop - alarm.start >= timing.hold and alarm.bad >= timing.hold_reports:
        return replace(alarm, state=State.FIRING, fired=report.stop)
    return alarm


def at_time(alarm: Alarm, now: int, timing: Timing) -> Alarm:
    """The alarm when it is ``now`` [ns UTC] and no report came since its latest: it may be stale, never over."""
    if alarm.state.on and timing.stale_after and now - alarm.latest > timing.stale_after:
        return replace(alarm, state=State.STALE)
    return alarm


def lives(
    reports: Iterable[Report], subject: Subject, timing: Timing, before: Alarm | None = None
) -> list[Alarm]:  # fmt: skip
    """All alarms that these reports, in order of time, make of a subject; pending ones that came to nothing left out.

    Parameters
    ----------
    before
        The alarm that was on, or pending, when they begin.
    """
    ended, alarm = [], before
    for report in reports:
        alarm = advance(alarm, report, subject, timing)
        if alarm is not None and alarm.state.over:
            ended.append(alarm)
            alarm = None
    return ended if alarm is None else [*ended, alarm]
