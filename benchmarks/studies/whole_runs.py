"""Runs of one snapshot with many entries: are bad ones found, and good ones left alone?

``python -m benchmarks.studies.whole_runs [--runs 638] [--first-seed 9300] [--seeds 5]`` prints a table.

Each run is one report of one spectrum with 10,000 to 1,000,000 entries. Good runs differ by more than counting allows:
bins by 1 %, gains by half a percent, a second component by 5 %, and gains drift over months. One run in thirteen is
bad. Scores are those of the product, run after run with what is known by then; AUC is the chance that a bad run has a
larger score than a good one.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.studies.shifts import share, table
from owtrend.model.axis import Axis
from owtrend.outliers.monitor import Counts, HistogramMonitor, RunningCounts
from owtrend.outliers.reference_pool import ReferencePool, ScoreSettings, WholeRuns

__all__ = ["Outcome", "auc", "outcome"]

_AXES = (Axis.spaced(100, 0.0, 10.0),)
_SIZES = np.array([102], dtype=np.int64)
_BAD = 13  # one run in so many
_HISTOGRAMS = 110  # that are tested, which the threshold is made for
_FIRST = 8  # runs that nothing is learned before
_REPORT = 3600e9  # ns: a run an hour


@dataclass(frozen=True)
class Outcome:
    """Of each run after the first ones: whether it is bad, its findings as a report, and its score as a whole run."""

    bad: NDArray[np.bool_]
    flagged: NDArray[np.bool_]  # as a report
    called_bad: NDArray[np.bool_]  # as a whole run
    z: NDArray[np.float64]  # as a report
    deviation: NDArray[np.float64]  # as a whole run


def _shape(rng: np.random.Generator, gain: float, bad: str) -> NDArray[np.float64]:
    x = _AXES[0].centres / gain
    shape = stats.gamma.pdf(x, 3.0, scale=0.6) + 0.15 * rng.normal(1, 0.05) * stats.norm.pdf(x, 5.5, 0.5)
    shape *= np.exp(rng.normal(0, 0.01, 100))
    first = int(rng.integers(5, 40))
    if bad == "hot bin":
        shape[first] += 0.01 * shape.sum()
    elif bad == "dead region":
        shape[first : first + 4] = 0
    elif bad == "lost efficiency":
        shape[first : first + 15] *= 0.85
    elif bad == "second peak":
        shape += 0.03 * shape.sum() * stats.norm.pdf(x, 7.5, 0.3) * 0.1
    return shape / shape.sum()


def outcome(seed: int, runs: int = 638) -> Outcome:
    """Simulate the runs and score one after the other."""
    rng = np.random.default_rng(seed)
    settings = ScoreSettings(_HISTOGRAMS)
    threshold = float(settings.thresholds(np.array([_REPORT]))[0])
    pool, whole = ReferencePool(settings, "spectrum"), WholeRuns(settings)
    kinds = ("hot bin", "dead region", "lost efficiency", "second peak", "gain")
    rows = []
    for run in range(runs):
        bad = str(rng.choice(kinds)) if run > _FIRST and run % _BAD == int(rng.integers(_BAD)) else ""
        gain = 1 + 0.005 * rng.normal() + 0.01 * np.sin(run / 60) + (0.06 if bad == "gain" else 0.0)
        counts = np.zeros(102)
        counts[1:-1] = rng.poisson(10 ** rng.uniform(4, 6) * _shape(rng, gain, bad))
        report = Counts(counts, _SIZES)
        score = whole.add(run, "C", _AXES, report)
        reference, _, _ = pool.reference(_AXES, run, "C", profile=False)
        monitor = HistogramMonitor(reference, pool.null_model())
        scores = monitor.test(report)
        flagged = scores is not None and bool(scores.total > threshold)
        if scores is not None:
            monitor.learn(scores, good=not flagged)
        if not flagged:
            monitor.accept(report)
        if run > _FIRST:
            rows.append((bool(bad), flagged, score.bad, np.nan if scores is None else scores.total, score.deviation))
        pool.add_run(run, "C", _AXES, RunningCounts.from_counts(report), monitor.accepted)
        pool.add_summary(monitor.scatter())
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Outcome(*columns)


def auc(score: NDArray[np.float64], bad: NDArray[np.bool_]) -> float:
    """Chance that a bad run has a larger score than a good one."""
    ranks = stats.rankdata(score)
    n = int(bad.sum())
    return float((ranks[bad].sum() - n * (n + 1) / 2) / (n * (len(bad) - n)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=638)
    parser.add_argument("--first-seed", type=int, default=9300)
    parser.add_argument("--seeds", type=int, default=5)
    asked = parser.parse_args(arguments)
    lines = []
    for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
        one = outcome(seed, asked.runs)
        for name, score, called in (("whole run", one.deviation, one.called_bad), ("report", one.z, one.flagged)):
            lines.append([
                str(seed), name, f"{auc(score, one.bad):.3f}", share(int(called[one.bad].sum()), int(one.bad.sum())),
                share(int(called[~one.bad].sum()), int((~one.bad).sum())),
            ])  # fmt: skip
    print(table(("seed", "as a", "AUC", "bad runs found", "good runs called bad"), lines))


if __name__ == "__main__":
    main()
