"""What happens to simulated counters in mid-run is recognised for what the truth says that it is."""

from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import owtrend
from ingest.archive.ingest import find_files, ingest
from ingest.simulator.counter_events import COUNTER_EVENTS
from ingest.simulator.faults import Fault
from ingest.simulator.simulate import STAMP, Simulation, simulate
from owtrend import Archive
from owtrend.compute import compute
from owtrend.model.rows import State
from owtrend.store import Store

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Events:
    """A simulated archive with an event of each kind, computed."""

    truth: Simulation
    store: Store  # in memory: gone when nothing holds it
    archive: Archive = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "archive", owtrend.open(self.store.location))

    def fault(self, kind: str) -> Fault:
        [fault] = [fault for fault in self.truth.faults if fault.kind == kind]
        return fault

    def histograms(self, fault: Fault) -> list[str]:
        return [name for names in self.truth.components[fault.subsystem].values() for name in names]

    def data(self, fault: Fault, name: str | None = None) -> xr.Dataset:
        """The snapshots of its histogram, or of another one, with the stored ``gained`` entries of each."""
        which = fault.subsystem, name or fault.histogram or ""
        data = self.archive.histogram(*which, run=fault.run, binning=-1).load()
        return data.assign(
            entries=data.sums.sel(sum="entries"), gained=self.archive.trend(*which, "entries", run=fault.run).value
        )

    def kinds(self, fault: Fault) -> pd.DataFrame:
        kinds = self.archive.kinds
        return kinds[(kinds.subsystem == fault.subsystem) & (kinds.histogram == fault.histogram)]

    def scores(self, fault: Fault) -> set[str]:
        """Scores of the findings on its histogram in its run."""
        found = self.archive.findings(fault.subsystem)
        return set(found.score[(found.run == fault.run) & (found.histogram == fault.histogram)])


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Events:
    folder = tmp_path_factory.mktemp("events")
    truth = simulate(folder, runs=4, snapshots=30, scale=0.001, faults=list(COUNTER_EVENTS))
    store = Store.in_memory()
    ingest(find_files([folder]), store.location, workers=0)
    compute.compute(store.location, workers=0)
    return Events(truth, store)


def at(time: datetime) -> np.datetime64:
    return np.datetime64(time.replace(tzinfo=None), "ns")


def rows_with(data: xr.Dataset, bits: State) -> list[np.datetime64]:
    return list(data.time.values[bits.is_set(data.state.values)])


def assert_gained_as_counted(data: xr.Dataset, first: int = 0) -> None:
    """From row to row the histogram gained what its entries rose by; from row ``first`` on."""
    rises = data.entries.diff("time").values[first:]
    np.testing.assert_array_equal(np.nan_to_num(data.gained.values[1 + first :]), rises)


def test_each_kind_is_in_the_truth_with_words(events: Events) -> None:
    assert sorted(fault.kind for fault in events.truth.faults) == sorted(COUNTER_EVENTS)
    assert all(fault.details for fault in events.truth.faults)
    assert Simulation.load(events.truth.folder) == events.truth


def test_a_restart_that_passes_its_old_value_is_a_restart_there_and_nowhere_else(events: Events) -> None:
    fault = events.fault("fast_restart")
    data = events.data(fault)
    before, after = (data.sel(time=at(time)) for time in (fault.start, fault.stop))
    assert after.entries > before.entries > 0
    assert rows_with(data, State.RESTART) == [at(fault.stop)]
    assert not rows_with(data, State.OUT_OF_ORDER | State.LOST | State.MOVED)
    assert after.gained == after.entries
    assert "restart" in events.scores(fault)


def test_a_snapshot_stamped_too_early_is_out_of_order_and_nothing_restarted(events: Events) -> None:
    fault = events.fault("early_snapshot")
    seen = 0
    for name in events.histograms(fault):
        data = events.data(fault, name)
        early = int(np.searchsorted(data.time.values, at(fault.start + STAMP)))
        assert data.time.values[early] == at(fault.start + STAMP)
        came_early = data.entries[early] > data.entries[early + 1]
        seen += bool(came_early)
        assert rows_with(data, State.OUT_OF_ORDER) == ([data.time.values[early]] if came_early else []), name
        assert not rows_with(data, State.RESTART), name
        assert data.gained.sum() == data.entries[-1], name
    assert seen > 5


def reports_soon(data: xr.Dataset, row: int) -> bool:
    """Whether one of the three rows after a row has more than the row before it."""
    return bool((data.entries[row + 1 : row + 4] > data.entries[row - 1]).any())


def late_rows(events: Events, *, soon: bool) -> list[tuple[str, xr.Dataset, int]]:
    """The histograms that a snapshot with too late a stamp shows in an earlier state, and the row of it."""
    fault, found = events.fault("late_snapshot"), []
    for name in events.histograms(fault):
        data = events.data(fault, name)
        late = int(np.searchsorted(data.time.values, at(fault.stop - STAMP)))
        assert data.time.values[late] == at(fault.stop - STAMP)
        if data.entries[late] < data.entries[late - 1] and reports_soon(data, late) == soon:
            found.append((name, data, late))
    assert found
    return found


def assert_late_ones_are_out_of_order(found: list[tuple[str, xr.Dataset, int]]) -> None:
    for name, data, late in found:
        assert data.time.values[late] in rows_with(data, State.OUT_OF_ORDER), name
        assert not rows_with(data, State.RESTART), name
        assert data.gained.sum() == data.entries[-1], name


