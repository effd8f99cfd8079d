"""Where a histogram differs from a reference: the patches of bins that are bad together."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.comparison.normalise import Reference, Setting, beta_binomial_pulls, paired, same
from owtrend.comparison.pair import Pair
from owtrend.errors import DimsError
from owtrend.kernels.two_sample import patches as found
from owtrend.kernels.two_sample import statistics as kernels
from owtrend.model import schema
from owtrend.model.histogram import Histogram
from owtrend.model.snapshot import Snapshot

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["patches"]

Floats = NDArray[np.float64]
SEARCHES = 2  # connected, block: each gets half of the chance of a false patch


def patches(
    slice: xr.Dataset, reference: "xr.Dataset | Histogram | Snapshot | Reference", *, limit: float = 4.0,  # noqa: A002
    normalise: str = "robust", events: tuple[Any, Any] | None = None,
    within: Mapping[str, tuple[float, float]] | None = None, tolerance: float = 0.01, significance: float = 0.01,
) -> "pd.DataFrame":  # fmt: skip
    """Where a histogram differs: patches of bins that are too full or too empty together, the surest first.

    Two searches. *connected*: bins with a pull beyond ``limit``, or half of it, on one side that share faces; of those
    that overlap the surer. *block*: what these leave is merged into blocks of 2, 4, 8, ... bins along each axis, for a
    weak loss over many bins that no single one shows. Bins of connected patches are left out of a block; one that
    overlaps a surer one, or of which half is left out, is not told. A patch is judged by the pull of the sums of its
    bins (of means and weighted contents: sum of pulls / sqrt(bins)).

    Parameters
    ----------
    slice, reference, normalise, events, within, tolerance
        As for `compare`, of one row.
    limit
        |pull| of the bins of a connected patch; and beyond which a bin does not agree, for ``robust``.
    significance
        Largest p-value of what is told.

    Returns
    -------
    :
        One line per patch: ``kind``; ``bins``; per axis the bounds ``x_low``, ``x_high``; ``value`` and ``expected``,
        the sums (means: averages); ``pull``; ``p_value``, the probability that a histogram which agrees has any such
        patch of any size anywhere, at most; and ``cells``, its bins as indices per axis, shape ``(bin, axis)``.

    See Also
    --------
    compare : The pulls of single bins.
    """
    import pandas as pd

    schema_rows = {schema.TIME, schema.SNAPSHOT} & set(slice.dims)
    if schema_rows:
        raise DimsError(f"{slice.attrs.get('name')}: still has rows; choose one with .isel")
    reference = same(reference, slice)
    setting = Setting(normalise, events, within or {}, None, None, tolerance, limit)
    pair, _, used = paired(slice, reference, setting)
    pulls = np.nan_to_num(pair.pulls[0])
    bins, lines, taken = int(pair.used[0]), [], np.zeros(pair.shape, dtype=bool)
    groups = [flat for beyond in (limit, limit / 2) for flat in found.connected(pulls, beyond)]
    together = _together(pair, groups, used, tolerance)
    chances = [
        min(1.0, SEARCHES * found.patch_probability(float(p), len(flat), bins, len(pair.shape)))
        for p, flat in zip(kernels.two_sided(together), groups, strict=True)
    ]
    for number in np.argsort(chances, kind="stable"):
        flat = groups[number]
        if chances[number] > significance:
            break
        if not taken.ravel()[flat].any():
            cells = np.stack(np.unravel_index(flat, pair.shape), axis=-1)
            lines.append(_line(pair, "connected", cells, float(together[number]), chances[number]))
            taken.ravel()[flat] = True
    bounds, _ = found.blocks(pair.shape)
    merged, told = _merged(pair, taken, used, tolerance), np.zeros(pair.shape, dtype=bool)
    p_values = np.minimum(1.0, SEARCHES * len(merged) * kernels.two_sided(merged))
    for number in np.argsort(p_values, kind="stable"):
        inside = tuple(np.s_[a:b] for a, b in bounds[number])
        if p_values[number] > significance:
            break
        if not told[inside].any() and taken[inside].mean() < 0.5:
            cells = np.argwhere(~taken[inside]) + bounds[number, :, 0]
            lines.append(_line(pair, "block", cells, float(merged[number]), float(p_values[number])))
            told[inside] = True
    columns = ["kind", "bins", *(f"{a}_{end}" for a in schema.axes_of(slice) for end in ("low", "high")),
        "value", "expected", "pull", "p_value", "cells"]  # fmt: skip
    table = pd.DataFrame(lines, columns=columns)
    return table.sort_values(["p_value", "bins"], ascending=[True, False], kind="stable", ignore_index=True)


def _judged(pair: Pair, data: Floats, its: Floats, stouffer: Floats, used: str, tolerance: float) -> Floats:
    """Pulls of sums of bins."""
    if used == "gauss":
        return stouffer
    return beta_binomial_pulls(data[None], its, pair.reference.sum(), pair.scale[:, 0], tolerance, by_total=False)[0]


def _together(pair: Pair, groups: Sequence[NDArray[np.intp]], used: str, tolerance: float) -> Floats:
    if not groups:
        return np.empty(0)
    pulls, data, its = (np.nan_to_num(a.ravel()) for a in (pair.pulls[0], pair.data[0], pair.reference))
    stouffer = np.array([pulls[group].sum() / np.sqrt(len(group)) for group in groups])
    sums = [np.array([array[group].sum() for group in groups]) for array in (data, its)]
    return _judged(pair, sums[0], sums[1], stouffer, used, tolerance)


def _merged(pair: Pair, without: NDArray[np.bool_], used: str, tolerance: float) -> Floats:
    maps = (pair.pulls[0], pair.data[0], pair.reference)
    pulls, data, its = (np.where(without, 0.0, np.nan_to_num(one)) for one in maps)
    _, (total, number, of_data, of_its) = found.blocks(pair.shape, pulls, np.where(pulls != 0, 1.0, 0.0), data, its)
    stouffer = total / np.sqrt(np.maximum(number, 1))
    return _judged(pair, np.rint(of_data) if used != "gauss" else of_data, of_its, stouffer, used, tolerance)


def _line(pair: Pair, kind: str, cells: NDArray[np.intp], pull: float, p: float) -> dict[str, Any]:
    at = tuple(cells.T)
    add = np.nanmean if pair.kind == "values" else np.nansum
    line: dict[str, Any] = {"kind": kind, "bins": len(cells), "pull": pull, "p_value": p, "cells": cells}
    line |= {"value": float(add(pair.data[0][at])), "expected": float(add(pair.expected[0][at]))}
    for letter, axis, places in zip(schema.AXES, pair.axes, cells.T, strict=False):
        line |= {f"{letter}_low": axis.edges[places.min()], f"{letter}_high": axis.edges[places.max() + 1]}
    return line
