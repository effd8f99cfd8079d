"""Components of a detector, and the histograms or bins that each fills, learned from when these change.

A detector's components send their histograms in turn, every few minutes, so histograms of one component change in the
same snapshots, and none of them in others. Nothing else distinguishes them. Where several components fill one
histogram, each its own bins, the same is true of the bins.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from owtrend.display import DisplayedFields
from owtrend.errors import UsageError
from owtrend.histograms.time_slice import increments
from owtrend.kernels.components import grouping as kernels
from owtrend.model import schema

__all__ = ["Components", "bin_components", "component_table", "learn", "learn_cells"]

_LUCK = 1e-3
_ROUNDS = 6
_STRAY = 0.02  # fraction of a histogram's reports that may come while its component seems silent


@dataclass(frozen=True, eq=False, repr=False)
class Components(DisplayedFields):
    """A map from histograms, or the cells of one, to components.

    Parameters
    ----------
    labels
        Number of the component of each histogram, shape ``(histogram,)``; -1 where it never changed.
    reports
        Whether each component reported in each snapshot: any of its histograms changed; ``(snapshot, component)``.
    certain
        Whether the reports of each histogram would fit one of the components by chance less than once in a thousand
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

    The histogram with the most reports starts a component. Every other one joins the component whose reports contain
    nearly all of its own; if several do, the one that reports least often. A histogram that fits none starts a new
    component. Rarely filled histograms miss reports of their component, so they come last.

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
    reports_of: list[NDArray[np.bool_]] = []
    for histogram in np.argsort(-counts, kind="stable"):
        count, column = int(counts[histogram]), changed[:, histogram]
        if not count:
            continue
        best = -1
        for number, reports in enumerate(reports_of):
            stray = int((column & ~reports).sum())
            if stray <= _STRAY * count and (best < 0 or reports.sum() < reports_of[best].sum()):
                best = number
        if best < 0:
            reports_of.append(column.copy())
            best = len(reports_of) - 1
        labels[histogram] = best
    reports = np.zeros((snapshots, len(reports_of)), dtype=bool)
    for component in range(len(reports_of)):
        reports[:, component] = changed[:, labels == component].any(axis=1)
    known = np.flatnonzero(labels >= 0)
    if len(known):
        certain[known] = len(reports_of) * reports.mean(axis=0)[labels[known]] ** counts[known] < _LUCK
    return Components(labels, reports, certain)


def learn_cells(changed: NDArray[np.bool_]) -> Components:
    """Components from the snapshots in which the cells of one histogram changed.

    Rarely filled cells miss most reports of their component, so two of them seldom change together. So components start
    from what all busy cells do together, then each cell goes where its changes are likeliest. A component whose changes
    are all in reports of another is part of that one: some of its cells were dead for a time.

    Parameters
    ----------
    changed
        Whether each cell changed in each snapshot, shape ``(snapshot, cell)``; of several runs, one after the other.

    Returns
    -------
    :
        Components of cells. A cell is certain if it is also a thousand times likelier in its component than in any
        other.
    """
    snapshots, cells = changed.shape
    filled = np.flatnonzero(changed.any(axis=0))
    labels, certain = np.full(cells, -1, dtype=np.intp), np.zeros(cells, dtype=bool)
    if not len(filled):
        return Components(labels, np.zeros((snapshots, 0), dtype=bool), certain)
    cells_changed = changed[:, filled]
    group = np.zeros(len(filled), dtype=np.intp)
    for _ in range(_ROUNDS):  # until no group splits
        parts = _settled(cells_changed, _split(cells_changed, group))
        if parts.max() <= group.max():
            break
        group = parts
    group = _settled(cells_changed, kernels.alike(_seen(cells_changed, group), np.bincount(group))[group])
    group = _settled(cells_changed, kernels.merged(_seen(cells_changed, group), _STRAY, _LUCK)[group])
    seen = _seen(cells_changed, group)
    _, margin = kernels.assigned(cells_changed, seen, group)
    reports = kernels.support(seen)
    luck = seen.shape[1] * reports.mean(axis=0)[group] ** cells_changed.sum(axis=0)
    labels[filled], certain[filled] = group, (luck < _LUCK) & (margin > -np.log(_LUCK))
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
        From `Archive.histogram`, several runs: cumulative, read one run after the other. Profiles: bin entries.

    Raises
    ------
    UsageError
        For a gauge, such as a status map: its bins change without a report.
    """
    if histogram.attrs["gauge"]:
        raise UsageError(f"{histogram.attrs['name']}: a gauge; components are learned only from contents that add up")
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
    """Each group split into the parts seen in it alone; -1 for cells that are not needed for that."""
    parts, number = np.full_like(group, -1), 0
    for label in range(group.max() + 1):
        cells = np.flatnonzero(group == label)
        busiest, part = kernels.begun(changed[:, cells])
        parts[cells[busiest]] = number + part
        number += part.max() + 1
    return parts


def _settled(changed: NDArray[np.bool_], group: NDArray[np.intp]) -> NDArray[np.intp]:
    """Each cell in the component where its changes are likeliest; components renumbered from 0 by their cells."""
    for _ in range(30):
        best, _ = kernels.assigned(changed, _seen(changed, group), group)
        if (best == group).all():
            break
        group = best
    _, first, numbered = np.unique(group, return_index=True, return_inverse=True)
    order: NDArray[np.intp] = np.argsort(np.argsort(first))
    return order[numbered]


def _seen(changed: NDArray[np.bool_], group: NDArray[np.intp]) -> NDArray[np.float64]:
    """Number of cells of each group that changed in each snapshot."""
    return np.stack([changed[:, group == number].sum(axis=1) for number in range(group.max() + 1)], axis=1).astype(
        np.float64
    )
