"""Which histograms are filled by one component, learned from when they change; which components did not report.

A detector's components send their histograms in turn, every few minutes, so histograms of one component change in the
same snapshots, and none of them in others. Nothing else tells them apart. Where several components fill one histogram,
each its own bins, the same is true of its bins.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from owtrend.errors import UsageError
from owtrend.histograms.difference import increments
from owtrend.kernels.components import grouping as kernels
from owtrend.model import schema

__all__ = ["Components", "bin_components", "component_table", "learn", "learn_cells"]

_LUCK = 1e-3
_ROUNDS = 6
_STRAY = 0.02  # share of a histogram's reports that may come in snapshots in which its component seems silent


@dataclass(frozen=True, eq=False)
class Components:
    """A map from histograms, or the cells of one, to components.

    Parameters
    ----------
    labels
        Number of the component of each histogram, shape ``(histogram,)``; -1 where it never changed.
    reports
        Whether each component reported in each snapshot: any of its histograms changed; ``(snapshot, component)``.
    certain
        Whether the reports of each histogram would fit one of so many components by luck less than once in a thousand
        times; shape ``(histogram,)``.
    """

    labels: NDArray[np.intp]
    reports: NDArray[np.bool_]
    certain: NDArray[np.bool_]

    @property
    def count(self) -> int:
        return int(self.reports.shape[1])

    def members(self, component: int) -> NDArray[np.intp]:
        """The histograms of a component."""
        return np.flatnonzero(self.labels == component)


def learn(changed: NDArray[np.bool_]) -> Components:
    """Components from the snapshots in which histograms changed.

    The histogram with the most reports begins a component. Every other joins the one in whose reports its own lie, with
    few enough of its own elsewhere; of several the one that reports least often, which explains most. What fits none
    begins a new one. Histograms that are filled rarely miss reports of their component, so they come last.

    Parameters
    ----------
    changed
        Whether each histogram changed in each snapshot, shape ``(snapshot, histogram)``; of several runs, one after the
        other.
    """
    snapshots, histograms = changed.shape
    labels = np.full(histograms, -1, dtype=np.intp)
    certain = np.zeros(histograms, dtype=bool)
    counts = changed.sum(axis=0)
    held: list[NDArray[np.bool_]] = []
    for histogram in np.argsort(-counts, kind="stable"):
        count, mine = int(counts[histogram]), changed[:, histogram]
        if not count:
            continue
        best = -1
        for number, reports in enumerate(held):
            stray = int((mine & ~reports).sum())
            if stray <= _STRAY * count and (best < 0 or reports.sum() < held[best].sum()):
                best = number
        if best < 0:
            held.append(mine.copy())
            best = len(held) - 1
        labels[histogram] = best
    reports = np.zeros((snapshots, len(held)), dtype=bool)
    for component in range(len(held)):
        reports[:, component] = changed[:, labels == component].any(axis=1)
    known = np.flatnonzero(labels >= 0)
    if len(known):
        certain[known] = len(held) * reports.mean(axis=0)[labels[known]] ** counts[known] < _LUCK
    return Components(labels, reports, certain)


def learn_cells(changed: NDArray[np.bool_]) -> Components:
    """Components from the snapshots in which the cells of one histogram changed.

    A cell that is filled rarely changes in some of the reports of its component only, and two such of one component
    hardly ever together. So components are begun by what all busy cells do together, then each cell goes where its
    changes are likeliest, and a component whose changes are all in reports of another is part of that: some of its
    cells were dead for a time. Cells that all change together are one component.

    Parameters
    ----------
    changed
        Whether each cell changed in each snapshot, shape ``(snapshot, cell)``; of several runs, one after the other.

    Returns
    -------
    :
        Of cells instead of histograms. A cell is certain if it is also a thousand times likelier in its component
        than in any other.
    """
    snapshots, cells = changed.shape
    filled = np.flatnonzero(changed.any(axis=0))
    labels, certain = np.full(cells, -1, dtype=np.intp), np.zeros(cells, dtype=bool)
    if not len(filled):
        return Components(labels, np.zeros((snapshots, 0), dtype=bool), certain)
    held = changed[:, filled]
    mine = np.zeros(len(filled), dtype=np.intp)
    for _ in range(_ROUNDS):  # until none falls apart
        parts = _settled(held, _split(held, mine))
        if parts.max() <= mine.max():
            break
        mine = parts
    mine = _settled(held, kernels.alike(_seen(held, mine), np.bincount(mine))[mine])
    mine = _settled(held, kernels.merged(_seen(held, mine), _STRAY, _LUCK)[mine])
    seen = _seen(held, mine)
    _, margin = kernels.assigned(held, seen, mine)
    reports = kernels.support(seen)
    luck = seen.shape[1] * reports.mean(axis=0)[mine] ** held.sum(axis=0)
    labels[filled], certain[filled] = mine, (luck < _LUCK) & (margin > -np.log(_LUCK))
    return Components(labels, reports, certain)


def component_table(reported: xr.DataArray) -> pd.DataFrame:
    """The component of each histogram, from the snapshots in which it reported; see `owtrend.Archive.components`."""
    found = learn(reported.values)
    counts = np.append(found.reports.sum(axis=0), 0)  # the last one is for histograms without a component, -1
    columns = {"component": found.labels, "certain": found.certain, "reports": counts[found.labels]}
    return pd.DataFrame(columns, index=pd.Index(reported["histogram"].values, name="name"))


def bin_components(histogram: xr.Dataset) -> xr.DataArray:
    """The component of each bin of a histogram, as `learn_cells` finds it, with ``certain`` as a coordinate.

    Parameters
    ----------
    histogram
        As `Archive.histogram` gives it, of several runs: cumulative, read one run after the other. Of a profile the
        entries of its bins are looked at.

    Raises
    ------
    UsageError
        If it is a gauge, such as a status map: its changes are no reports of its bins.
    """
    if histogram.attrs["gauge"]:
        raise UsageError(f"{histogram.attrs['name']}: a gauge; only contents that add up tell components by changes")
    part = "contents" if "contents" in histogram else "bin_entries"
    rows, axes = histogram[["contents", "sums"]] if part == "contents" else histogram, schema.axes_of(histogram)
    shape = tuple(histogram.sizes[axis] for axis in axes)
    changed = []
    for run in np.unique(histogram["run"]):
        gained = increments(rows.isel({schema.SNAPSHOT: np.flatnonzero(histogram["run"] == run)}))
        changed.append(gained[part].transpose(schema.SNAPSHOT, *axes).values.reshape(-1, int(np.prod(shape))) != 0)
    found = learn_cells(np.concatenate(changed))
    coords = {name: coord for name, coord in histogram.coords.items() if coord.dims and set(coord.dims) <= set(axes)}
    return xr.DataArray(
        found.labels.reshape(shape), dims=axes, coords={**coords, "certain": (axes, found.certain.reshape(shape))},
        name="component", attrs={"name": histogram.attrs["name"], "subsystem": histogram.attrs["subsystem"]},
    )  # fmt: skip


def _split(changed: NDArray[np.bool_], group: NDArray[np.intp]) -> NDArray[np.intp]:
    """Each group in the parts that it shows by itself; -1 for cells that it does not need for that."""
    parts, number = np.full_like(group, -1), 0
    for one in range(group.max() + 1):
        cells = np.flatnonzero(group == one)
        busiest, part = kernels.begun(changed[:, cells])
        parts[cells[busiest]] = number + part
        number += part.max() + 1
    return parts


def _settled(changed: NDArray[np.bool_], group: NDArray[np.intp]) -> NDArray[np.intp]:
    """Each cell in the component where its changes are likeliest, numbered anew from 0 by their cells."""
    for _ in range(30):
        best, _ = kernels.assigned(changed, _seen(changed, group), group)
        if (best == group).all():
            break
        group = best
    _, first, numbered = np.unique(group, return_index=True, return_inverse=True)
    order: NDArray[np.intp] = np.argsort(np.argsort(first))
    return order[numbered]


def _seen(changed: NDArray[np.bool_], group: NDArray[np.intp]) -> NDArray[np.float64]:
    """How many cells of each group changed in each snapshot."""
    return np.stack([changed[:, group == number].sum(axis=1) for number in range(group.max() + 1)], axis=1).astype(
        np.float64
    )
