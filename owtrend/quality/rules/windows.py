"""Numbers and truth values of reports in order of time, and what the last n reports say.

Numbers are float64, NaN where a value is missing. Truth values are int8 in Kleene's logic: 0 false, 1 unknown, 2 true,
so that *and* is the minimum and *or* the maximum. A window has the last n reports that have a value, the present one
included: with fewer of them, or where the present value is missing, the result is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from owtrend.kernels.series.mad import mad_sigma

__all__ = ["FALSE", "TRUE", "UNKNOWN", "WINDOWS", "Reports", "compared", "finite"]

FALSE, UNKNOWN, TRUE = 0, 1, 2
_AT_ONCE = 2**21  # numbers in the windows that are reduced together
Numbers = NDArray[np.float64]
Truth = NDArray[np.int8]


def _mad(windows: Numbers) -> Numbers:
    return mad_sigma(windows.T, np.median(windows, axis=1))


WINDOWS: dict[str, Callable[[Numbers], Numbers]] = {
    "mean": lambda windows: windows.mean(axis=1),
    "median": lambda windows: np.median(windows, axis=1),
    "mad": _mad,
    "std": lambda windows: windows.std(axis=1),
    "min": lambda windows: windows.min(axis=1),
    "max": lambda windows: windows.max(axis=1),
    "sum": lambda windows: windows.sum(axis=1),
}


def finite(values: NDArray[Any]) -> Numbers:
    """Numbers with NaN for all that are not finite, such as a division by zero, and for what is no number."""
    if values.dtype.kind not in "biuf":
        values = np.array([one if isinstance(one, int | float) else np.nan for one in values.tolist()])
    numbers = values.astype(np.float64)
    known: Numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    return known


def compared(holds: NDArray[np.bool_], *sides: Numbers) -> Truth:
    """Truth of a comparison: unknown where a side is missing."""
    missing = np.zeros(holds.shape, dtype=bool)
    for side in sides:
        missing |= np.isnan(side)
    truth: Truth = np.where(missing, UNKNOWN, np.where(holds, TRUE, FALSE)).astype(np.int8)
    return truth


@dataclass(eq=False)
class Reports:
    """Reports of one histogram in order of time, and the values that an expression may name.

    Parameters
    ----------
    series
        Number of the series that each report belongs to, from 0 on without a gap: windows do not reach over its ends.
    inputs
        By what they are (``trend``, ``error``, ``reference``, ``score``, ``condition``) and name the value in each
        report; a name that is not there is missing everywhere.
    wanted
        True for the reports that are asked for; those before them only fill windows.
    """

    series: NDArray[np.int64]
    inputs: dict[tuple[str, str], NDArray[Any]]
    wanted: NDArray[np.bool_]
    short: bool = False  # whether a window that ends at a wanted report began before the first report
    _known: dict[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.series)

    def get(self, what: str, name: str) -> NDArray[Any]:
        """The value of an input in each report."""
        found = self.inputs.get((what, name))
        return np.full(len(self), np.nan) if found is None else found

    def once(self, text: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """What ``make`` returns, made once for each text of an expression."""
        if text not in self._known:
            self._known[text] = make()
        return self._known[text]

    def windowed(self, name: str, values: Numbers, size: int) -> Numbers:
        """One of `WINDOWS` over the last ``size`` reports that have a value."""
        return self.over_last(values, size, WINDOWS[name])

    def previous(self, values: Numbers) -> Numbers:
        """The value before."""
        return self.over_last(values, 2, lambda windows: windows[:, 0])

    def count(self, truth: Truth, size: int) -> Numbers:
        """Number of the last ``size`` reports in which something is true."""
        return self.over_last(np.where(truth == UNKNOWN, np.nan, truth == TRUE), size, WINDOWS["sum"])

    def over_last(self, values: Numbers, size: int, reduce: Callable[[Numbers], Numbers]) -> Numbers:
        """A function of the last ``size`` reports that have a value, where that many are there."""
        out = np.full(len(values), np.nan)
        there = np.flatnonzero(~np.isnan(values))
        series = self.series[there]
        full = np.zeros(len(there), dtype=bool)
        full[size - 1 :] = series[size - 1 :] == series[: len(series) - size + 1] if len(series) >= size else False
        self.short = self.short or bool((self.wanted[there] & ~full).any())
        if not full.any():
            return out
        windows = sliding_window_view(values[there], size)
        ends = np.flatnonzero(full)
        step = max(1, _AT_ONCE // size)
        for first in range(0, len(ends), step):
            block = ends[first : first + step]
            out[there[block]] = reduce(windows[block - size + 1])
        return finite(out)
