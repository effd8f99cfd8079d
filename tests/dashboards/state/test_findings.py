"""Findings appear on the page of their histogram, in words and on the time axis; incidents lead there."""

import re
from urllib.parse import parse_qsl

import holoviews as hv
import numpy as np
import pytest
from bokeh.document import Document
from bokeh.plotting import figure
from panel.io.state import set_curdoc

import owtrend
from dashboards.pages import text as page_text
from dashboards.pages.histogram import HistogramPage
from dashboards.pictures.trend import Timeline
from dashboards.state.findings import Incident, findings, latest, reductor_for
from dashboards.state.session import Session
from owtrend.compute import compute
from owtrend.model.axis import Axis
from owtrend.store.repository import Store
from tests.builders import archive_of, filled, snapshots


@pytest.fixture
def page(scored):
    return HistogramPage(Session(scored, run=3, histogram="odd"))


def text(pane):
    return re.sub(r"<[^>]*>", "", pane.object)


def drawn(page):
    """All figures of the page."""
    doc = Document()
    with set_curdoc(doc):
        return list(page.__panel__().get_root(doc).select({"type": figure}))


def marks(picture):
    _, *found = (part for part in picture if type(part) is hv.Scatter)
    return found


def test_the_reasons_are_the_most_significant_of_each_kind_in_the_slice(page, scored):
    rows = scored.findings("EMC", runs=[3]).query("histogram == 'odd'")
    kinds = rows.sort_values(["certain", "z"], ascending=False, kind="stable").drop_duplicates("score")
    lines = re.findall(r"<li.*?</li>", page.why.object)
    assert len(lines) == min(len(kinds), 5)
    for line, why in zip(lines, kinds["why"], strict=False):
        assert why in line
    assert re.search(r"position \[cm\] 2 to 3: \d+ counts where \d+ are expected", lines[0])
    first = rows[rows["score"] == kinds["score"].iloc[0]]
    span = f"<b>{first['start'].min():%H:%M:%S} to {first['stop'].max():%H:%M:%S}</b>, {len(first)} reports ·"
    assert span in lines[0]


@pytest.mark.slow
def test_a_slice_has_the_reasons_that_overlap_it_and_no_others(page):
    page.session.choose(stop="14:11")
    assert text(page.why) == "✓ No findings in this histogram in this slice."
    page.session.choose(start="14:14", stop="14:15")
    assert "14:14:00 to 14:15:00" in text(page.why)
    assert " reports ·" not in text(page.why)
    page.session.choose(start="14:15", stop="14:16")
    assert "14:14:00" not in text(page.why), "a finding covers (start, stop]"
    page.session.choose(histogram="steady", start=None, stop=None, run=1)
    assert text(page.why) == "✓ No findings in this histogram in this run."


def test_only_findings_of_the_histogram_or_of_whole_snapshots_are_shown(scored):
    odd, steady = (findings(scored, scored.histogram("EMC", name, run=3), [3]) for name in ("odd", "steady"))
    assert steady.rows["score"].tolist() == ["absent"]
    assert "absent" not in odd.rows["score"].tolist()
    assert "bin" in odd.rows["score"].tolist()


@pytest.mark.slow
def test_a_run_without_scores_says_what_to_do(page, scored):
    page.session.choose(run=4)
    assert text(page.why) == f"Not scored yet: run owtrend compute {scored.location}"
    assert not page._score_row.visible
    page.session.choose(others=[3])
    assert page._score_row.visible, "with those of the other run"
    assert "Not scored yet" in text(page.why)


@pytest.mark.slow
def test_a_store_without_scores_shows_the_rest_of_the_page(archive):
    page = HistogramPage(Session(archive, run=300001))
    assert "Not scored yet" in text(page.why)
    assert (page._score_row.visible, len(drawn(page))) == (False, 3)


@pytest.mark.slow
def test_a_gauge_has_no_scores_and_says_so():
    states = [filled([Axis.spaced(4, 0, 4)], np.arange(n + 1) % 4, gauge=True) for n in range(12)]
    archive = archive_of(*snapshots({"g": states}, 1))
    compute.compute(archive.location, workers=0)
    page = HistogramPage(Session(archive.latest(), run=1, pulls=True))
    assert "A gauge shows a state, not counts, and is not scored" in text(page.why)
    assert not page._score_row.visible
    page.choose_edges(1, 3)
    assert len(drawn(page)) == 4


def test_names_in_reasons_are_text(scored):
    session = Session(scored, run=3, histogram="odd")
    session.loaded.findings.rows.loc[:, "why"] = '<img src="x" onerror="alert()">'
    html = page_text.why(session)
    assert "<img" not in html
    assert "&lt;img src=&quot;x&quot;" in html


def test_scores_lie_under_the_trend_with_the_interval_shaded(page):
    assert page._score_row.visible
    assert len(drawn(page)) == 4
    assert sum(map(len, marks(page._scores.object))) == len(page.session.loaded.findings.rows)
    page.choose_edges(2, 4)
    for shade in (page._shade, page._score_shade):
        assert (shade.left, shade.right) == tuple(page.session.loaded.edges[i] for i in (2, 4))
    assert "finding" in text(page.score_signs)
    assert "threshold" in text(page.score_signs)


