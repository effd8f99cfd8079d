"""Rows of many trends at once that are unlike those of good runs: an isolation forest, its chance, and which trends."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from owtrend.errors import DimsError, UsageError
from owtrend.kernels.shapes.pareto_tail import chances
from owtrend.learned.shape_models import scikit_learn
from owtrend.model.wording import run_names

__all__ = ["REDUCTORS", "unusual"]

Floats = NDArray[np.float64]
REDUCTORS = ("entries", "mean_x", "std_x", "skewness_x", "mean_y", "std_y", "mean_z", "std_z")
TOLD = 0.05  # chance below which it is said why
_FEWEST = 10  # good rows
_KNOWN = 0.5  # share of the good rows in which a trend must have a value
_CLIP = 30.0  # standard deviations: farther is as far
_TREES = 100
_WHY, _FAR = 3, 5.0  # trends that are named; beyond which they are counted
_COUNTED = ("entries", "integral")


def unusual(good: xr.Dataset, judged: xr.Dataset, every: Any = "10min", *, seed: int = 0) -> xr.Dataset:
    """How unlike good runs each interval of a run is, in all trends together.

    Parameters
    ----------
    good, judged
        As `Archive.trends` gives them, with the rows of at least two good runs (``snapshot``) and of those in question,
        of the same histograms and reductors. Trends that fewer than half of the good intervals have are left out.
    every
        Length of the intervals. Components report at different times, every few minutes: an interval should hold two
        reports. Its value is the mean of theirs by 1 / error**2.
    seed
        Of the forest.

    Returns
    -------
    :
        Over ``time``, the end of each interval, with coord ``run``:

        - ``score``: 0 to 1, about 0.5 where nothing stands out (Liu, Ting, Zhou, Isolation Forest, ICDM 2008, eq. 2).
        - ``p_value``: the chance that a good interval scores as high, by those of each good run beside the other good
          runs; ``p_low``, ``p_high``: its 90 % interval. See `owtrend.kernels.shapes.pareto_tail.chances`.
        - ``pull`` over ``(time, histogram, reductor)``: (value - median) / sigma beside good intervals, sigma
          the larger of 1.4826 MAD and the error; NaN where missing. Of entries the logarithm of the rate, less the
          median of all histograms, so that a beam that decays raises nothing.
        - ``blame``: by how much the score falls if that trend has its median; only where ``p_value`` < 0.05, else NaN.
        - ``why``: in words the trends to blame, where ``p_value`` < 0.05; else empty.

        Intervals in which no trend has a value have NaN.

    Raises
    ------
    DimsError
        If they are no trends, or not of the same histograms and reductors.
    UsageError
        If there are fewer than 10 good intervals, or they are of a single run.
    """
    length = np.timedelta64(pd.Timedelta(every).value, "ns")
    past, its = _Table.of(good, length), _Table.of(judged, length)
    if past.columns != its.columns:
        raise DimsError("good and judged: expected trends of the same histograms and reductors; ask for both by name")
    past = past.rows(np.asarray(np.isfinite(past.values).any(axis=1)))
    runs = tuple(sorted(set(past.runs.tolist())))
    if len(past.runs) < _FEWEST or len(runs) < 2:
        raise UsageError(
            f"{len(past.runs)} intervals of good runs, {run_names(runs)}: at least {_FEWEST} of two runs are needed; "
            "give more runs, or shorter intervals"
        )
    known = []
    for run in runs:
        mine = past.runs == run
        others = _Usual.of(past.rows(~mine))
        known.append(_forest(others, others.pulls(past.rows(mine)), seed)[0])
    held_out = np.concatenate(known)
    usual = _Usual.of(past)
    pulls = usual.pulls(its)
    score, blame = _forest(usual, pulls, seed, held_out)
    p, low, high = chances(held_out, score)
    beside = f"beside {len(past.runs)} intervals of {run_names(runs)}"
    words = [
        _why(its.columns, pulls[n], blame[n], f"{beside}; p = {p[n]:.2g}") if p[n] < TOLD else "" for n in range(len(p))
    ]
    shape = (len(p), judged.sizes["histogram"], judged.sizes["reductor"])
    dims = ("time", "histogram", "reductor")
    made = {
        "score": ("time", score), "p_value": ("time", p), "p_low": ("time", low), "p_high": ("time", high),
        "why": ("time", np.array(words, dtype=object)), "pull": (dims, pulls.reshape(shape)),
        "blame": (dims, blame.reshape(shape)),
    }  # fmt: skip
    coords = {
        "time": its.times, "run": ("time", its.runs), "histogram": judged["histogram"].values,
        "reductor": judged["reductor"].values,
    }  # fmt: skip
    return xr.Dataset(made, coords=coords, attrs={"runs": runs, "intervals": len(past.runs)})


def _forest(usual: "_Usual", pulls: Floats, seed: int, held_out: Floats | None = None) -> tuple[Floats, Floats]:
    """Score of each row in a forest of good ones, and what each trend did to it where the chance is small."""
    with scikit_learn():
        from sklearn.ensemble import IsolationForest
    good = _ordered(usual.past[:, usual.used])
    grown = np.concatenate([good, _outside(good, seed)])
    forest = IsolationForest(n_estimators=_TREES, max_samples=len(grown), random_state=seed).fit(grown)
    mine = pulls[:, usual.used]
    score = -forest.score_samples(_ordered(mine))
    score[~np.isfinite(mine).any(axis=1)] = np.nan
    blame, columns = np.full(pulls.shape, np.nan), np.flatnonzero(usual.used)
    if held_out is not None:
        for row in np.flatnonzero(chances(held_out, score)[0] < TOLD):
            without = np.repeat(mine[row][None], len(columns), axis=0)
            np.fill_diagonal(without, 0.0)
            blame[row, columns] = score[row] + forest.score_samples(_ordered(without))
    return score, blame


def _outside(good: Floats, seed: int) -> Floats:
    """Good rows, a fifth as many, with the largest one or more pulls raised to some size up to the largest there is.

    A forest cuts only where it has seen something: what is far from all good rows would fall where the outermost of
    them does (Desir, Bernard, Petitjean, Heutte, Pattern Recognition 46 (2013) 3490, who draw such outliers too).
    """
    rng = np.random.default_rng(seed)
    number, ranks = max(8, len(good) // 5), good.shape[1]
    made = good[rng.integers(len(good), size=number)]
    level = np.exp(rng.uniform(np.log(np.median(good[:, 0])), np.log(_CLIP), number))
    raised = np.arange(ranks) < rng.integers(1, ranks + 1, number)[:, None]
    return np.where(raised, np.maximum(made, level[:, None]), made)


def _ordered(pulls: Floats) -> Floats:
    """The largest |pull| of each row, the second, the fourth, the eighth, ...; missing ones are 0.

    A tree looks at a few columns by chance: of 400 trends it hardly ever takes the two that are off. Told in order of
    size, what is off is always in the first columns, however many trends there are and whichever it is.
    """
    size = -np.sort(-np.abs(np.nan_to_num(pulls)), axis=1)
    return size[:, [rank - 1 for rank in 2 ** np.arange(20) if rank <= size.shape[1]]]


def _why(columns: Sequence[tuple[str, str]], pulls: Floats, blame: Floats, beside: str) -> str:
    """The trends to blame most; of those that no one of alone is, as others would be in its place, the largest."""
    told = np.lexsort((-np.abs(np.nan_to_num(pulls)), -np.nan_to_num(blame).round(3)))[:_WHY]
    off = int((np.abs(np.nan_to_num(pulls)) > _FAR).sum())
    words = [f"{reductor} of {histogram} {pulls[n]:+.1f} sigma" for n in told for histogram, reductor in [columns[n]]]
    more = f", and {off - len(words)} more beyond {_FAR:g} sigma" if off > len(words) else ""
    return f"{'; '.join(words)}{more} ({beside})"


@dataclass(frozen=True, eq=False)
class _Table:
    """Trends as ``(interval, column)``, with the end of each interval."""

    columns: list[tuple[str, str]]
    values: Floats
    errors: Floats
    runs: NDArray[np.int64]
    times: NDArray[np.datetime64]

    @classmethod
    def of(cls, trends: xr.Dataset, every: np.timedelta64) -> "_Table":
        """Reports in an interval make one value: the mean by 1 / error**2; of entries the logarithm of their rate."""
        dims = {"histogram", "reductor"}
        if not isinstance(trends, xr.Dataset) or "value" not in trends or not dims <= set(trends["value"].dims):
            raise DimsError("expected trends as archive.trends(...) gives them, over histogram and reductor")
        dim = str(next(one for one in trends["value"].dims if one not in dims))
        held = trends[["value", "error"]].transpose(dim, "histogram", "reductor").load()
        values, errors = (held[name].values.reshape(trends.sizes[dim], -1) for name in ("value", "error"))
        columns = [(str(h), str(r)) for h in trends["histogram"].values for r in trends["reductor"].values]
        counted = np.array([reductor in _COUNTED for _, reductor in columns])
        runs = np.broadcast_to(trends["run"].values, len(values)).astype(np.int64)
        times = trends["time"].values
        first = {run: times[runs == run].min() for run in np.unique(runs)}
        number = [(run, (time - first[run]) // every) for run, time in zip(runs.tolist(), times, strict=True)]
        begins = np.array([n for n in range(len(number)) if n == 0 or number[n] != number[n - 1]])
        covered = np.repeat(_covered(held, runs, times), trends.sizes["reductor"], axis=1)
        known = np.isfinite(values) & (np.isfinite(covered) | ~counted)
        weights = known / np.where((errors > 0) & ~counted, errors, 1.0) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            total = np.add.reduceat(np.where(counted, known * np.nan_to_num(covered), weights), begins)
            mean = np.add.reduceat(np.nan_to_num(values) * weights, begins) / total
            error = np.sqrt(np.add.reduceat(weights**2 * np.nan_to_num(errors) ** 2, begins)) / total
            error = np.where(counted, error / mean, error)
            mean = np.where(counted, np.where(mean > 0, np.log(mean), np.nan), mean)
        ends = times[np.append(begins[1:], len(times)) - 1]
        return cls(columns, mean, error, runs[begins], ends)

    def rows(self, which: NDArray[np.bool_]) -> "_Table":
        return _Table(self.columns, self.values[which], self.errors[which], self.runs[which], self.times[which])


def _covered(trends: xr.Dataset, runs: NDArray[np.int64], times: NDArray[np.datetime64]) -> Floats:
    """Seconds since the report before, ``(row, histogram)``; NaN where nothing was reported, or nothing before it."""
    dim = str(trends["value"].dims[0])
    shape = xr.zeros_like(trends["value"].isel(reductor=0, drop=True))
    reported = (trends["reported"] if "reported" in trends.coords else shape == 0).broadcast_like(shape)
    told = np.asarray(reported.transpose(dim, "histogram").values, dtype=bool)
    made = np.full(told.shape, np.nan)
    for column in range(told.shape[1]):
        rows = np.flatnonzero(told[:, column])
        same = runs[rows[1:]] == runs[rows[:-1]]
        made[rows[1:][same], column] = (np.diff(times[rows]) / np.timedelta64(1, "s"))[same]
    return made


@dataclass(frozen=True, eq=False)
class _Usual:
    """Median and spread of each trend in good rows, and their pulls; columns ``used`` only are looked at."""

    counted: NDArray[np.bool_]
    level: Floats
    spread: Floats
    used: NDArray[np.bool_]
    past: Floats

    @classmethod
    def of(cls, table: _Table) -> "_Usual":
        counted = np.array([reductor in _COUNTED for _, reductor in table.columns])
        with warnings.catch_warnings(action="ignore"):  # columns without a value
            level = np.nanmedian(table.values, axis=0)
            usual = cls(counted, level, np.ones_like(level), np.isfinite(level), table.values[:0])
            off = usual._off(table.values)
            centre = np.nanmedian(off, axis=0)
            spread = 1.4826 * np.nanmedian(np.abs(off - centre), axis=0)
        used = np.isfinite(table.values).mean(axis=0) >= _KNOWN
        made = cls(counted, level + centre, spread, used, table.values[:0])
        return cls(counted, level + centre, spread, used, made.pulls(table))

    def pulls(self, table: _Table) -> Floats:
        """(value - median) / sigma, the larger of the usual spread and the error of the value; NaN where missing."""
        sigma = np.fmax(self.spread, np.nan_to_num(table.errors))
        off = self._off(table.values)
        with np.errstate(divide="ignore", invalid="ignore"):
            made = np.where(sigma > 0, off / sigma, np.where(off == 0, 0.0, np.sign(off) * _CLIP))
        return np.where(self.used, np.clip(made, -_CLIP, _CLIP), np.nan)

    def _off(self, values: Floats) -> Floats:
        """From the median; of entries without what all histograms have in common, so that a decaying beam is no news.

        That is the median of the logarithms: a hot channel in one histogram is not a loss in all others.
        """
        off = values - self.level
        if self.counted.any():
            with warnings.catch_warnings(action="ignore"):  # rows without a value
                off[:, self.counted] -= np.nanmedian(off[:, self.counted], axis=1)[:, None]
        return off
