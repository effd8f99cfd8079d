"""Inputs of the benchmarks: a simulated detector, or a folder of snapshot files; all readable and in the page cache."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ingest import SnapshotReader, simulate
from ingest.archive import ingest
from ingest.archive.source_file import SourceFile
from owtrend.errors import SnapshotError

Compare = Callable[..., Any]  # the fixtures `compare` and `record` of conftest.py
Record = Callable[..., Any]
_MINUTE = 60 * 10**9  # ns


@dataclass(frozen=True)
class Size:
    """Size of the simulated input, and how often to measure."""

    runs: int
    snapshots: int
    scale: float  # of the detector, see `ingest.simulate`
    copies: int  # of all its runs, in the store that trends and slices are read from
    warm_up: int  # calls before the first round
    rounds: int
    moves: int  # of the slider of a page
    long: int  # snapshots of the run that memory is measured on


SIZES = {
    "tiny": Size(runs=1, snapshots=4, scale=0.001, copies=1, warm_up=0, rounds=1, moves=1, long=8),
    "S": Size(runs=1, snapshots=60, scale=0.1, copies=4, warm_up=1, rounds=7, moves=40, long=192),
    "M": Size(runs=4, snapshots=180, scale=0.1, copies=2, warm_up=1, rounds=3, moves=40, long=720),
}


@dataclass(frozen=True)
class Source:
    """The readable files of a folder."""

    label: str
    files: tuple[SourceFile, ...]
    histograms: int  # of all subsystems together
    cells: int  # of one snapshot of each, all parts, flow included

    @classmethod
    def simulated(cls, label: str, folder: Path, size: Size) -> "Source":
        """A clean detector."""
        simulate(folder, runs=size.runs, snapshots=size.snapshots, scale=size.scale, faults=())
        return cls.from_folder(label, folder)

    @classmethod
    def from_folder(cls, label: str, folder: Path) -> "Source":
        """All readable files of a folder; reading brings them into the page cache."""
        reader = SnapshotReader()
        files, cells, histograms = [], {}, {}
        for file in ingest.find_files([folder]).files:
            with suppress(SnapshotError):
                snapshot = reader.read(file.path)
                files.append(file)
                cells[file.subsystem] = sum(part.size for one in snapshot.values() for part in one.parts.values())
                histograms[file.subsystem] = len(snapshot)
        return cls(label, tuple(files), sum(histograms.values()), sum(cells.values()))

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def paths(self) -> list[str]:
        return [file.path for file in self.files]

    @property
    def largest(self) -> tuple[SourceFile, ...]:
        """The files of the subsystem with the largest ones, in its first run."""
        subsystem = max(self.files, key=lambda file: file.size).subsystem
        run = min(file.run for file in self.files if file.subsystem == subsystem)
        return tuple(file for file in self.files if (file.subsystem, file.run) == (subsystem, run))

    def copied(self, copies: int) -> list[SourceFile]:
        """The same files as ``copies`` times as many runs."""
        runs = len({file.run for file in self.files})
        return [replace(file, run=file.run + runs * copy) for copy in range(copies) for file in self.files]

    def prolonged(self, snapshots: int) -> list[SourceFile]:
        """One run of ``snapshots`` minutes, made by repeating the files of `largest`."""
        files = self.largest
        return [
            replace(files[number % len(files)], time=_MINUTE * (number + 1), source=f"{number}.root")
            for number in range(snapshots)
        ]
