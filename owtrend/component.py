"""Which histograms are filled by one component, learned from when they change; which components did not report.

A detector's components send their histograms in turn, every few minutes, so histograms of one component change in the
same snapshots, and none of them in others. Nothing else tells them apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Components", "learn"]

_LUCK = 1e-3
_STRAY = 0.02  # share of a histogram's reports that may come in snapshots in which its component seems silent


@dataclass(frozen=True, eq=False)
class Components:
    """A map from histograms to components.

    Parameters
    ----------
    of
        Number of the component of each histogram, shape ``(histogram,)``; -1 where it never changed.
    reports
        Whether each component reported in each snapshot: any of its histograms changed; ``(snapshot, component)``.
    certain
        Whether the reports of each histogram would fit one of so many components by luck less than once in a thousand
        times; shape ``(histogram,)``.
    """

    of: NDArray[np.intp]
    reports: NDArray[np.bool_]
    certain: NDArray[np.bool_]

    @property
    def count(self) -> int:
        return int(self.reports.shape[1])

    def members(self, component: int) -> NDArray[np.intp]:
        """The histograms of a component."""
        return np.flatnonzero(self.of == component)


def learn(changed: NDArray[np.bool_]) -> Components:
    """Components from the snapshots in which histograms changed.

    The histogram with the most reports begins a component. Every other joins the one in whose reports its own lie, with
    few enough of its own elsewhere; of several the one that reports least often, which explains most. What fits none
    begins a new one. Histograms that are filled rarely miss reports of their component, so they come last.

    Parameters
    ----------
    changed
        Whether each histogram changed in each snapshot, shape ``(snapshot, histogram)``; of several runs, one after the
        other.
    """
    snapshots, histograms = changed.shape
    of = np.full(histograms, -1, dtype=np.intp)
    certain = np.zeros(histograms, dtype=bool)
    counts = changed.sum(axis=0)
    held: list[NDArray[np.bool_]] = []
    for histogram in np.argsort(-counts, kind="stable"):
        count, mine = int(counts[histogram]), changed[:, histogram]
        if not count:
            continue
        best = -1
        for number, reports in enumerate(held):
            stray = int((mine & ~reports).sum())
            if stray <= _STRAY * count and (best < 0 or reports.sum() < held[best].sum()):
                best = number
        if best < 0:
            held.append(mine.copy())
            best = len(held) - 1
        of[histogram] = best
    reports = np.zeros((snapshots, len(held)), dtype=bool)
    for component in range(len(held)):
        reports[:, component] = changed[:, of == component].any(axis=1)
    known = np.flatnonzero(of >= 0)
    if len(known):
        certain[known] = len(held) * reports.mean(axis=0)[of[known]] ** counts[known] < _LUCK
    return Components(of, reports, certain)
