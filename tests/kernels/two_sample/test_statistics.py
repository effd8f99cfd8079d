"""Against ROOT's stored numbers, SciPy's distributions and slow twins."""

import json
import math
from pathlib import Path

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import spatial, special, stats

from owtrend.kernels.two_sample import beta_binomial, statistics
from tests import oracles

ROOT = json.loads((Path(__file__).parents[2] / "data/root/comparisons.json").read_text())
CASES = [pytest.param(case, id=f"{len(case['shape'])}-D {case['option']}") for case in ROOT["cases"]]
TABLE = beta_binomial.log_factorials()


def arrays(case):
    return [np.array(case[name], dtype=float) for name in ("data", "variance", "reference", "reference_variance")]


@pytest.mark.parametrize("case", CASES)
def test_chi2_is_roots(case):
    data, variance, reference, its = arrays(case)
    kind = ("UU", "UW", "WW").index(case["option"])
    chi2, ndf, weak = statistics.chi2(data[None], variance[None], reference, its, kind)
    assert chi2[0] == pytest.approx(case["chi2"], rel=1e-9)
    assert (ndf[0], weak[0]) == (case["ndf"], case["igood"])
    assert statistics.chi2_probability(chi2, ndf)[0] == pytest.approx(case["chi2_p"], rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_kolmogorov_is_roots_but_for_what_root_mistakes(case):
    """ROOT 6.40 counts weights as entries of the second in 2-D and of both in 3-D, and there divides by 6 once more."""
    data, variance, reference, its = arrays(case)
    dims = len(case["shape"])
    distance = statistics.kolmogorov(data[None], reference, case["shape"])
    assert distance[0] / (6 if dims == 3 else 1) == pytest.approx(case["ks"], rel=1e-9)
    n, m = data.sum() ** 2 / variance.sum(), reference.sum() ** 2 / its.sum()
    p = statistics.kolmogorov_probability(distance, np.array([n]), m)[0]
    if dims == 1 or (dims == 2 and case["option"] == "UU"):
        assert p == pytest.approx(case["ks_p"], rel=1e-6)
    root = math.sqrt(n * reference.sum() / (n + m)) * distance[0]
    if dims == 3:
        root = math.sqrt(data.sum() * reference.sum() / (data.sum() + reference.sum())) * distance[0] / 6
    assert case["ks_p"] == pytest.approx(special.kolmogorov(root), rel=1e-6) or dims == 1


def test_the_kolmogorov_distribution_is_roots():
    for z, expected in ROOT["kolmogorov"]:
        got = statistics.kolmogorov_probability(np.array([z]), np.array([2.0]), 2.0)[0]
        assert got == pytest.approx(expected, rel=1e-6)


def test_chi2_and_distances_without_content_are_not_a_number():
    one, none = np.array([[1.0, 2.0]]), np.zeros(2)
    for kind in (statistics.UU, statistics.UW, statistics.WW):
        assert np.isnan(statistics.chi2(one, one, none, none, kind)[0])
    assert np.isnan(statistics.chi2(one, np.zeros((1, 2)), one[0], none, statistics.WW)[0])  # content without error
    assert np.isnan(statistics.kolmogorov(one, none, (2,)))
    assert np.isnan(statistics.transport(one, none, np.arange(2.0)))
    assert np.isnan(statistics.jensen_shannon(one, none))


COUNTS = st.integers(0, 60)


def test_gauss_pulls_by_hand():
    data, reference = np.array([[9.0, 0, 4, 0, 40]]), np.array([10.0, 16, 0, 0, 60])
    got = statistics.gauss_pulls(data, data, reference, reference, np.array([0.5]))[0]
    agreed = 0.5 * (data[0] + reference)
    variance = np.fmax(data[0] + reference / 4, agreed)
    np.testing.assert_allclose(got, np.nan_to_num((data[0] - reference / 2) / np.sqrt(np.fmax(variance, 1e-9))))
    assert variance.tolist() == [11.5, 8, 4, 0, 55]
    heavy = statistics.gauss_pulls(3 * data, 9 * data, 2 * reference, 4 * reference, np.array([0.5 * 3 / 2]))[0]
    np.testing.assert_allclose(heavy, got)  # weights that are all the same change nothing
    none = np.zeros((1, 5))
    assert np.isnan(statistics.gauss_pulls(data, none, reference, none[0], np.ones(1))[0][[0, 1, 2, 4]]).all()


def test_asymmetric_pulls_take_the_errors_that_face_each_other():
    got = statistics.asymmetric_pulls(np.array([[4.0, 0, 0, -1]]), np.array([0.0, 3, 0, 1]), np.ones(1))[0]
    low, high = stats.chi2.ppf(0.15865525393145707, 8) / 2, stats.chi2.ppf(1 - 0.15865525393145707, 2) / 2
    its_low = stats.chi2.ppf(0.15865525393145707, 6) / 2
    np.testing.assert_allclose(got, [4 / math.hypot(4 - low, high), -3 / math.hypot(high, 3 - its_low), 0, np.nan])


@given(d=st.integers(0, 80), r=st.integers(0, 80), scale=st.floats(0.05, 20))
def test_exact_pulls_are_those_of_a_binomial_test(d, r, scale):
    assume(d + r > 0)
    p = scale / (1 + scale)
    point = stats.binom.pmf(d, d + r, p)
    above, below = stats.binom.sf(d - 1, d + r, p) - point / 2, stats.binom.cdf(d, d + r, p) - point / 2
    assume(min(above, below) > 1e-280)
    expected = stats.norm.isf(above) if above < below else -stats.norm.isf(below)
    got = statistics.exact_pulls(np.array([[float(d)]]), np.array([float(r)]), np.array([scale]))[0, 0]
    assert got == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_exact_pulls_of_good_counts_are_normal_and_those_of_autodqm_a_little_small():
    rng = np.random.default_rng(3)
    reference = rng.poisson(400, 40_000).astype(float)
    data = rng.poisson(40, (1, 40_000)).astype(float)
    exact = statistics.exact_pulls(data, rng.poisson(400, 40_000).astype(float), np.array([0.1]))
    assert exact.std() == pytest.approx(1, abs=0.02)
    assert (np.abs(exact) > 3).mean() == pytest.approx(0.0027, abs=0.001)
    believed, total = beta_binomial.shrunk(reference, reference.sum(), 0.01)
    pulls = beta_binomial.beta_binomial(data, data.sum(axis=1), believed, total, True, TABLE)
    assert 0.6 < pulls.std() < 0.85
    assert (np.abs(pulls) > 3).mean() < 0.0027


def test_exact_pulls_go_on_beyond_the_smallest_number():
    got = statistics.exact_pulls(np.array([[1e4, 1e5]]), np.zeros(2), np.array([0.1]))[0]
    assert (np.diff(np.append(37, got)) > 0).all()


@given(data=hnp.arrays(float, (2, 7), elements=COUNTS), reference=hnp.arrays(float, 7, elements=COUNTS))
def test_distances_are_scipys(data, reference):
    assume(reference.sum() > 0 and (data.sum(axis=1) > 0).all())
    centres = np.array([0.0, 1, 1.5, 4, 7, 8, 20])
    moved, distance = statistics.transport(data, reference, centres), statistics.jensen_shannon(data, reference)
    largest = statistics.kolmogorov(data, reference, (7,))
    for row, counts in enumerate(data):
        expected = stats.wasserstein_distance(centres, centres, counts, reference)
        assert moved[row] == pytest.approx(expected, abs=1e-9)
        expected = spatial.distance.jensenshannon(counts, reference, base=2)
        assert distance[row] == pytest.approx(np.nan_to_num(expected), abs=1e-6)
        shares = np.cumsum(counts) / counts.sum() - np.cumsum(reference) / reference.sum()
        assert largest[row] == pytest.approx(np.abs(shares).max(), abs=1e-12)


@given(values=hnp.arrays(float, (1, 4, 5), elements=COUNTS), reach=st.integers(1, 2))
def test_neighbours_are_those_of_a_loop(values, reach):
    sums, number = statistics.neighbours(values, reach)
    np.testing.assert_allclose(sums[0], oracles.neighbour_sum(values[0], reach))
    np.testing.assert_allclose(number[0], oracles.neighbour_sum(np.ones((4, 5)), reach))


def test_looking_elsewhere_by_hand():
    p = statistics.look_elsewhere(np.array([0.1, 1e-30, 1.0]), np.array([2, 10**6, 5]))
    assert p == pytest.approx([0.19, 1e-24, 1])
    assert statistics.at_least(np.array([0, 1, 2]), np.array([2, 2, 2]), 0.5) == pytest.approx([1, 0.75, 0.25])
