"""The same histogram with fewer axes or coarser bins: projections, regions of interest, bins merged.

Both are sums of bins, so they may come before or after `owtrend.increments` and `owtrend.time_slice`.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.display import quoted
from owtrend.errors import DimsError, UsageError, hint
from owtrend.model import schema
from owtrend.model.root_sums import letters_of

__all__ = ["project", "rebin"]

Variables = dict[str, xr.Variable]
Bins = dict[str, NDArray[np.float64]]  # per axis the centres, infinite where flow


def project(
    histogram: xr.Dataset, axes: str, *,
    x: slice | str | None = None, y: slice | str | None = None, z: slice | str | None = None,
) -> xr.Dataset:  # fmt: skip
    """A histogram summed over all axes but ``axes``, or over a range of them.

    ``project(h, "x")`` is ROOT's ``ProjectionX`` or ``ProfileX``, ``project(h, "x", y=slice(2, 5))`` that of a range.

    Parameters
    ----------
    histogram
        As `Archive.histogram`, `increments` or `time_slice` give it, with rows in time or without. Parts in Dask chunks
        stay in chunks; others are read.
    axes
        The axes to keep, such as ``"x"`` or ``"xy"``. They keep their names and the order x, y, z, so that ``"yx"`` is
        the same as ``"xy"``.
    x, y, z
        ``slice(lower, upper)`` in the units of an axis that is summed over: the bins whose edges lie in the range. An
        end that is None or infinite takes in the flow bin there, if the dataset has one. A text is a label: its bin.
        Without a range all its bins are summed, flow bins too.

    Returns
    -------
    :
        The parts summed, ``sumw2`` and ``bin_sumw2`` too, in their dtypes, of gauges as of counters; NaN in a bin makes
        the sum NaN. The class is ``TH1D``, ``TH2D``, ``TProfile`` or ``TProfile2D``. ``sums`` are those of the axes
        that remain, by the names they had (the quantity of a TProfile2D stays ``tsumwz``):

        - ``tsumw``, ``tsumwx``, ...: what ROOT kept at fill time, if all bins in range of the other axes are summed;
          what lies in their flow bins is added at the bin centres. For a smaller range, and where ROOT kept nothing,
          made from the bins in range (``TH1::ResetStats``); sumw2 that is not kept is the contents.
        - ``entries``: those of the histogram. With a range the sum of contents or bin entries, flow of the remaining
          axes included; of a weighted histogram that is no number of fills, which is not known. Restarts are still
          decided on the entries as received, which the coord ``entries_received`` carries.

    Raises
    ------
    DimsError
        If it is no histogram, or does not have these axes.
    UsageError
        If a range is empty or of an axis that stays, an end is no bin edge, or there is no such label; the text names
        the nearest.

    Notes
    -----
    Contents and errors are those of ``TH2::ProjectionX(name, first, last, "e")``, ``TH3::Project3D`` and
    ``TProfile2D::ProfileX`` in ROOT 6.40, and so are the statistics for a range. Without one, ROOT keeps those of the
    fills only where no flow bin holds anything, and never for profiles; entries of a weighted histogram become
    effective entries, often those of a whole projection too. That depends on the contents and does not add up, so
    increments of such a projection would be wrong. ROOT forgets a profile's error option; here it stays.

    Examples
    --------
    >>> import owtrend
    >>> towers = owtrend.open("archive.zarr").histogram("EMC", "towers", run=300000)  # doctest: +SKIP
    >>> owtrend.project(towers, "x", y=slice(0, 24))  # doctest: +SKIP
    """
    schema.require_histogram(histogram, rows=None)
    have = schema.axes_of(histogram)
    if not axes or not set(axes) <= set(have) or len(set(axes)) < len(axes):
        raise DimsError(f"{_name(histogram)}: no projection onto {axes!r}; it has the axes {', '.join(have)}")
    gone = [axis for axis in have if axis not in axes]
    ranges = {axis: wanted for axis, wanted in zip(schema.AXES, (x, y, z), strict=True) if wanted is not None}
    for axis in ranges:
        if axis not in gone:
            raise UsageError(
                f"{_name(histogram)}: a range of {axis}, but summed over is {', '.join(gone) or 'no axis'}; "
                f"choose bins of an axis that stays by .isel({axis}=...)"
            )
    ends = {axis: _ends(histogram, axis, wanted) for axis, wanted in ranges.items()}
    ends = {axis: pair for axis, pair in ends.items() if np.isfinite(pair).any()}
    chosen, region = {}, False
    for axis, (lower, upper) in ends.items():
        within = (histogram[f"{axis}_left"].values >= lower) & (histogram[f"{axis}_right"].values <= upper)
        region |= not within[np.isfinite(histogram[axis].values)].all()
        chosen[axis] = slice(int(within.argmax()), len(within) - int(within[::-1].argmax()))
    result = histogram.isel(chosen)
    parts, bins, sums = _parts(result), _bins(result), _sums(result)
    quantity = _quantity(sums, have)
    sums = {name: total for name, total in sums.items() if not set(letters_of(name)) & set(gone)}
    lost = None if region else _lost(sums, parts, bins)
    for axis in gone:
        flow = np.flatnonzero(np.isinf(bins[axis]))
        if len(flow) and not region:
            outside = {name: part.isel({axis: flow}).sum(axis, skipna=False) for name, part in parts.items()}
            sums |= {name: sums[name] + more for name, more in _from_bins(outside, bins, sums, quantity).items()}
        parts = {name: part.sum(axis, skipna=False, keep_attrs=True) for name, part in parts.items()}
    if region:
        sums |= _from_bins(parts, bins, sums, quantity)
    elif lost is not None:
        made = _from_bins(parts, bins, sums, quantity)
        sums |= {name: sums[name].where(~lost, total) for name, total in made.items()}  # type: ignore[no-untyped-call]
    if ends:
        weight = _weights(parts)[0]
        sums["entries"] = weight.sum([axis for axis in bins if axis in weight.dims], skipna=False)
        rows = {schema.TIME, schema.SNAPSHOT} & set(result.dims)
        if rows and not {schema.RECEIVED, "restart"} & set(result.coords):  # increments have no more restarts to find
            result = result.assign_coords({schema.RECEIVED: _sums(result)["entries"]})
    result = _assembled(result.drop_dims(gone), parts, sums)
    if gone:
        profile = "TProfile" if len(axes) == 1 else f"TProfile{len(axes)}D"
        result.attrs["class"] = profile if "sumwy" in parts else f"TH{len(axes)}D"
    result.attrs["variable_axes"] = tuple(axis for axis in histogram.attrs["variable_axes"] if axis in axes)
    return result


def rebin(
    histogram: xr.Dataset,
    *,
    x: int | Sequence[float] | None = None,
    y: int | Sequence[float] | None = None,
    z: int | Sequence[float] | None = None,
) -> xr.Dataset:
    """A histogram with bins merged.

    ``rebin(h, x=2)`` merges each two bins of x, ``rebin(h, x=[0, 1, 5, 10])`` those between the given edges.

    Parameters
    ----------
    histogram
        As `Archive.histogram`, `increments` or `time_slice` give it, with rows in time or without. Parts in Dask chunks
        stay in chunks (one along a merged axis); others are read.
    x, y, z
        How many bins make one, or the new edges, which must be among the old.

    Returns
    -------
    :
        The same parts in their dtypes. Bins that are left over, at the upper end if their number is no multiple, or
        beyond the given edges, go into the flow bins, or are gone if the dataset has none. A bin that was not merged
        keeps its label, a merged one has none. An axis with given edges becomes a variable one.

        ``sums`` stay as they are, unless bins were left over: then all but ``entries`` are made from the new bins
        (``TH1::ResetStats``).

    Raises
    ------
    DimsError
        If it is no histogram, or does not have these axes.
    UsageError
        If a number of bins does not fit, or an edge is none of the old; the text names the nearest.

    Notes
    -----
    As ``TH1::Rebin`` and ``TH2::Rebin2D`` in ROOT 6.40, but for two things: with given edges that leave bins over ROOT
    keeps statistics of fills that are no longer in range, and it gives merged bins the labels of other ones.
    """
    schema.require_histogram(histogram, rows=None)
    have = schema.axes_of(histogram)
    wanted = {axis: bins for axis, bins in zip(schema.AXES, (x, y, z), strict=True) if bins is not None}
    if not set(wanted) <= set(have):
        raise DimsError(f"{_name(histogram)}: no axis {', '.join(set(wanted) - set(have))}; it has {', '.join(have)}")
    parts, left_over = _parts(histogram), False
    coords: Variables = {}
    for axis, bins in wanted.items():
        starts, taken, some = _groups(histogram, axis, bins)
        left_over |= some
        parts = {name: _merged(part.isel({axis: taken}), axis, starts) for name, part in parts.items()}
        coords |= _merged_coords(histogram.isel({axis: taken}), axis, starts)
    result = histogram.drop_dims(wanted).assign_coords(coords)
    sums = _sums(histogram)
    if left_over:
        sums |= _from_bins(parts, _bins(result), sums, _quantity(sums, have))
    result = _assembled(result, parts, sums)
    given = {axis for axis, bins in wanted.items() if not isinstance(bins, int | np.integer)}
    result.attrs["variable_axes"] = tuple(a for a in have if a in given or a in histogram.attrs["variable_axes"])
    return result


def _name(histogram: xr.Dataset) -> str:
    return str(histogram.attrs.get("name"))


def _parts(histogram: xr.Dataset) -> Variables:
    """The parts, read unless they are in Dask chunks."""
    found = {name: histogram[name].variable for name in schema.PARTS if name in histogram}
    return {name: part if part.chunks else part.compute() for name, part in found.items()}


def _sums(histogram: xr.Dataset) -> Variables:
    """The statistics by name, over rows if it has several."""
    whole = histogram["sums"].variable
    whole = whole if whole.chunks else whole.compute()
    return {str(name): whole.isel(sum=number) for number, name in enumerate(histogram["sum"].values)}


def _bins(histogram: xr.Dataset) -> Bins:
    return {axis: histogram[axis].values for axis in schema.axes_of(histogram)}


def _assembled(frame: xr.Dataset, parts: Variables, sums: Variables) -> xr.Dataset:
    """``frame`` with these parts and statistics in place of its own."""
    attrs = frame["sums"].attrs
    frame = frame.drop_vars([name for name in (*schema.PARTS, "sums", "sum") if name in frame.variables])
    totals = [xr.DataArray(total.astype(np.float64)) for total in sums.values()]
    joined = xr.concat(totals, "sum").transpose(..., "sum").variable
    joined = joined.chunk({"sum": -1}) if joined.chunks else joined
    joined.attrs = attrs
    return frame.assign({**parts, "sums": joined}).assign_coords(sum=list(sums))


def _weights(parts: Variables) -> tuple[xr.Variable, xr.Variable]:
    """Sum of weights and of squared weights per bin; the latter equals the former where it is not kept."""
    weight, square = ("bin_entries", "bin_sumw2") if "bin_entries" in parts else ("contents", "sumw2")
    return parts[weight], parts.get(square, parts[weight])


def _quantity(sums: Variables, axes: Sequence[str]) -> str:
    """The letter of a profile's quantity; nothing for other histograms."""
    return "".join({letters_of(name) for name in sums if len(letters_of(name)) == 1} - set(axes))


