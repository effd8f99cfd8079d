import numpy as np
import pytest

from owtrend.kernels.shapes.pareto_tail import tail_probability
from tests.studies import sizes


def test_below_the_tail_the_p_value_is_counted():
    known = np.arange(1.0, 11.0)  # fewer than 20: nothing is extrapolated
    p, low, high = tail_probability(known, np.array([0.0, 5.5, 10.0, 99.0]))
    assert p.tolist() == pytest.approx([1.0, 6 / 11, 2 / 11, 1 / 11])
    assert (low <= p).all()
    assert (high[1:] >= p[1:]).all()


DRAWN = {
    "exponential": lambda rng, size: rng.exponential(size=size),
    "normal": lambda rng, size: rng.normal(size=size),
    "heavy": lambda rng, size: rng.standard_t(5, size),
}


@pytest.mark.slow
@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
@pytest.mark.parametrize("trials", sizes(40, 200))
def test_p_values_of_good_scores_are_calibrated(draw, trials):
    rng = np.random.default_rng(1)
    p = np.array([tail_probability(draw(rng, 80), draw(rng, 200))[0] for _ in range(trials)])
    for limit, most in ((0.1, 0.115), (0.01, 0.012), (0.001, 0.0015)):
        assert (p < limit).mean() < most * (1 if trials == 200 else 1.5), limit


def test_the_p_value_falls_steadily_and_lies_in_its_interval():
    known = np.random.default_rng(2).exponential(size=100)
    p, low, high = tail_probability(known, np.linspace(0, 30, 200))
    assert (np.diff(p) <= 1e-12).all()
    beyond = p < 0.1
    assert (low[beyond] <= p[beyond]).all()
    assert (p[beyond] <= high[beyond]).all()
    assert p[-1] < 1e-4


def test_fewer_known_scores_claim_less():
    rng = np.random.default_rng(3)
    few, many = rng.exponential(size=30), rng.exponential(size=3000)
    score = np.array([12.0])
    assert tail_probability(few, score)[0] > 10 * tail_probability(many, score)[0]


def test_without_known_scores_or_without_a_score_the_p_value_is_missing():
    assert np.isnan(tail_probability(np.full(5, np.nan), np.array([1.0]))[0]).all()
    assert np.isnan(tail_probability(np.arange(30.0), np.array([np.nan]))[0]).all()


def test_equal_scores_have_no_tail_to_extrapolate():
    p, low, high = tail_probability(np.zeros(40), np.array([0.0, 1.0]))
    assert p.tolist() == pytest.approx([1.0, 1 / 41])
    assert low[1] == 0
    assert high[1] >= p[1]
