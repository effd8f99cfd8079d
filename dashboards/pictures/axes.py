"""One axis of a histogram in a picture: title, true bin edges, labels, ticks and hover text."""

import json
from dataclasses import dataclass
from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr
from bokeh.models import CustomJSHover
from numpy.typing import ArrayLike, NDArray

from dashboards.pictures import theme

__all__ = ["BinAxis", "limits"]

MAX_LABELS = 36  # more do not fit below a picture: every second, third, ... is shown

_UNDER_CURSOR = """
const bin = Math.min(Math.max(Math.floor((special_vars.%(name)s - %(low)s) / %(width)s), 0), %(bins)s - 1)
const labels = %(labels)s
const edge = (number) => String(Number((%(low)s + number * %(width)s).toPrecision(6)))
return labels.length ? labels[bin] : `${edge(bin)} to ${edge(bin + 1)}`
"""


@dataclass(frozen=True, eq=False)
class BinAxis:
    """Bins from ``left`` to ``right``; ``labels`` has one per bin, or none at all.

    ``dimension`` is equal for the same axis of one histogram in one run. Pictures that share it are zoomed together.
    """

    dimension: hv.Dimension
    title: str
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    labels: tuple[str, ...]
    regular: bool

    @classmethod
    def from_histogram(cls, histogram: xr.Dataset, name: str) -> "BinAxis":
        """The axis ``name`` (x, y, z) of a histogram, given as from `Archive.histogram`, without flow bins."""
        labels, attrs = histogram.coords.get(f"{name}_label"), histogram.attrs
        owner = f"{attrs['subsystem']} {attrs['name']} in run {histogram['run'].item()}"
        return cls(
            dimension=hv.Dimension(name, label=f"{name} of {owner}"),
            title=theme.plain(str(histogram[name].attrs.get("long_name", ""))),
            left=histogram[f"{name}_left"].values,
            right=histogram[f"{name}_right"].values,
            labels=() if labels is None else tuple(theme.plain(str(label)) for label in labels.values),
            regular=name not in attrs["variable_axes"],
        )

    @property
    def edges(self) -> NDArray[np.float64]:
        return np.append(self.left, self.right[-1])

    @property
    def centres(self) -> NDArray[np.float64]:
        return (self.left + self.right) / 2

    @property
    def limits(self) -> tuple[float, float]:
        return float(self.left[0]), float(self.right[-1])

    def ticks(self, name: str) -> dict[str, Any]:
        """HoloViews options for the ticks of axis ``name``: bin labels at the bin centres, if there are any."""
        if not self.labels:
            return {}
        every = -(-len(self.labels) // MAX_LABELS)
        marked = list(zip(self.centres.tolist(), self.labels, strict=True))[::every]
        crowded = name == "x" and sum(len(label) + 2 for _, label in marked) > 60
        return {f"{name}ticks": marked, **({"xrotation": 45} if crowded else {})}

    def tooltip(self, low: str, high: str, name: str = "bin") -> tuple[str, str]:
        """A line of hover text: title (or ``name``), and the bin edges from the columns ``low`` and ``high``."""
        return self.title or name, f"@{{{low}}}{{%.6g}} to @{{{high}}}{{%.6g}}"

    def tooltips(self, low: str, high: str) -> list[tuple[str, str]]:
        """The same for a 1-D picture, with bin labels in the column ``label``."""
        return [(self.title or "bin", "@label")] if self.labels else [self.tooltip(low, high)]

    def under_cursor(self, name: str) -> CustomJSHover:
        """Formatter of ``$x`` or ``$y`` of an image: the bin under the cursor. For regular axes only."""
        low, high = self.limits
        bins = {"low": low, "width": (high - low) / len(self.left), "bins": len(self.left), "labels": list(self.labels)}
        return CustomJSHover(code=_UNDER_CURSOR % {"name": name, **{k: json.dumps(v) for k, v in bins.items()}})


def limits(
    values: ArrayLike, *, log: bool = False, zero: bool = False, padding: float = 0.06
) -> tuple[float, float]:  # fmt: skip
    """Finite, unequal limits around the finite ones of any values.

    ``zero`` keeps zero inside and leaves no room beyond it. ``log`` uses positive values only, with a factor of two as
    room.
    """
    finite = np.asarray(values, dtype=np.float64).ravel()
    finite = finite[np.isfinite(finite) & ((finite > 0) | (not log))]
    if not len(finite):
        return (0.5, 2.0) if log else (0.0, 1.0)
    low, high = float(finite.min()), float(finite.max())
    if log:
        return (low, high) if padding == 0 and low < high else (low / 2, high * 2)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        margin = abs(low) * 0.1 or 0.5
        return low - margin * (low != 0 or not zero), high + margin
    room = (high - low) * padding
    return low - room * (low != 0 or not zero), high + room * (high != 0 or not zero)
