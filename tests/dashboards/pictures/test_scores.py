"""The trend of scores is calm when all is well, and marks findings by colour and sign, with their reason."""

import holoviews as hv
import numpy as np
import pandas as pd
import pytest
from bokeh.models import BoxAnnotation

from dashboards.pictures import scores, theme
from dashboards.pictures.trend import Timeline
from owtrend.outliers import monitor


@pytest.fixture
def table(scored):
    found = scored.scores("EMC", ["odd"], runs=[1, 2, 3])
    return found.drop_vars("z").isel(histogram=0, drop=True).load()


@pytest.fixture
def rows(scored):
    found = scored.findings("EMC", runs=[3])
    return found[found["score"].isin(monitor.SCORES)]


def finding(score, z=np.nan, minute=15, why="why", certain=False):
    stop = pd.Timestamp(f"2018-06-01T14:{minute}")
    times = {"start": stop - pd.Timedelta("1min"), "stop": stop, "report": pd.Timedelta("1min")}
    words = {"subsystem": "EMC", "run": 3, "histograms": ("odd",), "score": score, "why": why}
    return times | words | {"z": z, "certain": certain}


def picture(table, findings, **options):
    return scores.score_trend(table, findings, Timeline.from_table(table, 3), **options)


def layers(picture, kind):
    return [part for part in picture if type(part) is kind]


def column(element, name):
    return element.dimension_values(name)


def drawn(picture):
    return hv.renderer("bokeh").get_plot(picture)


def test_every_report_is_a_point_with_its_score(table):
    points, *marks = layers(picture(table, pd.DataFrame([finding("bin", 5.0)])[:0]), hv.Scatter)
    known = np.isfinite(table["total"].values)
    assert (len(points), marks) == (known.sum(), [])
    np.testing.assert_array_equal(column(points, "z"), table["total"].values[known])
    np.testing.assert_array_equal(column(points, "utc"), table["time"].values[known])
    assert known.sum() < len(known), "the first report of all has no reference"


def test_scores_better_than_normal_lie_at_zero_and_larger_ones_higher(table):
    table["total"].values[-4:] = [-30, 0, 5, 500]
    (points,) = layers(picture(table, pd.DataFrame([finding("bin", 5.0)])[:0]), hv.Scatter)
    low, zero, five, large = column(points, "score")[-4:]
    assert low == zero == 0 < five < large < 10 * five, "500 sigma does not squeeze the threshold"


def test_a_calm_run_keeps_its_threshold_in_the_middle_and_shows_no_marks(table):
    table["total"].values[:] = 0.5
    overlay = picture(table, pd.DataFrame([finding("bin", 5.0)])[:0])
    (lines,) = layers(overlay, hv.Segments)
    y_range = drawn(overlay).handles["y_range"]
    shares = column(lines, "score") / y_range.end
    assert len(lines) == 3, "of each run"
    assert ((shares > 0.3) & (shares < 0.8)).all()
    assert not layers(overlay, hv.Scatter)[1:]


def test_thresholds_lie_between_the_right_ticks(table):
    overlay = picture(table, pd.DataFrame([finding("bin", 5.0)])[:0])
    (lines,) = layers(overlay, hv.Segments)
    ticks = {text: at for at, text in drawn(overlay).state.yaxis[0].major_label_overrides.items()}
    (threshold,) = set(np.round(table["threshold"].values, 3))
    heights = {float(text): at for text, at in ticks.items()}
    under, over = max(v for v in heights if v < threshold), min(v for v in heights if v > threshold)
    assert heights[under] < column(lines, "score")[0] < heights[over]


def test_findings_are_marked_at_their_time_and_score_with_their_reason(table, rows):
    overlay = picture(table, rows)
    (points, marks), (line,) = layers(overlay, hv.Scatter), layers(overlay, hv.Curve)
    np.testing.assert_array_equal(column(marks, "utc"), rows["stop"].values)
    np.testing.assert_array_equal(column(marks, "z"), rows["z"])
    assert "position [cm] 2 to 3: 0 counts where" in column(marks, "why")[0]
    at = np.isin(column(line, "time"), column(marks, "time"))
    np.testing.assert_allclose(column(line, "score")[at], column(marks, "score"), rtol=1e-3)
    assert not np.isin(column(points, "utc"), column(marks, "utc")).any(), "one sign for one report"
    assert len(points) + len(marks) == np.isfinite(table["total"].values).sum()
    assert (column(marks, "score") > column(layers(overlay, hv.Segments)[0], "score")[-1]).all()
    begin = rows["stop"].iloc[0]
    assert column(marks, "heading")[0].startswith(f"{begin:%F %T} UTC · ")
    assert column(marks, "heading")[0].endswith(f" · {rows['z'].iloc[0]:.1f} sigma")


def test_kinds_of_findings_differ_in_shape_and_in_colour_from_points(table):
    scored = [finding("bin", 6.0), finding("fraction", 9.0), finding("rate", 4.5)]
    findings = pd.DataFrame([*scored, finding("restart", certain=True)])
    points, *marks = layers(picture(table, findings), hv.Scatter)
    styles = [mark.opts.get("style").kwargs for mark in marks]
    assert [style["marker"] for style in styles] == ["triangle", "square", "diamond", "x"]
    assert {style["color"] for style in styles} == {theme.VERMILION}
    assert theme.VERMILION not in column(points, "colour")
    height = [column(mark, "score")[0] for mark in marks]
    assert height[2] < height[0] < height[1] < height[3], "by z, and certain findings on top"
    html = scores.key(findings, table["threshold"].values)
    for sign in ("▲", "■", "◆", "✕", f"threshold {table['threshold'].values[0]:.1f}"):
        assert sign in html


def test_a_finding_after_the_last_row_is_marked_at_the_end_of_its_run(table):
    findings = pd.DataFrame([finding("after_end", certain=True, minute=59)])
    _, mark = layers(picture(table, findings), hv.Scatter)
    assert column(mark, "time")[0] == Timeline.from_table(table, 3).spans[-1][1]
    assert column(mark, "utc")[0] == np.datetime64("2018-06-01T14:59")


def test_names_from_files_cannot_be_markup_in_a_tooltip(table):
    findings = pd.DataFrame([finding("bin", 6.0, why="<script>#eta 0 to 1")])
    _, mark = layers(picture(table, findings), hv.Scatter)
    assert column(mark, "why")[0] == "<script>\N{GREEK SMALL LETTER ETA} 0 to 1"
    assert "@why{safe}" not in mark.opts.get("plot").kwargs["hover_tooltips"], "Bokeh escapes it without {safe}"


@pytest.mark.slow
def test_runs_lie_side_by_side_in_their_colours_and_the_interval_is_shaded(table, rows):
    shade, colours = BoxAnnotation(), {3: theme.BLUE, 1: theme.RUNS[0], 2: theme.RUNS[1]}
    overlay = picture(table, rows, shade=shade, colours=colours, times=False)
    points = layers(overlay, hv.Scatter)[0]
    assert sorted(set(column(points, "colour"))) == sorted(colours.values())
    assert np.isnan(column(layers(overlay, hv.Curve)[0], "score")).sum() == 2, "runs are not joined"
    figure = drawn(overlay).state
    assert shade in figure.select(BoxAnnotation)
    assert figure.xaxis[0].major_label_text_font_size == "0pt", "the times stand above it"
