"""Counts in units of their own fluctuation, few counts included."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHIFT", "around_worst", "mean_shares", "pulls", "variation"]

Floats = NDArray[np.float64]
SHIFT = 3 / 8
_GROWS = 2.5  # errors by which a line of bins must be off to join the box
_STEPS, _UP_TO = 32, 32  # table of second moments: steps per count, and largest count


def pulls(counts: Floats, expected: Floats) -> Floats:
    """2 sqrt(n + 3/8) - 2 sqrt(expected + 3/8): Anscombe, Biometrika 35 (1948) 246.

    The variance is 1 from about 2 expected counts on and goes to 0 below, so a nearly empty bin does not weigh more
    than one with thousands of counts, as it does in Pearson's (n - e) / sqrt(e).
    """
    pull = np.sqrt(counts + SHIFT)
    pull -= np.sqrt(expected + SHIFT)
    pull *= 2
    return pull


def variation(expected: Floats) -> Floats:
    """Mean square of `pulls` for Poisson counts: exact below 32 expected counts, 1 above."""
    index = np.minimum(expected * _STEPS + 0.5, _STEPS * _UP_TO).astype(np.int32)
    return _table().take(index)


def mean_shares(counts: Floats) -> Floats:
    """Fraction of each bin in the sum of all reports; half a count is added to each, so that none is impossible."""
    total = counts.sum(axis=0) + 0.5
    return np.asarray(total / total.sum(), dtype=np.float64)


def around_worst(counts: Floats, expected: Floats, pulls: Floats) -> tuple[slice, ...]:
    """Box of bins around the largest |pull| that are off in the same direction.

    It grows by the neighbouring line of bins that is off most, (n - e) / sqrt(e + 1), while that is 2.5 or more.
    """
    worst = np.unravel_index(int(np.argmax(np.abs(pulls))), pulls.shape)
    sign = np.sign(pulls[worst])
    box = [slice(int(index), int(index) + 1) for index in worst]
    while True:
        best, grown = _GROWS, None
        for axis, (side, size) in enumerate(zip(box, pulls.shape, strict=True)):
            for neighbour in (side.start - 1, side.stop):
                if not 0 <= neighbour < size:
                    continue
                line = (*box[:axis], slice(neighbour, neighbour + 1), *box[axis + 1 :])
                line_expected = float(expected[line].sum())
                off = sign * (float(counts[line].sum()) - line_expected) / np.sqrt(line_expected + 1)
                if off >= best:
                    best, grown = off, (axis, slice(min(side.start, neighbour), max(side.stop, neighbour + 1)))
        if grown is None:
            return tuple(box)
        box[grown[0]] = grown[1]


@cache
def _table() -> Floats:
    """Mean square at multiples of 1 / 32 expected counts."""
    mean = np.arange(_STEPS * _UP_TO + 1)[:, None] / _STEPS
    n = np.arange(1, 128)
    log = np.log(np.maximum(mean, 1e-300)) * n - mean - np.cumsum(np.log(n))
    chance = np.concatenate([np.exp(-mean), np.exp(log)], axis=1)
    moments = np.asarray((chance * pulls(np.arange(128.0) + 0 * mean, mean) ** 2).sum(axis=1))
    moments[-1] = 1.0
    return moments
