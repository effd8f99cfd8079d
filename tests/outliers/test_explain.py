"""Reasons: one sentence on the score that says most."""

import math

import numpy as np
import pytest

from owtrend.model.axis import Axis
from owtrend.model.finding import BinRange
from owtrend.outliers import explain
from owtrend.outliers.explain import reason, relative_excess, rms_difference
from owtrend.outliers.monitor import SCORES, Counts, HistogramMonitor
from tests.builders import independent_fills

AXES = (Axis.spaced(20, 0, 10, "energy [GeV]"),)


def found(data, reference):
    """Score and reason of a report compared with runs 7 and 8."""
    sizes = np.array([22], dtype=np.int64)
    monitor = HistogramMonitor(Counts(np.asarray(reference, dtype=float), sizes), independent_fills())
    report = Counts(np.asarray(data, dtype=float), sizes)
    scores = monitor.test(report)
    assert scores is not None
    return SCORES[scores.worst[1]], reason(
        scores, monitor.compared(scores, report), AXES, [7, 8], monitor.dispersion(scores)
    )


def test_reasons_name_bins_by_their_axis():
    flat, data = np.full(22, 1000.0), np.full(22, 100.0)
    data[3] = 400
    score, why = found(data, flat)
    assert score == "bin"
    assert why.words.startswith(
        "energy [GeV] 1 to 1.5: 400 counts where 114 are expected, +252 ± 18 % (compared with 2 runs, 7 to 8; "
    )
    assert (why.bins, why.side) == ((BinRange("x", 3, 3, 1.0, 1.5),), 1)
    assert why.size == pytest.approx((2.52, 0.179), rel=1e-2)
    data[3] = 100
    data[9:13] = 40
    score, why = found(data, flat)
    assert score == "window"
    assert why.words.startswith("energy [GeV] 4 to 6: 160 counts where 356 are expected, -55.1 ± 3.9 %")
    assert (why.bins, why.side) == ((BinRange("x", 9, 12, 4.0, 6.0),), -1)
    score, why = found(np.linspace(90, 110, 22), flat)
    assert score == "shift"
    assert why.words.startswith("shifted to larger energy [GeV]: a mean of 5.1")
    assert (why.bins, why.side) == ((BinRange("x", 0, 21, -math.inf, math.inf),), 1)


def test_every_score_has_its_words():
    assert {score.value for score in explain._REASONS} == set(SCORES)


def test_the_size_of_a_different_shape_is_that_of_its_bins_without_their_scatter():
    rng = np.random.default_rng(5)
    off = rng.normal(0, 0.05, 400)
    sizes, alike = [], []
    for _ in range(30):
        reference = 3.0 * rng.poisson(4000 / 3, 400)
        clusters = 3.0 * rng.poisson(400 / 3 * np.exp(off), 400)
        sizes.append(rms_difference(clusters, reference, 3.0))
        alike.append(rms_difference(3.0 * rng.poisson(400 / 3, 400), reference, 3.0))
    values, errors = np.array(sizes).T
    assert values.mean() == pytest.approx(off.std(), abs=0.004)
    assert values.std() == pytest.approx(errors.mean(), rel=0.4)
    assert np.mean(alike, axis=0)[0] < off.std() / 3


def test_the_error_of_an_excess_is_how_much_it_varies():
    rng = np.random.default_rng(6)
    seen, known = rng.poisson(150, 4000), rng.poisson(1000, 4000)
    sizes = np.array([relative_excess(d, r / 10, 0.1, 1.0) for d, r in zip(seen.tolist(), known.tolist(), strict=True)])
    assert sizes[:, 0].mean() == pytest.approx(0.5, abs=0.01)
    assert sizes[:, 0].std() == pytest.approx(sizes[:, 1].mean(), rel=0.05)


def test_a_shift_has_the_size_of_the_difference_of_the_means():
    rng = np.random.default_rng(7)
    x = AXES[0].centres
    expected = [n * (1 + tilt * (x - 5)) / 20 for n, tilt in ((4000, 0.02), (100_000, 0.0))]
    score, why = found(*(np.pad(rng.poisson(one), 1) for one in expected))
    assert score == "shift"
    assert why.size.error == pytest.approx(10 / np.sqrt(12 * 4000), rel=0.1)
    assert abs(why.size.value - 0.02 * 100 / 12) < 3 * why.size.error


def test_profiles_have_the_sizes_of_the_differences_of_their_means():
    rng = np.random.default_rng(8)

    def profile(entries, up):
        y = [rng.normal(3 + up * (cell == 4), 2, entries) for cell in range(22)]
        moments = np.array([[len(one), one.sum(), (one**2).sum()] for one in y]).T
        return Counts(moments[0], np.array([22], dtype=np.int64), moments)

    monitor, report = HistogramMonitor(profile(10_000, 0.0), independent_fills()), profile(1000, 1.0)
    scores = monitor.test(report)
    why = reason(scores, monitor.compared(scores, report), AXES, [7], monitor.dispersion(scores))
    assert SCORES[scores.worst[1]] == "profile_bin"
    assert why.size.error == pytest.approx(2 / np.sqrt(1000), rel=0.2)
    assert abs(why.size.value - 1) < 3 * why.size.error
    every = HistogramMonitor(profile(10_000, 0.0), independent_fills(), scores=(SCORES.index("profile_chi2"),))
    scores = every.test(report)
    why = reason(scores, every.compared(scores, report), AXES, [7], every.dispersion(scores))
    assert abs(why.size.value - 1 / np.sqrt(22)) < 3 * why.size.error < 0.1


def test_a_profile_whose_y_spread_more_is_said_to():
    rng = np.random.default_rng(9)

    def profile(entries, wide):
        y = [rng.normal(3, wide, entries) + (cell % 3 - 1) * (wide > 2) for cell in range(22)]
        moments = np.array([[len(one), one.sum(), (one**2).sum()] for one in y]).T
        return Counts(moments[0], np.array([22], dtype=np.int64), moments)

    scores = SCORES.index("profile_chi2")
    monitor, report = HistogramMonitor(profile(10_000, 2.0), independent_fills(), scores=(scores,)), profile(1000, 4.0)
    found = monitor.test(report)
    why = reason(found, monitor.compared(found, report), AXES, [7], monitor.dispersion(found))
    assert why.words.startswith("the spread of y within the bins changed by +")
    assert float(why.words.split("+")[1].split()[0]) == pytest.approx(100, abs=10)


def test_a_single_run_that_is_the_reference_may_be_the_bad_one():
    flat, data = np.full(22, 1000.0), np.full(22, 100.0)
    data[3] = 400
    sizes = np.array([22], dtype=np.int64)
    monitor, report = HistogramMonitor(Counts(flat, sizes), independent_fills()), Counts(data, sizes)
    scores = monitor.test(report)
    assert scores is not None
    both = monitor.compared(scores, report)
    one, two = (reason(scores, both, AXES, runs, monitor.dispersion(scores)).words for runs in ([7], [7, 8]))
    assert "(compared with run 7, the only one there is, which may be the bad one itself; " in one
    assert "bad one" not in two
