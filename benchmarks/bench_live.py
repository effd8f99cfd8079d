"""A run that goes on: trends, findings and incidents after each set of snapshots, and at the end those of one pass."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs import Record, Source
from ingest import SnapshotReader
from ingest.archive.source_file import SourceFile
from owtrend.compute.compute import compute
from owtrend.compute.live import live
from owtrend.model.snapshot import Snapshot
from owtrend.store.append import appender
from owtrend.store.repository import Store
from owtrend.trends.reductors import DEFAULT

WRITE_EVERY = 16  # sets
EARLY, FEW = 100, 11  # the set that the last one is compared with; medians are of so many around each


def test_last_set_against_an_early_one(source: Source, record: Record, tmp_path: Path) -> None:
    """Seconds for one set of all subsystems, from appended snapshots to incidents, against an early one; at the end all
    is stored as by one pass over the run.
    """
    store = Store.create(tmp_path / "store")
    seconds, writing = [], []
    with appender(store) as raw, live(store) as engine:
        for number, together in enumerate(_sets(source)):
            raw.append(together)
            began = time.perf_counter()
            engine.take(together)
            engine.incidents()
            seconds.append(time.perf_counter() - began)
            raw.fold(seconds=0)
            if number % WRITE_EVERY == WRITE_EVERY - 1:
                began = time.perf_counter()
                engine.write()
                writing.append(time.perf_counter() - began)
        engine.write()
        raw.fold(everything=True)
    taken = _stored(store)
    began = time.perf_counter()
    compute(store.location, workers=0, force=True)
    whole = time.perf_counter() - began
    for name, values in _stored(store).items():
        np.testing.assert_array_equal(taken[name], values, err_msg=name)
    after = seconds[1:]  # the first compiles
    early, last = (float(np.median(part)) for part in (_around(after, EARLY), after[-FEW:]))
    slow, where = float(np.quantile(after, 0.99)), f"{source.label}, {len(seconds)} sets"
    record("the last set", where, last, "s", f"around the {EARLY}th", early, target=">= 0.67 x")
    record("one set, 99th percentile", where, slow, "s", "its median", float(np.median(after)), target="< 1 s")
    record("one pass over all", where, whole, "s", "all sets one by one", sum(seconds))
    if writing:
        record("write of 16 sets, median", where, float(np.median(writing)), "s", "the slowest", max(writing))


def _around(seconds: list[float], number: int) -> list[float]:
    at = min(number, len(seconds) - 1)
    return seconds[max(at - FEW // 2, 0) : at + FEW // 2 + 1]


def _sets(source: Source) -> Iterator[list[Snapshot]]:
    """Decoded snapshots of the first run: for each minute, one of every subsystem."""
    run, reader = min(file.run for file in source.files), SnapshotReader()
    minutes: dict[str, list[SourceFile]] = {}
    for file in sorted((file for file in source.files if file.run == run), key=lambda file: file.time):
        minutes.setdefault(file.subsystem, []).append(file)
    for files in zip(*minutes.values(), strict=False):
        yield [replace(snapshot, histograms=dict(snapshot.items())) for snapshot in map(reader.read, _paths(files))]


def _paths(files: tuple[SourceFile, ...]) -> list[str]:
    return [file.path for file in files]


def _stored(store: Store) -> dict[str, Any]:
    """All trends, scores and findings of the first run of each subsystem."""
    found: dict[str, Any] = {}
    for name in store.reader().subsystems:
        view = store.reader().subsystem(name)
        rows = slice(0, len(view.times(0)))
        every = slice(None)
        columns = [view.trends.reductors.index(reductor) for reductor in DEFAULT]  # a plug-in's come with one pass only
        for array in ("value", "error"):
            found[f"{name} {array}"] = view.trends.block(array, 0, rows, every, columns)
            found[f"{name} run_{array}"] = view.trends.block(f"run_{array}", 0, every, columns)
        found[f"{name} state"] = view.trends.block("state", 0, rows)
        for array in ("z", "total", "flagged", "threshold_of_row"):
            found[f"{name} {array}"] = view.scores.block(array, 0, rows)
        for array in ("null", "basis", "outcome"):
            found[f"{name} {array}"] = view.scores.block(array, 0)
        found[f"{name} findings"] = np.array(view.scores.lines([0]))
    return found
