"""Snapshots appended one by one, as a live detector sends them."""

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from benchmarks.inputs import Compare, Record, Source
from ingest import SnapshotReader
from owtrend.model.snapshot import Snapshot
from owtrend.store.append import appender
from owtrend.store.repository import Store


@pytest.fixture
def sets(source: Source) -> list[list[Snapshot]]:
    """Decoded snapshots of the first run: for each minute, one of every subsystem."""
    run = min(file.run for file in source.files)
    reader, minutes = SnapshotReader(), {}
    for file in sorted((file for file in source.files if file.run == run), key=lambda file: file.time):
        histograms = dict(reader.read(file.path).items())  # decoded here, so that only appending is timed
        minutes.setdefault(file.subsystem, []).append(replace(reader.read(file.path), histograms=histograms))
    return [list(together) for together in zip(*minutes.values(), strict=False)]


def folders(tmp_path: Path) -> Iterator[Path]:
    """A new folder each time."""
    return (tmp_path / str(number) for number in count())


def test_append_against_numpy(source: Source, sets: list[list[Snapshot]], compare: Compare, tmp_path: Path) -> None:
    """All sets of the first run into a new store, with a commit and a step of folding each, against `np.savez` of the
    same parts and sums, a file per snapshot.
    """
    new = folders(tmp_path)

    def ours() -> None:
        with appender(Store.create(next(new))) as live:
            for together in sets:
                live.append(together)
                live.fold(seconds=0)

    def theirs() -> None:
        folder = next(new)
        folder.mkdir()
        for number, together in enumerate(sets):
            for snapshot in together:
                arrays = [part for one in snapshot.values() for part in one.parts.values()]
                sums = [np.array(list(one.sums.values())) for one in snapshot.values()]
                np.savez(folder / f"{snapshot.subsystem}{number}", *arrays, *sums)

    histograms = [one for together in sets for snapshot in together for one in snapshot.values()]
    cells = sum(part.size for one in histograms for part in one.parts.values())
    compare(
        "appended and folded", source.label, ours, "savez", theirs, at_most=3, amount=cells / 1e6,
        rate_unit="M cells/s",
    )  # fmt: skip


def test_one_append(source: Source, sets: list[list[Snapshot]], record: Record, tmp_path: Path) -> None:
    """The 99th percentile of the time of one set, from the call to the commit, against its median."""
    seconds = []
    with appender(Store.create(tmp_path / "store")) as live:
        for number, together in enumerate(sets):
            began = time.perf_counter()
            live.append(together)
            if number:  # the first compiles
                seconds.append(time.perf_counter() - began)
            live.fold(seconds=0)
    slow, median = np.quantile(seconds, 0.99), np.median(seconds)
    record("one append, 99th percentile", source.label, slow, "s", "its median", median, target="< 0.1 s")


def test_price_of_safety(
    source: Source, sets: list[list[Snapshot]], record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The median time of one append that is on the disk when it returns, against one that need not be."""
    medians = {}
    for mode in ("never", "commit"):
        monkeypatch.setenv("OWTREND_SYNC", mode)
        os.sync()  # what others left to write
        seconds = []
        with appender(Store.create(tmp_path / mode)) as live:
            for together in sets:
                began = time.perf_counter()
                live.append(together)
                seconds.append(time.perf_counter() - began)
                live.fold(seconds=0)
        medians[mode] = float(np.median(seconds))
    record("one append, synced", source.label, medians["commit"], "s", "unsynced", medians["never"])
