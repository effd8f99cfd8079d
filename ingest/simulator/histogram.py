"""A histogram of the simulated detector: its binning, its fills, and its object in a ROOT file."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.model import root_sums
from owtrend.model.axis import Axis
from owtrend.model.histogram import DTYPES, Histogram
from owtrend.output import root_writer

__all__ = ["Binning", "SimulatedHistogram", "filled", "labelled", "regular", "root_object"]

FEW_BINS = 10  # an axis with so few bins counts categories and is never made coarser


@dataclass(frozen=True, eq=False)
class Binning:
    """An axis. Faults find the phi, eta, side, row or FastOR axis by its ``title``."""

    title: str
    edges: NDArray[Any]
    labels: tuple[str, ...] = ()
    is_regular: bool = False

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def centres(self) -> NDArray[Any]:
        """Centres of all bins; flow bins are as wide as their neighbours."""
        edges = self.edges
        edges = np.array([2 * edges[0] - edges[1], *edges, 2 * edges[-1] - edges[-2]])
        return (edges[1:] + edges[:-1]) / 2

    def coarser(self, fraction: float) -> "Binning":
        """The axis with about ``fraction`` of the bins, each of whole old ones; the last may pass the old end."""
        bins = len(self)
        if fraction >= 1 or self.labels or bins <= FEW_BINS:
            return self
        wanted = max(FEW_BINS, bins * fraction)
        divisors = [number for number in range(FEW_BINS, bins + 1) if bins % number == 0]
        nearest = min(divisors, key=lambda number: abs(np.log(number / wanted)), default=bins)
        if not self.is_regular or 2 / 3 < nearest / wanted < 3 / 2:
            return replace(self, edges=self.edges[:: bins // nearest])
        step = round(bins / wanted)
        number, width = -(-bins // step), (self.edges[-1] - self.edges[0]) / bins * step
        return regular(self.title, number, self.edges[0], self.edges[0] + number * width)


def regular(title: str, bins: int, low: float, high: float) -> Binning:
    """An axis of ``bins`` bins of one width."""
    return Binning(title, np.linspace(low, high, bins + 1), is_regular=True)


def labelled(title: str, *labels: str) -> Binning:
    """An axis with a name for each bin."""
    return Binning(title, np.arange(len(labels) + 1.0), labels, is_regular=True)


@dataclass(frozen=True, eq=False)
class SimulatedHistogram:
    """A simulated histogram. Each fill has one of ``values``: its weight in a ``TH*``, its y in a ``TProfile``."""

    name: str
    title: str
    class_name: str
    shows: str  # events, channels, map, sectors, spectrum or other: decides which faults can strike
    rate: float  # fills per minute with a fresh beam
    axes: tuple[Binning, ...]
    shape: Callable[..., Any]  # density at ([value, if there are several,] x[, y[, z]])
    values: tuple[float, ...] = ()
    sumw2: bool = False
    option: str = ""  # error option of a TProfile

    @property
    def bins(self) -> int:
        """Number of bins, without flow bins."""
        return int(np.prod([len(axis) for axis in self.axes]))

    def coarser(self, fraction: float) -> "SimulatedHistogram":
        """The same histogram with about ``fraction`` of its bins, all axes coarser alike."""
        fraction **= 1 / len(self.axes)
        return replace(self, axes=tuple(axis.coarser(fraction) for axis in self.axes))

    @cached_property
    def grid(self) -> list[NDArray[Any]]:
        """The centres of x, y, z along their dims of `density`, then the values."""
        centres = [axis.centres for axis in self.axes]
        return list(np.meshgrid(self.values or (1.0,), *centres[::-1], indexing="ij", sparse=True))[::-1]

    @cached_property
    def density(self) -> NDArray[Any]:
        """Expected fills per minute with a fresh beam, dims (value, [z, [y,]] x), flow bins included."""
        *centres, value = self.grid
        density = 0 * sum(centres, value) + self.shape(*([value] if value.size > 1 else []), *centres)
        return self.rate / density.sum() * density

    @cached_property
    def stored_axes(self) -> tuple[Axis, ...]:
        """The axes as owtrend stores them."""
        return tuple(_axis(axis) for axis in self.axes)


def _axis(axis: Binning) -> Axis:
    labels = dict(enumerate(axis.labels, start=1))
    if axis.is_regular:
        spaced = Axis.spaced(len(axis), axis.edges[0], axis.edges[-1])
        return replace(spaced, title=axis.title, labels=labels)
    return Axis(np.asarray(axis.edges, dtype=np.float64), regular=False, title=axis.title, labels=labels)


def root_object(histogram: Histogram) -> Any:
    """The histogram for uproot to write. It is serialized once, however often it is written."""
    written = root_writer.root_object(histogram)
    written.serialize = cache(written.serialize)
    return written


def filled(histogram: SimulatedHistogram, counts: NDArray[Any], merged: int = 1) -> Histogram:
    """The histogram as ROOT keeps it after these fills at bin centres.

    Each ``merged`` bins of x become one, as by ``TH1::Rebin``, which leaves the statistics unchanged.
    """
    values = histogram.values or (1.0,)
    fills = counts.sum(axis=0) if len(counts) > 1 else counts[0]
    sumw, sumw2 = fills, fills
    if histogram.values and histogram.values != (1.0,):
        sumw, sumw2 = (np.tensordot(np.power(values, power), counts, axes=1) for power in (1, 2))
    profile = histogram.class_name == "TProfile"
    inner = (slice(1, -1),) * fills.ndim  # flow bins count among the entries, not in the other sums
    centres = [axis.centres[1:-1] for axis in histogram.axes]
    sums = {"entries": float(fills.sum())} | root_sums.from_marginals((fills if profile else sumw)[inner], centres)
    sums["tsumw2"] = float((fills if profile else sumw2)[inner].sum())
    axes = histogram.stored_axes
    if merged > 1:
        fills, sumw, sumw2 = (_merged(part, merged) for part in (fills, sumw, sumw2))
        axes = (_axis(replace(histogram.axes[0], edges=histogram.axes[0].edges[::merged])), *axes[1:])
    if profile:
        sums |= {"tsumwy": float(sumw[inner].sum()), "tsumwy2": float(sumw2[inner].sum())}
        parts = {"sumwy": sumw, "sumwy2": sumw2, "bin_entries": fills}
    else:
        dtype = DTYPES[histogram.class_name[-1]]
        if np.issubdtype(dtype, np.integer):
            sumw = sumw.clip(max=np.iinfo(dtype).max)  # where ROOT stops counting
        parts = {"contents": sumw, "sumw2": sumw2} if histogram.sumw2 else {"contents": sumw}
    return Histogram(
        path=(histogram.name,), class_name=histogram.class_name, title=histogram.title, axes=axes,
        error_option=histogram.option, parts={name: part.ravel() for name, part in parts.items()}, sums=sums,
    )  # fmt: skip


def _merged(part: NDArray[Any], number: int) -> NDArray[Any]:
    """Merge each ``number`` bins of x, a divisor of their number; flow bins stay."""
    inner = part[..., 1:-1]
    summed = inner.reshape(*inner.shape[:-1], -1, number).sum(axis=-1)
    return np.concatenate([part[..., :1], summed, part[..., -1:]], axis=-1)
