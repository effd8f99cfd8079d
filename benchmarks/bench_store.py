"""Cells read out of a store, as a notebook and as the engine read them; a store of many runs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import owtrend
from benchmarks.inputs import Compare, Source
from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram
from owtrend.model.snapshot import Snapshot
from owtrend.store.append import appender
from owtrend.store.reader import SubsystemReader
from owtrend.store.repository import Store

_BLOCK = 2**18  # cells


def blocks(view: SubsystemReader) -> Iterator[NDArray[np.int32]]:
    """All integer bins of the first run, block after block, as the engine asks for them."""
    size = view.registry.size("counts")
    rows = np.arange(len(view.times(0)))
    for first in range(0, size, _BLOCK):
        yield view.cells("counts", 0, rows, slice(first, min(first + _BLOCK, size)))


def test_read_counts(source: Source, store: Path, compare: Compare, tmp_path: Path) -> None:
    """All integer bins of the largest subsystem's first run, all snapshots, as int32, as the engine reads them; against
    `np.load` of the same numbers, not compressed.
    """
    view = Store.open(store).reader().subsystem(source.largest[0].subsystem)
    whole = np.concatenate(list(blocks(view)), axis=1)
    np.save(tmp_path / "cells.npy", whole)
    compare(
        "all counts", source.label, lambda: sum(len(block) for block in blocks(view)), "np.load",
        lambda: np.load(tmp_path / "cells.npy"), amount=whole.size / 1e6, rate_unit="M cells/s",
        target=">= 400 M cells/s",
    )  # fmt: skip


RUNS = {"tiny": 3, "S": 3300, "M": 3300}


@pytest.fixture(scope="module")
def few_and_many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store of 3 runs of two small snapshots, and one with as many runs as Run 2 (if tiny, also 3)."""
    many = RUNS[request.config.getoption("--size", default="tiny")]
    folders = tmp_path_factory.mktemp("few"), tmp_path_factory.mktemp("many")
    for folder, runs in zip(folders, (3, many), strict=True):
        with appender(Store.create(folder / "store")) as live:
            for first in range(0, runs, 100):
                numbers = range(first, min(first + 100, runs))
                live.append([small_snapshot(300000 + run, minute) for run in numbers for minute in (1, 2)])
            live.fold(everything=True)
    return folders[0] / "store", folders[1] / "store"


def small_snapshot(run: int, minute: int) -> Snapshot:
    contents = minute * np.arange(102, dtype=np.int32)
    sums = dict.fromkeys(("entries", "tsumw", "tsumw2", "tsumwx", "tsumwx2"), float(contents.sum()))
    axes = (Axis.spaced(100, 0.0, 100.0),)
    histogram = Histogram(path=("h",), class_name="TH1I", axes=axes, parts={"contents": contents}, sums=sums)
    time = np.datetime64("2018-06-01T12:00", "ns") + np.timedelta64(minute, "m")
    return Snapshot(
        histograms={histogram.path: histogram}, subsystem="EMC", run=run, time=time, source=f"{run} {minute}"
    )


def test_one_run_among_many(few_and_many: tuple[Path, Path], compare: Compare) -> None:
    """Open a store of 3,300 runs (if tiny, 3) and read one histogram of one run, against a store of 3 runs."""
    few, many = few_and_many

    def read(store: Path) -> NDArray[np.int64]:
        return owtrend.open(store).histogram("EMC", "h", run=300001).contents.values

    np.testing.assert_array_equal(read(few), read(many))
    compare("open, one run", f"{len(owtrend.open(many).runs)} runs", lambda: read(many), "3 runs", lambda: read(few))


def test_all_runs_of_a_histogram(few_and_many: tuple[Path, Path], compare: Compare) -> None:
    """Open a store and prepare `Archive.histogram` over all its runs, against a store of 3 runs."""
    few, many = few_and_many

    def ready(store: Path) -> int:
        return owtrend.open(store).histogram("EMC", "h").sizes["snapshot"]

    where = f"{len(owtrend.open(many).runs)} runs"
    compare("open, all runs ready", where, lambda: ready(many), "3 runs", lambda: ready(few), target="< 1.5 s")


def test_two_rows_of_all(few_and_many: tuple[Path, Path], compare: Compare) -> None:
    """Read the first and the last snapshot of a histogram prepared so, against a store of 3 runs."""
    few, many = (owtrend.open(store).histogram("EMC", "h").contents for store in few_and_many)
    where = f"{many.sizes['snapshot'] // 2} runs"
    compare("two rows", where, lambda: many[[0, -1]].values, "3 runs", lambda: few[[0, -1]].values, target="< 0.06 s")
