"""Scores of histograms over stored runs."""

import numpy as np
import pytest

import owtrend
from owtrend.compute.compute import compute
from owtrend.store.repository import Store
from tests.builders import append, histogram, snapshot

ROWS, STUCK_FROM = 10, 6


@pytest.mark.slow
def test_a_histogram_that_gains_the_same_again_and_again_is_stuck_from_the_first_time_on():
    rng = np.random.default_rng(3)

    def rows():
        for run in (1, 2):
            filled, pulses, new = np.zeros(22), np.zeros(22), rng.poisson(40, 22)
            for row in range(ROWS):
                if run == 1 or row < STUCK_FROM:
                    new = rng.poisson(40, 22)
                filled, pulses = filled + new, pulses + 25
                yield snapshot(run * 30 + row, histogram(filled, "h"), histogram(pulses, "pulser"), run=run)

    store = Store.in_memory()
    append(store.location, rows())
    compute(store.location, workers=0)
    found = owtrend.open(store.location).findings()
    stuck = found[found["score"] == "stuck"]
    assert stuck["histogram"].tolist() == ["h"] * (ROWS - STUCK_FROM)
    assert stuck["certain"].all()
    assert stuck["size"].isna().all()
    assert stuck["why"].iloc[0].startswith("stuck: all 22 bins that are filled gained exactly as many counts as in the")
    assert found.loc[found["score"] == "fraction", "size"].notna().all()


@pytest.mark.slow
def test_runs_of_one_snapshot_have_scores_as_whole_runs():
    rng = np.random.default_rng(4)

    def rows():
        for run in range(1, 13):
            shape = np.full(22, 4000.0) * np.exp(rng.normal(0, 0.02, 22))
            shape[10:14] *= 1.5 if run == 10 else 1.0
            yield snapshot(run * 30, histogram(rng.poisson(shape), "h"), run=run)

    store = Store.in_memory()
    append(store.location, rows())
    compute(store.location, workers=0)
    scores = owtrend.open(store.location).run_scores("EMC", "h")
    assert scores.index.tolist() == list(range(1, 13))
    assert scores.index[scores["bad"]].tolist() == [10]
    assert scores.loc[10, "size"] == pytest.approx(0.2, abs=0.05)
    assert scores["entries"].between(8e4, 11e4).all()


@pytest.mark.slow
def test_a_run_that_is_the_one_before_once_more_has_no_findings():
    rng = np.random.default_rng(5)

    def rows():
        new = np.zeros(22)
        for run in range(1, 9):
            if run != 7:
                new = rng.poisson(np.where(np.arange(22) == 7, 8000 if run == 6 else 4000, 4000))
            yield snapshot(run * 30, histogram(new, "h"), run=run)

    store = Store.in_memory()
    append(store.location, rows())
    compute(store.location, workers=0)
    found = owtrend.open(store.location).findings()
    assert found["run"].tolist() == [6]
    assert not found["certain"].any()
