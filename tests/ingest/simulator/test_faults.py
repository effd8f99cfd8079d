"""Each fault is in the data exactly as the truth lists it."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ingest.simulator.counter_events import COUNTER_EVENTS
from ingest.simulator.detector import COMPONENTS, histograms
from ingest.simulator.faults import FAULTS, Fault, drawn
from ingest.simulator.simulate import Simulation, simulate
from owtrend.errors import UsageError
from tests.ingest.simulated import Series, entries, reports, utc


def fault_of_kind(simulation: Simulation, kind: str) -> Fault:
    [fault] = [fault for fault in simulation.faults if fault.kind == kind]
    return fault


@pytest.mark.slow
def test_six_runs_have_a_fault_of_each_kind_and_the_last_run_is_clean(simulation: Simulation, tmp_path: Path) -> None:
    assert sorted(fault.kind for fault in simulation.faults) == sorted(FAULTS)
    assert {fault.run for fault in simulation.faults} == set(simulation.runs[:-1])
    for fault in simulation.faults:
        assert fault.details
        assert FAULTS[fault.kind].sizes[1] == fault.size
        known = simulation.components[fault.subsystem].values()
        assert set(fault.histograms) <= {name for names in known for name in names}
        assert fault.histogram in fault.histograms if fault.histogram else not fault.histograms
    less = simulate(tmp_path / "one", runs=1, snapshots=30, scale=0.001)
    assert [fault.kind for fault in less.faults] == ["gap", "truncated_file"]
    assert simulate(tmp_path / "short", runs=1, snapshots=29, scale=0.001).faults == ()


@pytest.mark.slow
def test_hot_channel_takes_its_fraction_of_the_fills_only_during_the_fault(
    simulation: Simulation, series: Series
) -> None:
    fault = fault_of_kind(simulation, "hot_channel")
    assert fault.histogram is not None
    snapshots = series[fault.run, fault.subsystem]
    axes = snapshots[0][fault.histogram].axes
    hot = tuple(np.searchsorted(axis.edges, x) - 1 for axis, x in zip(axes, fault.where, strict=True))
    seen = reports(snapshots, fault.histogram)
    during = sum(report.gained for report in seen if report.lies_in(fault))
    assert during[hot] == during.max()
    assert during[hot] / during.sum() == pytest.approx(fault.size / (1 + fault.size), rel=0.05)
    outside = sum(report.gained for report in seen if report.lies_outside(fault))
    assert outside[hot] < 3 * np.median(outside[outside > 0])


@pytest.mark.slow
def test_dead_region_counts_nothing_then_comes_back(simulation: Simulation, series: Series) -> None:
    fault = fault_of_kind(simulation, "dead_region")
    assert fault.histogram is not None
    snapshots = series[fault.run, fault.subsystem]
    phi = (lambda edges: (edges[1:] + edges[:-1]) / 2)(snapshots[0][fault.histogram].axes[1].edges)
    low, high, side = fault.where
    dead = (phi > low) & (phi < high)
    assert dead.any()
    seen = reports(snapshots, fault.histogram)
    during = sum(report.gained for report in seen if report.lies_in(fault))
    assert during[:, dead, int(side)].sum() == 0
    assert during[:, dead, 1 - int(side)].sum() > 0
    assert during[:, ~dead, int(side)].sum() > 0
    after = [report.gained for report in seen if report.since >= fault.stop]
    assert after
    assert all(gained[:, dead, int(side)].sum() > 0 for gained in after)


@pytest.mark.slow
def test_hv_trip_is_seen_by_clusters_and_tracks_of_its_sector(simulation: Simulation, series: Series) -> None:
    fault = fault_of_kind(simulation, "hv_trip")
    assert len(fault.histograms) == 4
    low, high, side = fault.where
    assert high - low == pytest.approx(np.pi / 9)
    snapshots = series[fault.run, fault.subsystem]
    for name in fault.histograms:
        axes = {axis.title: (axis.edges[1:] + axis.edges[:-1]) / 2 for axis in snapshots[0][name].axes}
        grid = dict(zip(axes, np.meshgrid(*axes.values(), indexing="ij"), strict=True))
        on_side = np.floor(grid["side"]) == side if "side" in grid else (grid["eta"] > 0) == (side == 0)
        sector = (grid["phi"] > low) & (grid["phi"] < high) & on_side
        seen = reports(snapshots, name)
        ratios = [
            (lambda gained: gained[sector].sum() / gained[~sector].sum())(sum(report.gained for report in chosen))
            for chosen in (
                [report for report in seen if report.lies_in(fault)],
                [report for report in seen if report.lies_outside(fault)],
            )
        ]
        assert ratios[0] / ratios[1] == pytest.approx(1 - fault.size, abs=0.03), name


@pytest.mark.slow
def test_drift_moves_the_mean_evenly_to_its_size(simulation: Simulation, series: Series) -> None:
    fault = fault_of_kind(simulation, "drift")
    assert fault.histogram is not None
    snapshots = series[fault.run, fault.subsystem]
    edges = snapshots[0][fault.histogram].axes[0].edges
    x = (edges[1:] + edges[:-1]) / 2
    seen = reports(snapshots, fault.histogram)
    calm = sum(report.gained for report in seen if report.lies_outside(fault))
    mean = np.average(x, weights=calm)
    spread = np.sqrt(np.average((x - mean) ** 2, weights=calm))
    drifting = [report for report in seen if report.lies_in(fault)]
    assert len(drifting) >= 3
    for report in drifting:
        middle = report.since + (report.until - report.since) / 2 - timedelta(seconds=30)
        expected = fault.size * (middle - fault.start) / (fault.stop - fault.start)
        assert (np.average(x, weights=report.gained) - mean) / spread == pytest.approx(expected, abs=0.1)
    means = [np.average(x, weights=report.gained) for report in drifting]
    assert means == sorted(means)


@pytest.mark.slow
def test_rate_step_raises_all_fills_of_a_component_and_no_others(simulation: Simulation, series: Series) -> None:
    fault = fault_of_kind(simulation, "rate_step")
    components = simulation.components[fault.subsystem].values()
    assert fault.histograms in components
    snapshots = series[fault.run, fault.subsystem]

    def rise(name: str) -> float:
        """Fills per minute in the fault, relative to those before."""
        at = [fault.start, fault.stop]
        seen = reports(snapshots, name)
        rates = []
        for chosen in (
            [report for report in seen if report.until <= at[0]],
            [report for report in seen if report.lies_in(fault)],
        ):
            gained = sum(report.gained.sum() for report in chosen)
            rates.append(gained / (chosen[-1].until - chosen[0].since - timedelta(minutes=1)).total_seconds())
        return rates[1] / rates[0]

    for names in components:
        expected = 1 + fault.size if names == fault.histograms else 1
        assert np.mean([rise(name) for name in names]) == pytest.approx(expected, rel=0.15), names


@pytest.mark.slow
def test_restart_sets_all_totals_to_zero_at_once(simulation: Simulation, series: Series) -> None:
    fault = fault_of_kind(simulation, "restart")
    at = {utc(snapshot): snapshot for snapshot in series[fault.run, fault.subsystem]}
    assert all(h.sums["entries"] > 0 for h in at[fault.start].histograms.values())
    assert all(not any(h.sums.values()) for h in at[fault.stop].histograms.values())
    assert all(not any(part.any() for part in h.parts.values()) for h in at[fault.stop].histograms.values())
    last = series[fault.run, fault.subsystem][-1]
    assert all(h.sums["entries"] > 0 for h in last.histograms.values())


@pytest.mark.slow
def test_gap_leaves_out_its_files(simulation: Simulation, series: Series) -> None:
    fault = fault_of_kind(simulation, "gap")
    times = [utc(snapshot) for snapshot in series[fault.run, fault.subsystem]]
    assert len(times) == 40 - fault.size
    [pair] = [pair for pair in pairwise(times) if pair[1] - pair[0] > timedelta(seconds=90)]
    assert pair == (fault.start, fault.stop)


@pytest.mark.slow
def test_truncated_file_is_the_last_and_as_short_as_its_size(simulation: Simulation, series: Series) -> None:
    fault = fault_of_kind(simulation, "truncated_file")
    files = sorted((simulation.folder / f"Run{fault.run}" / fault.subsystem).iterdir())
    assert utc(series[fault.run, fault.subsystem][-1]) == fault.start
    assert len(files) == 40
    assert files[-1].stat().st_size / files[-2].stat().st_size == pytest.approx(fault.size, rel=0.05)


@pytest.mark.slow
def test_duplicates_after_the_end_repeat_the_last_snapshot(simulation: Simulation, series: Series) -> None:
    fault = fault_of_kind(simulation, "duplicate_after_end")
    *_, before, last, first, second, third = series[fault.run, fault.subsystem]
    assert utc(last) == fault.start
    assert [utc(again) - fault.start for again in (first, second, third)] == [timedelta(minutes=k) for k in (1, 2, 3)]
    assert utc(third) == fault.stop
    assert {again.digest for again in (first, second, third)} == {last.digest} != {before.digest}


@pytest.mark.slow
def test_rebinning_keeps_the_counts_in_fewer_bins_from_the_next_report_on(
    simulation: Simulation, series: Series
) -> None:
    fault = fault_of_kind(simulation, "rebinning")
    assert fault.histogram is not None
    snapshots = series[fault.run, fault.subsystem]
    histograms = [snapshot[fault.histogram] for snapshot in snapshots]
    bins = [len(h.axes[0].edges) - 1 for h in histograms]
    assert sorted(set(bins), reverse=True) == list(dict.fromkeys(bins)) == [bins[0], bins[-1]]
    changed = bins.index(bins[-1])
    assert timedelta() < utc(snapshots[changed]) - fault.start < timedelta(minutes=8)
    merged = bins[0] // bins[-1]
    assert merged >= fault.size
    fine, coarse = histograms[changed - 1], histograms[changed]
    np.testing.assert_allclose(coarse.axes[0].edges, fine.axes[0].edges[::merged])
    assert (coarse.values() >= fine.values().reshape(-1, merged).sum(axis=1)).all()
    assert coarse.values(flow=True).sum() == coarse.sums["entries"] > fine.sums["entries"]
    assert (np.diff(entries(snapshots, fault.histogram)) >= 0).all()


TIMES = {
    (run, subsystem): [datetime(2018, 6, 1, tzinfo=UTC) + timedelta(minutes=90 * run + k) for k in range(61)]
    for run in range(4)
    for subsystem in COMPONENTS
}


def drawn_with(seed: int, wanted: int | tuple[str, ...], scale: float = 0.1) -> list[Fault]:
    return drawn(np.random.default_rng(seed), wanted, TIMES, scale)


def test_drawn_faults_are_the_same_for_the_same_seed_and_each_has_a_run_of_its_own() -> None:
    assert drawn_with(1, 5) == drawn_with(1, 5) != drawn_with(2, 5)
    found = drawn_with(1, 12)
    assert len({(fault.run, fault.subsystem) for fault in found}) == len(found) == 12


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("scale", [0.001, 0.1])
def test_a_fault_of_any_kind_is_drawn_inside_its_run_and_histogram(seed: int, scale: float) -> None:
    found = drawn_with(seed, tuple(FAULTS), scale)
    assert sorted(fault.kind for fault in found) == sorted(FAULTS)
    for fault in found:
        least, _, most = FAULTS[fault.kind].sizes
        assert least <= fault.size <= most
        times, after_end = TIMES[fault.run, fault.subsystem], fault.kind == "duplicate_after_end"
        assert times[0] < fault.start < fault.stop
        assert (fault.stop > times[-1]) == after_end
        known = FAULTS[fault.kind]
        if known.change:
            histogram = next(
                histogram for histogram in histograms(fault.subsystem, scale) if histogram.name == fault.histogram
            )
            change = known.change(histogram, fault, 1.0)
            assert change.shape == histogram.density.shape
            assert change.any(), "it would change nothing"
            assert (histogram.density + change).min() >= -1e-9


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("scale", [0.001, 0.1])
def test_events_of_counters_are_drawn_by_name_only_and_inside_their_run(seed: int, scale: float) -> None:
    assert not set(COUNTER_EVENTS) & {fault.kind for fault in drawn_with(seed, 12, scale)}
    found = drawn_with(seed, tuple(COUNTER_EVENTS), scale)
    assert sorted(fault.kind for fault in found) == sorted(COUNTER_EVENTS)
    for fault in found:
        kind, times = COUNTER_EVENTS[fault.kind], TIMES[fault.run, fault.subsystem]
        assert kind.sizes[0] <= fault.size <= kind.sizes[2]
        assert times[0] <= fault.start < fault.stop <= times[-1]
        assert fault.histograms == ((fault.histogram,) if fault.histogram else ())


@pytest.mark.slow
def test_a_simulation_has_the_requested_faults(tmp_path: Path) -> None:
    size = {"runs": 1, "snapshots": 30, "scale": 0.001, "statistics": 0.01}
    assert [fault.kind for fault in simulate(tmp_path / "one", **size, faults=["gap"]).faults] == ["gap"]
    assert len(simulate(tmp_path / "two", **size, faults=2).faults) == 2
    assert simulate(tmp_path / "none", **size, faults=()).faults == ()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (("hot_chanel",), "did you mean hot_channel"),
        (("hv_trip", "hv_trip"), r"no room for 2 faults.*of TPC"),
        (4, "no room for 4 faults"),
    ],
)
def test_impossible_faults_are_refused_before_anything_is_written(
    tmp_path: Path, wanted: int | tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        simulate(tmp_path / "new", runs=1, snapshots=30, scale=0.001, faults=wanted)
    assert not (tmp_path / "new").exists()
