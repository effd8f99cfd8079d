"""Intervals in which many trends together are unlike good runs, by an isolation forest: p-value and which trends."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.errors import DimsError, UsageError
from owtrend.kernels.series.mad import mad_sigma
from owtrend.kernels.shapes.pareto_tail import tail_probability
from owtrend.learned.shape_models import scikit_learn
from owtrend.model.wording import run_names
from owtrend.times import parse_interval

__all__ = ["REDUCTORS", "unusual"]

Floats = NDArray[np.float64]
REDUCTORS = ("entries", "mean_x", "std_x", "skewness_x", "mean_y", "std_y", "mean_z", "std_z")
EXPLAINED = 0.05  # p-value below which the reason is given
_FEWEST = 10  # good intervals
_KNOWN = 0.5  # fraction of the good intervals in which a trend must have a value
_CLIP = 30.0  # largest |pull|
_TREES = 100
_NAMED, _FAR = 3, 5.0  # trends that are named; |pull| beyond which the others are counted
_COUNTS = ("entries", "integral")


def unusual(good: xr.Dataset, judged: xr.Dataset, every: Any = "10min", *, seed: int = 0) -> xr.Dataset:
    """Score how unlike good runs each interval of a run is, in all trends together.

    Parameters
    ----------
    good, judged
        From `Archive.trends`: the rows of at least two good runs (``snapshot``), and those to judge, with the same
        histograms and reductors. Trends with a value in fewer than half of the good intervals are left out.
    every
        Length of the intervals. Components report at different times, every few minutes: an interval should hold two
        reports. Its value is their mean, weighted with 1 / error**2.
    seed
        Seed of the forest.

    Returns
    -------
    :
        Over ``time``, the end of each interval, with coord ``run``:

        - ``score``: 0 to 1, about 0.5 where nothing stands out (Liu, Ting, Zhou, Isolation Forest, ICDM 2008, eq. 2).
        - ``p_value``: the probability that a good interval scores as high, from scores of each good run against the
          other good runs; ``p_low``, ``p_high``: its 90 % interval. See
          `owtrend.kernels.shapes.pareto_tail.tail_probability`.
        - ``pull`` over ``(time, histogram, reductor)``: (value - median) / sigma of good intervals, sigma the larger of
          1.4826 MAD and the error; NaN where missing. For entries, the logarithm of the rate minus the median of all
          histograms, so that a decaying beam raises nothing.
        - ``contribution``: by how much the score falls if that trend is set to its median; only where ``p_value`` <
          0.05, else NaN.
        - ``why``: the trends that contribute most, in words, where ``p_value`` < 0.05; else empty.

        Intervals in which no trend has a value have NaN.

    Raises
    ------
    DimsError
        If they are no trends, or not of the same histograms and reductors.
    UsageError
        If there are fewer than 10 good intervals, or they are of a single run.
    """
    length = parse_interval(every)
    past, table = _TrendTable.from_trends(good, length), _TrendTable.from_trends(judged, length)
    if past.columns != table.columns:
        raise DimsError("good and judged: expected trends of the same histograms and reductors; ask for both by name")
    past = past.rows(np.asarray(np.isfinite(past.values).any(axis=1)))
    runs = tuple(sorted(set(past.runs.tolist())))
    if len(past.runs) < _FEWEST or len(runs) < 2:
        raise UsageError(
            f"{len(past.runs)} intervals of good runs, {run_names(runs)}: at least {_FEWEST} of two runs are needed; "
            "give more runs, or shorter intervals"
        )
    scores = []
    for run in runs:
        in_run = past.runs == run
        others = _TypicalTrends.from_table(past.rows(~in_run))
        scores.append(_forest_scores(others, others.pulls(past.rows(in_run)), seed)[0])
    held_out = np.concatenate(scores)
    typical = _TypicalTrends.from_table(past)
    pulls = typical.pulls(table)
    score, contribution = _forest_scores(typical, pulls, seed, held_out)
    p, low, high = tail_probability(held_out, score)
    reference = f"compared with {len(past.runs)} intervals of {run_names(runs)}"
    reasons = [
        _reason(table.columns, pulls[n], contribution[n], f"{reference}; p = {p[n]:.2g}") if p[n] < EXPLAINED else ""
        for n in range(len(p))
    ]
    shape = (len(p), judged.sizes["histogram"], judged.sizes["reductor"])
    dims = ("time", "histogram", "reductor")
    variables = {
        "score": ("time", score), "p_value": ("time", p), "p_low": ("time", low), "p_high": ("time", high),
        "why": ("time", np.array(reasons, dtype=object)), "pull": (dims, pulls.reshape(shape)),
        "contribution": (dims, contribution.reshape(shape)),
    }  # fmt: skip
    coords = {
        "time": table.times, "run": ("time", table.runs), "histogram": judged["histogram"].values,
        "reductor": judged["reductor"].values,
    }  # fmt: skip
    return xr.Dataset(variables, coords=coords, attrs={"runs": runs, "intervals": len(past.runs)})


def _forest_scores(
    typical: "_TypicalTrends", pulls: Floats, seed: int, held_out: Floats | None = None
) -> tuple[Floats, Floats]:
    """Score of each row in a forest of good rows, and the contribution of each trend where the p-value is small."""
    with scikit_learn():
        from sklearn.ensemble import IsolationForest
    good = _ordered(typical.past[:, typical.used])
    training = np.concatenate([good, _drawn_outliers(good, seed)])
    forest = IsolationForest(n_estimators=_TREES, max_samples=len(training), random_state=seed).fit(training)
    used = pulls[:, typical.used]
    score = -forest.score_samples(_ordered(used))
    score[~np.isfinite(used).any(axis=1)] = np.nan
    contribution, columns = np.full(pulls.shape, np.nan), np.flatnonzero(typical.used)
    if held_out is not None:
        for row in np.flatnonzero(tail_probability(held_out, score)[0] < EXPLAINED):
            without = np.repeat(used[row][None], len(columns), axis=0)
            np.fill_diagonal(without, 0.0)
            contribution[row, columns] = score[row] + forest.score_samples(_ordered(without))
    return score, contribution


def _drawn_outliers(good: Floats, seed: int) -> Floats:
    """Good rows, a fifth as many, with one or more of the largest pulls raised to random sizes, at most the clip.

    A forest cuts only between rows it was trained on, so without them a far outlier would score as the outermost good
    row (Desir, Bernard, Petitjean, Heutte, Pattern Recognition 46 (2013) 3490, who draw such outliers too).
    """
    rng = np.random.default_rng(seed)
    number, ranks = max(8, len(good) // 5), good.shape[1]
    drawn = good[rng.integers(len(good), size=number)]
    level = np.exp(rng.uniform(np.log(np.median(good[:, 0])), np.log(_CLIP), number))
    raised = np.arange(ranks) < rng.integers(1, ranks + 1, number)[:, None]
    return np.where(raised, np.maximum(drawn, level[:, None]), drawn)


def _ordered(pulls: Floats) -> Floats:
    """The largest |pull| of each row, the second, the fourth, the eighth, ...; missing ones are 0.

    A tree uses a few random columns: of 400 trends it hardly ever picks the two that are off. In order of size, these
    are always in the first columns.
    """
    size = -np.sort(-np.abs(np.nan_to_num(pulls)), axis=1)
    return size[:, [rank - 1 for rank in 2 ** np.arange(20) if rank <= size.shape[1]]]


def _reason(columns: Sequence[tuple[str, str]], pulls: Floats, contribution: Floats, reference: str) -> str:
    """Text naming the trends that contribute most; where several contribute as much, those with the largest pulls."""
    named = np.lexsort((-np.abs(np.nan_to_num(pulls)), -np.nan_to_num(contribution).round(3)))[:_NAMED]
    off = int((np.abs(np.nan_to_num(pulls)) > _FAR).sum())
    words = [f"{reductor} of {histogram} {pulls[n]:+.1f} sigma" for n in named for histogram, reductor in [columns[n]]]
    more = f", and {off - len(words)} more beyond {_FAR:g} sigma" if off > len(words) else ""
    return f"{'; '.join(words)}{more} ({reference})"


@dataclass(frozen=True, eq=False)
class _TrendTable:
    """Trends as ``(interval, column)``, with the end of each interval."""

    columns: list[tuple[str, str]]
    values: Floats
    errors: Floats
    runs: NDArray[np.int64]
    times: NDArray[np.datetime64]

    @classmethod
    def from_trends(cls, trends: xr.Dataset, every: np.timedelta64) -> "_TrendTable":
        """Mean of the reports in each interval, weighted with 1 / error**2; of entries the logarithm of their rate."""
        dims = {"histogram", "reductor"}
        if not isinstance(trends, xr.Dataset) or "value" not in trends or not dims <= set(trends["value"].dims):
            raise DimsError("expected trends from archive.trends(...), over histogram and reductor")
        dim = str(next(name for name in trends["value"].dims if name not in dims))
        stored = trends[["value", "error"]].transpose(dim, "histogram", "reductor").load()
        values, errors = (stored[name].values.reshape(trends.sizes[dim], -1) for name in ("value", "error"))
        columns = [(str(h), str(r)) for h in trends["histogram"].values for r in trends["reductor"].values]
        is_count = np.array([reductor in _COUNTS for _, reductor in columns])
        runs = np.broadcast_to(trends["run"].values, len(values)).astype(np.int64)
        times = trends["time"].values
        first = {run: times[runs == run].min() for run in np.unique(runs)}
        number = [(run, (time - first[run]) // every) for run, time in zip(runs.tolist(), times, strict=True)]
        begins = np.array([n for n in range(len(number)) if n == 0 or number[n] != number[n - 1]])
        covered = np.repeat(_covered(stored, runs, times), trends.sizes["reductor"], axis=1)
        known = np.isfinite(values) & (np.isfinite(covered) | ~is_count)
        weights = known / np.where((errors > 0) & ~is_count, errors, 1.0) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            total = np.add.reduceat(np.where(is_count, known * np.nan_to_num(covered), weights), begins)
            mean = np.add.reduceat(np.nan_to_num(values) * weights, begins) / total
            error = np.sqrt(np.add.reduceat(weights**2 * np.nan_to_num(errors) ** 2, begins)) / total
            error = np.where(is_count, error / mean, error)
            mean = np.where(is_count, np.where(mean > 0, np.log(mean), np.nan), mean)
        ends = times[np.append(begins[1:], len(times)) - 1]
        return cls(columns, mean, error, runs[begins], ends)

    def rows(self, chosen: NDArray[np.bool_]) -> "_TrendTable":
        """Chosen intervals only."""
        return _TrendTable(
            self.columns, self.values[chosen], self.errors[chosen], self.runs[chosen], self.times[chosen]
        )


def _covered(trends: xr.Dataset, runs: NDArray[np.int64], times: NDArray[np.datetime64]) -> Floats:
    """Time since the previous report [s], ``(row, histogram)``; NaN where there is no report, or no previous one."""
    dim = str(trends["value"].dims[0])
    shape = xr.zeros_like(trends["value"].isel(reductor=0, drop=True))
    reported = (trends["reported"] if "reported" in trends.coords else shape == 0).broadcast_like(shape)
    has_report = np.asarray(reported.transpose(dim, "histogram").values, dtype=bool)
    covered = np.full(has_report.shape, np.nan)
    for column in range(has_report.shape[1]):
        rows = np.flatnonzero(has_report[:, column])
        same_run = runs[rows[1:]] == runs[rows[:-1]]
        covered[rows[1:][same_run], column] = (np.diff(times[rows]) / np.timedelta64(1, "s"))[same_run]
    return covered


@dataclass(frozen=True, eq=False)
class _TypicalTrends:
    """Median and spread of each trend in good intervals, and the pulls of these; only columns ``used`` count."""

    is_count: NDArray[np.bool_]
    level: Floats
    spread: Floats
    used: NDArray[np.bool_]
    past: Floats

    @classmethod
    def from_table(cls, table: _TrendTable) -> "_TypicalTrends":
        is_count = np.array([reductor in _COUNTS for _, reductor in table.columns])
        with warnings.catch_warnings(action="ignore"):  # columns without a value
            level = np.nanmedian(table.values, axis=0)
            centred = cls(is_count, level, np.ones_like(level), np.isfinite(level), table.values[:0])
            off = centred._off(table.values)
            centre = np.nanmedian(off, axis=0)
            spread = mad_sigma(off, centre)
        used = np.isfinite(table.values).mean(axis=0) >= _KNOWN
        typical = cls(is_count, level + centre, spread, used, table.values[:0])
        return replace(typical, past=typical.pulls(table))

    def pulls(self, table: _TrendTable) -> Floats:
        """(value - median) / sigma, the larger of the typical spread and the error of the value; NaN where missing."""
        sigma = np.fmax(self.spread, np.nan_to_num(table.errors))
        off = self._off(table.values)
        with np.errstate(divide="ignore", invalid="ignore"):
            pulls = np.where(sigma > 0, off / sigma, np.where(off == 0, 0.0, np.sign(off) * _CLIP))
        return np.where(self.used, np.clip(pulls, -_CLIP, _CLIP), np.nan)

    def _off(self, values: Floats) -> Floats:
        """Difference from the median; of entries without the change that all histograms share, as of a decaying beam.

        That is the median of the logarithms, so that a hot channel in one histogram is not a loss in all others.
        """
        off = values - self.level
        if self.is_count.any():
            with warnings.catch_warnings(action="ignore"):  # rows without a value
                off[:, self.is_count] -= np.nanmedian(off[:, self.is_count], axis=1)[:, None]
        return off
