"""Snapshots -> rows of the store: order, duplicates, number classes, layouts; one run of one subsystem at a time."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.archive.source_file import SourceFile, quarantine_line
from ingest.decode.reader import SnapshotReader
from ingest.limits import Limits, OverBudget
from ingest.renaming import Renaming
from owtrend.errors import SnapshotError
from owtrend.model.histogram import display_name
from owtrend.model.registry import COUNTS, SAME, SUMS, WEIGHTS, Registry, Segment, like, segments_of
from owtrend.model.rows import Accumulation, FileKey, NotStored, Provenance, RowFlag, RunRows, settle, unchanged
from owtrend.model.snapshot import Snapshot
from owtrend.store.layout import TIME_CHUNK
from owtrend.store.reader import SubsystemReader
from owtrend.store.repository import Store
from owtrend.store.transaction import write_cells

__all__ = ["RunResult", "RunTask", "convert_run", "survey"]

_per_thread = threading.local()
_DTYPES = {COUNTS: np.int32, WEIGHTS: np.float64, SUMS: np.float64}
_SECOND = 10**9  # [ns] what names and headers resolve


@dataclass(frozen=True, kw_only=True)
class RunTask:
    """All new files of one run of one subsystem. The registry is read from the store at ``version``."""

    location: str
    version: str
    subsystem: str
    run: int
    run_index: int
    files: tuple[SourceFile, ...]
    limits: Limits
    timezone: str
    accumulation: int
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    renaming: Renaming = field(default_factory=Renaming)
    fork: Any = None

    def taken(self, names: Sequence[str]) -> set[str]:
        """Those of some histograms that are selected and not excluded."""
        whole = [f"{self.subsystem}/{name}" for name in names]

        def matched(patterns: Sequence[str]) -> set[str]:
            hits = [like(whole, pattern) for pattern in patterns]
            return {name for number, name in enumerate(names) if any(hit[number] for hit in hits)}

        return (matched(self.select) if self.select else {*names}) - matched(self.exclude)

    def read(self, file: SourceFile) -> Snapshot:
        """The selected histograms of a file, renamed; errors as of `SnapshotReader.read` and `Renaming.apply`."""
        snapshot = self.renaming.apply(_reader(self.limits).read(Path(file.path), file.source))
        if self.select or self.exclude:
            taken = self.taken([*map(display_name, snapshot.histograms), *snapshot.problems])
            paths = [path for path in snapshot.histograms if display_name(path) in taken]
            problems = {name: reason for name, reason in snapshot.problems.items() if name in taken}
            histograms = {path: snapshot.histograms[path] for path in paths}
            snapshot = replace(snapshot, histograms=histograms, problems=problems)
        return snapshot


@dataclass
class RunResult:
    """Result of a task: rows whose ``layouts`` are still tuples of segment numbers, or segments to register first."""

    task: RunTask
    unregistered: list[Segment] = field(default_factory=list)
    rows: RunRows | None = None
    layouts: list[tuple[int, ...]] = field(default_factory=list)
    quarantine: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)  # sources that were read
    not_stored: dict[str, NotStored] = field(default_factory=dict)  # by class
    moved: bool = False  # whether rows of the store changed their position
    added: int = 0
    duplicates: int = 0
    unchanged: int = 0


def _reader(limits: Limits) -> SnapshotReader:
    """The reader of this thread, which remembers the layouts of earlier runs."""
    reader: SnapshotReader | None = getattr(_per_thread, "reader", None)
    if reader is None or reader.limits != limits:
        reader = _per_thread.reader = SnapshotReader(limits=limits)
    return reader


def survey(task: RunTask) -> list[Segment]:
    """The segments in the last readable file of a run that are not registered; the last file has the most."""
    registry = _registry(_view(task))
    for file in reversed(task.files):
        try:
            snapshot = task.read(file)
            needed = [segment for histogram in snapshot.values() for segment, _ in segments_of(histogram, registry)]
        except (SnapshotError, MemoryError):
            continue
        return [segment for segment in needed if segment.offset < 0]
    return []


def convert_run(task: RunTask) -> RunResult:
    """Decode the files of a run, merge them with its stored rows, and write the cells of all new or moved rows.

    Rows are put in order of time. Of several snapshots at one time with equal content one is kept. If the contents
    differ, files of other names and other numbers of entries are rows of their own, the later with more entries; of
    others the one with more entries is kept, and the other is quarantined. So the order of arrival never changes the
    result. Memory is bounded by 64 rows. If segments are not registered, nothing is written and they are in the result.
    If the memory does not suffice, the run stays as it is, and its files are quarantined.
    """
    try:
        return _converted(task)
    except MemoryError:
        _per_thread.__dict__.clear()
        reason = (
            f"not enough free memory for 64 snapshots of run {task.run}; free some, run fewer --workers, or leave out "
            "large histograms with --exclude or --max-cells"
        )
        return RunResult(task, quarantine=[quarantine_line(file, f"{file.source}: {reason}") for file in task.files])


def _converted(task: RunTask) -> RunResult:
    result = RunResult(task)
    view = _view(task)
    stored = view.rows(task.run_index) if view and task.run_index >= 0 else None
    merged = _MergedRows(task, result, view, stored)
    rows: list[_MergedRow] = []
    block = _Block(task, _registry(view), first=0)
    order = view.order(task.run_index) if view and stored else np.array([], dtype=np.int64)  # in chunks or tail
    for row, snapshot in merged:
        moved = snapshot is not None or order[row.stored_at] != len(rows)
        if moved and not block.rows:
            block.first = len(rows)
        result.moved |= moved and snapshot is None
        rows.append(row)
        if snapshot is not None:
            row.layout = block.add(snapshot, result)
        elif block.rows or moved:
            block.add_stored(view, row.stored_at)
        if len(block.rows) and (block.first + len(block.rows)) % TIME_CHUNK == 0 and not result.unregistered:
            block.flush()
        if result.unregistered:
            block.rows.clear()
    if result.unregistered:
        return result
    if block.rows:
        block.flush()
    block.close()
    result.rows, result.layouts = _assemble(task, rows, stored)
    fresh = [number for number, row in enumerate(rows) if row.stored_at < 0]
    result.added = len(fresh)
    result.unchanged = int(np.count_nonzero(RowFlag.UNCHANGED.is_set(result.rows.flags[fresh])))
    return result


@dataclass
class _MergedRow:
    """One row of the merged run: from the store, at row ``stored_at``, or new (-1)."""

    time: int
    digest: bytes
    provenance: Provenance
    flags: int
    stored_at: int
    layout: tuple[int, ...] = ()

    @property
    def entries(self) -> float:
        return self.provenance.entries

    @property
    def source(self) -> str:
        return self.provenance.source


_Candidate = tuple[_MergedRow, Snapshot | None]


class _MergedRows:
    """Stored rows and new files in order of time, one row per time; iterating decodes the files.

    Several snapshots that have one time by their names or headers are spread over the second after it.
    """

    def __init__(self, task: RunTask, result: RunResult, view: SubsystemReader | None, stored: RunRows | None) -> None:
        self.task, self.result = task, result
        self.stored: dict[int, list[_MergedRow]] = {}
        if stored is not None and view is not None:
            for number in range(len(stored)):
                layout = view.layouts.layouts[stored.layout[number]]
                provenance = Provenance.from_json(stored.provenance[number])
                time, digest = int(stored.time[number]), stored.digest[number].tobytes()
                row = _MergedRow(time, digest, provenance, int(stored.flags[number]), number, layout)
                self.stored.setdefault(provenance.nominal or time, []).append(row)
        self.files: dict[int, list[SourceFile]] = {}
        for file in task.files:
            self.files.setdefault(file.time, []).append(file)

    def __iter__(self) -> Iterator[_Candidate]:
        times = sorted(self.stored.keys() | self.files.keys())
        for time, following in zip(times, [*times[1:], times[-1] + _SECOND], strict=True):
            rows = self._rows_at(time)
            step = min(_SECOND, following - time) // max(len(rows), 1)
            for number, (row, snapshot) in enumerate(rows):
                row.time = time + number * step
                row.provenance.nominal = time if number else 0
                yield row, snapshot

    def _rows_at(self, time: int) -> list[_Candidate]:
        """The different snapshots of one time, in order of their entries: the later has more."""
        rows: list[_Candidate] = [(row, None) for row in self.stored.get(time, [])]
        for file in sorted(self.files.get(time, []), key=lambda file: file.source):
            try:
                snapshot = self.task.read(file)
            except SnapshotError as error:
                lasting = not isinstance(error.__cause__, OSError | MemoryError)
                limits = self.task.limits if isinstance(error.__cause__, OverBudget) else None
                self.result.quarantine.append(quarantine_line(file, str(error), lasting=lasting, limits=limits))
                continue
            problems = snapshot.problems.items()
            self.result.quarantine += [quarantine_line(file, reason, name) for name, reason in problems]
            for class_name, objects in NotStored.by_class(snapshot.unsupported).items():
                noted = self.result.not_stored
                noted[class_name] = objects.joined(noted.get(class_name), self.task.run)
            if not snapshot:
                if not problems and not self.task.select and not self.task.exclude:
                    others = ", ".join(sorted(set(snapshot.unsupported.values()))) or "nothing"
                    reason = f"no histogram in the file; it contains {others}"
                    self.result.quarantine.append(quarantine_line(file, reason, lasting=True))
                continue
            self.result.taken.append(file.source)
            self._add(rows, self._new_row(file, snapshot), snapshot, file)
        return sorted(rows, key=lambda pair: (pair[0].entries, pair[0].digest))

    def _new_row(self, file: SourceFile, snapshot: Snapshot) -> _MergedRow:
        provenance = Provenance(
            source=file.source, parsed=file.parsed, size=file.size, mtime=file.mtime, mode=file.mode,
            timezone=self.task.timezone, entries=snapshot.entries, unsupported=len(snapshot.unsupported),
            rename=list(self.task.renaming.rules),
        )  # fmt: skip
        return _MergedRow(file.time, snapshot.digest, provenance, RowFlag.AMBIGUOUS_TIME * file.ambiguous, -1)

    def _add(self, rows: list[_Candidate], row: _MergedRow, snapshot: Snapshot, file: SourceFile) -> None:
        """Add a snapshot to those of its time, unless it is one of them.

        It is one of them if the content is the same, or the name, or if by their entries neither is the later.
        """
        for known, _ in rows:
            if known.digest == row.digest:
                self.result.duplicates += 1
                known.provenance.duplicates.append(file.key)
                return
        for number, (known, _) in enumerate(rows):
            increments = self.task.accumulation == Accumulation.RESET  # of which none is the later
            same_entries = known.entries == row.entries and not increments
            if known.provenance.parsed == row.provenance.parsed or same_entries:
                settled = settle(known, row)
                assert settled is not None, "equal contents were found above"
                winner, loser, reason = settled
                lost = replace(file, source=loser.source)
                self.result.quarantine.append(quarantine_line(lost, reason, superseded=True))
                winner.provenance.duplicates += loser.provenance.files
                if winner is row:
                    rows[number] = row, snapshot
                return
        rows.append((row, snapshot))


class _Block:
    """Up to 64 consecutive rows in memory, ready to be written."""

    def __init__(self, task: RunTask, registry: Registry, first: int) -> None:
        self.task, self.registry, self.first = task, registry, first
        self.rows: list[Any] = []
        self._arrays: dict[str, NDArray[Any]] = {}
        self._memory: dict[str, NDArray[Any]] = vars(_per_thread).pop("memory", {})  # from the run before, all zero
        self._stored: dict[int, dict[str, NDArray[Any]]] = {}

    def _row(self, array: str) -> NDArray[Any]:
        if array not in self._arrays:
            size = TIME_CHUNK * self.registry.size(array)
            if array not in self._memory or self._memory[array].size < size:
                self._memory[array] = np.zeros(size, dtype=_DTYPES[array])
            self._arrays[array] = self._memory[array][:size].reshape(TIME_CHUNK, -1)
        return self._arrays[array][len(self.rows) - 1]

    def add(self, snapshot: Snapshot, result: RunResult) -> tuple[int, ...]:
        """Add the cells of a snapshot; returns its layout. Unregistered segments go to ``result``."""
        self.rows.append(None)
        layout = []
        target: dict[str, NDArray[Any]] = {}
        for histogram in snapshot.values():
            for segment, values in segments_of(histogram, self.registry):
                if segment.offset < 0:
                    result.unregistered.append(segment)
                elif not result.unregistered:
                    layout.append(self.registry.number(segment))
                    if segment.array != SAME:
                        if segment.array not in target:
                            target[segment.array] = self._row(segment.array)
                        target[segment.array][segment.cells] = values
        return tuple(layout)

    def add_stored(self, view: SubsystemReader | None, row: int) -> None:
        """Add the cells of a row of the store."""
        assert view is not None, "a row of the store without a store"
        self.rows.append(None)
        first = row // TIME_CHUNK * TIME_CHUNK
        if first not in self._stored:  # reads a chunk of rows, and keeps only the last chunk
            rows = np.arange(first, min(first + TIME_CHUNK, int(view.per_run["n_rows"][self.task.run_index])))
            widths = {array: min(view.group_size(array), self.registry.size(array)) for array in _DTYPES}
            cells = {
                array: view.stored_cells(array, self.task.run_index, rows, slice(0, n))
                for array, n in widths.items()
                if n
            }
            self._stored = {first: cells}
        for array, block in self._stored[first].items():
            self._row(array)[: block.shape[1]] = block[row - first]

    def flush(self) -> None:
        for array, block in self._arrays.items():
            rows = block[: len(self.rows)]
            write_cells(self.task.fork, self.task.subsystem, array, self.task.run_index, self.first, rows)
            rows[:] = 0
        self.rows.clear()

    def close(self) -> None:
        """Pass the memory on to the next run: fresh pages cost more than the copies into them."""
        vars(_per_thread)["memory"] = self._memory


def _assemble(
    task: RunTask, rows: Sequence[_MergedRow], stored: RunRows | None
) -> tuple[RunRows, list[tuple[int, ...]]]:
    """The rows as the store lists them, and the layouts that their ``layout`` indexes."""
    layouts: dict[tuple[int, ...], int] = {}
    numbers = [layouts.setdefault(tuple(sorted(row.layout)), len(layouts)) for row in rows]
    digests = np.array([np.frombuffer(row.digest, dtype=np.uint8) for row in rows], dtype=np.uint8).reshape(-1, 16)
    flags = np.array([row.flags & ~RowFlag.UNCHANGED for row in rows], dtype=np.uint8)
    flags |= np.uint8(RowFlag.UNCHANGED) * unchanged(digests)
    modes = [row.provenance.mode for row in rows]
    return RunRows(
        time=np.array([row.time for row in rows], dtype=np.int64),
        layout=np.array(numbers, dtype=np.int32),
        flags=flags,
        digest=digests,
        provenance=tuple(row.provenance.to_json() for row in rows),
        mode=next(filter(None, modes), stored.mode if stored else ""),
        accumulation=task.accumulation,
    ), list(layouts)


def _view(task: RunTask) -> SubsystemReader | None:
    reader = Store.open(task.location).reader(task.version)
    return reader.subsystem(task.subsystem) if task.subsystem in reader.registered else None


def _registry(view: SubsystemReader | None) -> Registry:
    return view.registry if view else Registry()


def known_files(provenance: Sequence[str]) -> set[FileKey]:
    """The files behind the rows of a run, duplicates included; they need not be read again."""
    return {file for line in provenance for file in Provenance.from_json(line).files}
