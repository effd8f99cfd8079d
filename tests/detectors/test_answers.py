"""What plug-ins say of an interval is what ROOT says of a histogram that was filled in this interval only."""

import numpy as np
import pytest

import owtrend
from owtrend.detectors import detector
from owtrend.detectors.trends import kept_trends
from owtrend.errors import NotFoundError, UsageError

RUN, START = 300000, "12:00"


def test_hot_channels_are_those_of_root(monitored, answers):
    found = monitored.hot_channels("EMC", RUN, START)
    for name, expected in answers["hot_channels"].items():
        rows = found[found["histogram"] == name].sort_values("channel")
        assert rows["channel"].tolist() == [channel for channel, *_ in expected], name
        np.testing.assert_allclose(rows[["rate", "error"]], [row[1:] for row in expected], rtol=1e-6)
    assert set(found["histogram"]) == set(answers["hot_channels"])


def test_events_are_those_of_the_interval_not_of_the_first_snapshot(monitored):
    """With the first snapshot's 1,000 events more channels would be hot: 16 fills of 9,000 events are not."""
    name = "EMCTRQA_histFastORL0"
    found = monitored.hot_channels("EMC", RUN, START, select=[name])
    gained = owtrend.time_slice(monitored.histogram("EMC", name, run=RUN), START)
    first = gained["contents"].values / 1000
    assert len(found) == 2
    assert (first > 0.01).sum() == 9


def test_the_threshold_and_the_scaling_are_options(monitored):
    name = "EMCTRQA_histFastORL0"
    whole = monitored.hot_channels("EMC", RUN, START, select=[name], options={"hot_channel_threshold": "0.0133"})
    none = monitored.hot_channels("EMC", RUN, START, select=[name], options={"hot_channel_threshold": 0.0134})
    counts = monitored.hot_channels(
        "EMC", RUN, START, select=[name], options={"scale_events": "no", "hot_channel_threshold": 119}
    )
    assert (len(whole), len(none)) == (2, 0)
    assert counts["rate"].tolist() == [120, 120]
    with pytest.raises(UsageError, match="expected a number from 0 to"):
        monitored.hot_channels("EMC", RUN, options={"hot_channel_threshold": -1})
    with pytest.raises(NotFoundError, match="did you mean 'scale_events'"):
        monitored.hot_channels("EMC", RUN, options={"scale_event": True})


def test_hot_channels_have_their_place_in_words(monitored):
    found = monitored.hot_channels("EMC", RUN, START).set_index(["histogram", "channel"])["place"]
    assert found["EMCTRQA_histFastORL0", 33] == "supermodule 0, TRU 0, FastOR 33 (column 2, row 9)"
    assert found["EMCTRQA_histFastORL0LargeAmp", 3200] == "supermodule 12, TRU 33, FastOR 3200 (column 10, row 72)"


def test_derived_histograms_are_those_of_root(monitored, answers):
    made = monitored.derived("TPC", RUN, START)
    assert set(made) == set(answers["derived"])
    for name, expected in answers["derived"].items():
        content = made[name]["contents"].values
        filled = [[*(int(at) + 1 for at in cell), content[cell]] for cell in zip(*np.nonzero(content), strict=True)]
        assert sorted(filled) == expected, name


def test_a_projection_is_a_histogram_and_its_trend_one_of_its_source(monitored):
    name = "Eta_postracks"
    rows = monitored.histogram("TPC", name, run=RUN)
    assert rows.attrs["title"].startswith("Eta, positive tracks")
    assert rows.sizes["time"] == 3
    sliced = owtrend.time_slice(rows, START)
    np.testing.assert_array_equal(
        sliced["contents"], monitored.derived("TPC", RUN, START, select=[name])[name].contents
    )
    trend = monitored.trend("TPC", name, "mean_y", run=RUN)
    gained = owtrend.increments(rows)["contents"]
    np.testing.assert_allclose(trend["value"], (gained * rows["y"]).sum("y") / gained.sum("y"))
    with pytest.raises(UsageError, match="has the axes y"):
        monitored.trend("TPC", name, "mean_x", run=RUN)


@pytest.mark.slow
def test_trends_of_hlt_are_those_of_root(monitored, answers):
    declared = {pattern: one.reductors for one in detector("HLT").trends for pattern in one.patterns}
    assert set(declared) == set(answers["hlt_trends"])
    for name, expected in answers["hlt_trends"].items():
        largest, mean, std = (monitored.trend("HLT", name, one, run=RUN) for one in declared[name])
        np.testing.assert_allclose(largest["value"], [row["GetMaximum"] for row in expected], err_msg=name)
        for trend, method in ((mean, "GetMean"), (std, "GetStdDev")):
            np.testing.assert_allclose(trend["value"], [row[method] for row in expected], rtol=1e-6, err_msg=name)
            errors = [row[f"{method}Error"] for row in expected]
            np.testing.assert_allclose(trend["error"], errors, rtol=1e-5, err_msg=name)


def test_trends_of_tpc_in_a_range_are_those_of_root(monitored, answers):
    entries = monitored.stored("TPC").registry.histograms.values()
    kept = kept_trends(detector("TPC"), entries)
    assert set(kept) == set(answers["tpc_trends"])
    for name, expected in answers["tpc_trends"].items():
        (spec,) = kept[name]
        trend = monitored.trend("TPC", name, spec, run=RUN)
        np.testing.assert_allclose(trend["value"], [row["GetMean"] for row in expected], rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(trend["error"], [row["GetMeanError"] for row in expected], rtol=1e-5, err_msg=name)
