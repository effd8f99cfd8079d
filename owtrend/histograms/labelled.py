"""One histogram as xarray shows it: its rows over time, read when needed; its values and variances."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from owtrend.errors import BinningChangedError, DimsError
from owtrend.histograms.run_histogram import RunHistogram
from owtrend.lazy import LazyArray, by_run
from owtrend.model import schema
from owtrend.model.axis import DROPPED, Axis, common_axes, moved, targets
from owtrend.model.hist_conversion import as_hist
from owtrend.model.histogram import Histogram, bin_values, bin_variances, unfold

if TYPE_CHECKING:
    import hist

__all__ = ["axis_of", "labelled", "matched", "on_axes", "to_hist", "to_xarray", "values"]


_STATE = "bits of owtrend.model.rows.State"


class _Rows(LazyArray):
    """The rows of one part over one or more runs."""

    def __init__(self, pieces: Sequence[RunHistogram], part: str, flow: bool) -> None:
        self.pieces, self.part, self.flow = pieces, part, flow
        self.starts = np.cumsum([0, *(len(piece.rows) for piece in pieces)])
        self.dtype = np.dtype(np.float64)
        inner: tuple[int, ...] = (len(pieces[0].sum_names),)
        if part != "sums":
            self.dtype = np.result_type(*(piece.dtype(part) for piece in pieces))
            inner = tuple(len(axis) + 2 * flow for axis in pieces[0].axes)
        self.shape = (int(self.starts[-1]), *inner)

    def read(self, *wanted: NDArray[np.intp]) -> NDArray[Any]:
        rows, *bins = wanted
        out = np.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        for number, mine, own in by_run(self.starts, rows):
            piece = self.pieces[number]
            read = piece.read(self.part, own)
            if self.part != "sums":
                read = unfold(read, tuple(len(axis) + 2 for axis in piece.axes), self.flow)
            out[mine] = read
        for axis, chosen in enumerate(bins, start=1):
            if len(chosen) != out.shape[axis] or (np.diff(chosen) != 1).any():
                out = out.take(chosen, axis=axis)
        return out


class _States(LazyArray):
    """The states of the rows over one or more runs, which may have to be decided from cells."""

    def __init__(self, pieces: Sequence[RunHistogram]) -> None:
        self.pieces = pieces
        self.starts = np.cumsum([0, *(len(piece.rows) for piece in pieces)])
        self.dtype, self.shape = np.dtype(np.uint8), (int(self.starts[-1]),)

    def read(self, *wanted: NDArray[np.intp]) -> NDArray[Any]:
        out = np.empty(len(wanted[0]), dtype=self.dtype)
        for number, mine, own in by_run(self.starts, wanted[0]):
            out[mine] = self.pieces[number].states()[own]
        return out


def labelled(pieces: Sequence[RunHistogram], *, ragged: bool, flow: bool, subsystem: str) -> xr.Dataset:
    """Labelled, lazy view of some runs of one histogram."""
    if len(pieces) > 1:
        pieces = _on_common_axes(pieces)
    last = pieces[-1]
    dim = schema.SNAPSHOT if ragged else schema.TIME
    dims = schema.AXES[: len(last.axes)]
    parts = dict.fromkeys(part for piece in pieces for part in piece.parts)
    variables: dict[str, Any] = {}
    for part in (*parts, "sums"):
        lazy = indexing.LazilyIndexedArray(_Rows(pieces, part, flow))
        variables[part] = xr.Variable((dim, "sum") if part == "sums" else (dim, *dims), lazy)
    coords: dict[str, Any] = {schema.TIME: (dim, np.concatenate([p.times for p in pieces]), {"long_name": "UTC"})}
    coords["sum"] = list(last.sum_names)
    coords[schema.STATE] = xr.Variable(dim, indexing.LazilyIndexedArray(_States(pieces)), {"long_name": _STATE})
    if ragged:
        coords["run"] = (dim, np.repeat([p.run for p in pieces], [len(p.rows) for p in pieces]))
        coords["additive"] = (dim, np.repeat([p.additive for p in pieces], [len(p.rows) for p in pieces]))
    else:
        coords["run"], coords["additive"] = last.run, last.additive
    for name, axis in zip(dims, last.axes, strict=True):
        coords |= _axis_coords(name, axis, flow)
    segment = last.segment
    attributes: dict[str, Any] = {
        "subsystem": subsystem,
        "name": "/".join(segment.path),
        "path": segment.path,
        "class": segment.class_name,
        "title": segment.title,
        "gauge": segment.gauge,
        "error_option": segment.error_option,
        "flow": flow,
        "variable_axes": tuple(name for name, axis in zip(dims, last.axes, strict=True) if not axis.regular),
    }
    if not ragged and (changes := last.changes):
        attributes["changes"] = tuple(
            f"{np.datetime_as_string(time, 's').replace('T', ' ')} UTC: {words}" for time, words in changes
        )
    return xr.Dataset(variables, coords=coords, attrs=attributes)


def _on_common_axes(pieces: Sequence[RunHistogram]) -> list[RunHistogram]:
    """The runs of one histogram on common axes, labels in the order of the last run."""
    last = pieces[-1]
    axes = common_axes([piece.axes for piece in reversed(pieces)])
    for piece in pieces:
        alike = common_axes([last.axes, piece.axes]) is not None and piece.sum_names == last.sum_names
        if axes is None or not alike:
            raise BinningChangedError(
                f"{'/'.join(last.segment.path)}: its binning in run {piece.run} is not the one in run {last.run}; "
                "choose runs of one binning with runs=..."
            )
    return [piece.on(axes) for piece in pieces if axes is not None]


def _axis_coords(name: str, axis: Axis, flow: bool) -> dict[str, Any]:
    edges = np.concatenate([[-np.inf], axis.edges, [np.inf]]) if flow else axis.edges
    centres = np.concatenate([[-np.inf], axis.centres, [np.inf]]) if flow else axis.centres
    coords: dict[str, Any] = {
        name: (name, centres, {"long_name": axis.title}),
        f"{name}_left": (name, edges[:-1]),
        f"{name}_right": (name, edges[1:]),
    }
    if axis.labels:
        first = 0 if flow else 1
        numbers = range(first, first + len(centres))
        coords[f"{name}_label"] = (name, np.array([axis.labels.get(number, "") for number in numbers], dtype=object))
    return coords


def axis_of(histogram: xr.Dataset, letter: str) -> Axis:
    """One axis of a histogram, without flow bins."""
    labels = {}
    if f"{letter}_label" in histogram.coords:
        first = 0 if histogram.attrs.get("flow") else 1
        labels = {first + n: str(text) for n, text in enumerate(histogram[f"{letter}_label"].values) if text}
    return Axis(
        schema.edges(histogram, letter), regular=letter not in histogram.attrs.get("variable_axes", ()),
        title=str(histogram[letter].attrs.get("long_name", "")), labels=labels,
    )  # fmt: skip


def on_axes(histogram: xr.Dataset, axes: Sequence[Axis]) -> xr.Dataset:
    """A histogram on axes that it has in common with others (`owtrend.model.axis.common`)."""
    flow = bool(histogram.attrs.get("flow"))
    for letter, axis in zip(schema.axes_of(histogram), axes, strict=True):
        if (have := axis_of(histogram, letter)) == axis:
            continue
        to = targets(have, axis)
        if not flow:
            to = np.where((to > 0) & (to <= len(axis)), to - 1, DROPPED)[1:-1]
        parts = {}
        for name, part in histogram.data_vars.items():
            if letter in part.dims:
                parts[name] = xr.apply_ufunc(
                    moved, part.variable, kwargs={"dim": -1, "to": to, "size": len(axis) + 2 * flow},
                    input_core_dims=[[letter]], output_core_dims=[[letter]], exclude_dims={letter},
                    dask="parallelized", output_dtypes=[part.dtype], keep_attrs=True,
                    dask_gufunc_kwargs={"output_sizes": {letter: len(axis) + 2 * flow}, "allow_rechunk": True},
                ).transpose(*part.dims)  # fmt: skip
        histogram = histogram.drop_dims(letter).assign(parts).assign_coords(_axis_coords(letter, axis, flow))
    variable = tuple(name for name, axis in zip(schema.axes_of(histogram), axes, strict=True) if not axis.regular)
    return histogram.assign_attrs(variable_axes=variable)


def matched(one: xr.Dataset, other: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """Two histograms in the same bins: as they are, by label, or with bins merged as ROOT extends an axis.

    What is no sum of entries, such as a ratio, cannot be merged.

    Raises
    ------
    BinningChangedError
        If their bins differ otherwise.
    """
    try:
        schema.require_same_bins(one, other)
    except BinningChangedError:
        both = [[axis_of(h, letter) for letter in schema.axes_of(h)] for h in (one, other)]
        additive = all("sums" in h for h in (one, other)) and one.attrs.get("flow") == other.attrs.get("flow")
        axes = common_axes(both) if additive else None
        if axes is None:
            raise
        return on_axes(one, axes), on_axes(other, axes)
    return one, other


def to_xarray(histogram: Histogram, *, flow: bool = False) -> xr.Dataset:
    """A histogram of a file or a time slice, as `Archive.histogram` shows those in a store: one row, in memory."""
    dims = schema.AXES[: len(histogram.axes)]
    shape = tuple(len(axis) + 2 for axis in histogram.axes)
    variables: dict[str, Any] = {name: (dims, unfold(part, shape, flow)) for name, part in histogram.parts.items()}
    variables["sums"] = ("sum", np.array(list(histogram.sums.values()), dtype=np.float64))
    coords: dict[str, Any] = {"sum": list(histogram.sums)}
    for name, axis in zip(dims, histogram.axes, strict=True):
        coords |= _axis_coords(name, axis, flow)
    attributes = {
        "subsystem": "", "name": histogram.name, "path": histogram.path, "class": histogram.class_name,
        "title": histogram.title, "gauge": histogram.gauge, "error_option": histogram.error_option, "flow": flow,
        "variable_axes": tuple(name for name, axis in zip(dims, histogram.axes, strict=True) if not axis.regular),
    }  # fmt: skip
    return xr.Dataset(variables, coords=coords, attrs=attributes)


def values(histogram: xr.Dataset) -> xr.Dataset:
    """Values and variances of a histogram, of every row if it has several.

    ``value`` is the content [counts], or the mean per bin of a profile (NaN where empty); ``variance`` the squared bin
    error as ROOT's ``GetBinError`` gives it. Same dims as the parts.
    """
    if not {"contents", "sumwy"} & set(histogram.data_vars):
        raise DimsError("expected a histogram as archive.histogram(...) gives it, a Dataset with contents")
    parts: dict[str, Any] = {name: histogram[name] for name in schema.PARTS if name in histogram}
    value = bin_values(parts)
    variance = value.copy(data=bin_variances({k: v.values for k, v in parts.items()}, histogram.attrs["error_option"]))
    result = xr.Dataset({"value": value, "variance": variance}, attrs=histogram.attrs)
    return result.assign_coords({name: coord for name, coord in histogram.coords.items() if name != "sum"})


def to_hist(histogram: xr.Dataset) -> "hist.Hist[Any]":
    """One snapshot or time slice as a `hist.Hist`, with weights where sumw2 is kept, and flow bins where it has them.

    A profile becomes mean storage, whose ``variances()`` are hist's own, see `Histogram.to_hist`; those of ROOT are in
    `values`. `Histogram.from_hist` gives back class, sums and option. Raises DimsError if it still has rows in time.
    """
    schema.require_histogram(histogram, rows=False)
    flow = histogram.attrs["flow"]
    axes = [axis_of(histogram, letter) for letter in schema.axes_of(histogram)]
    parts = {name: histogram[name].values for name in schema.PARTS if name in histogram}
    attrs = histogram.attrs
    kept = {"class_name": attrs["class"], "error_option": attrs["error_option"], "gauge": attrs["gauge"]}
    if "sums" in histogram:
        kept["sums"] = dict(zip(histogram["sum"].values.tolist(), histogram["sums"].values.tolist(), strict=True))
    return as_hist(axes, parts, flow=flow, title=attrs.get("title", ""), kept=kept)
