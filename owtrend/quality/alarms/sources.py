"""Where alarms come from: incidents, reports judged by rules, subsystems that no longer send."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from owtrend.config import RuleConfig
from owtrend.model.finding import Aspect
from owtrend.quality.alarms.alarm import Alarm, Kind, Report, State, Subject, Timing, advance, at_time, lives
from owtrend.quality.flag import Quality
from owtrend.quality.incident import Incident, Part
from owtrend.quality.rules.flags import Judged
from owtrend.quality.rules.rule import QUALITIES
from owtrend.store.reader import Reader

__all__ = [
    "Coverage", "aged", "coverage", "incident_alarms", "merged", "rule_alarms", "rule_reports", "source_alarms",
]  # fmt: skip

_REPORTS_AFTER = 2  # without a finding, before an incident is over: later findings do not join it
_BAD = QUALITIES.index(Quality.WARNING)  # from here on
_REPORTS_OF_NEXT_RUN = 5  # the same in a later run, which finds a level anew only when it has enough counts


@dataclass(frozen=True)
class Coverage:
    """The runs of a subsystem in order of time: number, times of the first and last snapshot [ns UTC], snapshots."""

    runs: tuple[tuple[int, int, int, int], ...]

    @property
    def latest(self) -> int:
        """When the newest snapshot ended [ns UTC]."""
        return max((stop for _, _, stop, _ in self.runs), default=0)

    def since(self, count: int) -> int:
        """When the newest ``count`` runs began [ns UTC]."""
        return self.runs[-count:][0][1] if self.runs else 0


def coverage(reader: Reader) -> dict[str, Coverage]:
    """The runs of each subsystem that have snapshots."""
    found = {}
    for name in reader.subsystems:
        view = reader.subsystem(name)
        numbers = ("start", "stop", "n_snapshots")
        start, stop, count = (view.per_run[one].tolist() for one in numbers)
        rows = [(run, start[at], stop[at], count[at]) for run, at in view.run_indices.items() if count[at]]
        found[name] = Coverage(tuple(sorted(rows, key=lambda row: (row[1], row[0]))))
    return found


def incident_alarms(incidents: Iterable[Incident], covered: Mapping[str, Coverage], quality: Quality) -> list[Alarm]:
    """An alarm of each incident: it fires at once, and ends when enough reports came that show no more of it.

    Parameters
    ----------
    quality
        Of all incidents, `Quality.WARNING` or `Quality.ERROR`.
    """
    return [_incident_alarm(incident, covered, quality) for incident in incidents]


def _incident_alarm(incident: Incident, covered: Mapping[str, Coverage], quality: Quality) -> Alarm:
    top = incident.top
    # What one subsystem shows may be over while it goes on in another one.
    last = {part.subsystem: part for part in incident.parts}
    ends = [_end(incident, part, covered.get(part.subsystem, Coverage(()))) for part in last.values()]
    over = [end for end in ends if end is not None]
    stop = max(over) if len(over) == len(ends) else None
    known = max((covered[name].latest for name in last if name in covered), default=incident.stop)
    return Alarm(
        _subject(incident), State.FIRING if stop is None else State.RESOLVED, start=incident.start,
        latest=max(incident.stop, known) if stop is None else stop, quality=quality if stop is None else Quality.OK,
        worst=quality, why=top.why, run=top.run, histogram=next(iter(top.histograms), ""), bad=incident.findings,
        subsystems=incident.subsystems if len(incident.subsystems) > 1 else (),
        fired=min(incident.stop, incident.start + top.report), stop=stop,
    )  # fmt: skip


def _end(incident: Incident, part: Part, covered: Coverage) -> int | None:
    """When an incident was over in one subsystem; None: no data say so."""
    report = incident.top.report
    after = part.stop + _REPORTS_AFTER * report
    of_run = next((stop for run, _, stop, _ in covered.runs if run == part.run), None)
    if of_run is None or of_run > after:  # a run of unreadable files has no snapshots; another one follows
        return after
    lasts = any(one.aspect is not Aspect.EVENT for one in incident.histograms if one.subsystem == part.subsystem)
    needed = _REPORTS_OF_NEXT_RUN if lasts else 1
    for run, start, _, count in covered.runs:
        if start >= part.stop and run != part.run:
            needed -= count
            if needed <= 0:
                return start + (_REPORTS_OF_NEXT_RUN if lasts else 1) * report
    return None


def _subject(incident: Incident) -> Subject:
    return Subject(Kind.INCIDENT, incident.id, incident.top.subsystem)


def merged(known: Iterable[Alarm], incidents: Iterable[Incident]) -> dict[Subject, Subject]:
    """Subjects of alarms whose incident became part of another one, or is most significant in another subsystem now."""
    every = {incident.id: incident for incident in incidents}
    found = {}
    for alarm in known:
        subject = alarm.subject
        if subject.kind is not Kind.INCIDENT:
            continue
        same = every.get(subject.name) or next((one for one in every.values() if _holds(one, alarm)), None)
        if same is not None and _subject(same) != subject:
            found[subject] = _subject(same)
    return found


def _holds(incident: Incident, alarm: Alarm) -> bool:
    """True if an alarm began within an incident, in one of its subsystems."""
    return any(
        part.subsystem == alarm.subject.subsystem and part.start <= alarm.start < part.stop for part in incident.parts
    )


def rule_reports(
    judged: Iterable[Judged], on: Collection[Subject]
) -> dict[Subject, list[Report]]:  # fmt: skip
    """Reports by rule and histogram, from the first that is bad; none where all are well and no alarm is on.

    Parameters
    ----------
    on
        Subjects whose alarm is on: all of their reports are given.
    """
    found = {}
    for one in judged:
        subject = Subject(Kind.RULE, one.rule.name, one.rule.subsystem, one.histogram)
        bad = np.flatnonzero(one.quality >= _BAD)
        if subject in on or len(bad):
            first = 0 if subject in on else int(bad[0])
            found[subject] = list(_reports(one, first))
    return found


def _reports(judged: Judged, first: int) -> Iterator[Report]:
    columns = (one.tolist() for one in (judged.start, judged.stop, judged.quality, judged.recovered, judged.run))
    for number, (start, stop, quality, recovered, run) in enumerate(zip(*columns, strict=True)):
        if number >= first:
            why = judged.why(number) if quality >= _BAD else ""
            yield Report(start, stop, QUALITIES[quality], recovered, why, run)


def timing_of(rule: RuleConfig) -> Timing:
    """How patient the alarms of a rule are."""
    hold, keep = rule.hold, rule.keep_firing_for
    return Timing(
        hold=0 if isinstance(hold, int) else int(hold.total_seconds() * 1e9),
        hold_reports=hold if isinstance(hold, int) else 1,
        keep=int(keep.total_seconds() * 1e9), no_data_after=rule.no_data_after,
    )  # fmt: skip


def rule_alarms(
    reports: Mapping[Subject, Sequence[Report]], timings: Mapping[str, Timing], known: Collection[Alarm], begin: int,
    unjudged: Collection[str] = (),
) -> Iterator[Alarm]:  # fmt: skip
    """Alarms of rules, from the reports since ``begin`` [ns UTC] and the alarms that were on then.

    Parameters
    ----------
    timings
        By name of each rule that there is: an alarm of another one is not given again.
    known
        All recorded alarms that may go on.
    unjudged
        Rules that cannot be used now: their alarms go on without data.
    """
    for alarm in known:
        if alarm.subject.kind is Kind.RULE and alarm.subject.name in unjudged and alarm.state.on:
            yield replace(alarm, state=State.NO_DATA, good_since=None)
    before = {
        alarm.subject: replace(alarm, state=State.FIRING, stop=None, good_since=None)
        for alarm in known
        if alarm.subject.kind is Kind.RULE and alarm.subject.name in {*timings}.difference(unjudged)
        and alarm.fired is not None and alarm.fired < begin and (alarm.stop is None or alarm.stop >= begin)
        and alarm.state is not State.WITHDRAWN
    }  # fmt: skip
    for subject in sorted({*reports, *before}):
        yield from lives(reports.get(subject, ()), subject, timings[subject.name], before.get(subject))


def source_alarms(
    covered: Mapping[str, Coverage], known: Iterable[Alarm], now: int, stale_after: int
) -> Iterator[Alarm]:  # fmt: skip
    """An alarm of each subsystem that has sent nothing for ``stale_after`` [ns], until it sends again; 0: of none."""
    on = {alarm.subject: alarm for alarm in known if alarm.subject.kind is Kind.SOURCE and alarm.state.on}
    for name, runs in sorted(covered.items()):
        subject = Subject(Kind.SOURCE, "", name)
        alarm = on.get(subject)
        latest = runs.latest
        if alarm is not None and latest > alarm.start:
            report = Report(alarm.start, latest, Quality.OK, True)
            ended = advance(replace(alarm, good_since=None), report, subject, Timing())
            if ended is not None:
                yield ended
        elif alarm is not None:
            yield alarm
        elif stale_after and now - latest > stale_after:
            run = runs.runs[-1][0] if runs.runs else 0
            why = f"{name} has sent nothing for {(now - latest) / 60e9:,.0f} min"
            yield Alarm(
                subject, State.FIRING, latest, latest, Quality.ERROR, Quality.ERROR, why, run,
                fired=latest + stale_after,
            )  # fmt: skip


def aged(alarms: Iterable[Alarm], covered: Mapping[str, Coverage], now: int, stale_after: int) -> list[Alarm]:
    """The alarms when it is ``now``: stale where their subsystem sends nothing any more."""
    timing = Timing(stale_after=stale_after)
    return [
        at_time(replace(alarm, latest=max(alarm.latest, covered[alarm.subject.subsystem].latest)), now, timing)
        if alarm.state.on and alarm.subject.kind is not Kind.SOURCE and alarm.subject.subsystem in covered else alarm
        for alarm in alarms
    ]  # fmt: skip
