"""Scatter of reports while nothing is wrong: no less than that of independent fills; one bad run teaches nothing."""

import numpy as np

from owtrend.kernels.two_sample.report import COMPARISONS, SCATTER
from owtrend.outliers.null_model import NullModel, summary


def a_run(excess=0.0, dispersion=1.0):
    """What a run shows: of the comparisons with other runs (the first two) some more."""
    out = np.zeros((len(COMPARISONS), len(SCATTER), 3))
    out[..., 0], out[..., 1], out[..., 2] = 100, dispersion, 1000
    out[:2, :, 1] += excess
    return out


def test_before_anything_is_known_small_differences_are_nobodys_concern():
    null = NullModel.from_runs([])
    assert (null.known == 0).all()
    assert 0.01 < np.sqrt(null.spread[0, 0]) < 0.05


def test_the_dispersion_is_that_of_the_reports_of_all_runs():
    null = NullModel.from_runs([a_run(dispersion=2.0), a_run(dispersion=3.0)])
    assert null.known[2, 0].tolist() == [200, 500, 200_000]


def test_runs_show_how_much_bins_vary_from_run_to_run():
    null = NullModel.from_runs([a_run(excess=90.0)] * 6)
    np.testing.assert_allclose(np.sqrt(null.spread[0, 0]), 0.3 * np.sqrt(2))  # what differs most may do so by more
    quiet = NullModel.from_runs([a_run(dispersion=0.7)] * 6)
    for learned in (null.spread[2], quiet.spread[2]):
        np.testing.assert_allclose(np.sqrt(learned), [0.015, 0.015, 0.006, 0.01, 0])  # less concerns nobody


def test_one_bad_run_teaches_nothing():
    for runs in (1, 2, 5):
        null = NullModel.from_runs([a_run()] * (runs - 1) + [a_run(excess=1e4)])
        assert np.sqrt(null.spread[0, 0]) < 0.05


def test_a_summary_has_means_and_nothing_where_nothing_was_seen():
    sums = np.zeros((len(COMPARISONS), len(SCATTER), 3))
    sums[0, 0] = 10, 20, 30
    assert summary(sums)[0, 0].tolist() == [10, 2, 3]
    assert np.isnan(summary(sums)[1]).all()
