"""The page follows its selection, and the selection the page's widgets; with no server and no browser."""

import re

import holoviews as hv
import numpy as np
import pytest
from bokeh.document import Document
from bokeh.plotting import figure
from panel.io.state import set_curdoc

import owtrend
from dashboards.histogram import HistogramPage
from dashboards.selection import Selection
from owtrend.store import Store


@pytest.fixture
def page(archive):
    return HistogramPage(Selection(archive, run=300000))


def text(pane):
    return re.sub(r"<[^>]*>", "", pane.object)


def heights(picture):
    """The contents of a 1-D picture."""
    picture = picture[()] if isinstance(picture, hv.DynamicMap) else picture
    return next(iter(picture)).dimension_values("top").tolist()


def test_the_heading_tells_what_is_shown_and_the_quality_of_its_data(page):
    assert text(page.heading) == (
        "plaintitle of plainRun 300000 · 2018-06-01 12:01:00 to 12:06:30 UTC · 6 snapshots of EMC, last at 12:06:00 · "
        "1 in quarantine"
    )
    page.selection.choose(run=300001)
    assert text(page.heading).endswith("6 snapshots of EMC, last at 14:06:00 · none in quarantine")


def test_the_whole_run_counts_on_over_a_restart(page):
    assert heights(page.whole()) == [6, 12, 18, 24, 30, 36, 0, 0]


def test_the_slice_tells_its_true_bounds(page):
    assert (
        text(page.facts) == "run start to 12:06:00 UTC · 126 entries · 6 snapshots · all reported · 1 restart · no gaps"
    )
    page.selection.choose(start="12:01:20", stop="12:03:40")
    assert text(page.facts) == (
        "12:01:00 to 12:03:00 UTC · 42 entries · 2 snapshots · all reported · no restarts · no gaps"
    )


def test_the_slider_and_the_selection_move_together(page):
    assert (page.slider.end, page.slider.value) == (6, (0, 6))
    page.slider.value = (1, 3)
    assert (page.selection.start, page.selection.stop) == tuple(page.selection.edges[i] for i in (1, 3))
    assert heights(page.increment(page.time_slice())) == [2, 4, 6, 8, 10, 12, 0, 0]
    page.selection.choose(start=None, stop="12:02")
    assert page.slider.value == (0, 2)
    page.everything.clicks += 1
    assert (page.slider.value, page.selection.start, page.selection.stop) == ((0, 6), None, None)


def test_slider_ends_on_one_snapshot_hold_at_least_one_increment(page):
    for ends, expected in [((3, 3), (2, 3)), ((0, 0), (0, 1)), ((6, 6), (5, 6))]:
        page.slider.value = ends
        assert page.slider.value == expected


def test_slider_positions_read_as_times(page):
    assert page.slider.format.args["names"] == ["run start", *(f"12:0{minute}:00" for minute in range(1, 7))]


def test_moving_the_interval_keeps_the_pictures_and_changes_what_they_show(page):
    doc = Document()
    with set_curdoc(doc):
        root = page.__panel__().get_root(doc)
        whole, slices, trend = page._whole.object, page._slice.object, page._trend.object
        figures = set(root.select({"type": figure}))
        page.choose_edges(0, 1)
    assert (page._whole.object is whole, page._slice.object is slices, page._trend.object is trend) == (True,) * 3
    assert set(root.select({"type": figure})) == figures
    assert heights(slices) == [1, 2, 3, 4, 5, 6, 0, 0]


def test_a_box_on_the_trend_chooses_the_points_in_it(page):
    page.choose_box(np.datetime64("2018-06-01T12:01:40"), np.datetime64("2018-06-01T12:03:20"))
    assert page.slider.value == (1, 3)
    page.choose_box(np.datetime64("2018-06-01T12:01:10"), np.datetime64("2018-06-01T12:01:20"))
    assert page.slider.value == (1, 3), "a box without points changes nothing"


def test_a_tap_on_the_trend_chooses_the_nearest_point(page):
    page.choose_nearest(np.datetime64("2018-06-01T12:03:40"))
    assert page.slider.value == (3, 4)


def test_the_interval_is_shaded_on_the_trend(page):
    page.choose_edges(2, 4)
    assert (page._shade.left, page._shade.right) == tuple(page.selection.edges[i] for i in (2, 4))
    page.choose_edges(0, 6)
    assert page._shade.left == np.datetime64("2018-06-01T12:00")


@pytest.mark.parametrize("name", ["labelled", "map", "uneven", "box", "profile"])
def test_every_kind_of_histogram_can_be_shown_sliced_and_made_logarithmic(archive, name):
    page, doc = HistogramPage(Selection(archive, run=300000, histogram=name)), Document()
    with set_curdoc(doc):
        root = page.__panel__().get_root(doc)
        page.choose_edges(3, 4)
        page.selection.choose(log=True)
    assert len(list(root.select({"type": figure}))) == 3


def test_choosing_by_the_widgets(page):
    widgets, chosen = page.controls, page.selection
    widgets.histogram.value = "map"
    assert widgets.reductor.options["mean of y"] == "mean_y"
    widgets.reductor.value = "mean_y"
    widgets.log.value = True
    assert (chosen.histogram, chosen.reductor, chosen.log) == ("map", "mean_y", True)
    widgets.subsystem.value = "TPC"
    assert (chosen.histogram, chosen.reductor, chosen.notes) == ("plain", "mean_x", [])
    widgets.run.value = 300001
    assert (widgets.subsystem.options, widgets.subsystem.value) == (["EMC"], "EMC")


def test_runs_are_listed_newest_first(page):
    assert list(page.controls.run.options) == ["300001  ·  2018-06-01 14:01", "300000  ·  2018-06-01 12:01"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", 8),
        ("LABELLED", ["plain", "labelled"]),
        ("title map", ["plain", "map"]),
        ("long nobody", ["plain", "a/rather/long/name_of_a_histogram_that_nobody_would_type"]),
        ("nothing of that sort", ["plain"]),
    ],
)
def test_searching_finds_names_and_titles_and_keeps_the_choice(page, words, found):
    page.controls.search.value_input = words
    assert page.controls.histogram.value == page.selection.histogram == "plain"
    assert page.controls.histogram.options == found or len(page.controls.histogram.options) == found


def test_what_could_not_be_shown_is_said_above_the_page(archive):
    page = HistogramPage(Selection(archive, histogram="<script>"))
    assert "There is no histogram &lt;script&gt; in EMC of run 300001; plain is shown instead." in page.notes.object
    page.selection.choose(histogram="map")
    assert page.notes.object == ""


def test_an_empty_store_has_a_page_too(tmp_path):
    Store.create(tmp_path / "store")
    page, doc = HistogramPage(Selection(owtrend.open(tmp_path / "store"))), Document()
    with set_curdoc(doc):
        page.__panel__().get_root(doc)
        page.controls.__panel__().get_root(doc)
    assert "This store holds no runs yet" in page.notes.object
    assert not page._pictures.visible
