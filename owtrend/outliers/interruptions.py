"""What went wrong with the sending itself, which is no matter of chance: restarts, gaps, silence, what is gone."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from owtrend.histograms import run_histogram
from owtrend.kernels.cells.difference import gaps
from owtrend.kernels.two_sample.report import log_upper
from owtrend.model.finding import Finding
from owtrend.outliers.components import learn
from owtrend.outliers.histogram_scores import in_ns, median_wait
from owtrend.store.reader import SubsystemReader
from owtrend.trends.run_trends import HELD, REPORTED, RESTART

__all__ = ["INTERRUPTIONS", "interruptions"]

INTERRUPTIONS = ("restart", "gap", "absent", "silent", "binning", "after_end")
_SILENT = 3  # usual waits between reports, after which somebody should look
_LUCK = -6.0  # log of the chance of such silence while a run goes on
_BLUR = 0.4  # of the spacing of snapshots: what they blur of a wait
_MOST = 0.5  # share of the histograms from which on it is told of the whole subsystem

Found = tuple[str, NDArray[np.intp], int, int, str]  # score, histograms, (start, stop] in ns, words after the names


def interruptions(view: SubsystemReader, subsystem: str, run: int) -> list[Finding]:
    """Flags of one run, from what its rows hold and which histograms changed in them; their z is infinite.

    Needs the stored trends of the run, which tell what reported.
    """
    run_index = view.run_index(run)
    times = view.times(run_index).astype("datetime64[ns]")
    names = [entry.name for entry in view.registry.histograms.values()]
    state = view.trend_block("state", run_index, slice(0, len(times)), slice(0, len(names)))
    wait = in_ns(median_wait(times, state & REPORTED > 0))
    ends = times.view("int64").tolist()
    begins = [ends[0] - wait, *ends[:-1]]
    held = int((state & HELD > 0).any(axis=0).sum())
    found: list[Found] = [
        *_restarts(state, begins, ends), *_gaps(times, begins, ends, wait), *_absences(state, begins, ends),
        *_silences(state, ends, wait), *_binnings(view, run, begins, ends),
        *_after_end(view, run_index, state, ends, wait),
    ]  # fmt: skip
    flags = []
    for score, which, start, stop, words in found:
        every = len(which) == 0 or len(which) > _MOST * held
        who = f"all {len(which)} histograms" if every else _listed([names[number] for number in which])
        flags.append(
            Finding(
                subsystem=subsystem,
                run=run,
                histograms=() if every else tuple(names[number] for number in which),
                start=start,
                stop=stop,
                score=score,
                z=np.inf,
                why=f"{who} {words}" if len(which) else words,
                report=wait,
            )
        )
    return flags


def _restarts(state: NDArray[np.uint8], begins: list[int], ends: list[int]) -> Iterator[Found]:
    again = state & RESTART > 0
    for row in np.flatnonzero(again.any(axis=1)).tolist():
        yield "restart", np.flatnonzero(again[row]), begins[row], ends[row], "began to count from zero again"


def _gaps(times: NDArray[np.datetime64], begins: list[int], ends: list[int], wait: int) -> Iterator[Found]:
    usual = np.median(np.diff(times.view("int64"))) if len(times) > 1 else 0
    for row in np.flatnonzero(gaps(times)).tolist():
        missed = round((ends[row] - begins[row]) / usual) - 1
        words = (
            f"{missed} snapshot{'s are' if missed != 1 else ' is'} missing: none in {_minutes(ends[row] - begins[row])}"
        )
        yield "gap", np.empty(0, dtype=np.intp), begins[row], ends[row], words


def _absences(state: NDArray[np.uint8], begins: list[int], ends: list[int]) -> Iterator[Found]:
    """Histograms that were there before and are not there now; together where they are for the same rows."""
    there = state & HELD > 0
    gone = np.logical_or.accumulate(there, axis=0) & ~there
    for first, last, which in _stretches(gone):
        words = "not there" if last == len(ends) - 1 else "not there for a while"
        yield "absent", which, begins[first], ends[last], f"{'is' if len(which) == 1 else 'are'} {words}"


def _silences(state: NDArray[np.uint8], ends: list[int], wait: int) -> Iterator[Found]:
    """Components that waited for three times as long as usual, up to their next report."""
    reported = state & REPORTED > 0
    components = learn(reported)
    for number in range(components.count):
        members = components.members(number)
        rows = np.flatnonzero(reported[:, members].any(axis=1)).tolist()
        for begin, row in zip(rows, [*rows[1:], len(ends) - 1], strict=True):
            if ends[row] - ends[begin] > _SILENT * wait:
                words = f"did not change for {_minutes(ends[row] - ends[begin])}, usually for {_minutes(wait)}"
                yield "silent", members, ends[begin], ends[row], words


def _binnings(view: SubsystemReader, run: int, begins: list[int], ends: list[int]) -> Iterator[Found]:
    for number, entry in enumerate(view.registry.histograms.values()):
        if len(entry.segments) < 2:
            continue
        pieces = run_histogram.by_binning(view, run, entry)
        for before, one in pairwise(pieces):
            bins = " x ".join(str(len(axis)) for axis in one.axes), " x ".join(str(len(axis)) for axis in before.axes)
            row = int(one.rows[0])
            words = f"was binned anew: {bins[0]} bins, {bins[1]} before"
            yield "binning", np.array([number], dtype=np.intp), begins[row], ends[row], words


def _after_end(
    view: SubsystemReader, run_index: int, state: NDArray[np.uint8], ends: list[int], wait: int
) -> Iterator[Found]:
    """Snapshots after the last report of a run, where that many without any are no chance.

    A component that reported a while ago is due: waits are taken as normal, with the spread that they had before.
    """
    late = view.rows(run_index).time[len(ends) :].tolist()
    reported = state & REPORTED > 0
    if not late or not reported.any():
        return
    components = learn(reported)
    at = np.array(ends)
    held = [at[reported[:, components.members(number)].any(axis=1)] for number in range(components.count)]
    waits = np.concatenate([np.diff(times) for times in held])
    spacing = float(np.median(np.diff(at))) if len(at) > 1 else float(wait)
    spread = max(_spread(waits), _BLUR * spacing) if len(waits) else float(wait)
    age = np.array([ends[-1] - times[-1] for times in held])
    more = late[-1] - ends[-1]
    log_p = sum(log_upper((a + more - wait) / spread) - log_upper((a - wait) / spread) for a in age.tolist())
    if log_p < _LUCK:
        words = f"{len(late)} snapshot{'s' * (len(late) > 1)} came after the end of the run, with nothing new"
        yield "after_end", np.empty(0, dtype=np.intp), ends[-1], late[-1], words


def _spread(waits: NDArray[np.int64]) -> float:
    """Standard deviation without those far off, where snapshots were missing."""
    off = np.abs(waits - np.median(waits))
    return float(waits[off <= 5 * max(float(np.median(off)), 1.0)].std())


def _stretches(bad: NDArray[np.bool_]) -> Iterator[tuple[int, int, NDArray[np.intp]]]:
    """First and last row of what is true without a break, and of which columns; those alike together."""
    found: dict[tuple[int, int], list[int]] = {}
    for column in np.flatnonzero(bad.any(axis=0)).tolist():
        edges = np.diff(np.concatenate([[False], bad[:, column], [False]]).astype(np.int8))
        for first, behind in zip(
            np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True
        ):
            found.setdefault((first, behind - 1), []).append(column)
    for (first, last), columns in sorted(found.items()):
        yield first, last, np.array(columns, dtype=np.intp)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _minutes(ns: float) -> str:
    return f"{ns / 60e9:.1f} min"
