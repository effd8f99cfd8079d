"""Which axes of a histogram are shown, and which bins of the others: as text, and as `owtrend.project` takes it."""

import re

import numpy as np
import xarray as xr

import owtrend
from owtrend.errors import UsageError
from owtrend.model import schema

__all__ = ["choices", "projected", "ranges", "region_text", "span", "summed_over"]

Ranges = dict[str, tuple[float, float]]

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"(?:([xyz])\s*=\s*)?({_NUMBER})\s*(?::|to)\s*({_NUMBER})")


def choices(histogram: xr.Dataset | None) -> list[str]:
    """Axes onto which it can be projected; the first is what is shown unless another is chosen.

    >>> choices(None)
    ['']
    """
    have = "" if histogram is None else "".join(axis for axis in "xyz" if axis in histogram.dims)
    return {2: ["", "x", "y"], 3: ["", "x", "y", "z", "xz", "yz"]}.get(len(have), [""])


def summed_over(histogram: xr.Dataset, axes: str) -> list[str]:
    """The axes that a projection onto ``axes`` has no more; of three shown as they are the last."""
    have = [axis for axis in "xyz" if axis in histogram.dims]
    return [axis for axis in have if axis not in (axes or have[:2])]


def ranges(text: str, histogram: xr.Dataset, axes: str) -> Ranges:
    """The range of each axis that is summed over, widened or narrowed to the nearest bin edges.

    Parameters
    ----------
    text
        Such as ``y=2:5, z=0:1``; ``2:5`` if there is only one such axis. A range of all bins counts as none.

    Raises
    ------
    UsageError
        If it is not that; the text says what is expected.
    """
    gone, found = summed_over(histogram, axes), Ranges()
    spans = {axis: schema.edges(histogram, axis) for axis in gone}
    told = region_text({axis: span(histogram, axis) for axis in gone})
    for piece in filter(None, (part.strip() for part in text.split(","))):
        if not gone:
            raise UsageError("no axis is summed over; choose a projection first")
        match = _RANGE.fullmatch(piece)
        axis = (match[1] or (gone[0] if len(gone) == 1 else "")) if match else ""
        if match is None or axis not in gone:
            raise UsageError(f"{piece!r} is no range of an axis that is summed over; give a part of {told}")
        edges = spans[axis]
        low, high = sorted(int(np.abs(edges - float(bound)).argmin()) for bound in match.group(2, 3))
        if low == high:
            high = min(low + 1, len(edges) - 1)
            low = high - 1
        if high - low < len(edges) - 1:
            found[axis] = float(edges[low]), float(edges[high])
    return found


def region_text(chosen: Ranges) -> str:
    """What `ranges` reads.

    >>> region_text({"y": (2.0, 5.5)})
    'y=2:5.5'
    """
    return ",".join(f"{axis}={low:g}:{high:g}" for axis, (low, high) in chosen.items())


def projected(content: xr.Dataset, axes: str, chosen: Ranges) -> xr.Dataset:
    """A histogram of at most two axes: onto ``axes``, of the bins in range of the others."""
    gone = summed_over(content, axes)
    if not gone:
        return content
    kept = "".join(axis for axis in "xyz" if axis in content.dims and axis not in gone)
    return owtrend.project(content, kept, **{axis: slice(*ends) for axis, ends in chosen.items() if axis in gone})


def span(histogram: xr.Dataset, axis: str) -> tuple[float, float]:
    """Where an axis begins and ends."""
    return float(histogram[f"{axis}_left"].values[0]), float(histogram[f"{axis}_right"].values[-1])
