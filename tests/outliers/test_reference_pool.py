"""Whole runs compared with the good ones before them."""

import numpy as np
import pytest

from owtrend.model.axis import Axis
from owtrend.outliers.monitor import Counts
from owtrend.outliers.reference_pool import ScoreSettings, WholeRuns

AXES = (Axis.spaced(60, 0.0, 6.0),)
SIZES = np.array([62], dtype=np.int64)


def run_of(rng, entries, factor=1.0):
    """A run whose bins vary by 2 %; ``factor`` on ten of them."""
    shape = np.exp(rng.normal(0, 0.02, 62)) / 62
    shape[20:30] *= factor
    return Counts(rng.poisson(entries * shape).astype(float), SIZES)


def test_runs_that_differ_as_good_ones_do_are_good_however_many_entries_they_have():
    rng = np.random.default_rng(1)
    whole = WholeRuns(ScoreSettings(1))
    scores = [whole.add(run, "C", AXES, run_of(rng, 10 ** rng.uniform(4, 7))) for run in range(60)]
    assert not any(score.bad for score in scores)
    assert max(score.z for score in scores[1:]) > 100
    assert scores[-1].usual == pytest.approx(0.02, rel=0.3)


def test_a_run_that_differs_by_more_is_bad_and_no_reference():
    rng = np.random.default_rng(2)
    whole = WholeRuns(ScoreSettings(1))
    for run in range(12):
        whole.add(run, "C", AXES, run_of(rng, 1e5))
    bad, good = whole.add(12, "C", AXES, run_of(rng, 1e5, 1.4)), whole.add(13, "C", AXES, run_of(rng, 1e5))
    assert bad.bad
    assert bad.size == pytest.approx(0.14, rel=0.2)
    assert bad.deviation > 10
    assert not good.bad
    assert good.size < 3 * good.usual


def test_what_changes_for_good_is_normal_after_three_runs():
    rng = np.random.default_rng(3)
    whole = WholeRuns(ScoreSettings(1))
    scores = [whole.add(run, "C", AXES, run_of(rng, 1e5, 1.0 if run < 12 else 1.4)) for run in range(18)]
    assert [score.bad for score in scores[12:]] == [True] * 3 + [False] * 3


def test_identical_runs_and_empty_ones_are_not_bad():
    rng = np.random.default_rng(4)
    whole = WholeRuns(ScoreSettings(1))
    same = run_of(rng, 1e5)
    scores = [whole.add(run, "C", AXES, same) for run in range(9)]
    assert not any(score.bad for score in scores)
    assert scores[-1].size == 0
    assert not whole.add(9, "C", AXES, Counts(np.zeros(62), SIZES)).bad
