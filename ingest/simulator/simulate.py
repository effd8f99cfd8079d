"""Simulation of a detector with known faults: genuine ROOT files in Overwatch's processed layout.

The histograms of EMC, TPC and HLT are cumulative since their run began, as a merger in the HLT sends them: Poisson
fills of fixed shapes, at a rate that decays with the beam over all runs of a fill. They come from 20 components, each
of which reports every 300 +- 42 s; between its reports nothing changes. ``truth.json`` lists the faults.
"""

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import uproot
from numpy.typing import NDArray

from ingest import naming
from ingest.simulator.conditions import INDEPENDENT, Conditions
from ingest.simulator.detector import COMPONENTS, EVENTS, component, histograms
from ingest.simulator.faults import ALL_FAULTS, Fault, drawn, planned
from ingest.simulator.histogram import SimulatedHistogram, filled, root_object
from ingest.simulator.kinds import Times
from owtrend.display import DisplayedFields
from owtrend.errors import UsageError
from owtrend.model.histogram import Histogram

__all__ = ["Fault", "Simulation", "exposure", "simulate"]

FIRST_START = datetime(2018, 6, 1, 12, 0, tzinfo=UTC)  # 14:00 at CERN
RUN_SPACING = timedelta(minutes=90)
RUNS_PER_FILL, BEAM_LIFETIME = 6, 8 * 3600.0  # s; every sixth run begins with a fresh beam
SNAPSHOT_SPACING, SNAPSHOT_JITTER = 60, 3  # s
STAMP = timedelta(seconds=30)  # from the nearest snapshot to one with a wrong time
# As in Run 2: a run of 60 snapshots has 12 reports of each histogram. A shorter cycle would hide that components are
# ahead or behind of each other by up to five minutes, which is more than the statistics of any slice.
REPORT_CYCLE, REPORT_JITTER = 300.0, 42.0  # s


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Simulation(DisplayedFields):
    """A simulated archive: the folder, the number of snapshot files, the runs, and the truth about them."""

    folder: Path
    files: int
    runs: tuple[int, ...]
    components: dict[str, dict[str, tuple[str, ...]]]  # by subsystem and component, their histograms
    events: dict[str, str]  # by subsystem, the histogram with one fill per event
    faults: tuple[Fault, ...]

    @classmethod
    def load(cls, folder: Path) -> "Simulation":
        """The result of an earlier call of `simulate`, read from ``folder``."""
        truth = json.loads((folder / "truth.json").read_text())
        faults = []
        for fields in truth["faults"]:
            times = {name: datetime.fromisoformat(fields[name]) for name in ("start", "stop")}
            lists = {name: tuple(fields[name]) for name in ("histograms", "where")}
            faults.append(Fault(**{**fields, **times, **lists}))
        components = {
            subsystem: {name: tuple(histogram_names) for name, histogram_names in by_component.items()}
            for subsystem, by_component in truth["components"].items()
        }
        files = sum(1 for _ in folder.glob("Run*/*/*.root"))
        return cls(
            folder=folder, files=files, runs=tuple(truth["runs"]), components=components, events=truth["events"],
            faults=tuple(faults),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """One subsystem in one run, the task of a worker."""

    folder: Path
    run: int
    subsystem: str
    times: tuple[datetime, ...]  # start of the run, then of each snapshot
    age: float  # of the beam at the start [s]
    faults: tuple[Fault, ...]
    scale: float
    statistics: float
    conditions: Conditions
    seed: tuple[int, ...]


def simulate(
    folder: Path,
    *,
    runs: int = 6,
    snapshots: int = 60,
    scale: float = 0.1,
    statistics: float = 1.0,
    faults: Literal["planned"] | int | Sequence[str] = "planned",
    conditions: Conditions = INDEPENDENT,
    seed: int = 1,
    first_run: int = 300000,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Simulation:
    """Write an archive of snapshot files with known faults to ``folder``.

    The same arguments give the same contents, but not the same bytes: ROOT files have UUIDs and the date of writing.

    Parameters
    ----------
    folder
        Gets ``Run<run>/<SYS>/<SYS>hists.<CERN time>.root``, ``Run<run>/runInfo.yaml`` and the truth in ``truth.json``:
        the faults, the components with their histograms, the event counters, the fills.
    runs
        Number of runs. They start 90 minutes apart (or when the one before is over), six of them in one fill.
    snapshots
        Number per run and subsystem, one a minute.
    scale
        Size of the detector, about the fraction of all bins. At 1: EMC 264 histograms with 785,826 bins,
        TPC 26 with 2,205,275, HLT 38 with 335,850, and event counters for EMC and HLT. Below 1: sqrt(scale) of the
        histograms, each with sqrt(scale) of its bins, but always the dozen most watched of a subsystem.
    statistics
        Factor on the fills. At 1, with a fresh beam: 12,000 events and 1,000 to 60,000 fills of a histogram per
        minute, whatever the scale.
    faults
        ``"planned"``: the ten of the demo, in its first five runs; a number: that many of `FAULTS`, drawn; names of
        `FAULTS` or `COUNTER_EVENTS`: one of each, drawn; ``()``: none. Runs of fewer than 30 snapshots have none.
    conditions
        How fills scatter while nothing is wrong; by default independently, in the same shapes in every run.
    seed
        Seed of fills, times, reports and drawn faults; the detector itself (gains, dead channels) is always the same.
    workers
        Number of processes; 0 for this one.
    progress
        Called with the numbers of snapshots done and in all: after each snapshot, or, with workers, after each run
        of a subsystem.

    Raises
    ------
    UsageError
        If a number is not positive, there is no room for the faults, or ``folder`` already has one of the runs.
    """
    if runs < 1 or snapshots < 1 or scale <= 0 or statistics <= 0:
        raise UsageError(
            f"cannot simulate {runs} runs of {snapshots} snapshots at scale {scale} and statistics {statistics}: "
            "all must be positive"
        )
    if scale > 1:
        raise UsageError(f"scale {scale} is more than the whole detector (1); for more fills raise the statistics")
    numbers = tuple(range(first_run, first_run + runs))
    if taken := [number for number in numbers if (folder / f"Run{number}").exists()]:
        raise UsageError(f"{folder} already has run {taken[0]}; simulate into a new folder, or remove it first")
    spacing = max(RUN_SPACING, timedelta(seconds=SNAPSHOT_SPACING * (snapshots + 10)))
    times = _times(seed, numbers, snapshots, spacing)
    if faults == "planned":
        chosen = planned(times, scale)
    elif isinstance(faults, str):
        raise UsageError(f"faults={faults!r}: expected 'planned', a number, or a list of {', '.join(ALL_FAULTS)}")
    else:
        chosen = drawn(np.random.default_rng([seed, 2018]), faults, times, scale)
    series = [
        _Series(
            folder=folder, run=run, subsystem=subsystem, times=tuple(ends), scale=scale, statistics=statistics,
            conditions=conditions,
            age=((run - first_run) % RUNS_PER_FILL * spacing).total_seconds(),
            faults=tuple(fault for fault in chosen if (fault.run, fault.subsystem) == (run, subsystem)),
            seed=(seed, run - first_run, position % len(COMPONENTS), 1),
        )
        for position, ((run, subsystem), ends) in enumerate(times.items())
    ]  # fmt: skip
    simulation = Simulation(
        folder=folder, files=_write_all(series, snapshots, workers, progress), runs=numbers,
        components={subsystem: _component_map(subsystem, scale) for subsystem in COMPONENTS}, events=EVENTS,
        faults=tuple(chosen),
    )  # fmt: skip
    for number in numbers:
        (folder / f"Run{number}" / "runInfo.yaml").write_text("hltMode: C\n")
    truth = {
        "runs": numbers,
        "fills": [numbers[i : i + RUNS_PER_FILL] for i in range(0, runs, RUNS_PER_FILL)],
        "arguments": {"snapshots": snapshots, "scale": scale, "statistics": statistics, "seed": seed},
        "conditions": asdict(conditions),
        "beam_lifetime": BEAM_LIFETIME, "report_cycle": [REPORT_CYCLE, REPORT_JITTER],
        "events": simulation.events, "components": simulation.components, "faults": list(map(asdict, chosen)),
    }  # fmt: skip
    (folder / "truth.json").write_text(json.dumps(truth, indent=1, default=datetime.isoformat) + "\n")
    return simulation


def _times(seed: int, runs: Sequence[int], snapshots: int, spacing: timedelta) -> Times:
    times: Times = {}
    for position, run in enumerate(runs):
        for number, subsystem in enumerate(COMPONENTS):
            rng = np.random.default_rng([seed, position, number])
            seconds = SNAPSHOT_SPACING * np.arange(snapshots + 1)
            seconds[1:] += rng.integers(-SNAPSHOT_JITTER, SNAPSHOT_JITTER + 1, snapshots)
            start = FIRST_START + position * spacing
            times[run, subsystem] = tuple(start + timedelta(seconds=second) for second in seconds.tolist())
    return times


def _component_map(subsystem: str, scale: float) -> dict[str, tuple[str, ...]]:
    by_component: dict[str, tuple[str, ...]] = {}
    for position, histogram in enumerate(histograms(subsystem, scale)):
        name = f"{subsystem}-{component(subsystem, position)}"
        by_component[name] = (*by_component.get(name, ()), histogram.name)
    return by_component


def _write_all(
    series: Sequence[_Series], snapshots: int, workers: int, progress: Callable[[int, int], None] | None
) -> int:
    """Write all series; returns the number of files."""
    total, done = len(series) * snapshots, 0

    def advance(number: int) -> None:
        nonlocal done
        done += number
        if progress:
            progress(done, total)

    if not workers:
        return sum(_write(part, partial(advance, 1)) for part in series)
    files = 0
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for written in pool.map(_write, series):
            files += written
            advance(snapshots)
    return files


def _write(series: _Series, advance: Callable[[], None] = lambda: None) -> int:
    """Write the files of one subsystem in one run; returns their number."""
    faults = {fault.kind: fault for fault in series.faults}
    gap, cut, again = (faults.get(kind) for kind in ("gap", "truncated_file", "duplicate_after_end"))
    early, late = (faults.get(kind) for kind in ("early_snapshot", "late_snapshot"))
    after_late = late and series.times[series.times.index(late.start) + 1]
    packing = uproot.ZLIB(1)
    # Each object is packed once, however often it is written: four in five are unchanged since the last snapshot.
    # (A subclass of ZLIB would not do: uproot accepts only its own classes.)
    packing.compress = lru_cache(maxsize=2 * len(histograms(series.subsystem, series.scale)))(packing.compress)
    files = 0
    for time, objects in zip(series.times[1:], _snapshots(series), strict=True):
        written = [time]
        if again and time == series.times[-1]:
            written += [time + timedelta(minutes=number + 1) for number in range(int(again.size))]
        if early and time == early.stop:
            written = [early.start + STAMP]
        if late and time == after_late:
            written = [late.stop - STAMP]
        for when in written:
            if gap and gap.start < when < gap.stop:
                continue
            local = when.astimezone(ZoneInfo(naming.CERN))
            path = series.folder / naming.processed_name(series.subsystem, series.run, local)
            path.parent.mkdir(parents=True, exist_ok=True)
            with uproot.recreate(path, compression=packing) as file:
                file.update(objects)  # one by one would write the streamers again for each
            if cut and cut.stop == when:
                os.truncate(path, int(path.stat().st_size * cut.size))
            files += 1
        advance()
    return files


def _snapshots(series: _Series) -> Iterator[dict[str, Any]]:
    """The objects of each snapshot, by name."""
    rng = np.random.default_rng(series.seed)
    all_histograms = histograms(series.subsystem, series.scale)
    ages = {time: series.age + (time - series.times[0]).total_seconds() for time in series.times}
    began, *ends = ages.values()
    reports = _last_reports(rng, COMPONENTS[series.subsystem], began, np.array(ends))
    restart = next((fault for fault in series.faults if fault.kind == "restart"), None)
    jumps = {fault.histogram: fault for fault in series.faults if ALL_FAULTS[fault.kind].jump}
    jump_rng = np.random.default_rng((*series.seed, 1))  # of its own: fills are the same as without
    counts = [np.zeros(histogram.density.shape, dtype=np.int64) for histogram in all_histograms]
    counted = [began] * len(all_histograms)  # age of the beam up to which each is filled
    gained: dict[int, NDArray[Any]] = {}  # in the last report
    objects: dict[str, Any] = {}
    for k, end in enumerate(ends):
        if restart and ages[restart.stop] == end:
            counts, objects = [np.zeros_like(count) for count in counts], {}
            counted = [end] * len(all_histograms)
        for i, histogram in enumerate(all_histograms):
            since, until = counted[i], reports[component(series.subsystem, i), k]
            jump = jumps.get(histogram.name)
            if jump and _jumps_at(jump, series.times[k : k + 2]):
                change = ALL_FAULTS[jump.kind].jump
                assert change is not None
                counts[i], until = change(histogram, counts[i], jump.size, jump_rng), end
            if until > since:
                expected = series.statistics * _fills(histogram, i, series, ages, since, until)
                new = _reported(
                    histogram, series.conditions.fills(rng, expected), gained.get(i), series, until, jump_rng
                )
                gained[i] = new
                counts[i][: len(new)] += new  # those after it, of weights before a Scale(), stay
                counted[i] = until
            if until > since or histogram.name not in objects:
                objects[histogram.name] = root_object(_kept(histogram, counts[i], series, ages, counted[i]))
        yield objects


def _jumps_at(fault: Fault, times: Sequence[datetime]) -> bool:
    """Whether the counts jump at the second of two snapshots."""
    before, now = times
    return before == fault.start or (ALL_FAULTS[fault.kind].each_snapshot and fault.start < now <= fault.stop)


def _fills(
    histogram: SimulatedHistogram, position: int, series: _Series, ages: dict[datetime, float], since: float,
    until: float,
) -> NDArray[Any]:  # fmt: skip
    """Expected fills while the age of the beam is in ``(since, until]``, faults included."""
    of_run = np.random.default_rng((*series.seed, 2, position))
    density = series.conditions.density(histogram, (until - series.age) / 3600, of_run)
    fills = density * exposure(since, until)
    for fault in series.faults:
        change = ALL_FAULTS[fault.kind].change
        if change and histogram.name in fault.histograms:
            start, stop = ages[fault.start], ages[fault.stop]
            first, last = max(since, start), min(until, stop)
            if last > first:
                fills += change(histogram, fault, ((first + last) / 2 - start) / (stop - start)) * exposure(first, last)
    return fills.clip(min=0)


def _reported(
    histogram: SimulatedHistogram, new: NDArray[Any], before: NDArray[Any] | None, series: _Series, until: float,
    rng: np.random.Generator,
) -> NDArray[Any]:  # fmt: skip
    """Fills of a report up to this age of the beam; of some faults they depend on those of the report before."""
    for fault in series.faults:
        change = ALL_FAULTS[fault.kind].report
        start, stop = (series.age + (time - series.times[0]).total_seconds() for time in (fault.start, fault.stop))
        if change and before is not None and histogram.name in fault.histograms and start < until <= stop:
            return change(histogram, new, before, rng)
    return new


def _kept(
    histogram: SimulatedHistogram, counts: NDArray[Any], series: _Series, ages: dict[datetime, float], counted: float
) -> Histogram:
    """What ROOT keeps in a report of the fills up to this age of the beam."""
    for fault in series.faults:
        kept = ALL_FAULTS[fault.kind].kept
        if kept and histogram.name in fault.histograms and counted > ages[fault.start]:
            return kept(histogram, counts, fault.size)
    return filled(histogram, counts)


def exposure(since: float, until: float) -> float:
    """Minutes with a fresh beam that give as many fills as the ages ``(since, until]``."""
    return float(np.exp(-since / BEAM_LIFETIME) - np.exp(-until / BEAM_LIFETIME)) * BEAM_LIFETIME / 60


def _last_reports(rng: np.random.Generator, components: int, began: float, ends: NDArray[Any]) -> NDArray[Any]:
    """Time of each component's last report before each of ``ends``, shape ``(component, end)``; ``began`` if none.

    Components report in turn: their cycles start evenly spread, then each keeps its own pace.
    """
    cycles = int((ends[-1] - began) / (REPORT_CYCLE - REPORT_JITTER)) + 3
    waits = rng.normal(REPORT_CYCLE, REPORT_JITTER, (components, cycles)).clip(min=REPORT_JITTER)
    turn = (np.arange(components)[:, None] + rng.random((components, 1))) / components
    reports = began - REPORT_CYCLE * turn + waits.cumsum(axis=1)
    return np.array([[row[row <= end].max(initial=began) for end in ends] for row in reports])
