"""The simulated detector: genuine histograms from components that report in turn, and the truth about them."""

import inspect
import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from ingest import commands
from ingest.decode.reader import SnapshotReader
from ingest.simulator.simulate import BEAM_LIFETIME, Simulation, simulate
from owtrend.errors import SnapshotError, UsageError
from owtrend.model.histogram import Histogram
from tests.ingest.simulated import Series, entries, read, utc


@pytest.mark.slow
def test_truth_json_lists_the_faults(simulation: Simulation) -> None:
    truth = json.loads((simulation.folder / "truth.json").read_text())
    assert truth["runs"] == list(range(300000, 300006))
    assert truth["fills"] == [truth["runs"]]
    assert truth["arguments"] == {"snapshots": 40, "scale": 0.001, "statistics": 1.0, "seed": 1}
    for listed, fault in zip(truth["faults"], simulation.faults, strict=True):
        times = {name: getattr(fault, name).isoformat() for name in ("start", "stop")}
        lists = {name: list(getattr(fault, name)) for name in ("histograms", "where")}
        assert listed == asdict(fault) | times | lists
    assert Simulation.load(simulation.folder) == simulation


@pytest.mark.slow
def test_files_lie_in_the_processed_layout_at_cern_time(simulation: Simulation, series: Series) -> None:
    names = [path.relative_to(simulation.folder).as_posix() for path in simulation.folder.glob("Run*/*/*.root")]
    assert len(names) == simulation.files == 6 * 3 * 40 - 4 + 3  # a gap; sent again after the end
    assert min(names).startswith("Run300000/EMC/EMChists.2018_06_01_14_0")
    assert (simulation.folder / "Run300002" / "runInfo.yaml").read_text() == "hltMode: C\n"
    starts = [utc(series[run, "EMC"][0]).strftime("%H:%M") for run in simulation.runs]
    assert [start[:2] for start in starts] == ["12", "13", "15", "16", "18", "19"]


@pytest.mark.slow
def test_every_histogram_grows_except_at_the_restart(simulation: Simulation, series: Series) -> None:
    [restart] = [fault for fault in simulation.faults if fault.kind == "restart"]
    for (run, subsystem), snapshots in series.items():
        for before, after in pairwise(snapshots):
            restarted = (run, subsystem, utc(after)) == (restart.run, restart.subsystem, restart.stop)
            for path, histogram in after.histograms.items():
                old = before[path].parts
                if restarted:
                    assert histogram.sums["entries"] == 0
                    assert before[path].sums["entries"] > 0
                elif all(old[part].shape == values.shape for part, values in histogram.parts.items()):  # not rebinned
                    assert all((values >= old[part]).all() for part, values in histogram.parts.items())


@pytest.mark.slow
def test_each_histogram_has_a_component_of_its_own(simulation: Simulation, series: Series) -> None:
    assert sum(map(len, simulation.components.values())) == 20
    for subsystem, components in simulation.components.items():
        owned = [name for names in components.values() for name in names]
        there = series[300005, subsystem][-1].histograms
        assert sorted(owned) == sorted("/".join(path) for path in there)
        assert simulation.events[subsystem] in owned


@pytest.mark.slow
def test_histograms_change_only_when_their_component_reports(simulation: Simulation, series: Series) -> None:
    spacings = []
    for subsystem, components in simulation.components.items():
        snapshots = series[300005, subsystem]
        for names in components.values():
            changed = np.array([np.diff(entries(snapshots, name)) > 0 for name in names])
            assert (changed == changed[0]).all()
            for name in names:
                for silent in np.flatnonzero(~changed[0]):
                    parts = [snapshots[k][name].parts for k in (silent, silent + 1)]
                    assert all((parts[0][part] == parts[1][part]).all() for part in parts[0])
            spacings += np.diff([utc(snapshots[k]).timestamp() for k in np.flatnonzero(changed[0])]).tolist()
    assert np.mean(spacings) == pytest.approx(300, abs=10)
    assert np.std(spacings) == pytest.approx(42, abs=15)  # and what a minute between snapshots adds


