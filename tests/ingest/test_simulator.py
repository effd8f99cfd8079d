"""The simulated detector: genuine histograms, and faults exactly as told."""

import json
from collections import defaultdict
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ingest.root_file import SnapshotReader
from ingest.simulator import Fault, Simulation, simulate
from owtrend.errors import SnapshotError, UsageError
from owtrend.snapshot import Histogram, Snapshot

Series = dict[tuple[int, str], list[Snapshot]]


@pytest.fixture(scope="module")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(tmp_path_factory.mktemp("simulated"), runs=3, snapshots=12, scale=0.2)


@pytest.fixture(scope="module")
def series(simulation: Simulation) -> Series:
    """The readable snapshots of each (run, subsystem), in order of time."""
    return read(simulation.folder)


def read(folder: Path) -> Series:
    series: Series = defaultdict(list)
    reader = SnapshotReader()
    for path in sorted(folder.glob("Run*/*/*.root")):
        try:
            snapshot = reader.read(path)
        except SnapshotError:
            continue
        assert not snapshot.problems
        assert not snapshot.unsupported
        assert snapshot.run is not None
        assert snapshot.subsystem is not None
        series[snapshot.run, snapshot.subsystem].append(snapshot)
    return series


def fault(simulation: Simulation, kind: str) -> Fault:
    [found] = [fault for fault in simulation.faults if fault.kind == kind]
    return found


def utc(snapshot: Snapshot) -> datetime:
    assert snapshot.time is not None
    return datetime.fromtimestamp(int(snapshot.time.astype("datetime64[s]").astype(int)), UTC)


def during(fault: Fault, series: Series) -> list[Snapshot]:
    """From the snapshot at which the fault starts to the one at which it stops."""
    return [s for s in series[fault.run, fault.subsystem] if fault.start <= utc(s) <= fault.stop]


def histograms(fault: Fault, snapshots: list[Snapshot]) -> list[NDArray[np.float64]]:
    """The contents of the histogram that the fault concerns, per snapshot."""
    assert fault.histogram is not None
    return [snapshot[fault.histogram].values() for snapshot in snapshots]


def test_three_runs_have_all_faults_and_fewer_runs_only_theirs(simulation: Simulation, tmp_path: Path) -> None:
    kinds = [[f.kind for f in simulation.faults if f.run == run] for run in simulation.runs]
    assert kinds == [["gap", "truncated_file"], ["hot_channel", "dead_region"], ["restart"]]
    assert [f.kind for f in simulate(tmp_path / "one", runs=1, snapshots=12).faults] == ["gap", "truncated_file"]
    assert simulate(tmp_path / "short", runs=1, snapshots=2).faults == ()


def test_truth_lists_the_faults(simulation: Simulation) -> None:
    truth = json.loads((simulation.folder / "truth.json").read_text())
    assert truth["runs"] == [300000, 300001, 300002]
    times = [{"start": fault.start.isoformat(), "stop": fault.stop.isoformat()} for fault in simulation.faults]
    assert truth["faults"] == [asdict(fault) | time for fault, time in zip(simulation.faults, times, strict=True)]


def test_files_lie_in_the_processed_layout_at_cern_time(simulation: Simulation, series: Series) -> None:
    names = [path.relative_to(simulation.folder).as_posix() for path in simulation.folder.glob("Run*/*/*.root")]
    assert len(names) == simulation.files == 3 * 3 * 12 - 4
    assert min(names).startswith("Run300000/EMC/EMChists.2018_06_01_14_0")
    assert (simulation.folder / "Run300002" / "runInfo.yaml").read_text() == "hltMode: C\n"
    starts = [utc(series[run, "EMC"][0]).strftime("%H:%M") for run in simulation.runs]
    assert [start[:2] for start in starts] == ["12", "13", "15"]


def test_every_histogram_grows_except_at_the_restart(simulation: Simulation, series: Series) -> None:
    restart = fault(simulation, "restart")
    for (run, subsystem), snapshots in series.items():
        for before, after in pairwise(snapshots):
            restarted = (run, subsystem, utc(after)) == (restart.run, restart.subsystem, restart.stop)
            for path, histogram in after.histograms.items():
                grown = [histogram.parts[part] - before[path].parts[part] for part in histogram.parts]
                if restarted:
                    assert histogram.sums["entries"] < before[path].sums["entries"] / 2
                else:
                    assert all((part >= 0).all() for part in grown), (run, subsystem, histogram.name)


def test_histograms_change_only_when_their_component_reports(series: Series) -> None:
    snapshots = series[300000, "EMC"]
    entries = np.array([[h.sums["entries"] for h in s.histograms.values()] for s in snapshots])
    changed = np.diff(entries, axis=0) > 0
    assert 0.35 < changed.mean() < 0.65  # a report every two minutes, a snapshot every minute
    np.testing.assert_array_equal(changed[:, 2], changed[:, 10])  # of one component


@pytest.mark.parametrize("subsystem", ["EMC", "TPC", "HLT"])
def test_statistics_are_those_of_the_bins(series: Series, subsystem: str) -> None:
    for histogram in series[300002, subsystem][-1].histograms.values():
        for name, expected in statistics(histogram).items():
            assert histogram.sums[name] == pytest.approx(expected, rel=1e-9), (histogram.name, name)


