"""A histogram beside its reference, as arrays: what every score of `owtrend.comparison.scores` is made from, and what
it gives.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.two_sample import statistics as kernels
from owtrend.model.axis import Axis

__all__ = ["TESTS", "Pair", "Result"]

Floats = NDArray[np.float64]
TESTS = ("UU", "UW", "WW")


@dataclass(frozen=True, eq=False)
class Pair:
    """A histogram in one or more rows beside one reference, bins in range only.

    Parameters
    ----------
    data, variance
        Shape ``(time, x[, y[, z]])``: contents and their squared errors; or means, efficiencies.
    reference, reference_variance
        Shape ``(x[, y[, z]])``, as it is.
    scale
        What the reference is to be multiplied by, ``(time, component)``.
    pulls
        Shape as ``data``; NaN where a bin has none.
    entries
        Of each row, flow included, NaN where nobody counted.
    kind
        ``UU``, ``UW``, ``WW``: which of both are counts; or ``values``: bins that do not add up to a distribution.
    test
        Which chi2 of ``TH1::Chi2Test``, by the same names; of ``values`` the sum of squared pulls.
    known
        Whether the scale is known from elsewhere than the contents, so that a missing content means something.
    of
        Number of the component that fills each bin, flat, each with a scale of its own; all 0 if there is one scale.
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
    test: str
    known: bool
    of: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.reference.shape

    @cached_property
    def flat(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Data, variance ``(time, cell)``, reference and its variance ``(cell,)``."""
        rows = len(self.data)
        return (
            np.ascontiguousarray(self.data.reshape(rows, -1)), np.ascontiguousarray(self.variance.reshape(rows, -1)),
            np.ascontiguousarray(self.reference.ravel()), np.ascontiguousarray(self.reference_variance.ravel()),
        )  # fmt: skip

    @cached_property
    def expected(self) -> Floats:
        """The reference scaled to each row."""
        made: Floats = self.scale[:, self.of].reshape(self.data.shape) * self.reference
        return made

    @cached_property
    def used(self) -> NDArray[np.int64]:
        """How many bins have a pull and are not empty in both."""
        filled = (self.data != 0) | (self.reference != 0)
        return self.count(filled & np.isfinite(self.pulls))

    @cached_property
    def chi2(self) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
        """Chi2, degrees of freedom and ROOT's warning; of values the sum of the squared pulls.

        Of components the sum over those that are empty in neither.
        """
        if self.test != "values":
            found = [kernels.chi2(*part, TESTS.index(self.test)) for part in self.parts]
            if len(found) == 1:
                return found[0]
            value, ndf, weak = (np.stack(made) for made in zip(*found, strict=True))
            known = ~np.isnan(value)
            total = np.where(known.any(axis=0), np.nansum(value, axis=0), np.nan)
            return total, np.where(known, ndf, 0).sum(axis=0), np.bitwise_or.reduce(weak, axis=0)
        ndf = self.count(np.isfinite(self.pulls))
        total = np.nansum(self.pulls.reshape(len(self.data), -1) ** 2, axis=1)
        return np.where(ndf > 0, total, np.nan), ndf, np.zeros_like(ndf)

    @cached_property
    def parts(self) -> list[tuple[Floats, Floats, Floats, Floats]]:
        """What is `flat`, of each component, with zeros for what is missing."""
        whole = [np.nan_to_num(part) for part in self.flat]
        cells = [np.flatnonzero(self.of == number) for number in range(self.scale.shape[1])]
        if len(cells) == 1:
            return [(whole[0], whole[1], whole[2], whole[3])]
        made = [[np.ascontiguousarray(part[..., own]) for part in whole] for own in cells]
        return [(one[0], one[1], one[2], one[3]) for one in made]

    def beside(self, kernel: Callable[[Floats, Floats], Floats]) -> Floats:
        """A kernel of rows ``(time, x[, y[, z]])`` and one reference; of components each row beside its own."""
        if self.scale.shape[1] == 1:
            return kernel(self.data, self.reference)
        return np.concatenate([kernel(self.data[t : t + 1], self.expected[t]) for t in range(len(self.data))])

    def count(self, bins: NDArray[np.bool_]) -> NDArray[np.int64]:
        """How many bins of each row."""
        return np.count_nonzero(bins.reshape(len(self.data), -1), axis=1)

    @property
    def missing(self) -> Floats:
        return np.full(len(self.data), np.nan)


@dataclass(frozen=True, eq=False)
class Result:
    """Value and p-value, each ``(time,)``; ``blame`` has what each bin did to it, in units of its own, as the pulls."""

    value: Floats
    p_value: Floats
    blame: Floats
