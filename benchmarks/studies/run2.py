"""An hour, a fill, a month and one percent of LHC Run 2, converted, with trends and scores: docs/run2.md.

``python benchmarks/studies/run2.py EMC-FOLDER TPC-FOLDER HLT-FOLDER [--workers N] [--sizes S,M,L,XL]``

The folders hold snapshot files of one subsystem each, which are repeated to make whole runs with the lengths of Run 2.
Repeated files cost as much to decode, sort, pack and commit as different ones: only layouts are remembered from file to
file, and the file before is always another.
"""

import argparse
import os
import platform
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist

import numpy as np

import owtrend
from ingest import SnapshotReader
from ingest.archive import ingest
from ingest.archive.source_file import SourceFile
from owtrend.cli.output import progress_bar, store_size
from owtrend.compute import compute

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "run2.md"
# November 2015 to December 2018, from ALICE's logbook: number of runs, their median and mean length [min], and the
# fraction of the time in which a subsystem sent snapshots.
RUNS, MEDIAN, MEAN = 3300, 58.0, 93.0
SHARES = {"EMC": 0.88, "TPC": 0.86, "HLT": 1.0}
FILES, CELLS = 841_000, 9.0e11
_MINUTE = 60 * 10**9  # ns


@dataclass(frozen=True)
class Sample:
    """The files of some runs, their number of cells, flow included, and of bytes."""

    runs: int
    files: list[SourceFile]
    cells: int
    bytes: int


@dataclass(frozen=True)
class Measured:
    """Times of a sample [s], and the size of its store [bytes]."""

    sample: Sample
    conversion: float
    trends: float
    scores: float
    store: int


def lengths(runs: int) -> list[int]:
    """Lengths of runs [min], evenly over a log-normal distribution with the median and mean of Run 2."""
    sigma = np.sqrt(2 * np.log(MEAN / MEDIAN))
    quantiles = [NormalDist().inv_cdf((number + 0.5) / runs) for number in range(runs)]
    minutes = MEDIAN * np.exp(sigma * np.array(quantiles))
    return [max(2, round(float(one))) for one in minutes * MEAN / minutes.mean()]


# Minutes of each run. A month had 73,700 files: a twentieth of its runs here; XL is one percent of all.
SIZES = {
    "S": ("an hour", [60]),
    "M": ("one fill", [720]),
    "L": ("a month, a twentieth of its runs", lengths(round(RUNS * 73_700 / FILES / 20))),
    "XL": ("1 % of Run 2", lengths(round(RUNS / 100))),
}


def sample(folders: list[Path], minutes: list[int]) -> Sample:
    """The files of runs of these lengths."""
    reader, files, cells = SnapshotReader(), [], 0
    for folder in folders:
        own = sorted(ingest.find_files([folder]).files, key=lambda file: file.time)
        subsystem = own[0].subsystem
        held = sum(part.size for one in reader.read(own[-1].path).values() for part in one.parts.values())
        for run, length in enumerate(minutes):
            count = max(1, round(length * SHARES[subsystem]))
            files += [
                replace(
                    own[minute % len(own)], run=300000 + run, time=_MINUTE * (10_000 * run + minute + 1),
                    source=f"{subsystem} {run} {minute}", parsed=f"{subsystem} {run} {minute}",
                )
                for minute in range(count)
            ]  # fmt: skip
            cells += count * held
    return Sample(len(minutes), files, cells, sum(file.size for file in files))


