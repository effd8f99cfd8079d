"""The trends of all histograms from a store: mean, spread and entries of every increment, with errors."""

import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import owtrend
from benchmarks import plain
from benchmarks.inputs import Compare, Record, Size, Source
from benchmarks.peak import peaks
from ingest.archive import ingest
from owtrend.compute import compute
from owtrend.model.registry import COUNTS, WEIGHTS
from owtrend.store.repository import Store

# Measured for Overwatch with ROOT 6.40, 100 histograms, on a shared machine of two cores: CPU seconds per new file.
OVERWATCH_SECONDS = 4.4


def by_numpy(store: Path) -> None:
    deque(plain.numpy_trends(store), maxlen=0)


def gigabytes(store: Path) -> float:
    """Size of all cells of all snapshots as float64 [GB]."""
    reader = Store.open(store).reader()
    views = [reader.subsystem(name) for name in reader.subsystems]
    widths = [view.registry.size(COUNTS) + view.registry.size(WEIGHTS) for view in views]
    rows = [sum(len(view.times(run_index)) for run_index in view.run_indices.values()) for view in views]
    return 8e-9 * sum(width * count for width, count in zip(widths, rows, strict=True))


def check(store: Path) -> None:
    """A few stored means agree with NumPy's, up to the effect of binning: ROOT's are of the filled values."""
    opened = owtrend.open(store)
    for subsystem, run, name, ((mean, std), *_) in islice(plain.numpy_trends(store), 5):
        ours = opened.trend(subsystem, name, "mean", run=run)["value"].values
        known = np.isfinite(mean)
        assert np.all(np.abs(ours - mean)[known] <= 0.1 * std[known] + 1e-9)


def test_trends_on_threads(source: Source, size: Size, store: Path, compare: Compare) -> None:
    """All reductors of all histograms, stored, on the threads of this process, against NumPy in one thread: means and
    spreads of the increments of the same cells of the same store, not stored.
    """
    check(store)
    compare(
        "threads", f"{source.label}, {size.copies} times",
        lambda: compute.compute(store, force=True, scores=False, workers=0), "NumPy",
        lambda: by_numpy(store), amount=gigabytes(store), rate_unit="GB/s", target=">= 1 GB/s",
    )  # fmt: skip


def test_trends_on_two_workers(
    source: Source, size: Size, store: Path, compare: Compare, workers: Callable[[int], str]
) -> None:  # fmt: skip
    """The same on two worker processes that are already running, against one."""
    compare(
        "two workers", f"{source.label}, {size.copies} times",
        lambda: compute.compute(store, force=True, scores=False, scheduler=workers(2)), "one worker",
        lambda: compute.compute(store, force=True, scores=False, scheduler=workers(1)), amount=gigabytes(store),
        rate_unit="GB/s",
    )  # fmt: skip


def test_ingest_and_trends_against_overwatch(source: Source, record: Record, tmp_path: Path) -> None:
    """CPU seconds of ingest, all trends and all scores, against those noted for Overwatch on as many files of 100
    histograms. Overwatch also draws the newest snapshot each time, which owtrend does on request. Not measured in
    this run.
    """
    if source.histograms != 100:
        pytest.skip("Overwatch was measured on files of 100 histograms")
    seconds = []
    for number in range(3):
        began = time.process_time()
        ingest.ingest(ingest.FoundFiles(list(source.files)), tmp_path / f"store{number}", workers=0)
        compute.compute(tmp_path / f"store{number}", workers=0)
        seconds.append(time.process_time() - began)
    record(
        "ingest, trends, scores, CPU time", source.label, min(seconds), "s", "Overwatch, noted",
        OVERWATCH_SECONDS * len(source.files), target=">= 100 x",
    )  # fmt: skip


def test_peak_memory_of_trends(source: Source, size: Size, store: Path, record: Record, tmp_path: Path) -> None:
    """The whole process, modules included, against NumPy as above."""
    ours, theirs = peaks(["compute", "numpy"], store, tmp_path)
    record(
        "peak memory", f"{source.label}, {size.copies} times", ours, "B", "NumPy", theirs, target="< 2 GiB"
    )  # fmt: skip
