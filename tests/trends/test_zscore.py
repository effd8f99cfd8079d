"""Scores of trends: labels, rows that tell nothing, what is refused."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from owtrend.errors import DimsError, UsageError
from owtrend.trends.zscore import mad_zscore, rate_zscore, zscore

TIME = pd.date_range("2018-06-01", periods=100, freq="60s")


def trend(value, error=1.0):
    return xr.Dataset({"value": ("time", value), "error": ("time", np.full(len(value), error))}, {"time": TIME})


def noise(seed=1):
    value = np.random.default_rng(seed).standard_normal(100)
    value[70] = 9
    return value


@pytest.mark.parametrize("score", [mad_zscore, zscore])
def test_an_outlier_stands_out_and_rows_without_a_report_have_no_score(score):
    value = noise()
    value[20], reported = 1e6, np.arange(100) != 20
    scored = score(trend(value).assign_coords(reported=("time", reported)), window=30)
    assert scored["score"].dims == ("time",)
    assert np.nanargmax(scored["score"].values) == 70
    assert scored["p_value"][70] < 1e-4
    assert np.isnan(scored["score"][20])
    assert np.isnan(scored["score"][:4]).all()
    np.testing.assert_allclose(scored["score"], (scored["value"] - scored["expected"]) / scored["sigma"])


def test_each_series_of_many_is_scored_on_its_own():
    both = xr.concat([trend(noise(1)), trend(noise(2))], pd.Index(["a", "b"], name="histogram"))
    scored = mad_zscore(both.transpose("time", "histogram"))
    assert scored["score"].dims == ("time", "histogram")
    np.testing.assert_array_equal(scored["score"].sel(histogram="b"), mad_zscore(trend(noise(2)))["score"])


def test_the_rate_is_taken_out():
    rate = xr.DataArray(np.geomspace(500, 200, 100), {"time": TIME}, "time")
    given = trend(noise() + 0.5 * rate.values)
    scored = rate_zscore(given, rate)
    assert np.flatnonzero(np.abs(scored["score"]) > 5).tolist() == [70]
    assert mad_zscore(given)["score"][70] < 3
    with_gap = rate_zscore(given, rate.where(np.arange(100) != 50))
    assert np.isnan(with_gap["score"][50])
    assert rate_zscore(given, rate.to_dataset(name="value"))["score"].equals(scored["score"])


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="window=3"):
        mad_zscore(trend(noise()), window=3)
    with pytest.raises(DimsError, match="expected 100 numbers over time"):
        rate_zscore(trend(noise()), xr.DataArray([1.0], dims="time"))
    with pytest.raises(DimsError, match="its time is not that of the trend"):
        rate_zscore(trend(noise()), xr.DataArray(np.ones(100), {"time": TIME + pd.Timedelta("1s")}, "time"))
    with pytest.raises(DimsError, match="expected a trend"):
        zscore(xr.Dataset())


@pytest.mark.parametrize("with_errors", [True, False])
def test_errors_that_shrink_with_a_fault_do_not_hide_it(with_errors):
    rng = np.random.default_rng(0)
    value = rng.poisson(70000, 600) * rng.normal(1, 0.03, 600)
    value[300:420] *= 0.02  # a sector is lost
    trend = xr.Dataset({"value": ("time", value)}, coords={"time": pd.date_range("2020", periods=600, freq="min")})
    if with_errors:
        trend["error"] = "time", np.sqrt(value)
    score = np.abs(mad_zscore(trend, window=400)["score"].values)
    assert score[300:420].min() > 8
    assert np.median(score[300:420]) > 15
    good = np.concatenate([score[100:300], score[420:]])
    assert np.median(good) < 1.5
    assert np.mean(good > 5) < 0.01
