"""Histograms with at most as many bins as a screen has pixels: neighbouring bins are merged where there are more."""

from typing import Any

import numpy as np
import xarray as xr

from owtrend.model import schema

__all__ = ["coarse"]

_MOST = {1: 4096, 2: 1024}  # bins along an axis, by number of axes


def coarse(content: xr.Dataset) -> xr.Dataset:
    """A histogram, without rows in time, of which neighbouring bins are added where an axis has too many to be seen.

    All merged bins of an axis are as wide, unless that would make them more than twice as wide as needed; then the last
    is narrower. Labelled axes stay as they are. ``merged`` in the attributes has the number of bins in one, by axis.
    """
    axes = schema.axes_of(content)
    merged = {}
    for axis in axes:
        size, most = content.sizes[axis], _MOST.get(len(axes), 256)
        if size > most and f"{axis}_label" not in content.coords:
            step = -(-size // most)
            even = next((wider for wider in range(step, 2 * step + 1) if size % wider == 0), step)
            content, merged[axis] = _merged(content, axis, even), even
            if size % even and axis not in content.attrs["variable_axes"]:
                content = content.assign_attrs(variable_axes=(*content.attrs["variable_axes"], axis))
    return content.assign_attrs(merged=merged)


def _merged(content: xr.Dataset, axis: str, step: int) -> xr.Dataset:
    """The same with each ``step`` neighbouring bins of an axis added, which every part of a histogram allows."""
    first = np.arange(0, content.sizes[axis], step)
    last = np.minimum(first + step, content.sizes[axis]) - 1
    left, right = content[f"{axis}_left"], content[f"{axis}_right"]
    edges = {"_left": left.values[first], "_right": right.values[last]}
    edges[""] = (edges["_left"] + edges["_right"]) / 2
    coords: dict[Any, Any] = {
        **{name: coord for name, coord in content.coords.items() if axis not in coord.dims},
        **{f"{axis}{end}": (axis, values, content[f"{axis}{end}"].attrs) for end, values in edges.items()},
    }
    parts = {
        name: (part.dims, np.add.reduceat(part.values, first, axis=part.dims.index(axis)), part.attrs)
        if axis in part.dims
        else part
        for name, part in content.data_vars.items()
    }
    return xr.Dataset(parts, coords=coords, attrs=content.attrs)
