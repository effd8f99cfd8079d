import numpy as np
import pytest

from owtrend.kernels.shapes.pareto_tail import chances


def test_up_to_the_tail_the_chance_is_counted():
    known = np.arange(1.0, 11.0)  # fewer than 20: nothing is extrapolated
    p, low, high = chances(known, np.array([0.0, 5.5, 10.0, 99.0]))
    assert p.tolist() == pytest.approx([1.0, 6 / 11, 2 / 11, 1 / 11])
    assert (low <= p).all()
    assert (high[1:] >= p[1:]).all()


DRAWN = {
    "exponential": lambda rng, size: rng.exponential(size=size),
    "normal": lambda rng, size: rng.normal(size=size),
    "heavy": lambda rng, size: rng.standard_t(5, size),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_of_good_scores_no_more_are_called_rare_than_are(draw):
    rng = np.random.default_rng(1)
    p = np.array([chances(draw(rng, 80), draw(rng, 200))[0] for _ in range(200)])
    for limit, most in ((0.1, 0.115), (0.01, 0.012), (0.001, 0.0015)):
        assert (p < limit).mean() < most, limit


def test_the_chance_falls_steadily_and_its_interval_holds_it():
    known = np.random.default_rng(2).exponential(size=100)
    p, low, high = chances(known, np.linspace(0, 30, 200))
    assert (np.diff(p) <= 1e-12).all()
    beyond = p < 0.1
    assert (low[beyond] <= p[beyond]).all()
    assert (p[beyond] <= high[beyond]).all()
    assert p[-1] < 1e-4


def test_fewer_known_scores_claim_less():
    rng = np.random.default_rng(3)
    few, many = rng.exponential(size=30), rng.exponential(size=3000)
    at = np.array([12.0])
    assert chances(few, at)[0] > 10 * chances(many, at)[0]


def test_nothing_known_and_nothing_scored_are_missing():
    assert np.isnan(chances(np.full(5, np.nan), np.array([1.0]))[0]).all()
    assert np.isnan(chances(np.arange(30.0), np.array([np.nan]))[0]).all()


def test_scores_that_are_all_the_same_have_no_tail_to_extrapolate():
    p, low, high = chances(np.zeros(40), np.array([0.0, 1.0]))
    assert p.tolist() == pytest.approx([1.0, 1 / 41])
    assert low[1] == 0
    assert high[1] >= p[1]
