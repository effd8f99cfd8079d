"""Pulls of single bins or sums of bins: of counts, weighted contents, means and efficiencies."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.comparison.pair import Contents
from owtrend.kernels.two_sample import beta_binomial
from owtrend.kernels.two_sample import statistics as kernels

__all__ = ["PULLS", "beta_binomial_pulls", "content_pulls", "facing_variances", "value_pulls"]

Floats = NDArray[np.float64]
PULLS = ("beta_binomial", "exact", "poisson", "gauss")
ONE_SIGMA = 0.682689492137  # level of an interval that states none


def content_pulls(contents: Contents, scale: Floats, pull: str, tolerance: float, *, by_total: bool) -> Floats:
    """Pulls of contents by the method ``pull``, shape of ``contents.data``.

    Parameters
    ----------
    scale
        Factor of the reference in each row.
    tolerance
        Relative difference that is never significant, for ``beta_binomial``.
    by_total
        True if the scale comes from the totals of these contents.
    """
    rows = len(contents.data)
    data, variance = contents.data.reshape(rows, -1), contents.variance.reshape(rows, -1)
    reference, reference_variance = contents.reference.ravel(), contents.reference_variance.ravel()
    if pull == "beta_binomial":
        pulls = beta_binomial_pulls(data, reference, contents.reference.sum(), scale, tolerance, by_total=by_total)
    elif pull != "gauss":
        pulls = (kernels.exact_pulls if pull == "exact" else kernels.asymmetric_pulls)(data, reference, scale)
    if pull == "gauss" or np.isnan(pulls).any():  # negative counts, as an entry moved to another bin
        gauss = kernels.gauss_pulls(data, variance, reference, reference_variance, scale)
        pulls = gauss if pull == "gauss" else np.where(np.isnan(pulls), gauss, pulls)
    return pulls.reshape(contents.data.shape)


def beta_binomial_pulls(
    data: Floats, reference: Floats, reference_total: float, scale: Floats, tolerance: float, *, by_total: bool
) -> Floats:
    """AutoDQM's pulls of counts ``(time, cell)``; ``reference_total`` includes cells that are not in ``reference``."""
    total = max(float(reference_total), 1.0)  # any number does for an empty reference
    believed, wholes = beta_binomial.shrunk(reference, total, tolerance)
    amount = data.sum(axis=1) if by_total else scale * total
    data = np.ascontiguousarray(data)
    pulls: Floats = beta_binomial.beta_binomial(
        data, amount, believed, wholes, by_total, beta_binomial.log_factorials()
    )
    return pulls


def value_pulls(contents: Contents) -> Floats:
    """(value - reference) / error of means or efficiencies; NaN where there is no value or no error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = (contents.data - contents.reference) / np.sqrt(contents.variance + contents.reference_variance)
    return np.where(np.isinf(pull), np.nan, pull)


def facing_variances(
    histogram: xr.Dataset, reference: xr.Dataset, contents: Contents, dims: tuple[str, ...]
) -> Contents:
    """The contents with variances of efficiencies from the ends of their intervals that face each other."""
    value, reference_value = contents.data, contents.reference
    variances = []
    for efficiency, own, upper in (
        (histogram, value, reference_value > value), (reference, reference_value, value > reference_value),
    ):  # fmt: skip
        kept = [dim for dim in dims if dim in efficiency.dims]
        low, high = (efficiency[end].transpose(*kept).values for end in ("lower", "upper"))
        sigmas = beta_binomial.normal_quantile(np.log((1 - efficiency.attrs.get("level", ONE_SIGMA)) / 2))
        variances.append((np.where(upper, high - own, own - low) / sigmas) ** 2)
    return contents._replace(variance=variances[0], reference_variance=variances[1])
