"""Increments of a histogram -> a number with its statistical error: the formulas of all reductors.

Means and widths come from the differences of the statistics that ROOT keeps at fill time, so that they equal ROOT's;
with a range, or where ROOT did not keep them, from the bins. All else comes from the bins in range, as in ROOT.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from owtrend.errors import NotFoundError, UsageError, hint
from owtrend.kernels.cells import projections as kernels
from owtrend.kernels.cells.sums import summed
from owtrend.kernels.shapes import fit
from owtrend.model import schema
from owtrend.model.axis import Axis
from owtrend.model.histogram import bin_values, unfold
from owtrend.trends.increments import Floats, Increments

__all__ = [
    "Estimate",
    "bin_range",
    "efficiency",
    "entries",
    "events",
    "fraction",
    "gauss",
    "gauss_width",
    "highest",
    "integral",
    "kurtosis",
    "labelled_bin",
    "maximum",
    "mean",
    "median",
    "mpv",
    "overflow",
    "peak",
    "per_event",
    "quantile",
    "rate",
    "ratio",
    "skewness",
    "std",
    "underflow",
]

Estimate = tuple[Floats, Floats]  # value and error, each of shape ``(time,)``


def entries(increments: Increments) -> Estimate:
    """Fills N, under- and overflow included (``GetEntries``), with the Poisson error sqrt(N)."""
    return increments.stats["entries"], np.sqrt(np.abs(increments.stats["entries"]))


def integral(increments: Increments) -> Estimate:
    """Sum of the bins in range (``Integral``), of a profile of their means; error sqrt(sum of squared bin errors)."""
    value, variance = increments.in_range()
    return value, np.sqrt(variance)


def rate(increments: Increments) -> Estimate:
    """Entries per second since the report before, N / t; error sqrt(N) / t [Hz].

    NaN where nothing was reported, and in the first report of a run, whose begin is not known.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return increments.timed / increments.lasting, np.sqrt(np.abs(increments.timed)) / increments.lasting


def per_event(increments: Increments) -> Estimate:
    """Entries per event E, counted since the report before; error (N / E) sqrt(1 / N + 1 / E), of independent counts.

    NaN where no event counter is configured.
    """
    return _ratio(increments.stats["entries"], _events(increments))


def events(increments: Increments) -> Estimate:
    """Events counted since the report before, with the Poisson error; none where nothing was reported."""
    counted = _events(increments)
    return counted, np.sqrt(counted)


def maximum(increments: Increments) -> Estimate:
    """Content of the fullest bin of x in range, summed over other axes (``GetMaximum``).

    Error: the standard deviation of the greatest of all bins, `owtrend.kernels.cells.projections.fullest`: that of the
    bin where it stands alone, less where several are about as full. Of a profile the greatest mean; no error.
    """
    line = increments.line("x")
    error, _ = kernels.fullest(line, increments.line_variance("x"), increments.axes[0].centres)
    return line.max(axis=0), error


def highest(increments: Increments) -> Estimate:
    """Content of the fullest bin in range, of all axes together (``GetMaximum``); of a profile the greatest mean.

    Error: that of this bin alone, its content times the mean weight of an entry; of a profile none.
    """
    cells = np.nan_to_num(bin_values(increments.parts)) if increments.profile else increments.parts["contents"]
    inside = unfold(cells.T, tuple(len(axis) + 2 for axis in increments.axes), flow=False)
    value = inside.reshape(len(inside), -1).max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_content = np.nan if increments.profile else increments.stats["tsumw2"] / increments.stats["tsumw"]
        return value, np.sqrt(np.abs(value * per_content))