def _from_bins(parts: Variables, bins: Bins, sums: Variables, quantity: str) -> Variables:
    """The statistics in ``sums``, but for entries, of the bins in range at their centres (``TH1::ResetStats``)."""
    axes = [axis for axis in bins if axis in _weights(parts)[0].dims]
    inside = {axis: np.flatnonzero(np.isfinite(bins[axis])) for axis in axes}
    parts = {name: part.isel(inside) for name, part in parts.items()}
    weight, square = _weights(parts)
    made = {}
    for name in sums:
        if name == "entries":
            continue
        letters = letters_of(name) * (2 if name.endswith("2") else 1)
        if name == "tsumw2":
            made[name] = square.sum(axes, skipna=False)
        elif quantity and quantity in letters:
            made[name] = parts["sumwy2" if len(letters) == 2 else "sumwy"].sum(axes, skipna=False)
        else:
            centres = [xr.Variable(letter, bins[letter][inside[letter]]) for letter in letters]
            made[name] = xr.dot(weight, *centres, dim=axes)
    return made


def _lost(sums: Variables, parts: Variables, bins: Bins) -> xr.Variable | None:
    """Where ROOT kept no statistics though bins in range are filled, as after ``SetBinContent``; None if nowhere."""
    none = sums["tsumw"] == 0
    if not none.chunks and not none.any():
        return None
    weight, _ = _weights(parts)
    inside = {axis: np.flatnonzero(np.isfinite(centres)) for axis, centres in bins.items()}
    return none & (weight.isel(inside) != 0).any(list(bins))


