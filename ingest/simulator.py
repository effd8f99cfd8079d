"""A small detector with known faults that writes genuine ROOT files, in Overwatch's processed layout.

EMC, TPC and HLT histograms are cumulative since the run began, as a merger in the HLT sends them: Poisson fills of
fixed shapes, at a rate that decays with the beam, from components that report in turn and not at every snapshot.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import uproot
from numpy.typing import NDArray
from uproot.writing import identify

from ingest import naming
from owtrend.errors import UsageError

__all__ = ["Fault", "Simulation", "simulate"]

FIRST_START = datetime(2018, 6, 1, 12, 0, tzinfo=UTC)  # 14:00 at CERN
RUN_SPACING = timedelta(minutes=90)
RUNS_PER_FILL, BEAM_LIFETIME = 4, 5 * 3600.0  # s; every fourth run begins with a fresh beam
SNAPSHOT_SPACING, SNAPSHOT_JITTER = 60, 3  # s
# Real components report every 300 +- 42 s; a run of 40 snapshots would then hold 8 reports, too few for a trend.
REPORT_CYCLE, REPORT_JITTER = 120.0, 18.0  # s
COMPONENTS = {"EMC": 8, "TPC": 5, "HLT": 7}  # histogram i of a subsystem comes from component i modulo this

# Which run (from 0) and subsystem, kind, histogram, (start, stop) among snapshots 1 to n, what a person should see.
_PLANNED: tuple[tuple[int, str, str, str | None, Callable[[int], tuple[int, int]], str], ...] = (
    (0, "TPC", "gap", None, lambda n: (2 * n // 5, 2 * n // 5 + 5),
     "4 snapshot files in a row are missing; the increment after them covers 5 minutes"),
    (0, "HLT", "truncated_file", None, lambda n: (n - 1, n),
     "the last file is cut in the middle and cannot be read"),
    (1, "EMC", "hot_channel", "EMCTRQA_histAmpEdgePosEMCGAHOffline", lambda n: (n // 2, n),
     "one bin, column 17 and row 33, takes a third of all new counts until the run ends"),
    (1, "TPC", "dead_region", "TPCQA/h_tpc_clust_0_1_2", lambda n: (2 * n // 5, 3 * n // 4),
     "no new clusters on side A at phi from 20 to 60 degrees (two sectors), then they come back"),
    (2, "HLT", "restart", None, lambda n: (n // 2, n // 2 + 1),
     "all totals fall to nearly zero and grow again from there"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something wrong on purpose in ``(start, stop]``, both times of snapshots in UTC."""

    kind: str
    run: int
    subsystem: str
    histogram: str | None  # None: all of the subsystem
    start: datetime
    stop: datetime
    details: str  # what a person should see


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What was written: the folder, the number of snapshot files, the runs, and the truth about them."""

    folder: Path
    files: int
    runs: tuple[int, ...]
    faults: tuple[Fault, ...]

    @classmethod
    def load(cls, folder: Path) -> "Simulation":
        """What an earlier call of `simulate` wrote to ``folder``."""
        truth = json.loads((folder / "truth.json").read_text())
        faults = []
        for fields in truth["faults"]:
            times = {name: datetime.fromisoformat(fields[name]) for name in ("start", "stop")}
            faults.append(Fault(**{**fields, **times}))
        files = sum(1 for _ in folder.glob("Run*/*/*.root"))
        return cls(folder=folder, files=files, runs=tuple(truth["runs"]), faults=tuple(faults))


def simulate(
    folder: Path,
    *,
    runs: int = 3,
    snapshots: int = 40,
    scale: float = 1.0,
    seed: int = 1,
    first_run: int = 300000,
    progress: Callable[[int, int], None] | None = None,
) -> Simulation:
    """What ``folder`` then holds: an archive of snapshot files, and what is wrong with it.

    The same arguments give the same contents, not the same bytes: ROOT files hold UUIDs and the date of writing.

    Parameters
    ----------
    folder
        Gets ``Run<run>/<SYS>/<SYS>hists.<CERN time>.root``, ``Run<run>/runInfo.yaml`` and the faults in ``truth.json``.
    runs
        The first three have faults, any others are clean.
    snapshots
        Per run and subsystem, one a minute. Fewer than 12 leave no room for faults: then all runs are clean.
    scale
        Multiplies the statistics (fills per minute); histograms and bins stay as they are.
    seed
        Of fills, times and reports; the detector itself (gains, dead channels) is always the same.
    progress
        Called after each snapshot with how many are done, and how many there are in all.

    Raises
    ------
    UsageError
        If a number is not positive, or ``folder`` already holds one of the runs.
    """
    if runs < 1 or snapshots < 1 or scale <= 0:
        raise UsageError(f"cannot simulate {runs} runs of {snapshots} snapshots at scale {scale}: all must be positive")
    numbers = tuple(range(first_run, first_run + runs))
    if taken := [number for number in numbers if (folder / f"Run{number}").exists()]:
        raise UsageError(f"{folder} already holds run {taken[0]}; simulate into a new folder, or remove it first")
    spacing = max(RUN_SPACING, timedelta(seconds=SNAPSHOT_SPACING * (snapshots + 10)))
    truth: list[Fault] = []
    files = done = 0
    for run, number in enumerate(numbers):
        start, beam_age = FIRST_START + run * spacing, run % RUNS_PER_FILL * spacing
        for position, subsystem in enumerate(COMPONENTS):
            rng = np.random.default_rng([seed, run, position])
            seconds = SNAPSHOT_SPACING * np.arange(snapshots + 1)  # begins with the start of the run
            seconds[1:] += rng.integers(-SNAPSHOT_JITTER, SNAPSHOT_JITTER + 1, snapshots)
            times = [start + timedelta(seconds=second) for second in seconds.tolist()]
            faults = {
                kind: Fault(kind=kind, run=number, subsystem=subsystem, histogram=histogram, details=details,
                            start=times[span(snapshots)[0]], stop=times[span(snapshots)[1]])
                for where, who, kind, histogram, span, details in _PLANNED
                if (where, who) == (run, subsystem) and snapshots >= 12
            }  # fmt: skip
            gap, cut = faults.get("gap"), faults.get("truncated_file")
            ages = {time: (beam_age + (time - start)).total_seconds() for time in times}
            for time, objects in zip(times[1:], _snapshots(rng, subsystem, ages, faults, scale), strict=True):
                if not gap or not gap.start < time < gap.stop:
                    path = folder / naming.processed_name(subsystem, number, time.astimezone(ZoneInfo(naming.CERN)))
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
                        file.update(objects)  # one by one would write the streamers again for each
                    if cut and cut.stop == time:
                        os.truncate(path, path.stat().st_size // 2)
                    files += 1
                done += 1
                if progress:
                    progress(done, runs * len(COMPONENTS) * snapshots)
            truth += faults.values()
        (folder / f"Run{number}" / "runInfo.yaml").write_text("hltMode: C\n")
    text = json.dumps({"runs": numbers, "faults": list(map(asdict, truth))}, indent=1, default=datetime.isoformat)
    (folder / "truth.json").write_text(text + "\n")
    return Simulation(folder=folder, files=files, runs=numbers, faults=tuple(truth))


def _snapshots(
    rng: np.random.Generator, subsystem: str, ages: dict[datetime, float], faults: dict[str, Fault], scale: float
) -> Iterator[dict[str, Any]]:
    """What each snapshot writes, by name; ``ages`` of the beam [s] are of the start of the run and of each snapshot."""
    plans = _detector()[subsystem]
    began, *ends = ages.values()
    reports = _last_reports(rng, COMPONENTS[subsystem], began, np.array(ends))
    restart = faults.get("restart")
    counts = [np.zeros(plan.density.shape, dtype=np.int64) for plan in plans]
    counted = [began] * len(plans)  # up to which age
    objects: dict[str, Any] = {}
    for k, end in enumerate(ends):
        if restart and ages[restart.stop] == end:
            counts, objects = [np.zeros_like(count) for count in counts], {}
            counted = [ages[restart.start]] * len(plans)
        for i, plan in enumerate(plans):
            since, until = counted[i], max(counted[i], reports[i % len(reports), k])
            if until > since:
                fills = plan.density * _exposure(since, until)
                for fault in faults.values():
                    if fault.histogram == plan.name:
                        faulty = _exposure(max(since, ages[fault.start]), min(until, ages[fault.stop]))
                        fills += _changes(plan, fault.kind) * faulty
                counts[i] += rng.poisson(scale * fills.clip(min=0))
                counted[i] = until
            if until > since or plan.name not in objects:
                objects[plan.name] = _writable(plan, counts[i])
        yield objects


def _exposure(since: float, until: float) -> float:
    """Minutes with a fresh beam that bring as many fills as the ages ``(since, until]``; 0 if that is empty."""
    return float(max(0, np.exp(-since / BEAM_LIFETIME) - np.exp(-until / BEAM_LIFETIME)) * BEAM_LIFETIME / 60)


def _last_reports(rng: np.random.Generator, components: int, began: float, ends: NDArray[Any]) -> NDArray[Any]:
    """When each component last reported before each of ``ends``, shape ``(component, end)``; ``began`` if never."""
    cycles = int((ends[-1] - began) / (REPORT_CYCLE - REPORT_JITTER)) + 3
    waits = rng.normal(REPORT_CYCLE, REPORT_JITTER, (components, cycles)).clip(min=REPORT_JITTER)
    reports = began - REPORT_CYCLE * rng.random((components, 1)) + waits.cumsum(axis=1)
    return np.array([[row[row <= end].max(initial=began) for end in ends] for row in reports])


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a histogram is filled; a fill carries one of ``values``: its weight in a ``TH*``, its y in a ``TProfile``."""

    name: str
    class_name: str
    values: NDArray[Any]  # these and the centres along their dims of density
    centres: list[NDArray[Any]]  # of x, y, z
    density: NDArray[Any]  # fills per minute with a fresh beam, dims (value, [z, [y,]] x), flow bins included
    sumw2: bool
    members: dict[str, Any]  # what uproot's writer wants and no fill changes


