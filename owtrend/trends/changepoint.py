"""Where a trend took another level, within a run or over years; the epochs between; when it would have been noticed."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from owtrend.errors import UsageError
from owtrend.kernels.series import changepoint as kernels
from owtrend.kernels.series import changepoint_null, glr
from owtrend.kernels.series.noise import clipped, noise
from owtrend.trends.series import Points, points_of

__all__ = ["change_points", "epochs", "noticed"]

_CHANGES = [
    "index", "run", "time", "lower", "upper", "time_lower", "time_upper", "before", "before_error", "after",
    "after_error", "step", "step_sigma", "significance", "probability", "drift", "scale", "correlation",
]  # fmt: skip
_EPOCHS = [
    "epoch", "first", "last", "start", "stop", "first_run", "last_run", "points", "value", "error", "chi2_ndf",
    "probability",
]  # fmt: skip
_NOTICED = ["raised", "run", "time", "index", "since", "delay", "wait", "before", "after", "significance"]


def change_points(
    trend: xr.Dataset, *, false_rate: float = 0.04, shortest: int = kernels.SHORTEST, level: float = 0.95
) -> pd.DataFrame:
    """Where a trend took another level, each with its time, size and probability.

    The number of changes is found, too: the best fit of constant levels, exactly, with points weighted by their errors,
    at the penalty per change at which a series of as many points without any change is given one at most in a share
    ``false_rate`` of cases. See docs/explanation/changepoints.md.

    Parameters
    ----------
    trend
        As `Archive.trend` or `Archive.trends` give it: ``value`` and, if there is one, ``error`` over ``time``,
        ``snapshot`` or ``run``, in order of time. Each histogram and reductor is a series of its own. Rows that are NaN
        or not ``reported`` tell nothing and are left out. Errors below the scatter of successive points are enlarged;
        without errors, points count by ``exposure``.
    false_rate
        Share of series without a change that may be given one; per series.
    shortest
        Points that a level lasts at least, 3 or more; shorter excursions are outliers.
    level
        Probability that the change lies in its interval.

    Returns
    -------
    :
        One row per change, in order, after the columns of the other dims:

        - ``index``: row of ``trend`` that is the first at the new level; ``lower``, ``upper``: interval of it.
        - ``run`` of that row; ``time``, ``time_lower``, ``time_upper``: the change was after this (UTC).
        - ``before``, ``after``: levels with their errors; ``step`` between them; ``step_sigma``: in units of the error
          of one point, enlarged if need be.
        - ``significance``: of the step, in sigma at its own place, of which there are many.
        - ``probability``: 1 - the chance that a series of as many points without a change has one as clear anywhere.
        - ``drift``: one straight line describes this step, and neighbouring ones in the same direction, as well.
        - ``scale``: by which errors were enlarged (NaN without errors); ``correlation`` of successive points, allowed
          for.

    Raises
    ------
    DimsError
        If it is no trend.
    UsageError
        If an option is out of its range.
    """
    if not 0 < false_rate <= 0.5 or not 0 < level < 1:
        raise UsageError(f"false_rate={false_rate} must be above 0, at most 0.5; level={level} between 0 and 1")
    if shortest < kernels.SHORTEST:
        raise UsageError(f"shortest={shortest}: a level lasts at least {kernels.SHORTEST} points")
    rows = [row for one in points_of(trend) for row in _changes(one, false_rate, shortest, level)]
    return _frame(rows, trend, _CHANGES)


def _changes(points: Points, false_rate: float, shortest: int, level: float) -> Iterator[dict[str, Any]]:
    n = len(points.value)
    if n < 2 * shortest:
        return
    factor, correlation, estimated = noise(points.value, points.error, points.given)
    sigma = points.error * factor
    value = clipped(points.value, sigma, kernels.CLIP)
    penalty = changepoint_null.penalty(n, estimated, false_rate)
    begins = kernels.segments(value, sigma, penalty, shortest)
    where, strength, drift = kernels.described(value, sigma, begins, shortest, level, penalty)
    mean, error, _ = kernels.levels(value, sigma, where[:, 0])
    for c, (here, lower, upper) in enumerate(where.tolist()):
        step = mean[c + 1] - mean[c]
        yield points.labels | {
            "index": points.rows[here],
            "run": points.run[here],
            "time": points.turn(here),
            "lower": points.rows[lower],
            "upper": points.rows[upper],
            "time_lower": points.turn(lower),
            "time_upper": points.end[upper],
            "before": mean[c],
            "before_error": error[c],
            "after": mean[c + 1],
            "after_error": error[c + 1],
            "step": step,
            "step_sigma": step / np.median(sigma),
            "significance": np.sqrt(strength[c]),
            "probability": 1 - changepoint_null.chance(n, estimated, strength[c]),
            "drift": bool(drift[c]),
            "scale": factor if points.given else np.nan,
            "correlation": correlation,
        }


def epochs(trend: xr.Dataset, changes: pd.DataFrame | None = None) -> pd.DataFrame:
    """The times between changes, each with its level: what may serve as a reference.

    Parameters
    ----------
    trend
        As of `change_points`.
    changes
        Of `change_points`, perhaps without those that a person did not accept; None: all that it finds.

    Returns
    -------
    :
        One row per epoch, in order, after the columns of the other dims: ``epoch`` from 0; ``first`` and ``last`` row
        of ``trend`` with a value, ``start`` and ``stop`` (UTC), ``first_run``, ``last_run``; ``points``;
        ``value`` with its ``error``, weighted, points beyond 3 sigma of their neighbours drawn in; ``chi2_ndf`` about
        it; ``probability`` that it begins with a change, NaN for the first.

    Raises
    ------
    DimsError
        If it is no trend.
    UsageError
        If ``changes`` are not of this trend.
    """
    known = change_points(trend) if changes is None else changes
    rows: list[dict[str, Any]] = []
    for points in points_of(trend):
        mine = known
        for name, label in points.labels.items():
            mine = mine[mine[name] == label]
        mine = mine.sort_values("index")
        begins = np.searchsorted(points.rows, mine["index"].to_numpy(dtype=np.int64))
        if len(begins) and (begins[-1] >= len(points.rows) or (points.rows[begins] != mine["index"]).any()):
            where = mine["index"].tolist()
            raise UsageError(f"changes at rows {where} are not of this trend; call change_points for it")
        if len(points.value):
            rows += _epochs(points, begins.astype(np.int64), mine["probability"].tolist())
    return _frame(rows, trend, _EPOCHS)


def _epochs(points: Points, begins: NDArray[np.int64], probability: list[float]) -> Iterator[dict[str, Any]]:
    n = len(points.value)
    factor, _, _ = noise(points.value, points.error, points.given)
    sigma = points.error * factor
    mean, error, chi2 = kernels.levels(clipped(points.value, sigma, kernels.CLIP), sigma, begins)
    bounds = [0, *begins.tolist(), n]
    for e, (first, stop) in enumerate(pairwise(bounds)):
        yield points.labels | {
            "epoch": e,
            "first": points.rows[first],
            "last": points.rows[stop - 1],
            "start": points.turn(first),
            "stop": points.end[stop - 1],
            "first_run": points.run[first],
            "last_run": points.run[stop - 1],
            "points": stop - first,
            "value": mean[e],
            "error": error[e],
            "chi2_ndf": chi2[e] / (stop - first - 1) if stop - first > 1 else np.nan,
            "probability": probability[e - 1] if e else np.nan,
        }


def noticed(trend: xr.Dataset, *, every: float = 10_000) -> pd.DataFrame:
    """The changes of a trend as they would have been noticed while it came in, and how late.

    Each is found from the points up to ``raised`` alone: later points change nothing.

    Parameters
    ----------
    trend
        As of `change_points`.
    every
        Points of a series without a change per false alarm, at least: 10,000 are a week of one a minute.

    Returns
    -------
    :
        One row per alarm, in order, after the columns of the other dims:

        - ``raised``: row of ``trend`` at which it was noticed; its ``run``, and ``time`` (end of the increment, UTC).
        - ``index``: first row at the new level as it looked then; the change was after ``since`` (UTC).
        - ``delay``: points from ``index`` to ``raised``, both included; ``wait``: time from ``since`` to ``time``.
        - ``before``, ``after``: levels; ``significance``: of the step, in sigma at its own place.

    Raises
    ------
    DimsError
        If it is no trend.
    UsageError
        If ``every`` is less than 100.
    """
    if every < 100:
        raise UsageError(f"every={every}: one false alarm in at least 100 points")
    rows = [row for points in points_of(trend) for row in _alarms(points, changepoint_null.threshold(every))]
    return _frame(rows, trend, _NOTICED)


def _alarms(points: Points, threshold: float) -> Iterator[dict[str, Any]]:
    raised, begins, strength = glr.alarms(points.value, points.error, points.given, threshold)
    since = 0
    for at, begin, clear in zip(raised.tolist(), begins.tolist(), strength.tolist(), strict=True):
        mean, _, _ = kernels.levels(
            points.value[since : at + 1], points.error[since : at + 1], np.array([begin - since])
        )
        since = begin
        yield points.labels | {
            "raised": points.rows[at],
            "run": points.run[at],
            "time": points.end[at],
            "index": points.rows[begin],
            "since": points.turn(begin),
            "delay": at - begin + 1,
            "wait": points.end[at] - points.turn(begin),
            "before": mean[0],
            "after": mean[1],
            "significance": np.sqrt(clear),
        }


def _frame(rows: Iterable[dict[str, Any]], trend: xr.Dataset, columns: list[str]) -> pd.DataFrame:
    """A table with its columns also where it has no rows."""
    others = [str(dim) for dim in trend["value"].dims if dim not in ("time", "snapshot", "run")]
    return pd.DataFrame(list(rows), columns=[*others, *columns])
