"""One histogram in one run, whatever segments its rows lie in: the pieces found, checked and joined."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from owtrend.errors import BinningChangedError, NotFoundError
from owtrend.histograms.steps import RunSteps, previous_rows
from owtrend.model.axis import Axis, common_axes, rearranged
from owtrend.model.registry import COUNTS, SAME, SUMS, TWINS, HistogramEntry, Registry, Segment
from owtrend.model.rows import Accumulation, State
from owtrend.model.wording import plural
from owtrend.store import versions
from owtrend.store.layout import CELL_DTYPE, TIME_CHUNK
from owtrend.store.reader import SubsystemReader

__all__ = [
    "MANY_RUNS", "RowSource", "RunHistogram", "by_binning", "each_by_binning", "find", "find_all", "latest_reports",
    "together", "with_all_steps",
]  # fmt: skip

MANY_RUNS = 8  # for more runs it is quicker to read the rows of all runs at once
_MOST_LABELS, _LONGEST_LABEL = 3, 40  # named in a change

CellReader = Callable[[str, int, NDArray[np.intp], slice], NDArray[Any]]  # as `SubsystemReader.cells`


class RowSource(Protocol):
    """Source of the rows of runs: a stored subsystem, or the previous and the present snapshot of a live one."""

    @property
    def where(self) -> str: ...
    @property
    def registry(self) -> Registry: ...
    @property
    def holds(self) -> NDArray[np.bool_]: ...
    @property
    def per_run(self) -> dict[str, NDArray[Any]]: ...
    def run_index(self, run: int) -> int: ...
    def times(self, run_index: int) -> NDArray[np.datetime64]: ...
    def layout(self, run_index: int) -> NDArray[np.int32]: ...
    def cells(self, array: str, run_index: int, rows: NDArray[np.intp], cells: slice) -> NDArray[Any]: ...
    def kind(self, histogram: str) -> State: ...


@dataclass(frozen=True, eq=False)
class RunHistogram:
    """The rows of one run that hold one histogram, all on ``axes``; ``segment`` has the class of the last.

    ``rows`` index the run's rows; ``pieces`` has per part the segments and which of ``rows`` lie in each. Where rows
    before the first of ``rows`` are left out, ``reported`` is when it had reported last, up to that first one.
    """

    view: RowSource
    run_index: int
    run: int
    segment: Segment
    axes: tuple[Axis, ...]
    rows: NDArray[np.intp]
    cells: CellReader
    pieces: dict[str, list[tuple[Segment, NDArray[np.bool_]]]]
    reported: np.datetime64 | None = None
    steps: RunSteps | None = None

    @property
    def from_store(self) -> bool:
        """True if its cells are not in memory."""
        return self.cells == self.view.cells

    def states(self, stop: int | None = None) -> NDArray[np.uint8]:
        """Bits of `State`, without REPORTED, of its rows up to before ``stop``, as these rows show them."""
        rows = self.rows if stop is None else self.rows[:stop]
        if self.steps is None or not len(rows):
            return np.full(len(rows), State.HELD, dtype=np.uint8)
        return self.steps.states(int(rows[-1]) + 1)[rows]

    def previous(self, stop: int | None = None) -> NDArray[np.int64]:
        """Row that the increment of each counts from, see `owtrend.histograms.steps.previous_rows`."""
        return previous_rows(self.states(stop), self.additive)

    def settle(self, last: int) -> None:
        """See `RunSteps.settle`."""
        if self.steps is not None:
            self.steps.settle(last)

    def in_order(self) -> "RunHistogram":
        """The same, for who goes through its rows one after the other: cells are read by full chunks, each once."""
        held: dict[tuple[str, int, int], NDArray[Any]] = {}

        def cells(array: str, run_index: int, rows: NDArray[np.intp], cells: slice) -> NDArray[Any]:
            pieces = []
            for chunk in np.unique(rows // TIME_CHUNK).tolist():
                first, key = chunk * TIME_CHUNK, (array, cells.start, chunk)
                if key not in held:
                    for old in [one for one in held if one[:2] == key[:2]][:-1]:  # the latest and this one stay
                        del held[old]
                    last = min(first + TIME_CHUNK, len(self.view.times(run_index)))
                    held[key] = self.cells(array, run_index, np.arange(first, last), cells)
                pieces.append(held[key][rows[rows // TIME_CHUNK == chunk] - first])
            return np.concatenate(pieces)

        return replace(self, cells=cells)

    def on(self, axes: tuple[Axis, ...]) -> "RunHistogram":
        """The same on other axes, which it has in common with others."""
        return self if axes == self.axes else replace(self, axes=axes)

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(part for part in self.pieces if part != "sums")

    @property
    def size(self) -> int:
        """Cells, flow included."""
        return int(np.prod([len(axis) + 2 for axis in self.axes]))

    @cached_property
    def additive(self) -> bool:
        """True if a row should hold everything since the run began: no declared gauge, and not in reset mode."""
        return not self.segment.gauge and self.view.per_run["accumulation"][self.run_index] != Accumulation.RESET

    def window(self, first: int, last: int) -> "RunHistogram":
        """Only its rows from ``first`` to before ``last``."""
        if (first, last) == (0, len(self.rows)):
            return self
        pieces = {
            part: [(segment, mask[first:last]) for segment, mask in held if mask[first:last].any() or part == "sums"]
            for part, held in self.pieces.items()
        }
        return replace(self, rows=self.rows[first:last], pieces={part: held for part, held in pieces.items() if held})

    @cached_property
    def entries(self) -> NDArray[np.float64]:
        """``fEntries`` of all rows."""
        return np.ascontiguousarray(self.sums[:, self.sum_names.index("entries")])

    @property
    def since(self) -> NDArray[np.datetime64]:
        """When it had reported last before each row; NaT if it had not in this run."""
        return self._latest_reports[:-1]

    @property
    def last_report(self) -> np.datetime64:
        """When it reported last."""
        return self._latest_reports[-1]

    @cached_property
    def _latest_reports(self) -> NDArray[np.datetime64]:
        """Before each row, and after all of them: in a report the statistics changed."""
        gains = not self.additive and not self.segment.gauge
        return latest_reports(self.sums[None], self.times, [self.reported], gains=gains)[0]

    @cached_property
    def times(self) -> NDArray[np.datetime64]:
        return self.view.times(self.run_index)[self.rows]

    @cached_property
    def sum_names(self) -> tuple[str, ...]:
        return self.pieces["sums"][0][0].names

    @cached_property
    def alike(self) -> Hashable:
        """Equal for histograms whose rows can be taken together, see `together`; None if they never can."""
        pieces = [held for held in self.pieces.values() if len(held) == 1 and held[0][1].all()]
        if len(pieces) < len(self.pieces) or not self.additive:
            return None
        parts = tuple((segment.part, segment.array, segment.names) for ((segment, _),) in pieces)
        return self.segment.binning[1:], parts, self.rows.tobytes()

    @property
    def changes(self) -> list[tuple[np.datetime64, str]]:
        """When its class, its error option or the edges of an axis changed, or it got more labels, and how."""
        which = np.zeros(len(self.rows), dtype=np.intp)
        segments = [segment for segment, _ in self.pieces["sums"]]
        for number, (_, mask) in enumerate(self.pieces["sums"]):
            which[mask] = number
        found = []
        known = [set(axis.labels.values()) for axis in segments[which[0]].axes]
        for row in (np.flatnonzero(np.diff(which)) + 1).tolist():
            words = _change(segments[which[row - 1]], segments[which[row]], known)
            found += [(self.times[row], words)] if words else []
        return found

    def dtype(self, part: str) -> np.dtype[Any]:
        """int64 where all rows are whole numbers, else float64."""
        if part not in self.pieces:
            return self.dtype(TWINS[part])
        kinds = set()
        for segment, _ in self.pieces[part]:
            kinds.add(self.dtype(TWINS[part]) if segment.array == SAME else np.dtype(_DTYPES[segment.array]))
        if part in TWINS and not np.logical_or.reduce([mask for _, mask in self.pieces[part]]).all():
            kinds.add(self.dtype(TWINS[part]))
        return np.dtype(np.float64) if np.dtype(np.float64) in kinds else np.dtype(np.int64)

    def read(self, part: str, which: NDArray[np.intp] | None = None) -> NDArray[Any]:
        """Rows ``which`` (all, if None) of a part, shape ``(row, cell)``, int64 or float64.

        Where sumw2 (or bin_sumw2) is not kept, it is the contents (or bin_entries), as ROOT has it.
        """
        which = np.arange(len(self.rows)) if which is None else which
        if part not in self.pieces:
            return self.read(TWINS[part], which)
        width = len(self.sum_names) if part == "sums" else self.size
        out = np.zeros((len(which), width), dtype=np.float64 if part == "sums" else self.dtype(part))
        filled = np.zeros(len(which), dtype=bool)
        for segment, mask in self.pieces[part]:
            mine = np.flatnonzero(mask[which])
            if not len(mine):
                continue
            filled[mine] = True
            if segment.array == SAME:
                out[mine] = self.read(TWINS[part], which[mine])
            else:
                cells = self.cells(segment.array, self.run_index, self.rows[which[mine]], segment.cells)
                out[mine] = cells if part == "sums" else rearranged(cells, segment.axes, self.axes)
        if part in TWINS and not filled.all():
            rest = np.flatnonzero(~filled)
            out[rest] = self.read(TWINS[part], which[rest])
        return out

    def native(self, part: str) -> NDArray[Any]:
        """All rows of a part as stored, without the copy that `read` makes, where one segment holds them all."""
        (segment, mask), *others = self.pieces[part]
        if others or segment.array == SAME or not mask.all() or segment.axes != self.axes:
            return self.read(part)
        cells = self.cells(segment.array, self.run_index, self.rows, segment.cells)
        # Kernels are compiled for contiguous cells; views of some rows of what is in memory are not.
        return cells if cells.flags.c_contiguous or cells.flags.f_contiguous else np.asfortranarray(cells)

    @cached_property
    def sums(self) -> NDArray[np.float64]:
        """Stored statistics of all rows, shape ``(row, sum)``, named by `sum_names`."""
        sums = self.read("sums")
        sums.setflags(write=False)  # shared by all who ask for it
        return sums


def latest_reports(
    sums: NDArray[np.float64], times: NDArray[np.datetime64], earlier: Sequence[np.datetime64 | None], *,
    gains: bool = False,
) -> NDArray[np.datetime64]:  # fmt: skip
    """When histograms had reported last before each row, and after all of them; NaT where they had not.

    Parameters
    ----------
    sums
        Their statistics, shape ``(histogram, row, sum)``: in a report they changed.
    times
        Ends of the rows [ns, UTC].
    earlier
        When each had reported last up to its first row, if rows before that are left out.
    gains
        Whether each row is what was gained in it.

    Returns
    -------
    :
        Shape ``(histogram, row + 1)``.
    """
    before = np.zeros_like(sums)
    if not gains:
        before[:, 1:] = sums[:, :-1]
    reported = ((sums != before) & ~(np.isnan(sums) & np.isnan(before))).any(axis=2)
    reported[:, 0] &= [time is None for time in earlier]
    latest = np.full((len(sums), 1 + len(times)), -1)
    np.maximum.accumulate(np.where(reported, np.arange(len(times)), -1), axis=1, out=latest[:, 1:])
    since = np.array([np.datetime64("NaT", "ns") if time is None else time for time in earlier], "datetime64[ns]")
    return np.where(latest < 0, since[:, None], times[latest])


_DTYPES = {COUNTS: np.int64, SUMS: np.float64, "weights": np.float64}


def together(histograms: Sequence[RunHistogram], first: int, last: int) -> RunHistogram:
    """Rows ``first`` to before ``last`` of histograms that are `alike`, as of one: those of each after another.

    They share one reader of cells. What is known of its rows as such, steps and when it reported, it does not know.
    """
    lead, rows = histograms[0], histograms[0].rows[first:last]
    places: dict[tuple[str, int], NDArray[np.intp]] = {}  # where the cells of each begin, by those of the first
    for part, ((segment, _),) in lead.pieces.items():
        offsets = np.array([one.pieces[part][0][0].offset for one in histograms])
        places[segment.array, segment.offset] = offsets

    def cells(array: str, run_index: int, _: NDArray[np.intp], wanted: slice) -> NDArray[Any]:
        offsets, size = places[array, wanted.start], wanted.stop - wanted.start
        out = np.empty((size, len(histograms), len(rows)), dtype=CELL_DTYPE[array])
        bounds = [0, *(np.flatnonzero(np.diff(offsets) != size) + 1).tolist(), len(offsets)]
        for begin, end in pairwise(bounds):  # neighbours in the store at once
            neighbours = slice(int(offsets[begin]), int(offsets[begin]) + (end - begin) * size)
            block = lead.cells(array, run_index, rows, neighbours)
            out[:, begin:end] = block.T.reshape(end - begin, size, len(rows)).transpose(1, 0, 2)
        return out.reshape(size, -1).T  # time fastest, as in the store

    every = np.ones(len(histograms) * len(rows), dtype=bool)
    pieces = {part: [(held[0][0], every)] for part, held in lead.pieces.items()}
    joined = np.tile(rows, len(histograms))
    return replace(lead, rows=joined, cells=cells, pieces=pieces, reported=None, steps=None)


def by_binning(view: RowSource, run: int, entry: HistogramEntry, cells: CellReader | None = None) -> list[RunHistogram]:
    """The rows of ``run`` that hold a histogram, apart for each binning it had, in order of time; empty if none do.

    Where axes have a common one (`owtrend.model.axis.common`) that is one binning: labels in another order, an axis
    that ROOT extended; also where only the class or the error option changes. ``cells`` reads their cells, where it is
    not the store that does.
    """
    run_index = view.run_index(run)
    numbers = np.array([number for number, _ in entry.segments])
    held = view.holds[:, numbers][view.layout(run_index)]  # (row, segment of this histogram)
    frames: dict[tuple[Any, ...], list[int]] = {}  # columns of each class and binning
    for column in np.flatnonzero(held.any(axis=0)).tolist():
        frames.setdefault(entry.segments[column][1].binning, []).append(column)
    found = []
    for columns, axes in _joined([_Frame.from_columns(entry, held, columns) for columns in frames.values()]):
        rows = np.flatnonzero(held[:, columns].any(axis=1))
        pieces: dict[str, list[tuple[Segment, NDArray[np.bool_]]]] = {}
        for column in columns:
            segment = entry.segments[column][1]
            pieces.setdefault(segment.part, []).append((segment, held[rows, column]))
        segment = entry.segments[max(columns, key=lambda c: int(np.flatnonzero(held[:, c])[-1]))][1]
        found.append(RunHistogram(view, run_index, run, segment, axes, rows, cells or view.cells, pieces))
    found.sort(key=lambda one: int(one.rows[0]))
    stored = None if cells is not None else _stored_states(view, run_index, entry)
    steps = RunSteps(found, stored, kind=view.kind(entry.name))
    return [replace(one, steps=steps) for one in found]


def each_by_binning(
    view: RowSource, run: int, entries: Sequence[HistogramEntry], cells: CellReader
) -> list[list[RunHistogram]]:
    """`by_binning` of many histograms; those whose parts lie in the same rows on one binning share what they can."""
    run_index = view.run_index(run)
    layouts, layout_of = np.unique(view.layout(run_index), return_inverse=True)
    holds = np.ascontiguousarray(view.holds[layouts].T)  # (segment, layout of this run)
    used, held = np.logical_or.reduce(holds, axis=1).tolist(), [of_segment.tobytes() for of_segment in holds]
    shared: dict[bytes, tuple[NDArray[np.intp], NDArray[np.bool_]]] = {}
    found: list[list[RunHistogram]] = []
    for entry in entries:
        present = [(number, segment) for number, segment in entry.segments if used[number]]
        if not present:
            found.append([])
            continue
        (first, segment), *others = present
        if any(held[number] != held[first] or one.binning != segment.binning for number, one in others):
            found.append(by_binning(view, run, entry, cells))
            continue
        if held[first] not in shared:
            rows = np.flatnonzero(holds[first][layout_of])
            shared[held[first]] = rows, np.ones(len(rows), dtype=bool)
        rows, every = shared[held[first]]
        pieces: dict[str, list[tuple[Segment, NDArray[np.bool_]]]] = {}
        for _, one in present:
            pieces.setdefault(one.part, []).append((one, every))
        whole = RunHistogram(view, run_index, run, segment, segment.axes, rows, cells, pieces)
        found.append([replace(whole, steps=RunSteps([whole], kind=view.kind(entry.name)))])
    return found


def with_all_steps(pieces: Sequence[RunHistogram], entry: HistogramEntry, *, stored: bool) -> list[RunHistogram]:
    """The same with the steps of all rows: those in the ``stored`` trends, or else from cells read for that alone."""
    if not pieces:
        return []
    view, run_index = pieces[0].view, pieces[0].run_index
    direct = [replace(one, cells=view.cells) for one in pieces]
    known = _stored_states(view, run_index, entry) if stored else None
    steps = RunSteps(direct, known, kind=view.kind(entry.name))
    steps.states(1 + max(int(one.rows[-1]) for one in pieces))
    return [replace(one, steps=steps) for one in pieces]


def _stored_states(view: RowSource, run_index: int, entry: HistogramEntry) -> NDArray[np.uint8] | None:
    """States in the stored trends of a run, if these are of its newest rows and of the rules of today."""
    if not isinstance(view, SubsystemReader) or (column := view.trends.column(entry.path)) is None:
        return None
    if view.trends.revisions[run_index] != view.per_run["revision"][run_index]:
        return None
    if (view.trends.versions[run_index] != versions.TRENDS).any():
        return None
    rows = slice(0, len(view.times(run_index)))
    states: NDArray[np.uint8] = view.trends.block("state", run_index, rows, slice(column, column + 1))[:, 0]
    return states & ~np.uint8(State.REPORTED)


@dataclass(frozen=True)
class _Frame:
    """Segments of one class and binning: their columns, the first and last row that holds one."""

    columns: list[int]
    segment: Segment
    names: tuple[tuple[str, ...], ...]
    first: int
    last: int

    @classmethod
    def from_columns(cls, entry: HistogramEntry, held: NDArray[np.bool_], columns: list[int]) -> "_Frame":
        rows = np.flatnonzero(held[:, columns].any(axis=1))
        segments = [entry.segments[column][1] for column in columns]
        names = {segment.names for segment in segments if segment.part == "sums"}
        return cls(columns, segments[0], tuple(sorted(names)), int(rows[0]), int(rows[-1]))

    @property
    def kind(self) -> tuple[Any, ...]:
        """What rows must have in common to be subtracted from each other."""
        return self.segment.class_name.startswith("TProfile"), self.segment.gauge, self.names

    @property
    def order(self) -> tuple[int, int]:
        """Rank by which axes give the order of labels: the most labels, of those the latest."""
        return sum(len(axis.labels) for axis in self.segment.axes), self.last


def _joined(frames: Sequence[_Frame]) -> list[tuple[list[int], tuple[Axis, ...]]]:
    """Frames that have common axes together: their columns and these axes."""
    if len(frames) == 1:
        return [(frames[0].columns, frames[0].segment.axes)]
    groups: list[tuple[list[_Frame], tuple[Axis, ...]]] = []
    for frame in sorted(frames, key=lambda one: one.first):
        for number, (members, _) in enumerate(groups):
            together = sorted([*members, frame], key=lambda one: one.order, reverse=True)
            axes = common_axes([one.segment.axes for one in together]) if frame.kind == members[0].kind else None
            if axes is not None:
                groups[number] = together, axes
                break
        else:
            groups.append(([frame], frame.segment.axes))
    return [(sorted(column for frame in members for column in frame.columns), axes) for members, axes in groups]


def find(view: SubsystemReader, run: int, entry: HistogramEntry, binning: int | None = None) -> RunHistogram:
    """The rows of ``run`` that hold a histogram.

    Parameters
    ----------
    binning
        Which binning, in order of time, where it changed within the run (-1 is the last); None expects only one.

    Raises
    ------
    NotFoundError
        If no row of the run holds it, or it has not so many binnings.
    BinningChangedError
        If the run has several binnings and none was chosen; the text says since when.
    """
    found = by_binning(view, run, entry)
    if not found:
        raise NotFoundError(f"{view.where}: run {run} has no histogram {entry.name!r}")
    if len(found) > 1 and binning is None:
        since = "; ".join(f"{_describe(one)} since {np.datetime_as_string(one.times[0], 's')} UTC" for one in found)
        raise BinningChangedError(
            f"{view.where}: {entry.name} changed its binning in run {run}: {since}; "
            f"choose one with binning=0 to {len(found) - 1}, or -1 for the last"
        )
    try:
        return found[binning or 0]
    except IndexError:
        words = f"{view.where}: {entry.name} has {len(found)} binnings in run {run}, no {binning}"
        raise NotFoundError(words) from None


def find_all(
    view: SubsystemReader, runs: Sequence[int], entry: HistogramEntry, binning: int | None = None
) -> list[RunHistogram]:
    """As `find` for several runs, one after the other; runs without the histogram are left out.

    Raises
    ------
    NotFoundError, BinningChangedError
        If no run holds the histogram; as `find`.
    """
    if len(runs) > MANY_RUNS:
        view.read_all_rows()
    pieces = []
    for run in runs:
        found = by_binning(view, run, entry)
        pieces += found if len(found) <= 1 else [find(view, run, entry, binning)]
    if not pieces:
        raise NotFoundError(f"{view.where}: no histogram {entry.name!r} in the runs asked for")
    return pieces


def _change(before: Segment, after: Segment, known: Sequence[set[str]]) -> str:
    """What is new, in words; labels that are not ``known`` of an axis, to which they are added."""
    words = []
    if before.class_name != after.class_name:
        words.append(f"{before.class_name} became {after.class_name}")
    if before.error_option != after.error_option:
        words.append(f"error option {before.error_option!r} became {after.error_option!r}")
    for letter, old, new, labels in zip("xyz", before.axes, after.axes, known, strict=False):
        if more := [label for label in new.labels.values() if label and label not in labels]:
            words.append(f"{letter} has {plural(len(more), 'new label')}: {_shortened(more)}")
            labels.update(more)
        if not (old.labels or new.labels or np.array_equal(old.edges, new.edges)):
            now, earlier = (f"{axis.edges[0]:g} to {axis.edges[-1]:g}" for axis in (new, old))
            words.append(f"{letter} goes from {now}, before from {earlier}")
    return "; ".join(words)


def _shortened(labels: Sequence[str]) -> str:
    """A few labels, in quotes, without control characters; a file may have any."""
    cut = [label if len(label) <= _LONGEST_LABEL else f"{label[:_LONGEST_LABEL]}…" for label in labels[:_MOST_LABELS]]
    more = len(labels) - len(cut)
    return ", ".join(map(repr, cut)) + (f" and {more} more" if more else "")


def _describe(one: RunHistogram) -> str:
    axes = " x ".join(f"{len(axis)} bins in [{axis.edges[0]:g}, {axis.edges[-1]:g}]" for axis in one.axes)
    return f"{one.segment.class_name} of {axes}"
