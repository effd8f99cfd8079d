"""Conditions under which a simulated detector counts while nothing is wrong: clusters, runs that differ, gains."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.simulator.histogram import SimulatedHistogram

__all__ = ["CONDITIONS", "INDEPENDENT", "Conditions", "scaled"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How the fills of a detector in good order differ from independent ones of the same shape in every run.

    Parameters
    ----------
    dispersion
        Variance of the fills of a bin divided by their mean: hits come in clusters, each in one bin.
    neighbours
        Of the hits of a cluster every fourth is one bin lower and every fourth one bin higher, along each axis.
    spread
        Standard deviation of each bin from run to run, relative.
    gain
        Relative fall of x of all spectra in an hour; alike in each run.
    """

    dispersion: float = 1.0
    neighbours: bool = False
    spread: float = 0.0
    gain: float = 0.0

    def density(self, histogram: SimulatedHistogram, hours: float, rng: np.random.Generator) -> Floats:
        """Expected fills per minute some ``hours`` into a run; ``rng`` is that of the run and the histogram."""
        density: Floats = histogram.density
        if self.spread:
            density = density * np.exp(rng.normal(0, self.spread, density.shape[1:]))
        if self.gain and histogram.shows == "spectrum":
            density = scaled(density, histogram.axes[0].edges, 1 + self.gain * (1 - hours))
        return density

    def fills(self, rng: np.random.Generator, expected: Floats) -> Integers:
        """Draw fills, dims (value, [z, [y,]] x); each hit of a cluster has a value of its own."""
        if self.dispersion == 1:
            return rng.poisson(expected)
        total = expected.sum(axis=0)
        clusters = rng.standard_gamma(total / (self.dispersion - 1)) * (self.dispersion - 1)
        hits = rng.poisson(clusters)
        if self.neighbours:
            for axis in range(hits.ndim):
                hits = _smeared(rng, hits, axis)
        if len(expected) == 1:
            return hits[None]
        # Where only neighbours of a cluster fall, values are as likely as anywhere.
        shares = np.where(total > 0, expected, expected.sum(axis=tuple(range(1, expected.ndim)), keepdims=True))
        split = rng.multinomial(hits, np.moveaxis(shares / shares.sum(axis=0), 0, -1))
        return np.moveaxis(split, -1, 0)


def scaled(density: Floats, edges: Floats, factor: float) -> Floats:
    """A density along x whose x are larger by a factor; flow bins stay."""
    inner = density[0, 1:-1]
    below = np.interp(edges / factor, edges, np.concatenate([[0.0], np.cumsum(inner)]))
    out = density.copy()
    out[0, 1:-1] = np.diff(below) * inner.sum() / max(below[-1] - below[0], 1e-300)
    return out


def _smeared(rng: np.random.Generator, hits: Integers, axis: int) -> Integers:
    """Hits of which every fourth moves to either neighbour along an axis; none leaves it."""
    along = np.moveaxis(hits, axis, -1)
    lower = rng.binomial(along, 0.25)
    higher = rng.binomial(along - lower, 1 / 3)
    lower[..., 0] = higher[..., -1] = 0
    out = along - lower - higher
    out[..., :-1] += lower[..., 1:]
    out[..., 1:] += higher[..., :-1]
    return np.moveaxis(out, -1, axis)


INDEPENDENT = Conditions()
CONDITIONS = {
    "independent": INDEPENDENT,
    "clusters of 1.4": Conditions(dispersion=1.4),
    "clusters of 2": Conditions(dispersion=2.0),
    "clusters of 5": Conditions(dispersion=5.0),
    "clusters of 2 over neighbours": Conditions(dispersion=2.0, neighbours=True),
    "clusters of 5 over neighbours": Conditions(dispersion=5.0, neighbours=True),
    "bins vary by 1 % from run to run": Conditions(spread=0.01),
    "gains fall by 3.7 % in an hour": Conditions(gain=0.037),
    "all together": Conditions(dispersion=2.0, neighbours=True, spread=0.01, gain=0.037),
}
