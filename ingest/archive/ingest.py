"""A whole archive of files -> store, on Dask: find, survey, register, convert, and commit in batches."""

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ingest import naming
from ingest.archive import convert
from ingest.archive.convert import RunResult, RunTask
from ingest.archive.find import FoundFiles, find_files
from ingest.archive.source_file import SourceFile
from ingest.limits import Limits
from ingest.renaming import Renaming
from owtrend.compute import cluster
from owtrend.display import DisplayedFields
from owtrend.errors import UsageError
from owtrend.model.registry import Layouts, Registry
from owtrend.model.rows import Accumulation, NotStored, Provenance, RunRows
from owtrend.store.quarantine import unreadable_files
from owtrend.store.reader import Reader
from owtrend.store.repository import Store
from owtrend.store.transaction import Transaction

__all__ = ["FoundFiles", "IngestSummary", "find_files", "ingest"]

Progress = Callable[[str, int, int], None]
_ACCUMULATION = {"cumulative": Accumulation.CUMULATIVE, "reset": Accumulation.RESET}


@dataclass(repr=False)
class IngestSummary(DisplayedFields):
    """Result of one call of `ingest`; ``bytes`` is the size of the files read."""

    store: str
    files: int = 0
    added: int = 0
    duplicates: int = 0
    unchanged: int = 0
    known: int = 0
    quarantined: int = 0
    runs: dict[str, list[int]] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)  # by reason in ``skipped`` one file, and why
    quarantine: list[str] = field(default_factory=list)
    not_stored: dict[str, dict[str, NotStored]] = field(default_factory=dict)  # by subsystem and class
    bytes: int = 0
    seconds: float = 0.0


def ingest(
    found: FoundFiles, location: str | Path, *, workers: int | None = None, scheduler: str | None = None,
    max_cells: int = 2**24, timezone: str = naming.CERN, accumulation: str = "cumulative",
    select: Sequence[str] = (), exclude: Sequence[str] = (), rename: Sequence[str] = (),
    limits: Limits | None = None, wait_for_workers: float = cluster.WAIT, progress: Progress | None = None,
) -> IngestSummary:  # fmt: skip
    """Ingest files into a store, which is created if it is missing. Ingesting twice changes nothing.

    Work is committed every few runs: after an interruption the next call goes on. A file or object that cannot be read
    is listed in the store's quarantine and does not stop the rest.

    Parameters
    ----------
    workers, scheduler, wait_for_workers
        See `owtrend.compute.cluster.runner`.
    max_cells
        Histograms with more cells (bins, flow included) are left out.
    limits
        All limits on what one file may take, instead of ``max_cells``. A file beyond them is quarantined.
    accumulation
        ``cumulative``: each file has everything since its run began; ``reset``: only what is new.
    select, exclude
        Shell patterns of ``<subsystem>/<histogram>``, such as ``EMC/*``. Only histograms that match one of ``select``
        and none of ``exclude`` are ingested. A snapshot is ingested once: a later call does not add what was left out.
    rename
        Rules ``PATTERN=REPLACEMENT`` for names of histograms, see `ingest.renaming`; before ``select`` and ``exclude``.
    progress
        Called with the current step, the number of files done, and of all files.

    Raises
    ------
    StoreLockedError
        If another process writes raw data to this store.
    UsageError
        If a run has another ``accumulation`` or ``rename`` than before, or two histograms would get the same name.
    """
    renaming = Renaming.compile(rename)
    if vague := [pattern for pattern in (*select, *exclude) if "/" not in pattern]:
        raise UsageError(f"{vague[0]!r} selects no histogram: expected <subsystem>/<histogram>, such as 'EMC/*'")
    began = time.perf_counter()
    limits = limits or Limits(max_cells)
    store = Store.open_or_create(location)
    summary = IngestSummary(str(location), files=len(found.files), skipped=dict(found.skipped), examples=found.examples)
    say = progress or (lambda *_: None)
    with store.writer("raw") as begin:
        reader = store.reader()
        tasks = [
            replace(task, select=tuple(select), exclude=tuple(exclude))
            for task in _tasks(found.files, reader, summary, store.address, limits, timezone, accumulation, renaming)
            if _may_hold(task.subsystem, select)
        ]
        total = sum(len(task.files) for task in tasks)
        with cluster.runner(workers, scheduler, tasks=len(tasks), wait_for_workers=wait_for_workers) as run:
            say("looking for new histograms", 0, total)
            registries = {name: reader.subsystem(name).registry for name in reader.registered}
            layouts = {name: reader.subsystem(name).layouts for name in reader.registered}
            unregistered = dict(run.map(_survey, tasks))
            done = 0
            while tasks:
                run_indices = _register(begin(), tasks, unregistered, registries)
                unregistered = {}
                again: list[RunTask] = []
                batch = 4 * run.workers
                for first in range(0, len(tasks), batch):
                    transaction: Transaction = begin()
                    version = str(transaction.session.snapshot_id)
                    ready = [
                        replace(task, fork=transaction.fork(), version=version,
                                run_index=run_indices.get(task.subsystem, {}).get(task.run, -1))
                        for task in tasks[first : first + batch]
                    ]  # fmt: skip
                    finished = []
                    for result in run.map(convert.convert_run, ready):
                        if result.unregistered:
                            again.append(replace(result.task, fork=None))
                            unregistered[_key(result.task)] = result.unregistered
                        else:
                            finished.append(result)
                            done += len(result.task.files)
                            say("converting", done, total)
                    _commit(transaction, sorted(finished, key=lambda r: _key(r.task)), layouts, summary)
                tasks = sorted(again, key=_key)
        transaction = begin()
        if found.quarantine:
            summary.quarantine += found.quarantine
            transaction.quarantine(found.quarantine)
            transaction.commit("list files without a readable header")
    summary.quarantined = len(summary.quarantine)
    summary.seconds = time.perf_counter() - began
    return summary


