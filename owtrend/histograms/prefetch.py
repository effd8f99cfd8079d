"""The cells of some histograms of one run, read in a few large strokes, window after window of its rows."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.histograms.run_histogram import RowSource
from owtrend.model.registry import COUNTS, SUMS, WEIGHTS, HistogramEntry
from owtrend.store.layout import TIME_CHUNK

__all__ = ["WINDOW_BYTES", "Prefetched"]

WINDOW_BYTES = 2**27  # cells in memory at once; a row chunk of one histogram may be more


class Prefetched:
    """Source of cells in place of the store: the statistics of all rows, and the cells of a window of rows.

    ``begin`` is the first row whose cells are wanted; the cells of the row before go with it.
    """

    def __init__(
        self, view: RowSource, run_index: int, histograms: Sequence[HistogramEntry], begin: int = 0
    ) -> None:  # fmt: skip
        self._view, self._run_index, self._begin = view, run_index, begin
        self._rows = len(view.times(run_index))
        used: NDArray[np.bool_] = np.any(view.holds[np.unique(view.layout(run_index))], axis=0)
        segments = [segment for entry in histograms for number, segment in entry.segments if used[number]]
        self._spans: dict[str, slice] = {}
        for array in (COUNTS, WEIGHTS, SUMS):
            mine = [segment.cells for segment in segments if segment.array == array]
            if mine:
                self._spans[array] = slice(min(s.start for s in mine), max(s.stop for s in mine))
        self._sums = (
            view.cells(SUMS, run_index, np.arange(self._rows), self._spans[SUMS]) if SUMS in self._spans else None
        )
        self._blocks: dict[str, NDArray[Any]] = {}
        self._first = 0  # row of the blocks' first

    def windows(self) -> Iterator[tuple[int, int]]:
        """Rows ``first`` to before ``last``, whose cells can be asked for, and those of the row before."""
        width = sum((4 if array == COUNTS else 8) * (s.stop - s.start) for array, s in self._spans.items())
        step = TIME_CHUNK * max(1, WINDOW_BYTES // max(1, TIME_CHUNK * width))
        bounds = [self._begin, *range(self._begin // step * step + step, self._rows, step), self._rows]
        for first, last in pairwise(bounds if self._begin < self._rows else ()):
            for array in (COUNTS, WEIGHTS):
                if array in self._spans:
                    self._read(array, first, last)
            self._first = max(first - 1, 0)
            yield first, last

    def _read(self, array: str, first: int, last: int) -> None:
        before = int(0 < first == self._begin)
        block = self._view.cells(array, self._run_index, np.arange(first - before, last), self._spans[array])
        if first and not before:  # the row before goes with them
            whole = np.empty((len(block) + 1, block.shape[1]), dtype=block.dtype, order="F")
            whole[0], whole[1:] = self._blocks[array][-1], block
            block = whole
        self._blocks[array] = block

    def cells(self, array: str, run_index: int, rows: NDArray[np.intp], cells: slice) -> NDArray[Any]:
        """As `SubsystemReader.cells`, of rows of the window."""
        span = self._spans[array]
        whole, first = (self._sums, 0) if array == SUMS else (self._blocks[array], self._first)
        assert whole is not None, "sums were asked for where no histogram has any"
        early = rows < first  # where the histogram was last held, if the row before the window is without it
        if early.any():
            there = self._view.cells(array, run_index, rows[early], cells)
            return np.concatenate([there, self.cells(array, run_index, rows[~early], cells)])
        wanted = whole[:, cells.start - span.start : cells.stop - span.start]
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
            return wanted[rows[0] - first : rows[-1] + 1 - first]
        return wanted[rows - first]
