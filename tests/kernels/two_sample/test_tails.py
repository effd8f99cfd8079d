"""Logarithms of tails, compared with SciPy's."""

import numpy as np
import pytest
from scipy import stats

from owtrend.kernels.two_sample import tails


@pytest.mark.parametrize("p", [0.003, 0.1, 0.5, 0.9])
def test_the_tail_of_a_bin_is_binomial(p):
    rng = np.random.default_rng(1)
    worst = 0.0
    for m in (10 ** rng.uniform(0, 6, 400)).astype(int).tolist():
        d = int(np.clip(stats.binom.rvs(m, p, random_state=rng) + rng.normal(0, 6 * np.sqrt(m * p)), 0, m))
        exact = stats.binom.logsf(d - 1, m, p) if d >= m * p else stats.binom.logcdf(d, m, p)
        if -600 < exact < -3:
            worst = max(worst, abs(tails.log_tail(float(d), float(m - d), p) / exact - 1))
    assert 0 < worst < 1e-4


def test_the_logarithm_of_the_normal_tail_does_not_underflow():
    z = np.array([-5.0, 0, 3, 5.9, 6.1, 20, 100, 1e4])
    np.testing.assert_allclose([tails.log_upper(value) for value in z], stats.norm.logsf(z), rtol=2e-6, atol=1e-12)
    np.testing.assert_allclose(tails.z_of(stats.norm.logsf(z[1:])), z[1:], rtol=1e-6, atol=1e-9)
    assert tails.z_of(np.array([0.0]))[0] == pytest.approx(stats.norm.ppf(1e-4))
    assert np.isnan(tails.z_of(np.array([np.nan]))[0])


@pytest.mark.parametrize("dispersion", [1.5, 4.0])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_the_tail_of_a_bin_of_clustered_fills_is_beta_binomial(p, dispersion):
    rng = np.random.default_rng(2)
    worst = 0.0
    for m in (10 ** rng.uniform(0, 3.3, 200)).astype(int).tolist():
        a, b = m * p / (dispersion - 1), m * (1 - p) / (dispersion - 1)
        d = int(np.clip(m * p + rng.normal(0, 6 * np.sqrt(dispersion * m * p)), 0, m))
        tail = np.arange(d, m + 1) if d >= m * p else np.arange(d + 1)
        exact = np.logaddexp.reduce(stats.betabinom.logpmf(tail, m, a, b))
        if -50 < exact < -3:
            worst = max(worst, abs(tails.clustered_tail(float(d), float(m - d), p, dispersion) / exact - 1))
    assert 0 < worst < 1e-3


@pytest.mark.parametrize("freedom", [3, 30])
def test_a_deviation_in_a_unit_that_was_learned_is_students(freedom):
    t = np.array([1.0, 3, 5])
    seen = [tails.student(stats.norm.logsf(value) + np.log(2), freedom) for value in t]
    np.testing.assert_allclose(stats.norm.isf(np.exp(seen) / 2), stats.norm.isf(stats.t.sf(t, freedom)), rtol=0.02)
    assert tails.student(-20.0, np.inf) == -20.0


def test_no_poisson_counts_are_likelier_than_with_their_own_means():
    counts = np.array([0.0, 1.0, 3.0, 400.0, 1e6])
    assert tails.log_p_of_repeat(counts) == pytest.approx(stats.poisson.logpmf(counts, counts).sum(), rel=1e-9)