def measure(taken: Sample, workers: int) -> Measured:
    """Convert a sample and compute its trends, then its scores."""
    with tempfile.TemporaryDirectory() as folder, progress_bar() as progress:
        store = Path(folder) / "store"
        summary = ingest.ingest(ingest.FoundFiles(taken.files), store, workers=workers, progress=progress)
        size = store_size(str(store))
        trends = compute.compute(store, workers=workers, scores=False, progress=progress)
        scores = compute.compute(store, workers=workers, progress=progress)
        assert len(owtrend.open(store).runs) == taken.runs
    return Measured(taken, summary.seconds, trends.seconds, scores.seconds, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--sizes", default=",".join(SIZES))
    asked = parser.parse_args()
    results = {}
    for name in asked.sizes.split(","):
        results[name] = measure(sample(asked.folders, SIZES[name][1]), asked.workers)
        one = results[name]
        print(name, one.conversion, one.trends, one.scores, flush=True)
    DOCUMENT.write_text(document(results, asked.workers))
    print(DOCUMENT.read_text())


def document(results: dict[str, Measured], workers: int) -> str:
    """Text of docs/run2.md; all of Run 2 is extrapolated from the last result."""
    largest = list(results.values())[-1]
    by_files, by_cells = FILES / len(largest.sample.files), CELLS / largest.sample.cells

    def hours(seconds: float) -> str:
        low, high = sorted([seconds * by_files / 3600, seconds * by_cells / 3600])
        return f"{low:.1f} to {high:.1f} h"

    def row(*cells: str) -> str:
        return f"| {' | '.join(cells)} |"

    def line(name: str, one: Measured) -> str:
        taken = one.sample
        return row(
            f"{name}: {SIZES[name][0]}", f"{taken.runs}", f"{len(taken.files):,}", f"{taken.cells / 1e9:.2f}e9",
            f"{taken.bytes / 1e9:.2f} GB", f"{one.conversion:.1f} s", f"{len(taken.files) / one.conversion:,.0f}",
            f"{taken.cells / one.conversion / 1e6:,.0f} M", f"{one.trends:.1f} s",
            f"{8 * taken.cells / one.trends / 1e9:.2f} GB/s", f"{one.scores:.1f} s",
            f"{8 * taken.cells / one.scores / 1e9:.2f} GB/s", f"{one.store / taken.bytes:.3f}",
        )  # fmt: skip

    by = f"x {by_files:.0f} or {by_cells:.0f}"
    cores, both = len(os.sched_getaffinity(0)), largest.conversion + largest.trends
    faster, machine = 64 / cores, f"{cores} cores ({platform.machine()}), Python {platform.python_version()}"
    heads = ("size", "runs", "files", "cells", "ROOT files", "conversion", "files a second", "cells a second",
             "trends", "as float64", "scores", "as float64", "store / ROOT files")  # fmt: skip
    paragraphs = [
        "# All of Run 2",
        "Parts of LHC Run 2 converted from ROOT files to a committed store, with their trends and scores, measured, "
        "and what follows for all of it. Written by `benchmarks/studies/run2.py` on "
        f"{datetime.now(UTC):%Y-%m-%d}: {workers} worker processes on {machine}.",
        "Each has snapshots of EMC, TPC and HLT once a minute, in whole runs with the lengths of Run 2 (median "
        f"{MEDIAN:.0f} min, mean {MEAN:.0f} min; S and M are one run). The files are those of a few archives that ROOT "
        "wrote, taken again and again: about 2,000 fills per histogram and minute, every histogram changed in every "
        "file, everything in the page cache. Starting the workers is part of the times. Scores are of reports: where "
        "components send every five minutes there is a fifth as much to do for them.",
        "\n".join([
            row(*heads), row("---", *["---:"] * (len(heads) - 1)),
            *(line(name, one) for name, one in results.items()),
        ]),
        f"All of Run 2: about {FILES:,} files with {CELLS:.1e} cells, {by_files:.0f} times the files and "
        f"{by_cells:.0f} times the cells of the last line.",
        "\n".join([
            row("", "by files, by cells", ""),
            row("---", "---:", "---"),
            row("conversion", hours(largest.conversion), f"{largest.conversion:.1f} s {by}"),
            row("trends", hours(largest.trends), f"{largest.trends:.1f} s {by}"),
            row("both", hours(both), "target: < 6 h"),
            row("scores", hours(largest.scores), f"{largest.scores:.1f} s {by}; a fifth where components report"),
        ]),
        f"On 64 cores, if it scales, {both * max(by_files, by_cells) / 60 / faster:.0f} minutes (target: < 15). "
        "Nothing was measured on so many, and a disk must then give "
        f"{largest.sample.bytes / largest.conversion * faster / 1e9:.1f} GB/s.",
    ]  # fmt: skip
    return "\n\n".join(paragraphs) + "\n"


if __name__ == "__main__":
    main()
