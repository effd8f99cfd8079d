"""Trends and scores brought up to date: runs that changed -> tasks of one run and block of histograms -> the store."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from owtrend.compute import cluster
from owtrend.compute.live import Live
from owtrend.compute.stale import Stale, stale_reductors, stale_trends
from owtrend.compute.tasks import HistogramBlock, bin_count, blocks, join
from owtrend.compute.update_alarms import update_alarms
from owtrend.compute.update_incidents import rejoin
from owtrend.compute.update_scores import rescore
from owtrend.config import Config
from owtrend.config.alarms import AlarmConfig
from owtrend.detectors.trends import with_trends
from owtrend.display import DisplayedFields, quoted
from owtrend.errors import NotFoundError, UsageError
from owtrend.modules import Origin, import_local, other_code, require_same
from owtrend.quality.acceptance import accepted_lines
from owtrend.quality.journal import Journal
from owtrend.quality.notify.deliver import Picture, deliver
from owtrend.quality.rules.rule import compile_rules
from owtrend.store.layout import TIME_CHUNK
from owtrend.store.reader import Reader
from owtrend.store.repository import Store
from owtrend.store.transaction import Transaction
from owtrend.trends.run_trends import TrendArrays, path_of, run_trends
from owtrend.trends.settings import existing, kept_reductors, named_origins, own_reductors, settings_hash

__all__ = ["ComputeSummary", "compute"]

RunKey = tuple[str, int]  # subsystem and run

BLOCK_BYTES = 2**27  # cells of one task and one chunk of rows
RUNS_PER_COMMIT = 32

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrendTask:
    """The trends of one block of histograms in one run."""

    block: HistogramBlock
    run: int
    names: tuple[str, ...]
    config: Config
    own_reductors: Mapping[str, Origin]  # whose modules a worker imports; from this process, never from a store


@dataclass(repr=False)
class ComputeSummary(DisplayedFields):
    """Summary of one call of `compute`.

    ``bytes`` is the size of the reduced cells as float64, ``alarms`` how many are on, ``messages`` how many were sent.
    """

    runs: int = 0
    unchanged: int = 0
    trends: int = 0
    points: int = 0
    scored: int = 0
    alarms: int = 0
    messages: int = 0
    bytes: int = 0
    seconds: float = 0.0


def compute(
    location: str | Path, *, config: Config | None = None, runs: Sequence[int] | None = None, force: bool = False,
    scores: bool = True, tag: str | None = None, workers: int | None = None, scheduler: cluster.Scheduler | None = None,
    wait_for_workers: float = cluster.WAIT, progress: Callable[[str, int, int], None] | None = None,
    pictures: Picture | None = None,
) -> ComputeSummary:  # fmt: skip
    """Bring stored trends and scores up to date, for the runs that changed.

    Trends are `owtrend.trends.reductors.DEFAULT` of all histograms and those that plug-ins of detectors declare, scores
    those of `owtrend.outliers.monitor`.

    Parameters
    ----------
    config
        Further reductors, and where events are counted; kept in the store. Its modules are imported. None: that which
        the store has, of which no module is imported. What does not exist in it is reported and changes nothing.
    runs
        Only these; None means all.
    force
        Also what has not changed.
    scores
        Whether to look for outliers, too.
    tag
        Name of the version that results, which keeps it for good.
    workers, scheduler, wait_for_workers
        See `owtrend.compute.cluster.runner`.
    progress
        Called with a word on what is being done, and how many tasks of how many are done.
    pictures
        Draws the pictures of messages, see `owtrend.output.picture.picture_maker`; None: they have none.

    Raises
    ------
    StoreError
        If there is no such store, or another process computes on it.
    NotFoundError
        If a worker lacks a module of reductors, or has other code.
    UsageError
        If an expression of a rule means nothing.
    """
    began = time.perf_counter()
    store = Store.open(location)
    if tag is not None and tag in store.tags:
        raise UsageError(f"{store.location}: there is a tag {quoted(tag)} already; give another name")
    summary = ComputeSummary()
    say = progress or (lambda *_: None)
    alarms, journal = (AlarmConfig(), None) if config is None else (config.alarms, config.journal)
    kept = Journal(store.location, journal)
    with store.writer("derived") as begin:
        reader = store.reader()
        if config is not None:
            import_local(config.modules)
            compile_rules(config.rules, reader.own_reductors)
        base = reader.config if config is None else config
        wider = with_trends(base, reader)
        settings = existing(wider, reader, _log.warning)
        names = {name: tuple(kept_reductors(settings, name)) for name in reader.subsystems}
        own = own_reductors(settings)
        for sentence in other_code(named_origins(settings, reader.own_reductors), own):
            _log.warning("%s: %s", reader.location, sentence)
        wanted = _wanted(reader, settings, runs, force, summary)
        growing = _growing(reader, wanted, settings) if scores and not force else []
        wanted = [key for key in wanted if key not in growing]
        parts = {} if force else _parts(reader, settings, wanted, names)
        tasks = {
            (name, run): _tasks(reader, store.address, name, run, parts.get((name, run), names[name]), settings, own)
            for name, run in wanted
        }
        _make_room(
            begin(), reader, [*wanted, *growing], names, None if wider is base and config is None else wider,
            named_origins(settings, reader.own_reductors) | own,
        )  # fmt: skip
        total, done = sum(map(len, tasks.values())), 0
        with cluster.runner(workers, scheduler, tasks=total, wait_for_workers=wait_for_workers) as runner:
            for first in range(0, len(wanted), RUNS_PER_COMMIT):
                batch = wanted[first : first + RUNS_PER_COMMIT]
                found: dict[RunKey, dict[int, TrendArrays]] = {key: {} for key in batch}
                for task, arrays in runner.map(_trends, [task for key in batch for task in tasks[key]]):
                    found[task.block.subsystem, task.run][task.block.first] = arrays
                    done += 1
                    say("computing trends", done, total)
                trends = {
                    key: join([arrays for _, arrays in sorted(of_run.items())]) if of_run else {}
                    for key, of_run in found.items()
                }
                _write(begin(), reader, trends, names, parts, settings)
                summary.points += sum(int(np.isfinite(arrays["value"]).sum()) for arrays in trends.values() if arrays)
            if scores:
                accepted = accepted_lines(kept, reader)
                summary.scored = rescore(
                    store, begin, runner, settings, accepted=accepted, force=force, runs=runs, progress=say
                )
                if growing:
                    _go_on(Live(store, begin, journal), growing, say)
                    summary.scored += len(growing)
                rejoin(store.reader(), begin, accepted)
                if kept.writable:
                    status = update_alarms(store.reader(), kept, settings, alarms)
                    summary.alarms = sum(one.alarm.state.on for one in status.records)
        if tag is not None:
            store.tag(tag)
    if scores:
        delivered = deliver(kept, alarms, pictures=pictures)
        summary.messages = delivered.sent
        for name, problem in delivered.problems.items():
            _log.warning("a message to %s waits to be sent: %s", name, problem)
    summary.runs = len(wanted) + len(growing)
    summary.seconds = time.perf_counter() - began
    return summary


def _wanted(
    reader: Reader, config: Config, runs: Sequence[int] | None, force: bool, summary: ComputeSummary
) -> list[RunKey]:
    """Subsystem and run of what is to be computed; the summary is filled in."""
    wanted = []
    known = {run for name in reader.subsystems for run in reader.subsystem(name).run_indices}
    if missing := set(runs or ()) - known:
        raise NotFoundError(
            f"{reader.location}: no run {', '.join(map(str, sorted(missing)))}; `owtrend runs` lists them"
        )
    for name in reader.subsystems:
        view = reader.subsystem(name)
        stale = stale_trends(view, name, config)
        bins = sum(map(bin_count, view.registry.histograms.values()))
        for run, run_index in sorted(view.run_indices.items()):
            if runs is not None and run not in runs:
                continue
            if force or run in stale:
                wanted.append((name, run))
                summary.bytes += 8 * bins * len(view.times(run_index))
                summary.trends += len(view.registry.histograms)
            else:
                summary.unchanged += 1
    return wanted


def _parts(
    reader: Reader, config: Config, wanted: Sequence[RunKey], names: Mapping[str, Sequence[str]]
) -> dict[RunKey, tuple[str, ...]]:
    """The reductors to compute, for runs of which nothing but some reductors changed; perhaps none."""
    found: dict[RunKey, tuple[str, ...]] = {}
    for subsystem in dict.fromkeys(subsystem for subsystem, _ in wanted):
        stale = stale_trends(reader.subsystem(subsystem), subsystem, config)
        for run, some in stale_reductors(reader, subsystem, config, stale).items():
            found[subsystem, run] = tuple(name for name in names[subsystem] if name in some)
    return found


def _growing(reader: Reader, wanted: Sequence[RunKey], config: Config) -> list[RunKey]:
    """The latest run of each subsystem, if it goes on: it came live, or had trends of fewer rows before.

    Where only a setting changed, its rows are the same.
    """
    found = []
    for name, run in wanted:
        view = reader.subsystem(name)
        _, latest = max((int(view.per_run["start"][run_index]), one) for one, run_index in view.run_indices.items())
        if run != latest or stale_trends(view, name, config).get(run) not in (Stale.MISSING, Stale.DATA):
            continue
        if run in view.tail or view.trends.revisions[view.run_index(run)] > 0:
            found.append((name, run))
    return found


def _go_on(engine: Live, growing: Sequence[RunKey], say: Callable[[str, int, int], None]) -> None:
    """Bring runs that go on up to date: the new rows only, where the state of the others is kept."""
    for number, (name, run) in enumerate(growing, start=1):
        engine.go_on(name, run)
        say("going on", number, len(growing))
    engine.write(state=True)


def _tasks(
    reader: Reader, address: str, subsystem: str, run: int, names: tuple[str, ...], config: Config,
    own: Mapping[str, Origin],
) -> list[TrendTask]:  # fmt: skip
    """One run in blocks of histograms, of at most `BLOCK_BYTES` in a chunk of rows; none without reductors."""
    if not names:
        return []
    view = reader.subsystem(subsystem)
    rows = min(len(view.times(view.run_index(run))), TIME_CHUNK)
    sizes = (4 * rows * bin_count(entry) for entry in view.registry.histograms.values())
    return [
        TrendTask(block, run, names, config, own) for block in blocks(reader, address, subsystem, sizes, BLOCK_BYTES)
    ]


def _trends(task: TrendTask) -> tuple[TrendTask, TrendArrays]:
    view, histograms = task.block.open()
    require_same(task.own_reductors)
    return task, run_trends(view, task.run, histograms, task.names, task.config, task.block.subsystem)


def _make_room(
    transaction: Transaction, reader: Reader, wanted: Sequence[RunKey], names: Mapping[str, Sequence[str]],
    config: Config | None, origins: Mapping[str, Origin],
) -> None:  # fmt: skip
    """Commit a new configuration, and arrays that are large enough for the trends of these runs."""
    text = reader.config_json if config is None else config.model_dump_json()
    if (text, origins) != (reader.config_json, reader.own_reductors):
        transaction.configure(text, origins)
    for subsystem in sorted({subsystem for subsystem, _ in wanted}):
        paths = [path_of(entry) for entry in reader.subsystem(subsystem).registry.histograms.values()]
        transaction.trends(subsystem).prepare(paths, names[subsystem])
    transaction.commit("make room for trends")


def _write(
    transaction: Transaction, reader: Reader, trends: Mapping[RunKey, TrendArrays],
    names: Mapping[str, Sequence[str]], parts: Mapping[RunKey, Sequence[str]], config: Config,
) -> None:  # fmt: skip
    """Commit the trends of some runs, and what they are made from; of ``parts`` only these reductors."""
    for subsystem in dict.fromkeys(subsystem for subsystem, _ in trends):
        view, settings = reader.subsystem(subsystem), settings_hash(config, reader.subsystem(subsystem))
        writer = transaction.trends(subsystem)
        whole = {
            view.run_index(run): arrays for (name, run), arrays in trends.items()
            if name == subsystem and (name, run) not in parts
        }  # fmt: skip
        if whole:
            revisions = {run_index: int(view.per_run["revision"][run_index]) for run_index in whole}
            writer.write(names[subsystem], whole, revisions, settings)
        by_reductors: dict[tuple[str, ...], dict[int, TrendArrays]] = {}
        for (name, run), arrays in trends.items():
            if name == subsystem and (name, run) in parts:
                by_reductors.setdefault(tuple(parts[name, run]), {})[view.run_index(run)] = arrays
        for some, runs in by_reductors.items():
            writer.write_reductors(some, names[subsystem], runs, settings)
    transaction.commit(f"trends of {len(trends)} runs")
