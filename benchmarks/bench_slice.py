"""One histogram over one interval of one run, and one histogram of all runs, out of a store."""

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

import owtrend
from benchmarks import plain
from benchmarks.inputs import Compare, Size, Source
from ingest.archive.source_file import SourceFile


def cumulative(opened: owtrend.Archive, source: Source, histogram: str) -> xr.Dataset:
    """One histogram of the first run."""
    last = source.largest[-1]
    return opened.histogram(last.subsystem, histogram, run=last.run, flow=True)


def a_slice(opened: owtrend.Archive, source: Source, histogram: str) -> NDArray:
    """From a quarter to three quarters of the run, by the store."""
    whole_run = cumulative(opened, source, histogram)
    times = whole_run["time"].values
    return owtrend.time_slice(whole_run, times[len(times) // 4], times[3 * len(times) // 4])["contents"].values


def shown(opened: owtrend.Archive, source: Source, histogram: str) -> list[SourceFile]:
    """The files of the first run up to the last with new entries: unchanged ones after that are not shown."""
    times = set(cumulative(opened, source, histogram)["time"].values.astype(np.int64).tolist())
    return [file for file in source.largest if file.time in times]


def by_uproot(paths: list[str], histogram: str) -> NDArray:
    """The same from the two ROOT files that bound the interval, which are already known."""
    start, stop = paths[len(paths) // 4], paths[3 * len(paths) // 4]
    return plain.uproot_values(stop, histogram) - plain.uproot_values(start, histogram)


def label(source: Source, store: Path, histogram: str) -> str:
    cells = cumulative(owtrend.open(store), source, histogram)["contents"]
    return f"{source.label}, {' x '.join(map(str, cells.shape[1:]))} cells"


def test_warm_slice(source: Source, store: Path, histogram: str, compare: Compare) -> None:
    """The archive is open and its catalogue read; against uproot on the two ROOT files that bound the interval."""
    opened = owtrend.open(store)
    paths = [file.path for file in shown(opened, source, histogram)]
    np.testing.assert_array_equal(a_slice(opened, source, histogram), by_uproot(paths, histogram))
    compare(
        "warm slice", label(source, store, histogram), lambda: a_slice(opened, source, histogram), "uproot",
        lambda: by_uproot(paths, histogram), target="< 0.1 s",
    )  # fmt: skip


def test_cold_slice(source: Source, store: Path, histogram: str, compare: Compare) -> None:
    """The store is opened anew each time, in a running process, its files in the page cache; uproot as before."""
    paths = [file.path for file in shown(owtrend.open(store), source, histogram)]
    compare(
        "cold slice", label(source, store, histogram), lambda: a_slice(owtrend.open(store), source, histogram),
        "uproot", lambda: by_uproot(paths, histogram), target="< 0.3 s",
    )  # fmt: skip


def test_all_runs(source: Source, size: Size, store: Path, histogram: str, compare: Compare) -> None:
    """All snapshots of one histogram in all runs, as one array in memory; against uproot on all files of the
    subsystem.
    """
    opened, subsystem = owtrend.open(store), source.largest[-1].subsystem
    paths = [file.path for file in shown(opened, source, histogram)] * size.copies

    def ours() -> NDArray:
        return opened.histogram(subsystem, histogram, flow=True)["contents"].values

    def theirs() -> NDArray:
        return np.array([plain.uproot_values(path, histogram) for path in paths])

    np.testing.assert_array_equal(ours(), theirs())
    where = f"{label(source, store, histogram)}, {len(paths)} snapshots"
    compare("all runs", where, ours, "uproot", theirs)
