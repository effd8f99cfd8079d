"""What the time slice of a histogram is compared with: other runs, or the rest of its own; and its pulls."""

import glob
from dataclasses import dataclass

import numpy as np
import xarray as xr

import owtrend
from dashboards.state import region
from owtrend.errors import BinningChangedError, NotFoundError
from owtrend.model import schema
from owtrend.model.histogram import Histogram

__all__ = ["Beside", "Compared", "beside", "compared"]


@dataclass(frozen=True, eq=False)
class Beside:
    """A reference.

    Parameters
    ----------
    content
        The histogram in it, without rows in time; None if it cannot be compared.
    words
        Which it is, such as ``beside runs 300000 to 300004``; or why there is none.
    rest
        Whether it is the run itself, of which a slice is left out.
    of
        What it was made for.
    """

    content: xr.Dataset | None
    words: str
    rest: bool
    of: xr.Dataset


@dataclass(frozen=True, eq=False)
class Compared:
    """A slice as it is shown, with ``pull`` and ``expected`` per bin; NaN where there is nothing to compare."""

    shown: xr.Dataset
    words: str


def beside(archive: owtrend.Archive, cumulative: xr.Dataset) -> Beside:
    """The last comparable runs before a run, as scores have them; the run itself, if there are none.

    Parameters
    ----------
    cumulative
        A histogram in one run, as `Archive.histogram` gives it.
    """
    whole = owtrend.time_slice(cumulative)
    if cumulative.attrs["gauge"]:
        return Beside(None, "a gauge has no counts to compare", False, cumulative)
    told, run = cumulative.attrs, int(cumulative["run"].item())
    try:
        found = archive.reference(told["subsystem"], like=run, select=[glob.escape(told["name"])])
        held, _ = found.held(told["path"])
        content = _dataset(found.histogram(told["path"]), whole)
    except (BinningChangedError, NotFoundError):
        return Beside(whole, "beside the rest of this run", True, cumulative)
    runs = [one for one, part in zip(found.runs, found.slices, strict=True) if told["path"] in part][-len(held) :]
    words = f"run {runs[0]}" if len(runs) == 1 else f"{len(runs)} runs, {runs[0]} to {runs[-1]}"
    return Beside(content, f"beside {words}", False, cumulative)


def compared(part: xr.Dataset, shown: xr.Dataset, reference: Beside, axes: str, ranges: region.Ranges) -> Compared:
    """A time slice, projected as it is shown, beside a reference; nothing is read.

    Parameters
    ----------
    part, shown
        The slice as it came, and projected onto ``axes``, of the bins in ``ranges`` of the others.
    """
    empty = shown.assign({name: _like(shown, np.nan) for name in ("pull", "expected")})
    if reference.content is None:
        return Compared(empty, reference.words)
    content = _without(reference.content, part) if reference.rest else reference.content
    words = reference.words
    if not float(abs(content["sums"].sel(sum="entries"))):
        return Compared(empty, "no other run to compare the whole run with" if reference.rest else f"{words}: empty")
    content = region.projected(content, axes, ranges)
    made = owtrend.compare(shown, content, scores=[], normalise="robust")
    pull, expected = made["pull"], made["expected"]
    if "contents" in shown:
        pull = pull.where((expected != 0) | (shown["contents"] != 0))
    return Compared(shown.assign(pull=pull.drop_vars(pull.coords), expected=expected.drop_vars(expected.coords)), words)


def _without(whole: xr.Dataset, part: xr.Dataset) -> xr.Dataset:
    """What a run has outside a slice."""
    return whole.assign({name: whole[name] - part[name].values for name in whole.data_vars})


def _like(content: xr.Dataset, value: float) -> tuple[tuple[str, ...], np.ndarray]:
    dims = schema.axes_of(content)
    return dims, np.full([content.sizes[dim] for dim in dims], value)


def _dataset(one: Histogram, like: xr.Dataset) -> xr.Dataset:
    """A histogram as a time slice of it is, without flow bins.

    Raises
    ------
    BinningChangedError
        If it has other bins than ``like``.
    """
    dims = schema.axes_of(like)
    for axis, dim in zip(one.axes, dims, strict=True):
        edges, labels = schema.edges(like, dim), like.coords.get(f"{dim}_label")
        named = [""] * len(axis) if labels is None else labels.values.tolist()
        if not np.array_equal(axis.edges, edges) or named != [axis.labels.get(n + 1, "") for n in range(len(axis))]:
            raise BinningChangedError(f"{one.name}: the reference has other bins along {dim}")
    sums = [one.sums.get(name, 0.0) for name in like["sum"].values.tolist()]
    parts = {name: (dims, one.part(name, flow=False)) for name in one.parts}
    made = like.drop_vars(list(like.data_vars)).assign(parts | {"sums": ("sum", sums)})
    return made.assign_attrs({"class": one.class_name})
