"""Single bins, and chi2 of merged bins."""

import numpy as np
import pytest
from scipy import stats

from owtrend.kernels.two_sample.bins import compare_bins


def compared(data, reference):
    return compare_bins(data.ravel(), reference.ravel(), data.sum() / (data.sum() + reference.sum()))


def test_a_hot_bin_is_named():
    reference = np.full((12, 10), 50.0)
    data = np.full((12, 10), 5.0)
    data[7, 3] = 40
    found = compared(data, reference)
    assert (found.cell, found.sign, found.trials) == (73, 1, 120)
    p = data.sum() / (data.sum() + reference.sum())
    assert found.log_p == pytest.approx(stats.binom.logsf(39, 90, p) + np.log(2))


def test_a_new_bin_on_an_empty_reference_is_seen():
    reference = np.full(100, 50.0)
    reference[30] = 0
    data = np.full(100, 5.0)
    data[30] = 8
    found = compared(data, reference)
    assert found.cell == 30
    assert found.log_p < -15


def test_sparse_bins_are_merged_until_a_count_is_expected_of_them():
    found = compared(np.full(40, 0.25), np.full(40, 0.25))
    assert found.bins == pytest.approx(10, abs=1)
    assert found.chi2 == 0


def test_a_single_filled_bin_is_no_choice():
    found = compared(np.array([0.0, 5.0]), np.array([0.0, 7.0]))
    assert (found.trials, found.cell) == (0, -1)
    assert np.isnan(found.log_p)
