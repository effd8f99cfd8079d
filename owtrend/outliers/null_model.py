"""How the scores of a histogram scatter while nothing is wrong, learned from earlier runs or from the run itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.series.mad import mad_sigma, nan_median
from owtrend.kernels.two_sample.report import COMPARISONS, SCORES

__all__ = ["KNOWN_RUNS", "NullModel", "summary"]

Floats = NDArray[np.float64]

QUIET_QUANTILE = 0.15  # overdispersion is taken from the quietest 15 % of a run's reports
MIN_OVERDISPERSION = 1.3  # less is not significant
KNOWN_RUNS, _KNOWN_REPORTS = 3, 8  # a null model needs at least as many


@dataclass(frozen=True, eq=False)
class NullModel:
    """Scatter of a histogram's scores while nothing is wrong.

    It is never narrower than counting statistics. It is wider where fills come in bunches, or where conditions change
    from run to run.

    Parameters
    ----------
    overdispersion
        chi2 divided by its expectation, ``(comparison,)``: counts are worth fewer by this factor.
    location, scale
        Of z, once counts were divided by the overdispersion, ``(comparison, score)``; 0 and 1: counting statistics.
    """

    overdispersion: Floats
    location: Floats
    scale: Floats

    @classmethod
    def from_runs(cls, runs: Sequence[Floats]) -> Self:
        """Learn from the `summary` of each of some earlier runs."""
        plain = cls.counting()
        if len(runs) < KNOWN_RUNS:
            return plain
        stacked = np.stack(runs)
        count, location, scale = stacked[..., 0], stacked[..., 1], stacked[..., 2]
        known = (count > 0).sum(axis=0)
        middle = nan_median(location)
        wide = np.sqrt(nan_median(scale**2) + mad_sigma(location, middle) ** 2)
        return cls(*_significant(middle, wide, np.where(known >= KNOWN_RUNS, np.nansum(count, axis=0), 0)))

    @classmethod
    def from_reports(cls, raw: Sequence[Floats]) -> Self:
        """Learn from `owtrend.outliers.monitor.ReportScores.raw` of earlier reports of the same run.

        For runs without others before them. Only the overdispersion, and only from the quietest reports: a fault in
        the run must not become normal in it.
        """
        plain = cls.counting()
        if len(raw) < _KNOWN_REPORTS:
            return plain
        ordered = np.sort([scores[:, -1] for scores in raw], axis=0)  # NaN last
        known = np.isfinite(ordered).sum(axis=0)
        at = (QUIET_QUANTILE * np.maximum(known - 1, 0)).astype(np.intp)
        quiet = np.where(known >= _KNOWN_REPORTS, ordered[at, np.arange(len(COMPARISONS))], 1.0)
        return replace(plain, overdispersion=np.where(quiet > MIN_OVERDISPERSION, quiet, 1.0))

    @classmethod
    def counting(cls) -> Self:
        """Counting statistics alone."""
        shape = len(COMPARISONS), len(SCORES)
        return cls(np.ones(len(COMPARISONS)), np.zeros(shape), np.ones(shape))


def summary(raw: Sequence[Floats]) -> Floats:
    """Count, median and spread (as sigma) of the raw scores of a run's reports; ``(comparison, score + 1, 3)``."""
    if not raw:
        return np.full((len(COMPARISONS), len(SCORES) + 1, 3), np.nan)
    stacked = np.stack(raw)
    middle = nan_median(stacked)
    spread = mad_sigma(stacked, middle)
    return np.stack([np.isfinite(stacked).sum(axis=0).astype(float), middle, spread], axis=-1)


def _significant(location: Floats, scale: Floats, count: Floats) -> tuple[Floats, Floats, Floats]:
    """Overdispersion, location and scale where they differ from counting statistics by two errors."""
    known, root = count > 0, np.sqrt(np.maximum(count, 1))
    error = 2 * 1.25 * scale / root
    overdispersion = np.where((known & (location - error > 1))[:, -1], location[:, -1], 1.0)
    moved = np.where(known, location - np.fmax(error, 2 * 1.25 / root), 0.0)
    wider = np.where(known, scale / (1 + 2 * 1.17 / root), 1.0)
    return overdispersion, np.fmax(np.nan_to_num(moved[:, :-1]), 0), np.fmax(np.nan_to_num(wider[:, :-1]), 1)
