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
from owtrend.kernels.two_sample.tails import log_upper, student, z_of_log_p

__all__ = ["COMPARISONS", "DIFFERENCE", "SCATTER", "SCORES", "Group", "Verdict", "compare", "compare_all", "null_of",
           "scores", "verdict"]  # fmt: skip

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
# Counts, their `line_sums`, and the moments of a profile, (3, cell); no cells where there is no such group. A plain
# tuple: a NamedTuple argument costs 2 us more in each call (numba looks up its type by name).
Group = tuple[Floats, Floats, Floats]

COMPARISONS = ("other runs", "run so far", "this run", "last reports")  # what a report is compared with
SCORES = ("chi2", "bin", "window", "shift", "profile_chi2", "profile_bin")
_CHI2, _BIN, _WINDOW, _SHIFT, _PROFILE_CHI2, _PROFILE_BIN = range(len(SCORES))
# What shows how much histograms scatter while nothing is wrong, each with three numbers: the degrees of freedom from
# which it is known, the dispersion (variance divided by that of independent fills), and the mean information.
SCATTER = ("cells", "lines", "means", "axes", "blocks")
_CELLS, _LINES, _MEANS, _AXES, _BLOCKS = range(len(SCATTER))
_WITHIN = COMPARISONS.index("this run")  # shows how much reports scatter within a run
_ENOUGH = 4  # degrees of freedom
_ASSUMED, _ASSUMED_DISPERSION = 20.0, 1.4  # degrees of freedom, and their dispersion, before anything was seen
_CAUSES = 4.0  # independent reasons why a histogram differs from run to run
_SPARSE = 0.4  # of what clusters add: as much too little shows in bins with few counts, `benchmarks/studies` has it

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

    total: float
    comparison: int
    score: int


@compiled(error_model="numpy")
def compare(
    data: Group, reference: Group, bounds: Numbers, min_entries: float, null: Floats, result: np.void, scatter: Floats,
    plain: Floats,
) -> None:  # fmt: skip
    """Compare two groups of counts; ``result``, a record of `DIFFERENCE`, ``scatter`` and ``plain`` are filled here.

    Trials are 0, and log-probabilities NaN, where a test is not possible.

    Parameters
    ----------
    bounds
        See `owtrend.kernels.two_sample.lines.line_bounds`.
    min_entries
        See `owtrend.kernels.two_sample.profile.compare_means`.
    null
        Degrees of freedom, dispersion and spread of each of `SCATTER`, ``(5, 3)``.
    scatter
        Degrees of freedom, dispersion and information that these data show, ``(5, 3)``.
    plain
        Dispersion with what is far off, ``(5,)``.
    """
    counts, sums, moments = data
    reference_counts, reference_sums, reference_moments = reference
    n, whole = sums[bounds[1] - 1], reference_sums[bounds[1] - 1]
    result["data_total"], result["reference_total"] = n, whole
    result["bins"] = result["bin_trials"] = result["window_trials"] = result["shift_trials"] = 0
    result["chi2"] = result["bin_log_p"] = result["window_log_p"] = result["shift_log_p"] = np.nan
    scatter[:] = 0.0
    if n > 0 and whole > 0:
        p = n / (n + whole)
        bins = compare_bins(counts, reference_counts, n + whole, p, null[_CELLS, 1], null[_LINES, 1], null[_CELLS, 2])
        result["bins"], result["chi2"] = bins.bins, bins.chi2
        result["inverse"], result["inverse2"] = bins.inverse, bins.inverse2
        result["bin_log_p"], result["bin_trials"] = student(bins.log_p, null[_CELLS, 0]), bins.trials
        result["bin_cell"], result["bin_sign"] = bins.cell, bins.sign
        scatter[_CELLS] = bins.freedom, bins.dispersion, n * whole / (n + whole) / max(bins.bins, 1)
        scatter[_BLOCKS] = float(bins.blocks), bins.uneven, 0.0
        plain[_CELLS], plain[_BLOCKS] = bins.plain, bins.uneven
        if bins.trials > 0:
            window = worst_window(sums, reference_sums, bounds, p, null[_LINES, 1], null[_LINES, 2])
            result["window_log_p"], result["window_trials"] = student(window.log_p, null[_LINES, 0]), window.trials
            result["window_axis"], result["window_sign"] = window.axis, window.sign
            result["window_first"], result["window_last"] = window.first, window.last
            scatter[_LINES] = window.freedom, window.dispersion, window.information
            plain[_LINES] = window.plain
            shift = worst_shift(sums, reference_sums, bounds, null[_AXES, 1], null[_AXES, 2])
            result["shift_log_p"], result["shift_trials"] = student(shift.log_p, null[_AXES, 0]), shift.trials
            result["shift_axis"], result["shift_sign"] = shift.axis, shift.sign
            scatter[_AXES] = float(shift.trials), shift.dispersion, n * whole / (n + whole)
            plain[_AXES] = shift.dispersion
    means = compare_means(moments, reference_moments, min_entries, null[_MEANS, 1], null[_MEANS, 2])
    result["profile_chi2"], result["profile_bins"] = means.chi2, means.bins
    result["profile_log_p"] = student(means.log_p, null[_MEANS, 0])
    result["profile_cell"], result["profile_sign"] = means.cell, means.sign
    scatter[_MEANS] = means.freedom, means.dispersion, means.information
    plain[_MEANS] = means.plain


