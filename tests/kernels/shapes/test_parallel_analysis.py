import numpy as np
import pytest

from owtrend.kernels.shapes.parallel_analysis import variations
from tests.studies import sizes


def reports(seed, rows, bins, ways, counts=20_000, noise=1):
    """Poisson counts of a mean shape mixed with ``ways`` others; each fill counts ``noise`` times."""
    rng = np.random.default_rng(seed)
    shapes = rng.dirichlet(np.full(bins, 2.0), ways + 1)
    mix = rng.uniform(0, 0.3, (rows, ways))
    share = np.column_stack([1 - mix.sum(axis=1), mix]) @ shapes
    return noise * rng.poisson(share * counts / noise * rng.uniform(0.7, 1.3, (rows, 1))).astype(float)


def found(counts):
    return variations(counts, np.arange(len(counts)))


@pytest.mark.slow
@pytest.mark.parametrize("ways", [0, 1, 2, 3])
@pytest.mark.parametrize("bins", [60, 600])
def test_the_number_of_variations_is_found(ways, bins):
    kept, lone, number = found(reports(1, 60, bins, ways))
    assert number == ways
    assert len(kept) == 60
    assert len(lone) == 0


def test_fills_in_groups_of_four_are_still_noise():
    assert found(reports(2, 60, 200, 0, noise=4))[2] == 0


@pytest.mark.slow
@pytest.mark.parametrize("trials", sizes(20, 100))
def test_noise_is_rarely_taken_for_a_variation(trials):
    assert np.mean([found(reports(seed, 40, 100, 0))[2] > 0 for seed in range(trials)]) <= 0.1


def test_a_report_unlike_all_others_is_left_out_and_is_no_variation():
    counts = reports(4, 40, 100, 0)  # without the hot bin there is no variation either
    counts[7, 50] += 5000
    kept, lone, number = found(counts)
    assert lone.tolist() == [7]
    assert 7 not in kept
    assert number == 0
