"""Histograms of a component that stop, or are absent: which ones are named."""

import numpy as np
import pytest

import owtrend
from owtrend.compute.compute import compute
from owtrend.store.repository import Store
from tests.builders import append, histogram, snapshot

pytestmark = pytest.mark.slow
BINS, ROWS, RUNS, STOPPED_AT = 6, 16, 4, 8


def rows(histograms, *, stopping=(), absent=()):
    """Four runs of 16 snapshots; in the last, some histograms stop after the eighth or are absent."""
    rng = np.random.default_rng(4)
    for run in range(RUNS):
        last = run == RUNS - 1
        filled = np.zeros((histograms, BINS + 2))
        for row in range(ROWS):
            new = rng.poisson(3000 * np.array([0, 1, 2, 4, 3, 2, 1, 0]), (histograms, BINS + 2))
            if last and row >= STOPPED_AT:
                new[list(stopping)] = 0
            filled += new
            there = [
                histogram(filled[number].copy(), f"h{number}")
                for number in range(histograms)
                if not (last and number in absent)
            ]
            yield snapshot(run * 30 + row + 1, *there, run=300000 + run)


def findings(*arguments, **options):
    """Of the last run."""
    store = Store.in_memory()
    append(store.location, rows(*arguments, **options))
    compute(store.location, workers=0)
    found = owtrend.open(store.location).findings()
    return found[found["run"] == 300000 + RUNS - 1]


@pytest.mark.parametrize("stopped", [1, 2, 5, 8, 11])
def test_exactly_the_histograms_that_stopped_are_named(stopped):
    found = findings(12, stopping=range(stopped))
    fractions = found[found["score"] == "fraction"]
    assert len(fractions) >= ROWS - STOPPED_AT - 1
    for names in fractions["histograms"]:
        assert set(names) == {f"h{number}" for number in range(stopped)}


def test_an_absent_histogram_is_reported_once_and_hides_no_other():
    both = findings(6, stopping=[1], absent=[2])
    fractions = both[both["score"] == "fraction"]
    assert {name for names in fractions["histograms"] for name in names} == {"h1"}
    assert len(fractions) >= ROWS - STOPPED_AT - 1
    only = findings(6, absent=[2])
    for found in (both, only):
        absent = found[[tuple(names) == ("h2",) for names in found["histograms"]]]
        assert len(absent) == 1
    assert not (only["score"] == "fraction").any()
