"""Two histograms bin by bin: their ratio, and how many of one have passed into the other."""

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.errors import DimsError, UsageError
from owtrend.histograms.labelled import matched, values
from owtrend.model import schema

__all__ = ["efficiency", "ratio"]

_COVERS = ("covers_from", "covers_to")
ONE_SIGMA = 0.682689492137  # TEfficiency's default confidence level


def ratio(numerator: xr.Dataset, denominator: xr.Dataset, *, sent_together: bool = False) -> xr.Dataset:
    """The ratio of two independent histograms per bin, with its error.

    Parameters
    ----------
    numerator, denominator
        As `Archive.histogram`, `increments` or `time_slice` give them, in bins that can be matched (equal, by label, or
        extended by ROOT); of profiles the means are divided. Rows in time must be the same in both, or only in one.
    sent_together
        Whether both are always sent in the same snapshots, so that one that did not change gained nothing.

    Returns
    -------
    :
        ``value``, NaN where the denominator is 0, and ``error``, by ``TH1::Divide``: of a / b it is
        sqrt(b**2 var(a) + a**2 var(b)) / b**2 with the variances of `values`. Read and computed at once. Of two time
        slices ``start`` and ``stop`` are the reports between which both gained it.

    Raises
    ------
    DimsError
        If one is no histogram, or their rows are not the same. If two time slices do not cover the same time, because
        the last report of one is older; unless ``sent_together``.
    BinningChangedError
        If their bins cannot be matched.

    Notes
    -----
    ROOT gives 0 with error 0 where the denominator is 0.
    """
    above, below = _matched(numerator, denominator, sent_together)
    a, b = values(above).compute(), values(below).compute()
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (a.value / b.value).where(b.value != 0)
        variance = (b.value**2 * a.variance + a.value**2 * b.variance) / b.value**4
    return _result(numerator, denominator, value=value, error=np.sqrt(variance).where(b.value != 0))


