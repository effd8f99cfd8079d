"""Spread by the median absolute deviation (MAD), as the standard deviation of normal numbers."""

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled

__all__ = ["mad_of_pulls", "mad_sigma", "nan_median"]

Floats = NDArray[np.float64]

_SIGMA_PER_MAD = 1.482602218505602  # 1 / the normal quantile of 3/4
_ROUNDED = 1.4826  # in stored scores: more digits would change them all by 1.5e-6, for nothing


@compiled
def mad_of_pulls(pulls: Floats) -> float:
    """Standard deviation of pulls about zero."""
    return _SIGMA_PER_MAD * np.median(np.abs(pulls))


def mad_sigma(values: Floats, centre: Floats) -> Floats:
    """Standard deviation about ``centre`` along the first dim, NaN left out; NaN where there is no value."""
    return _ROUNDED * nan_median(np.abs(values - centre))


def nan_median(values: Floats) -> Floats:
    """Median along the first dim; NaN is left out, and returned where there is no value.

    As `numpy.nanmedian`, without its warning, and by one sort for all columns.
    """
    ordered = np.sort(values, axis=0)  # NaN last
    known = np.count_nonzero(~np.isnan(ordered), axis=0)
    low, high = np.maximum((known - 1) // 2, 0), known // 2
    high = np.minimum(high, np.maximum(known - 1, 0))
    pick = [np.take_along_axis(ordered, at[None], axis=0)[0] for at in (low, high)]
    return np.where(known > 0, (pick[0] + pick[1]) / 2, np.nan)