def test_a_snapshot_stamped_too_late_is_out_of_order_where_it_counts_on_soon_after(events: Events) -> None:
    assert_late_ones_are_out_of_order(late_rows(events, soon=True))


def test_a_snapshot_stamped_too_late_is_out_of_order_where_nothing_is_counted_soon_after(events: Events) -> None:
    assert_late_ones_are_out_of_order(late_rows(events, soon=False))


def test_contents_set_at_each_snapshot_are_a_gauge(events: Events) -> None:
    fault = events.fault("gauge")
    data = events.data(fault)
    assert State.GAUGE.is_set(data.state.values).all()
    assert not rows_with(data, State.RESTART | State.OUT_OF_ORDER | State.RESET)
    [kind] = events.kinds(fault).to_dict("records")
    assert (kind["kind"], kind["runs"]) == ("gauge", (fault.run,))


def test_what_is_reset_at_each_snapshot_gains_its_contents(events: Events) -> None:
    fault = events.fault("reset")
    data = events.data(fault)
    assert State.RESET.is_set(data.state.values).all()
    assert (data.entries > 0).all()
    np.testing.assert_array_equal(data.gained, data.entries)
    [kind] = events.kinds(fault).to_dict("records")
    assert (kind["kind"], kind["runs"]) == ("reset", (fault.run,))


def test_the_gain_at_scale_is_not_known_and_later_ones_are(events: Events) -> None:
    fault = events.fault("scaled")
    data = events.data(fault)
    [row] = np.flatnonzero(data.time.values == at(fault.stop))
    ratio = data.contents[row] / data.contents[row - 1]
    assert ratio.min() >= fault.size * (1 - 1e-6)
    assert rows_with(data, State.LOST) == rows_with(data, State.MOVED) == [at(fault.stop)]
    assert not rows_with(data, State.RESTART | State.OUT_OF_ORDER)
    assert np.isnan(data.gained[row])
    assert_gained_as_counted(data, row)
    assert "lost" in events.scores(fault)


def test_gains_are_not_known_while_a_bin_is_full(events: Events) -> None:
    fault = events.fault("full_bin")
    data = events.data(fault)
    rises = np.diff(data.entries, prepend=0) > 0
    late = data.time.values > at(fault.start)
    limit = {"TH2S": 2**15 - 1, "TH2F": 2**24}[events.archive.histograms(fault.subsystem).loc[fault.histogram, "class"]]
    assert (data.contents.max(["x", "y"])[late] == limit).all()
    assert rows_with(data, State.LOST) == list(data.time.values[rises & late])
    assert np.isnan(data.gained.values[rises & late]).all()
    assert data.gained[~late].sum() == data.entries[~late][-1]
    assert "lost" in events.scores(fault)


@pytest.mark.parametrize("kind", ["scaled", "full_bin"])
def test_a_gain_that_is_not_known_is_one_finding_and_makes_no_other_of_its_component(events: Events, kind: str) -> None:
    fault = events.fault(kind)
    found = events.archive.findings(fault.subsystem)
    found = found[found.run == fault.run]
    assert found.histogram[found.score == "lost"].tolist() == [fault.histogram]
    assert not set(found.score) & {"fraction", "rate", "silent"}


def test_labels_in_another_order_after_a_restart_are_matched(events: Events) -> None:
    fault = events.fault("other_labels")
    data = events.data(fault)
    restart = data.time.values[data.time.values > at(fault.start)][0]
    assert rows_with(data, State.RESTART) == [restart]
    contents = data.contents.assign_coords(x=data.x_label.values)
    by_size = ["edge", "split in pad", "split in time", "single pad", "single time bin", "deconvoluted"]
    for row in (contents.sel(time=at(fault.start)), contents[-1]):
        assert (row.sel(x=by_size).diff("x") < 0).all()
    assert data.gained.sum() == data.entries.sel(time=at(fault.start)) + data.entries[-1]


def test_a_new_label_has_its_entries_and_all_else_counts_on(events: Events) -> None:
    fault = events.fault("new_label")
    data = events.data(fault)
    unknown = data.contents[:, data.x_label.values == "unknown"].squeeze("x")
    np.testing.assert_array_equal(unknown, fault.size * (data.time.values > at(fault.start)))
    assert not rows_with(data, ~(State.HELD | State.REPORTED))
    assert_gained_as_counted(data)
    assert "bin" in events.scores(fault)


@pytest.mark.parametrize(("kind", "words"), [("extended_axis", "x goes from "), ("other_class", "TH1F became TH1D")])
def test_a_change_that_keeps_all_counts_is_named_and_no_restart(events: Events, kind: str, words: str) -> None:
    fault = events.fault(kind)
    data = events.data(fault)
    assert not rows_with(data, ~(State.HELD | State.REPORTED))
    assert_gained_as_counted(data)
    changes = events.archive.changes
    [change] = changes[changes.run == fault.run].query("histogram == @fault.histogram").to_dict("records")
    assert change["change"].startswith(words)
    assert change["time"] == data.time.values[data.time.values > at(fault.start)][0]
    if kind == "extended_axis":
        beyond = data.contents[-1].sel(x=slice(data.x_left.values[len(data.x) // 2], None)).sum()
        assert beyond == fault.size
