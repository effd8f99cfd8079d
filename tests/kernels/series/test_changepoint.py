"""Segmentation against trying all, by hand, and how often it is right: simulated, seeds fixed."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owtrend.kernels.series import changepoint_null, glr
from owtrend.kernels.series.changepoint import (
    CLIP,
    SHORTEST,
    described,
    gain,
    levels,
    place,
    places,
    segments,
    strongest,
)
from owtrend.kernels.series.noise import clipped, noise, spread, usable_errors
from tests import oracles
from tests.studies import sizes

SIZES = st.integers(0, 10)
NUMBERS = st.floats(-4, 4).map(lambda x: round(x, 3))


def found(value, errors=None, false_rate=0.04):
    """Begins of segments and where they are said to lie, as `owtrend.change_points` does it."""
    n = len(value)
    usable, real = usable_errors(value, np.full(n, np.nan) if errors is None else errors)
    factor, _, estimated = noise(value, usable, real)
    sigma = usable * factor
    tame = clipped(value, sigma, CLIP)
    penalty = changepoint_null.penalty(n, estimated, false_rate)
    begins = segments(tame, sigma, penalty, SHORTEST)
    return (tame, sigma, begins, *described(tame, sigma, begins, SHORTEST, 0.95, penalty), estimated)


def stationary(rng, trials, n, given_errors):
    errors = np.ones(n) if given_errors else None
    return [found(rng.standard_normal(n), errors) for _ in range(trials)]


@settings(max_examples=40)
@given(data=st.data(), n=SIZES, penalty=st.floats(0.5, 8), shortest=st.integers(1, 3))
def test_the_best_segmentation_is_the_best_of_all(data, n, penalty, shortest):
    value = data.draw(hnp.arrays(np.float64, n, elements=NUMBERS))
    sigma = data.draw(hnp.arrays(np.float64, n, elements=st.floats(0.5, 2)))
    mine, best = segments(value, sigma, penalty, shortest), oracles.segments(value, sigma, penalty, shortest)
    if mine.tolist() != best:  # there may be two equally good ones
        both = [np.array(begins, dtype=np.int64) for begins in (mine, best)]
        costs = [penalty * len(begins) - gain(value, sigma, begins) for begins in both]
        assert costs[0] == pytest.approx(costs[1], abs=1e-6)
    assert all(size >= shortest for size in np.diff([0, *mine, n])) or n < shortest


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([1.0, 2.0, 1.5], [], id="too-short"),
        pytest.param([0, 0, 0, 9, 9, 9], [3], id="a-step"),
        pytest.param([0, 0, 0, 0, 9, 0, 0, 0], [], id="a-spike-is-no-level"),
        pytest.param([0, 0, 0, 9, 9, 9, 0, 0, 0], [3, 6], id="there-and-back"),
        pytest.param([0, 0, 0, 9, 9, 9, 18, 18, 18], [3, 6], id="stairs"),
    ],
)
def test_segments_by_hand(value, expected):
    value = np.array(value, dtype=float)
    sigma = np.ones(len(value))
    assert segments(clipped(value, sigma, CLIP), sigma, 9.0, SHORTEST).tolist() == expected


def test_points_with_small_errors_count_more():
    value, sigma = np.array([0, 0, 0, 1, 1, 1.0]), np.array([1, 1, 1, 0.1, 0.1, 0.1])
    level, error, _ = levels(value, sigma, np.empty(0, dtype=np.int64))
    assert level[0] == pytest.approx(300 / 303)
    assert error[0] == pytest.approx(303**-0.5)
    assert gain(value, sigma, np.array([3])) == pytest.approx(1 / (1 / 3 + 1 / 300))


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), factor=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3))
def test_units_and_origin_change_nothing_and_backwards_it_is_the_same(seed, factor, shift):
    rng = np.random.default_rng(seed)
    value = rng.standard_normal(60) + 3 * (np.arange(60) >= rng.integers(5, 56))
    errors = rng.uniform(0.7, 1.4, 60)
    _, _, begins, where, strength, *_ = found(value, errors)
    _, _, scaled, *rest = found(value * factor + shift * factor, errors * factor)
    assert scaled.tolist() == begins.tolist()
    assert rest[0].tolist() == where.tolist()
    np.testing.assert_allclose(rest[1], strength, rtol=1e-6)
    _, _, back, turned, *_ = found(value[::-1].copy(), errors[::-1].copy())
    assert (60 - back[::-1]).tolist() == begins.tolist()
    assert np.abs(60 - turned[::-1, 0] - where[:, 0]).max(initial=0) <= 1  # a median of places: the lower of two


def test_a_clear_step_is_where_it_is_and_its_interval_is_a_point():
    value = np.random.default_rng(1).standard_normal(40) + 20 * (np.arange(40) >= 17)
    _, share = places(value, np.ones(40), 3)
    assert place(share, 3) == 17
    _, _, _, where, strength, drift, _ = found(value, np.ones(40))
    assert where.tolist() == [[17, 17, 17]]
    assert not drift.any()
    assert changepoint_null.chance(40, False, strength[0]) < 1e-12


@pytest.mark.parametrize("given_errors", [True, False], ids=["errors", "no-errors"])
@pytest.mark.parametrize("share", sizes(0.1, 1))
@pytest.mark.parametrize(("n", "trials"), [(20, 2000), (60, 2000), (200, 4000), (1000, 400), (5000, 60)])
def test_of_series_without_a_change_less_than_five_percent_get_one(n, trials, share, given_errors):
    trials = max(int(share * trials), 20)
    rng = np.random.default_rng(n)
    false = sum(len(one[2]) > 0 for one in stationary(rng, trials, n, given_errors)) / trials
    scatter = np.sqrt(0.04 / trials)
    assert false < 0.04 + (2 if share == 1 else 4) * scatter  # ten quick ones together may be off by chance


@pytest.mark.slow
@pytest.mark.parametrize("trials", sizes(500, 3000))
@pytest.mark.parametrize("estimated", [False, True])
def test_chances_are_those_of_the_simulated_series(estimated, trials):
    rng = np.random.default_rng(5)
    chances = []
    for _ in range(trials):
        value = rng.standard_normal(60)
        factor, _, used = noise(value, np.ones(60), not estimated)
        sigma = np.full(60, factor)
        chances.append(changepoint_null.chance(60, used, strongest(clipped(value, sigma, CLIP), sigma, SHORTEST)))
    for limit in (0.3, 0.1, 0.05, 0.01):
        assert np.mean(np.array(chances) < limit) == pytest.approx(limit, abs=3.5 * np.sqrt(limit / trials))


def test_penalties_and_chances_undo_each_other_and_rise_with_the_length():
    for points in (5, 17, 60, 5000, 100_000):
        for rate in (0.2, 0.045, 0.01, 1e-4):
            assert changepoint_null.chance(points, True, changepoint_null.penalty(points, True, rate)) == pytest.approx(
                rate
            )
    lengths = [changepoint_null.penalty(points, False, 0.045) for points in (6, 20, 60, 300, 5000, 50_000)]
    assert lengths == sorted(lengths)


def hits(at, given_errors, step=2.0, trials=1000):
    rng = np.random.default_rng(at)
    right = 0
    for _ in range(trials):
        value = rng.standard_normal(60) + step * (np.arange(60) >= at)
        where = found(value, np.ones(60) if given_errors else None)[3]
        right += bool((np.abs(where[:, 0] - at) <= 3).any())
    return right / trials


@pytest.mark.slow
@pytest.mark.parametrize("trials", sizes(50, 1000))
def test_steps_of_two_sigma_at_5_to_55_of_60_are_located_within_three_points(trials):
    scatter = 1 if trials < 1000 else 0  # of the worst of eleven rates of 50 trials, about two standard deviations
    rates = {at: hits(at, True, trials=trials) for at in (5, 6, 7, 10, 20, 30, 40, 50, 53, 54, 55)}
    assert np.mean([hits(at, True, trials=trials // 10) for at in range(5, 56)]) >= 0.9
    assert min(rates[at] for at in (7, 10, 20, 30, 40, 50, 53)) >= 0.9 - 0.1 * scatter
    assert min(rates.values()) >= 0.85 - 0.1 * scatter  # five points from an end: 9 in 100 are not noticed at all


@pytest.mark.slow
@pytest.mark.parametrize("trials", sizes(50, 1000))
def test_without_errors_steps_of_two_sigma_are_located_nearly_as_well(trials):
    scatter = 0.1 if trials < 1000 else 0
    assert min(hits(at, False, trials=trials) for at in (10, 30, 50)) >= 0.9 - scatter
    assert min(hits(at, False, trials=trials) for at in (5, 55)) >= 0.8 - scatter


@pytest.mark.slow
@pytest.mark.parametrize("trials", sizes(300, 1500))
def test_intervals_hold_the_change_as_often_as_they_say(trials):
    rng, inside, noticed = np.random.default_rng(3), 0, 0
    for _ in range(trials):
        at = int(rng.integers(10, 51))
        _, _, _, where, *_ = found(rng.standard_normal(60) + 1.5 * (np.arange(60) >= at), np.ones(60))
        if len(where) == 1:
            noticed += 1
            inside += where[0, 1] <= at <= where[0, 2]
    assert noticed > 0.8 * trials
    assert inside / noticed == pytest.approx(0.95, abs=1.3 / np.sqrt(trials))


@pytest.mark.slow
def test_two_steps_are_found_with_their_number():
    rng = np.random.default_rng(4)
    counts = []
    for _ in range(200):
        value = rng.standard_normal(200) + np.repeat([0, 2, 0.5], [60, 80, 60])
        counts.append(len(found(value, np.ones(200))[2]))
    assert np.mean(np.array(counts) == 2) > 0.9


@pytest.mark.slow
def test_errors_half_as_large_as_the_scatter_are_noticed_and_enlarged():
    rng = np.random.default_rng(6)
    false = [len(found(rng.standard_normal(100), np.full(100, 0.5))[2]) > 0 for _ in range(500)]
    assert np.mean(false) < 0.07


@pytest.mark.slow
@pytest.mark.parametrize("trials", sizes(150, 1000))
def test_heavy_tails_raise_the_false_rate_less_than_threefold_and_spikes_are_no_levels(trials):
    rng, rates = np.random.default_rng(7), {}
    shapes = {
        "t3": lambda n: rng.standard_t(3, n),
        "laplace": lambda n: rng.laplace(size=n),
        "spikes": lambda n: rng.standard_normal(n) * np.where(rng.random(n) < 0.03, 10, 1),
    }
    for name, draw in shapes.items():
        rates[name] = np.mean([len(found(draw(60))[2]) > 0 for _ in range(trials)])
    assert max(rates.values()) < 0.1 + 0.02 * np.sqrt(1000 / trials), rates


def test_correlated_noise_is_allowed_for_where_it_can_be_seen():
    rng, false = np.random.default_rng(8), 0
    for _ in range(200):
        value = rng.standard_normal(500)
        for i in range(1, 500):
            value[i] += 0.5 * value[i - 1]
        false += len(found(value)[2]) > 0
    assert false / 200 < 0.12  # without it: all of them


@pytest.mark.slow
def test_a_drift_is_told_from_a_step():
    rng, drifts, steps = np.random.default_rng(9), [], []
    for _ in range(300):
        noise_ = rng.standard_normal(60)
        drifts += found(noise_ + np.linspace(0, 4, 60), np.ones(60))[5].tolist()
        steps += found(noise_ + 3 * (np.arange(60) >= 30), np.ones(60))[5].tolist()
    assert len(drifts) > 200
    assert np.mean(drifts) > 0.85
    assert np.mean(steps) < 0.05


def test_the_scatter_of_differences_is_robust_and_unbiased():
    rng = np.random.default_rng(10)
    normal = [spread(np.diff(rng.standard_normal(60)) / np.sqrt(2)) for _ in range(2000)]
    assert np.mean(normal) == pytest.approx(1, abs=0.01)
    assert np.std(normal) == pytest.approx(0.87 / np.sqrt(60), rel=0.1)
    assert spread(np.array([0.0, 0, 0, 0, 2])) == pytest.approx(np.sqrt(0.8))
    assert spread(np.empty(0)) == 0


def test_errors_that_are_missing_are_the_median_of_the_others_or_all_one():
    value = np.arange(4.0)
    errors, real = usable_errors(value, np.array([0.2, np.nan, 0.4, 0.3]))
    assert real
    assert errors.tolist() == [0.2, 0.3, 0.4, 0.3]
    errors, real = usable_errors(value, np.array([0.2, np.nan, 0, np.inf]))
    assert not real
    assert errors.tolist() == [1, 1, 1, 1]


def delays(step, every, trials, before=60):
    rng, taken, missed = np.random.default_rng(int(step * 10)), [], 0
    for _ in range(trials):
        value = rng.standard_normal(before + 60) + step * (np.arange(before + 60) >= before)
        raised, *_ = glr.alarms(value, np.ones(len(value)), True, changepoint_null.threshold(every))
        later = raised[raised >= before]
        missed += len(later) == 0
        taken += (later[:1] - before + 1).tolist()
    return np.mean(taken), missed / trials


@pytest.mark.parametrize("trials", sizes(60, 300))
def test_online_the_delay_is_what_it_takes(trials):
    table = {step: delays(step, 10_000, trials) for step in (1.0, 2.0, 3.0, 5.0)}
    assert table[5.0][0] < 3.6
    assert table[3.0][0] < 5
    assert table[2.0][0] < 8
    assert table[2.0][1] == 0
    assert table[1.0][1] < 0.15


@pytest.mark.slow
@pytest.mark.parametrize("given_errors", [True, False])
def test_online_false_alarms_are_as_rare_as_stated(given_errors):
    rng, count = np.random.default_rng(11), 0
    for _ in range(200):
        count += len(
            glr.alarms(rng.standard_normal(300), np.ones(300), given_errors, changepoint_null.threshold(1000))[0]
        )
    assert count < 60 + 2 * np.sqrt(60)  # 60,000 points, one in at least 1,000


@given(seed=st.integers(0, 2**32 - 1), stop=st.integers(1, 120))
@settings(max_examples=20)
def test_online_nothing_depends_on_what_came_later(seed, stop):
    rng = np.random.default_rng(seed)
    value = rng.standard_normal(120) + 3 * (np.arange(120) >= 70)
    errors = rng.uniform(0.8, 1.2, 120)
    whole = glr.alarms(value, errors, True, 15.0)
    part = glr.alarms(value[:stop], errors[:stop], True, 15.0)
    early = whole[0] < stop
    for all_of_it, seen in zip(whole, part, strict=True):
        np.testing.assert_array_equal(all_of_it[early], seen)


def test_online_a_lone_spike_raises_nothing():
    value = np.random.default_rng(12).standard_normal(200)
    value[100] = 50
    assert len(glr.alarms(value, np.ones(200), True, changepoint_null.threshold(10_000))[0]) == 0
