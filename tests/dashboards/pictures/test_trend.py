"""Trends show each measurement with its error; several runs lie side by side, without the time between."""

import holoviews as hv
import numpy as np
import pytest
from bokeh.models import BoxAnnotation

from dashboards.pictures import theme
from dashboards.pictures.trend import Timeline, time_limits, trend, trend_by_run


@pytest.fixture
def table(archive):
    return archive.trend("EMC", "plain", "mean_x", run=300000).load()


@pytest.fixture
def both(archive):
    return archive.trend("EMC", "plain", "mean_x", runs=[300000, 300001]).load()


def layer(picture, kind, index=0):
    return [part for part in picture if type(part) is kind][index]


def column(element, name):
    return element.dimension_values(name)


def drawn(picture):
    return hv.renderer("bokeh").get_plot(picture)


@pytest.mark.slow
def test_points_have_their_errors_and_what_has_no_value_is_left_out(table):
    table["value"].values[2] = np.nan
    picture = trend(table)
    points, bars = layer(picture, hv.Scatter), layer(picture, hv.Segments)
    np.testing.assert_array_equal(column(points, "time"), np.delete(table["time"].values, 2))
    np.testing.assert_array_equal(column(points, "error"), np.delete(table["error"].values, 2))
    np.testing.assert_allclose(column(bars, "high"), np.delete((table["value"] + table["error"]).values, 2))
    nothing = trend(table.assign(value=table["value"] * np.nan))
    assert len(layer(nothing, hv.Scatter)) == 0
    assert np.isfinite(drawn(nothing).handles["y_range"].end)


@pytest.mark.slow
def test_a_snapshot_without_a_report_is_a_tick_on_the_lower_edge_and_not_on_the_line(table):
    table["reported"].values[1] = False
    table["value"].values[1] = -1000  # no measurement, so that it squeezes nothing
    picture = trend(table)
    ticks, low = layer(picture, hv.Segments, 1), drawn(picture).handles["y_range"].start
    assert column(ticks, "time").tolist() == table["time"].values[1:2].tolist()
    assert column(ticks, "value").tolist() == [low] != [-1000]
    assert len(layer(picture, hv.Scatter)) == len(layer(picture, hv.Curve)) == table.sizes["time"] - 1


def test_restarts_and_gaps_are_marked_where_they_are(table):
    times = table["time"].values
    restart = layer(trend(table), hv.VLines)
    np.testing.assert_array_equal(column(restart, "time"), times[table["restart"].values])
    assert len(restart) == 1
    gap = layer(trend(table, gaps=[(times[1], times[2], 300000)]), hv.VSpans)
    assert (column(gap, "time"), column(gap, "until")) == (times[1:2], times[2:3])
    table["restart"].values[:] = False
    assert not [part for part in trend(table) if type(part) in (hv.VLines, hv.VSpans)]


@pytest.mark.slow
def test_a_trend_is_drawn_over_utc_time_with_the_interval_shaded(table):
    shade = BoxAnnotation()
    figure = drawn(trend(table, shade=shade, label="rate [Hz]")).state
    assert shade in figure.select(BoxAnnotation)
    assert figure.xaxis[0].__class__.__name__ == "DatetimeAxis"
    assert np.datetime64(figure.x_range.start) == np.datetime64("2018-06-01T12:00")
    assert (figure.xaxis[0].axis_label, figure.yaxis[0].axis_label) == ("UTC", "rate [Hz]")


@pytest.mark.parametrize("chosen", [300000, 300001])
def test_the_time_between_runs_is_cut_out_and_the_chosen_run_stays_where_it_is(both, chosen):
    line = Timeline.from_table(both, chosen)
    assert line.runs == (300000, 300001)
    assert line.shifts[line.runs.index(chosen)] == np.timedelta64(0)
    (first, end), (begin, last) = line.spans
    assert end < begin < end + np.timedelta64(2, "m")
    minutes = [shift / np.timedelta64(1, "m") for shift in line.shifts]
    assert minutes == np.round(minutes).tolist(), "so that round times stay round"
    assert (line.run_at(first), line.run_at(last), line.run_at(end + (begin - end) / 2)) == (300000, 300001, None)


@pytest.mark.slow
def test_several_runs_have_their_colours_and_true_times_in_the_tooltip(both):
    colours = {300000: theme.BLUE, 300001: theme.RUNS[0]}
    timeline = Timeline.from_table(both, 300000)
    picture = trend(both, colours=colours, timeline=timeline)
    points = layer(picture, hv.Scatter)
    np.testing.assert_array_equal(column(points, "utc"), both["time"])
    assert column(points, "time").max() < both["time"].values.max()
    assert sorted(set(column(points, "colour"))) == sorted(colours.values())
    assert np.flatnonzero(np.isnan(column(layer(picture, hv.Curve), "value"))) == [6], "runs are not joined"
    assert column(layer(picture, hv.Labels), "name").tolist() == ["Run 300000", "Run 300001"]
    figure = drawn(picture).state
    assert len(figure.xaxis[0].formatter.args["spans"]) == 2
    assert "without the time between" in figure.xaxis[0].axis_label


def test_runs_as_points_side_by_side(archive):
    table = archive.trend("EMC", "plain", "entries", runs=[300000, 300001], every="run")
    picture = trend_by_run(table, colours={300001: theme.RUNS[0]})
    points = layer(picture, hv.Scatter)
    assert column(points, "number").tolist() == [0, 1]
    np.testing.assert_array_equal(column(points, "value"), table["value"])
    assert column(points, "colour").tolist() == [theme.BLUE, theme.RUNS[0]]
    assert list(drawn(picture).state.xaxis[0].major_label_overrides.values()) == ["300000", "300001"]


def test_limits_of_a_single_snapshot():
    only = np.array(["2018-06-01T12:00"], dtype="datetime64[ns]")
    assert time_limits(only)[0] < only[0] < time_limits(only)[1]
