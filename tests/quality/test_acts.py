"""Versions of a validation file as runs: each step that persists is one incident, until it is accepted."""

import pytest

import owtrend
from owtrend.compute import compute
from tests import builders

pytestmark = pytest.mark.study


@pytest.fixture(scope="module")
def store(shared, tmp_path_factory):
    store = tmp_path_factory.mktemp("acts") / "store"
    builders.ingest(shared / "acts", store)
    compute.compute(store, workers=0)
    return store


def since(incidents, run):
    """The incident that began in a run with the most histograms."""
    begun = incidents[[runs[0] == run for runs in incidents["runs"]]]
    return begun.sort_values("histograms").iloc[-1]


def test_a_step_that_persists_is_one_incident_and_quiet_once_it_is_accepted(store):
    archive = owtrend.open(store)
    incidents = archive.incidents()
    steps = {run: since(incidents, run) for run in (1003, 1010, 1016, 1025)}
    # Until three runs show the new level, or longer where its size is that by which runs have differed before.
    assert [step["runs"][:3] for step in steps.values()] == [
        (1003, 1004, 1005), (1010, 1011, 1012), (1016, 1017, 1018), (1025, 1026)
    ]  # fmt: skip
    assert len(incidents) <= 10
    assert not any(1009 in runs for runs in incidents["runs"]), "histograms that are new are no outliers"
    archive.accept(steps[1010]["id"], "inflated covariances are what we want")
    compute.compute(store, workers=0)
    after = owtrend.open(store)
    assert after.stale.empty
    quiet = after.incidents(runs=1010)
    assert quiet.empty
    assert since(after.incidents(), 1003)["id"] == steps[1003]["id"]
    later = after.incidents()
    begun = later[~later["id"].isin(incidents["id"])]["runs"].str[0]
    assert begun.min() > 1010, "the next step is a new incident"
    assert since(after.incidents(), 1016)["histograms"] >= steps[1016]["histograms"]
