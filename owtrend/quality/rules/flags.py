"""Rules over an archive: the quality of each report of each histogram that a rule watches.

The flags of a run are the same whether it is judged alone, live, or with all others: windows read the earlier runs
that they need.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from owtrend.config import Config, RuleConfig
from owtrend.errors import hint
from owtrend.model.registry import HistogramEntry, like
from owtrend.model.rows import State
from owtrend.quality.flag import Flag, Quality
from owtrend.quality.rules.readings import Conditions, HistogramReports, Span, StoredConditions, read, spans
from owtrend.quality.rules.rule import QUALITIES, Reasons, Rule, compile_rules
from owtrend.store.reader import Reader, SubsystemReader
from owtrend.trends.run_trends import path_of
from owtrend.trends.settings import existing, parse_stored

__all__ = ["Judged", "evaluate", "judged"]

_NUMBERS_AT_ONCE = 2**23
_log = logging.getLogger(__name__)
_WARNING, _ACCEPTABLE = np.int8(QUALITIES.index(Quality.WARNING)), np.int8(QUALITIES.index(Quality.ACCEPTABLE))


@dataclass(frozen=True, eq=False)
class Judged:
    """The reports of one histogram by one rule, in order of time, each in ``(start, stop]`` [ns UTC].

    Parameters
    ----------
    quality
        Number in `QUALITIES`.
    recovered
        Whether an alarm may end there.
    """

    rule: RuleConfig
    histogram: str
    run: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    quality: NDArray[np.int8]
    recovered: NDArray[np.bool_]
    _place: NDArray[np.intp]
    _reasons: Reasons

    def __len__(self) -> int:
        return len(self.run)

    def why(self, report: int) -> str:
        """The values that decided about a report, in words."""
        quality = QUALITIES[self.quality[report]]
        seen = Quality.WARNING if quality is Quality.ACCEPTABLE else quality
        return self._reasons.why(int(self._place[report]), seen)

    def flags(self) -> Iterator[Flag]:
        """A flag for each report."""
        return self.some_flags(range(len(self)))

    def some_flags(self, reports: Iterable[int]) -> Iterator[Flag]:
        """A flag for each of these reports."""
        columns = [one.tolist() for one in (self.run, self.start, self.stop, self.quality, self.recovered)]
        for number in reports:
            run, start, stop, quality, recovered = (column[number] for column in columns)
            yield Flag(
                subsystem=self.rule.subsystem, run=run, start=start, stop=stop, histogram=self.histogram,
                rule=self.rule.name, quality=QUALITIES[quality], why=self.why(number), recovered=recovered,
            )  # fmt: skip


def evaluate(
    reader: Reader, rules: Sequence[RuleConfig | Rule], runs: Iterable[int] | None = None, *,
    conditions: Conditions | None = None, accepted: Callable[[Flag], bool] | None = None,
) -> list[Flag]:  # fmt: skip
    """A flag for each report of each histogram that a rule watches, rule by rule, in order of time.

    Parameters
    ----------
    runs
        Runs that are judged; None: all. Those of them that a subsystem does not have are left out.
    conditions
        Looks up run conditions; None: those that were added to the store.
    accepted
        Whether a person accepted a warning, which then is acceptable.

    Raises
    ------
    UsageError
        If an expression means nothing.

    What does not exist in the store, such as a histogram, is a warning of the log.
    """
    found = judged(reader, rules, runs, conditions=conditions, accepted=accepted)
    return [flag for one in found for flag in one.flags()]


def judged(
    reader: Reader, rules: Sequence[RuleConfig | Rule], runs: Iterable[int] | None = None, *,
    conditions: Conditions | None = None, accepted: Callable[[Flag], bool] | None = None,
) -> list[Judged]:  # fmt: skip
    """The same as arrays, of each histogram by each rule, in the order of the rules; see `evaluate`."""
    compiled = compile_rules(rules, reader.own_reductors)
    config = existing(reader.config, reader)
    asked = None if runs is None else sorted(set(runs))
    found: dict[tuple[int, str], Judged] = {}
    for subsystem in dict.fromkeys(rule.settings.subsystem for rule in compiled):
        numbered = [(number, rule) for number, rule in enumerate(compiled) if rule.settings.subsystem == subsystem]
        if subsystem not in reader.subsystems:
            near = hint(subsystem, reader.subsystems, limit=1)
            for _, rule in numbered:
                _log.warning("rule %r: %s has no subsystem %r%s", rule.name, reader.location, subsystem, near)
            continue
        view = reader.subsystem(subsystem)
        chosen = [run for run in (view.run_indices if asked is None else asked) if run in view.run_indices]
        watched = _Watched(view, config, sorted(chosen), asked is None, conditions or StoredConditions(reader))
        for number, one in watched.judged(numbered):
            found[number, one.histogram] = one if accepted is None else _with_accepted(one, accepted)
    return [found[key] for key in sorted(found, key=lambda key: key[0])]


@dataclass(frozen=True, eq=False)
class _Watched:
    """One subsystem and the runs in it that are judged."""

    view: SubsystemReader
    config: Config
    runs: list[int]
    every: bool
    conditions: Conditions

    def judged(self, rules: Sequence[tuple[int, Rule]]) -> Iterator[tuple[int, Judged]]:
        """What rules, each with a number, say of the histograms that they watch."""
        watching: dict[int, list[tuple[int, Rule]]] = {}
        entries = list(self.view.registry.histograms.values())
        for number, rule in rules:
            for place in self.watched(rule, entries):
                watching.setdefault(place, []).append((number, rule))
        alike: dict[tuple[int, ...], list[int]] = {}
        for place, of in sorted(watching.items()):
            alike.setdefault(tuple(number for number, _ in of), []).append(place)
        for places in alike.values():
            yield from self.of_histograms([entries[place] for place in places], watching[places[0]])

    def watched(self, rule: Rule, entries: Sequence[HistogramEntry]) -> list[int]:
        """Places of the histograms that a rule watches: those that fit its pattern and its reductors."""
        names = [entry.name for entry in entries]
        pattern = rule.settings.histogram
        fitting = [place for place, fits in enumerate(like(names, pattern)) if fits]
        if not fitting:
            near = hint(pattern, names, limit=1)
            _log.warning("rule %r: no histogram like %r in %s%s", rule.name, pattern, self.view.where, near)
        used = [parse_stored(self.view, name) for what, name in sorted(rule.inputs) if what in _OF_REDUCTORS]
        usable = [
            place for place in fitting
            if all(any(one.fits(segment) for _, segment in entries[place].segments) for one in used)
        ]  # fmt: skip
        if fitting and not usable:
            _log.warning(
                "rule %r: no histogram like %r in %s has %s",
                rule.name, pattern, self.view.where, ", ".join(one.name for one in used),
            )  # fmt: skip
        return usable

    def of_histograms(
        self, entries: Sequence[HistogramEntry], rules: Sequence[tuple[int, Rule]]
    ) -> Iterator[tuple[int, Judged]]:
        """What the same rules say of some histograms; more runs are read for those whose windows are not full."""
        inputs = frozenset[tuple[str, str]]().union(*(rule.inputs for _, rule in rules))
        before, waiting = 2, list(entries)
        while waiting:
            having = self.having(waiting)
            read_spans = [Span(*_EVER, whole=True)] if self.every else spans(self.view, self.runs, before, having)
            rows = self.view.per_run["n_snapshots"].sum() if self.every else 2000 * len(self.runs)
            step = max(1, _NUMBERS_AT_ONCE // max(1, int(rows) * (len(inputs) + 1)))
            short: list[HistogramEntry] = []
            for first in range(0, len(waiting), step):
                block = waiting[first : first + step]
                for reports in read(self.view, self.config, block, inputs, read_spans, self.runs, self.conditions):
                    made, lacks = _judge(reports, rules)
                    if lacks and not all(span.whole for span in read_spans):
                        short.append(reports.entry)
                    else:
                        yield from made
            before, waiting = 8 * before, short

    def having(self, entries: Sequence[HistogramEntry]) -> NDArray[np.bool_]:
        """By run index, runs that may have one of these histograms."""
        shown = self.view.per_run["n_snapshots"] > 0
        known = {path: number for number, path in enumerate(self.view.trends.histograms)}
        columns = [known[path] for path in map(path_of, entries) if path in known]
        if len(columns) < len(entries):
            return shown
        states = self.view.trends.run_states
        unknown = ~states.any(axis=1)
        there: NDArray[np.bool_] = shown & (unknown | State.HELD.is_set(states[:, columns]).any(axis=1))
        return there


_OF_REDUCTORS = ("trend", "error", "reference")
_EVER = int(np.iinfo(np.int64).min), int(np.iinfo(np.int64).max)


def _judge(reports: HistogramReports, rules: Sequence[tuple[int, Rule]]) -> tuple[list[tuple[int, Judged]], bool]:
    """What rules say of a histogram, and whether a window of one of them is not full."""
    made: list[tuple[int, Judged]] = []
    seen = {history: reports.as_seen(history) for history in {rule.settings.history for _, rule in rules}}
    for number, rule in rules:
        as_seen, place = seen[rule.settings.history]
        quality, recovered = rule.judge(as_seen)
        kept = place[as_seen.wanted]
        order = np.argsort(kept, kind="stable")
        chosen = np.flatnonzero(as_seen.wanted)[order]
        where = kept[order]
        one = Judged(
            rule.settings, reports.entry.name, reports.run[where], reports.start[where], reports.stop[where],
            quality[chosen], recovered[chosen], chosen, rule.reasons(as_seen),
        )  # fmt: skip
        made.append((number, one))
    return made, "runs" in seen and seen["runs"][0].short


def _with_accepted(one: Judged, accepted: Callable[[Flag], bool]) -> Judged:
    """The same with accepted warnings as acceptable; at these an alarm may end."""
    warnings = np.flatnonzero(one.quality == _WARNING).tolist()
    fine = [number for number, flag in zip(warnings, one.some_flags(warnings), strict=True) if accepted(flag)]
    quality, recovered = one.quality.copy(), one.recovered.copy()
    quality[fine], recovered[fine] = _ACCEPTABLE, True
    return Judged(one.rule, one.histogram, one.run, one.start, one.stop, quality, recovered, one._place, one._reasons)
