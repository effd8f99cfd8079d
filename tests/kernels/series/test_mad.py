"""Spread by the median absolute deviation: of normal numbers it is sigma, and NaN is left out."""

import numpy as np
import pytest

from owtrend.kernels.series.mad import mad_of_pulls, mad_sigma, nan_median


def test_it_is_sigma_of_normal_numbers_and_hardly_moved_by_outliers():
    values = np.random.default_rng(1).normal(3, 2, (20001, 2))
    values[:500, 1] = 1e6
    np.testing.assert_allclose(mad_sigma(values, nan_median(values)), 2, rtol=0.05)
    assert mad_of_pulls(values[:, 0] - 3) == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("size", [1, 2, 7, 8])
def test_the_median_is_numpys_without_nan(size):
    values = np.random.default_rng(size).normal(size=(size, 50))
    values[1:, ::3] = np.nan
    np.testing.assert_array_equal(nan_median(values), np.nanmedian(values, axis=0))


def test_nothing_but_nan_is_nan():
    assert np.isnan(nan_median(np.full((3, 2), np.nan))).all()
    assert np.isnan(mad_sigma(np.full((3, 2), np.nan), np.zeros(2))).all()
