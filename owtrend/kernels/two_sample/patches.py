"""Where a map differs: connected patches of bad bins and blocks of bins that differ together, with what chance does."""

import math
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

__all__ = ["blocks", "connected", "patch_probability"]

Floats = NDArray[np.float64]

# Of patches of n bins that share faces there are at most GROWTH**n per bin: Barequet & Shalah, Algorithmica 84 (2022)
# 3559, of polyominoes and polycubes; on a line there is one.
_GROWTH = {1: 1.0, 2: 4.5252, 3: 9.3835}


def connected(pulls: Floats, limit: float) -> list[NDArray[np.intp]]:
    """Patches of bins whose pulls are beyond ``limit`` on the same side, connected by their faces; largest sum first.

    ``pulls`` has shape ``(x[, y[, z]])``; each patch is flat indices, C order.
    """
    from scipy.ndimage import label

    found = []
    for bad in (pulls > limit, pulls < -limit):
        numbers, count = label(bad)
        order = np.argsort(numbers, axis=None, kind="stable")
        starts = np.searchsorted(numbers.ravel()[order], np.arange(1, count + 2))
        found += [order[a:b] for a, b in pairwise(starts)]
    flat = np.abs(pulls).ravel()
    return sorted(found, key=lambda patch: -flat[patch].sum())


def patch_probability(local: float, size: int, bins: int, axes: int) -> float:
    """Probability of any patch of any size being as unlikely as this one, at most.

    ``local`` is that of these ``size`` bins together, as if nobody had chosen them. There are at most bins growth**size
    patches of one size, and sizes share the total by weights 1 / (n (n + 1)): the bound holds whatever rule chose the
    patch.
    """
    if local <= 0:
        return 0.0
    log_p = math.log(local) + math.log(bins) + size * math.log(_GROWTH[axes]) + math.log(size * (size + 1))
    return min(1.0, math.exp(min(log_p, 0.0)))


def blocks(shape: tuple[int, ...], *maps: Floats) -> tuple[NDArray[np.intp], list[Floats]]:
    """Sums of maps over blocks of 2, 4, 8, ... bins along each axis (1 too, but not along all), half overlapping.

    Returns the bounds, shape ``(block, axis, 2)``, the second behind the last bin, and one array of sums per map. No
    block is longer than half an axis, or all of it where another axis is cut.
    """
    sizes = [sorted({*(2**n for n in range((extent // 2).bit_length()) if 2**n <= extent // 2), 1, extent})
        for extent in shape]  # fmt: skip
    found: list[NDArray[np.intp]] = []
    for lengths in product(*sizes):
        if lengths == shape or all(length == 1 for length in lengths):
            continue
        starts = [np.unique(np.append(np.arange(0, extent - length + 1, max(length // 2, 1)), extent - length))
            for extent, length in zip(shape, lengths, strict=True)]  # fmt: skip
        grid = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, len(shape))
        found.append(np.stack([grid, grid + lengths], axis=-1))
    if not found:
        return np.empty((0, len(shape), 2), dtype=np.intp), [np.empty(0) for _ in maps]
    bounds = np.concatenate(found).astype(np.intp)
    sums = []
    for values in maps:
        total = np.pad(values.astype(np.float64), [(1, 0)] * len(shape))
        for axis in range(len(shape)):
            total = total.cumsum(axis=axis)
        found_sum = np.zeros(len(bounds))
        for corner in product((0, 1), repeat=len(shape)):
            at = tuple(bounds[:, axis, side] for axis, side in enumerate(corner))
            found_sum += (-1) ** (len(shape) - sum(corner)) * total[at]
        sums.append(found_sum)
    return bounds, sums
