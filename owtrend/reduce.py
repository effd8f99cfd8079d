"""Increments -> trends, by reductors: histogram to number, each with its statistical error.

A reductor works on the increments of the statistics that ROOT keeps at fill time (``fEntries``, ``fTsumw``, ...), so
that its values equal ROOT's own (``GetMean``, ``GetStdDev``). Where ROOT did not keep them (``fTsumw`` zero in spite of
entries, as after ``SetBinContent``) they are made from the bins in range, as ``TH1::GetStats`` does.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend import reading
from owtrend.arrays import NO_TIME
from owtrend.catalog import COUNTS, SUMS, WEIGHTS, HistogramEntry, Segment
from owtrend.kernels import difference as kernels
from owtrend.kernels.reduce import BIN_SUMS, bin_sums
from owtrend.reader import SubsystemReader
from owtrend.reading import RunHistogram
from owtrend.snapshot import unfold

__all__ = ["REDUCTORS", "TrendArrays", "applicable", "run_trends"]

Stats = Mapping[str, NDArray[np.float64]]
Estimate = tuple[NDArray[np.float64], NDArray[np.float64]]
TrendArrays = dict[str, NDArray[Any]]


def entries(stats: Stats) -> Estimate:
    """Fills N, under- and overflow included (``GetEntries``), with the Poisson error sqrt(N)."""
    return stats["entries"], np.sqrt(np.abs(stats["entries"]))


def mean(stats: Stats, axis: str) -> Estimate:
    """sum(w x) / sum(w) in range (``TH1::GetMean``); error std / sqrt(n_eff) (``GetMeanError``); NaN without fills."""
    spread = np.sqrt(_variance(stats, axis))
    with np.errstate(divide="ignore", invalid="ignore"):
        return stats[f"tsumw{axis}"] / stats["tsumw"], spread / np.sqrt(_effective_entries(stats))


def std(stats: Stats, axis: str) -> Estimate:
    """Square root of sum(w x**2) / sum(w) - mean**2, at least 0 (``TH1::GetStdDev``); error std / sqrt(2 n_eff)."""
    spread = np.sqrt(_variance(stats, axis))
    with np.errstate(divide="ignore", invalid="ignore"):
        return spread, spread / np.sqrt(2 * _effective_entries(stats))


def _variance(stats: Stats, axis: str) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        average = stats[f"tsumw{axis}"] / stats["tsumw"]
        return np.maximum(stats[f"tsumw{axis}2"] / stats["tsumw"] - average**2, 0)


def _effective_entries(stats: Stats) -> NDArray[np.float64]:
    """sum(w)**2 / sum(w**2) (``TH1::GetEffectiveEntries``)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return stats["tsumw"] ** 2 / stats["tsumw2"]


# By the names that people type. Of a profile, the axis after the last binned one is the profiled quantity.
REDUCTORS: dict[str, Callable[[Stats], Estimate]] = {
    "entries": entries,
    **{f"mean_{axis}": partial(mean, axis=axis) for axis in "xyz"},
    **{f"std_{axis}": partial(std, axis=axis) for axis in "xyz"},
}


def applicable(segment: Segment) -> list[str]:
    """The reductors that have a meaning for a histogram: those of its axes, and of a profile's quantity."""
    letters = "xyz"[: len(segment.axes) + segment.class_name.startswith("TProfile")]
    return [name for name in REDUCTORS if "_" not in name or name[-1] in letters]


def run_trends(view: SubsystemReader, run: int, histograms: Sequence[HistogramEntry]) -> TrendArrays:
    """All reductors of the increments of some histograms in one run.

    Returns
    -------
    :
        ``value``, ``error`` (time, histogram, reductor), NaN where nothing was gained or the reductor has no meaning;
        ``begin`` (time, histogram) int64 ns UTC, where the increment begins, NaT: since the run began;
        ``reported`` (time, histogram), whether the bins changed; ``run_value``, ``run_error`` (histogram, reductor) of
        the whole run. Time is the run's snapshots; a row without the histogram has ``reported`` false.
    """
    place = view.place(run)
    shape = len(view.times(place)), len(histograms)
    out: TrendArrays = {
        "value": np.full((*shape, len(REDUCTORS)), np.nan),
        "error": np.full((*shape, len(REDUCTORS)), np.nan),
        "begin": np.full(shape, NO_TIME),
        "reported": np.zeros(shape, dtype=bool),
        "run_value": np.full((shape[1], len(REDUCTORS)), np.nan),
        "run_error": np.full((shape[1], len(REDUCTORS)), np.nan),
    }
    prefetched = _Prefetched(view, place, histograms)
    for column, entry in enumerate(histograms):
        before: RunHistogram | None = None
        totals: dict[str, NDArray[Any]] = {}
        for one in reading.binnings(view, run, entry, prefetched.cells):
            previous = kernels.previous_rows(_entries(one), one.additive)
            reported, stats = increment_stats(one, previous)
            out["begin"][one.rows[1:], column] = one.times[:-1].view("int64")
            out["reported"][one.rows, column] = reported
            if before is not None and _continues(before, one):  # rebinned: the statistics go on, whatever the bins
                last = dict(zip(before.sum_names, before.sums()[-1], strict=True))
                for name, gained in stats.items():
                    gained[0] -= last[name]
                out["begin"][one.rows[0], column] = before.times[-1].view("int64")
            before = one
            for name, gained in stats.items():
                if one.segment.gauge:
                    totals[name] = gained[-1:]
                else:
                    totals[name] = gained.sum(keepdims=True) + totals.get(name, 0.0)
            names = applicable(one.segment)
            for number, (name, reductor) in enumerate(REDUCTORS.items()):
                if name in names:
                    out["value"][one.rows, column, number], out["error"][one.rows, column, number] = reductor(stats)
                    out["run_value"][column, number], out["run_error"][column, number] = (
                        part.item() for part in reductor(totals)
                    )
    return out