@pytest.mark.slow
def test_moving_the_interval_keeps_the_picture_of_the_scores(page):
    before = page._scores.object
    page.choose_edges(3, 9)
    assert page._scores.object is before
    page.session.choose(run=1)
    assert page._scores.object is not before


def test_a_tap_or_a_box_on_the_scores_chooses_the_interval(page):
    page._tapped_score(np.datetime64("2018-06-01T14:14:50"), 1.0)
    assert page.slider.value == (15, 16)
    page._boxed_score((np.datetime64("2018-06-01T14:02:30"), np.datetime64("2018-06-01T14:05:30")))
    assert page.slider.value == (3, 6)


@pytest.mark.slow
def test_scores_of_several_runs_lie_side_by_side_whatever_the_trend_shows(page):
    for every in ("", "5min", "run"):
        page.session.choose(run=3, others=[1, 2], every=every)
        points = next(part for part in page._scores.object if type(part) is hv.Scatter)
        assert sorted(set(points.dimension_values("run"))) == ["1", "2", "3"]
        _, (begin, end), _ = page._timeline.spans
        page._tapped_score(begin + (end - begin) / 2, 1.0)
        assert (page.session.view.run, page.session.view.others) == (2, (1, 3))
    assert len(drawn(page)) == 4


@pytest.mark.slow
def test_missing_rows_are_marked_where_they_are(scored):
    page = HistogramPage(Session(scored, run=3, histogram="steady"))
    assert "steady is missing" in text(page.why)
    (absent,) = (mark for mark in marks(page._scores.object) if mark.label == "interruption")
    assert [one.split(" · ")[1:] for one in absent.dimension_values("heading")] == [["absent"]]


@pytest.mark.slow
def test_pulls_are_shown_when_they_are_wanted_and_the_address_says_so(page, scored):
    assert (page._pulls.visible, page._pulls.object, "pulls" in page.session.view.address) == (False, None, False)
    page.controls.pulls.value = True
    assert (page.session.view.pulls, page._pulls.visible) == (True, True)
    assert page.session.view.address.endswith("&pulls=1")
    assert len(drawn(page)) == 5
    again = Session.from_address(scored, dict(parse_qsl(page.session.view.address.removeprefix("?"))))
    assert again.view.address == page.session.view.address
    page.session.choose(pulls=False)
    assert (page._pulls.visible, page.controls.pulls.value) == (False, False)


def test_the_slider_moves_the_pulls_and_reads_nothing_again(page, monkeypatch):
    page.session.choose(pulls=True)
    picture, reference = page._pulls.object, page.session.loaded.reference
    before = picture[()].opts.get("plot").kwargs["ylim"]

    def read(*_, **__):
        raise AssertionError("read from the store")

    for name in ("reference", "scores", "findings", "histogram", "trends"):
        monkeypatch.setattr(type(page.session.archive), name, read)
    page.choose_edges(13, 24)
    assert (page._pulls.object, page.session.loaded.reference) == (picture, reference)
    _, down = (part for part in picture[()] if type(part) is hv.Rectangles)
    at = down.dimension_values("x").tolist().index(2.0)
    assert down.dimension_values("pull")[at] < -8
    assert picture[()].opts.get("plot").kwargs["ylim"] != before


@pytest.mark.slow
def test_each_run_has_its_own_reference(page):
    page.session.choose(pulls=True)
    assert page._slice.object[()].opts.get("plot").kwargs["xaxis"] == "bare", "the pulls below have the same axis"

    def title():
        return page._pulls.object[()].opts.get("plot").kwargs["title"]

    assert title() == "Pulls against 2 earlier runs, 1 to 2"
    page.session.choose(run=2)
    assert title() == "Pulls against run 1"
    page.session.choose(run=1, stop="12:05")
    assert title() == "Pulls against the rest of this run"


@pytest.mark.slow
def test_the_time_axis_shows_the_runs_chosen_and_no_others_and_the_page_keeps_no_models_of_earlier_ones(scored):
    doc = Document()
    with set_curdoc(doc):
        page = HistogramPage(Session(scored, run=3, histogram="odd"))
        doc.add_root(page.__panel__().get_root(doc))
        before = len(doc.models)
        for choice in ({"run": 2, "others": [1]}, {"run": 3, "others": []}):
            page.session.choose(**choice)
            table = page.session.loaded.trend
            limits = Timeline.from_table(table, page.session.view.run).limits
            shown = [(figure.x_range.start, figure.x_range.end) for figure in on_time(doc)]
            assert shown == [limits, limits]
            assert len({figure.x_range.id for figure in on_time(doc)}) == 1, "trend and scores are zoomed together"
    assert len(doc.models) == before


def on_time(doc):
    """The figures of the trend and of the scores."""
    return [one for one in doc.select({"type": figure}) if one.title.text.startswith(("Trend", "Score"))]


