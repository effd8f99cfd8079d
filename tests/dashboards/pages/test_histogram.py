"""The page follows its session, and the session the page's widgets; with no server and no browser."""

import re
from itertools import count

import holoviews as hv
import numpy as np
import pytest
from bokeh.document import Document
from bokeh.plotting import figure
from panel.io.state import set_curdoc

import owtrend
from dashboards.pages.histogram import HistogramPage
from dashboards.pages.news import NewsLine
from dashboards.state.session import Session
from dashboards.state.slices import time_slices, whole_runs
from owtrend.store.repository import Store
from tests.builders import archive_of, ingest, snapshots, write_run
from tests.studies import cases


@pytest.fixture
def page(archive):
    return HistogramPage(Session(archive, run=300000))


def text(pane):
    return re.sub(r"<[^>]*>", "", pane.object)


def heights(picture):
    """The contents of a 1-D picture."""
    picture = picture[()] if isinstance(picture, hv.DynamicMap) else picture
    return next(iter(picture)).dimension_values("top").tolist()


def test_the_heading_names_the_histogram_and_the_quality_of_its_data(page):
    assert text(page.heading) == (
        "plaintitle of plainRun 300000 · 2018-06-01 12:01:00 to 12:06:30 UTC · 6 snapshots of EMC, last at 12:06:00 · "
        "1 in quarantine"
    )
    page.session.choose(run=300001)
    assert text(page.heading).endswith("6 snapshots of EMC, last at 14:06:00 · none in quarantine")


def test_the_whole_run_adds_counts_over_a_restart(page):
    assert heights(page._whole.object) == [6, 12, 18, 24, 30, 36, 0, 0]


def test_the_slice_states_its_true_bounds(page):
    assert (
        text(page.facts) == "run start to 12:06:00 UTC · 126 entries · 6 snapshots · 6 reports · ⚠ 1 restart · no gaps"
    )
    assert 'title="Entries or bins fell' in page.facts.object
    page.session.choose(start="12:01:20", stop="12:03:40")
    assert text(page.facts) == (
        "12:01:00 to 12:03:00 UTC · 42 entries · 2 snapshots · 2 reports · no restarts · no gaps"
    )


def test_the_slider_and_the_view_move_together(page):
    assert (page.slider.end, page.slider.value) == (6, (0, 6))
    page.slider.value = (1, 3)
    assert (page.session.view.start, page.session.view.stop) == tuple(page.session.loaded.edges[i] for i in (1, 3))
    assert heights(page.slice_picture(time_slices(page.session))) == [2, 4, 6, 8, 10, 12, 0, 0]
    page.session.choose(start=None, stop="12:02")
    assert page.slider.value == (0, 2)
    page.everything.clicks += 1
    assert (page.slider.value, page.session.view.start, page.session.view.stop) == ((0, 6), None, None)


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
    assert (page._shade.left, page._shade.right) == tuple(page.session.loaded.edges[i] for i in (2, 4))
    page.choose_edges(0, 6)
    assert page._shade.left == np.datetime64("2018-06-01T12:00")


@pytest.mark.slow
@pytest.mark.parametrize("name", cases(["labelled", "map", "uneven", "box", "profile"], ["labelled", "map"]))
def test_every_kind_of_histogram_can_be_shown_sliced_and_made_logarithmic(archive, name):
    page, doc = HistogramPage(Session(archive, run=300000, histogram=name)), Document()
    with set_curdoc(doc):
        root = page.__panel__().get_root(doc)
        page.choose_edges(3, 4)
        page.session.choose(log=True)
    assert len(list(root.select({"type": figure}))) == 3


def test_choosing_by_the_widgets(page):
    widgets, session = page.controls, page.session
    widgets.histogram.value = "map"
    assert widgets.reductor.options["mean of row"] == "mean_y"
    widgets.reductor.value = "mean_y"
    widgets.log.value = True
    assert (session.view.histogram, session.view.reductor, session.view.log) == ("map", "mean_y", True)
    widgets.subsystem.value = "TPC"
    assert (session.view.histogram, session.view.reductor, session.notes) == ("plain", "mean_x", [])
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
    assert page.controls.histogram.value == page.session.view.histogram == "plain"
    assert page.controls.histogram.options == found or len(page.controls.histogram.options) == found