def efficiency(
    passed: xr.Dataset, total: xr.Dataset, *, level: float = ONE_SIGMA, sent_together: bool = False
) -> xr.Dataset:
    """Fraction of the entries of a histogram that another one, which holds some of them, has in each bin.

    Parameters
    ----------
    passed, total
        As `Archive.histogram`, `increments` or `time_slice` give them, in bins that can be matched; no profiles. Rows
        in time must be the same in both, or only in one.
    level
        Confidence level of the interval.
    sent_together
        As of `ratio`.

    Returns
    -------
    :
        Read and computed at once, over the dims of the contents:

        - ``value``: passed / total, NaN where the total is 0.
        - ``error``: sqrt((var(passed) (1 - 2 value) + var(total) value**2) / total**2), for counts the binomial
          sqrt(value (1 - value) / total) (``TH1::Divide``, option ``"B"``). It is 0 where all or none passed: then only
          the interval says how well the efficiency is known.
        - ``lower``, ``upper``: of counts the Clopper-Pearson interval (``TEfficiency::ClopperPearson``), which covers
          the truth at least as often as ``level`` says; (0, 1) where the total is 0. Of weighted histograms (a sumw2
          that is not the contents) value -+ error, scaled to ``level`` and cut to 0 and 1 (``TEfficiency`` with
          weighted events), NaN where the total is 0. ``attrs["interval"]`` says which.

        A bin that is NaN gives NaN.

    Raises
    ------
    DimsError
        If one is no histogram of contents, or their rows or times are not the same, as of `ratio`.
    BinningChangedError
        If their bins cannot be matched.
    UsageError
        If a bin has more passed than there are in total, or fewer than none (an increment from which entries moved
        away), so that it is no efficiency; or if ``level`` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise UsageError(f"level={level}: a confidence level is between 0 and 1")
    above, below = _matched(passed, total, sent_together)
    for histogram in (passed, total):
        if "contents" not in histogram:
            raise DimsError(f"{histogram.attrs.get('name')}: a profile has no efficiency; expected contents")
    k, n = xr.broadcast(above["contents"].compute(), below["contents"].compute())
    variances = [values(histogram).variance.compute() for histogram in (above, below)]
    _require_share(k, n, passed, total)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (k / n).where(n != 0)
        error = np.sqrt(abs(variances[0] * (1 - 2 * value) + variances[1] * value**2)) / abs(n)
    weighted = any("sumw2" in h and bool((h["sumw2"] != h["contents"]).any()) for h in (above, below))
    if weighted:
        lower, upper = _normal(value, error, level)
    else:
        lower, upper = _clopper_pearson(k, n, level)
    made = _result(passed, total, value=value, error=error, lower=lower, upper=upper)
    return made.assign_attrs(level=level, interval="normal" if weighted else "Clopper-Pearson")


def _normal(value: xr.DataArray, error: xr.DataArray, level: float) -> tuple[xr.DataArray, xr.DataArray]:
    """Value -+ quantile * error, cut to 0 and 1 (``TEfficiency::GetEfficiencyErrorUp`` with weighted events)."""
    from scipy.special import ndtri

    half = ndtri((1 + level) / 2) * error
    return (value - half).clip(0, 1), (value + half).clip(0, 1)


def _clopper_pearson(k: xr.DataArray, n: xr.DataArray, level: float) -> tuple[xr.DataArray, xr.DataArray]:
    """``TEfficiency::ClopperPearson``: quantiles of beta(k, n - k + 1) and beta(k + 1, n - k); 0 or 1 at the ends."""
    from scipy.special import betaincinv

    tail, missing = (1 - level) / 2, k.isnull() | n.isnull()
    lower = xr.apply_ufunc(betaincinv, k.where(k > 0, 1.0), n - k + 1, tail).where(k > 0, 0.0)
    upper = xr.apply_ufunc(betaincinv, k + 1, (n - k).where(k < n, 1.0), 1 - tail).where(k < n, 1.0)
    return lower.where(~missing), upper.where(~missing)


def _require_share(k: xr.DataArray, n: xr.DataArray, passed: xr.Dataset, total: xr.Dataset) -> None:
    """Raise UsageError unless 0 <= passed <= total in all bins."""
    wrong = ((k > n) | (k < 0)).values
    if wrong.any():
        first = dict(zip(k.dims, (int(axis[0]) for axis in np.nonzero(wrong)), strict=True))
        names = f"{passed.attrs.get('name')} of {total.attrs.get('name')}"
        raise UsageError(
            f"{names}: in {wrong.sum()} bins more have passed than there are, or fewer than none, first "
            f"{k.values[wrong][0]:g} of {n.values[wrong][0]:g} at {first}. Are they swapped? To leave such bins out, "
            "make them NaN by passed.assign(contents=passed.contents.where(...))"
        )


def _matched(one: xr.Dataset, other: xr.Dataset, sent_together: bool) -> tuple[xr.Dataset, xr.Dataset]:
    """Both, the second without coords by which xarray would align it; an error if bins, rows or times differ."""
    for histogram in (one, other):
        schema.require_histogram(histogram, rows=None)
    one, other = matched(one, other)
    names = f"{one.attrs.get('name')} and {other.attrs.get('name')}"
    rows, its_rows = _rows(one), _rows(other)
    if rows and its_rows:
        same = list(rows) == list(its_rows) and all(np.array_equal(rows[name], its_rows[name]) for name in rows)
        if not same:
            raise DimsError(f"{names}: their rows in time differ; choose the same of both, or make a slice of each")
    if not sent_together:
        _require_same_time(one, other)
    kept = [] if rows else [name for name, coord in other.coords.items() if schema.time_dim(other) in coord.dims]
    return one, other.drop_vars([name for name in other.coords if name not in kept])


def _require_same_time(one: xr.Dataset, other: xr.Dataset) -> None:
    """Raise DimsError if two time slices, as far as their reports go, are not of the same time."""
    times, its_times = _covered(one), _covered(other)
    if times is None or its_times is None or np.array_equal(times, its_times, equal_nan=True):
        return
    words = [
        f"{histogram.attrs.get('name')} ({', '.join('the beginning' if np.isnat(end) else _text(end) for end in ends)}]"
        for histogram, ends in ((one, times), (other, its_times))
    ]
    raise DimsError(
        f"by their reports {' and '.join(words)} UTC are not of the same time; choose start and stop at which both "
        "reported, as the trend ratio(...) does, or pass sent_together=True if one that did not change gained nothing"
    )


def _covered(histogram: xr.Dataset) -> NDArray[np.datetime64] | None:
    """The reports between which a time slice was gained; None of what is no time slice of a counter."""
    if "covers_from" not in histogram.coords or histogram["covers_from"].ndim or histogram.attrs.get("gauge"):
        return None
    return np.array([histogram[name].values for name in _COVERS], dtype="datetime64[ns]")


def _text(time: np.datetime64) -> str:
    return str(np.datetime_as_string(time, "s"))


def _rows(histogram: xr.Dataset) -> dict[str, NDArray[Any]]:
    """Coordinates of the rows of a histogram; none if it has no rows."""
    dim = schema.time_dim(histogram)
    if dim not in histogram.dims:
        return {}
    return {name: histogram[name].values for name in (schema.TIME, "run") if dim in histogram[name].dims}


def _result(one: xr.Dataset, other: xr.Dataset, **made: xr.DataArray) -> xr.Dataset:
    made = {name: array.drop_vars(schema.RECEIVED, errors="ignore") for name, array in made.items()}
    attrs = {name: one.attrs[name] for name in ("subsystem", "flow", "variable_axes")}
    result = xr.Dataset(made, attrs={"name": f"{one.attrs['name']} / {other.attrs['name']}", **attrs})
    if _covered(one) is None or _covered(other) is None:
        return result
    return result.drop_vars(_COVERS).assign_coords(start=one["covers_from"].values, stop=one["covers_to"].values)