def _plan(text: str, class_name: str, rate: float, bins: list[Any], shape: Any, values: Any = ()) -> _Plan:
    """The plan of ``name;title;x title;...``; ``shape`` is a function of the centres, after the values if several.

    Each of ``bins`` is ``(number, low, high)``, an array of edges, or a list of labels. With ``values``, sumw2 is kept.
    """
    name, title, *titles = text.split(";")
    members: dict[str, Any] = {"fName": None, "fTitle": title}
    centres = []
    for letter, axis, axis_title in zip("xyz", bins, [*titles, "", "", ""], strict=False):
        labels = None
        edges = np.linspace(axis[1], axis[2], axis[0] + 1) if isinstance(axis, tuple) else np.array(axis)
        if isinstance(axis, list):
            edges = np.arange(len(axis) + 1.0)
            labels = identify.to_THashList([identify.to_TObjString(label) for label in axis])
            for number, label in enumerate(labels, start=1):
                label.bases[0].members["@fUniqueID"] = number  # where TAxis::SetBinLabel keeps the bin
        irregular = edges if isinstance(axis, np.ndarray) else None
        members[f"f{letter.upper()}axis"] = identify.to_TAxis(
            f"{letter}axis", axis_title, len(edges) - 1, edges[0], edges[-1], irregular, fLabels=labels
        )
        edges = np.array([2 * edges[0] - edges[1], *edges, 2 * edges[-1] - edges[-2]])  # flow as wide as its neighbour
        centres.append((edges[1:] + edges[:-1]) / 2)
    *where, value = np.meshgrid(values or [1.0], *centres[::-1], indexing="ij", sparse=True)[::-1]
    density = 0 * sum(where, value) + shape(*([value] if value.size > 1 else []), *where)
    return _Plan(name, class_name, value, where, rate / density.sum() * density, bool(values), members)


