"""Each point of a trend against its own past: plain, robust, or with the interaction rate taken out."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.errors import DimsError, UsageError
from owtrend.kernels.series import zscore as kernels
from owtrend.trends.series import Points, points_of, row_dim

__all__ = ["mad_zscore", "rate_zscore", "zscore"]

Floats = NDArray[np.float64]
_NAMES = ("expected", "sigma", "score", "p_value")


def mad_zscore(trend: xr.Dataset, *, window: int | None = 60, least: int = 10) -> xr.Dataset:
    """Distance of each point from the median of those before it, in units of their MAD.

    Parameters
    ----------
    trend
        As `Archive.trend` or `Archive.trends` give it; each histogram and reductor is a series of its own. Rows that
        are NaN or not ``reported`` get no score and count for none.
    window
        How many points before it; None: all.
    least
        Fewer points before it give NaN.

    Returns
    -------
    :
        Dims and coords of ``trend``, and its ``value``, with

        - ``expected``: median with weights 1 / error of the points before.
        - ``sigma`` of the point about it: its error, enlarged where the points before scatter more than theirs tell
          (1.4826 MAD of their pulls), and the uncertainty of the median.
        - ``score``: (value - expected) / sigma.
        - ``p_value``: chance of a score so far from 0 on good data, by the normal distribution, or Student's t where
          sigma is taken from the scatter. Of one point: thousands of points need a far smaller limit than 0.01.

    Raises
    ------
    DimsError
        If it is no trend.
    UsageError
        If ``window`` or ``least`` is too small.
    """
    width = _width(window, least)

    def against(points: Points, _: Any) -> tuple[Floats, Floats, Floats]:
        return kernels.against_median(points.value, points.error, points.given, width, least)

    return _scored(trend, against)


def zscore(trend: xr.Dataset, *, window: int | None = 10, least: int = 5) -> xr.Dataset:
    """Distance of each point from the plain mean of those before it.

    What TrendCheck of ALICE O2 QualityControl does, for comparison, without its fault: its band is the error of the
    mean and that of the last point, so that points that scatter beyond their errors leave it all the time.

    Parameters
    ----------
    trend, window, least
        As of `mad_zscore`.

    Returns
    -------
    :
        As of `mad_zscore`; ``sigma`` is sqrt(max(s**2, error**2) + s**2 / n) of the n points with standard deviation s,
        ``p_value`` by Student's t with n - 1 degrees of freedom. TrendCheck's bands are ``expected`` -+ 3 ``sigma``
        (Medium) and 6 (Bad); its own width is ``sigma_trendcheck``, sqrt(s**2 / n + error**2). One outlier among the
        points widens the band for as long as it is among them: see `mad_zscore`.

    Raises
    ------
    DimsError, UsageError
        As of `mad_zscore`.
    """
    width = _width(window, least)
    row_dim(trend)
    narrow = xr.full_like(trend["value"], np.nan, dtype=np.float64).load()

    def against(points: Points, at: Any) -> tuple[Floats, Floats, Floats]:
        errors = points.error if points.given else np.zeros(len(points.error))
        expected, sigma, own = kernels.against_mean(points.value, errors, width, least)
        narrow.values[at] = own
        seen = np.arange(len(points.value))
        freedom = (np.minimum(seen, width) if width else seen) - 1.0
        return expected, sigma, np.where(np.isfinite(sigma), freedom, np.nan)

    return _scored(trend, against).assign(sigma_trendcheck=narrow)


def rate_zscore(
    trend: xr.Dataset, rate: xr.DataArray | xr.Dataset, *, window: int | None = None, least: int = 10
) -> xr.Dataset:
    """Distance of each point from the value expected at its interaction rate, learned from the points before it.

    A line in the rate is fitted through them, weighted and robust; so that a reductor that follows a decaying beam
    raises nothing. A rate farther from those before widens ``sigma``; one that was constant up to now and then
    changes gives no information: the score is 0.

    Parameters
    ----------
    trend, window, least
        As of `mad_zscore`.
    rate
        One number for each row: a trend such as ``archive.trend("HLT", name, "rate", run=...)`` of rows at the same
        times, or an array over the row dim.

    Returns
    -------
    :
        As of `mad_zscore`.

    Raises
    ------
    DimsError
        If one is no trend, or their rows are not the same.
    UsageError
        As of `mad_zscore`.
    """
    width, dim = _width(window, least), row_dim(trend)
    cause = rate["value"] if isinstance(rate, xr.Dataset) and "value" in rate else rate
    if not isinstance(cause, xr.DataArray) or cause.dims != (dim,) or cause.sizes[dim] != trend.sizes[dim]:
        found = getattr(cause, "sizes", cause)
        raise DimsError(f"rate: expected {trend.sizes[dim]} numbers over {dim}, found {found}")
    if dim in cause.coords and dim in trend.coords and not cause[dim].equals(trend[dim]):
        raise DimsError(f"rate: its {dim} is not that of the trend; align them, say by rate.reindex_like(trend)")
    numbers = np.asarray(cause.values, dtype=np.float64)

    def against(points: Points, _: Any) -> tuple[Floats, Floats, Floats]:
        at = numbers[points.rows]
        known = np.isfinite(at)
        out = np.full((3, len(at)), np.nan)
        out[:, known] = kernels.against_line(
            points.value[known], points.error[known], points.given, at[known], width, least
        )
        return out[0], out[1], out[2]

    return _scored(trend, against)


def _width(window: int | None, least: int) -> int:
    """Length of the window, 0 for all; raises UsageError if it cannot hold the points needed."""
    if least < 4 or (window is not None and window < least):
        raise UsageError(f"window={window}, least={least}: at least 4 points are needed, and the window must hold them")
    return window or 0


def _scored(trend: xr.Dataset, against: Callable[[Points, Any], tuple[Floats, Floats, Floats]]) -> xr.Dataset:
    """Each series by ``against``, which gives expected values, sigmas and degrees of freedom."""
    dim = row_dim(trend)
    made = {name: xr.full_like(trend["value"], np.nan, dtype=np.float64).load() for name in _NAMES}
    for points in points_of(trend):
        at = {dim: points.rows, **points.place}
        at_axes: Any = tuple(at[str(one)] for one in trend["value"].dims)
        expected, sigma, freedom = against(points, at_axes)
        with np.errstate(divide="ignore", invalid="ignore"):
            score = (points.value - expected) / sigma
        numbers = expected, sigma, score, kernels.chances(score, freedom)
        for name, one in zip(_NAMES, numbers, strict=True):
            made[name].values[at_axes] = one
    for name, text in zip(_NAMES, ("", "", "(value - expected) / sigma", "two-sided, of one point"), strict=True):
        made[name].attrs = {"long_name": text} if text else {}
    return trend[["value"]].assign(made)