@compiled(error_model="numpy")
def scores(difference: np.void, null: Floats) -> Floats:
    """Normal z of `SCORES` from a record of `DIFFERENCE`, with the null it was made with; NaN where there is none."""
    out = np.full(len(SCORES), np.nan)
    d = difference
    if d["bins"] > 1:
        factor = null[_CELLS, 1]
        mean, variance, skewness = three_moments(
            d["data_total"] / factor, d["reference_total"] / factor, float(d["bins"]), d["inverse"] * factor,
            d["inverse2"] * factor * factor,
        )  # fmt: skip
        # With two bins, or one count where hardly any is expected, chi2 has few possible values: bins say more.
        if variance > 0.05 * (d["bins"] - 1) and skewness < 3.5:
            uneven = null[_BLOCKS, 1]
            wider = max(2 * mean * uneven / variance, 1.0)
            variance, third = variance * wider, skewness * math.sqrt(wider) * (variance * wider) ** 1.5
            # What runs differ by has few causes, which move all bins: that part of chi2 varies as one of few numbers.
            more = null[_CELLS, 2] * d["data_total"] * d["reference_total"] / (d["data_total"] + d["reference_total"])
            moved = mean * more / (more + factor * d["bins"])
            variance, third = variance + 2 * moved**2 / _CAUSES, third + 8 * moved**3 / _CAUSES**2
            out[_CHI2] = z_of_chi2(d["chi2"], mean, variance, third / variance**1.5, null[_CELLS, 0] / uneven)
    if d["bin_trials"] > 0:
        out[_BIN] = z_of_log_p(d["bin_log_p"] + math.log(d["bin_trials"]))
    if d["window_trials"] > 0:
        out[_WINDOW] = z_of_log_p(d["window_log_p"] + math.log(d["window_trials"]))
    if d["shift_trials"] > 0:
        out[_SHIFT] = z_of_log_p(d["shift_log_p"] + math.log(d["shift_trials"]))
    if d["profile_bins"] > 0:
        n = float(d["profile_bins"])
        out[_PROFILE_CHI2] = z_of_chi2(d["profile_chi2"], n, 2 * n, math.sqrt(8 / n), null[_MEANS, 0])
        out[_PROFILE_BIN] = z_of_log_p(d["profile_log_p"] + math.log(n))
    return out


@compiled
def _sum(first: Group, second: Group) -> Group:
    return first[0] + second[0], first[1] + second[1], first[2] + second[2]


@compiled
def null_of(learned: Floats, known: Floats, spread: Floats, number: int) -> Floats:
    """How much a histogram scatters in one comparison while nothing is wrong.

    Parameters
    ----------
    learned
        Sums over the good reports of this run, ``(comparison, 5, 3)``, of `SCATTER`: degrees of freedom; these times
        dispersion, and times information.
    known
        The same of earlier runs.
    spread
        Variance of true differences in each comparison, ``(comparison, 5)``.
    number
        Of the comparison.

    Returns
    -------
    :
        Degrees of freedom, dispersion and spread of each, ``(5, 3)``.
    """
    out = np.zeros((len(SCATTER), 3))
    for part in range(len(SCATTER)):
        within = learned[_WITHIN, part] + known[_WITHIN, part]
        if within[0] > 0 or number >= _WITHIN:
            _assume(out[part], within[0], within[1])
        else:  # runs of one report: all that they scatter is how much they differ
            _assume(out[part], known[number, part, 0], known[number, part, 0])
        out[part, 2] = spread[number, part]
    _complete(out)
    return out


