"""Scores brought up to date: runs that changed, and those whose reference did, in order of time, as Dask graphs."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from owtrend.compute.cluster import Runner
from owtrend.compute.stale import reference_digest, rules_of, runs_before, runs_in_time, stale_score
from owtrend.config import Config
from owtrend.model.finding import Finding
from owtrend.outliers import component_scores, histogram_scores, interruptions
from owtrend.outliers.component_scores import SHARE_NULLS
from owtrend.outliers.histogram_scores import NULLS, Rules, ScoreArrays, median_wait, threshold_of
from owtrend.outliers.monitor import LOOKS, SCORES
from owtrend.store.reader import Reader, SubsystemReader
from owtrend.store.repository import Store
from owtrend.store.transaction import Transaction
from owtrend.trends.run_trends import REPORTED, cells_of

__all__ = ["ALL_SCORES", "rescore"]

ALL_SCORES = (*SCORES, "fraction", "rate")
AXES = {"scores": ALL_SCORES, "looks": LOOKS, "nulls": (*NULLS, *SHARE_NULLS)}
RUNS_PER_BATCH = 32
BLOCK_CELLS = 2**17  # whose references of some runs a worker holds

Scored = list[tuple[int, ScoreArrays, list[Finding]]]


@dataclass(frozen=True)
class ScoreTask:
    """Some runs of one subsystem, in order of time, and a block of its histograms.

    Or none, and what was flagged of the bins of all: the components.
    """

    location: str
    version: str
    subsystem: str
    runs: tuple[int, ...]
    before: tuple[int, ...]
    first: int
    last: int
    rules: Rules
    flagged: Mapping[int, NDArray[np.uint8]] | None = None


def rescore(
    store: Store, begin: Callable[[], Transaction], runner: Runner, config: Config, *, force: bool = False,
    runs: Sequence[int] | None = None, progress: Callable[[str, int, int], None] = lambda *_: None,
) -> int:  # fmt: skip
    """How many runs x subsystems were scored.

    A run is scored again when it changed, or when one of the runs before it, which are its reference, did or was
    scored otherwise. Runs need their trends.

    Parameters
    ----------
    runs
        Only these, if given; what comes after them stays as it is.
    progress
        Called with a word on what is being done, and how many tasks of how many are done.
    """
    reader = store.reader()
    rules = rules_of(config, reader)
    transaction = begin()
    for name in reader.subsystems:
        transaction.prepare_scores(name, len(reader.subsystem(name).registry.histograms), AXES)
    transaction.commit("make room for scores")
    done: set[tuple[str, int]] = set()
    reached: dict[str, int] = {}
    scored = 0
    while True:
        reader = store.reader()
        batches = {}
        for name in reader.subsystems:
            mine = {run for of, run in done if of == name}
            batch = _batch(reader.subsystem(name), rules[name], runs, mine, force, reached.get(name, 0))
            if batch is not None:
                *batches[name], reached[name] = batch
        if not batches:
            return scored
        tasks = [
            task
            for name, (chosen, before) in batches.items()
            for task in _tasks(reader, store.address, name, chosen, before, rules[name])
        ]
        results: dict[str, list[tuple[int, Scored]]] = {name: [] for name in batches}
        for number, (task, found) in enumerate(runner.map(_scores, tasks), start=1):
            results[task.subsystem].append((task.first, found))
            progress("scoring", number, len(tasks))
        joined = {name: _joined(of_blocks) for name, of_blocks in results.items()}
        components = [
            ScoreTask(
                store.address, reader.version, name, tuple(chosen), tuple(before), 0, 0, rules[name],
                {run: arrays["flagged"] for run, (arrays, _) in joined[name].items()},
            )
            for name, (chosen, before) in batches.items()
        ]  # fmt: skip
        beside = {task.subsystem: found for task, found in runner.map(_scores, components)}
        transaction = begin()
        for name, (chosen, _) in batches.items():
            _write(transaction, reader.subsystem(name), name, joined[name], beside[name], rules[name])
            done |= {(name, run) for run in chosen}
            scored += len(chosen)
        transaction.commit(f"scores of {sum(len(chosen) for chosen, _ in batches.values())} runs")


def _batch(
    view: SubsystemReader, rules: Rules, only: Sequence[int] | None, done: set[int], force: bool, begin: int
) -> tuple[list[int], list[int], int] | None:  # fmt: skip
    """The next runs in a row that are to be scored, those before them, and where to go on; None if there are none.

    ``begin`` is the place in the order of time before which all is up to date.
    """
    order = runs_in_time(view)
    chosen: list[int] = []
    number = begin
    for number in range(begin, len(order)):
        run = order[number]
        stale = (force and run not in done) or stale_score(view, order, number, rules, chosen) is not None
        wanted = stale and (only is None or (run in only and run not in done))
        if wanted and run in rules.epochs and chosen:
            break
        if wanted:
            chosen.append(run)
        if chosen and (not wanted or len(chosen) == RUNS_PER_BATCH):
            break
    if not chosen:
        return None
    first = order.index(chosen[0])
    scored = view.score_origin["revision"] == view.per_run["revision"]
    return chosen, [run for run in runs_before(order, first, rules) if scored[view.run_index(run)]], first


def _tasks(
    reader: Reader, location: str, subsystem: str, chosen: Sequence[int], before: Sequence[int], rules: Rules
) -> list[ScoreTask]:
    view = reader.subsystem(subsystem)
    bounds, held = [0], 0
    entries = list(view.registry.histograms.values())
    for number, entry in enumerate(entries):
        size = cells_of(entry)
        if held and held + size > BLOCK_CELLS:
            bounds.append(number)
            held = 0
        held += size
    return [
        ScoreTask(location, reader.version, subsystem, tuple(chosen), tuple(before), first, last, rules)
        for first, last in pairwise([*bounds, len(entries)])
    ]


@lru_cache(maxsize=4)
def _reader(location: str, version: str) -> Reader:
    return Store.open(location).reader(version)


def _scores(task: ScoreTask) -> tuple[ScoreTask, Scored]:
    view = _reader(task.location, task.version).subsystem(task.subsystem)
    if task.flagged is not None:
        of_runs = task.runs, task.before, task.rules, task.flagged
        found = list(component_scores.score_components(view, task.subsystem, *of_runs))
        return task, [
            (run, arrays, [*flags, *interruptions.interruptions(view, task.subsystem, run)])
            for run, arrays, flags in found
        ]
    entries = list(view.registry.histograms.values())[task.first : task.last]
    return task, list(
        histogram_scores.score_runs(view, task.subsystem, task.runs, task.before, entries, task.first, task.rules)
    )


def _joined(of_blocks: Sequence[tuple[int, Scored]]) -> dict[int, tuple[ScoreArrays, list[Finding]]]:
    """The blocks of each run put together."""
    in_order = [found for _, found in sorted(of_blocks, key=lambda block: block[0])]
    made = {}
    for pieces in zip(*in_order, strict=True):
        axes = {"null": 0}
        arrays = {
            name: np.concatenate([arrays[name] for _, arrays, _ in pieces], axis=axes.get(name, 1))
            for name in pieces[0][1]
        }
        made[pieces[0][0]] = arrays, [flag for _, _, flags in pieces for flag in flags]
    return made


def _write(
    transaction: Transaction, view: SubsystemReader, name: str,
    bins: Mapping[int, tuple[ScoreArrays, list[Finding]]], components: Scored, rules: Rules,
) -> None:  # fmt: skip
    """Write the scores of some runs, with what they are made from."""
    order = runs_in_time(view)
    arrays_of, lines, made_from, outcomes = {}, {}, {}, {}
    for run, own, own_flags in components:
        run_index = view.run_index(run)
        of_bins, flags = bins[run]
        arrays = {
            "z": np.concatenate([of_bins["z"], own["fraction"][..., None], own["rate"][..., None]], axis=2),
            "total": of_bins["total"],
            "flagged": of_bins["flagged"] | own["flagged"],
            "null": np.concatenate([of_bins["null"], own["null"]], axis=2),
        }
        digest = hashlib.blake2b(arrays["flagged"].tobytes() + arrays["null"].tobytes(), digest_size=16)
        outcomes[run] = digest.digest()
        times = view.times(run_index)
        everything = slice(0, arrays["z"].shape[1])
        wait = median_wait(times, view.trend_block("state", run_index, slice(0, len(times)), everything) & REPORTED > 0)
        arrays_of[run_index], lines[run_index] = arrays, [flag.to_json() for flag in (*own_flags, *flags)]
        basis = reference_digest(view, runs_before(order, order.index(run), rules), made=outcomes).tobytes()
        made_from[run_index] = int(view.per_run["revision"][run_index]), basis, outcomes[run], threshold_of(rules, wait)
    transaction.write_scores(name, AXES, arrays_of, lines, made_from, rules.digest)
