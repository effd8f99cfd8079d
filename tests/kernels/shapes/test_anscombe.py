import numpy as np
import pytest
from scipy import stats

from owtrend.kernels.shapes.anscombe import around_worst, mean_shares, pulls, variation


@pytest.mark.parametrize("mean", [0.0, 0.01, 0.37, 1.0, 4.0, 20.0, 31.0, 100.0])
def test_the_mean_square_agrees_with_poisson_counts(mean):
    n = np.arange(400.0)
    exact = (stats.poisson.pmf(n, mean) * pulls(n, np.full(400, mean)) ** 2).sum()
    assert variation(np.array([mean]))[0] == pytest.approx(exact, abs=0.02)


def test_one_count_in_a_nearly_empty_bin_weighs_little():
    assert pulls(np.array([1.0]), np.array([0.01]))[0] < 1.2  # Pearson's would be 9.9
    assert pulls(np.array([20.0]), np.array([0.01]))[0] > 7


def test_shares_add_up_and_none_is_zero():
    share = mean_shares(np.array([[4.0, 0.0], [6.0, 0.0]]))
    assert share.sum() == pytest.approx(1)
    assert share.tolist() == pytest.approx([10.5 / 11, 0.5 / 11])


def test_a_dead_block_is_one_box():
    expected = np.full((8, 9), 50.0)
    counts = expected.copy()
    counts[2:5, 6:9] = 0
    assert around_worst(counts, expected, pulls(counts, expected)) == (slice(2, 5), slice(6, 9))


def test_one_hot_bin_is_a_box_of_its_own():
    expected = np.full(10, 50.0)
    counts = expected.copy()
    counts[0] = 500
    assert around_worst(counts, expected, pulls(counts, expected)) == (slice(0, 1),)
