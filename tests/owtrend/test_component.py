"""Components found from the snapshots in which histograms change: made by hand, and those of the simulated detector."""

import json

import numpy as np
import pytest

import owtrend
from ingest import archive, simulate
from owtrend.component import learn


def turns(snapshots, components, every=5):
    """Whether each component reports in each snapshot: in turn, as in the detector."""
    rng = np.random.default_rng(7)
    reports = np.zeros((snapshots, components), dtype=bool)
    for component in range(components):
        at = component * every / components
        while at < snapshots:
            reports[int(at), component] = True
            at += rng.normal(every, 0.7)
    return reports


def test_histograms_that_change_together_are_of_one_component():
    reports = turns(120, 4)
    owner = np.array([0, 1, 2, 3, 0, 1, 2, 3, 0])
    found = learn(reports[:, owner])
    assert found.count == 4
    assert len({(a, b) for a, b in zip(owner, found.of, strict=True)}) == 4
    assert found.certain.all()
    np.testing.assert_array_equal(found.reports[:, found.of[0]], reports[:, 0])


def test_a_histogram_filled_rarely_joins_the_component_that_its_few_reports_fit():
    reports = turns(600, 4)
    rare = reports[:, 2] & (np.random.default_rng(1).random(600) < 0.1)
    found = learn(np.column_stack([reports, rare]))
    assert found.of[4] == found.of[2]
    assert found.certain[4]


def test_what_never_changed_has_none_and_what_changed_once_is_not_certain():
    reports = turns(60, 3)
    never, once = np.zeros(60, dtype=bool), np.zeros(60, dtype=bool)
    once[np.flatnonzero(reports[:, 1])[3]] = True
    found = learn(np.column_stack([reports, never, once]))
    assert found.of[3] == -1
    assert found.certain.tolist() == [True, True, True, False, False]
    assert found.members(found.of[0]).tolist() == [0]


def test_nothing_at_all_has_no_components():
    assert learn(np.zeros((0, 3), dtype=bool)).of.tolist() == [-1, -1, -1]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("components")
    simulate(folder / "data", runs=2, snapshots=60, scale=0.003)
    archive.ingest(archive.find_files([folder / "data"]), folder / "store", workers=0)
    return folder


@pytest.mark.parametrize("subsystem", ["EMC", "TPC", "HLT"])
def test_the_components_of_a_faulty_detector_are_found(simulated, subsystem):
    told = json.loads((simulated / "data" / "truth.json").read_text())["components"][subsystem]
    found = owtrend.open(simulated / "store").components(subsystem)
    assert found["certain"].all()
    groups = {frozenset(group.index) for _, group in found.groupby("component")}
    truth = {frozenset(found.index.intersection(names)) for names in told.values()} - {frozenset()}
    assert groups == truth
