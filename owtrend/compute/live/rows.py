"""The rows of a live run: times and layouts of all of them, the cells of the present one and of those before it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.histograms import run_histogram
from owtrend.histograms.run_histogram import RunHistogram
from owtrend.model.histogram import Path
from owtrend.model.registry import COUNTS, SAME, SUMS, WEIGHTS, HistogramEntry, Layouts, Registry, Segment
from owtrend.model.rows import State
from owtrend.store.reader import SubsystemReader

__all__ = ["LiveRows"]

_DTYPES: Mapping[str, Any] = {COUNTS: np.int32, WEIGHTS: np.float64, SUMS: np.float64}


class LiveRows:
    """A source of rows as `owtrend.histograms.run_histogram.RowSource`, of one run and without a store.

    Of each part of each histogram it holds the cells of the present row, and of the last row before it that has it.
    """

    def __init__(self, where: str, run: int, accumulation: int) -> None:
        self.where, self.run = where, run
        self.registry = Registry()
        self.kinds: Mapping[str, str] = {}  # of histograms, as people say
        self.per_run = {"accumulation": np.array([accumulation])}
        self._layouts = Layouts()
        self._holds = np.zeros((0, 0), dtype=bool)
        self._times = np.empty(0, dtype=np.int64)
        self._layout = np.empty(0, dtype=np.int32)
        self._now: dict[str, NDArray[Any]] = {}
        self._before: dict[str, NDArray[Any]] = {}
        self._present: list[int] = []  # segments of the present row
        self._reported: dict[tuple[Path, int], np.datetime64] = {}  # by histogram and number of its binning

    def __len__(self) -> int:
        return len(self._times)

    def extend(self, registry: Registry) -> None:
        """Know further segments, in the order of the store."""
        self.registry = registry
        for array, dtype in _DTYPES.items():
            for cells in (self._now, self._before):
                more = registry.size(array) - len(cells.get(array, ()))
                if array not in cells:
                    cells[array] = np.zeros(more, dtype=dtype)
                elif more:
                    cells[array] = np.concatenate([cells[array], np.zeros(more, dtype=dtype)])

    def append(self, parts: Iterable[tuple[Segment, NDArray[Any] | None]], time: int) -> None:
        """Make a snapshot at ``time`` [ns] the present row, as `owtrend.model.registry.segments_of` cuts it."""
        self._step_back()
        numbers = []
        for segment, values in parts:
            numbers.append(self.registry.number(segment))
            if segment.array != SAME:
                self._now[segment.array][segment.cells] = values
        self._add(time, self._layouts.number(numbers))
        self._present = numbers

    def repeat(self, time: int) -> None:
        """Add a row like the present one."""
        present = self._present
        self._step_back()
        for number in present:
            segment = self.registry[number]
            if segment.array != SAME:
                self._now[segment.array][segment.cells] = self._before[segment.array][segment.cells]
        self._add(time, int(self._layout[-1]))
        self._present = present

    def fill(self, view: SubsystemReader, rows: int) -> None:
        """Take the first rows of the stored run."""
        run_index = view.run_index(self.run)
        self._layouts = Layouts(view.layouts.layouts)
        self.extend(view.registry)
        self._times = view.times(run_index)[:rows].view("int64").copy()
        self._layout = view.layout(run_index)[:rows].copy()
        held = self.holds[self._layout]
        latest = np.where(held, np.arange(rows)[:, None], -1).max(axis=0, initial=-1)
        for row in np.unique(latest[latest >= 0]).tolist():
            segments = [self.registry[number] for number in np.flatnonzero(latest == row).tolist()]
            for array in _DTYPES:
                wanted = [segment for segment in segments if segment.array == array]
                if wanted:
                    whole = slice(min(one.cells.start for one in wanted), max(one.cells.stop for one in wanted))
                    cells = view.cells(array, run_index, np.array([row]), whole)[0]
                    for one in wanted:
                        part = cells[one.cells.start - whole.start : one.cells.stop - whole.start]
                        self._now[array][one.cells] = part
        self._before = {array: cells.copy() for array, cells in self._now.items()}
        self._present = []
        self._reported = {
            (entry.path, number): piece.window(0, int(np.searchsorted(piece.rows, rows))).last_report
            for entry in self.registry.histograms.values()
            for number, piece in enumerate(run_histogram.by_binning(view, self.run, entry))
            if piece.rows[0] < rows
        }

    def histogram(self, entry: HistogramEntry) -> list[RunHistogram]:
        """Each binning of a histogram: its last row before the present one, and that if it is in it."""
        pieces = []
        present = len(self) - 1
        for number, piece in enumerate(run_histogram.by_binning(self, self.run, entry)):
            few = 1 + int(piece.rows[-1] == present)
            if len(piece.rows) >= few:
                key = entry.path, number
                last = len(piece.rows)
                piece = replace(piece.window(last - few, last), reported=self._reported.get(key))
            pieces.append(piece)
        return pieces

    def remember(self, entry: HistogramEntry, pieces: list[RunHistogram]) -> None:
        """Note when a histogram reported last, once its present row was looked at."""
        for number, piece in enumerate(pieces):
            if piece.rows[-1] == len(self) - 1:
                self._reported[entry.path, number] = piece.last_report

    @property
    def holds(self) -> NDArray[np.bool_]:
        """True where a layout holds a segment, shape ``(layout, segment)``."""
        if self._holds.shape != (len(self._layouts), len(self.registry)):
            self._holds = self._layouts.matrix(len(self.registry))
        return self._holds

    def kind(self, histogram: str) -> State:
        """What people say that a histogram is."""
        return State.declared(self.kinds, histogram)

    def run_index(self, run: int) -> int:
        """Place of the run: it is the only one."""
        return 0

    def times(self, run_index: int) -> NDArray[np.datetime64]:
        """Ends of all rows so far."""
        return self._times.view("datetime64[ns]")

    def layout(self, run_index: int) -> NDArray[np.int32]:
        """Layouts of all rows so far."""
        return self._layout

    def cells(self, array: str, run_index: int, rows: NDArray[np.intp], cells: slice) -> NDArray[Any]:
        """Cells of the present row, and of the last one before it that has them."""
        out = np.empty((len(rows), cells.stop - cells.start), dtype=self._now[array].dtype)
        for number, row in enumerate(rows.tolist()):
            out[number] = (self._now if row == len(self) - 1 else self._before)[array][cells]
        return out

    def _add(self, time: int, layout: int) -> None:
        self._times = np.append(self._times, time)
        self._layout = np.append(self._layout, np.int32(layout))

    def _step_back(self) -> None:
        """The present row becomes the one before."""
        if len(self._present) == len(self.registry):
            self._now, self._before = self._before, self._now
            return
        for number in self._present:
            segment = self.registry[number]
            if segment.array != SAME:
                self._before[segment.array][segment.cells] = self._now[segment.array][segment.cells]
