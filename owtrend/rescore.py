"""Scores brought up to date: runs that changed, and those whose reference did, in order of time, as Dask graphs."""

import hashlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from owtrend import interruptions, rates, scoring, watch
from owtrend.cluster import Runner
from owtrend.flag import Flag
from owtrend.kernels import homogeneity
from owtrend.kernels import look as look_kernels
from owtrend.kernels import rates as rate_kernels
from owtrend.reader import Reader, SubsystemReader
from owtrend.scoring import NULL_RUNS, Rules, ScoreArrays, median_wait, threshold_of
from owtrend.store import Store
from owtrend.transaction import Transaction
from owtrend.trends import REPORTED, cells_of
from owtrend.watch import LOOKS, SCORES

__all__ = ["ALL_SCORES", "rescore", "score_version"]

ALL_SCORES = (*SCORES, "share", "rate")
RUNS_PER_BATCH = 32
BLOCK_CELLS = 2**19  # whose references of some runs a worker holds

Scored = list[tuple[int, ScoreArrays, list[Flag]]]


@dataclass(frozen=True)
class ScoreTask:
    """Some runs of one subsystem, in order of time, and a block of its histograms; none: the components."""

    location: str
    version: str
    subsystem: str
    runs: tuple[int, ...]
    before: tuple[int, ...]
    first: int
    last: int
    rules: Rules


@lru_cache
def score_version(rules: Rules) -> str:
    """Hash of the source and the rules that scores depend on, but for how many histograms there are."""
    modules = (watch, scoring, rates, interruptions, look_kernels, homogeneity, rate_kernels)
    source = f"{rules.budget} {rules.last} {rules.adapt_after}" + "".join(map(inspect.getsource, modules))
    return hashlib.blake2b(source.encode(), digest_size=8).hexdigest()


