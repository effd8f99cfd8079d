"""Number of ways in which reports vary by more than noise."""

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.shapes.anscombe import mean_shares, pulls

__all__ = ["MOST", "variations"]

Floats = NDArray[np.float64]
MOST = 8
_FLIPS = 19  # copies with random signs: noise alone is above them all once in twenty times
_ONE_REPORT, _GAP = 0.5, 2.0  # fraction of a component in one report, and its size relative to the next component


def variations(counts: Floats, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp], int]:
    """Rows that are like others, rows that are not, and the number of variations that the first have in common.

    Parallel analysis by random signs (Hong, Sheng, Dobriban, arXiv:2012.02985), one component after the other: the
    first singular value of the residuals is compared with those of 19 copies with random signs. The copies keep the
    noise of each bin and report, Poisson or not, and undo what bins have in common.

    Parameters
    ----------
    counts
        ``(report, cell)``.
    rows
        Numbers of the reports to use.
    """
    rng = np.random.default_rng(0)
    lone: list[int] = []
    while True:
        kept = counts[rows]
        most = min(MOST, len(rows) // 4)
        left = pulls(kept, kept.sum(axis=1, keepdims=True) * mean_shares(kept)) if len(rows) else kept
        left = left.astype(np.float32)  # half the time; singular values are not needed to seven digits
        for found in range(most + 1):
            if found == most:
                return rows, np.array(lone, dtype=np.intp), found
            eigenvalues, vectors = np.linalg.eigh(left @ left.T)
            main = vectors[:, -1]
            worst = int(np.argmax(main**2))
            if main[worst] ** 2 > _ONE_REPORT and eigenvalues[-1] > _GAP * eigenvalues[-2]:
                lone.append(int(rows[worst]))
                rows = np.delete(rows, worst)
                break
            # The residuals lack the directions of the mean and of earlier components, which random signs fill again.
            fuller = len(rows) / (len(rows) - 1 - found)
            if eigenvalues[-1] <= fuller * max(_flipped(left, rng) for _ in range(_FLIPS)):
                return rows, np.array(lone, dtype=np.intp), found
            left = left - np.outer(main, main @ left)


def _flipped(left: Floats, rng: np.random.Generator) -> float:
    """Largest squared singular value of a copy with random signs."""
    bits = np.unpackbits(np.frombuffer(rng.bytes((left.size + 7) // 8), dtype=np.uint8), count=left.size)
    signed = left * (1 - 2 * bits.astype(np.float32)).reshape(left.shape)
    return float(np.linalg.eigvalsh(signed @ signed.T)[-1])