def _writable(plan: _Plan, counts: NDArray[Any]) -> Any:
    """What uproot writes: the histogram as ROOT holds it after these fills at bin centres."""
    fills, sumw, sumw2 = ((plan.values**power * counts).sum(axis=0) for power in range(3))
    inner = (slice(1, -1),) * fills.ndim  # flow bins count among the entries, not in the other sums
    profile = plan.class_name == "TProfile"
    weight = np.pad((fills if profile else sumw)[inner], 1)
    sums = {"fEntries": fills.sum(), "fTsumw": weight.sum(), "fTsumw2": (fills if profile else sumw2)[inner].sum()}
    centres = dict(zip("xyz", plan.centres, strict=False))
    for letter, centre in centres.items():
        sums |= {f"fTsumw{letter}": (weight * centre).sum(), f"fTsumw{letter}2": (weight * centre**2).sum()}
    for one, other in combinations(centres, 2):
        sums[f"fTsumw{one}{other}"] = (weight * centres[one] * centres[other]).sum()
    members = plan.members | sums
    if profile:
        members |= {"fTsumwy": sumw[inner].sum(), "fTsumwy2": sumw2[inner].sum(), "fBinSumw2": np.zeros(0)}
        return identify.to_TProfile(data=sumw, fSumw2=sumw2, fBinEntries=fills, **members)
    to_th = (identify.to_TH1x, identify.to_TH2x, identify.to_TH3x)[fills.ndim - 1]
    contents = sumw.ravel().astype({"I": np.int32, "F": np.float32, "D": np.float64}[plan.class_name[-1]])
    return to_th(data=contents, fSumw2=sumw2.ravel() if plan.sumw2 else None, **members)


