"""How much the reports of a histogram scatter while nothing is wrong, learned from this run and from earlier ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.two_sample.report import COMPARISONS, SCATTER

__all__ = ["NullModel", "summary"]

Floats = NDArray[np.float64]

_WITHIN = COMPARISONS.index("this run")
_PRIOR_RUNS = 3  # that what is assumed before anything is known is worth: as many bad runs in a row are the new normal
# Relative differences that nobody cares about, until it is known how much a histogram really varies: of bins, windows,
# means (in units of the spread of y), and of the mean along an axis (in units of the spread along it).
_PRIOR = np.array([[0.02, 0.02, 0.05, 0.05, 0.0]] * 2 + [[0.03, 0.03, 0.03, 0.05, 0.0]] * 2)
_LEAST = np.array([0.5, 0.5, 0.2, 0.2, 0.0])  # fraction of these that still concerns nobody, whatever was learned
_ROOM = 2.0  # variance of what differs most, at the ends of a run or in some bins, by that of all together
_TYPICAL = 0.7  # quantile of the runs: two bad ones of the first ones, or two among eight, teach nothing


@dataclass(frozen=True, eq=False)
class NullModel:
    """Scatter of the reports of a histogram while nothing is wrong.

    The variance of a count is ``dispersion`` times that of independent fills, since fills come in clusters, plus the
    square of the expected count times ``spread``, since conditions change.

    Parameters
    ----------
    known
        Sums over the good reports of earlier runs, ``(comparison, 5, 3)``, of `SCATTER`: degrees of freedom; these
        times dispersion, and times information.
    spread
        Variance of true relative differences in each comparison, ``(comparison, 5)``.
    """

    known: Floats
    spread: Floats

    @classmethod
    def from_runs(cls, runs: Sequence[Floats]) -> Self:
        """Learn from the `summary` of each of some earlier runs."""
        if not runs:
            return cls.unknown()
        stacked = np.nan_to_num(np.stack(runs))
        freedom, dispersion, information = np.moveaxis(stacked, -1, 0)
        known = (freedom[..., None] * np.stack([np.ones_like(freedom), dispersion, information], axis=-1)).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            within = known[_WITHIN, :, 1] / known[_WITHIN, :, 0]  # less than 1 of weights that count for less
            within = np.where(np.isfinite(within), within, 1)
            excess = np.where(freedom * information > 0, _ROOM * (dispersion - within) / information, np.nan)
        prior = np.broadcast_to(_PRIOR**2, (_PRIOR_RUNS, *_PRIOR.shape))
        spread = np.nanquantile(np.concatenate([prior, excess]), _TYPICAL, axis=0, method="lower")
        return cls(known, np.fmax(spread, (_LEAST * _PRIOR) ** 2))

    @classmethod
    def unknown(cls) -> Self:
        """Nothing known yet."""
        return cls(np.zeros((len(COMPARISONS), len(SCATTER), 3)), _PRIOR**2)


def summary(learned: Floats) -> Floats:
    """Degrees of freedom, dispersion and information that a run has shown, ``(comparison, 5, 3)``; NaN where none."""
    freedom = learned[..., :1]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate([np.where(freedom > 0, freedom, np.nan), learned[..., 1:] / freedom], axis=-1)