@compiled
def _assume(null: Floats, freedom: float, total: float) -> None:
    """Degrees of freedom and dispersion, from so many that were seen and their sum; a few are assumed."""
    null[0] = freedom + _ASSUMED
    dispersion = max((total + _ASSUMED * _ASSUMED_DISPERSION) / null[0], 1.0)
    null[1] = dispersion + _SPARSE * (dispersion - 1)


@compiled
def _complete(null: Floats) -> None:
    """Lines scatter no less than cells, and shifts no less than lines; where little is known of them, as much."""
    for part, other in ((_LINES, _CELLS), (_AXES, _LINES)):
        if null[part, 0] < _ASSUMED + _ENOUGH and null[part, 1] <= null[other, 1]:
            null[part, 0] = null[other, 0]
        null[part, 1] = max(null[part, 1], null[other, 1])
    null[_BLOCKS, 1] = max(null[_BLOCKS, 1], 1.0)


@compiled
def compare_all(
    report: Group,
    reference: Group,
    accepted: Group,
    latest: Group,
    earlier: Group,
    bounds: Numbers,
    learned: Floats,
    known: Floats,
    spread: Floats,
    min_entries: float,
) -> tuple[Floats, NDArray[np.void], Floats]:
    """A report compared with all its references in one call; see `COMPARISONS`.

    Parameters
    ----------
    report, reference, accepted, latest, earlier
        The report, other runs, and of its own run all accepted reports, the last ones, and those before these.
    learned, known, spread
        As of `null_of`.
    bounds, min_entries
        As of `compare`.

    Returns
    -------
    :
        `scores` of each comparison, ``(comparison, score)``, NaN where there is none; records of `DIFFERENCE`; what
        each showed of its `SCATTER`, ``(comparison, 5, 3)``.
    """
    raw = np.full((len(COMPARISONS), len(SCORES)), np.nan)
    differences = np.zeros(len(COMPARISONS), dtype=DIFFERENCE)
    scatter, plain = np.zeros((len(COMPARISONS), len(SCATTER), 3)), np.zeros(len(SCATTER))
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
        null = null_of(learned, known, spread, number)
        # Nothing is known of the first two reports of all: they show themselves how much they scatter.
        rounds = 3 if learned[_WITHIN, _CELLS, 0] + known[:, _CELLS, 0].sum() == 0 else 1
        for this in range(rounds):
            compare(data, other, bounds, min_entries, null, differences[number], scatter[number], plain)
            if this < rounds - 1:
                for part in range(len(SCATTER)):
                    if scatter[number, part, 0] > 0:
                        _assume(
                            null[part], scatter[number, part, 0], scatter[number, part, 0] * scatter[number, part, 1]
                        )
                _complete(null)
        # How much runs differ shows where they differ most; and clusters are few and large where few counts are.
        for part in range(len(SCATTER)):
            scatter[number, part, 1] = plain[part]
        row = scores(differences[number], null)
        for score in range(len(row)):  # as one assignment it takes 5 s longer to compile
            raw[number, score] = row[score]
    return raw, differences, scatter


@compiled
def verdict(raw: Floats, most_specific: tuple[int, ...], nearly: float) -> Verdict:
    """All scores in all comparisons as one.

    Parameters
    ----------
    raw
        Rows of `scores`, shape ``(comparison, score)``.
    most_specific, nearly
        Scores by how much they say about where it is; one is preferred to the largest z from this fraction of it on.

    Returns
    -------
    :
        The least likely one after the trials factor; comparison and score that say most, -1 if there is no score.
    """
    comparisons, count = raw.shape
    largest, trials = -np.inf, 0
    best, at = np.full(count, -np.inf), np.zeros(count, dtype=np.int64)
    for i in range(comparisons):
        for j in range(count):
            if raw[i, j] == raw[i, j]:
                trials += 1
                if raw[i, j] > best[j]:
                    best[j], at[j] = raw[i, j], i
                largest = max(largest, raw[i, j])
    if trials == 0:
        return Verdict(np.nan, -1, -1)
    total = z_of_log_p(min(log_upper(largest) + math.log(trials), 0.0))
    score = 0
    for j in most_specific:
        if best[j] >= min(nearly * largest, largest):
            score = j
            break
    return Verdict(total, at[score], score)
