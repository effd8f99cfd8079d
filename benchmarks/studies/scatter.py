"""Reports of simulated shapes straight into the scores of histograms, without files: false incidents, and faults found.

``python -m benchmarks.studies.scatter --seeds 20 --first-seed 9100 [--conditions NAME]... [--kinds NAME]...`` prints
tables. A seed is ten runs of an hour of a tenth of the detector: about 13,000 reports of 110 histograms in a minute.

There are no fractions and no rates, which `benchmarks.studies.shifts` has. A fault is tried on a copy of a histogram's
monitor in its fifth run or later, so it changes nothing of what comes after it.
"""

import argparse
import copy
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from time import perf_counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.studies.incidents import clopper_pearson
from benchmarks.studies.shifts import rate, table
from ingest.simulator.conditions import CONDITIONS, Conditions
from ingest.simulator.detector import COMPONENTS, component, histograms
from ingest.simulator.faults import ALL_FAULTS, Fault, drawn
from ingest.simulator.histogram import SimulatedHistogram
from ingest.simulator.kinds import Times
from ingest.simulator.simulate import REPORT_CYCLE, REPORT_JITTER, exposure
from owtrend.model.finding import Finding, Score
from owtrend.outliers.explain import Reason, reason, still
from owtrend.outliers.monitor import SCORES, Counts, HistogramMonitor, RunningCounts
from owtrend.outliers.reference_pool import ReferencePool, ScoreSettings
from owtrend.quality.incident import RunFindings, incidents

__all__ = ["Outcome", "Trial", "fills_as_counts", "outcome"]

_UNEVEN = 1.5  # as of `owtrend.outliers.histogram_scores`
_MINUTE = 60 * 10**9  # ns
_BEGAN = datetime(2018, 6, 1, 12, tzinfo=UTC)
_ALLOWED = 5  # reports
_FIRST_FAULTY = 4  # run
_SPACING = 90  # minutes from run to run


@dataclass(frozen=True)
class Trial:
    """A fault of some histogram, the report by which it was found, None if not by the fifth, and by which score."""

    fault: Fault
    delay: int | None
    score: str
    why: str


@dataclass(frozen=True)
class Outcome:
    """Findings of clean runs, and faults tried on copies."""

    reports: int
    hours: float
    later: float  # hours since the third run
    findings: tuple[Finding, ...]
    trials: tuple[Trial, ...]

    def spans(self) -> list[tuple[int, int]]:
        """Start and stop of each incident [ns]."""
        by_run: dict[int, list[Finding]] = {}
        for finding in self.findings:
            by_run.setdefault(finding.run, []).append(finding)
        runs = (
            RunFindings(run, found, dict.fromkeys({one.subsystem for one in found}, run - 1))
            for run, found in sorted(by_run.items())
        )
        return [(incident.start, incident.stop) for incident in incidents(runs)]