def _edge(histogram: xr.Dataset, axis: str, value: float) -> int:
    """Number of the edge at ``value``; UsageError names the nearest if there is none."""
    edges = schema.edges(histogram, axis)
    try:
        value = float(value)
    except (OverflowError, TypeError, ValueError):
        raise UsageError(f"{_name(histogram)}: {axis} = {quoted(value)} is no number; give bin edges") from None
    if (found := schema.edge_at(edges, value)) is not None:
        return found
    above = int(np.searchsorted(edges, value))
    near = " and ".join(f"{edge:g}" for edge in edges[max(above - 1, 0) : above + 1])
    raise UsageError(f"{_name(histogram)}: {axis} = {value:g} is no bin edge; the nearest: {near}")


def _ends(histogram: xr.Dataset, axis: str, wanted: slice | str) -> tuple[float, float]:
    """Both ends of a range, at edges of bins, or infinite; of a label those of its bin."""
    if isinstance(wanted, str):
        labels = histogram[f"{axis}_label"].values.tolist() if f"{axis}_label" in histogram.coords else []
        if not wanted or wanted not in labels:
            raise UsageError(
                f"{_name(histogram)}: no label {wanted!r} along {axis}{hint(wanted, filter(None, labels))}"
            )
        number = labels.index(wanted)
        return float(histogram[f"{axis}_left"][number]), float(histogram[f"{axis}_right"][number])
    if not isinstance(wanted, slice) or wanted.step is not None:
        raise UsageError(f"{_name(histogram)}: {axis}={wanted!r}; give a range as slice(lower, upper)")
    lower, upper = -np.inf, np.inf
    if wanted.start is not None and wanted.start != -np.inf:
        lower = float(schema.edges(histogram, axis)[_edge(histogram, axis, wanted.start)])
    if wanted.stop is not None and wanted.stop != np.inf:
        upper = float(schema.edges(histogram, axis)[_edge(histogram, axis, wanted.stop)])
    left, right = histogram[f"{axis}_left"].values, histogram[f"{axis}_right"].values
    if not ((left >= lower) & (right <= upper)).any():
        raise UsageError(f"{_name(histogram)}: no bin of {axis} between {lower:g} and {upper:g}")
    return lower, upper


