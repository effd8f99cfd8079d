"""Snapshots -> rows of the store: order, duplicates, number classes, layouts; one run of one subsystem at a time."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.decode.reader import SnapshotReader
from owtrend.errors import SnapshotError
from owtrend.model.histogram import display_name
from owtrend.model.registry import COUNTS, SAME, SUMS, WEIGHTS, Registry, Segment, segments_of
from owtrend.model.rows import AMBIGUOUS_TIME, UNCHANGED, FileKey, Provenance, RunRows, settle, unchanged
from owtrend.model.snapshot import Snapshot
from owtrend.store import quarantine
from owtrend.store.layout import TIME_CHUNK
from owtrend.store.reader import SubsystemReader
from owtrend.store.repository import Store
from owtrend.store.transaction import write_cells

__all__ = ["RunResult", "RunTask", "SourceFile", "convert_run", "survey"]

_of_thread = threading.local()
_DTYPES = {COUNTS: np.int32, WEIGHTS: np.float64, SUMS: np.float64}


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file to take in: where it is, and what its name, its folder or its header tells of it."""

    path: str
    source: str
    told: str
    subsystem: str
    run: int
    time: int  # ns UTC
    ambiguous: bool = False
    mode: str = ""
    size: int = 0
    mtime: int = 0

    @property
    def ledger(self) -> FileKey:
        """What makes it the file that was taken in before, from whichever folder above what its name told."""
        return self.told, self.size, self.mtime


@dataclass(frozen=True, kw_only=True)
class RunTask:
    """All new files of one run of one subsystem; the registry is that of the store at ``version``."""

    location: str
    version: str
    subsystem: str
    run: int
    run_index: int
    files: tuple[SourceFile, ...]
    max_cells: int
    timezone: str
    accumulation: int
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    fork: Any = None

    def takes(self, name: str) -> bool:
        """Whether a histogram is among those selected and not excluded."""
        whole = f"{self.subsystem}/{name}"
        selected = not self.select or any(fnmatchcase(whole, pattern) for pattern in self.select)
        return selected and not any(fnmatchcase(whole, pattern) for pattern in self.exclude)

    def read(self, file: SourceFile) -> Snapshot:
        """What a file holds of that; the errors are those of `SnapshotReader.read`."""
        snapshot = _reader(self.max_cells).read(Path(file.path), file.source)
        if self.select or self.exclude:
            taken = [path for path in snapshot.histograms if self.takes(display_name(path))]
            problems = {name: why for name, why in snapshot.problems.items() if self.takes(name)}
            held = {path: snapshot.histograms[path] for path in taken}
            snapshot = replace(snapshot, histograms=held, problems=problems)
        return snapshot


@dataclass
class RunResult:
    """What came of a task: rows whose ``layouts`` are still sets of segment numbers, or segments to register first."""

    task: RunTask
    unregistered: list[Segment] = field(default_factory=list)
    rows: RunRows | None = None
    layouts: list[tuple[int, ...]] = field(default_factory=list)
    quarantine: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    moved: bool = False  # whether rows that the store had lie elsewhere now
    added: int = 0
    duplicates: int = 0
    unchanged: int = 0


def _reader(max_cells: int) -> SnapshotReader:
    """The reader of this thread, which knows the layouts of the runs before."""
    held: SnapshotReader | None = getattr(_of_thread, "reader", None)
    if held is None or held.max_cells != max_cells:
        held = _of_thread.reader = SnapshotReader(max_cells)
    return held


def quarantine_line(file: SourceFile, reason: str, name: str | None = None, *, lasting: bool = False) -> str:
    """One line of the quarantine; ``name`` is the object if it is not the whole file.

    ``lasting``: this decoder finds the same whenever it reads the file, so it need not be read again.
    """
    return quarantine.entry(
        file.source, reason, subsystem=file.subsystem, run=file.run, time=file.time, name=name,
        unreadable=file.ledger if lasting else None,
    )  # fmt: skip


def survey(task: RunTask) -> list[Segment]:
    """The segments that the last readable file of a run needs and the registry lacks: the last one holds the most."""
    registry = _registry(_view(task))
    for file in reversed(task.files):
        try:
            snapshot = task.read(file)
        except SnapshotError:
            continue
        needed = [segment for histogram in snapshot.values() for segment, _ in segments_of(histogram, registry)]
        return [segment for segment in needed if segment.offset < 0]
    return []


