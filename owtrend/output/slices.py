"""Writes the time slice of a subsystem as a ROOT file."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from owtrend.detectors.interval import subsystem_slice
from owtrend.display import DisplayedFields
from owtrend.histograms.subsystem_slice import Interval
from owtrend.model.histogram import display_name
from owtrend.output.whole_file import whole_file
from owtrend.store.repository import Store

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["SliceSummary", "export_slice", "write_histograms"]


@dataclass(frozen=True, kw_only=True, repr=False)
class SliceSummary(DisplayedFields):
    """Summary of `export_slice`.

    ``start`` and ``stop`` are UTC texts, ``start`` None where the slice counts since the run began. By name,
    ``widened`` has the class before and after, ``renamed`` the name in the file, ``partial`` the interval of histograms
    that are not in all snapshots, ``steps`` what happened other than gains and restarts. ``rebinned`` lists further
    binnings, ``absent`` histograms that are in no snapshot.
    """

    file: str
    run: int
    subsystem: str
    histograms: int
    start: str | None
    stop: str
    snapshots: int
    restarts: int
    gaps: int
    reported: int
    widened: dict[str, tuple[str, str]]
    rebinned: tuple[str, ...]
    renamed: dict[str, str]
    absent: tuple[str, ...]
    partial: dict[str, dict[str, Any]]
    steps: dict[str, tuple[str, ...]]


def export_slice(
    location: str | Path, run: int, subsystem: str, path: Path, start: Any = None, stop: Any = None, *,
    select: Sequence[str] = (),
) -> SliceSummary:  # fmt: skip
    """Write the time slice of every histogram of a subsystem as a ROOT file.

    The histograms are ROOT's own, with the classes chosen by `owtrend.histograms.subsystem_slice.time_slices`, in their
    original folders: ``GetBinContent``, ``GetBinError``, ``GetEntries``, ``GetMean``, ``GetStdDev`` are owtrend's
    numbers. Containers become folders. Drawing attributes, attached functions and the limits of a profile are not in
    the store.

    Raises
    ------
    StoreError, NotFoundError, UsageError
        If the store, run, subsystem, snapshot, histogram or the folder of the file does not exist.
    """
    from owtrend.output import root_writer

    made = subsystem_slice(Store.open(location).reader(), subsystem, run, start, stop, select=select)
    with whole_file(path) as unfinished:
        names = root_writer.write(unfinished, made.histograms)
    whole = _interval(made.interval)
    ends = ("start", "stop", "snapshots")
    return SliceSummary(
        file=str(path), run=run, subsystem=subsystem, histograms=len(made), **whole,
        widened={display_name(own): (before, made[own].class_name) for own, before in made.widened.items()},
        rebinned=tuple(map(display_name, made.rebinned)),
        renamed={display_name(own): display_name(name) for own, name in names.items() if own != name},
        absent=tuple(map(display_name, made.absent)),
        steps={
            display_name(own): interval.steps.words
            for own, interval in made.intervals.items() if interval.steps.words
        },
        partial={
            display_name(own): _interval(interval)
            for own, interval in made.intervals.items()
            if any(_interval(interval)[name] != whole[name] for name in ends)
        },
    )  # fmt: skip


def write_histograms(path: Path, histograms: Sequence["xr.Dataset"]) -> int:
    """Write labelled histograms without rows as ROOT's own, each by its name; returns how many."""
    from owtrend.histograms.labelled import to_hist
    from owtrend.model.histogram import Histogram
    from owtrend.output import root_writer

    made = {one.path: one for one in (Histogram.from_hist(to_hist(each), each.attrs["path"]) for each in histograms)}
    with whole_file(path) as unfinished:
        root_writer.write(unfinished, made)
    return len(made)


def _interval(interval: Interval) -> dict[str, Any]:
    """An interval as JSON holds it."""
    fields: dict[str, Any] = asdict(interval)
    del fields["steps"]
    for name in ("start", "stop"):
        fields[name] = None if np.isnat(fields[name]) else str(np.datetime_as_string(fields[name], "s"))
    return fields