def _key(item: RunTask | SourceFile) -> tuple[str, int]:
    return item.subsystem, item.run


def _tasks(
    files: Sequence[SourceFile], reader: Reader, summary: IngestSummary, location: str, limits: Limits, timezone: str,
    accumulation: str, renaming: Renaming,
) -> list[RunTask]:  # fmt: skip
    """One task per subsystem and run with files that are not in the store yet, in that order."""
    groups: dict[tuple[str, int], list[SourceFile]] = {}
    for file in files:
        groups.setdefault((file.subsystem, file.run), []).append(file)
    tasks = []
    damaged = unreadable_files(reader.quarantine, str(limits))
    summary.quarantine += [damaged[file.key] for file in files if file.key in damaged]
    for (subsystem, run), members in sorted(groups.items()):
        known: set[Any] = set(damaged)
        if subsystem in reader.registered:
            view = reader.subsystem(subsystem)
            if run in view.run_indices:
                run_index = view.run_indices[run]
                provenance = view.provenance(run_index)
                known |= convert.known_files(provenance)
                other = view.per_run["accumulation"][run_index] != _ACCUMULATION[accumulation]
                new = any(f.key not in known for f in members)
                if other and new:
                    raise UsageError(
                        f"{location}: run {run} of {subsystem} was not ingested as {accumulation} before; "
                        "give the other --accumulation"
                    )
                before = tuple(Provenance.from_json(provenance[-1]).rename) if provenance else renaming.rules
                if before != renaming.rules and new:
                    options = " ".join(f"--rename {shlex.quote(rule)}" for rule in before) or "no --rename"
                    raise UsageError(f"{location}: run {run} of {subsystem} was ingested with {options}; give the same")
        fresh = tuple(sorted((f for f in members if f.key not in known), key=lambda f: (f.time, f.source)))
        summary.known += len(members) - len(fresh)
        summary.bytes += sum(file.size for file in fresh)
        if fresh:
            tasks.append(
                RunTask(
                    location=location, version=reader.version, subsystem=subsystem, run=run, run_index=-1, files=fresh,
                    limits=limits, timezone=timezone, renaming=renaming,
                    accumulation=_ACCUMULATION[accumulation],
                )
            )  # fmt: skip
    return tasks


def _may_hold(subsystem: str, select: Sequence[str]) -> bool:
    """Whether a subsystem can have selected histograms; if not, its files are not read."""
    subsystems = [pattern.partition("/")[0] for pattern in select]
    return not select or any(name == subsystem or set("*?[") & set(name) for name in subsystems)


def _survey(task: RunTask) -> tuple[tuple[str, int], list[Any]]:
    return _key(task), convert.survey(task)


def _register(
    transaction: Transaction, tasks: Sequence[RunTask], unregistered: dict[tuple[str, int], list[Any]],
    registries: dict[str, Registry],
) -> dict[str, dict[int, int]]:  # fmt: skip
    """Give new segments their cells, in order of subsystem and run, and enlarge the arrays for the new rows."""
    run_indices = {}
    for subsystem in sorted({task.subsystem for task in tasks}):
        run_tasks = [task for task in tasks if task.subsystem == subsystem]
        segments = [segment for task in run_tasks for segment in unregistered.get(_key(task), [])]
        registries[subsystem] = registries.get(subsystem, Registry()).extended(segments)
        if not registries[subsystem]:  # nothing readable: chunks would be sized for an empty detector for ever
            continue
        rows = max(len(task.files) + transaction.rows_of(subsystem, task.run) for task in run_tasks)
        runs = [task.run for task in run_tasks]
        run_indices[subsystem] = transaction.prepare(subsystem, registries[subsystem], runs, rows)
    transaction.commit("make room")
    return run_indices


def _commit(
    transaction: Transaction, finished: Sequence[RunResult], layouts: dict[str, Layouts], summary: IngestSummary
) -> None:
    """Make the runs of a batch visible at once."""
    transaction.merge([result.task.fork for result in finished if result.rows is not None])
    described: dict[str, dict[int, RunRows]] = {}  # by subsystem and run index
    for result in finished:
        task = result.task
        if result.rows is not None and (result.taken or result.moved):  # otherwise its rows are as they were
            known = layouts.setdefault(task.subsystem, Layouts())
            numbers = np.array([known.number(layout) for layout in result.layouts], dtype=np.int32)
            rows = replace(result.rows, layout=numbers[result.rows.layout])
            described.setdefault(task.subsystem, {})[task.run_index] = rows
            transaction.note_not_stored(task.subsystem, task.run, result.not_stored)
            summary.runs.setdefault(task.subsystem, []).append(task.run)
        transaction.quarantine(result.quarantine, result.taken)
        summary.quarantine += result.quarantine
        noted = summary.not_stored.setdefault(task.subsystem, {}) if result.not_stored else {}
        for class_name, objects in result.not_stored.items():
            noted[class_name] = objects.joined(noted.get(class_name), task.run)
        summary.added += result.added
        summary.duplicates += result.duplicates
        summary.unchanged += result.unchanged
    for subsystem, rows_of_runs in described.items():
        transaction.write_rows(subsystem, rows_of_runs, layouts[subsystem])
    if finished:
        first, last = finished[0].task, finished[-1].task
        transaction.commit(f"ingest {first.subsystem} run {first.run} to {last.subsystem} run {last.run}")