@dataclass
class _Series:
    """One histogram over all runs."""

    subsystem: str
    histogram: SimulatedHistogram
    position: int
    conditions: Conditions
    seed: int
    threshold: float
    settings: ScoreSettings
    findings: list[Finding] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    reports: int = 0

    def follow(self, runs: int, faults: Mapping[int, Sequence[Fault]]) -> None:
        """Score all runs; ``faults``: by run those that are tried on this histogram."""
        pool = ReferencePool(self.settings, self.histogram.name)
        axes = self.histogram.stored_axes
        number = list(COMPONENTS).index(self.subsystem)
        for run in range(runs):
            profile = self.histogram.class_name == "TProfile"
            reference, reference_runs, _ = pool.reference(axes, run, "C", profile=profile)
            monitor = HistogramMonitor(reference, pool.null_model())
            rng = np.random.default_rng((self.seed, run, number, self.position))
            total = None
            starts = {fault: _minutes(fault.start, run) for fault in faults.get(run, ())}
            before, last = None, None
            for since, until in self._times(run):
                expected = self._density(run, (since + until) / 120) * exposure(60 * since, 60 * until)
                for fault in [one for one, start in starts.items() if since <= start < until]:
                    del starts[fault]
                    self._try(monitor, fault, run, since, reference_runs, before)
                before = self.conditions.fills(rng, expected)
                report = fills_as_counts(self.histogram, before)
                self.reports += 1
                found = self._test(monitor, report, run, since, until, reference_runs, last)
                last = report
                if found is not None:
                    self.findings.append(found)
                if total is None:
                    total = RunningCounts.from_counts(report)
                else:
                    total.add(report)
            pool.add_run(run, "C", axes, total, monitor.accepted)
            pool.add_summary(monitor.scatter())

    def _try(
        self, monitor: HistogramMonitor, fault: Fault, run: int, since: float, runs: Sequence[int],
        before: NDArray[np.int64] | None,
    ) -> None:  # fmt: skip
        """Go on with a fault on a copy of the monitor until it is found."""
        rng = np.random.default_rng((self.seed, run, self.position, 7))
        other, kind = copy.deepcopy(monitor), ALL_FAULTS[fault.kind]
        start, stop = _minutes(fault.start, run), _minutes(fault.stop, run)
        delay = 0
        for begin, end in self._times(run):
            if begin < since or delay == _ALLOWED or (begin >= stop and kind.change is not None):
                continue
            delay += 1
            fills = self._density(run, (begin + end) / 120) * exposure(60 * begin, 60 * end)
            first, last = max(begin, start), min(end, stop)
            if kind.change is not None and last > first:
                progress = ((first + last) / 2 - start) / (stop - start)
                fills = fills + kind.change(self.histogram, fault, progress) * exposure(60 * first, 60 * last)
            new = self.conditions.fills(rng, fills.clip(min=0))
            if kind.report is not None and before is not None:
                new = kind.report(self.histogram, new, before, rng)
            previous = None if before is None else fills_as_counts(self.histogram, before)
            before = new
            report = fills_as_counts(self.histogram, new)
            found = self._test(other, report, run, begin, end, runs, previous)
            if found is not None:
                self.trials.append(Trial(fault, delay, found.score.value, found.why))
                return
        self.trials.append(Trial(fault, None, "", ""))

    def _test(
        self, monitor: HistogramMonitor, report: Counts, run: int, since: float, until: float, runs: Sequence[int],
        before: Counts | None,
    ) -> Finding | None:  # fmt: skip
        scores = monitor.test(report)
        if before is not None and monitor.repeats(report, before):
            return self._finding(Score.STUCK, math.nan, Reason(still(report)), run, since, until)
        good = scores is None or bool(scores.total <= self.threshold)
        if scores is not None:
            monitor.learn(scores, good=good)
        if scores is None or good:
            monitor.accept(report)
            return None
        why = reason(
            scores, monitor.compared(scores, report), self.histogram.stored_axes, runs, monitor.dispersion(scores)
        )
        return self._finding(Score(SCORES[scores.worst[1]]), scores.total, why, run, since, until)

    def _finding(self, score: Score, z: float, why: Reason, run: int, since: float, until: float) -> Finding:
        start, stop = (int((_SPACING * run + minutes) * _MINUTE) for minutes in (since, until))
        return Finding(
            subsystem=self.subsystem, run=run, histograms=(self.histogram.name,), start=start, stop=stop,
            score=score, z=z, certain=score is Score.STUCK, why=why.words, report=5 * _MINUTE, bins=why.bins,
            side=why.side,
        )  # fmt: skip

    def _density(self, run: int, hours: float) -> NDArray[np.float64]:
        of_run = np.random.default_rng((self.seed, run, self.position, 2))
        return self.conditions.density(self.histogram, hours, of_run)

    def _times(self, run: int) -> Iterator[tuple[float, float]]:
        """Times between which each report counted [minutes since the run began]; of a component the same."""
        sender = component(self.subsystem, self.position)
        rng = np.random.default_rng((self.seed, run, list(COMPONENTS).index(self.subsystem), sender, 1))
        ends = rng.uniform(0, REPORT_CYCLE) + np.cumsum(rng.normal(REPORT_CYCLE, REPORT_JITTER, 20))
        known = [0.0, *(ends[ends < 3600] / 60).tolist()]
        yield from pairwise(known)


def fills_as_counts(histogram: SimulatedHistogram, fills: NDArray[np.int64]) -> Counts:
    """Fills, dims (value, [z, [y,]] x), as a report of what `owtrend` reads of the histogram."""
    sizes = np.array([len(axis) + 2 for axis in histogram.axes], dtype=np.int64)
    values = np.array(histogram.values or (1.0,))
    every = fills.reshape(len(values), -1).astype(np.float64)
    if histogram.class_name == "TProfile":
        moments = np.stack([every.sum(axis=0), values @ every, values**2 @ every])
        return Counts(moments[0], sizes, moments)
    if not histogram.sumw2:
        return Counts(values @ every, sizes)
    weights, squares = float((values @ every).sum()), float((values**2 @ every).sum())
    return Counts(values @ every * (weights / squares / _UNEVEN if squares else 1.0), sizes)


def _minutes(time: datetime, run: int) -> float:
    return (time - _BEGAN - run * timedelta(minutes=_SPACING)).total_seconds() / 60


