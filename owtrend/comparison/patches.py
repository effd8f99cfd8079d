"""Patches of bins in which a histogram differs from a reference."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.comparison.normalise import Options, Reference, paired, together
from owtrend.comparison.pair import Pair
from owtrend.comparison.pulls import beta_binomial_pulls
from owtrend.errors import DimsError
from owtrend.kernels.two_sample import patches as kernels
from owtrend.kernels.two_sample.statistics import two_sided
from owtrend.model import schema
from owtrend.model.histogram import Histogram
from owtrend.model.snapshot import Snapshot

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["patches"]

Floats = NDArray[np.float64]
SEARCHES = 2  # connected and block: each gets half of the probability of a false patch


def patches(
    slice: xr.Dataset, reference: "xr.Dataset | Histogram | Snapshot | Reference", *, limit: float = 4.0,  # noqa: A002
    normalise: str = "robust", events: tuple[Any, Any] | None = None,
    within: Mapping[str, tuple[float, float]] | None = None, tolerance: float = 0.01, significance: float = 0.01,
) -> "pd.DataFrame":  # fmt: skip
    """Find patches of bins that are too full or too empty together, the most significant first.

    There are two searches. *connected*: bins of one sign with a pull beyond ``limit``, or half of it, that share faces;
    where two overlap, the more significant. *block*: the remaining bins in blocks of 2, 4, 8, ... bins along each axis,
    for a weak loss over many bins. A block that overlaps a more significant one, or of which half is in connected
    patches, is not listed. The significance of a patch is the pull of the sums of its bins (for means and weighted
    contents: sum of pulls / sqrt(bins)).

    Parameters
    ----------
    slice, reference, normalise, events, within, tolerance
        As for `compare`, of one row.
    limit
        Least |pull| of the bins of a connected patch; for ``robust``, |pull| above which a bin does not agree.
    significance
        Largest p-value of a listed patch.

    Returns
    -------
    :
        One line per patch: ``kind``; ``bins``; per axis the bounds ``x_low``, ``x_high``; ``value`` and ``expected``,
        the sums (means: averages); ``pull``; ``p_value``, an upper bound of the probability that a histogram which
        agrees has such a patch of any size anywhere; and ``cells``, its bins as indices, shape ``(bin, axis)``.

    See Also
    --------
    compare : Pulls of single bins.
    """
    import pandas as pd

    if {schema.TIME, schema.SNAPSHOT} & set(slice.dims):
        raise DimsError(f"{slice.attrs.get('name')}: still has rows; choose one with .isel")
    options = Options(normalise, events, within or {}, None, None, tolerance, limit)
    histogram, reference = together(slice, reference)
    pair, _, pull = paired(histogram, reference, options)
    in_connected = np.zeros(pair.shape, dtype=bool)
    lines = _connected_patches(pair, pull, options, significance, in_connected)
    lines += _block_patches(pair, pull, options, significance, in_connected)
    columns = ["kind", "bins", *(f"{a}_{end}" for a in schema.axes_of(histogram) for end in ("low", "high")),
        "value", "expected", "pull", "p_value", "cells"]  # fmt: skip
    table = pd.DataFrame(lines, columns=columns)
    return table.sort_values(["p_value", "bins"], ascending=[True, False], kind="stable", ignore_index=True)


def _connected_patches(
    pair: Pair, pull: str, options: Options, significance: float, in_connected: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Lines of the connected patches, whose bins are marked in ``in_connected``."""
    pulls, bins = np.nan_to_num(pair.pulls[0]), int(pair.used[0])
    groups = [group for least in (options.limit, options.limit / 2) for group in kernels.connected(pulls, least)]
    group_pulls = _pulls_of_groups(pair, groups, pull, options.tolerance)
    p_values = [
        min(1.0, SEARCHES * kernels.patch_probability(float(p), len(group), bins, len(pair.shape)))
        for p, group in zip(two_sided(group_pulls), groups, strict=True)
    ]
    lines = []
    for number in np.argsort(p_values, kind="stable"):
        group = groups[number]
        if p_values[number] > significance:
            break
        if not in_connected.ravel()[group].any():
            cells = np.stack(np.unravel_index(group, pair.shape), axis=-1)
            lines.append(_line(pair, "connected", cells, float(group_pulls[number]), p_values[number]))
            in_connected.ravel()[group] = True
    return lines


