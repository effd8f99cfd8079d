"""The whole story on one screen: what changed -> trends and scores, as Dask graphs -> stored beside the data."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from owtrend.compute import cluster
from owtrend.compute.stale import stale_trends
from owtrend.compute.update_scores import rescore
from owtrend.config import Config, from_json
from owtrend.errors import NotFoundError
from owtrend.store.layout import TIME_CHUNK
from owtrend.store.reader import Reader, SubsystemReader
from owtrend.store.repository import Store
from owtrend.trends.run_trends import TrendArrays, cells_of, named, path_of, require_found, run_trends, settings_of

__all__ = ["ComputeSummary", "compute"]

BLOCK_BYTES = 2**27  # cells of one task and one chunk of rows
RUNS_PER_COMMIT = 32


@dataclass(frozen=True)
class TrendTask:
    """One run of one subsystem, one block of its histograms (their places in the registry's order)."""

    location: str
    version: str
    subsystem: str
    run: int
    first: int
    last: int
    names: tuple[str, ...]
    config: str


@dataclass
class ComputeSummary:
    """What one call of `compute` did; ``bytes`` is the size of the cells reduced, as float64."""

    runs: int = 0
    unchanged: int = 0
    trends: int = 0
    points: int = 0
    scored: int = 0
    bytes: int = 0
    seconds: float = 0.0


def compute(
    location: str | Path, *, config: Config | None = None, runs: Sequence[int] | None = None, force: bool = False,
    scores: bool = True, workers: int | None = None, scheduler: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> ComputeSummary:  # fmt: skip
    """Bring stored trends and scores up to date, for the runs that changed.

    Trends are `owtrend.trends.reductors.DEFAULT` of all histograms, scores those of `owtrend.outliers.monitor`.

    Parameters
    ----------
    config
        Further reductors, and where events are counted; kept in the store. None: that which the store has.
    runs
        Only these; None means all.
    force
        Also what has not changed.
    scores
        Whether to look for outliers, too.
    workers, scheduler
        See `owtrend.compute.cluster.runner`.
    progress
        Called with a word on what is being done, and how many tasks of how many are done.

    Raises
    ------
    StoreError
        If there is no such store, or another process computes on it.
    """
    began = time.perf_counter()
    store = Store.open(location)
    summary = ComputeSummary()
    say = progress or (lambda *_: None)
    with store.writer("derived") as begin:
        reader = store.reader()
        text = reader.config if config is None else config.model_dump_json()
        settings = from_json(text or "{}")
        names = {name: tuple(named(settings, name)) for name in reader.subsystems}
        if config is not None:
            for name in reader.subsystems:
                require_found(config, reader.subsystem(name), name)
        wanted = _wanted(reader, settings, runs, force, summary)
        tasks = [task for name, run in wanted for task in _tasks(reader, store.address, name, run, names[name], text)]
        transaction = begin()
        if text != reader.config:
            transaction.configure(text)
        for name in sorted({name for name, _ in wanted}):
            paths = [path_of(entry) for entry in reader.subsystem(name).registry.histograms.values()]
            transaction.prepare_trends(name, paths, names[name])
        transaction.commit("make room for trends")
        with cluster.runner(workers, scheduler, tasks=len(tasks)) as run_tasks:
            done = 0
            for first in range(0, len(wanted), RUNS_PER_COMMIT):
                batch = wanted[first : first + RUNS_PER_COMMIT]
                mine = [task for task in tasks if (task.subsystem, task.run) in batch]
                results: dict[tuple[str, int], list[tuple[int, TrendArrays]]] = {key: [] for key in batch}
                for task, arrays in run_tasks.map(_trends, mine):
                    results[task.subsystem, task.run].append((task.first, arrays))
                    done += 1
                    say("computing trends", done, len(tasks))
                transaction = begin()
                made: dict[str, dict[int, TrendArrays]] = {}
                for (name, run), blocks in results.items():
                    view = reader.subsystem(name)
                    run_index = view.run_index(run)
                    joined = _joined([arrays for _, arrays in sorted(blocks, key=lambda block: block[0])])
                    made.setdefault(name, {})[run_index] = joined
                    summary.points += int(np.isfinite(joined["value"]).sum())
                for name, of_runs in made.items():
                    revision = reader.subsystem(name).per_run["revision"]
                    revisions = {run_index: int(revision[run_index]) for run_index in of_runs}
                    transaction.write_trends(name, names[name], of_runs, revisions, settings_of(settings, name))
                transaction.commit(f"trends of {len(batch)} runs")
            if scores:
                summary.scored = rescore(store, begin, run_tasks, settings, force=force, runs=runs, progress=say)
    summary.runs = len(wanted)
    summary.seconds = time.perf_counter() - began
    return summary


def _wanted(
    reader: Reader, config: Config, runs: Sequence[int] | None, force: bool, summary: ComputeSummary
) -> list[tuple[str, int]]:
    """Subsystem and run of what is to be computed."""
    wanted = []
    known = {run for name in reader.subsystems for run in reader.subsystem(name).run_indices}
    if missing := set(runs or ()) - known:
        raise NotFoundError(
            f"{reader.location}: no run {', '.join(map(str, sorted(missing)))}; `owtrend runs` lists them"
        )
    for name in reader.subsystems:
        view = reader.subsystem(name)
        stale = stale_trends(view, name, config)
        for run, run_index in sorted(view.run_indices.items()):
            if runs is not None and run not in runs:
                continue
            if force or run in stale:
                wanted.append((name, run))
                entries = view.registry.histograms.values()
                cells = sum(cells_of(entry) for entry in entries) * len(view.times(run_index))
                summary.bytes += 8 * cells
                summary.trends += len(view.registry.histograms)
            else:
                summary.unchanged += 1
    return wanted


def _tasks(
    reader: Reader, location: str, subsystem: str, run: int, names: tuple[str, ...], config: str
) -> list[TrendTask]:
    """One run in blocks of neighbouring histograms, of at most `BLOCK_BYTES` in a chunk of rows (one may be larger)."""
    view: SubsystemReader = reader.subsystem(subsystem)
    rows = min(len(view.times(view.run_index(run))), TIME_CHUNK)
    bounds, held = [0], 0
    entries = list(view.registry.histograms.values())
    for number, entry in enumerate(entries):
        size = 4 * rows * cells_of(entry)
        if held and held + size > BLOCK_BYTES:
            bounds.append(number)
            held = 0
        held += size
    bounds.append(len(entries))
    version = reader.version
    return [
        TrendTask(location, version, subsystem, run, first, last, names, config) for first, last in pairwise(bounds)
    ]


@lru_cache(maxsize=4)
def _reader(location: str, version: str) -> Reader:
    return Store.open(location).reader(version)


def _trends(task: TrendTask) -> tuple[TrendTask, TrendArrays]:
    view = _reader(task.location, task.version).subsystem(task.subsystem)
    entries = list(view.registry.histograms.values())[task.first : task.last]
    config = from_json(task.config or "{}")
    named(config, task.subsystem)  # which makes the reductors of its modules known
    return task, run_trends(view, task.run, entries, task.names, config, task.subsystem)


def _joined(blocks: list[TrendArrays]) -> dict[str, Any]:
    """The arrays of neighbouring blocks, joined along the histogram dim."""
    axes = {"run_value": 0, "run_error": 0}
    return {name: np.concatenate([block[name] for block in blocks], axis=axes.get(name, 1)) for name in blocks[0]}
