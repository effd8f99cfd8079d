"""One report compared with all its references: scores of bins, windows, shifts and means, and one verdict.

All probabilities are conditional on the margins, the sum d + r in each bin and both totals, so that one normalisation
is free. Cells are in ROOT's order, flow bins included: what leaves an axis is seen in them.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.compiled import compiled
from owtrend.kernels.two_sample.bins import compare_bins
from owtrend.kernels.two_sample.chi2_moments import three_moments, z_of_chi2
from owtrend.kernels.two_sample.lines import worst_shift, worst_window
from owtrend.kernels.two_sample.profile import compare_means
from owtrend.kernels.two_sample.tails import log_upper, z_of_log_p

__all__ = ["COMPARISONS", "DIFFERENCE", "SCORES", "Group", "Verdict", "compare", "compare_all", "scores", "verdict"]

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
# Counts, their `line_sums`, and the moments of a profile, (3, cell); no cells where there is no such group. A plain
# tuple: a NamedTuple argument costs 2 us more in each call (numba looks up its type by name).
Group = tuple[Floats, Floats, Floats]

COMPARISONS = ("other runs", "run so far", "this run", "last reports")  # what a report is compared with
SCORES = ("chi2", "bin", "window", "shift", "profile_chi2", "profile_bin")
_CHI2, _BIN, _WINDOW, _SHIFT, _PROFILE_CHI2, _PROFILE_BIN = range(len(SCORES))
_OVERDISPERSION = len(SCORES)  # column behind the scores: chi2 divided by its expectation

# A comparison: totals; fields of `BinDifference`, `WindowDifference`, `ShiftDifference` and `MeanDifference`.
DIFFERENCE = np.dtype(
    [(name, np.float64) for name in ("data_total", "reference_total", "chi2", "inverse", "inverse2")]
    + [(f"{part}_{name}", np.float64) for part in ("bin", "window", "shift", "profile") for name in ("log_p", "sign")]
    + [(f"{part}_trials", np.int64) for part in ("bin", "window", "shift")]
    + [(name, np.int64) for name in ("bins", "bin_cell", "window_axis", "window_first", "window_last", "shift_axis")]
    + [("profile_chi2", np.float64), ("profile_bins", np.int64), ("profile_cell", np.int64)]
)


class Verdict(NamedTuple):
    """All scores of a report as one; see `verdict`."""

    z: Floats
    total: float
    comparison: int
    score: int


@compiled(error_model="numpy")
def compare(data: Group, reference: Group, bounds: Numbers, min_entries: float, result: np.void) -> None:
    """Compare two groups of counts; ``result`` is a record of `DIFFERENCE`, filled here.

    Trials are 0, and log-probabilities NaN, where a test is not possible.

    Parameters
    ----------
    bounds
        See `owtrend.kernels.two_sample.lines.line_bounds`.
    min_entries
        See `owtrend.kernels.two_sample.profile.compare_means`.
    """
    counts, sums, moments = data
    reference_counts, reference_sums, reference_moments = reference
    n, whole = sums[bounds[1] - 1], reference_sums[bounds[1] - 1]
    result["data_total"], result["reference_total"] = n, whole
    result["bins"] = result["bin_trials"] = result["window_trials"] = result["shift_trials"] = 0
    result["chi2"] = result["bin_log_p"] = result["window_log_p"] = result["shift_log_p"] = np.nan
    if n > 0 and whole > 0:
        p = n / (n + whole)
        bins = compare_bins(counts, reference_counts, p)
        result["bins"], result["chi2"] = bins.bins, bins.chi2
        result["inverse"], result["inverse2"] = bins.inverse, bins.inverse2
        result["bin_log_p"], result["bin_trials"] = bins.log_p, bins.trials
        result["bin_cell"], result["bin_sign"] = bins.cell, bins.sign
        if bins.trials > 0:
            window = worst_window(sums, reference_sums, bounds, p)
            result["window_log_p"], result["window_trials"] = window.log_p, window.trials
            result["window_axis"], result["window_sign"] = window.axis, window.sign
            result["window_first"], result["window_last"] = window.first, window.last
            shift = worst_shift(sums, reference_sums, bounds)
            result["shift_log_p"], result["shift_trials"] = shift.log_p, shift.trials
            result["shift_axis"], result["shift_sign"] = shift.axis, shift.sign
    means = compare_means(moments, reference_moments, min_entries)
    result["profile_chi2"], result["profile_bins"] = means.chi2, means.bins
    result["profile_log_p"], result["profile_cell"], result["profile_sign"] = means.log_p, means.cell, means.sign


@compiled(error_model="numpy")
def scores(difference: np.void) -> Floats:
    """Normal z of `SCORES`, then chi2 divided by its expectation, from a record of `DIFFERENCE`; NaN where none is."""
    out = np.full(len(SCORES) + 1, np.nan)
    d = difference
    if d["bins"] > 1:
        mean, variance, skewness = three_moments(
            d["data_total"], d["reference_total"], float(d["bins"]), d["inverse"], d["inverse2"]
        )
        # With two bins, or one count where hardly any is expected, chi2 has few possible values: bins say more.
        if variance > 0.05 * (d["bins"] - 1) and skewness < 3.5:
            out[_CHI2] = z_of_chi2(d["chi2"], mean, variance, skewness)
            out[_OVERDISPERSION] = d["chi2"] / mean
    if d["bin_trials"] > 0:
        out[_BIN] = z_of_log_p(d["bin_log_p"] + math.log(d["bin_trials"]))
    if d["window_trials"] > 0:
        out[_WINDOW] = z_of_log_p(d["window_log_p"] + math.log(d["window_trials"]))
    if d["shift_trials"] > 0:
        out[_SHIFT] = z_of_log_p(d["shift_log_p"] + math.log(d["shift_trials"]))
    if d["profile_bins"] > 0:
        n = d["profile_bins"]
        # chi2 made a normal variable (Wilson & Hilferty 1931).
        out[_PROFILE_CHI2] = ((d["profile_chi2"] / n) ** (1 / 3) - (1 - 2 / (9 * n))) * math.sqrt(4.5 * n)
        out[_PROFILE_BIN] = z_of_log_p(d["profile_log_p"] + math.log(n))
    return out


@compiled
def _sum(first: Group, second: Group) -> Group:
    return first[0] + second[0], first[1] + second[1], first[2] + second[2]


@compiled
def _scaled(group: Group, factor: float) -> Group:
    return group[0] * factor, group[1] * factor, group[2] * factor


@compiled
def compare_all(
    report: Group,
    reference: Group,
    accepted: Group,
    latest: Group,
    earlier: Group,
    bounds: Numbers,
    overdispersion: Floats,
    min_entries: float,
) -> tuple[Floats, NDArray[np.void]]:
    """A report compared with all its references in one call; see `COMPARISONS`.

    Parameters
    ----------
    report, reference, accepted, latest, earlier
        The report, other runs, and of its own run all accepted reports, the last ones, and those before these.
    overdispersion
        By which counts are divided in each comparison, ``(comparison,)``.
    bounds, min_entries
        As of `compare`.

    Returns
    -------
    :
        `scores` of each comparison, ``(comparison, score + 1)``, NaN where there is none; records of `DIFFERENCE`.
    """
    raw = np.full((len(COMPARISONS), len(SCORES) + 1), np.nan)
    differences = np.zeros(len(COMPARISONS), dtype=DIFFERENCE)
    for number in range(len(COMPARISONS)):
        data, other = report, reference
        if number == 1:
            if not len(accepted[0]):
                continue
            data = _sum(accepted, report)
        elif number == 2:
            other = accepted
        elif number == 3:
            other = earlier
            if len(earlier[0]):
                data = _sum(latest, report)
        if not len(other[0]):
            continue
        if overdispersion[number] != 1:
            factor = 1 / overdispersion[number]
            data, other = _scaled(data, factor), _scaled(other, factor)
        compare(data, other, bounds, min_entries, differences[number])
        row = scores(differences[number])
        for score in range(len(row)):  # as one assignment it takes 5 s longer to compile
            raw[number, score] = row[score]
        raw[number, _OVERDISPERSION] *= overdispersion[number]
    return raw, differences


@compiled
def verdict(raw: Floats, location: Floats, scale: Floats, most_specific: tuple[int, ...], nearly: float) -> Verdict:
    """All scores in all comparisons as one.

    Parameters
    ----------
    raw
        Rows of `scores`, shape ``(comparison, score + 1)``.
    location, scale
        Of each z while nothing is wrong, ``(comparison, score)``.
    most_specific, nearly
        Scores by how much they say about where it is; one is preferred to the largest z from this fraction of it on.

    Returns
    -------
    :
        z conditional on location and scale; the least likely one after the trials factor; comparison and score that
        say most, -1 if there is no score.
    """
    comparisons, count = location.shape
    z = np.empty((comparisons, count))
    largest, trials = -np.inf, 0
    best, at = np.full(count, -np.inf), np.zeros(count, dtype=np.int64)
    for i in range(comparisons):
        for j in range(count):
            z[i, j] = (raw[i, j] - location[i, j]) / scale[i, j]
            if z[i, j] == z[i, j]:
                trials += 1
                if z[i, j] > best[j]:
                    best[j], at[j] = z[i, j], i
                largest = max(largest, z[i, j])
    if trials == 0:
        return Verdict(z, np.nan, -1, -1)
    total = z_of_log_p(min(log_upper(largest) + math.log(trials), 0.0))
    score = 0
    for j in most_specific:
        if best[j] >= min(nearly * largest, largest):
            score = j
            break
    return Verdict(z, total, at[score], score)