@pytest.mark.slow
def test_components_report_in_turn(simulation: Simulation, series: Series) -> None:
    snapshots = series[300005, "EMC"]
    firsts = [np.flatnonzero(entries(snapshots, names[0]))[0] for names in simulation.components["EMC"].values()]
    assert len(set(firsts)) >= 4  # of the first five or six snapshots


@pytest.mark.slow
def test_the_beam_decays_over_the_fill_and_drives_all_histograms(simulation: Simulation, series: Series) -> None:
    hours = 1.5 * np.arange(6)
    for subsystem, name in simulation.events.items():
        total = [entries(series[run, subsystem], name).max() for run in simulation.runs]
        whole = np.isin(simulation.runs, [f.run for f in simulation.faults if f.kind in ("restart", "truncated_file")])
        keep = ~whole if subsystem == "HLT" else whole | True
        expected = total[5] * np.exp((hours[5] - hours) * 3600 / BEAM_LIFETIME)
        np.testing.assert_allclose(np.array(total)[keep], expected[keep], rtol=0.15)  # a report more or less
    last = {run: series[run, "TPC"][-1] for run in (300000, 300005)}
    ratio = [h.sums["entries"] / last[300005][path].sums["entries"] for path, h in last[300000].histograms.items()]
    assert np.median(ratio) == pytest.approx(np.exp(hours[5] * 3600 / BEAM_LIFETIME), rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("subsystem", ["EMC", "TPC", "HLT"])
def test_sums_agree_with_the_bins(series: Series, subsystem: str) -> None:
    for histogram in series[300005, subsystem][-1].histograms.values():
        for name, expected in statistics(histogram).items():
            assert histogram.sums[name] == pytest.approx(expected, rel=1e-9, abs=1e-6), (histogram.name, name)


def statistics(histogram: Histogram) -> dict[str, float]:
    """ROOT's sums for fills at bin centres: over the bins in range, entries over all bins."""
    parts = {name: histogram.part(name, flow=False).astype(float) for name in histogram.parts}
    sums: dict[str, float] = {}
    if histogram.kind == "MEAN":
        sums["entries"] = histogram.parts["bin_entries"].sum()
        weight = parts["bin_entries"]
        sums |= {"tsumw2": weight.sum(), "tsumwy": parts["sumwy"].sum(), "tsumwy2": parts["sumwy2"].sum()}
    else:
        weight = parts["contents"]
        sums["tsumw2"] = parts.get("sumw2", weight).sum()
        if "GeoPos" not in histogram.name:  # the weighted ones
            sums["entries"] = histogram.values(flow=True).sum()
    sums["tsumw"] = weight.sum()
    grid = np.meshgrid(*[(a.edges[1:] + a.edges[:-1]) / 2 for a in histogram.axes], indexing="ij")
    for i, x in enumerate(grid):
        sums |= {f"tsumw{'xyz'[i]}": (weight * x).sum(), f"tsumw{'xyz'[i]}2": (weight * x**2).sum()}
        for j in range(i):
            sums[f"tsumw{'xyz'[j]}{'xyz'[i]}"] = (weight * x * grid[j]).sum()
    return sums


@pytest.mark.slow
def test_all_kinds_of_histograms_are_there(series: Series) -> None:
    last = {h.name: h for subsystem in ("EMC", "TPC", "HLT") for h in series[300005, subsystem][-1].histograms.values()}
    classes = {"TH1F", "TH1D", "TH1I", "TH2F", "TH2D", "TH2I", "TH2S", "TH3D", "TH3F", "TProfile"}
    assert {h.class_name for h in last.values()} == classes
    assert all(h.sums["entries"] > 0 for h in last.values())
    assert last["fHistTPCClusterFlags"].axes[0].labels[2] == "split in pad"
    assert not last["fHistTPCTrackPt"].axes[0].regular
    assert last["EMCTRQA_histFastORL0"].axes[0].title == "FastOR abs. ID"
    sizes = last["fHistSPDclusters_SDDclusters"].values(flow=True)
    assert sizes[:, 0].sum() > 0  # underflow of y
    assert sizes[-1].sum() > 0  # overflow of x
    means = [last[f"EMCTRQA_histFastOR{name}"] for name in ("L0Mean", "L0MeanTimeOk", "L1Mean")]
    assert [mean.error_option for mean in means] == ["", "s", "g"]
    assert all(25 < np.nanmean(mean.values()) < 100 for mean in means)
    weighted, counted = last["EMCTRQA_histGeoPosEMCGAHOffline"], last["fHistClusterChargeTot"]
    assert weighted.parts["sumw2"].sum() > weighted.parts["contents"].sum() > weighted.sums["entries"]
    np.testing.assert_array_equal(counted.parts["sumw2"], counted.parts["contents"])


def contents(folder: Path) -> dict[tuple[int, str], list[tuple[str, str]]]:
    return {key: [(str(s.time), s.digest) for s in snapshots] for key, snapshots in read(folder).items()}


@pytest.mark.slow
def test_same_seed_gives_same_contents_and_another_does_not(tmp_path: Path) -> None:
    small = {"runs": 1, "snapshots": 7, "scale": 0.001}
    for name, more in {"one": {}, "again": {"workers": 2}, "other": {"seed": 2}}.items():
        simulate(tmp_path / name, **small, **more)
    archives = {name: contents(tmp_path / name) for name in ("one", "again", "other")}
    assert archives["one"] == archives["again"]
    assert all(archives["one"][key] != archives["other"][key] for key in archives["one"])


@pytest.mark.slow
def test_statistics_multiply_the_fills_and_scale_does_not(series: Series, tmp_path: Path) -> None:
    name, total = "TPCQA/h_tpc_event_6", {}
    for folder, more in {"plain": {}, "large": {"scale": 0.01}, "full": {"statistics": 10.0}}.items():
        simulate(tmp_path / folder, **({"runs": 1, "snapshots": 8, "scale": 0.001} | more))
        total[folder] = entries(read(tmp_path / folder)[300000, "TPC"], name)[-1]
    assert total["full"] / total["plain"] == pytest.approx(10, rel=0.05)
    assert total["large"] / total["plain"] == pytest.approx(1, rel=0.05)


def test_progress_counts_every_snapshot(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    simulate(tmp_path, runs=1, snapshots=2, scale=0.001, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 6) for done in range(1, 7)]


def test_impossible_arguments_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    simulate(tmp_path, runs=1, snapshots=1, scale=0.001)
    with pytest.raises(UsageError, match="already has run 300000"):
        simulate(tmp_path, runs=2, snapshots=1)
    with pytest.raises(UsageError, match="must be positive"):
        simulate(tmp_path / "new", runs=0)
    with pytest.raises(UsageError, match="more than the whole detector"):
        simulate(tmp_path / "new", scale=2)
    with pytest.raises(UsageError, match="faults='hot_channel': expected 'planned'"):
        simulate(tmp_path / "new", faults=cast(Any, "hot_channel"))
    assert not (tmp_path / "new").exists()


def test_the_command_has_the_defaults_of_the_function() -> None:
    options = {option.name: option.default for option in commands.simulate.params}
    for name in ("runs", "snapshots", "scale", "statistics", "faults", "seed", "first_run"):
        assert options[name] == inspect.signature(simulate).parameters[name].default, name


@pytest.mark.slow
def test_a_file_that_was_cut_cannot_be_read(simulation: Simulation) -> None:
    path = max((simulation.folder / "Run300000" / "HLT").iterdir())
    with pytest.raises(SnapshotError, match="cut short"):
        SnapshotReader().read(path)