def rescore(
    store: Store, begin: Callable[[], Transaction], runner: Runner, rules: Rules, *, force: bool = False,
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
    code = score_version(rules)
    transaction = begin()
    for name in reader.subsystems:
        transaction.prepare_scores(name, len(reader.subsystem(name).registry.histograms), ALL_SCORES, LOOKS, code)
    transaction.commit("make room for scores")
    done: set[tuple[str, int]] = set()
    scored = 0
    while True:
        reader = store.reader()
        batches = {
            name: batch
            for name in reader.subsystems
            if (batch := _batch(reader.subsystem(name), runs, {run for of, run in done if of == name}, force))
        }
        if not batches:
            return scored
        tasks = [
            task
            for name, (chosen, before) in batches.items()
            for task in _tasks(reader, store.address, name, chosen, before, rules)
        ]
        results: dict[str, list[tuple[int, int, Scored]]] = {name: [] for name in batches}
        for number, (task, found) in enumerate(runner.map(_scores, tasks), start=1):
            results[task.subsystem].append((task.first, task.last, found))
            progress("scoring", number, len(tasks))
        transaction = begin()
        for name, (chosen, _) in batches.items():
            _write(transaction, reader.subsystem(name), name, chosen, results[name], rules)
            done |= {(name, run) for run in chosen}
            scored += len(chosen)
        transaction.commit(f"scores of {sum(len(chosen) for chosen, _ in batches.values())} runs")


def _in_time(view: SubsystemReader) -> list[int]:
    """Runs that have trends of what they are now, in order of time."""
    made = view.trend_revisions == view.per_run["revision"]
    places = [(int(view.per_run["start"][place]), run) for run, place in view.places.items() if made[place]]
    return [run for _, run in sorted(places)]


def _batch(
    view: SubsystemReader, only: Sequence[int] | None, done: set[int], force: bool
) -> tuple[list[int], list[int]] | None:
    """The next runs in a row that are to be scored, and those before them; None if all are up to date."""
    order = _in_time(view)
    origin = view.score_origin
    chosen: list[int] = []
    for number, run in enumerate(order):
        place = view.place(run)
        stale = (force and run not in done) or (
            origin["revision"][place] != view.per_run["revision"][place]
            or not np.array_equal(origin["basis"][place], _basis(view, order[:number], chosen))
        )
        wanted = stale and (only is None or run in only) and not (only is not None and run in done)
        if wanted:
            chosen.append(run)
        if chosen and (not wanted or len(chosen) == RUNS_PER_BATCH):
            break
    if not chosen:
        return None
    first = order.index(chosen[0])
    known = [
        run for run in order[:first] if origin["revision"][view.place(run)] == view.per_run["revision"][view.place(run)]
    ]
    return chosen, known[-NULL_RUNS:]


def _basis(
    view: SubsystemReader, before: Sequence[int], unknown: Sequence[int] = (), made: Mapping[int, bytes] | None = None
) -> NDArray[np.uint8]:
    """Digest of what the runs before gave to a run's references."""
    digest = hashlib.blake2b(digest_size=16)
    origin = view.score_origin
    for run in before[-NULL_RUNS:]:
        place = view.place(run)
        outcome = (made or {}).get(run, origin["outcome"][place].tobytes())
        digest.update(b"%d %d " % (run, view.per_run["revision"][place]))
        digest.update(b"?" if run in unknown else outcome)
    return np.frombuffer(digest.digest(), dtype=np.uint8)


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
    spans = [(0, 0), *pairwise([*bounds, len(entries)])]
    return [
        ScoreTask(location, reader.version, subsystem, tuple(chosen), tuple(before), first, last, rules)
        for first, last in spans
    ]


@lru_cache(maxsize=4)
def _reader(location: str, version: str) -> Reader:
    return Store.open(location).reader(version)


def _scores(task: ScoreTask) -> tuple[ScoreTask, Scored]:
    view = _reader(task.location, task.version).subsystem(task.subsystem)
    if task.first == task.last:
        found = list(rates.score_components(view, task.subsystem, task.runs, task.before, task.rules))
        return task, [
            (run, arrays, [*flags, *interruptions.interruptions(view, task.subsystem, run)])
            for run, arrays, flags in found
        ]
    entries = list(view.registry.histograms.values())[task.first : task.last]
    return task, list(scoring.score_runs(view, task.subsystem, task.runs, task.before, entries, task.first, task.rules))


def _write(
    transaction: Transaction, view: SubsystemReader, name: str, chosen: Sequence[int],
    results: Sequence[tuple[int, int, Scored]], rules: Rules,
) -> None:  # fmt: skip
    """The blocks of each run put together and written, with what they are made from."""
    order = _in_time(view)
    components = {run: (arrays, flags) for _, last, found in results if not last for run, arrays, flags in found}
    blocks = [found for _, last, found in sorted(results, key=lambda one: one[:2]) if last]
    arrays_of, lines, made_from, outcomes = {}, {}, {}, {}
    for number, run in enumerate(chosen):
        place = view.place(run)
        of_blocks = [found[number] for found in blocks]
        own, own_flags = components[run]
        z = np.concatenate([arrays["z"] for _, arrays, _ in of_blocks], axis=1)
        null = np.concatenate([arrays["null"] for _, arrays, _ in of_blocks], axis=0)
        arrays = {
            "z": np.concatenate([z, own["share"][..., None], own["rate"][..., None]], axis=2),
            "total": np.concatenate([arrays["total"] for _, arrays, _ in of_blocks], axis=1),
            "flagged": np.concatenate([arrays["flagged"] for _, arrays, _ in of_blocks], axis=1) | own["flagged"],
            "null": np.concatenate(
                [null, own["null"][:, :, None], np.full_like(own["null"][:, :, None], np.nan)], axis=2
            ),
        }
        digest = hashlib.blake2b(arrays["flagged"].tobytes() + arrays["null"].tobytes(), digest_size=16)
        outcomes[run] = digest.digest()
        flags = [*own_flags, *(flag for _, _, flags in of_blocks for flag in flags)]
        times = view.times(place)
        everything = slice(0, z.shape[1])
        wait = median_wait(times, view.trend_block("state", place, slice(0, len(times)), everything) & REPORTED > 0)
        arrays_of[place], lines[place] = arrays, [flag.to_json() for flag in flags]
        basis = _basis(view, order[: order.index(run)], made=outcomes).tobytes()
        made_from[place] = int(view.per_run["revision"][place]), basis, outcomes[run], threshold_of(rules, wait)
    transaction.write_scores(name, arrays_of, lines, made_from)
