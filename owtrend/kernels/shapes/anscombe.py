"""Counts told in units of their own fluctuation, few counts included."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHIFT", "around_worst", "mean_shares", "pulls", "variation"]

Floats = NDArray[np.float64]
SHIFT = 3 / 8
_GROWS = 2.5
_STEPS, _UP_TO = 32, 32  # of the table of second moments: per count, and up to how many


def pulls(counts: Floats, expected: Floats) -> Floats:
    """2 sqrt(n + 3/8) - 2 sqrt(expected + 3/8): Anscombe, Biometrika 35 (1948) 246.

    Its variance is 1 from about 2 expected counts on, whatever they are, and goes to 0 below: a bin where next to
    nothing is expected does not weigh more than one with thousands, as it does in Pearson's (n - e) / sqrt(e).
    """
    made = np.sqrt(counts + SHIFT)
    made -= np.sqrt(expected + SHIFT)
    made *= 2
    return made


def variation(expected: Floats) -> Floats:
    """Mean of the square of `pulls` where counts are Poisson: exact below 32 expected counts, 1 above."""
    at = np.minimum(expected * _STEPS + 0.5, _STEPS * _UP_TO).astype(np.int32)
    return _table().take(at)


def mean_shares(counts: Floats) -> Floats:
    """Share of each bin in all reports added; half a count more in each, so that none is impossible."""
    added = counts.sum(axis=0) + 0.5
    return np.asarray(added / added.sum(), dtype=np.float64)


def around_worst(counts: Floats, expected: Floats, pulls: Floats) -> tuple[slice, ...]:
    """The box of bins about the largest |pull| that are off in the same direction.

    It grows by the neighbouring line of bins that is farthest off, (n - e) / sqrt(e + 1), while that is 2.5 or more.
    """
    worst = np.unravel_index(int(np.argmax(np.abs(pulls))), pulls.shape)
    sign = np.sign(pulls[worst])
    box = [slice(int(at), int(at) + 1) for at in worst]
    while True:
        best, grown = _GROWS, None
        for axis, (own, size) in enumerate(zip(box, pulls.shape, strict=True)):
            for beside in (own.start - 1, own.stop):
                if not 0 <= beside < size:
                    continue
                line = (*box[:axis], slice(beside, beside + 1), *box[axis + 1 :])
                wanted = float(expected[line].sum())
                off = sign * (float(counts[line].sum()) - wanted) / np.sqrt(wanted + 1)
                if off >= best:
                    best, grown = off, (axis, slice(min(own.start, beside), max(own.stop, beside + 1)))
        if grown is None:
            return tuple(box)
        box[grown[0]] = grown[1]


@cache
def _table() -> Floats:
    """At multiples of 1 / 32."""
    mean = np.arange(_STEPS * _UP_TO + 1)[:, None] / _STEPS
    n = np.arange(1, 128)
    log = np.log(np.maximum(mean, 1e-300)) * n - mean - np.cumsum(np.log(n))
    chance = np.concatenate([np.exp(-mean), np.exp(log)], axis=1)
    moments = np.asarray((chance * pulls(np.arange(128.0) + 0 * mean, mean) ** 2).sum(axis=1))
    moments[-1] = 1.0
    return moments
