"""Points against their past: by hand, their chances on good data, and beam decay that raises nothing."""

import numpy as np
import pytest

from owtrend.kernels.series.zscore import against_line, against_mean, against_median, chances, weighted_median


@pytest.mark.parametrize(
    ("value", "weight", "expected"),
    [
        pytest.param([3.0, 1, 2], [1.0, 1, 1], 2, id="odd"),
        pytest.param([4.0, 1, 2, 3], [1.0, 1, 1, 1], 2.5, id="even-the-middle"),
        pytest.param([1.0, 2, 3], [1.0, 1, 5], 3, id="the-heaviest"),
    ],
)
def test_the_weighted_median_by_hand(value, weight, expected):
    assert weighted_median(np.array(value), np.array(weight)) == expected


def test_a_score_by_hand():
    value, error = np.array([1.0, 2, 3, 4, 5, 13]), np.ones(6)
    expected, sigma, freedom = against_median(value, error, True, 0, 5)
    assert expected[5] == 3
    assert sigma[5] == pytest.approx(np.sqrt(1 + np.pi / 10))  # MAD 1: the errors stand
    assert np.isinf(freedom[5])
    assert np.isnan(expected[:5]).all()


def test_the_window_holds_the_points_before_and_not_the_point():
    value = np.r_[np.zeros(20), np.full(30, 7.0)]
    expected, *_ = against_median(value, np.ones(50), True, 10, 4)
    assert expected[20] == 0
    assert expected[40] == 7
    expanding, *_ = against_median(value, np.ones(50), True, 0, 4)
    assert expanding[39] == 0


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("kind", ["median", "line"])
def test_on_good_data_chances_are_as_rare_as_they_say(given, kind):
    rng = np.random.default_rng(1)
    value, error, cause = rng.standard_normal(20_000), np.ones(20_000), rng.uniform(1, 2, 20_000)
    if kind == "median":
        expected, sigma, freedom = against_median(value, error, given, 60, 60)
    else:
        expected, sigma, freedom = against_line(value, error, given, cause, 60, 60)
    chance = chances((value - expected) / sigma, freedom)[60:]
    for limit in (0.1, 0.01):
        assert np.mean(chance < limit) == pytest.approx(limit, rel=0.25)
    assert np.mean(chance < 0.001) < 0.002


def test_errors_that_are_too_small_raise_nothing_and_trendchecks_band_does():
    rng = np.random.default_rng(2)
    value, error = rng.standard_normal(5000), np.full(5000, 0.1)
    expected, sigma, freedom = against_median(value, error, True, 60, 60)
    assert np.mean(chances((value - expected) / sigma, freedom)[60:] < 0.01) < 0.02
    mean, wide, narrow = against_mean(value, error, 10, 10)
    assert np.mean(np.abs(value - mean)[10:] > 3 * narrow[10:]) > 0.2
    assert np.mean(np.abs(value - mean)[10:] > 3 * wide[10:]) < 0.03


def test_an_outlier_does_not_hide_the_next():
    value = np.random.default_rng(3).standard_normal(100)
    value[[80, 85]] = 8
    expected, sigma, _ = against_median(value, np.ones(100), False, 30, 20)
    plain, wide, _ = against_mean(value, np.ones(100), 30, 20)
    assert ((value - expected) / sigma)[85] > 5
    assert ((value - plain) / wide)[85] < 5


def test_beam_decay_raises_nothing_where_the_rate_is_known_and_a_fault_still_does():
    rng, n = np.random.default_rng(4), 400
    rate = 500 * np.exp(-np.arange(n) / 300)
    value = 10 + 0.02 * rate + rng.normal(0, 0.2, n)
    value[300] += 2
    error = np.full(n, 0.2)
    expected, sigma, freedom = against_line(value, error, True, rate, 0, 20)
    score = (value - expected) / sigma
    assert np.flatnonzero(chances(score, freedom) < 1e-5).tolist() == [300]
    plain, its, _ = against_median(value, error, True, 60, 20)
    assert ((value - plain) / its)[300] < 0.7 * score[300]  # the decay widens sigma
    assert np.mean(((value - plain) / its)[60:300] < 0) > 0.9


def test_a_rate_never_seen_tells_nothing():
    value, error, cause = np.arange(20.0) % 3, np.ones(20), np.r_[np.full(19, 5.0), 9.0]
    expected, sigma, _ = against_line(value, error, True, cause, 0, 10)
    assert np.isinf(sigma[19])
    assert np.isfinite(sigma[18])
    assert np.isfinite(expected[10:]).all()