def statistics(histogram: Histogram) -> dict[str, float]:
    """What ROOT's sums are if every fill was at a bin centre: over the bins in range, entries over all."""
    parts = {name: histogram.part(name, flow=False).astype(float) for name in histogram.parts}
    sums: dict[str, float] = {}
    if histogram.kind == "MEAN":
        sums["entries"] = histogram.parts["bin_entries"].sum()
        weight = parts["bin_entries"]
        sums |= {"tsumw2": weight.sum(), "tsumwy": parts["sumwy"].sum(), "tsumwy2": parts["sumwy2"].sum()}
    else:
        weight = parts["contents"]
        sums["tsumw2"] = parts.get("sumw2", weight).sum()
        if histogram.name != "EMCTRQA_histFastORL0Amp":  # the weighted one
            sums["entries"] = histogram.values(flow=True).sum()
    sums["tsumw"] = weight.sum()
    grid = np.meshgrid(*[(a.edges[1:] + a.edges[:-1]) / 2 for a in histogram.axes], indexing="ij")
    for i, one in enumerate(grid):
        sums |= {f"tsumw{'xyz'[i]}": (weight * one).sum(), f"tsumw{'xyz'[i]}2": (weight * one**2).sum()}
        for j in range(i):
            sums[f"tsumw{'xyz'[j]}{'xyz'[i]}"] = (weight * one * grid[j]).sum()
    return sums


def test_all_kinds_of_histograms_are_there(series: Series) -> None:
    last = {h.name: h for who in ("EMC", "TPC", "HLT") for h in series[300002, who][-1].histograms.values()}
    assert {h.class_name for h in last.values()} == {"TH1F", "TH1D", "TH1I", "TH2F", "TH3D", "TProfile"}
    assert all(h.sums["entries"] > 0 for h in last.values())
    assert last["fHistTPCClusterFlags"].axes[0].labels[2] == "split in pad"
    assert not last["fHistTPCTrackPt"].axes[0].regular
    assert last["EMCTRQA_histFastORL0"].axes[0].title == "FastOR abs. ID"
    sizes = last["fHistSPDclusters_SDDclusters"].values(flow=True)
    assert sizes[:, 0].sum() > 0  # underflow of y
    assert sizes[-1].sum() > 0  # overflow of x
    assert 25 < np.nanmean(last["EMCTRQA_histFastORL0Mean"].values()) < 100
    weighted, counted = last["EMCTRQA_histFastORL0Amp"], last["fHistClusterChargeTot"]
    assert weighted.parts["sumw2"].sum() > weighted.parts["contents"].sum() > weighted.sums["entries"]
    np.testing.assert_array_equal(counted.parts["sumw2"], counted.parts["contents"])


def test_gap_leaves_out_four_files(simulation: Simulation, series: Series) -> None:
    before, after = during(fault(simulation, "gap"), series)
    assert 280 < (utc(after) - utc(before)).total_seconds() < 320
    assert len(series[300000, "TPC"]) == 8


def test_truncated_file_is_the_last_and_cannot_be_read(simulation: Simulation, series: Series) -> None:
    path = max((simulation.folder / "Run300000" / "HLT").iterdir())
    with pytest.raises(SnapshotError, match="cut short"):
        SnapshotReader().read(path)
    assert utc(series[300000, "HLT"][-1]) == fault(simulation, "truncated_file").start


def test_hot_channel_takes_a_third_of_the_counts(simulation: Simulation, series: Series) -> None:
    hot = fault(simulation, "hot_channel")
    before, *_, last = histograms(hot, during(hot, series))
    counts = last - before  # the first report after the start is in part of before
    assert counts.argmax() == 17 * 104 + 33
    assert 0.2 < counts.max() / counts.sum() < 0.35


def test_dead_region_counts_less_and_then_comes_back(simulation: Simulation, series: Series) -> None:
    dead = fault(simulation, "dead_region")
    snapshots = series[dead.run, dead.subsystem]
    # x from 150 to 175 cm, y from 100 to 125 cm on side A: phi of about 35 degrees
    gains = np.diff([clusters[32:34, 28:30, 0].sum() for clusters in histograms(dead, snapshots)])
    first, last = (next(i for i, s in enumerate(snapshots) if utc(s) == time) for time in (dead.start, dead.stop))
    assert gains[:first].sum() > 0
    assert gains[first + 2 : last].sum() == 0  # what was counted before arrives in the first report
    assert gains[last:].sum() > 0


def test_same_seed_gives_same_contents_and_another_does_not(tmp_path: Path) -> None:
    found = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        simulate(tmp_path / name, runs=1, snapshots=3, seed=seed)
        found.append({key: [(s.time, s.digest) for s in snapshots] for key, snapshots in read(tmp_path / name).items()})
    assert found[0] == found[1]
    assert all(found[0][key] != found[2][key] for key in found[0])


def test_scale_multiplies_the_fills(series: Series, tmp_path: Path) -> None:
    simulate(tmp_path, runs=1, snapshots=3, scale=2.0)
    large = read(tmp_path)[300000, "HLT"][-1]
    seen = [(h.sums["entries"], large[path].sums["entries"]) for path, h in series[300000, "HLT"][2].histograms.items()]
    small_sum, large_sum = np.sum(seen, axis=0)
    assert large_sum / small_sum == pytest.approx(10, rel=0.3)


def test_progress_counts_every_snapshot(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    simulate(tmp_path, runs=1, snapshots=2, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 6) for done in range(1, 7)]


def test_a_run_is_not_written_over(tmp_path: Path) -> None:
    simulate(tmp_path, runs=1, snapshots=1)
    with pytest.raises(UsageError, match="already holds run 300000"):
        simulate(tmp_path, runs=2, snapshots=1)
    with pytest.raises(UsageError, match="must be positive"):
        simulate(tmp_path, runs=0)


def test_a_simulation_is_loaded_as_it_was_told(simulation: Simulation) -> None:
    assert Simulation.load(simulation.folder) == simulation
