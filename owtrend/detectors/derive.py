"""Derived histograms, made of time slices or of snapshots; and their trends."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.detectors.listing import DerivedHistogram
from owtrend.detectors.protocol import Projection, Range, Ratio
from owtrend.display import quoted
from owtrend.errors import UsageError
from owtrend.histograms.labelled import matched, values
from owtrend.histograms.projection import project
from owtrend.histograms.ratio import efficiency, ratio
from owtrend.model import schema
from owtrend.model.axis import Axis
from owtrend.trends.reductors import Reductor, parse

__all__ = ["made", "near_edges", "near_ranges", "projected", "source_reductor", "with_ranges"]

_ROWS = 16  # snapshots that are projected at once


def near_edges(edges: NDArray[np.float64], wanted: Range) -> Range:
    """A range moved to the nearest edges of bins, at least one bin wide; infinite ends stay."""
    low, high = wanted
    numbers = [int(np.abs(edges - end).argmin()) if np.isfinite(end) else None for end in (low, high)]
    if numbers[0] is not None and numbers[0] == numbers[1]:
        middle = (low + high) / 2
        numbers[0] = int(np.clip(np.searchsorted(edges, middle, side="right") - 1, 0, len(edges) - 2))
        numbers[1] = numbers[0] + 1
    first, last = (end if number is None else float(edges[number]) for end, number in zip(wanted, numbers, strict=True))
    return first, last


def near_ranges(axes: Sequence[Axis], ranges: Mapping[str, Range]) -> dict[str, Range]:
    """Ranges of some axes at edges of their bins, infinite ends at the last edge."""
    found = {}
    for letter, wanted in ranges.items():
        edges = axes["xyz".index(letter)].edges
        low, high = near_edges(edges, wanted)
        found[letter] = max(low, float(edges[0])), min(high, float(edges[-1]))
    return found


def projected(derived: DerivedHistogram, source: xr.Dataset, flow: bool = False) -> xr.Dataset:
    """A declared projection of a histogram, with rows in time or without, read when needed.

    Parameters
    ----------
    source
        With its flow bins.
    flow
        Keep those of the axes that remain.
    """
    declared = derived.declared
    assert isinstance(declared, Projection)
    rows = {name: _ROWS for name in (schema.TIME, schema.SNAPSHOT) if name in source.dims}
    ranges: dict[str, Any] = {
        letter: slice(*near_edges(schema.edges(source, letter), wanted)) for letter, wanted in declared.ranges.items()
    }
    result = project(source.chunk(rows) if rows else source, declared.axes, **ranges)
    if not flow:
        result = result.isel({axis: slice(1, -1) for axis in schema.axes_of(result)})
    words = ", ".join(f"{axis}={cut.start:g}:{cut.stop:g}" for axis, cut in ranges.items())
    summed = f"{derived.sources[0]} onto {declared.axes}" + (f", {words}" if words else "")
    return result.assign_attrs(
        name=derived.name, path=(derived.name,), title=derived.title, flow=flow, derived_from=summed
    )


def made(
    derived: DerivedHistogram, slice_of: Callable[[str], xr.Dataset], events: Callable[[xr.Dataset], float | None]
) -> xr.Dataset:
    """A derived histogram of one interval.

    Parameters
    ----------
    slice_of
        The time slice of a source, flow bins included.
    events
        The events in the time that a slice covers, by which contents of overlays are divided; None: they are not.

    Returns
    -------
    :
        A projection is a histogram without rows. An overlay has ``value`` and ``error`` over ``histogram`` and the
        bins, a ratio ``value`` and ``error``, as from `owtrend.ratio` or `owtrend.efficiency`.
    """
    declared = derived.declared
    if isinstance(declared, Projection):
        return projected(derived, slice_of(derived.sources[0]))
    parts = [_without_flow(slice_of(source)) for source in derived.sources]
    attributes = {"name": derived.name, "title": derived.title, "derived_from": ", ".join(derived.sources)}
    first, *others = parts
    if isinstance(declared, Ratio):
        divided = efficiency(first, others[0]) if declared.efficiency else ratio(first, others[0])
        return divided.assign_attrs(attributes)
    shown = []
    for part in parts:
        content = values(matched(part, first)[0]).compute()
        scale = events(part) or 1.0
        one = xr.Dataset({"value": content.value / scale, "error": np.sqrt(content.variance) / scale})
        shown.append(one.drop_vars(_OF_ONE, errors="ignore"))
    index = xr.DataArray([*derived.sources], dims="histogram", name="histogram")
    return xr.concat(shown, dim=index).assign_attrs(attributes)


# What differs from one histogram to another:
_OF_ONE = ("covers_from", "covers_to", "snapshots", "restarts", "gaps", "reported", "state")


def _without_flow(histogram: xr.Dataset) -> xr.Dataset:
    return histogram.isel({axis: slice(1, -1) for axis in schema.axes_of(histogram)}).assign_attrs(flow=False)


def source_reductor(derived: DerivedHistogram, spec: str, axes: Sequence[Axis]) -> str:
    """The reductor of the source that is a reductor of its projection: the same, in the range of the projection.

    Parameters
    ----------
    axes
        Of the source.

    Raises
    ------
    UsageError
        If it has no meaning for the projection.
    """
    single, declared = parse(spec), derived.declared
    if not isinstance(declared, Projection) or single.other or single.kind.custom:
        raise UsageError(f"{derived.name} is derived; a trend of it is one of a projection alone, such as mean_x")
    if (single.axis and single.axis not in declared.axes) or not set(single.ranges) <= set(declared.axes):
        raise UsageError(f"{quoted(spec)}: {derived.name} has the axes {', '.join(declared.axes)}")
    return with_ranges(single, near_ranges(axes, declared.ranges))


def with_ranges(single: Reductor, ranges: Mapping[str, Range]) -> str:
    """The name of a reductor in ranges of some axes."""
    words = [f"{letter}={low!r}:{high!r}" for letter, (low, high) in sorted(ranges.items())]
    if not words:
        return single.name
    inside = ",".join(words)
    return f"{single.name[:-1]},{inside})" if single.name.endswith(")") else f"{single.name}({inside})"
