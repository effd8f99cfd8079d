"""Components found from the snapshots in which histograms change: made by hand, and those of the simulated detector."""

import json

import numpy as np
import pytest

import owtrend
from ingest import simulate
from ingest.archive import ingest
from owtrend.errors import UsageError
from owtrend.outliers.components import bin_components, learn, learn_cells
from tests.builders import archive_of, snapshots, table
from tests.studies import cases


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
    assert len({(a, b) for a, b in zip(owner, found.labels, strict=True)}) == 4
    assert found.certain.all()
    np.testing.assert_array_equal(found.reports[:, found.labels[0]], reports[:, 0])


def test_a_histogram_filled_rarely_joins_the_component_that_its_few_reports_fit():
    reports = turns(600, 4)
    rare = reports[:, 2] & (np.random.default_rng(1).random(600) < 0.1)
    found = learn(np.column_stack([reports, rare]))
    assert found.labels[4] == found.labels[2]
    assert found.certain[4]


def test_a_histogram_that_never_changed_has_no_component_and_one_change_is_not_certain():
    reports = turns(60, 3)
    never, once = np.zeros(60, dtype=bool), np.zeros(60, dtype=bool)
    once[np.flatnonzero(reports[:, 1])[3]] = True
    found = learn(np.column_stack([reports, never, once]))
    assert found.labels[3] == -1
    assert found.certain.tolist() == [True, True, True, False, False]
    assert found.members(found.labels[0]).tolist() == [0]


def test_no_snapshots_mean_no_components():
    assert learn(np.zeros((0, 3), dtype=bool)).labels.tolist() == [-1, -1, -1]


SECTORS = np.repeat(np.arange(18) % 5, 10)


def changes(runs, per_hour, owner, seed=3, dead=()):
    """Whether cells change: Poisson fills at a rate per hour, seen when their component reports; runs of an hour."""
    rng = np.random.default_rng(seed)
    rate = per_hour / 60 * np.linspace(0.2, 1.8, len(owner))
    changed = []
    for run in range(runs):
        waits = rng.normal(5, 0.7, (owner.max() + 1, 24)).clip(min=0.7)
        reports = waits.cumsum(axis=1) - 5 * rng.random((len(waits), 1))
        last = np.array([[row[row <= end].max(initial=0) for row in reports] for end in range(61)])
        gained = np.diff(last, axis=0)[:, owner] * rate
        if run == 0:
            gained[15:45, list(dead)] = 0
        changed.append(rng.poisson(gained) > 0)
    return np.concatenate(changed)


def same(found, owner):
    """Whether the labels are the owners, up to a renumbering."""
    return len(set(zip(found, owner, strict=True))) == len(set(owner)) == len(set(found))


@pytest.mark.slow
@pytest.mark.parametrize("per_hour", cases([2, 5, 20, 100], [5, 100]))
@pytest.mark.parametrize("owner", [SECTORS, np.arange(144) // 72], ids=["18 sectors of 5", "halves of 2"])
def test_bins_that_change_together_are_of_one_component_however_few_of_their_changes_are_seen(per_hour, owner):
    found = learn_cells(changes(20, per_hour, owner))
    assert found.count == owner.max() + 1
    assert same(found.labels, owner)
    assert found.certain.mean() > 0.95


def test_twenty_components_of_one_histogram_are_separated_in_one_run():
    owner = np.arange(400) % 20
    found = learn_cells(changes(1, 200, owner))
    assert same(found.labels, owner)
    assert found.certain.all()


@pytest.mark.slow
@pytest.mark.parametrize("runs", [1, 20])
@pytest.mark.parametrize("per_hour", [0.5, 2, 5, 20, 100])
def test_a_histogram_of_one_component_is_one(runs, per_hour):
    found = learn_cells(changes(runs, per_hour, np.zeros(180, dtype=int)))
    assert found.count == 1
    assert set(found.labels.tolist()) <= {0, -1}
    filled = changes(runs, per_hour, np.zeros(180, dtype=int)).any(axis=0)
    np.testing.assert_array_equal(found.labels == 0, filled)


def test_a_sector_that_was_dead_for_half_a_run_stays_with_its_component():
    found = learn_cells(changes(1, 100, SECTORS, dead=range(10)))
    assert same(found.labels, SECTORS)


def test_a_bin_with_few_changes_is_not_certain_and_one_without_has_no_component():
    changed = changes(3, 100, SECTORS)
    changed[:, 4] = False
    once = np.flatnonzero(changed[:, 17])[5]
    changed[:, 17] = np.arange(len(changed)) == once
    found = learn_cells(changed)
    assert found.labels[4] == -1
    assert not found.certain[[4, 17]].any()
    assert np.delete(found.certain, [4, 17]).all()
    others = np.delete(np.arange(180), 4)
    np.testing.assert_array_equal(changed[:, SECTORS == 2].any(axis=1), found.reports[:, found.labels[25]])
    assert (found.labels[others] >= 0).all()


def test_a_histogram_that_never_changed_has_no_components_of_its_bins():
    found = learn_cells(np.zeros((40, 3), dtype=bool))
    assert found.count == 0
    assert found.labels.tolist() == [-1, -1, -1]


@pytest.mark.slow
def test_the_archive_returns_components_of_bins_as_a_comparison_takes_them():
    owner = np.repeat([0, 1, 2], 8)
    rng, rows = np.random.default_rng(2), []
    for run in range(2):
        gained = turns(40, 3)[:, owner] * rng.poisson(40, (40, 24))
        rows += snapshots({"sectors": np.pad(gained.cumsum(axis=0), ((0, 0), (1, 1)))}, 300000 + run)
    opened = archive_of(*rows)
    found = opened.components("EMC", histogram="sectors")
    assert found.dims == ("x",)
    assert same(found.values, owner)
    assert found.certain.all()
    h = opened.histogram("EMC", "sectors", run=300001)
    np.testing.assert_array_equal(found.x, h.x)
    late, whole = owtrend.time_slice(h, "12:20", "12:36"), owtrend.time_slice(h)
    plain, known = (
        owtrend.compare(late, whole, component=of, scores=["homogeneity"]).p_value.item() for of in (None, found)
    )
    assert known > 0.001 > plain


def test_a_status_map_has_no_components():
    with pytest.raises(UsageError, match="h: a gauge; components are learned only"):
        bin_components(table([[1, 2, 3]]).assign_attrs(gauge=True))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("components")
    simulate(folder / "data", runs=2, snapshots=60, scale=0.003)
    ingest.ingest(ingest.find_files([folder / "data"]), folder / "store", workers=0)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("subsystem", ["EMC", "TPC", "HLT"])
def test_the_components_of_a_faulty_detector_are_found(simulated, subsystem):
    components = json.loads((simulated / "data" / "truth.json").read_text())["components"][subsystem]
    found = owtrend.open(simulated / "store").components(subsystem)
    assert found["certain"].all()
    groups = {frozenset(group.index) for _, group in found.groupby("component")}
    truth = {frozenset(found.index.intersection(names)) for names in components.values()} - {frozenset()}
    assert groups == truth


@pytest.mark.slow
@pytest.mark.parametrize("subsystem", ["EMC", "HLT"])
def test_every_histogram_of_a_faulty_detector_that_one_component_fills_comes_out_as_one(simulated, subsystem):
    opened = owtrend.open(simulated / "store")
    known = opened.histograms(subsystem)
    found = {name: opened.components(subsystem, histogram=name) for name in known.index[known.kind == "counter"]}
    assert len(found) > 8
    assert {name: int(one.max()) for name, one in found.items()} == dict.fromkeys(found, 0)
