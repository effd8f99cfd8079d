"""Change points of trends: labels, rows that tell nothing, runs and years, epochs."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import owtrend
from owtrend.errors import DimsError, UsageError
from owtrend.trends.changepoint import change_points, epochs, noticed

START = np.datetime64("2018-06-01T12:00:00", "ns")


def trend(value, error=0.1, every=60, **coords):
    time = START + np.arange(1, len(value) + 1) * np.timedelta64(every, "s")
    start = time - np.timedelta64(every, "s")
    start[:1] = np.datetime64("NaT")
    own = {"start": ("time", start), "exposure": ("time", (time - start) / np.timedelta64(1, "s")), "run": 300000}
    own["reported"] = ("time", np.ones(len(value), dtype=bool))
    variables = {"value": ("time", np.asarray(value, dtype=float)), "error": ("time", np.full(len(value), error))}
    return xr.Dataset(variables, coords={"time": time, **own, **coords})


def stepped(n=60, at=30, step=0.5, seed=1):
    return 5 + 0.1 * np.random.default_rng(seed).standard_normal(n) + step * (np.arange(n) >= at)


def test_a_step_comes_with_time_size_and_probability():
    (found,) = owtrend.change_points(trend(stepped())).to_dict("records")
    assert (found["lower"], found["index"], found["upper"]) == (30, 30, 30)
    assert found["run"] == 300000
    assert found["time"] == pd.Timestamp(START) + pd.Timedelta(minutes=30)  # after the end of the last point before
    assert found["before"] == pytest.approx(5, abs=0.06)
    assert found["step"] == pytest.approx(0.5, abs=0.1)
    assert found["step_sigma"] == pytest.approx(found["step"] / 0.1)
    assert found["probability"] > 0.999999
    assert not found["drift"]


def test_rows_that_did_not_report_or_are_nan_change_nothing():
    value = stepped()
    once = change_points(trend(value))
    spread = np.full(300, np.nan)
    spread[::5] = value
    spread[1::5] = 1e6  # values where nothing was reported
    wide = trend(spread).assign_coords(reported=("time", np.arange(300) % 5 == 0))
    found = change_points(wide)
    assert (found["index"] == 5 * once["index"]).all()
    np.testing.assert_allclose(found["probability"], once["probability"])
    np.testing.assert_allclose(found["after"], once["after"])


def test_without_a_change_or_points_the_table_has_its_columns():
    full = change_points(trend(stepped()))
    for value in (np.empty(0), np.full(40, 3.0), np.full(10, np.nan), stepped(step=0)):
        table = change_points(trend(value))
        assert table.columns.tolist() == full.columns.tolist()
        assert len(table) == 0
        assert len(epochs(trend(value))) == (np.isfinite(value).any())


def test_each_histogram_and_reductor_is_a_series_of_its_own():
    one, other = trend(stepped(at=20)), trend(stepped(at=40, seed=2))
    both = xr.concat([one, other], pd.Index(["a", "b"], name="histogram"), data_vars="all", coords="minimal")
    found = change_points(both.expand_dims(reductor=["mean_x"]))
    assert found[["histogram", "reductor", "index"]].to_numpy().tolist() == [["a", "mean_x", 20], ["b", "mean_x", 40]]


def test_over_runs_the_change_is_at_the_begin_of_a_run():
    runs = np.arange(300000, 300050)
    start = START + np.arange(50) * np.timedelta64(5, "h")
    value = 1 + 0.01 * np.random.default_rng(3).standard_normal(50) + 0.05 * (runs >= 300030)
    summary = xr.Dataset(
        {"value": ("run", value), "error": ("run", np.full(50, 0.01))},
        coords={"run": runs, "start": ("run", start), "stop": ("run", start + np.timedelta64(4, "h"))},
    )
    (found,) = change_points(summary).to_dict("records")
    assert (found["index"], found["run"], found["time"]) == (30, 300030, pd.Timestamp(start[30]))
    table = epochs(summary)
    ends = table[["first_run", "last_run", "points"]].to_numpy()
    assert ends.tolist() == [[300000, 300029, 30], [300030, 300049, 20]]
    assert table["stop"].iloc[0] == pd.Timestamp(start[29] + np.timedelta64(4, "h"))


def test_without_errors_points_count_by_their_exposure():
    rng = np.random.default_rng(4)
    exposure = rng.choice([10.0, 1000.0], 200)
    value = rng.standard_normal(200) / np.sqrt(exposure) + 0.06 * (np.arange(200) >= 100)
    given = trend(value).drop_vars("error").assign_coords(exposure=("time", exposure))
    assert change_points(given)["index"].sub(100).abs().tolist() in ([0], [1], [2], [3])
    assert len(change_points(given.drop_vars("exposure"))) == 0  # all alike: lost in the noise of the short ones


def test_epochs_of_accepted_changes_only():
    value = stepped(90, seed=2) + 0.4 * (np.arange(90) >= 60)
    found = change_points(trend(value))
    assert found["index"].tolist() == [30, 60]
    assert epochs(trend(value))["points"].tolist() == [30, 30, 30]
    accepted = epochs(trend(value), found[found["index"] == 60])
    assert accepted[["epoch", "first", "last", "points"]].to_numpy().tolist() == [[0, 0, 59, 60], [1, 60, 89, 30]]
    assert np.isnan(accepted["probability"].iloc[0])
    assert accepted["chi2_ndf"].iloc[0] > 2 > accepted["chi2_ndf"].iloc[1]
    with pytest.raises(UsageError, match="not of this trend"):
        epochs(trend(value), found.assign(index=1000))


def test_noticed_tells_how_late():
    found = noticed(trend(stepped(at=40, step=0.3)))
    assert len(found) == 1
    row = found.iloc[0]
    assert row["raised"] == row["index"] + row["delay"] - 1
    assert abs(row["index"] - 40) <= 2
    assert row["delay"] <= 7
    assert row["wait"] == row["time"] - row["since"] == row["delay"] * pd.Timedelta(minutes=1)


@pytest.mark.parametrize("options", [{"false_rate": 0}, {"false_rate": 0.9}, {"level": 1}, {"shortest": 2}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UsageError):
        change_points(trend(stepped()), **options)
    with pytest.raises(UsageError):
        noticed(trend(stepped()), every=3)


def test_what_is_no_trend_is_refused():
    with pytest.raises(DimsError, match="expected a trend"):
        change_points(xr.Dataset({"contents": ("x", [1.0])}))
    with pytest.raises(DimsError, match="expected a trend"):
        change_points(trend(stepped())["value"])