@pytest.mark.slow
def test_a_note_above_the_page_says_what_could_not_be_shown(archive):
    page = HistogramPage(Session(archive, histogram="<script>"))
    assert "There is no histogram &lt;script&gt; in EMC of run 300001; plain is shown instead." in page.notes.object
    page.session.choose(histogram="map")
    assert page.notes.object == ""


@pytest.mark.slow
def test_an_empty_store_has_a_page_too(tmp_path):
    Store.create(tmp_path / "store")
    page, doc = HistogramPage(Session(owtrend.open(tmp_path / "store"))), Document()
    with set_curdoc(doc):
        page.__panel__().get_root(doc)
        page.controls.__panel__().get_root(doc)
    assert "This store holds no runs yet" in page.notes.object
    assert not page._pictures.visible


@pytest.mark.slow
def test_a_gap_inside_is_a_warning():
    rows = {"h": [np.arange(6) * number for number in range(1, 8)]}
    page = HistogramPage(Session(archive_of(*snapshots(rows, minutes=[0, 1, 2, 3, 8, 9, 10]))))
    assert "⚠ 1 gap" in text(page.facts)
    assert text(page.signs) == "gap"
    assert next(type(part) for part in page._trend.object) is hv.VSpans


def test_the_signs_of_the_trend_are_explained_if_there_are_any(page):
    assert text(page.signs) == "restart"
    page.session.choose(run=300001, reductor="rate")
    assert "restart" in text(page.signs)


@pytest.mark.slow
def test_a_wrong_text_gets_its_complaint_below_the_field_and_stays_there(page):
    widgets = page.controls
    before = page._trend.object
    widgets.typed.value = "quantile_x(2)"
    assert (widgets.complaints["reductor"].visible, widgets.typed.value) == (True, "quantile_x(2)")
    assert "a share from 0 to 1, not 2" in widgets.complaints["reductor"].object
    assert page._trend.object is before
    widgets.typed.value = "quantile_x(0.9)"
    assert (widgets.complaints["reductor"].visible, page.session.view.reductor) == (False, "quantile_x(0.9)")
    assert widgets.reductor.options["quantile 0.9 of Δη of p_T"] == widgets.reductor.value == "quantile_x(0.9)"
    widgets.reductor.value = "std_x"
    assert widgets.typed.value == ""
    widgets.typed.value = "nothing"
    widgets.typed.value = ""
    assert (widgets.complaints["reductor"].visible, page.session.view.reductor) == (False, "std_x")


@pytest.mark.slow
def test_a_projection_by_the_widgets(page):
    widgets, session = page.controls, page.session
    assert not widgets._projection.visible
    session.choose(histogram="map")
    assert widgets._projection.visible
    assert widgets.region.disabled
    widgets.axes.value = "x"
    assert (widgets.region.disabled, widgets.region.label, widgets.region.placeholder) == (
        False, "Range of row", "y=0:5",
    )  # fmt: skip
    widgets.region.value = "0.9:3"
    assert (session.view.region, widgets.region.value) == ("y=1:3", "y=1:3")
    widgets.region.value = "0.9:3"  # the browser sends it with the change and again with the key Enter
    assert widgets.region.value == "y=1:3"
    assert "summed over row 1 to 3" in text(page.key)
    whole = owtrend.time_slice(session.loaded.cumulative)["contents"].values[:, 1:3].sum(axis=1)
    assert heights(page._whole.object) == whole.tolist()
    widgets.region.value = "nowhere"
    assert widgets.complaints["region"].visible
    assert heights(page._whole.object) == whole.tolist()


@pytest.mark.slow
def test_other_runs_are_added_and_removed_by_the_widgets(page):
    widgets, session = page.controls, page.session
    assert list(widgets.add.options) == ["Add a run…", "300001  ·  2018-06-01 14:01"]
    widgets.add.value = 300001
    assert (session.view.others, widgets.others.value) == ((300001,), [300001])
    assert (widgets.add.value, widgets.add.disabled) == (0, True)
    assert text(page.key) == "300000300001"
    assert widgets.normalised.value
    for picture in (page._whole.object[()], page._slice.object[()]):
        assert [part.label for part in picture if type(part) is hv.Curve] == ["Run 300001", ""]
    widgets.others.value = []
    assert (session.view.others, page.key.visible) == ((), False)