def convert_run(task: RunTask) -> RunResult:
    """Decode the files of a run, merge them with the rows it has, and write the cells of all rows that are new or move.

    Rows are put in order of time. Of several snapshots at one time with equal content one is kept; with other content
    the one with more entries, and the other is listed in quarantine; so the order of arrival never changes the result.
    Memory is bounded by 64 rows. If a segment is not registered, nothing is written and the missing ones are named.
    """
    result = RunResult(task)
    view = _view(task)
    held = view.rows(task.run_index) if view and task.run_index >= 0 else None
    merged = _Merged(task, result, view, held)
    rows: list[_Row] = []
    block = _Block(task, _registry(view), first=0)
    where = view.order(task.run_index) if view and held else np.array([], dtype=np.int64)  # in the chunks, or the tail
    for row, snapshot in merged:
        moved = snapshot is not None or where[row.old] != len(rows)
        if moved and not block.rows:
            block.first = len(rows)
        result.moved |= moved and snapshot is None
        rows.append(row)
        if snapshot is not None:
            row.layout = block.add(snapshot, result)
        elif block.rows or moved:
            block.add_held(view, row.old)
        if len(block.rows) and (block.first + len(block.rows)) % TIME_CHUNK == 0 and not result.unregistered:
            block.flush()
        if result.unregistered:
            block.rows.clear()
    if result.unregistered:
        return result
    if block.rows:
        block.flush()
    block.close()
    result.rows, result.layouts = _assemble(task, rows, held)
    fresh = [number for number, row in enumerate(rows) if row.old < 0]
    result.added = len(fresh)
    result.unchanged = int(np.count_nonzero(result.rows.flags[fresh] & UNCHANGED))
    return result


@dataclass
class _Row:
    """One row to be: from the store (``old`` is its place there) or new (-1)."""

    time: int
    digest: bytes
    provenance: Provenance
    flags: int
    old: int
    layout: tuple[int, ...] = ()

    @property
    def entries(self) -> float:
        return self.provenance.entries

    @property
    def source(self) -> str:
        return self.provenance.source


class _Merged:
    """Old rows and new files in order of time, one row per time; iterating decodes."""

    def __init__(self, task: RunTask, result: RunResult, view: SubsystemReader | None, held: RunRows | None) -> None:
        self.task, self.result = task, result
        self.old: dict[int, _Row] = {}
        if held is not None and view is not None:
            for run_index in range(len(held)):
                layout = view.layouts.layouts[held.layout[run_index]]
                provenance = Provenance.from_json(held.provenance[run_index])
                time, digest = int(held.time[run_index]), held.digest[run_index].tobytes()
                self.old[time] = _Row(time, digest, provenance, int(held.flags[run_index]), run_index, layout)
        self.files: dict[int, list[SourceFile]] = {}
        for file in task.files:
            self.files.setdefault(file.time, []).append(file)

    def __iter__(self) -> Iterator[tuple[_Row, Snapshot | None]]:
        for time in sorted(self.old.keys() | self.files.keys()):
            best: tuple[_Row, Snapshot | None] | None = (self.old[time], None) if time in self.old else None
            for file in sorted(self.files.get(time, []), key=lambda one: one.source):
                try:
                    snapshot = self.task.read(file)
                except SnapshotError as error:
                    lasting = not isinstance(error.__cause__, OSError)
                    self.result.quarantine.append(quarantine_line(file, str(error), lasting=lasting))
                    continue
                self.result.quarantine += [quarantine_line(file, why, name) for name, why in snapshot.problems.items()]
                if not snapshot:
                    if not snapshot.problems and not self.task.select and not self.task.exclude:
                        others = ", ".join(sorted(set(snapshot.unsupported.values()))) or "nothing"
                        reason = f"no histogram in it; it holds {others}"
                        self.result.quarantine.append(quarantine_line(file, reason, lasting=True))
                    continue
                self.result.taken.append(file.source)
                best = self._better(best, self._row(file, snapshot), snapshot, file)
            if best is not None:
                yield best

    def _row(self, file: SourceFile, snapshot: Snapshot) -> _Row:
        provenance = Provenance(
            source=file.source, parsed=file.told, size=file.size, mtime=file.mtime, mode=file.mode,
            timezone=self.task.timezone, entries=snapshot.entries, unsupported=len(snapshot.unsupported),
        )  # fmt: skip
        return _Row(file.time, snapshot.digest, provenance, AMBIGUOUS_TIME * file.ambiguous, -1)

    def _better(
        self, best: tuple[_Row, Snapshot | None] | None, row: _Row, snapshot: Snapshot, file: SourceFile
    ) -> tuple[_Row, Snapshot | None]:
        if best is None:
            return row, snapshot
        settled = settle(best[0], row)
        if settled is None:
            self.result.duplicates += 1
            best[0].provenance.duplicates.append(file.ledger)
            return best
        winner, loser, reason = settled
        self.result.quarantine.append(quarantine_line(replace(file, source=loser.source), reason))
        winner.provenance.duplicates.append(loser.provenance.file)
        return (row, snapshot) if winner is row else best


