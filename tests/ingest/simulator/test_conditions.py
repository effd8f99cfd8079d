"""Conditions of the simulated detector: by how much fills scatter, runs differ, and gains fall."""

import numpy as np
import pytest

from ingest.simulator.conditions import CONDITIONS, Conditions
from ingest.simulator.detector import histograms

SPECTRUM = next(one for one in histograms("HLT", 0.1) if one.shows == "spectrum")
PROFILE = next(one for one in histograms("EMC", 0.1) if one.class_name == "TProfile")


@pytest.mark.parametrize("dispersion", [1.0, 1.4, 5.0])
def test_the_variance_of_a_bin_is_its_mean_times_the_dispersion(dispersion):
    rng = np.random.default_rng(1)
    expected = np.full((1, 4000), 12.0)
    fills = Conditions(dispersion=dispersion).fills(rng, expected)
    assert fills.mean() == pytest.approx(12, rel=0.03)
    assert fills.var() / fills.mean() == pytest.approx(dispersion, rel=0.08)


def test_neighbours_share_clusters_and_no_hit_is_lost():
    conditions = Conditions(dispersion=5.0, neighbours=True)
    fills = np.stack([conditions.fills(np.random.default_rng(n), np.full((1, 50), 12.0))[0] for n in range(400)])
    correlation = np.corrcoef(fills.T)
    assert np.diagonal(correlation, 1)[1:-1].mean() > 0.3
    assert abs(np.diagonal(correlation, 4).mean()) < 0.02
    assert fills[:, 1:-1].sum(axis=1).var() / fills[:, 1:-1].sum(axis=1).mean() == pytest.approx(5, rel=0.25)


def test_each_hit_of_a_cluster_has_a_value_of_its_own():
    fills = Conditions(dispersion=5.0).fills(np.random.default_rng(2), 60 * PROFILE.density)
    assert fills.shape == PROFILE.density.shape
    total, expected = fills.sum(axis=0), PROFILE.density.sum(axis=0)
    inside = expected > 0
    assert (total[~inside] == 0).all()
    share, expected_share = fills.sum(axis=1) / fills.sum(), PROFILE.density.sum(axis=1) / PROFILE.density.sum()
    np.testing.assert_allclose(share, expected_share, atol=0.01)


def test_bins_vary_from_run_to_run_and_gains_fall_within_one():
    varied = Conditions(spread=0.01).density(SPECTRUM, 0.5, np.random.default_rng(3))
    ratio = varied[SPECTRUM.density > 0] / SPECTRUM.density[SPECTRUM.density > 0]
    assert np.log(ratio).std() == pytest.approx(0.01, rel=0.2)

    def mean(hours):
        density = Conditions(gain=0.037).density(SPECTRUM, hours, np.random.default_rng(3))[0, 1:-1]
        return np.average(SPECTRUM.axes[0].centres[1:-1], weights=density)

    assert mean(0) / mean(1) == pytest.approx(1.037, rel=0.01)


def test_independent_fills_are_drawn_as_ever():
    expected = 5 * SPECTRUM.density
    drawn = CONDITIONS["independent"].fills(np.random.default_rng(4), expected)
    np.testing.assert_array_equal(drawn, np.random.default_rng(4).poisson(expected))
    assert CONDITIONS["independent"].density(SPECTRUM, 1.0, np.random.default_rng(4)) is SPECTRUM.density
