"""The reference of a time slice, earlier runs or the rest of its own run, and the pulls against it."""

import glob
from dataclasses import dataclass

import numpy as np
import xarray as xr

import owtrend
from dashboards.state import region
from owtrend.errors import BinningChangedError, NotFoundError, OwtrendError
from owtrend.histograms.labelled import axis_of, matched, to_xarray
from owtrend.model import schema
from owtrend.model.axis import common_axes
from owtrend.model.histogram import Histogram

__all__ = ["Compared", "SliceReference", "compared", "slice_reference"]


@dataclass(frozen=True, eq=False)
class SliceReference:
    """The reference for all time slices of one histogram in one run.

    Parameters
    ----------
    content
        The histogram in the reference, without rows in time; None if the histogram cannot be compared.
    name
        Such as ``5 earlier runs, 300000 to 300004``; or why there is none.
    is_rest
        The reference is the rest of the run itself: the time slice is still to be taken off ``content``.
    cumulative
        The histogram that it is for.
    """

    content: xr.Dataset | None
    name: str
    is_rest: bool
    cumulative: xr.Dataset


@dataclass(frozen=True, eq=False)
class Compared:
    """A projected slice with ``pull`` and ``expected`` per bin, NaN where there is nothing to compare with."""

    shown: xr.Dataset
    words: str  # such as "against run 300000", or "· " and why there are no pulls


def slice_reference(
    archive: owtrend.Archive, cumulative: xr.Dataset, known: SliceReference | None = None
) -> SliceReference:  # fmt: skip
    """The last comparable runs before a run, the same as for its scores; the run itself, if there are none.

    Parameters
    ----------
    cumulative
        A histogram in one run, as from `Archive.histogram`.
    known
        Returned again if it is for this histogram.
    """
    if known is not None and known.cumulative is cumulative:
        return known
    if cumulative.attrs["gauge"]:
        return SliceReference(None, "a gauge has no counts to compare", False, cumulative)
    whole = owtrend.time_slice(cumulative)
    subsystem, path, histogram_name = (cumulative.attrs[key] for key in ("subsystem", "path", "name"))
    try:
        found = archive.reference(subsystem, like=int(cumulative["run"].item()), select=[glob.escape(histogram_name)])
        histograms, _ = found.histograms(path)
        content = _as_slice(found.histogram(path), whole)
    except (BinningChangedError, NotFoundError):
        return SliceReference(whole, "the rest of this run", True, cumulative)
    runs = [run for run, snapshot in zip(found.runs, found.slices, strict=True) if path in snapshot][-len(histograms) :]
    name = f"run {runs[0]}" if len(runs) == 1 else f"{len(runs)} earlier runs, {runs[0]} to {runs[-1]}"
    return SliceReference(content, name, False, cumulative)


def compared(
    part: xr.Dataset, shown: xr.Dataset, reference: SliceReference, axes: str, ranges: region.Ranges
) -> Compared:  # fmt: skip
    """A time slice against its reference. Reads nothing.

    Parameters
    ----------
    part, shown
        The slice, unprojected; and projected onto ``axes``, over the bins in ``ranges`` of the other axes.
    """
    if reference.content is None:
        return Compared(_empty(shown), f"· {reference.name}")
    content = _without(reference.content, part) if reference.is_rest else reference.content
    if not float(abs(content["sums"].sel(sum="entries"))):
        words = "no earlier run to compare with" if reference.is_rest else f"no entries in {reference.name}"
        return Compared(_empty(shown), f"· {words}")
    try:
        shown, content = matched(shown, region.projected(content, axes, ranges))
    except OwtrendError as error:  # the reference has no such range
        return Compared(_empty(shown), f"· {error}")
    result = owtrend.compare(shown, content, scores=[], normalise="robust")
    pull, expected = (result[name].drop_vars(result[name].coords) for name in ("pull", "expected"))
    if "contents" in shown:
        pull = pull.where((expected != 0) | (shown["contents"] != 0))
    return Compared(shown.assign(pull=pull, expected=expected), f"against {reference.name}")


def _empty(shown: xr.Dataset) -> xr.Dataset:
    """A slice with nothing to compare with."""
    return shown.assign({name: _like(shown, np.nan) for name in ("pull", "expected")})


def _without(whole: xr.Dataset, part: xr.Dataset) -> xr.Dataset:
    """A run outside one of its slices."""
    return whole.assign({name: whole[name] - part[name].values for name in whole.data_vars})


def _like(content: xr.Dataset, value: float) -> tuple[tuple[str, ...], np.ndarray]:
    dims = schema.axes_of(content)
    return dims, np.full([content.sizes[dim] for dim in dims], value)


def _as_slice(histogram: Histogram, like: xr.Dataset) -> xr.Dataset:
    """A histogram without flow bins, with the statistics of the time slice ``like``.

    Raises
    ------
    BinningChangedError
        If its bins cannot be matched.
    """
    if common_axes([[axis_of(like, letter) for letter in schema.axes_of(like)], histogram.axes]) is None:
        raise BinningChangedError(f"{histogram.name}: the reference has other bins")
    made = to_xarray(histogram)
    sums = [histogram.sums.get(name, 0.0) for name in like["sum"].values.tolist()]
    made = made.drop_vars(["sums", "sum"]).assign(sums=("sum", sums)).assign_coords(sum=like["sum"].values)
    return made.assign_attrs({"subsystem": like.attrs["subsystem"]})
