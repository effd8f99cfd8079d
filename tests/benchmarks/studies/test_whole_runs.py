"""Simulated runs of one snapshot with many entries."""

import numpy as np
import pytest

from benchmarks.studies import whole_runs


def test_the_area_under_the_curve_is_the_chance_of_the_right_order():
    assert whole_runs.auc(np.array([1.0, 2, 3, 4]), np.array([False, False, True, True])) == 1
    assert whole_runs.auc(np.array([1.0, 2, 3, 4]), np.array([False, True, False, True])) == 0.75


@pytest.mark.study  # tests of `archive.run_scores` run every time
def test_bad_runs_are_called_bad_and_good_ones_are_not():
    one = whole_runs.outcome(20, runs=300)
    assert whole_runs.auc(one.deviation, one.bad) > 0.9
    assert one.called_bad[one.bad].mean() > 0.4
    assert one.called_bad[~one.bad].mean() < 0.02
