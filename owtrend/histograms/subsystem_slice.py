"""The time slice of all histograms of a subsystem at once, read in a few large strokes."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.display import Display, Displayed, few
from owtrend.errors import NotFoundError
from owtrend.histograms import run_histogram
from owtrend.histograms.run_histogram import RunHistogram
from owtrend.kernels.cells import difference as kernels
from owtrend.model.histogram import DTYPES, Histogram, Path, display_name
from owtrend.model.registry import COUNTS, SUMS, WEIGHTS, Segment, matching
from owtrend.model.rows import State
from owtrend.model.snapshot import Snapshot
from owtrend.model.wording import plural
from owtrend.store.layout import TIME_CHUNK
from owtrend.store.reader import Reader, SubsystemReader
from owtrend.times import parse_time

__all__ = ["Interval", "TimeSlice", "time_slices"]

STROKE_BYTES = 2**27  # of the chunks that are unpacked at once
_FAR = 2**16  # cells between two histograms, from which on they are not read together
_NOT_A_TIME = np.datetime64("NaT", "ns")
_WIDER = {"C": "CSID", "S": "SID", "I": "ID", "L": "LD", "F": "FD", "D": "D"}  # what may hold a slice, by class


@dataclass(frozen=True, slots=True, repr=False)
class Interval(Displayed):
    """Interval of a slice, as from `owtrend.time_slice`: ``(start, stop]`` cut to snapshots, UTC.

    ``start`` is NaT where it counts since the run (or this binning) began. ``reported``: in how many of the
    ``snapshots`` the entries changed. ``steps``: bits of all that happened in them, such as
    ``State.OUT_OF_ORDER``; with ``State.LOST`` the gain of at least one snapshot is not known, and not in it.
    """

    start: np.datetime64
    stop: np.datetime64
    snapshots: int
    restarts: int
    gaps: int
    reported: int
    steps: State = State.HELD

    def _display(self) -> Display:
        start, stop = (_text(time).replace("T", " ") for time in (self.start, self.stop))
        nouns = ("snapshot", "restart", "gap")
        counts = ", ".join([*(plural(getattr(self, f"{noun}s"), noun) for noun in nouns), f"{self.reported} reported"])
        return Display(f"({'the beginning' if np.isnat(self.start) else start}, {stop}] UTC; {counts}")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TimeSlice(Snapshot):
    """Increments of the histograms of a subsystem over one interval: a snapshot of that interval alone.

    Parameters
    ----------
    interval
        The interval by the run's own snapshots; ``restarts`` and ``reported`` count the snapshots in which any
        histogram restarted or changed. ``time`` is its stop.
    intervals
        That of each histogram by its own snapshots: it need not be in all.
    widened
        By path the ROOT class of what did not fit its type any more and has a wider one.
    rebinned
        The paths that are a further binning of a histogram, ``#2`` for the second in time.
    absent
        Histograms of the subsystem that no snapshot of the interval holds.
    """

    interval: Interval
    intervals: Mapping[Path, Interval]
    widened: Mapping[Path, str] = field(default_factory=dict)
    rebinned: tuple[Path, ...] = ()
    absent: tuple[Path, ...] = ()

    def _display(self) -> Display:
        facts = self._histogram_facts()
        changed = {"wider class": self.widened, "further binnings": self.rebinned, "absent": self.absent}
        facts |= {name: few(map(display_name, paths)) for name, paths in changed.items() if paths}
        like = f"archive.reference({self.subsystem!r}, like={self.run})  # earlier runs to compare it with"
        title = f"{self.subsystem}, run {self.run}, {self.interval._display().title}"
        return Display(title, facts, [*self._next("time_slice"), like])


def time_slices(
    reader: Reader, subsystem: str, run: int, start: Any = None, stop: Any = None, *, select: Sequence[str] = ()
) -> TimeSlice:
    """Increments of all histograms of a subsystem over one interval of one run.

    Each is what `owtrend.time_slice` gives, restarts repaired, a gauge its last value. Few rows are read of all
    histograms together. Its class is that of the snapshots, or the next wider one whose type holds every content
    exactly: TH1S of TH1C, TH1I of TH1S, TH1D of TH1I and TH1F. (The gain of a full TH1F or of a weighted one is a
    difference that float32 need not hold.)

    Parameters
    ----------
    start, stop
        As in `owtrend.time_slice`; the slice is ``(start, stop]``. The day of a bare ``"10:30"`` is that of the run.
    select
        Patterns of displayed names, such as ``"*/QA*"``; all, if there are none.

    Returns
    -------
    :
        The histograms by path. One that had several binnings in the interval comes once for each: the second in time
        as ``name#2``. If it first came after the start there is nothing to subtract from it: it is all that its
        snapshots hold, and its interval has no start.

    Raises
    ------
    NotFoundError
        If there is no such subsystem or run, no snapshot in the interval, or a pattern selects nothing.
    """
    view = reader.subsystem(subsystem)
    run_index = view.run_index(run)
    entries = matching(view.registry.histograms.values(), select, view.where)
    times = view.times(run_index)
    begin = times[0] - np.timedelta64(1, "ns") if start is None else parse_time(start, times[0], times[-1])
    end = times[-1] if stop is None else parse_time(stop, times[0], times[-1])
    first, last = _rows(times, begin, end)
    if first > last:
        raise NotFoundError(
            f"{view.where}: no snapshot of run {run} in ({_text(begin)}, {_text(end)}] UTC; "
            f"it has {len(times)} from {_text(times[0])} to {_text(times[-1])}"
        )
    used: NDArray[np.bool_] = np.any(view.holds[np.unique(view.layout(run_index)[first : last + 1])], axis=0)
    strokes = _Strokes(view, run_index)
    held = [entry for entry in entries if any(used[number] for number, _ in entry.segments)]
    everything = [segment for entry in held for _, segment in entry.segments]
    strokes.plan(np.arange(len(times)), [segment for segment in everything if segment.array == SUMS])
    pieces, absent = [], [entry.path for entry in entries if entry not in held]
    for entry in held:
        found = [
            piece
            for one in run_histogram.with_all_steps(
                run_histogram.by_binning(view, run, entry, strokes.cells), entry, stored=True
            )
            if (piece := _Piece.from_interval(one, begin, end)) is not None
        ]
        pieces += [(piece, number) for number, piece in enumerate(found)]
    if not pieces:
        raise NotFoundError(
            f"{view.where}: none of the {len(entries)} histograms asked for is in run {run} between {_text(begin)} and "
            f"{_text(end)} UTC"
        )
    cells = [s for piece, _ in pieces for part in piece.one.pieces.values() for s, _ in part if s.array != SUMS]
    strokes.plan(np.unique(np.concatenate([piece.one.rows[piece.rows] for piece, _ in pieces])), cells)

    histograms: dict[Path, Histogram] = {}
    intervals, widened, rebinned = {}, {}, []
    taken = set(view.registry.histograms)
    for piece, number in pieces:
        path = piece.one.segment.path
        if number:
            path = _further(path, number + 1, taken)
            taken.add(path)
            rebinned.append(path)
        histograms[path] = made = piece.histogram(path)
        intervals[path] = piece.interval
        if made.class_name != piece.one.segment.class_name:
            widened[path] = piece.one.segment.class_name
    return TimeSlice(
        histograms=histograms, subsystem=subsystem, run=run, time=times[last],
        mode=str(view.per_run["mode"][run_index]) or None, source=f"time slice of {view.where}, run {run}",
        interval=_whole(pieces, times, first, last), intervals=intervals, widened=widened, rebinned=tuple(rebinned),
        absent=tuple(absent),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Piece:
    """One binning of one histogram: which of its rows make up the slice, with which sign."""

    one: RunHistogram
    rows: NDArray[np.intp]
    signs: NDArray[np.int64]
    interval: Interval
    restarted: NDArray[np.datetime64]
    reported: NDArray[np.datetime64]
    gauge: bool

    @classmethod
    def from_interval(cls, one: RunHistogram, begin: np.datetime64, end: np.datetime64) -> "_Piece | None":
        """None if no row lies in ``(begin, end]``."""
        first, last = _rows(one.times, begin, end)
        if first > last:
            return None
        entries, states = one.entries, one.states()
        previous = one.previous()
        gauge = one.segment.gauge or bool(State.GAUGE.is_set(states).any())
        inside = slice(first, last + 1)
        before = entries[previous[inside]] * (previous[inside] >= 0)
        rows, signs = kernels.coefficients(previous, first, last)
        if gauge:
            rows, signs = np.array([last]), np.array([1])
            before = np.concatenate([[0.0], entries[:-1]])[inside]
        restart = State.RESTART.is_set(states)
        times, gaps = one.times[inside], kernels.gaps(one.times)[inside]
        restarted, reported = times[restart[inside]], times[entries[inside] != before]
        interval = Interval(
            start=one.times[first - 1] if first else _NOT_A_TIME, stop=one.times[last], snapshots=last + 1 - first,
            restarts=len(restarted), gaps=int(gaps.sum()), reported=len(reported),
            steps=State(int(np.bitwise_or.reduce(states[inside]))),
        )  # fmt: skip
        return cls(one, rows, signs, interval, restarted, reported, gauge)

    def histogram(self, path: Path) -> Histogram:
        one, segment = self.one, self.one.segment
        parts = {part: self._increment(part) for part in one.parts}
        class_name = segment.class_name
        if "contents" in parts:
            letter, parts["contents"] = _fitting(class_name[-1], parts["contents"])
            class_name = class_name[:-1] + letter
        return Histogram(
            path=path, class_name=class_name, axes=one.axes, parts=parts, title=segment.title,
            sums=dict(zip(one.sum_names, self._increment("sums").tolist(), strict=True)),
            error_option=segment.error_option, gauge=self.gauge,
        )  # fmt: skip

    def _increment(self, part: str) -> NDArray[Any]:
        """Increment of a part: int64 or float64 for contents, float64 for all else, as in ROOT."""
        with np.errstate(invalid="ignore"):  # an infinity less an infinity
            gained: NDArray[Any] = (self.one.read(part, self.rows) * self.signs[:, None]).sum(axis=0)
        return gained if part == "contents" else gained.astype(np.float64)


class _Strokes:
    """Some rows of many segments; neighbours are read together, `STROKE_BYTES` at a time, and the last stroke is kept.

    Who asks in the order of the registry has each read once.
    """

    def __init__(self, view: SubsystemReader, run_index: int) -> None:
        self._view, self._run_index = view, run_index
        self._rows: dict[str, NDArray[np.intp]] = {}
        self._bounds: dict[str, tuple[list[int], list[int]]] = {}
        self._held: dict[str, tuple[int, NDArray[Any]]] = {}

    def plan(self, rows: NDArray[np.intp], segments: Iterable[Segment]) -> None:
        """Get ready to read these rows of these segments, all that there are of their arrays."""
        if not len(rows):
            return
        span = min(int(rows[-1] - rows[0]) + 1, TIME_CHUNK)
        wanted: dict[str, list[tuple[int, int]]] = {COUNTS: [], WEIGHTS: [], SUMS: []}
        for segment in segments:
            if segment.array in wanted:
                wanted[segment.array].append((segment.offset, segment.offset + segment.length))
        for array, ranges in wanted.items():
            most = STROKE_BYTES // (span * (4 if array == COUNTS else 8))
            starts: list[int] = []
            stops: list[int] = []
            for first, last in sorted(ranges):
                if starts and first - stops[-1] < _FAR and last - starts[-1] <= most:
                    stops[-1] = max(stops[-1], last)
                else:
                    starts.append(first)
                    stops.append(last)
            if starts:
                self._rows[array], self._bounds[array] = rows, (starts, stops)

    def cells(self, array: str, run_index: int, rows: NDArray[np.intp], cells: slice) -> NDArray[Any]:
        """As `SubsystemReader.cells`."""
        starts, stops = self._bounds[array]
        number = bisect_right(starts, cells.start) - 1
        if array not in self._held or self._held[array][0] != number:
            self._held.pop(array, None)
            whole = slice(starts[number], stops[number])
            self._held[array] = number, self._view.cells(array, run_index, self._rows[array], whole)
        block = self._held[array][1][:, cells.start - starts[number] : cells.stop - starts[number]]
        return block[np.searchsorted(self._rows[array], rows)]


def _rows(times: NDArray[np.datetime64], begin: np.datetime64, end: np.datetime64) -> tuple[int, int]:
    """First and last row in ``(begin, end]``; the first is greater if there is none."""
    first, after = np.searchsorted(times, np.array([begin, end]), side="right").tolist()
    return first, after - 1


def _whole(pieces: list[tuple[_Piece, int]], times: NDArray[np.datetime64], first: int, last: int) -> Interval:
    return Interval(
        start=times[first - 1] if first else _NOT_A_TIME, stop=times[last], snapshots=last + 1 - first,
        restarts=len(np.unique(np.concatenate([piece.restarted for piece, _ in pieces]))),
        gaps=int(kernels.gaps(times)[first : last + 1].sum()),
        reported=len(np.unique(np.concatenate([piece.reported for piece, _ in pieces]))),
        steps=State(int(np.bitwise_or.reduce([int(piece.interval.steps) for piece, _ in pieces]))),
    )  # fmt: skip


def _fitting(letter: str, contents: NDArray[Any]) -> tuple[str, NDArray[Any]]:
    """The first type, by its letter, from that of the class on that holds all contents exactly, and they in it."""
    for wider in _WIDER[letter]:
        with np.errstate(invalid="ignore", over="ignore"):
            cast = contents.astype(DTYPES[wider])
            same = (cast == contents) | ((cast != cast) & (contents != contents))
        if same.all() or wider == "D":
            break
    return wider, cast


def _further(path: Path, number: int, taken: set[Path]) -> Path:
    while (made := (*path[:-1], f"{path[-1]}#{number}")) in taken:
        number += 1
    return made


def _text(time: np.datetime64) -> str:
    return str(np.datetime_as_string(time, "s"))