@pytest.mark.slow
def test_an_incident_leads_to_its_most_significant_histogram_and_its_interval(page):
    widget, session = page.controls.incidents.list, page.session
    session.choose(run=1, histogram="odd")
    assert list(widget.options) == ["1 latest: choose one…", "06-01 14:11  ·  EMC steady absent"]
    widget.value = 1
    assert (session.view.run, session.view.subsystem, session.view.histogram) == (3, "EMC", "steady")
    assert (session.view.start, session.view.stop) == (np.datetime64("2018-06-01T14:11"), None)
    assert "&start=2018-06-01T14:11:00" in session.view.address
    assert widget.value == 1
    page.session.choose(histogram="odd")
    assert widget.value == 0, "the user looks at something else"


def test_the_trend_of_an_incident_is_one_of_the_bins_that_deviate(page, scored):
    rows = scored.findings("EMC", runs=[3]).query("histogram == 'odd'")
    assert {"bin", "window"} & set(rows["score"])
    start, stop = (np.datetime64(time, "ns") for time in (rows["start"].min(), rows["stop"].max()))
    reductor = reductor_for(scored, Incident("", "EMC", 3, "odd", start, stop))
    assert reductor == "entries(x=2.0:3.0)"
    page.session.choose(run=3, histogram="odd", reductor=reductor)
    assert page.session.view.reductor == "entries(x=2:3)"
    trend = page.session.loaded.trend.squeeze()
    during = (trend["time"] > start) & (trend["time"] <= stop)
    assert trend["value"][during].max() == 0, "the bin is dead"
    assert trend["value"][~during].min() > 10


@pytest.fixture(scope="module")
def two_subsystems():
    """Runs 1 and 2 of EMC and TPC, 20 snapshots each, scored.

    In run 1 ``a`` of EMC goes missing; in run 2 five snapshots of EMC were never received, and ``b`` of TPC has a step.
    """
    rng, sent = np.random.default_rng(5), []
    for subsystem in ("EMC", "TPC"):
        for run in (1, 2):
            rows = {name: np.pad(rng.poisson(60, (20, 6)).cumsum(axis=0), ((0, 0), (1, 1))) for name in ("a", "b")}
            if (subsystem, run) == ("TPC", 2):
                rows["b"][10:, 3:] += 500 * np.arange(1, 11)[:, None]
            absent = range(11, 16) if (subsystem, run) == ("EMC", 2) else ()
            received = [number for number in range(20) if number not in absent]
            held = {name: list(counts[received]) for name, counts in rows.items()}
            if (subsystem, run) == ("EMC", 1):
                held["a"][15:] = [None] * 5
            sent += snapshots(held, run, subsystem=subsystem, minutes=[60 * run + number for number in received])
    archive = archive_of(*sent)
    compute.compute(archive.location, workers=0)
    return archive.latest()


@pytest.mark.slow
def test_incidents_are_listed_newest_first_and_lead_to_another_subsystem(two_subsystems):
    page = HistogramPage(Session(two_subsystems, run=1, subsystem="EMC"))
    widget = page.controls.incidents.list
    labels = [label for label, number in widget.options.items() if number]
    assert labels == sorted(labels, reverse=True), "they begin with the time"
    assert any("EMC a absent" in label for label in labels)
    widget.value = next(widget.options[label] for label in labels if "TPC b" in label)
    view = page.session.view
    assert (view.run, view.subsystem, view.histogram) == (2, "TPC", "b")
    assert page.controls.subsystem.value == "TPC"
    assert view.reductor == "mean_x", "its fills are at one side, which says more than its share of all entries"


@pytest.mark.slow
def test_an_incident_of_whole_snapshots_opens_the_entries_and_each_subsystem_has_a_line_of_its_own(two_subsystems):
    page = HistogramPage(Session(two_subsystems, run=1, subsystem="TPC", reductor="mean_x", every="run"))
    widget, session = page.controls.incidents.list, page.session
    (gap,) = [label for label in widget.options if "EMC" in label and "with EMC" not in label and "absent" not in label]
    widget.value = widget.options[gap]
    assert (session.view.run, session.view.subsystem, session.view.reductor) == (2, "EMC", "entries")
    assert session.view.every == ""
    assert session.view.start <= np.datetime64("2018-06-01T14:10") < session.view.stop
    (other,) = [label for label in widget.options if label.endswith("with EMC")]
    assert other.startswith("06-01 14:09  ·  TPC b ")
    widget.value = widget.options[other]
    assert (session.view.run, session.view.subsystem, session.view.histogram) == (2, "TPC", "b")
    assert session.view.start == np.datetime64("2018-06-01T14:09")


def test_a_store_without_findings_lists_no_incidents(tmp_path):
    Store.create(tmp_path / "store")
    assert latest(owtrend.open(tmp_path / "store")) == ()
    page = HistogramPage(Session(owtrend.open(tmp_path / "store")))
    assert (page.controls.incidents.list.disabled, list(page.controls.incidents.list.options)) == (True, ["none"])