@pytest.mark.slow
def test_another_run_is_cut_to_the_same_time_since_it_began(page):
    page.session.choose(others=[300001])
    page.choose_edges(2, 4)
    other = time_slices(page.session).others[300001]
    assert (other["start"], other["stop"]) == tuple(np.datetime64(f"2018-06-01T14:0{m}:00", "ns") for m in (2, 4))
    page.choose_edges(0, 2)
    assert np.isnat(time_slices(page.session).others[300001]["start"])
    assert whole_runs(page.session).others[300001]["stop"] == np.datetime64("2018-06-01T14:06:00")


@pytest.mark.slow
def test_a_run_that_had_ended_by_then_shows_nothing():
    rows = [[0, n, 0, 0] for n in range(1, 7)]
    archive = archive_of(*snapshots({"h": rows}, 1), *snapshots({"h": rows[:2]}, 2))
    page = HistogramPage(Session(archive, run=1, others=[2]))
    page.choose_edges(4, 6)
    assert time_slices(page.session).others == {2: None}


@pytest.mark.slow
def test_a_tap_on_another_run_makes_it_the_chosen_one(page):
    page.session.choose(others=[300001])
    _, (begin, _) = page._timeline.spans
    page.choose_nearest(begin + np.timedelta64(90, "s"))
    assert (page.session.view.run, page.session.view.others) == (300001, (300000,))
    page.session.choose(every="run")
    page._tapped(0.2, 1.0)
    assert (page.session.view.run, page.session.view.others) == (300000, (300001,))
    page._boxed((0, 1))
    assert page.session.view.start is None


@pytest.mark.slow
def test_maps_of_several_runs_say_what_to_do(page):
    page.session.choose(histogram="map", others=[300001])
    assert "choose a projection to see all runs" in text(page.key)
    page.session.choose(axes="y")
    assert "300001" in text(page.key)
    assert "maps" not in text(page.key)


def grow(folder, rows, run=1, start=0):
    """Write a run of ``rows`` snapshots into a store, or the rows that it lacks."""
    counts = {"h": [[0, n, 2 * n, 0] for n in range(1, rows + 1)], "g": [[0, 3 * n, n, 0] for n in range(1, rows + 1)]}
    write_run(folder / "data", counts, run=run, minutes=count(start))
    ingest(folder / "data", folder / "store")
    return owtrend.open(folder / "store")


@pytest.mark.slow
def test_a_page_follows_its_run_in_place_with_its_zoom(tmp_path):
    doc = Document()
    with set_curdoc(doc):
        page = HistogramPage(Session(grow(tmp_path, 5), histogram="h"))
        page.session.choose(start="12:01")
        doc.add_root(page.__panel__().get_root(doc))
        pictures = [pane.object for pane in (page._whole, page._slice)]
        (plot, _), (whole, _) = (next(iter(pane._plots.values())) for pane in (page._trend, page._whole))
        zoom = tuple(np.datetime64(f"2018-06-01T12:0{minute}", "ns") for minute in (1, 3))
        plot.handles["x_range"].update(start=zoom[0], end=zoom[1])
        whole.handles["x_range"].update(start=0.5, end=1.0)
        page.session.follow(grow(tmp_path, 8))
        assert [pane.object for pane in (page._whole, page._slice)] == pictures
        assert (heights(page._whole.object), heights(page._slice.object)) == ([8, 16], [6, 12])
        assert (whole.handles["x_range"].start, whole.handles["x_range"].end) == (0.5, 1.0)
        followed, _ = next(iter(page._trend._plots.values()))
        assert (followed.handles["x_range"].start, followed.handles["x_range"].end) == zoom
    assert (page.slider.value, page.slider.end) == ((2, 8), 8)
    assert "last at 12:07:00" in text(page.heading)


@pytest.mark.slow
def test_news_are_a_line_with_a_button_that_leads_there(tmp_path):
    session = Session(grow(tmp_path, 5), stop="12:02")
    line = NewsLine(session)
    assert (line.words.object, line.button.visible) == ("", False)
    session.follow(grow(tmp_path, 6))
    assert (text(line.words), line.button.visible) == ("Run 1 has new data until 12:05:00 UTC.", True)
    session.follow(grow(tmp_path, 3, run=2, start=120))
    assert (text(line.words), line.button.visible) == ("Run 2 is new.", True)
    assert session.view.run == 1
    line.button.clicks += 1
    assert (session.view.run, line.words.object, line.button.visible) == (2, "", False)
