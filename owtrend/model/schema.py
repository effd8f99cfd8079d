"""Names of dims, coords and attributes of labelled histograms, and the checks where they enter a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from owtrend.errors import BinningChangedError, DimsError

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "AXES", "PARTS", "RECEIVED", "SNAPSHOT", "STATE", "TIME", "axes_of", "edge_at", "edges", "require_histogram",
    "require_same_bins", "time_dim",
]  # fmt: skip

TIME, SNAPSHOT = "time", "snapshot"  # dim of the rows of one run, and of the rows of many
RECEIVED = "entries_received"  # coord: entries of the whole histogram, where those in sums are of a region of it
STATE = "state"  # coord: what each row did, bits of `owtrend.model.rows.State`
AXES = ("x", "y", "z")
PARTS = ("contents", "sumw2", "sumwy", "sumwy2", "bin_entries", "bin_sumw2")


def axes_of(histogram: xr.Dataset) -> tuple[str, ...]:
    """Axis dims of a histogram."""
    return tuple(axis for axis in AXES if axis in histogram.dims)


def edges(histogram: xr.Dataset, axis: str) -> NDArray[np.float64]:
    """Bin edges, flow bins excluded, shape ``(bin + 1,)``."""
    every = np.append(histogram[f"{axis}_left"].values, histogram[f"{axis}_right"].values[-1])
    return every[np.isfinite(every)]


def edge_at(bounds: NDArray[np.float64], value: float) -> int | None:
    """Number of the bin edge at ``value``; None if there is none.

    A millionth of a bin is no difference: edges kept in float32 or typed by hand differ in the last digits.
    """
    nearest = int(np.abs(bounds - value).argmin())
    width = np.diff(bounds)[max(nearest - 1, 0) : nearest + 1].min()
    return nearest if abs(bounds[nearest] - value) <= 1e-6 * width else None


def time_dim(histogram: xr.Dataset) -> str:
    """Dim of its rows: ``time`` or ``snapshot``."""
    return SNAPSHOT if SNAPSHOT in histogram.dims else TIME


def require_histogram(histogram: xr.Dataset, *, rows: bool | None) -> None:
    """Raise DimsError unless this is a Dataset as from `Archive.histogram`, with or without ``rows`` (None: either)."""
    import xarray as xr  # here, for most of owtrend needs names alone

    variables = set(histogram.data_vars) if isinstance(histogram, xr.Dataset) else set()
    if "sums" not in variables or not {"contents", "sumwy"} & variables:
        found = f"{type(histogram).__name__} with {', '.join(map(str, variables)) or 'nothing'}"
        raise DimsError(
            f"expected a histogram as from archive.histogram(...), a Dataset with contents and sums; found {found}"
        )
    has_rows = {TIME, SNAPSHOT} & set(histogram.dims)
    if rows and not has_rows:
        raise DimsError(f"{histogram.attrs.get('name')}: no dim time or snapshot among {tuple(histogram.dims)}")
    if rows and 0 in histogram.sizes.values():
        raise DimsError(f"{histogram.attrs.get('name')}: no rows are left in it ({dict(histogram.sizes)})")
    if rows is False and has_rows:
        dim = next(iter(has_rows))
        raise DimsError(
            f"{histogram.attrs.get('name')}: still has {histogram.sizes[dim]} rows along {dim}; "
            "choose one with .isel or make one with owtrend.time_slice"
        )
    if rows and TIME in histogram.dims and (np.diff(histogram[TIME].values) <= np.timedelta64(0)).any():
        raise DimsError(f"{histogram.attrs.get('name')}: time does not strictly increase; sort it by .sortby('time')")


def require_same_bins(one: xr.Dataset, other: xr.Dataset) -> None:
    """Raise BinningChangedError unless two histograms have the same axes, bins, flow bins and labels."""
    names = f"{one.attrs.get('name')} and {other.attrs.get('name')}"
    axes, other_axes = axes_of(one), axes_of(other)
    if axes != other_axes:
        raise BinningChangedError(f"{names}: axes {', '.join(axes)} and {', '.join(other_axes)}; expected the same")
    for axis in axes:
        first, second = ((h[f"{axis}_left"].values, h[f"{axis}_right"].values) for h in (one, other))
        near = 1e-9 * np.abs(first[1][np.isfinite(first[1])]).max()
        if first[0].shape != second[0].shape or not np.allclose(first, second, rtol=0, atol=near):
            found = " and ".join(f"{len(left)} in [{left[0]:g}, {right[-1]:g}]" for left, right in (first, second))
            raise BinningChangedError(
                f"{names}: bins of {axis} differ: {found}; expected the same, flow bins in both or in none; "
                "bring them together by owtrend.rebin"
            )
        labels = [h[f"{axis}_label"].values.tolist() for h in (one, other) if f"{axis}_label" in h.coords]
        if len(labels) == 2 and labels[0] != labels[1]:
            raise BinningChangedError(f"{names}: labels of {axis} differ: {labels[0]} and {labels[1]}")
