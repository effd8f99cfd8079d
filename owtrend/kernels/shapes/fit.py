"""Distributions fitted to the bins of a histogram, one at a time, by least squares with Poisson errors."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["gauss", "landau"]

Floats = NDArray[np.float64]
Fitted = tuple[float, float, float, float]  # position, width, and their errors
_NONE: Fitted = (np.nan, np.nan, np.nan, np.nan)
# Most probable value of the Landau distribution in its widths (Kölbig and Schorr, Comput. Phys. Commun. 31 (1984) 97).
_LANDAU_MODE = -0.22278298


def gauss(content: Floats, edges: Floats, windowed: bool) -> Fitted:
    """Mean and width of a normal distribution, with their errors; NaN where it cannot be fitted.

    Parameters
    ----------
    content
        Of the bins, shape ``(bin,)``.
    edges
        Of the bins, shape ``(bin + 1,)``.
    windowed
        Whether all bins are to be used; else those within two widths of the mean, chosen anew until they stay.
    """
    from scipy.special import ndtr

    def expected(where: Floats, total: float, mean: float, width: float) -> Any:
        return total * np.diff(ndtr((where - mean) / abs(width)))

    start = _moments(content, edges)
    if start is None:
        return _NONE
    chosen = slice(0, len(content))
    found, bounds = _NONE, None
    for _ in range(1 if windowed else 10):
        found = _least_squares(expected, content[chosen], edges[chosen.start : chosen.stop + 1], start)
        if not np.isfinite(found[0]):
            break
        mean, width = found[0], found[1]
        inside = (edges[:-1] >= mean - 2 * width) & (edges[1:] <= mean + 2 * width)
        if (bounds is not None and np.array_equal(inside, bounds)) or inside.sum() < 4:
            break
        bounds = inside
        first = int(inside.argmax())
        chosen = slice(first, first + int(inside.sum()))
        start = content[chosen].sum(), mean, width
    return found


def landau(content: Floats, edges: Floats, windowed: bool) -> Fitted:
    """Most probable value and width of a Landau distribution, with their errors; NaN where it cannot be fitted.

    Parameters as of `gauss`, all bins are used.
    """
    from scipy.stats import landau as distribution

    del windowed
    centres, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)

    def expected(where: Floats, total: float, mode: float, width: float) -> Any:
        of = abs(width)
        middle, size = (where[1:] + where[:-1]) / 2, np.diff(where)
        return total * size * distribution.pdf(middle, loc=mode - _LANDAU_MODE * of, scale=of)

    start = _moments(content, edges)
    if start is None:
        return _NONE
    fullest = int(np.argmax(content / widths))
    above = content / widths > 0.5 * content[fullest] / widths[fullest]
    half = max(float(widths[above].sum()), float(widths[fullest]))
    return _least_squares(expected, content, edges, (content.sum(), float(centres[fullest]), half / 4.02))


def _moments(content: Floats, edges: Floats) -> tuple[float, float, float] | None:
    """Total, mean and width of the bins; None if there is nothing to fit."""
    positive = np.maximum(content, 0)
    total = float(positive.sum())
    if np.count_nonzero(positive) < 4:
        return None
    centres = (edges[1:] + edges[:-1]) / 2
    mean = float((positive * centres).sum() / total)
    width = float(np.sqrt((positive * (centres - mean) ** 2).sum() / total))
    return total, mean, max(width, float(np.diff(edges).min()))


def _least_squares(
    expected: Callable[..., Any], content: Floats, edges: Floats, start: tuple[float, float, float]
) -> Fitted:
    """Position and width, with errors from the covariance; three rounds, each with the errors that the last expects.

    The errors hold where the shape is that of the bins; a Landau distribution fitted to a normal one has half of them.
    Errors from the content itself pull a fit towards the bins that fluctuated down; Neyman's chi2 becomes Pearson's.
    """
    from scipy.optimize import OptimizeWarning, curve_fit

    parameters: Any = start
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error", OptimizeWarning)
            for _ in range(3):
                sigma = np.sqrt(np.maximum(expected(edges, *parameters), 1e-3 * max(content.max(), 1.0)))
                sigma = np.maximum(sigma, 0.5)
                parameters, covariance = curve_fit(
                    expected, edges, content, p0=parameters, sigma=sigma, absolute_sigma=True, maxfev=400
                )
    except (RuntimeError, ValueError, OptimizeWarning):
        return _NONE
    errors = np.sqrt(np.diag(covariance))
    return float(parameters[1]), abs(float(parameters[2])), float(errors[1]), float(errors[2])
