"""Incidents: findings that belong together, of which a person is notified once; the rule that joins them run by run.

- Findings of one subsystem at most two reports apart are one incident, whatever scores found them.
- Incidents of several subsystems that overlap are one.
- A histogram that deviates in the next run of its subsystem as it did in the run before goes on with its incident: a
  level that changed and holds is one incident, since the run in which it changed. What begins while it goes on is
  another one.
- A histogram that is new is no incident.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Self

from owtrend.errors import StoreError
from owtrend.model.finding import Aspect, Concerned, Deviation, Finding, Score

__all__ = ["Incident", "Part", "RunFindings", "incidents"]

_NEAR = 2  # reports that two findings of one incident may be apart


class Part(NamedTuple):
    """The findings of an incident in one subsystem and run: how many, in ``(start, stop]``, ns UTC."""

    subsystem: str
    run: int
    start: int
    stop: int
    findings: int


class Span(NamedTuple):
    """When findings of a subsystem began an incident; others near it join them [ns UTC]."""

    subsystem: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Incident:
    """Findings that belong together.

    Parameters
    ----------
    id
        That of the first finding.
    parts
        In order of time.
    histograms
        All that are concerned, in order of time; none: whole snapshots.
    top
        The most significant finding; of several that are equally significant, the first.
    spans, deviations
        What may join: findings near to those that began it, and deviations in the next run like the last of each
        histogram.
    """

    id: str
    parts: tuple[Part, ...]
    histograms: tuple[Concerned, ...]
    top: Finding
    spans: tuple[Span, ...]
    deviations: tuple[Deviation, ...]

    @property
    def start(self) -> int:
        return min(part.start for part in self.parts)

    @property
    def stop(self) -> int:
        return max(part.stop for part in self.parts)

    @property
    def runs(self) -> tuple[int, ...]:
        """In order of time; the first is the run of origin."""
        return tuple(dict.fromkeys(part.run for part in self.parts))

    @property
    def subsystems(self) -> tuple[str, ...]:
        return tuple(sorted({part.subsystem for part in self.parts}))

    @property
    def findings(self) -> int:
        """How many."""
        return sum(part.findings for part in self.parts)

    def to_json(self) -> str:
        """One line of JSON."""
        top = json.loads(self.top.to_json())
        return json.dumps({**asdict(self), "top": top, "deviations": [one.to_dict() for one in self.deviations]})

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The incident written by `to_json`.

        Raises
        ------
        StoreError
            If a newer owtrend wrote it.
        """
        fields = json.loads(line)
        try:
            return cls(
                id=fields["id"],
                parts=tuple(Part(*part) for part in fields["parts"]),
                histograms=tuple(map(Concerned.from_list, fields["histograms"])),
                top=Finding.from_json(json.dumps(fields["top"])),
                spans=tuple(Span(*span) for span in fields["spans"]),
                deviations=tuple(Deviation.from_dict(one) for one in fields["deviations"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"an incident of a newer owtrend ({error}); update owtrend") from error


@dataclass(frozen=True)
class RunFindings:
    """All findings of one run, of all its subsystems.

    Parameters
    ----------
    previous
        By subsystem the run before it that it can be compared with, if there is one.
    """

    run: int
    findings: Sequence[Finding]
    previous: Mapping[str, int]


def incidents(runs: Iterable[RunFindings], known: Iterable[Incident] = ()) -> list[Incident]:
    """Join findings to incidents, in order of time; see the rule above.

    Parameters
    ----------
    runs
        In order of time. A run that is still growing is given anew with all its findings, and the incidents that were
        known before it.
    known
        The incidents of all earlier runs.
    """
    state = {incident.id: incident for incident in known}
    recent = list(state)  # those that new findings may be near to
    in_run: dict[tuple[str, int], list[str]] = {}
    for incident in state.values():
        _list_parts(in_run, incident)
    for every in runs:
        run = replace(every, findings=[finding for finding in every.findings if finding.score is not Score.NEW])
        if not run.findings:
            continue
        going_on, others = _split(run, state, in_run)
        for identity, found in going_on.items():
            state[identity] = _joined([state[identity], _gathered(found, begins=False)])
            _list_parts(in_run, state[identity])
        first = min(finding.start - _NEAR * finding.report for finding in run.findings)
        recent = [name for name in recent if name in state and max(span.stop for span in state[name].spans) >= first]
        for found in _overlapping(_near(others)):
            new = _gathered(found)
            near = [name for name in recent if name in state and _belongs(state[name], found)]
            joined = _joined([*(state.pop(name) for name in near), new])
            state[joined.id] = joined
            recent = [*(name for name in recent if name not in near), joined.id]
            _list_parts(in_run, joined)
    return sorted(state.values(), key=lambda incident: (incident.start, incident.stop, incident.id))


def _order(finding: Finding) -> tuple[Any, ...]:
    return finding.start, finding.stop, finding.subsystem, finding.histograms, finding.score


def _list_parts(in_run: dict[tuple[str, int], list[str]], incident: Incident) -> None:
    """Note the incident in each subsystem and run that it has findings in."""
    for part in incident.parts:
        names = in_run.setdefault((part.subsystem, part.run), [])
        if incident.id not in names:
            names.append(incident.id)


def _split(
    run: RunFindings, state: Mapping[str, Incident], in_run: Mapping[tuple[str, int], list[str]]
) -> tuple[dict[str, list[Finding]], list[Finding]]:
    """Findings that go on with an incident of the run before, by its identity, and the others in order of time."""
    before: dict[tuple[str, str], list[tuple[str, Deviation]]] = {}  # by subsystem and histogram
    for subsystem, previous in run.previous.items():
        for name in in_run.get((subsystem, previous), ()):
            for one in state[name].deviations if name in state else ():
                if one.subsystem == subsystem:
                    before.setdefault((subsystem, one.histogram), []).append((name, one))
    going_on: dict[str, list[Finding]] = {}
    others = []
    for finding in sorted(run.findings, key=_order):
        alike = (
            name for deviation in finding.deviations
            for name, one in before.get((finding.subsystem, deviation.histogram), ()) if deviation.same_way(one)
        )  # fmt: skip
        if (identity := next(alike, None)) is not None:
            going_on.setdefault(identity, []).append(finding)
        else:
            others.append(finding)
    # The score that says most varies from run to run where many do, so an incident that goes on keeps its histograms.
    left = []
    for finding in others:
        owners = [
            {name for name, _ in before.get((finding.subsystem, deviation.histogram), ()) if name in going_on}
            for deviation in finding.deviations
        ]
        if shared := set.intersection(*owners) if owners else set():
            going_on[min(shared, key=lambda name: state[name].start)].append(finding)
        else:
            left.append(finding)
    return going_on, left


def _near(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings in order, split where more than two reports of their subsystem lie between them."""
    groups: list[list[Finding]] = []
    last: dict[str, tuple[list[Finding], int]] = {}  # by subsystem its latest group, and until when it is
    for finding in findings:
        group, until = last.get(finding.subsystem, ([], finding.start))
        if not group or finding.start - until > _NEAR * finding.report:
            group = []
            groups.append(group)
            until = finding.stop
        group.append(finding)
        last[finding.subsystem] = group, max(until, finding.stop)
    return groups


def _overlapping(groups: Sequence[Sequence[Finding]]) -> list[list[Finding]]:
    """Groups that overlap, put together; groups are in order of their start."""
    joined: list[list[Finding]] = []
    until = 0
    for group in groups:
        if joined and group[0].start < until:
            joined[-1].extend(group)
        else:
            joined.append([*group])
            until = 0
        until = max(until, *(finding.stop for finding in group))
    return joined


def _belongs(incident: Incident, found: Sequence[Finding]) -> bool:
    """True if some of the findings are near to those that began the incident, or overlap them."""
    stops = {span.subsystem: span.stop for span in incident.spans}
    start, stop = min(span.start for span in incident.spans), max(stops.values())
    return any(
        (finding.start < stop and finding.stop > start)
        or (finding.subsystem in stops and finding.start - stops[finding.subsystem] <= _NEAR * finding.report)
        for finding in found
    )  # fmt: skip


def _gathered(findings: Sequence[Finding], *, begins: bool = True) -> Incident:
    """Findings of one run as an incident; if they do not begin one, nothing that is near joins them."""
    ordered = sorted(findings, key=_order)
    parts: dict[str, Part] = {}
    concerned: dict[tuple[str, str, Aspect], int] = {}
    for finding in ordered:
        start, stop, count = finding.start, finding.stop, 1
        if (part := parts.get(finding.subsystem)) is not None:
            start, stop, count = min(part.start, start), max(part.stop, stop), part.findings + 1
        parts[finding.subsystem] = Part(finding.subsystem, finding.run, start, stop, count)
        for name in finding.histograms:
            concerned.setdefault((finding.subsystem, name, finding.score.aspect), finding.start)
    return Incident(
        id=ordered[0].id,
        parts=tuple(parts.values()),
        histograms=tuple(Concerned(*key, start) for key, start in concerned.items()),
        top=_top(ordered),
        spans=tuple(Span(part.subsystem, part.start, part.stop) for part in parts.values()) if begins else (),
        deviations=tuple(dict.fromkeys(one for finding in ordered for one in finding.deviations)),
    )


def _joined(several: Sequence[Incident]) -> Incident:
    """Incidents as one; of each histogram the deviations are kept that came last."""
    ordered = sorted(several, key=lambda incident: (incident.start, incident.stop, incident.id))
    parts: dict[tuple[str, int], Part] = {}
    for part in (part for incident in ordered for part in incident.parts):
        same = parts.get(part[:2], part)
        count = part.findings + (same.findings if same is not part else 0)
        parts[part[:2]] = Part(*part[:2], min(same.start, part.start), max(same.stop, part.stop), count)
    in_time = sorted(parts.values(), key=lambda part: (part.start, part.stop, part.subsystem))
    concerned: dict[tuple[str, str, Aspect], int] = {}
    for one in (one for incident in ordered for one in incident.histograms):
        concerned[one[:3]] = min(one.start, concerned.get(one[:3], one.start))
    spans: dict[str, Span] = {}
    for span in (span for incident in ordered for span in incident.spans):
        same_span = spans.get(span.subsystem, span)
        spans[span.subsystem] = Span(
            span.subsystem, min(span.start, same_span.start), max(span.stop, same_span.stop)
        )  # fmt: skip
    latest: dict[tuple[str, str], dict[Deviation, None]] = {}
    for incident in sorted(several, key=lambda incident: incident.stop):
        latest |= {(deviation.subsystem, deviation.histogram): {} for deviation in incident.deviations}
        for deviation in incident.deviations:
            latest[deviation.subsystem, deviation.histogram][deviation] = None
    return Incident(
        id=ordered[0].id,
        parts=tuple(in_time),
        histograms=tuple(Concerned(*key, start) for key, start in sorted(concerned.items(), key=lambda one: one[1])),
        top=_top([incident.top for incident in ordered]),
        spans=tuple(spans.values()),
        deviations=tuple(deviation for same in latest.values() for deviation in same),
    )


def _top(findings: Sequence[Finding]) -> Finding:
    return min(findings, key=lambda one: (not one.certain, 0.0 if one.certain else -one.z, one.start))
