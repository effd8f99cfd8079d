"""Simulated shifts with every kind of fault, and clean ones: what is found, how soon, and what is false.

``python -m benchmarks.studies.shifts --shifts 20 --first-seed 1000 [--keep FOLDER] [--detector NAME]...`` prints
tables.

A shift is six runs of 80 minutes, one fill, of a tenth of the detector. One has all ten faults, their sizes drawn from
those documented, one has none; the clean one of a seed has fills of its own, those of seed + 1,000,000.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

import owtrend
from benchmarks.studies import rivals
from benchmarks.studies.incidents import (
    Finding,
    Incident,
    Reports,
    clopper_pearson,
    find,
    garwood,
    incidents,
    is_true,
    timed,
)
from ingest.archive import ingest
from ingest.simulator import simulate
from ingest.simulator.faults import FAULTS, Fault
from owtrend.compute import compute
from owtrend.errors import UsageError

__all__ = ["DETECTORS", "Detector", "Result", "Shift", "judged", "prepared", "rate", "share", "table", "tables"]

Detector = Callable[[Path], pd.DataFrame]  # store -> flags, a table with the columns of benchmarks.studies.incidents
HOURS = 8.0  # of a shift
CLEAN = 1_000_000  # added to the seed
CYCLE = np.timedelta64(int(simulate.REPORT_CYCLE), "s")


def ours(store: Path) -> pd.DataFrame:
    """What owtrend flags once all is computed."""
    compute.compute(store)
    flags: pd.DataFrame = owtrend.open(store).findings()
    return flags


DETECTORS: dict[str, Detector] = {
    "owtrend": ours, "autodqm-run": rivals.autodqm_by_run, "autodqm-report": rivals.autodqm_by_report,
    "autodqm-tuned": rivals.autodqm_tuned, "o2-example": rivals.o2_example, "o2-tpc": rivals.o2_tpc,
    "o2-tuned": rivals.o2_tuned,
}  # fmt: skip


@dataclass(frozen=True)
class Shift:
    """A store, what is wrong in it, and how many hours it has."""

    store: Path
    faults: tuple[Fault, ...]
    hours: float
    reports: Reports


@dataclass(frozen=True)
class Result:
    """What one detector made of a faulty shift and the clean one of the same seed.

    ``by_chance`` tells what it would have found in the windows of the faults had there been none: by the flags of the
    clean shift, whose runs and histograms have the same names and times.
    """

    findings: tuple[Finding, ...]
    by_chance: tuple[Finding, ...]
    true: int  # incidents
    false: int  # of the faulty shift
    elsewhere: int  # are true by time, but of another subsystem than the fault
    false_clean: int  # of the clean shift
    flagged: float  # hours of the clean shift in incidents
    hours: float  # of either shift


def prepared(folder: Path, seed: int, *, clean: bool, runs: int = 6, snapshots: int = 80, scale: float = 0.1) -> Shift:
    """A shift simulated into ``folder/<seed>-faults`` or ``-clean`` and converted there, unless it is there already.

    What is kept is ``store`` and ``truth.json``.

    Raises
    ------
    UsageError
        If what is there was simulated otherwise.
    """
    place = folder / f"{seed}-{'clean' if clean else 'faults'}"
    seed += CLEAN * clean
    if not (place / "truth.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as new:
            files, made = Path(new) / "files", Path(new) / "shift"
            faults = () if clean else list(FAULTS)
            simulate.simulate(files, runs=runs, snapshots=snapshots, scale=scale, faults=faults, seed=seed)
            ingest.ingest(ingest.find_files([files]), made / "store", workers=0)
            shutil.copy(files / "truth.json", made)
            made.rename(place)
    told = simulate.Simulation.load(place)
    arguments = json.loads((place / "truth.json").read_text())["arguments"]
    expected = {"snapshots": snapshots, "scale": scale, "statistics": 1.0, "seed": seed}
    if arguments != expected or len(told.runs) != runs:
        raise UsageError(f"{place} was simulated with {arguments} in {len(told.runs)} runs, not {expected} in {runs}")
    reports = Reports.of(owtrend.open(place / "store"), CYCLE)
    return Shift(place / "store", told.faults, runs * snapshots / 60, reports)


def judged(detector: Detector, faulty: Shift, clean: Shift) -> Result:
    """What a detector finds in both shifts."""
    flags, false = (timed(detector(shift.store), shift.reports) for shift in (faulty, clean))
    made, made_clean = incidents(flags), incidents(false)
    true = [one for one in made if is_true(one, faulty.faults, faulty.reports)]
    same = [one for one in true if is_true(one, faulty.faults, faulty.reports, same_subsystem=True)]
    return Result(
        tuple(find(fault, flags, faulty.reports) for fault in faulty.faults),
        tuple(find(fault, false, clean.reports) for fault in faulty.faults),
        len(true), len(made) - len(true), len(true) - len(same), len(made_clean), _hours(made_clean), faulty.hours,
    )  # fmt: skip


def tables(results: dict[str, list[Result]]) -> str:
    """Two tables in Markdown: each detector as a whole, and how many faults of each kind it found."""
    return "\n\n".join([_overview(results), _by_kind(results)])


def _overview(results: dict[str, list[Result]]) -> str:
    heads = ("detector", "faults", "found by the 5th report", "found at all", "in clean data, by the 5th / at all",
             "delay in reports: median, worst", "false per 8 h, clean", "false per 8 h, faulty", "true",
             "of another subsystem", "clean time in incidents")  # fmt: skip
    lines = []
    for name, made in results.items():
        found = [one for result in made for one in result.findings]
        chance = [one for result in made for one in result.by_chance]
        hours = sum(result.hours for result in made)
        lines.append([
            name, str(len(found)), share(sum(one.soon for one in found), len(found)),
            share(sum(one.delay is not None for one in found), len(found)),
            f"{sum(one.soon for one in chance)} / {sum(one.delay is not None for one in chance)}", _delays(found),
            rate(sum(result.false_clean for result in made), hours), rate(sum(one.false for one in made), hours),
            str(sum(result.true for result in made)), str(sum(result.elsewhere for result in made)),
            f"{sum(result.flagged for result in made) / hours:.1%}",
        ])  # fmt: skip
    return table(heads, lines)


def _by_kind(results: dict[str, list[Result]]) -> str:
    lines = []
    for kind in FAULTS:
        cells = []
        for made in results.values():
            found = [one for result in made for one in result.findings if one.fault.kind == kind]
            all_found = sum(one.delay is not None for one in found)
            cells.append(f"{share(sum(one.soon for one in found), len(found))}, {all_found}; {_delays(found)}")
        lines.append([kind, *cells])
    return table(["kind", *(f"{name}: by the 5th, at all; delay" for name in results)], lines)


def share(found: int, of: int) -> str:
    """Found of all, with the 95 % interval of Clopper and Pearson."""
    low, high = clopper_pearson(found, of)
    return f"{found}/{of} [{low:.0%}, {high:.0%}]"


def rate(count: int, hours: float) -> str:
    """Incidents per eight hours, with Garwood's 95 % interval."""
    low, high = garwood(count)
    shifts = hours / HOURS
    return f"{count / shifts:.2f} [{low / shifts:.2f}, {high / shifts:.2f}] ({count})"


