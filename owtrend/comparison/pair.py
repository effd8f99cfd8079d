"""A histogram and its reference as arrays, the input of every score, and the result of a score."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from owtrend.display import DisplayedFields
from owtrend.kernels.two_sample import statistics as kernels
from owtrend.model.axis import Axis

__all__ = ["CHI2_KINDS", "Contents", "Pair", "Result"]

Floats = NDArray[np.float64]
CHI2_KINDS = ("UU", "UW", "WW")


class Contents(NamedTuple):
    """Contents and squared errors: of the histogram with rows in time first, of the reference without."""

    data: Floats
    variance: Floats
    reference: Floats
    reference_variance: Floats


@dataclass(frozen=True, eq=False, repr=False)
class Pair(DisplayedFields):
    """A histogram in one or more rows and one reference, bins in range only.

    Parameters
    ----------
    data, variance
        Contents and their squared errors, or means, or efficiencies; shape ``(time, x[, y[, z]])``.
    reference, reference_variance
        The same, not scaled; shape ``(x[, y[, z]])``.
    scale
        Factor of the reference, ``(time, component)``.
    pulls
        Shape as ``data``; NaN where a bin has none.
    entries
        Of each row, flow included; NaN where not counted.
    kind
        ``UU``, ``UW``, ``WW``: which of the two are counts; or ``values``: bins that do not add up to a distribution.
    chi2_kind
        Which chi2 of ``TH1::Chi2Test``, by the same names; of ``values`` the sum of squared pulls.
    scale_known
        True if the scale does not come from the contents, so that missing content is significant.
    component
        Number of the component that fills each bin, flat, each with its own scale; all 0 if there is one scale.
    """

    data: Floats
    variance: Floats
    reference: Floats
    reference_variance: Floats
    scale: Floats
    pulls: Floats
    entries: Floats
    axes: tuple[Axis, ...]
    kind: str
    chi2_kind: str
    scale_known: bool
    component: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.reference.shape

    @cached_property
    def flat(self) -> Contents:
        """Contents and variances, ``(time, cell)``, and those of the reference, ``(cell,)``."""
        rows = len(self.data)
        return Contents(
            np.ascontiguousarray(self.data.reshape(rows, -1)), np.ascontiguousarray(self.variance.reshape(rows, -1)),
            np.ascontiguousarray(self.reference.ravel()), np.ascontiguousarray(self.reference_variance.ravel()),
        )  # fmt: skip

    @cached_property
    def expected(self) -> Floats:
        """The reference scaled to each row."""
        scaled: Floats = self.scale[:, self.component].reshape(self.data.shape) * self.reference
        return scaled

    @cached_property
    def used(self) -> NDArray[np.int64]:
        """Number of bins that have a pull and are not empty in both, per row."""
        filled = (self.data != 0) | (self.reference != 0)
        return self.count_bins(filled & np.isfinite(self.pulls))

    @cached_property
    def chi2(self) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
        """Chi2, degrees of freedom and ROOT's warning; of values the sum of the squared pulls.

        With components, the sum over those that are not empty in either histogram.
        """
        if self.chi2_kind != "values":
            results = [kernels.chi2(*part, CHI2_KINDS.index(self.chi2_kind)) for part in self.by_component]
            if len(results) == 1:
                return results[0]
            value, ndf, weak = (np.stack(arrays) for arrays in zip(*results, strict=True))
            valid = ~np.isnan(value)
            total = np.where(valid.any(axis=0), np.nansum(value, axis=0), np.nan)
            return total, np.where(valid, ndf, 0).sum(axis=0), np.bitwise_or.reduce(weak, axis=0)
        ndf = self.count_bins(np.isfinite(self.pulls))
        total = np.nansum(self.pulls.reshape(len(self.data), -1) ** 2, axis=1)
        return np.where(ndf > 0, total, np.nan), ndf, np.zeros_like(ndf)

    @cached_property
    def by_component(self) -> list[Contents]:
        """Part of `flat` of each component, with zeros for missing contents."""
        whole = Contents(*(np.nan_to_num(array) for array in self.flat))
        cells = [np.flatnonzero(self.component == number) for number in range(self.scale.shape[1])]
        if len(cells) == 1:
            return [whole]
        return [Contents(*(np.ascontiguousarray(array[..., chosen]) for array in whole)) for chosen in cells]

    def against_reference(self, kernel: Callable[[Floats, Floats], Floats]) -> Floats:
        """Result of a kernel for rows ``(time, x[, y[, z]])`` and a reference; with components, scaled for each row."""
        if self.scale.shape[1] == 1:
            return kernel(self.data, self.reference)
        return np.concatenate([kernel(self.data[t : t + 1], self.expected[t]) for t in range(len(self.data))])

    def count_bins(self, bins: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Number of bins chosen in each row."""
        return np.count_nonzero(bins.reshape(len(self.data), -1), axis=1)

    @property
    def missing(self) -> Floats:
        """A NaN for each row."""
        return np.full(len(self.data), np.nan)


@dataclass(frozen=True, eq=False, repr=False)
class Result(DisplayedFields):
    """Value and p-value of a score, each ``(time,)``.

    ``contribution`` is the effect of each bin on it, in the score's own units, with the shape of the pulls.
    """

    value: Floats
    p_value: Floats
    contribution: Floats