class _Block:
    """Up to 64 consecutive rows in memory, ready to be written."""

    def __init__(self, task: RunTask, registry: Registry, first: int) -> None:
        self.task, self.registry, self.first = task, registry, first
        self.rows: list[Any] = []
        self._arrays: dict[str, NDArray[Any]] = {}
        self._memory: dict[str, NDArray[Any]] = vars(_of_thread).pop("memory", {})  # of the run before, zero
        self._held: dict[int, dict[str, NDArray[Any]]] = {}

    def _row(self, array: str) -> NDArray[Any]:
        if array not in self._arrays:
            size = TIME_CHUNK * self.registry.size(array)
            if array not in self._memory or self._memory[array].size < size:
                self._memory[array] = np.zeros(size, dtype=_DTYPES[array])
            self._arrays[array] = self._memory[array][:size].reshape(TIME_CHUNK, -1)
        return self._arrays[array][len(self.rows) - 1]

    def add(self, snapshot: Snapshot, result: RunResult) -> tuple[int, ...]:
        """Take a snapshot's cells; gives its layout. Segments that are not registered go to the result."""
        self.rows.append(None)
        layout = []
        into: dict[str, NDArray[Any]] = {}
        for histogram in snapshot.values():
            for segment, values in segments_of(histogram, self.registry):
                if segment.offset < 0:
                    result.unregistered.append(segment)
                elif not result.unregistered:
                    layout.append(self.registry.number(segment))
                    if segment.array != SAME:
                        if segment.array not in into:
                            into[segment.array] = self._row(segment.array)
                        into[segment.array][segment.cells] = values
        return tuple(layout)

    def add_held(self, view: SubsystemReader | None, row: int) -> None:
        """Take the cells of a row that the store has."""
        assert view is not None, "a row of the store without a store"
        self.rows.append(None)
        first = row // TIME_CHUNK * TIME_CHUNK
        if first not in self._held:  # a chunk of rows at once, and the last one only
            rows = np.arange(first, min(first + TIME_CHUNK, int(view.per_run["n_rows"][self.task.run_index])))
            widths = {array: min(view.group_size(array), self.registry.size(array)) for array in _DTYPES}
            cells = {
                array: view.cells(array, self.task.run_index, rows, slice(0, n)) for array, n in widths.items() if n
            }
            self._held = {first: cells}
        for array, block in self._held[first].items():
            self._row(array)[: block.shape[1]] = block[row - first]

    def flush(self) -> None:
        for array, block in self._arrays.items():
            rows = block[: len(self.rows)]
            write_cells(self.task.fork, self.task.subsystem, array, self.task.run_index, self.first, rows)
            rows[:] = 0
        self.rows.clear()

    def close(self) -> None:
        """Leave the memory to the next run: fresh pages cost more than the copies into them."""
        vars(_of_thread)["memory"] = self._memory


def _assemble(task: RunTask, rows: Sequence[_Row], held: RunRows | None) -> tuple[RunRows, list[tuple[int, ...]]]:
    """The rows as the store lists them; their ``layout`` indexes the layouts returned."""
    layouts: dict[tuple[int, ...], int] = {}
    numbers = [layouts.setdefault(tuple(sorted(row.layout)), len(layouts)) for row in rows]
    digests = np.array([np.frombuffer(row.digest, dtype=np.uint8) for row in rows], dtype=np.uint8).reshape(-1, 16)
    flags = np.array([row.flags & ~UNCHANGED for row in rows], dtype=np.uint8)
    flags |= np.uint8(UNCHANGED) * unchanged(digests)
    modes = [row.provenance.mode for row in rows]
    return RunRows(
        time=np.array([row.time for row in rows], dtype=np.int64),
        layout=np.array(numbers, dtype=np.int32),
        flags=flags,
        digest=digests,
        provenance=tuple(row.provenance.to_json() for row in rows),
        mode=next(filter(None, modes), held.mode if held else ""),
        accumulation=task.accumulation,
    ), list(layouts)


def _view(task: RunTask) -> SubsystemReader | None:
    reader = Store.open(task.location).reader(task.version)
    return reader.subsystem(task.subsystem) if task.subsystem in reader.registered else None


def _registry(view: SubsystemReader | None) -> Registry:
    return view.registry if view else Registry()


def known_files(provenance: Sequence[str]) -> set[FileKey]:
    """The files that the rows of a run came from, also those dropped as duplicates: not to be read again."""
    return {file for line in provenance for file in Provenance.from_json(line).files}
