"""Projections as users type them: axes, and ranges of the axes that are summed over."""

import json
import re
from typing import Any

import numpy as np
import xarray as xr

import owtrend
from owtrend.display import quoted
from owtrend.errors import UsageError
from owtrend.model import schema

__all__ = ["choices", "projected", "ranges", "region_text", "span", "summed_over"]

Ranges = dict[str, tuple[float, float] | str]  # a text is a label

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LABEL = re.compile(r'(?:([xyz])\s*=\s*)?("(?:[^"\\]|\\.){1,1200}")')
_PIECES = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,"]|")+')  # between commas, but for those in quotes
_RANGE = re.compile(rf"(?:([xyz])\s*=\s*)?({_NUMBER})\s*(?::|to)\s*({_NUMBER})")


def choices(histogram: xr.Dataset | None) -> list[str]:
    """Axes onto which a histogram can be projected; the first is the default.

    >>> choices(None)
    ['']
    """
    count = 0 if histogram is None else sum(axis in histogram.dims for axis in "xyz")
    return {2: ["", "x", "y"], 3: ["", "x", "y", "z", "xz", "yz"]}.get(count, [""])


def summed_over(histogram: xr.Dataset, axes: str) -> list[str]:
    """Axes that a projection onto ``axes`` sums over; for ``""`` the third axis, if there is one."""
    dims = [axis for axis in "xyz" if axis in histogram.dims]
    return [axis for axis in dims if axis not in (axes or dims[:2])]


def ranges(text: str, histogram: xr.Dataset, axes: str) -> Ranges:
    """The range of each axis that is summed over, moved to the nearest bin edges.

    Parameters
    ----------
    text
        Such as ``y=2:5, z=0:1``, or ``2:5`` for a single axis; ``y="label"`` for the bin with a label. A range of all
        bins counts as none.

    Raises
    ------
    UsageError
        If the text is not such a range; the message says what is expected.
    """
    summed, found = summed_over(histogram, axes), Ranges()
    spans = {axis: schema.edges(histogram, axis) for axis in summed}
    possible = region_text({axis: span(histogram, axis) for axis in summed})
    for piece in filter(None, (part.strip() for part in _PIECES.findall(text))):
        if not summed:
            raise UsageError("no axis is summed over; choose a projection first")
        if named := _LABEL.fullmatch(piece):
            axis = named[1] or (summed[0] if len(summed) == 1 else "")
            found[axis] = _label(histogram, axis if axis in summed else "", named[2], possible)
            continue
        match = _RANGE.fullmatch(piece)
        axis = (match[1] or (summed[0] if len(summed) == 1 else "")) if match else ""
        if match is None or axis not in summed:
            raise UsageError(f"{quoted(piece)} is not a range of a summed axis; give a part of {possible}")
        edges = spans[axis]
        bounds = np.clip([float(bound) for bound in match.group(2, 3)], edges[0], edges[-1])
        low, high = sorted(int(np.abs(edges - bound).argmin()) for bound in bounds)
        if low == high:
            high = min(low + 1, len(edges) - 1)
            low = high - 1
        if high - low < len(edges) - 1:
            found[axis] = float(edges[low]), float(edges[high])
    return found


def region_text(chosen: Ranges) -> str:
    """Ranges as the text that `ranges` reads.

    >>> region_text({"y": (2.0, 5.5)})
    'y=2:5.5'
    """
    texts = {
        axis: _quoted(ends) if isinstance(ends, str) else "{:g}:{:g}".format(*ends) for axis, ends in chosen.items()
    }
    return ",".join(f"{axis}={text}" for axis, text in texts.items())


def _quoted(label: str) -> str:
    return json.dumps(label, ensure_ascii=False)


def _label(histogram: xr.Dataset, axis: str, quoted: str, possible: str) -> str:
    """A label of a histogram, from its text in an address."""
    known = histogram[f"{axis}_label"].values.tolist() if f"{axis}_label" in histogram.coords else []
    try:
        label = str(json.loads(quoted))
    except ValueError:
        label = ""
    if not label or label not in known:
        raise UsageError(f"{quoted[:60]} is no label of {axis or 'one axis'}; give a part of {possible}")
    return label


def projected(content: xr.Dataset, axes: str, chosen: Ranges) -> xr.Dataset:
    """The histogram projected onto ``axes``, over the bins in range of the others; at most two axes remain."""
    summed = summed_over(content, axes)
    if not summed:
        return content
    kept = "".join(axis for axis in "xyz" if axis in content.dims and axis not in summed)
    wanted: dict[str, Any] = {
        axis: ends if isinstance(ends, str) else slice(*ends) for axis, ends in chosen.items() if axis in summed
    }
    return owtrend.project(content, kept, **wanted)


def span(histogram: xr.Dataset, axis: str) -> tuple[float, float]:
    """Low and high end of an axis."""
    return float(histogram[f"{axis}_left"].values[0]), float(histogram[f"{axis}_right"].values[-1])
