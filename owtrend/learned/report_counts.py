"""Reports of one histogram as bare counts: the increment of each row that reported, flat, with its labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.errors import BinningChangedError, DimsError, NotFoundError
from owtrend.histograms.labelled import axis_of, on_axes
from owtrend.histograms.time_slice import increments
from owtrend.model import schema
from owtrend.model.axis import Axis, common_axes

__all__ = ["ReportCounts"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ReportCounts:
    """Increments of a histogram in the rows that reported something.

    Parameters
    ----------
    dim, bins
        Dims of the rows, ``time`` or ``snapshot``, and of the axes.
    counts
        ``(report, cell)``, flow bins excluded, the last axis fastest; of weighted contents the effective counts. A
        negative increment counts as 0.
    weights
        Weight of a count in each report: contents = counts * weights.
    begins, times
        Interval of each report; the first of a run has no begin, so its end is used.
    coords
        Coordinates of the rows and bins, for results.
    """

    name: str
    dim: str
    bins: tuple[str, ...]
    axes: tuple[Axis, ...]
    counts: Floats
    weights: Floats
    runs: NDArray[np.int64]
    begins: NDArray[np.datetime64]
    times: NDArray[np.datetime64]
    coords: dict[str, Any]

    @classmethod
    def from_histogram(cls, histogram: xr.Dataset, axes: tuple[Axis, ...] | None = None) -> "ReportCounts":
        """Reports of a histogram from `Archive.histogram`, of one run or several.

        Raises
        ------
        DimsError
            If it has no rows in time, or no counts: a profile, a gauge.
        BinningChangedError
            If its bins differ from ``axes``.
        NotFoundError
            If no row reported anything.
        """
        schema.require_histogram(histogram, rows=True)
        name, bins = str(histogram.attrs.get("name")), schema.axes_of(histogram)
        if "contents" not in histogram or histogram.attrs.get("gauge"):
            kind = "gauge" if "contents" in histogram else "profile"
            raise DimsError(f"{name}: a {kind} has no counts to learn a shape from; choose a histogram of counts")
        histogram_axes = tuple(axis_of(histogram, letter) for letter in bins)
        if axes is not None and histogram_axes != axes:
            if common_axes([axes, histogram_axes]) != axes:
                raise BinningChangedError(
                    f"{name}: its bins differ from those that the model was trained on; train one on these"
                )
            histogram, histogram_axes = on_axes(histogram, axes), axes
        if histogram.attrs.get("flow"):
            histogram = histogram.isel(dict.fromkeys(bins, slice(1, -1)))
        increment = increments(histogram)
        dim = schema.time_dim(increment)
        contents = increment["contents"].transpose(dim, *bins).values
        flat = np.maximum(contents.reshape(len(contents), -1).astype(np.float64), 0.0)
        total = flat.sum(axis=1)
        weights = np.ones(len(flat))
        if "sumw2" in increment:
            with np.errstate(divide="ignore", invalid="ignore"):
                weights = increment["sumw2"].values.reshape(len(flat), -1).sum(axis=1) / total
        good = increment["reported"].values & (total > 0) & np.isfinite(weights) & (weights > 0)
        if not good.any():
            raise NotFoundError(f"{name}: no report has any counts")
        kept = increment.isel({dim: good})
        coords = {
            str(key): coord for key, coord in kept.coords.items()
            if key not in ("sum", schema.RECEIVED) and set(coord.dims) <= {dim, *bins}
        }  # fmt: skip
        times = kept[schema.TIME].values
        starts = kept["start"].values
        return cls(
            name=name, dim=dim, bins=bins, axes=histogram_axes, counts=flat[good] / weights[good, None],
            weights=weights[good], runs=np.broadcast_to(kept["run"].values, times.shape).astype(np.int64),
            begins=np.where(np.isnat(starts), times, starts), times=times, coords=coords,
        )  # fmt: skip
