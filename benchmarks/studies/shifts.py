"""Simulated shifts with every kind of fault, and clean ones: faults found, how soon, and false incidents.

``python -m benchmarks.studies.shifts --shifts 20 --first-seed 1000 [--keep FOLDER] [--detector NAME]...`` prints
tables.

A shift is six runs of 80 minutes, one fill, of a tenth of the detector. One has all ten faults, or with ``--faults
subtle`` all of `ingest.simulator.subtle_faults`, their sizes drawn from the documented range, one has none. The clean
shift of a seed has its own fills, from seed + 1,000,000. With ``--conditions NAME`` fills cluster, runs differ or gains
fall in both (`ingest.simulator.conditions`).
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

import owtrend
from benchmarks.studies import rivals
from benchmarks.studies.incidents import (
    FaultMatch,
    IncidentSpan,
    ReportTimes,
    clopper_pearson,
    garwood,
    incidents,
    is_true,
    match_fault,
    timed,
)
from ingest.archive import ingest
from ingest.simulator import simulate
from ingest.simulator.conditions import CONDITIONS
from ingest.simulator.faults import ALL_FAULTS, FAULTS, Fault
from ingest.simulator.kinds import Kind
from ingest.simulator.subtle_faults import SUBTLE_FAULTS
from owtrend.compute import compute
from owtrend.errors import UsageError

__all__ = ["DETECTORS", "Detector", "Result", "Shift", "judged", "prepared", "rate", "share", "table", "tables"]

Detector = Callable[[Path], pd.DataFrame]  # store -> findings, a table with the columns of benchmarks.studies.incidents
FAULT_SETS: dict[str, dict[str, Kind]] = {"faults": FAULTS, "subtle": SUBTLE_FAULTS}
HOURS = 8.0  # of a shift
CLEAN = 1_000_000  # added to the seed
CYCLE = np.timedelta64(int(simulate.REPORT_CYCLE), "s")


def ours(store: Path) -> pd.DataFrame:
    """Findings of owtrend after the computation."""
    compute.compute(store)
    findings: pd.DataFrame = owtrend.open(store).findings()
    return findings


DETECTORS: dict[str, Detector] = {
    "owtrend": ours, "autodqm-run": rivals.autodqm_by_run, "autodqm-report": rivals.autodqm_by_report,
    "autodqm-tuned": rivals.autodqm_tuned, "o2-example": rivals.o2_example, "o2-tpc": rivals.o2_tpc,
    "o2-tuned": rivals.o2_tuned,
}  # fmt: skip


@dataclass(frozen=True)
class Shift:
    """A store, its faults and its length."""

    store: Path
    faults: tuple[Fault, ...]
    hours: float
    reports: ReportTimes
    runs: tuple[int, ...]

    @property
    def third(self) -> np.datetime64:
        """When the third run began."""
        later = [times[0] for (_, run), times in self.reports.snapshots.items() if run in self.runs[2:]]
        return min(later, default=np.datetime64("NaT"))


@dataclass(frozen=True)
class Result:
    """Result of one detector for a faulty shift and the clean one of the same seed.

    ``by_chance`` are the matches of the same faults with findings of the clean shift, whose runs and histograms have
    the same names and times: found though there is no fault.
    """

    matches: tuple[FaultMatch, ...]
    by_chance: tuple[FaultMatch, ...]
    true: int  # incidents
    false: int  # of the faulty shift
    elsewhere: int  # true by time, but in another subsystem than the fault
    false_clean: int  # of the clean shift
    false_later: int  # of the clean shift, since its third run
    flagged: float  # hours of the clean shift in incidents
    hours: float  # of either shift
    later: float  # hours of either shift since its third run


def prepared(
    folder: Path, seed: int, *, clean: bool, runs: int = 6, snapshots: int = 80, scale: float = 0.1,
    conditions: str = "independent", faults: str = "faults",
) -> Shift:  # fmt: skip
    """A shift simulated into ``folder/<seed>-<faults>`` or ``-clean``, with one of the `FAULT_SETS`, and converted
    there, unless it is there already.

    ``store`` and ``truth.json`` are kept.

    Raises
    ------
    UsageError
        If a shift simulated with other arguments is there.
    """
    place = folder / f"{seed}-{'clean' if clean else faults}"
    seed += CLEAN * clean
    if not (place / "truth.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as new:
            files, made = Path(new) / "files", Path(new) / "shift"
            simulate.simulate(
                files, runs=runs, snapshots=snapshots, scale=scale, seed=seed,
                faults=() if clean else list(FAULT_SETS[faults]),
                conditions=CONDITIONS[conditions],
            )  # fmt: skip
            ingest.ingest(ingest.find_files([files]), made / "store", workers=0)
            shutil.copy(files / "truth.json", made)
            made.rename(place)
    simulation = simulate.Simulation.load(place)
    truth = json.loads((place / "truth.json").read_text())
    arguments = truth["arguments"] | {"conditions": truth["conditions"]}
    expected = {
        "snapshots": snapshots, "scale": scale, "statistics": 1.0, "seed": seed,
        "conditions": asdict(CONDITIONS[conditions]),
    }  # fmt: skip
    if arguments != expected or len(simulation.runs) != runs:
        raise UsageError(
            f"{place} was simulated with {arguments} in {len(simulation.runs)} runs, not {expected} in {runs}"
        )
    reports = ReportTimes.from_archive(owtrend.open(place / "store"), CYCLE)
    return Shift(place / "store", simulation.faults, runs * snapshots / 60, reports, simulation.runs)


def judged(detector: Detector, faulty: Shift, clean: Shift) -> Result:
    """Result of a detector for both shifts."""
    findings, clean_findings = (timed(detector(shift.store), shift.reports) for shift in (faulty, clean))
    found, found_clean = incidents(findings), incidents(clean_findings)
    true = [incident for incident in found if is_true(incident, faulty.faults, faulty.reports)]
    same = [incident for incident in true if is_true(incident, faulty.faults, faulty.reports, same_subsystem=True)]
    return Result(
        tuple(match_fault(fault, findings, faulty.reports) for fault in faulty.faults),
        tuple(match_fault(fault, clean_findings, clean.reports) for fault in faulty.faults),
        len(true), len(found) - len(true), len(true) - len(same), len(found_clean),
        sum(bool(incident.start >= clean.third) for incident in found_clean), _hours(found_clean), faulty.hours,
        faulty.hours * max(len(clean.runs) - 2, 0) / len(clean.runs),
    )  # fmt: skip


def tables(results: dict[str, list[Result]]) -> str:
    """Two tables in Markdown: each detector as a whole, and how many faults of each kind it found."""
    return "\n\n".join([_overview(results), _by_kind(results)])


def _overview(results: dict[str, list[Result]]) -> str:
    heads = ("detector", "faults", "found by the 5th report", "found at all", "in clean data, by the 5th / at all",
             "delay in reports: median, worst", "false per 8 h, clean", "since the third run", "false per 8 h, faulty",
             "true",
             "of another subsystem", "clean time in incidents")  # fmt: skip
    lines = []
    for name, outcomes in results.items():
        found = [match for result in outcomes for match in result.matches]
        chance = [match for result in outcomes for match in result.by_chance]
        hours = sum(result.hours for result in outcomes)
        lines.append([
            name, str(len(found)), share(sum(match.soon for match in found), len(found)),
            share(sum(match.delay is not None for match in found), len(found)),
            f"{sum(match.soon for match in chance)} / {sum(match.delay is not None for match in chance)}",
            _delays(found), rate(sum(result.false_clean for result in outcomes), hours),
            rate(sum(result.false_later for result in outcomes), sum(result.later for result in outcomes)),
            rate(sum(result.false for result in outcomes), hours),
            str(sum(result.true for result in outcomes)), str(sum(result.elsewhere for result in outcomes)),
            f"{sum(result.flagged for result in outcomes) / hours:.1%}",
        ])  # fmt: skip
    return table(heads, lines)


def _by_kind(results: dict[str, list[Result]]) -> str:
    lines = []
    kinds = (match.fault.kind for outcomes in results.values() for result in outcomes for match in result.matches)
    for kind in sorted(set(kinds), key=list(ALL_FAULTS).index):
        cells = []
        for outcomes in results.values():
            matches = (match for result in outcomes for match in result.matches)
            found = [match for match in matches if match.fault.kind == kind]
            all_found = sum(match.delay is not None for match in found)
            cells.append(f"{share(sum(match.soon for match in found), len(found))}, {all_found}; {_delays(found)}")
        lines.append([kind, *cells])
    return table(["kind", *(f"{name}: by the 5th, at all; delay" for name in results)], lines)


def share(found: int, of: int) -> str:
    """Number found of all, with the 95 % interval of Clopper and Pearson."""
    low, high = clopper_pearson(found, of)
    return f"{found}/{of} [{low:.0%}, {high:.0%}]"


def rate(count: int, hours: float) -> str:
    """Incidents per eight hours, with Garwood's 95 % interval."""
    low, high = garwood(count)
    shifts = hours / HOURS
    return f"{count / shifts:.2f} [{low / shifts:.2f}, {high / shifts:.2f}] ({count})"