def _block_patches(
    pair: Pair, pull: str, options: Options, significance: float, left_out: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    """Lines of the blocks, without the bins left out."""
    bounds, _ = kernels.blocks(pair.shape)
    block_pulls = _pulls_of_blocks(pair, left_out, pull, options.tolerance)
    p_values = np.minimum(1.0, SEARCHES * len(block_pulls) * two_sided(block_pulls))
    lines, listed = [], np.zeros(pair.shape, dtype=bool)
    for number in np.argsort(p_values, kind="stable"):
        block = tuple(np.s_[low:high] for low, high in bounds[number])
        if p_values[number] > significance:
            break
        if not listed[block].any() and left_out[block].mean() < 0.5:
            cells = np.argwhere(~left_out[block]) + bounds[number, :, 0]
            lines.append(_line(pair, "block", cells, float(block_pulls[number]), float(p_values[number])))
            listed[block] = True
    return lines


def _pulls_of_groups(pair: Pair, groups: Sequence[NDArray[np.intp]], pull: str, tolerance: float) -> Floats:
    if not groups:
        return np.empty(0)
    pulls, data, reference = (np.nan_to_num(a.ravel()) for a in (pair.pulls[0], pair.data[0], pair.reference))
    stouffer = np.array([pulls[group].sum() / np.sqrt(len(group)) for group in groups])
    sums = [np.array([array[group].sum() for group in groups]) for array in (data, reference)]
    return _pulls_of_sums(pair, sums[0], sums[1], stouffer, pull, tolerance)


def _pulls_of_blocks(pair: Pair, left_out: NDArray[np.bool_], pull: str, tolerance: float) -> Floats:
    arrays = (pair.pulls[0], pair.data[0], pair.reference)
    pulls, data, reference = (np.where(left_out, 0.0, np.nan_to_num(array)) for array in arrays)
    bins = np.where(pulls != 0, 1.0, 0.0)
    _, (pull_sum, bin_sum, data_sum, reference_sum) = kernels.blocks(pair.shape, pulls, bins, data, reference)
    stouffer = pull_sum / np.sqrt(np.maximum(bin_sum, 1))
    data_sum = np.rint(data_sum) if pull != "gauss" else data_sum
    return _pulls_of_sums(pair, data_sum, reference_sum, stouffer, pull, tolerance)


def _pulls_of_sums(
    pair: Pair, data: Floats, reference: Floats, stouffer: Floats, pull: str, tolerance: float
) -> Floats:
    """Pulls of sums of bins; for ``gauss`` the combined pulls of the bins, by Stouffer."""
    if pull == "gauss":
        return stouffer
    total, scale = pair.reference.sum(), pair.scale[:, 0]
    return beta_binomial_pulls(data[None], reference, total, scale, tolerance, by_total=False)[0]


def _line(pair: Pair, kind: str, cells: NDArray[np.intp], pull: float, p: float) -> dict[str, Any]:
    bins = tuple(cells.T)
    add = np.nanmean if pair.kind == "values" else np.nansum
    line: dict[str, Any] = {"kind": kind, "bins": len(cells), "pull": pull, "p_value": p, "cells": cells}
    line |= {"value": float(add(pair.data[0][bins])), "expected": float(add(pair.expected[0][bins]))}
    for letter, axis, indices in zip(schema.AXES, pair.axes, cells.T, strict=False):
        line |= {f"{letter}_low": axis.edges[indices.min()], f"{letter}_high": axis.edges[indices.max() + 1]}
    return line