def mean(increments: Increments, axis: str) -> Estimate:
    """sum(w x) / sum(w) in range (``TH1::GetMean``); error std / sqrt(n_eff) (``GetMeanError``); NaN without fills."""
    value, spread = increments.mean_and_std(axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        return value, spread / np.sqrt(increments.effective)


def std(increments: Increments, axis: str) -> Estimate:
    """Square root of sum(w x**2) / sum(w) - mean**2, at least 0 (``TH1::GetStdDev``).

    Error std / sqrt(2 n_eff) (``GetStdDevError``), that of a normal distribution.
    """
    _, spread = increments.mean_and_std(axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        return spread, spread / np.sqrt(2 * increments.effective)


def skewness(increments: Increments, axis: str) -> Estimate:
    """Third standardised moment of the bins (``TH1::GetSkewness``), about `mean` in units of `std`.

    Error by the influence function (delta method), sqrt(6 / n_eff) of a normal distribution as ROOT has it of any. Of a
    profile each bin weighs by its mean, as in ROOT; no error.
    """
    return _moment(increments, axis, 0, 0.0)


def kurtosis(increments: Increments, axis: str) -> Estimate:
    """Fourth standardised moment of the bins less 3 (``TH1::GetKurtosis``); error as of `skewness`, normally
    sqrt(24 / n_eff).
    """
    return _moment(increments, axis, 1, 3.0)


def quantile(increments: Increments, axis: str, probability: float) -> Estimate:
    """Where the content of the bins in range reaches a share (``TH1::GetQuantiles``), linear within a bin.

    Error: half of what lies between the quantiles of p - s and p + s, s = sqrt(p (1 - p) / n_eff) (Woodruff, J. Am.
    Stat. Assoc. 47 (1952) 635). Of a profile each bin weighs by its mean, as in ROOT; no error.
    """
    edges = increments.axes["xyz".index(axis)].edges
    value, error = kernels.quantiles(increments.line(axis), edges, probability, increments.effective)
    return value, np.full_like(error, np.nan) if increments.profile else error


def median(increments: Increments, axis: str) -> Estimate:
    """`quantile` of one half."""
    return quantile(increments, axis, 0.5)


def underflow(increments: Increments, axis: str) -> Estimate:
    """Share of all content that lies below the axis; error as of `fraction`."""
    return _share(increments, increments.along["xyz".index(axis)][0])


def overflow(increments: Increments, axis: str) -> Estimate:
    """Share of all content that lies above the axis; error as of `fraction`."""
    return _share(increments, increments.along["xyz".index(axis)][-1])


def fraction(increments: Increments, axis: str, low: float, high: float) -> Estimate:
    """Share k / n of the content in range of all axes that lies in ``[low, high)``, bounds of bins.

    Error: half the interval of Wilson (1927) for one standard deviation, which is not zero where k is:
    sqrt(p (1 - p) / n + 1 / (4 n**2)) / (1 + 1 / n), n being effective entries.
    """
    number = "xyz".index(axis)
    first, last = bin_range(increments.axes[number], low, high)
    line = increments.along[number][1:-1]
    return _share(increments, summed(line[first:last]), summed(line))


def peak(increments: Increments, axis: str) -> Estimate:
    """Centre of the fullest bin along an axis (the first of several, ``GetMaximumBin``).

    Error: sqrt(s**2 + width**2 / 12) with the standard deviation s of the place of the fullest bin,
    `owtrend.kernels.cells.projections.fullest`, and the width of that bin. Of a profile where the mean is greatest; no
    error.
    """
    line, along = increments.line(axis), increments.axes["xyz".index(axis)]
    number = line.argmax(axis=0)
    _, spread = kernels.fullest(line, increments.line_variance(axis), along.centres)
    value = np.where(line.max(axis=0) > 0, along.centres[number], np.nan)
    return value, np.sqrt(spread**2 + np.diff(along.edges)[number] ** 2 / 12)


def gauss(increments: Increments, axis: str, *window: float) -> Estimate:
    """Mean of a normal distribution fitted to the bins, in a window or else within two widths of the mean it finds.

    Least squares with the errors that the fit expects, of effective entries; error from the covariance, which holds
    where the bins in the window are normally distributed. NaN where no fit is found, or its mean lies outside of the
    bins. Of a profile the bins hold its entries.
    """
    return _fitted(increments, axis, fit.gauss, window, 0)


def gauss_width(increments: Increments, axis: str, *window: float) -> Estimate:
    """Width of the normal distribution of `gauss`, with its error."""
    return _fitted(increments, axis, fit.gauss, window, 1)


def mpv(increments: Increments, axis: str, *window: float) -> Estimate:
    """Most probable value of a Landau distribution fitted to the bins, in a window or all; error as of `gauss`."""
    return _fitted(increments, axis, fit.landau, window, 0)


def ratio(increments: Increments, other: Increments) -> Estimate:
    """Integral by that of another histogram; error of independent counts, r sqrt(1 / a + 1 / b) with effective entries
    (``TH1::Divide``). NaN where the other gained nothing.
    """
    return _ratio(*(part for one in (increments, other) for part in one.in_range()))


def efficiency(increments: Increments, other: Increments) -> Estimate:
    """Integral k by that n of another histogram which holds all that this one has; error as of `fraction`."""
    (passed, _), (total, variance) = increments.in_range(), other.in_range()
    with np.errstate(divide="ignore", invalid="ignore"):
        return _wilson(passed / total, total**2 / variance)


def _moment(increments: Increments, axis: str, which: int, normal: float) -> Estimate:
    made = increments.moments(axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.sqrt(made[2 + which] / increments.effective)
        value = np.where(np.isfinite(made[which]), made[which], np.nan)  # ROOT's are infinite where there is no spread
    return value - normal, np.full_like(error, np.nan) if increments.profile else error


def _share(increments: Increments, part: Floats, whole: Floats | None = None) -> Estimate:
    whole = increments.whole if whole is None else whole
    with np.errstate(divide="ignore", invalid="ignore"):
        per_weight = np.abs(increments.stats["tsumw"] / increments.stats["tsumw2"])
        per_weight = np.where(np.isnan(per_weight), 1.0, per_weight)  # nothing in range, and no weights known
        return _wilson(part / whole, whole * per_weight)


def _wilson(share: Floats, n: Floats) -> Estimate:
    share = np.where((share >= 0) & (share <= 1), share, np.nan)  # what moved between bins leaves no fraction
    p = np.clip(share, 0, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return share, np.sqrt(p * (1 - p) / n + 1 / (4 * n * n)) / (1 + 1 / n)


def _ratio(a: Floats, variance_a: Floats, b: Floats | None = None, variance_b: Floats | None = None) -> Estimate:
    if b is None or variance_b is None:  # plain counts
        a, b, variance_a, variance_b = a, variance_a, np.abs(a), variance_a
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(b == 0, np.nan, a / b)
        return value, np.sqrt(variance_a / b**2 + value**2 * variance_b / b**2)


def _events(increments: Increments) -> Floats:
    return np.full(len(increments), np.nan) if increments.events is None else increments.events


def _fitted(
    increments: Increments, axis: str, shape: Callable[..., Any], window: Sequence[float], which: int
) -> Estimate:
    edges, line = increments.axes["xyz".index(axis)].edges, increments.along["xyz".index(axis)][1:-1]
    if window:
        first, last = bin_range(increments.axes["xyz".index(axis)], *window)
        edges, line = edges[first : last + 1], line[first:last]
    key = f"{shape.__name__} {axis} {window}"  # its position and its width are asked for one after the other
    if key not in vars(increments):
        with np.errstate(divide="ignore", invalid="ignore"):
            line = line * np.abs(
                increments.stats["tsumw"] / increments.stats["tsumw2"]
            )  # effective entries, which are Poisson's
        rows = np.ascontiguousarray(line.T)  # a sum over other strides may differ in the last digit
        found = np.array([shape(row, edges, windowed=bool(window)) for row in rows]).reshape(-1, 4)
        found[(found[:, 0] < edges[0]) | (found[:, 0] > edges[-1])] = np.nan
        vars(increments)[key] = found
    found = vars(increments)[key]
    return found[:, which], found[:, 2 + which]


def labelled_bin(axis: Axis, label: str) -> tuple[int, int]:
    """The bin with a label and the one behind it; of equal labels the first.

    Raises
    ------
    NotFoundError
        If there is no such label; the text names those like it.
    """
    for number, known in sorted(axis.labels.items()):
        if known == label:
            return number - 1, number
    raise NotFoundError(f"no label {label!r}{hint(label, axis.labels.values())}")


def bin_range(axis: Axis, low: float, high: float) -> tuple[int, int]:
    """The first bin of ``[low, high)`` and the one behind its last.

    Raises
    ------
    UsageError
        If a bound is not that of a bin; the text names the nearest ones.
    """
    found = []
    for bound in (low, high):
        if (edge := schema.edge_at(axis.edges, bound)) is None:
            nearest = axis.edges[np.abs(axis.edges - bound).argmin()]
            raise UsageError(
                f"range {low:g}:{high:g}: no bin begins or ends at {bound:g}; the nearest bound is {nearest:g}"
            )
        found.append(edge)
    if found[0] >= found[1]:
        raise UsageError(f"range {low:g}:{high:g} holds no bin")
    return found[0], found[1]