def _groups(histogram: xr.Dataset, axis: str, wanted: int | Sequence[float]) -> tuple[list[int], slice, bool]:
    """Where the new bins begin, among the bins that are taken; which are; whether any in range are left over."""
    edges, centres = schema.edges(histogram, axis), histogram[axis].values
    count = len(edges) - 1
    if isinstance(wanted, int | np.integer):
        if not 1 <= wanted <= count:
            raise UsageError(f"{_name(histogram)}: {axis}={wanted}; it has {count} bins to merge")
        chosen = list(range(0, count + 1, int(wanted)))
    else:
        chosen = [_edge(histogram, axis, value) for value in np.ravel(wanted)]
        if len(chosen) < 2 or any(low >= high for low, high in pairwise(chosen)):
            found = np.ravel(wanted).tolist()
            raise UsageError(f"{_name(histogram)}: {axis}={found}; give two edges or more, increasing")
    left_over = chosen[0] > 0 or chosen[-1] < count
    underflow, overflow = int(centres[0] == -np.inf), int(centres[-1] == np.inf)
    starts = [0] * underflow + [edge + underflow for edge in chosen]
    taken = slice(starts[0], None if overflow else starts[-1])
    return [start - starts[0] for start in (starts if overflow else starts[:-1])], taken, left_over


def _merged(part: xr.Variable, axis: str, starts: list[int]) -> xr.Variable:
    """Sums of the bins from each start to the next."""
    part = part.chunk({axis: -1}) if part.chunks else part
    merged: xr.Variable = xr.apply_ufunc(
        np.add.reduceat,
        part,
        kwargs={"indices": starts, "axis": -1},
        input_core_dims=[[axis]],
        output_core_dims=[[axis]],
        exclude_dims={axis},
        dask="parallelized",
        output_dtypes=[part.dtype],
        dask_gufunc_kwargs={"output_sizes": {axis: len(starts)}},
        keep_attrs=True,
    )
    return merged.transpose(*part.dims)


def _merged_coords(histogram: xr.Dataset, axis: str, starts: list[int]) -> dict[str, xr.Variable]:
    """Coords of an axis whose bins are merged from each start to the next."""
    sizes = np.diff([*starts, histogram.sizes[axis]])
    left = histogram[f"{axis}_left"].variable.isel({axis: starts})
    right = histogram[f"{axis}_right"].variable.isel({axis: starts + sizes - 1})
    centres = xr.Variable(axis, (left + right).values / 2, histogram[axis].attrs)
    made = {axis: centres, f"{axis}_left": left, f"{axis}_right": right}
    if f"{axis}_label" in histogram.coords:
        labels = np.where(sizes == 1, histogram[f"{axis}_label"].values[starts], "").astype(object)
        made |= {f"{axis}_label": xr.Variable(axis, labels)} if labels.any() else {}
    return made
