"""Scores brought up to date: runs that changed, and those whose reference did, in order of time, as Dask graphs."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from owtrend.compute.cluster import Runner
from owtrend.compute.stale import reference_digest, runs_before, runs_in_time, score_settings, stale_score
from owtrend.compute.tasks import HistogramBlock, bin_count, blocks, join
from owtrend.config import Config
from owtrend.model.finding import Finding, Score, in_time
from owtrend.outliers import component_scores, histogram_scores, interruptions
from owtrend.outliers.component_scores import FRACTION_SUMMARIES
from owtrend.outliers.histogram_scores import SUMMARIES, ScoreArrays
from owtrend.outliers.monitor import COMPARISONS, SCORES
from owtrend.outliers.reference_pool import ScoreSettings
from owtrend.store.reader import Reader, SubsystemReader
from owtrend.store.repository import Store
from owtrend.store.transaction import Transaction
from owtrend.trends.run_trends import path_of

__all__ = ["ALL_SCORES", "AXES", "outcome_of", "rescore"]

ALL_SCORES = (*SCORES, Score.FRACTION.value, Score.RATE.value)
AXES = {"scores": ALL_SCORES, "looks": COMPARISONS, "nulls": (*SUMMARIES, *FRACTION_SUMMARIES)}
RUNS_PER_BATCH = 32
BLOCK_CELLS = 2**17  # whose references of some runs a worker holds

Scored = list[tuple[int, ScoreArrays, list[Finding]]]


@dataclass(frozen=True)
class ScoreTask:
    """The scores of one block of histograms in some runs, in order of time.

    With ``flagged``, which has by run what was flagged of the bins of all histograms, the scores of components.
    """

    block: HistogramBlock
    runs: tuple[int, ...]
    before: tuple[int, ...]
    settings: ScoreSettings
    flagged: Mapping[int, NDArray[np.uint8]] | None = None


def rescore(
    store: Store, begin: Callable[[], Transaction], runner: Runner, config: Config, *, accepted: Sequence[str] = (),
    force: bool = False, runs: Sequence[int] | None = None, progress: Callable[[str, int, int], None] = lambda *_: None,
) -> int:  # fmt: skip
    """Bring scores up to date; returns how many runs x subsystems were scored.

    A run is scored again when it changed, or when one of the runs before it, which are its reference, did or was
    scored otherwise, or an incident was accepted there. Runs need their trends.

    Parameters
    ----------
    accepted
        As of `owtrend.quality.acceptance.accepted_lines`.
    runs
        Only these, if given; what comes after them stays as it is.
    progress
        Called with a word on what is being done, and how many tasks of how many are done.
    """
    reader = store.reader()
    settings = score_settings(config, reader, accepted)
    prepared: dict[str, int] = {}  # number of histograms that have room
    done: set[tuple[str, int]] = set()
    reached: dict[str, int] = {}
    scored = 0
    while True:
        reader = store.reader()
        batches = {}
        for name in settings:  # a subsystem that came since then is for the next call
            mine = {run for of, run in done if of == name}
            batch = _batch(reader.subsystem(name), settings[name], runs, mine, force, reached.get(name, 0))
            if batch is not None:
                *batches[name], reached[name] = batch
        if not batches:
            return scored
        counts = {name: len(reader.subsystem(name).registry.histograms) for name in batches}
        if counts.items() - prepared.items():
            transaction = begin()
            for name, count in sorted(counts.items()):
                view = reader.subsystem(name)
                paths = list(
                    map(path_of, view.registry.histograms.values())
                )  # they came since `compute` began, perhaps
                transaction.trends(name).prepare(paths, view.trends.reductors)
                transaction.scores(name).prepare(count, AXES)
            transaction.commit("make room for scores")
            prepared |= counts
            continue  # with all runs of this room, also those before a histogram came
        tasks = [
            task
            for name, (chosen, before) in batches.items()
            for task in _tasks(reader, store.address, name, chosen, before, settings[name])
        ]
        results: dict[str, dict[int, Scored]] = {name: {} for name in batches}
        for number, (task, found) in enumerate(runner.map(_scores, tasks), start=1):
            results[task.block.subsystem][task.block.first] = found
            progress("scoring", number, len(tasks))
        joined = {
            name: _joined([found for _, found in sorted(of_blocks.items())]) for name, of_blocks in results.items()
        }
        components = [
            ScoreTask(
                HistogramBlock(store.address, reader.version, name, 0, len(reader.subsystem(name).registry.histograms)),
                tuple(chosen), tuple(before), settings[name],
                {run: arrays["flagged"] for run, (arrays, _) in joined[name].items()},
            )
            for name, (chosen, before) in batches.items()
        ]  # fmt: skip
        by_component = {task.block.subsystem: found for task, found in runner.map(_scores, components)}
        transaction = begin()
        for name, (chosen, _) in batches.items():
            _write(transaction, reader.subsystem(name), name, joined[name], by_component[name], settings[name])
            done |= {(name, run) for run in chosen}
            scored += len(chosen)
        transaction.commit(f"scores of {sum(len(chosen) for chosen, _ in batches.values())} runs")


def _batch(
    view: SubsystemReader, settings: ScoreSettings, only: Sequence[int] | None, done: set[int], force: bool, begin: int
) -> tuple[list[int], list[int], int] | None:  # fmt: skip
    """The next runs in a row that are to be scored, those before them, and where to go on; None if there are none.

    ``begin`` is the place in the order of time before which all is up to date. Runs that are stale only if those chosen
    leave something else to later runs than before are not among them: the next batch knows.
    """
    order = runs_in_time(view)
    chosen: list[int] = []
    number = begin
    for number in range(begin, len(order)):
        run = order[number]
        stale = (force and run not in done) or stale_score(view, order, number, settings) is not None
        wanted = stale and (only is None or (run in only and run not in done))
        if wanted and run in settings.epochs and chosen:
            break
        if wanted:
            chosen.append(run)
        if chosen and (not wanted or len(chosen) == RUNS_PER_BATCH):
            break
    if not chosen:
        return None
    first = order.index(chosen[0])
    scored = view.scores.revisions == view.per_run["revision"]
    return chosen, [run for run in runs_before(order, first, settings) if scored[view.run_index(run)]], first


def _tasks(
    reader: Reader, address: str, subsystem: str, chosen: Sequence[int], before: Sequence[int], settings: ScoreSettings
) -> list[ScoreTask]:
    """Some runs in blocks of histograms, of at most `BLOCK_CELLS`."""
    sizes = map(bin_count, reader.subsystem(subsystem).registry.histograms.values())
    return [
        ScoreTask(block, tuple(chosen), tuple(before), settings)
        for block in blocks(reader, address, subsystem, sizes, BLOCK_CELLS)
    ]


def _scores(task: ScoreTask) -> tuple[ScoreTask, Scored]:
    view, histograms = task.block.open()
    subsystem, runs = task.block.subsystem, (task.runs, task.before)
    if task.flagged is None:
        first = task.block.first
        return task, list(histogram_scores.score_runs(view, subsystem, *runs, histograms, first, task.settings))
    found = component_scores.score_components(view, subsystem, *runs, task.settings, task.flagged)
    return task, [
        (run, arrays, [*flags, *interruptions.interruptions(view, subsystem, run, task.settings.epochs)])
        for run, arrays, flags in found
    ]


def _joined(in_order: Sequence[Scored]) -> dict[int, tuple[ScoreArrays, list[Finding]]]:
    """The blocks of each run put together."""
    return {
        pieces[0][0]: (join([arrays for _, arrays, _ in pieces]), [flag for _, _, flags in pieces for flag in flags])
        for pieces in zip(*in_order, strict=True)
    }


def _write(
    transaction: Transaction, view: SubsystemReader, name: str,
    bins: Mapping[int, tuple[ScoreArrays, list[Finding]]], components: Scored, settings: ScoreSettings,
) -> None:  # fmt: skip
    """Write the scores of some runs, with what they are made from."""
    order = runs_in_time(view)
    numbers = {run: number for number, run in enumerate(order)}
    arrays_of, lines, made_from, outcomes = {}, {}, {}, {}
    for run, own, own_flags in components:
        run_index = view.run_index(run)
        of_bins, flags = bins[run]
        arrays = {
            "z": np.concatenate([of_bins["z"], own["fraction"][..., None], own["rate"][..., None]], axis=2),
            "total": of_bins["total"],
            "flagged": of_bins["flagged"] | own["flagged"],
            "threshold_of_row": own["threshold"],
            "null": np.concatenate([of_bins["null"], own["null"]], axis=2),
        }
        outcomes[run] = outcome_of(arrays["flagged"], arrays["null"])
        arrays_of[run_index] = arrays
        lines[run_index] = [finding.to_json() for finding in in_time((*own_flags, *flags))]
        basis = reference_digest(view, order, numbers[run], settings, made=outcomes)
        revision, threshold = int(view.per_run["revision"][run_index]), float(own["threshold"][-1])
        made_from[run_index] = revision, basis, outcomes[run], threshold
    transaction.scores(name).write(AXES, arrays_of, lines, made_from, settings.digest)


def outcome_of(flagged: NDArray[np.uint8], null: NDArray[np.float32]) -> bytes:
    """Digest of what a run leaves to later ones: which reports are good, and how much they scatter."""
    return hashlib.blake2b(flagged.tobytes() + null.tobytes(), digest_size=16).digest()
