"""A trend → its points: the rows that tell something, series by series."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.errors import DimsError
from owtrend.kernels.series.noise import usable_errors
from owtrend.model import schema

__all__ = ["Points", "points_of", "row_dim"]

RUN = "run"


@dataclass(frozen=True, eq=False)
class Points:
    """One trend without the rows that tell nothing."""

    labels: dict[str, Any]  # of the other dims, such as histogram and reductor
    place: dict[str, int]  # the same as positions
    rows: NDArray[np.intp]  # where its points are in the Dataset
    value: NDArray[np.float64]
    error: NDArray[np.float64]  # usable: positive, known up to a factor unless `given`
    given: bool  # whether the errors are real
    run: NDArray[np.int64]  # -1: unknown
    end: NDArray[np.datetime64]  # NaT: unknown
    start: NDArray[np.datetime64]

    def turn(self, point: int) -> np.datetime64:
        """From when on a change before this point may have been: the end of the one before, or the begin of its run."""
        if point and self.run[point] == self.run[point - 1] and not np.isnat(self.end[point - 1]):
            return self.end[point - 1]
        return self.end[point] if np.isnat(self.start[point]) else self.start[point]


def row_dim(trend: xr.Dataset) -> str:
    """``time``, ``snapshot`` or ``run``: along which the points of a trend lie.

    Raises
    ------
    DimsError
        If it is no trend.
    """
    found = [dim for dim in (schema.SNAPSHOT, schema.TIME, RUN) if isinstance(trend, xr.Dataset) and dim in trend.dims]
    if not found or "value" not in trend.data_vars or found[0] not in trend["value"].dims:
        what = f"{type(trend).__name__} {dict(getattr(trend, 'sizes', {}))}"
        raise DimsError(
            "expected a trend as archive.trend(...) gives it, a Dataset with value (and error) over time, snapshot or "
            f"run; found a {what}"
        )
    return found[0]


def points_of(trend: xr.Dataset) -> Iterator[Points]:
    """Each series of a trend: one, or one for each histogram and reductor.

    Left out are rows whose value is not finite, and those that did not report. Where fewer than half of the points have
    an error, all count by their exposure, if that is known: error = 1 / sqrt(exposure) up to a factor.

    Raises
    ------
    DimsError
        If it is no trend.
    """
    dim = row_dim(trend)
    others = [other for other in trend["value"].dims if other != dim]
    size, shape = trend.sizes[dim], [trend.sizes[other] for other in others]

    def columns(name: str) -> Any:
        """A variable over (series, row), whatever of these dims it has; None where there is none."""
        if name not in trend.variables:
            return None
        one, _ = xr.broadcast(trend[name], trend["value"])
        return np.asarray(one.transpose(*others, dim).values).reshape(math.prod(shape), size)

    value, error, exposure = columns("value"), columns("error"), columns("exposure")
    reported, run = columns("reported"), columns("run")
    end, start = columns("stop" if dim == RUN else schema.TIME), columns("start")
    if exposure is None and dim == RUN and end is not None and start is not None:
        exposure = (end - start) / np.timedelta64(1, "s")
    for series, at in enumerate(np.ndindex(*shape)):
        known = np.isfinite(value[series])
        if reported is not None:
            known &= reported[series].astype(bool)
        rows = np.flatnonzero(known)
        mine = value[series, rows].astype(np.float64)
        errors = np.full(len(rows), np.nan) if error is None else error[series, rows].astype(np.float64)
        usable, given = usable_errors(mine, errors)
        if not given and exposure is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                usable, _ = usable_errors(mine, 1 / np.sqrt(exposure[series, rows].astype(np.float64)))
        place = dict(zip(map(str, others), at, strict=True))
        yield Points(
            labels={name: _label(trend, name, number) for name, number in place.items()},
            place=place,
            rows=rows,
            value=mine,
            error=usable,
            given=given,
            run=np.full(len(rows), -1) if run is None else run[series, rows].astype(np.int64),
            end=_times(end, series, rows),
            start=_times(start, series, rows),
        )


def _label(trend: xr.Dataset, dim: str, number: int) -> Any:
    return trend[dim].values[number] if dim in trend.coords else number


def _times(times: Any, series: int, rows: NDArray[np.intp]) -> NDArray[np.datetime64]:
    if times is None or not np.issubdtype(times.dtype, np.datetime64):
        return np.full(len(rows), np.datetime64("NaT"), dtype="datetime64[ns]")
    return times[series, rows].astype("datetime64[ns]")