def _changes(plan: _Plan, kind: str) -> NDArray[Any]:
    """What a fault adds to the density: a hot bin, or minus that of a dead region."""
    x, y, *side = plan.centres
    if kind == "hot_channel":
        return np.where((x == 17.5) & (y == 33.5), plan.density.sum() / 2, 0)
    phi = np.degrees(np.arctan2(y, x))
    return np.where((phi > 20) & (phi < 60) & (side[0] < 1), -plan.density, 0)


@cache
def _detector() -> dict[str, list[_Plan]]:
    """The plans of each subsystem: binnings of Run 2, the largest ones made coarser."""
    rng = np.random.default_rng(2018)
    channel_gain = np.pad(rng.lognormal(sigma=0.3, size=4992), (1, 9))  # 52 trigger region units of 96 FastORs
    tower_gain = np.pad(rng.lognormal(sigma=0.2, size=(104, 48)), 1)  # DCal from row 64 on, with PHOS in its middle
    pad_gain = np.pad(rng.normal(1, 0.05, (36, 159)), 1)

    def normal(x: Any, mean: Any, sigma: Any) -> Any:
        return np.exp(-(((x - mean) / sigma) ** 2) / 2)

    def falling(scale: Any) -> Callable[[Any], Any]:
        return lambda x: (x > 0) * np.exp(-x / scale)

    def towers(x: Any, y: Any) -> Any:
        return tower_gain * (1 - 0.3 * (x / 24 - 1) ** 2) * ((y < 64) | (abs(x - 24) > 8))

    def in_step(x: Any, y: Any) -> Any:  # two sizes of one event
        return falling(20)(x) * normal(y, 0.8 * x, 2 + 0.05 * x)

    def tracks(dca: Any, eta: Any, phi: Any) -> Any:
        accepted = (1 + 0.2 * np.sin(phi)) * (abs(phi - np.pi) < np.pi) / (1 + np.exp((abs(eta) - 0.9) / 0.05))
        return accepted * normal(dca, 0, 0.5)

    def clusters(x: Any, y: Any, side: Any) -> Any:
        return (abs(np.hypot(x, y) - 166) < 81) / np.hypot(x, y) * (abs(side - 1) < 1)

    fastor, grid, percent = [(5000, 0, 5000)], [(48, 0, 48), (104, 0, 104)], [(100, 0, 100)] * 2
    square, eta, phi = [(40, -250, 250)] * 2, (15, -1.5, 1.5), (36, 0, 2 * np.pi)
    pt, adc = np.array([0, *np.geomspace(0.1, 20, 31)]), [25.0, 50.0, 100.0, 200.0, 400.0, 800.0]
    flags = ["edge", "split in pad", "split in time", "single pad", "single time bin", "deconvoluted"]
    return {
        "EMC": [
            _plan("EMCTRQA_histEvents;Number of events", "TH1F", 12e3, [(1, 0, 1)], lambda x: abs(x - 0.5) < 0.5),
            *(_plan(f"EMCTRQA_histFastOR{level};{level};FastOR abs. ID", "TH1F", rate, fastor, lambda x: channel_gain)
              for level, rate in (("L0", 40e3), ("L0LargeAmp", 8e3), ("L1", 30e3))),
            _plan("EMCTRQA_histFastORL0Mean;Mean L0 amplitude;FastOR abs. ID", "TProfile", 40e3, fastor,
                  lambda amplitude, x: channel_gain * falling(60 + 20 * np.sin(x // 96))(amplitude), adc),
            _plan("EMCTRQA_histFastORL0Amp;L0 amplitudes;col;row", "TH2F", 40e3, grid,
                  lambda amplitude, x, y: towers(x, y) * falling(80)(amplitude), adc),
            *(_plan(f"EMCTRQA_hist{patch};{patch};col;row", "TH2F", 20e3, grid, towers)
              for patch in ("AmpEdgePosEMCGAHOffline", "AmpEdgePosEMCL0Offline", "MaxEdgePosEMCGAHOffline")),
            *(_plan(f"EMCTRQA_hist{part}PatchAmpEMCGAHOffline;{part};ADC", "TH1F", 15e3, [(200, 0, 2000)], falling(300))
              for part in ("EMCal", "DCal")),
            _plan("EMCTRQA_histEMCalMedianVsDCalMedianOffline;Medians;EMCal;DCal", "TH2F", 12e3, percent, in_step),
        ],
        "TPC": [
            *(_plan(f"TPCQA/h_tpc_event_recvertex_{i};Vertex;cm", "TH1D", 12e3, [(200, -width, width)],
                    lambda x, width=width: normal(x, 0, width / 4)) for i, width in enumerate((1, 1, 30))),
            *(_plan(f"TPCQA/h_tpc_event_recvertex_{i};Multiplicity", "TH1D", 12e3, [(151, -0.5, 150.5)], falling(30))
              for i in (4, 5)),
            *(_plan(f"TPCQA/h_tpc_track_{track};DCA;DCA [cm];eta;phi", "TH3D", 60e3, [(30, -3, 3), eta, phi], tracks)
              for track in ("pos_recvertex_3_5_6", "neg_recvertex_3_5_6", "pos_recvertex_4_5_6")),
            _plan("TPCQA/h_tpc_track_all_recvertex_0_5_7;Track length;clusters;eta;pT [GeV/c]", "TH3D", 60e3,
                  [(40, 0, 160), eta, pt], lambda n, eta, pt: normal(n, 130, 20) * tracks(0, eta, 1) * falling(2)(pt)),
            _plan("TPCQA/h_tpc_clust_0_1_2;Clusters;x [cm];y [cm];side", "TH3D", 60e3, [*square, (2, 0, 2)], clusters),
        ],
        "HLT": [
            _plan("fHistClusterChargeMax;Largest charge;ADC", "TH1D", 50e3, [(500, 0, 500)], falling(90)),
            _plan("fHistClusterChargeTot;Total charge;ADC", "TH1D", 50e3, [(500, 0, 2500)], falling(500), [1.0]),
            _plan("fHistTPCTrackPt;Tracks;pT [GeV/c]", "TH1D", 50e3, [pt], falling(1.5)),
            _plan("fHistTPCClusterFlags;Cluster flags", "TH1I", 30e3, [flags], falling(2)),
            *(_plan(f"fHist{x}_{y};{y} and {x};{x} [%];{y} [%]", "TH2F", 12e3, percent, in_step) for x, y in (
                ("SPDclusters", "SDDclusters"), ("SSDclusters", "SDDclusters"), ("HLTInSize", "HLTOutSize"))),
            *(_plan(f"fHistTPC{side}allClustersRowPhi;Clusters;row;phi", "TH2F", 50e3, [(159, 0, 159), phi],
                    lambda row, phi: pad_gain) for side in "AC"),
        ],
    }  # fmt: skip