def _delays(matches: Sequence[FaultMatch]) -> str:
    known = [match.delay for match in matches if match.delay is not None]
    return f"{np.median(known):g}, {max(known)}" if known else "-"


def _hours(spans: Sequence[IncidentSpan]) -> float:
    return float(sum((span.stop - span.start) / np.timedelta64(3600, "s") for span in spans))


def table(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [heads, ["---"] * len(heads), *lines])


@contextmanager
def _kept(folder: Path | None) -> Iterator[Path]:
    """The folder, or a temporary one."""
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
    parser.add_argument("--conditions", choices=list(CONDITIONS), default="independent")
    parser.add_argument("--faults", choices=list(FAULT_SETS), default="faults")
    parser.add_argument("--detector", action="append", choices=list(DETECTORS), help="all, if none is named")
    parser.add_argument("--keep", type=Path, help="folder of stores to make once and reuse")
    asked = parser.parse_args(arguments)
    results: dict[str, list[Result]] = {name: [] for name in asked.detector or DETECTORS}
    with _kept(asked.keep) as folder:
        for number in range(asked.shifts):
            seed, size = (
                asked.first_seed + number,
                {name: vars(asked)[name] for name in ("runs", "snapshots", "scale", "conditions", "faults")},
            )
            began = perf_counter()
            faulty, clean = (prepared(folder, seed, clean=clean, **size) for clean in (False, True))
            progress = [f"shift {number + 1} of {asked.shifts}, seed {seed}: made in {perf_counter() - began:.0f} s"]
            for name, outcomes in results.items():
                began = perf_counter()
                outcomes.append(judged(DETECTORS[name], faulty, clean))
                progress.append(f"{name} {perf_counter() - began:.0f} s")
            print(", ".join(progress), file=sys.stderr, flush=True)
            if asked.keep is None:
                shutil.rmtree(faulty.store.parent)
                shutil.rmtree(clean.store.parent)
    print(tables(results))


if __name__ == "__main__":
    main()
