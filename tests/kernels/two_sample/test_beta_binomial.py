"""Against SciPy's distributions and AutoDQM's formula, slowly."""

import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import special, stats

from owtrend.kernels.two_sample import beta_binomial
from tests import oracles

TABLE = beta_binomial.log_factorials()
COUNTS = st.integers(0, 60)


@given(data=hnp.arrays(float, (2, 6), elements=COUNTS), reference=hnp.arrays(float, 6, elements=st.integers(0, 3000)),
       tolerance=st.sampled_from([0.0, 0.01, 0.1]))  # fmt: skip
def test_beta_binomial_pulls_are_autodqms(data, reference, tolerance):
    assume(reference.sum() > 10 and (data.sum(axis=1) > 0).all())
    believed, total = beta_binomial.shrunk(reference, reference.sum(), tolerance)
    assume((believed <= total).all())  # of one filled bin they round apart
    got = beta_binomial.beta_binomial(data, data.sum(axis=1), believed, total, True, TABLE)
    for row, counts in zip(got, data, strict=True):
        expected = oracles.beta_binomial_pull(counts, reference, tolerance)
        seen = np.abs(expected) < 36
        np.testing.assert_allclose(row[seen], expected[seen], atol=2e-5)
        assert (np.abs(row[~seen]) > 35.9).all()


@pytest.mark.parametrize(("n", "whole"), [(900, 5_000), (70_000, 200_000), (10**6, 10**9), (10**9, 10**11)])
def test_log_beta_binomial_keeps_its_digits(n, whole):
    reference = np.array([0.0, 7, 400, whole - 407])
    data = np.array([[3.0, 0, 250, n - 253]])
    got = beta_binomial.log_beta_binomial(data, reference, np.full(4, float(whole)), TABLE)[0]
    for d, r, value in zip(data[0, :3], reference[:3], got[:3], strict=True):
        exact = (
            oracles.log_choose(n, int(d)) + oracles.log_choose(whole, int(r))
            - oracles.log_choose(n + whole, int(d + r)) + math.log((whole + 1) / (n + whole + 1))
        )  # fmt: skip
        assert value == pytest.approx(exact, rel=1e-9, abs=2e-7)


def test_the_probabilities_of_all_counts_add_up_to_one():
    n, r, whole = 40, 5.0, 90.0
    data = np.array([[k, n - k] for k in range(n + 1)], dtype=float)
    log_p = beta_binomial.log_beta_binomial(data, np.array([r, whole - r]), np.full(2, whole), TABLE)
    assert np.exp(log_p[:, 0]).sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("log_p", [-0.6931471805599453, -0.8, -2.0, -2.7, -10.0, -25.1, -300.0, -700.0])
def test_normal_quantiles_of_logarithms(log_p):
    assert beta_binomial.normal_quantile(log_p) == pytest.approx(-special.ndtri(math.exp(log_p)), abs=1e-9)


@pytest.mark.parametrize("log_p", [-800.0, -1e4, -1e7])
def test_there_is_no_end_to_a_pull(log_p):
    assert special.log_ndtr(-beta_binomial.normal_quantile(log_p)) == pytest.approx(log_p, rel=1e-9)


@pytest.mark.parametrize("scale", [0.01, 1.0, 3.0])
def test_counts_on_an_empty_reference_have_the_odds_of_the_exposures(scale):
    """Of a bin that is empty in the reference, P(d or more) = (t / (1 + t))**d."""
    data, none, one = np.array([[0.0, 1, 4, 30]]), np.zeros(4), np.ones(4)
    got = beta_binomial.beta_binomial(data, np.array([scale]), none, one, False, TABLE)[0]
    q = (scale / (1 + scale)) ** data[0]
    np.testing.assert_allclose(got, np.sqrt(stats.chi2.isf(q, 1)), atol=1e-9)


@given(scale=st.floats(0.01, 30), data=hnp.arrays(float, (1, 5), elements=COUNTS),
       reference=hnp.arrays(float, 5, elements=COUNTS))  # fmt: skip
def test_with_a_scale_from_elsewhere_it_is_negative_binomial(scale, data, reference):
    got = beta_binomial.beta_binomial(data, np.array([scale]), reference, np.ones(5), False, TABLE)[0]
    mean = scale * reference

    def log_p(counts):
        return stats.nbinom.logpmf(counts, reference + 1, 1 / (1 + scale))

    log_q = np.minimum(log_p(data[0]) - np.maximum(log_p(np.floor(mean)), log_p(np.ceil(mean))), 0)
    expected = np.sqrt(stats.chi2.isf(np.exp(log_q), 1)) * np.where(data[0] < mean, -1, 1)
    np.testing.assert_allclose(got, expected, atol=3e-6)


def test_a_difference_within_the_tolerance_is_never_significant():
    reference = np.array([1e9, 1e9])
    data = np.array([[1.01e9, 0.99e9]])
    for tolerance, least, most in ((0.0, 100, np.inf), (0.01, 0, 1.5)):
        believed, total = beta_binomial.shrunk(reference, reference.sum(), tolerance)
        pulls = beta_binomial.beta_binomial(data, data.sum(axis=1), believed, total, True, TABLE)
        assert (least <= np.abs(pulls)).all()
        assert (np.abs(pulls) <= most).all()


def test_a_negative_count_has_no_beta_binomial_pull():
    pulls = beta_binomial.beta_binomial(
        np.array([[-1.0, 3]]), np.array([2.0]), np.ones(2), np.full(2, 2.0), True, TABLE
    )
    assert np.isnan(pulls).tolist() == [[True, False]]
