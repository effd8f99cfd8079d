"""Intervals of one quality: adjacent equal flags are one, time without a flag is unknown, the worst of several wins.

These are the rules of ALICE O2: nothing depends on the order in which flags arrive, and what nobody judged is not good.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from owtrend.quality.flag import Quality
from owtrend.quality.rules.flags import Judged
from owtrend.quality.rules.rule import QUALITIES
from owtrend.store.reader import Reader, SubsystemReader

__all__ = ["COLUMNS", "Intervals", "flag_table", "intervals", "joined"]

COLUMNS = ("subsystem", "run", "start", "stop", "histogram", "rule", "quality", "reports", "why")
_UNKNOWN = np.int8(QUALITIES.index(Quality.UNKNOWN))
_NO_REPORT = "no report"
Times = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Intervals:
    """Disjoint intervals ``(start, stop]`` [ns UTC], run by run in order of time.

    Parameters
    ----------
    quality
        Number in `QUALITIES`.
    first
        The flag that it begins with, by its place; -1 where there is none.
    flags
        How many there are.
    """

    run: Times
    start: Times
    stop: Times
    quality: NDArray[np.int8]
    first: NDArray[np.intp]
    flags: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.run)


def joined(run: Times, start: Times, stop: Times, quality: NDArray[np.int8], cover: Times) -> Intervals:
    """Flags in any order as intervals.

    Parameters
    ----------
    run, start, stop, quality
        Of each flag.
    cover
        Run, start and stop of the time that should have flags, ``(n, 3)``.
    """
    order = np.lexsort((stop, start, run))
    run, start, stop, quality = run[order], start[order], stop[order], quality[order]
    overlapping = (run[1:] == run[:-1]) & (start[1:] < stop[:-1])
    if overlapping.any():
        run, start, stop, which = _worst(run, start, stop, quality)
        order, quality = order[which], quality[which]
    gaps = _gaps(run, start, stop, cover)
    run, start, stop = (np.concatenate([of, gap]) for of, gap in zip((run, start, stop), gaps.T, strict=True))
    quality = np.concatenate([quality, np.full(len(gaps), _UNKNOWN)])
    first = np.concatenate([order, np.full(len(gaps), -1)])
    order = np.lexsort((start, run))
    run, start, stop = run[order], start[order], stop[order]
    quality, first = quality[order], first[order]
    begins = np.ones(len(run), dtype=bool)
    begins[1:] = (run[1:] != run[:-1]) | (start[1:] != stop[:-1]) | (quality[1:] != quality[:-1])
    at = np.flatnonzero(begins)
    ends = np.append(at[1:], len(run))
    flags = np.add.reduceat(first >= 0, at, dtype=np.int64) if len(at) else np.empty(0, dtype=np.int64)
    return Intervals(run[at], start[at], stop[ends - 1], quality[at], first[at], flags)


def _worst(
    run: Times, start: Times, stop: Times, quality: NDArray[np.int8]
) -> tuple[Times, Times, Times, NDArray[np.intp]]:
    """Overlapping flags, ordered by run, as disjoint pieces, each with its worst flag; of equal ones the earliest."""
    found: list[tuple[int, int, int, int]] = []
    for number in np.unique(run):
        own = np.flatnonzero(run == number)
        ends = np.unique(np.concatenate([start[own], stop[own]]))
        flag = np.full(len(ends) - 1, -1)
        low, high = np.searchsorted(ends, start[own]), np.searchsorted(ends, stop[own])
        for one in np.lexsort((-stop[own], -start[own], quality[own])).tolist():
            flag[low[one] : high[one]] = one
        for piece in np.flatnonzero(flag >= 0).tolist():
            found.append((int(number), int(ends[piece]), int(ends[piece + 1]), int(own[flag[piece]])))
    runs, starts, stops, which = np.array(found, dtype=np.int64).reshape(-1, 4).T
    new = np.ones(len(which), dtype=bool)  # pieces of one flag that follow each other are one
    new[1:] = (which[1:] != which[:-1]) | (starts[1:] != stops[:-1])
    at = np.flatnonzero(new)
    return runs[at], starts[at], stops[np.append(at[1:], len(new)) - 1], which[at].astype(np.intp)


def _gaps(run: Times, start: Times, stop: Times, cover: Times) -> Times:
    """Run, start and stop of the time in ``cover`` that disjoint flags, ordered by run and time, leave out."""
    found: list[NDArray[np.int64]] = []
    for number, begin, end in cover.tolist():
        own = slice(*np.searchsorted(run, (number, number + 1)).tolist())
        starts = np.minimum(np.append(start[own], end), end)
        stops = np.maximum(np.concatenate([[begin], stop[own]]), begin)
        open_ = np.flatnonzero(stops < starts)
        found.append(np.stack([np.full(len(open_), number), stops[open_], starts[open_]], axis=1))
    return np.concatenate(found) if found else np.empty((0, 3), dtype=np.int64)


def intervals(view: SubsystemReader, one: Judged, runs: Sequence[int]) -> Intervals:
    """The reports of a histogram by a rule as intervals.

    Time without a report is unknown in runs that hold the histogram, and in all ``runs`` if the rule names just it.
    """
    held = set(runs) if one.rule.histogram == one.histogram else _runs_with(view, one.histogram)
    per_run = view.per_run
    cover = [
        (run, int(per_run["start"][view.run_indices[run]]), int(per_run["stop"][view.run_indices[run]]))
        for run in runs if run in held
    ]  # fmt: skip
    of_runs = np.array(cover, dtype=np.int64).reshape(-1, 3)
    return joined(one.run, one.start, one.stop, one.quality, of_runs)


def _runs_with(view: SubsystemReader, histogram: str) -> set[int]:
    entry = view.registry.find(histogram, view.where)
    holds = np.any(view.holds[:, [number for number, _ in entry.segments]], axis=1)
    having = np.any(view.layouts_of_runs[:, np.flatnonzero(holds)], axis=1).tolist()
    return {run for run, run_index in view.run_indices.items() if having[run_index]}


def flag_table(reader: Reader, judged: Iterable[Judged], runs: Sequence[int] | None) -> pd.DataFrame:
    """Intervals as `owtrend.Archive.flags` returns them, of ``runs`` or all."""
    pieces: list[pd.DataFrame] = []
    for one in judged:
        view = reader.subsystem(one.rule.subsystem)
        of = [run for run in (view.run_indices if runs is None else sorted(set(runs))) if run in view.run_indices]
        found = intervals(view, one, of)
        order = np.lexsort((found.run, found.start))
        first = found.first[order].tolist()
        pieces.append(
            pd.DataFrame(
                {
                    "subsystem": one.rule.subsystem,
                    "run": found.run[order],
                    "start": found.start[order].view("datetime64[ns]"),
                    "stop": found.stop[order].view("datetime64[ns]"),
                    "histogram": one.histogram,
                    "rule": one.rule.name,
                    "quality": [str(QUALITIES[number]) for number in found.quality[order].tolist()],
                    "reports": found.flags[order],
                    "why": [one.why(number) if number >= 0 else _NO_REPORT for number in first],
                }
            )
        )
    if pieces:
        return pd.concat(pieces, ignore_index=True)
    empty = pd.DataFrame(columns=[*COLUMNS])
    return empty.astype({"run": np.int64, "start": "datetime64[ns]", "stop": "datetime64[ns]", "reports": np.int64})