def _continues(before: RunHistogram, after: RunHistogram) -> bool:
    """Whether a histogram went on counting in another binning, as ROOT does when it extends an axis."""
    same = before.segment.class_name == after.segment.class_name and before.sum_names == after.sum_names
    in_turn = before.additive and after.additive and before.rows[-1] < after.rows[0]
    return bool(same and in_turn and _entries(after)[0] >= _entries(before)[-1])


def increment_stats(
    one: RunHistogram, previous: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], dict[str, NDArray[Any]]]:
    """Whether each row changed, and the increments of its statistics by ROOT's names, each of shape ``(row,)``."""
    profile = one.segment.class_name.startswith("TProfile")
    kept = one.sums()
    stats = dict(zip(one.sum_names, kernels.gain(kept, previous).T, strict=True))
    cells = one.native("bin_entries" if profile else "contents")
    centres = [(axis.edges[1:] + axis.edges[:-1]) / 2 for axis in one.axes]
    centres += [np.empty(0)] * (3 - len(centres))
    changed, from_bins = bin_sums(cells, previous, *centres)
    if one.segment.gauge:  # its rows are not differenced, but a report is still a row that is not like the one before
        changed, _ = bin_sums(cells, np.arange(len(cells)) - 1, *centres)
    else:
        changed |= np.any([gained != 0 for gained in stats.values()], axis=0)
    by_name: dict[str, NDArray[np.float64]] = dict(zip(one.sum_names, kept.T, strict=True))
    not_kept: NDArray[np.bool_] = np.logical_and(by_name["tsumw"] == 0, by_name["entries"] > 0)
    lost = not_kept | (not_kept[previous] & (previous >= 0)) | ((stats["tsumw"] == 0) & (stats["entries"] > 0))
    if lost.any():
        made = dict(zip(BIN_SUMS, from_bins.T, strict=True))
        if profile:
            letter = "xyz"[len(one.axes)] if len(one.axes) < 3 else "t"
            made[f"tsumw{letter}"] = _in_range(one, "sumwy", previous)
            made[f"tsumw{letter}2"] = _in_range(one, "sumwy2", previous)
        weights = {"contents": "sumw2", "bin_entries": "bin_sumw2"}["bin_entries" if profile else "contents"]
        if weights in one.parts:
            made["tsumw2"] = _in_range(one, weights, previous)
        for name in made.keys() & stats.keys():
            stats[name] = np.where(lost, made[name], stats[name])
    return changed, stats


def _in_range(one: RunHistogram, part: str, previous: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum over the bins in range of the increments of a part, shape ``(row,)``."""
    gained = kernels.gain(one.read(part).astype(np.float64), previous)
    inner = unfold(gained, tuple(len(axis) + 2 for axis in one.axes), flow=False)
    return inner.reshape(len(inner), -1).sum(axis=1)


def _entries(one: RunHistogram) -> NDArray[np.float64]:
    return np.ascontiguousarray(one.sums()[:, one.sum_names.index("entries")])


class _Prefetched:
    """The cells of some histograms of one run, read in a few large strokes."""

    def __init__(self, view: SubsystemReader, place: int, histograms: Sequence[HistogramEntry]) -> None:
        self._held: dict[str, tuple[int, NDArray[Any]]] = {}
        used: NDArray[np.bool_] = np.any(view.holds[np.unique(view.layout(place))], axis=0)
        segments = [segment for entry in histograms for number, segment in entry.segments if used[number]]
        rows = np.arange(len(view.times(place)))
        for array in (COUNTS, WEIGHTS, SUMS):
            mine = [segment.cells for segment in segments if segment.array == array]
            if mine:
                first, last = min(s.start for s in mine), max(s.stop for s in mine)
                self._held[array] = first, view.cells(array, place, rows, slice(first, last))

    def cells(self, array: str, place: int, rows: NDArray[np.intp], cells: slice) -> NDArray[Any]:
        first, block = self._held[array]
        wanted = block[:, cells.start - first : cells.stop - first]
        return wanted if np.array_equal(rows, np.arange(len(wanted))) else wanted[rows]
