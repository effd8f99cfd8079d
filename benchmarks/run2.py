"""One percent of LHC Run 2, converted and with its trends computed, and what follows for all of it: docs/run2.md.

``python benchmarks/run2.py EMC-FOLDER TPC-FOLDER HLT-FOLDER [--workers N] [--share 0.01]``

The folders hold snapshot files of one subsystem each, which are taken again and again: so many whole runs, each as
long as runs were. What it costs to decode, sort, pack and commit them is that of different ones, for nothing is
remembered from file to file but layouts, and the file before is always another.
"""

import argparse
import os
import platform
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import NormalDist

import numpy as np

import owtrend
from ingest import SnapshotReader, archive
from ingest.writer import SourceFile
from owtrend import pipeline
from owtrend.cli import progress_bar, store_size

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "run2.md"
# Of November 2015 to December 2018, from ALICE's logbook: runs, their median and mean length in minutes, and the share
# of the time in which a subsystem sent snapshots.
RUNS, MEDIAN, MEAN = 3300, 58.0, 93.0
SHARES = {"EMC": 0.88, "TPC": 0.86, "HLT": 1.0}
FILES, CELLS = 841_000, 9.0e11
_MINUTE = 60 * 10**9  # ns


@dataclass(frozen=True)
class Sample:
    """The files of some runs, how many cells they hold, flow included, and how many bytes."""

    files: list[SourceFile]
    cells: int
    bytes: int


def lengths(runs: int) -> list[int]:
    """Minutes of so many runs, evenly over a log-normal distribution with the median and mean of Run 2."""
    sigma = np.sqrt(2 * np.log(MEAN / MEDIAN))
    quantiles = [NormalDist().inv_cdf((number + 0.5) / runs) for number in range(runs)]
    minutes = MEDIAN * np.exp(sigma * np.array(quantiles))
    return [max(2, round(float(one))) for one in minutes * MEAN / minutes.mean()]


def sample(folders: list[Path], runs: int) -> Sample:
    """The files of so many runs."""
    reader, files, cells = SnapshotReader(), [], 0
    for folder in folders:
        own = sorted(archive.find_files([folder]).files, key=lambda file: file.time)
        subsystem = own[0].subsystem
        held = sum(part.size for one in reader.read(own[-1].path).values() for part in one.parts.values())
        for run, minutes in enumerate(lengths(runs)):
            count = max(1, round(minutes * SHARES[subsystem]))
            files += [
                replace(
                    own[minute % len(own)], run=300000 + run, time=_MINUTE * (10_000 * run + minute + 1),
                    source=f"{subsystem} {run} {minute}", told=f"{subsystem} {run} {minute}",
                )
                for minute in range(count)
            ]  # fmt: skip
            cells += count * held
    return Sample(files, cells, sum(file.size for file in files))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--share", type=float, default=0.01)
    asked = parser.parse_args()
    taken = sample(asked.folders, max(1, round(RUNS * asked.share)))
    with tempfile.TemporaryDirectory() as folder, progress_bar() as progress:
        store = Path(folder) / "store"
        summary = archive.ingest(archive.Found(taken.files), store, workers=asked.workers, progress=progress)
        size = store_size(str(store))
        began = time.perf_counter()
        pipeline.compute(store, workers=asked.workers, progress=progress)
        trends = time.perf_counter() - began
        opened = owtrend.open(store)
        runs = len(opened.runs)
    DOCUMENT.write_text(document(taken, runs, summary.seconds, trends, size, asked.workers))
    print(DOCUMENT.read_text())


def document(taken: Sample, runs: int, ingest: float, trends: float, size: int, workers: int) -> str:
    """docs/run2.md."""
    by_files, by_cells = FILES / len(taken.files), CELLS / taken.cells

    def hours(seconds: float) -> str:
        low, high = sorted([seconds * by_files / 3600, seconds * by_cells / 3600])
        return f"{low:.1f} to {high:.1f} h"

    def row(*cells: str) -> str:
        return f"| {' | '.join(cells)} |"

    cores, both, count = len(os.sched_getaffinity(0)), ingest + trends, len(taken.files)
    faster, machine = 64 / cores, f"{cores} cores ({platform.machine()}), Python {platform.python_version()}"
    speed = (
        f"{count / ingest:,.0f} files, {taken.cells / ingest / 1e6:,.0f} M cells, {taken.bytes / ingest / 1e6:,.0f} MB"
    )
    paragraphs = [
        "# All of Run 2",
        "One percent of LHC Run 2, converted from ROOT files to a committed store and with its trends computed, "
        "measured, and what follows for all of it. Written by `benchmarks/run2.py` on "
        f"{datetime.now(UTC):%Y-%m-%d}: {workers} worker processes on {machine}.",
        f"Measured: {runs} whole runs with the lengths of Run 2 (median {MEDIAN:.0f} min, mean {MEAN:.0f} min), "
        f"{count:,} snapshot files of EMC, TPC and HLT with {taken.cells:.2e} cells in {taken.bytes / 1e9:.2f} GB. The "
        "files are those of a few archives that ROOT wrote, taken again and again: about 2,000 fills per histogram and "
        "minute, every histogram changed in every file, everything in the page cache.",
        "\n".join([
            row("", "measured", "per second"),
            row("---", "---:", "---:"),
            row("conversion", f"{ingest:.1f} s", f"{speed} of ROOT files"),
            row("trends, all reductors", f"{trends:.1f} s", f"{8 * taken.cells / trends / 1e9:.2f} GB as float64"),
            row("store", f"{size / 1e9:.3f} GB", f"{size / taken.bytes:.3f} of the ROOT files"),
        ]),
        f"All of Run 2: about {FILES:,} files with {CELLS:.1e} cells, {by_files:.0f} times the files and "
        f"{by_cells:.0f} times the cells of what was measured.",
        "\n".join([
            row("", "by files, by cells", ""),
            row("---", "---:", "---"),
            row("conversion", hours(ingest), f"{ingest:.1f} s x {by_files:.0f} or {by_cells:.0f}"),
            row("trends", hours(trends), f"{trends:.1f} s x {by_files:.0f} or {by_cells:.0f}"),
            row("both", hours(both), "target: < 6 h"),
        ]),
        f"On 64 cores, if it scales, {both * max(by_files, by_cells) / 60 / faster:.0f} minutes (target: < 15). "
        f"Nothing was measured on so many, and a disk must then give {taken.bytes / ingest * faster / 1e9:.1f} GB/s.",
    ]  # fmt: skip
    return "\n\n".join(paragraphs) + "\n"


if __name__ == "__main__":
    main()
