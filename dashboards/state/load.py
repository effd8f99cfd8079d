"""Reads from an archive what a view shows: the histogram in each run, its trend, findings and reference."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import owtrend
from dashboards.state import interval
from owtrend.errors import BinningChangedError, OwtrendError

__all__ = ["Loaded", "histogram", "histogram_in", "subsystems", "trend"]

KEPT = 2**23  # bytes; a smaller histogram is kept in memory with all its snapshots


@dataclass(frozen=True, eq=False)
class Loaded:
    """Everything that was read for a view.

    Parameters
    ----------
    histograms
        Histograms of the subsystem in the run, as from `Archive.histograms`.
    cumulative
        The chosen histogram with its snapshots, an `xarray.Dataset`; None if there is nothing to show.
    further
        The same histogram in those of the other runs that have it.
    trend
        The reductor in all these runs, an `xarray.Dataset`; None if it has none.
    findings
        `Findings` of all these runs.
    reference
        `SliceReference` of the pulls; None unless they are shown.
    """

    histograms: pd.DataFrame = field(default_factory=pd.DataFrame)
    cumulative: Any = None  # these are Any, not optional: pages ask once whether there is something to show
    further: Mapping[int, xr.Dataset] = field(default_factory=dict)
    trend: Any = None
    findings: Any = None
    reference: Any = None

    @property
    def run(self) -> int:
        """The run of the chosen histogram."""
        return int(self.cumulative["run"].item())

    @property
    def edges(self) -> list[np.datetime64 | None]:
        """Possible ends of an interval: the run's start (None), then each snapshot."""
        return [None, *([] if self.cumulative is None else self.cumulative["time"].values)]

    def reductors(self, name: str) -> list[str]:
        """The reductors that are stored for a histogram; others are computed when they are asked for."""
        names = self.histograms.index.tolist()
        return list(self.histograms["reductors"].iloc[names.index(name)]) if name in names else []


def subsystems(archive: owtrend.Archive, run: int) -> list[str]:
    """The subsystems in a run."""
    return str(archive.runs.loc[run, "subsystems"]).split(", ")


def histogram(
    archive: owtrend.Archive, run: int, subsystem: str, path: tuple[str, ...], notes: list[str]
) -> xr.Dataset | None:  # fmt: skip
    """One histogram in one run, cumulative, in its last binning; None, and why in ``notes``, if it cannot be read."""
    try:
        found = archive.histogram(subsystem, path, run=run)
    except BinningChangedError:
        found = archive.histogram(subsystem, path, run=run, binning=-1)
        since, name = interval.text(found["time"].values[0])[-8:], found.attrs["name"]
        notes.append(f"{name} changed its binning during run {run}; the snapshots since {since} UTC are shown.")
    except OwtrendError as error:
        notes.append(str(error))
        return None
    # In memory a slice takes 2 ms instead of 10. The sums are small, and every slice needs all of them.
    return found.load() if found.nbytes <= KEPT else found.assign(sums=found["sums"].load())


def histogram_in(
    archive: owtrend.Archive, runs: Sequence[int], cumulative: xr.Dataset, known: Mapping[int, xr.Dataset],
    notes: list[str],
) -> Mapping[int, xr.Dataset]:  # fmt: skip
    """The same histogram in further runs, as far as they have it; ``known`` is not read again."""
    subsystem, path, found = cumulative.attrs["subsystem"], cumulative.attrs["path"], {}
    for run in runs:
        if run in known:
            found[run] = known[run]
        elif subsystem not in subsystems(archive, run):
            notes.append(f"Run {run} has no {subsystem}.")
        elif (further := histogram(archive, run, subsystem, path, notes)) is not None:
            found[run] = further
    return found


def trend(
    archive: owtrend.Archive, cumulative: xr.Dataset, runs: Sequence[int], reductors: Iterable[str], every: str,
    known: xr.Dataset | None, errors: list[str],
) -> tuple[str, xr.Dataset | None]:  # fmt: skip
    """The trend of the first of ``reductors`` that fits, and its full name; ``known`` if it is the same trend."""
    subsystem, path = cumulative.attrs["subsystem"], cumulative.attrs["path"]
    reductors = list(dict.fromkeys(filter(None, reductors)))
    for reductor in reductors:
        key = (subsystem, path, reductor, tuple(runs), every)
        if known is not None and known.attrs["key"] == key:
            return reductor, known
        which = {"run": runs[0]} if len(runs) == 1 else {"runs": list(runs)}
        try:
            found = archive.trend(subsystem, path, reductor, every=every or None, **which)
        except OwtrendError as error:
            errors.append(str(error))
            continue
        reductor = found.attrs["reductor"]  # "mean" is "mean_x"
        return reductor, found.assign_attrs(key=(subsystem, path, reductor, tuple(runs), every))
    return reductors[-1], None
