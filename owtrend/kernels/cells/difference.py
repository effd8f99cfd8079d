"""The row that each row counts from, increments, and the rows that make up a time slice."""

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled

__all__ = ["ZERO", "chained", "coefficients", "gaps", "increments", "plain_increments", "scaled_increments"]

ZERO = -1  # the increment of this row counts from zero


def chained(zero: NDArray[np.bool_], out_of_order: NDArray[np.bool_], lost: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Row that each row's increment counts from, shape ``(time,)``: the one before in order.

    ``ZERO`` for the first row and where ``zero``. The row itself, so that it gains nothing, where it is
    ``out_of_order``, and where its gain is ``lost``; later rows count from the latter, never from the former.
    """
    number = np.arange(len(zero))
    latest = np.maximum.accumulate(np.where(out_of_order, ZERO, number))
    previous = np.concatenate([np.full(1, ZERO), latest[:-1]])[: len(zero)]
    previous[zero] = ZERO
    apart = (out_of_order | lost) & ~zero
    previous[apart] = number[apart]
    return previous


# One pass and no temporary: 0.15 ms for 3 MB blocks where NumPy needs 1.2 ms (two cores, one thread).
@compiled
def increments(cells: NDArray[np.generic], previous: NDArray[np.int64]) -> NDArray[np.generic]:
    """Increment per row, shape ``(time, cell)``, in the dtype of ``cells``; ``previous`` has shape ``(time,)``."""
    values = cells.copy()
    times, size = cells.shape
    for t in range(times):
        before = previous[t]
        if before >= 0:
            for c in range(size):
                values[t, c] -= cells[before, c]
    return values


def plain_increments(rows: NDArray[np.float64], previous: NDArray[np.int64]) -> NDArray[np.float64]:
    """Increment per row of a few columns, shape ``(time, ...)``: `increments` without a compiler."""
    values = rows.copy()
    from_row = previous >= 0
    values[from_row] -= rows[previous[from_row]]
    return values


def coefficients(previous: NDArray[np.int64], first: int, last: int) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Rows, and +1 or -1 for each, whose sum is the increment of rows ``first`` to ``last`` (both included).

    Increments telescope: without a restart two rows are left however long the interval is.
    """
    weights = np.zeros(len(previous), dtype=np.int64)
    weights[first : last + 1] = 1
    inside = previous[first : last + 1]
    np.subtract.at(weights, inside[inside >= 0], 1)
    rows = np.flatnonzero(weights)
    return rows, weights[rows]


def gaps(times: NDArray[np.datetime64]) -> NDArray[np.bool_]:
    """True where a snapshot was missed before a time: more than 1.5 times the median spacing since the one before."""
    missed = np.zeros(len(times), dtype=bool)
    if len(times) > 2:
        spacing = np.diff(times.astype("datetime64[ns]").view("int64"))
        missed[1:] = spacing > 1.5 * np.median(spacing)
    return missed


# Eight times as fast as indexing: rows lie far apart in memory, as time is fastest there.
@compiled
def scaled_increments(
    cells: NDArray[np.generic], rows: NDArray[np.int64], previous: NDArray[np.int64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Increments of some rows, each times its ``scale``, never below zero; shape ``(row, cell)``, cells side by side.

    ``previous`` has the row that each increment counts from, or ``ZERO``.
    """
    count, size = len(rows), cells.shape[1]
    out = np.empty((count, size))
    for first in range(0, size, 16):
        last = min(first + 16, size)
        for i in range(count):
            row, before, factor = rows[i], previous[i], scale[i]
            for c in range(first, last):
                value = float(cells[row, c])
                if before >= 0:
                    value -= float(cells[before, c])
                out[i, c] = max(value * factor, 0.0)
    return out