def outcome(seed: int, conditions: str, *, runs: int = 10, scale: float = 0.1, kinds: Sequence[str] = ()) -> Outcome:
    """Ten runs of an hour under some conditions; ``kinds``: faults that are tried, each once."""
    rng = np.random.default_rng((seed, 3))
    faults: dict[tuple[str, str, int], list[Fault]] = {}
    minutes = [timedelta(minutes=minute) for minute in range(61)]
    for number, kind in enumerate(kinds):
        run = _FIRST_FAULTY + number % max(runs - _FIRST_FAULTY, 1)
        start = _BEGAN + run * timedelta(minutes=_SPACING)
        times: Times = {(run, subsystem): [start + minute for minute in minutes] for subsystem in COMPONENTS}
        [fault] = drawn(rng, [kind], times, scale)
        if fault.histogram is not None:
            faults.setdefault((fault.subsystem, fault.histogram, run), []).append(fault)
    every = [(name, one) for name in COMPONENTS for one in enumerate(histograms(name, scale))]
    settings = ScoreSettings(len(every))
    threshold = float(settings.thresholds(np.array([REPORT_CYCLE * 1e9]))[0])
    series = []
    for subsystem, (position, histogram) in every:
        one = _Series(subsystem, histogram, position, CONDITIONS[conditions], seed, threshold, settings)
        one.follow(runs, {run: faults.get((subsystem, histogram.name, run), ()) for run in range(runs)})
        series.append(one)
    findings = tuple(finding for one in series for finding in one.findings)
    trials = tuple(trial for one in series for trial in one.trials)
    return Outcome(sum(one.reports for one in series), float(runs), float(max(runs - 2, 0)), findings, trials)


def overview(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """Table in Markdown: false incidents and the time in them, condition by condition."""
    heads = ("conditions", "seeds", "reports", "flagged", "false per 8 h since the third run", "in the first two runs",
             "time in false incidents since the third run")  # fmt: skip
    lines = []
    for name, several in outcomes.items():
        later = 2 * _SPACING * _MINUTE
        spans = [span for one in several for span in one.spans()]
        inside = sum(min(stop - start, 60 * _MINUTE * 24) for start, stop in spans if start >= later) / _MINUTE / 60
        late = sum(start >= later for start, _ in spans)
        hours = sum(one.later for one in several)
        lines.append([
            name, str(len(several)), str(sum(one.reports for one in several)),
            str(sum(len(one.findings) for one in several)), rate(late, hours),
            rate(len(spans) - late, sum(one.hours - one.later for one in several)), f"{inside / hours:.1%}",
        ])  # fmt: skip
    return table(heads, lines)


def by_kind(outcomes: Mapping[str, Sequence[Outcome]]) -> str:
    """Table in Markdown: faults found by the fifth report, by kind, with the scores that found them."""
    rows = [
        {"kind": trial.fault.kind, "found": trial.delay is not None, "delay": trial.delay, "score": trial.score}
        for several in outcomes.values() for one in several for trial in one.trials
    ]  # fmt: skip
    lines = []
    for kind, group in pd.DataFrame(rows, columns=["kind", "found", "delay", "score"]).groupby("kind", sort=False):
        found = int(group["found"].sum())
        low, high = clopper_pearson(found, len(group))
        names = group.loc[group["found"], "score"].value_counts()
        lines.append([
            str(kind), f"{found}/{len(group)} [{low:.0%}, {high:.0%}]",
            f"{group['delay'].median():g}, {group['delay'].max():g}" if found else "-",
            ", ".join(f"{name} {number}" for name, number in names.items()),
        ])  # fmt: skip
    return table(("kind", "found by the 5th report", "delay: median, worst", "by"), lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables; progress goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=9100)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--conditions", action="append", choices=list(CONDITIONS), help="all, if none is named")
    parser.add_argument("--kinds", action="append", choices=list(ALL_FAULTS), help="faults to try, each once a seed")
    asked = parser.parse_args(arguments)
    outcomes: dict[str, list[Outcome]] = {}
    for name in asked.conditions or CONDITIONS:
        for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
            began = perf_counter()
            one = outcome(seed, name, runs=asked.runs, scale=asked.scale, kinds=asked.kinds or ())
            outcomes.setdefault(name, []).append(one)
            print(f"{name}, seed {seed}: {len(one.findings)} findings, {perf_counter() - began:.0f} s", file=sys.stderr)
        print(overview({name: outcomes[name]}), flush=True)
    print(overview(outcomes), by_kind(outcomes), sep="\n\n")


if __name__ == "__main__":
    main()
