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