def _delays(findings: Sequence[Finding]) -> str:
    known = [one.delay for one in findings if one.delay is not None]
    return f"{np.median(known):g}, {max(known)}" if known else "-"


def _hours(made: Sequence[Incident]) -> float:
    return float(sum((one.stop - one.start) / np.timedelta64(3600, "s") for one in made))


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *lines])


@contextmanager
def _kept(folder: Path | None) -> Iterator[Path]:
    """The folder, or one that is removed in the end."""
    if folder is not None:
        yield folder
    else:
        with tempfile.TemporaryDirectory() as made:
            yield Path(made)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables; progress goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shifts", type=int, default=20, help="how many of each, faulty and clean")
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--snapshots", type=int, default=80)
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--detector", action="append", choices=list(DETECTORS), help="all, if none is named")
    parser.add_argument("--keep", type=Path, help="folder of stores that are made once and used again")
    asked = parser.parse_args(arguments)
    results: dict[str, list[Result]] = {name: [] for name in asked.detector or DETECTORS}
    with _kept(asked.keep) as folder:
        for number in range(asked.shifts):
            seed, size = asked.first_seed + number, {name: vars(asked)[name] for name in ("runs", "snapshots", "scale")}
            began = perf_counter()
            faulty, clean = (prepared(folder, seed, clean=clean, **size) for clean in (False, True))
            told = [f"shift {number + 1} of {asked.shifts}, seed {seed}: made in {perf_counter() - began:.0f} s"]
            for name, made in results.items():
                began = perf_counter()
                made.append(judged(DETECTORS[name], faulty, clean))
                told.append(f"{name} {perf_counter() - began:.0f} s")
            print(", ".join(told), file=sys.stderr, flush=True)
            if asked.keep is None:
                shutil.rmtree(faulty.store.parent)
                shutil.rmtree(clean.store.parent)
    print(tables(results))


if __name__ == "__main__":
    main()
