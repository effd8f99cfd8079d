"""The view always fits the archive, and its address restores it."""

import re
from dataclasses import replace
from html import unescape
from urllib.parse import parse_qsl

import numpy as np
import pytest

import owtrend
from dashboards.pages.histogram import HistogramPage
from dashboards.pages.text import notes
from dashboards.state.news import News
from dashboards.state.session import Session
from owtrend.store.append import appender
from owtrend.store.repository import Store
from tests.builders import append, archive_of, histogram, ingest, snapshot, snapshots, write_run

PATHS = {("a", "b"): [0, 1, 2, 0], ("a/b",): [0, 3, 4, 0]}  # both are displayed as a/b


def at(clock):
    return np.datetime64(f"2018-06-01T{clock}", "ns")


def from_address(archive, address):
    return Session.from_address(archive, dict(parse_qsl(address.removeprefix("?"))))


def test_what_an_address_lacks_is_chosen(archive):
    session = Session(archive)
    assert (session.view.run, session.view.subsystem, session.view.histogram, session.view.reductor) == (
        300001,
        "EMC",
        "plain",
        "mean_x",
    )
    assert (session.view.start, session.view.stop, session.view.log, session.notes) == (None, None, False, [])


def test_an_address_restores_the_view(archive):
    session = Session(archive, run=300000, histogram="a/rather/long/name_of_a_histogram_that_nobody_would_type")
    session.choose(reductor="std_x", start=at("12:02"), stop=at("12:04"), log=True)
    session.choose(others=[300001], normalised=False, every="2min")
    again = from_address(archive, session.view.address)
    assert again.view.address == session.view.address
    assert (again.view, again.notes, again.complaints) == (session.view, session.notes, session.complaints)
    assert again.loaded.cumulative.identical(session.loaded.cumulative)
    assert again.loaded.trend.equals(session.loaded.trend)
    assert list(again.loaded.further) == list(session.loaded.further)


def test_an_address_is_readable(archive):
    session = Session(archive, run=300000, subsystem="TPC", stop=at("12:03:30"))
    assert session.view.address == "?run=300000&subsystem=TPC&histogram=plain&reductor=mean_x&stop=2018-06-01T12:03:30"


@pytest.mark.slow
@pytest.mark.parametrize("name", [" h", "h ", "h[1]", "a&b", "folder/h", "h#2=3", "50 %", "ä+b"])
def test_an_address_restores_any_name(name):
    archive = archive_of(*snapshots([{"h": [0, 1, 0], name: [0, 2, 0]}]))
    session = Session(archive)
    session.choose(histogram=name)
    again = from_address(archive, session.view.address)
    assert (session.view.histogram, again.view.histogram) == (name, name)
    assert again.loaded.cumulative["contents"].values.tolist() == [[2]]


@pytest.mark.parametrize(
    ("address", "note", "shown"),
    [
        ("run=7", "There is no run 7 in the store; 300001 is shown instead.", {"run": 300001}),
        ("run=seven", "There is no run seven in the store; 300001 is shown instead.", {"run": 300001}),
        ("run=300001&subsystem=TPC", "no subsystem TPC in run 300001; EMC is", {"subsystem": "EMC"}),
        ("histogram=nothing", "no histogram nothing in EMC of run 300001; plain is", {"histogram": "plain"}),
        ("run=300001&histogram=labelled", "no histogram labelled in EMC of run 300001", {"histogram": "plain"}),
        ("every=soon", "not a length of time: 'soon'", {"every": ""}),
        ("with=7", "There is no run 7 in the store.", {"others": ()}),
        ("start=yesterday", "not a time: 'yesterday'", {"start": None}),
        ("start=NaT", "not a time: 'NaT'", {"start": None}),
        ("start=18:00", "There is no snapshot in the interval 18:00 to run end", {"start": None}),
        (
            "start=14:05&stop=14:02",
            "There is no snapshot in the interval 14:05 to 14:02",
            {"start": None, "stop": None},
        ),
    ],
)
def test_what_the_store_does_not_have_is_replaced_with_a_note(archive, address, note, shown):
    session = from_address(archive, address)
    assert len(session.notes) == 1
    assert note in session.notes[0]
    assert {name: getattr(session.view, name) for name in shown} == shown
    assert session.loaded.cumulative is not None


def test_other_keys_and_empty_values_of_an_address_are_ignored(archive):
    session = from_address(archive, "?colour=red&cumulative=1&notes=x&histogram=&log=perhaps&reductor=mean")
    assert (session.notes, session.view.log, session.view.reductor) == ([], False, "mean_x")


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        ("12:02", "12:04", (at("12:02"), at("12:04"))),
        ("12:02:59", "12:04:59", (at("12:02"), at("12:04"))),
        ("2018-06-01T12:02:00Z", None, (at("12:02"), None)),
        ("11:00", "12:03", (None, at("12:03"))),
        ("12:02", "23:00", (at("12:02"), None)),
        ("12:02:10", "12:02:20", (at("12:02"), at("12:03"))),
        ("12:00:10", "12:00:20", (None, at("12:01"))),
    ],
    ids=["exact", "cut", "zone", "from-before-the-run", "beyond-the-run", "within-one-increment", "within-the-first"],
)
def test_an_interval_is_cut_to_snapshots(archive, start, stop, expected):
    session = Session(archive, run=300000, start=start, stop=stop)
    assert ((session.view.start, session.view.stop), session.notes) == (expected, [])
    assert owtrend.time_slice(session.loaded.cumulative, session.view.start, session.view.stop)["stop"] == (
        expected[1] or at("12:06")
    )


def test_another_histogram_keeps_the_interval_and_another_run_does_not(archive):
    session = Session(archive, run=300000, start="12:02", stop="12:04", reductor="std_x")
    session.choose(histogram="map")
    assert (session.view.start, session.view.stop, session.view.reductor) == (at("12:02"), at("12:04"), "std_x")
    session.choose(subsystem="TPC", histogram=None)
    assert (session.view.start, session.view.stop, session.notes) == (at("12:01:30"), at("12:03:30"), [])
    session.choose(run=300001)
    assert (session.view.start, session.view.stop) == (None, None)


@pytest.mark.slow
def test_a_session_keeps_its_archive_while_the_store_grows():
    rows = {"h": [[0, n, 0, 0] for n in range(1, 4)]}
    archive = archive_of(*snapshots(rows, 1))
    session = Session(archive)
    assert archive.latest() is archive
    append(archive.location, snapshots(rows, 2))
    session.choose(start="12:01", others=[2])
    assert session.archive.runs.index.tolist() == [1]
    assert session.notes == ["There is no run 2 in the store."]
    assert Session(archive.latest()).view.run == 2


@pytest.fixture
def growing(tmp_path):
    """A function that adds rows to run 1 of a subsystem, and hands back the store's newest archive."""

    def grow(rows, run=1, subsystem="EMC"):
        counts = {"h": [[0, n, 0, 0] for n in range(1, rows + 1)]}
        write_run(tmp_path / "data", counts, run=run, subsystem=subsystem)
        ingest(tmp_path / "data", tmp_path / "store")
        return owtrend.open(tmp_path / "store")

    return grow


@pytest.mark.slow
def test_a_session_that_follows_goes_on_at_the_end_and_stays_in_the_past(growing):
    session = Session(growing(4))
    session.choose(start="12:01")
    session.follow(growing(6))
    assert (session.view.start, session.view.stop, session.loaded.edges[-1]) == (at("12:01"), None, at("12:05"))
    assert session.news == News("New data until 12:05:00 UTC.")
    session.choose(stop="12:03")
    assert session.news is None
    session.follow(growing(7))
    assert (session.view.start, session.view.stop, session.loaded.edges[-1]) == (at("12:01"), at("12:03"), at("12:06"))
    assert session.loaded.trend["time"].values[-1] == at("12:06")
    assert session.news == News("Run 1 has new data until 12:06:00 UTC.", {"stop": None})
    session.choose(stop=None)
    assert session.news is None


@pytest.mark.slow
def test_a_new_run_is_announced_until_it_was_looked_at_and_nobody_is_moved(growing):
    session = Session(growing(4))
    session.follow(growing(4, run=2))
    assert (session.view.run, session.news.words) == (1, "Run 2 is new.")
    session.follow(growing(5))
    assert session.news.words == "Run 2 is new."
    session.choose(run=2)
    assert session.news is None


@pytest.mark.slow
def test_what_did_not_change_is_not_drawn_anew(growing):
    session, calls = Session(growing(4)), []
    session.watch(calls.append)
    before = session.loaded
    session.follow(growing(4, subsystem="TPC"))
    assert (session.subsystems, session.news) == (["EMC", "TPC"], None)
    assert calls == [{"histograms"}]
    assert (session.loaded.cumulative, session.loaded.trend) == (before.cumulative, before.trend)


@pytest.mark.slow
def test_an_address_that_fits_two_histograms_asks(tmp_path):
    store, name = Store.create(tmp_path / "store"), "a/b"
    both = [replace(histogram(contents), path=path) for path, contents in PATHS.items()]
    with appender(store) as live:
        live.append([snapshot(minute, *both) for minute in (1, 2)])
    archive = owtrend.open(tmp_path / "store")
    session = Session(archive, histogram=name)
    assert session.asked == ('"a" / "b"', '"a/b"')
    assert session.notes == ["a/b is the name of 2 histograms in EMC of run 300000. Choose one:"]
    assert session.loaded.cumulative is None
    links = re.findall('href="([^"]*)"', notes(session))
    shown = [from_address(archive, unescape(link)).loaded.cumulative.attrs["path"] for link in links]
    assert shown == list(PATHS)
    page = HistogramPage(session)
    page.controls.histogram.value = session.asked[1]
    assert (session.asked, session.notes, page.session.loaded.cumulative.attrs["path"]) == ((), [], ("a/b",))


def test_a_note_goes_away_with_the_next_choice(archive):
    session = Session(archive, histogram="nothing")
    session.choose(histogram="map")
    assert session.notes == []


def test_watchers_are_called_once_for_a_change_and_never_without_one(archive):
    session, heard = Session(archive, run=300000), []
    session.watch(heard.append)
    session.choose(run=300000, histogram="plain", start=None)
    assert heard == []
    session.choose(histogram="map", start="12:02", log=True)
    assert heard == [{"histogram", "start", "log", "cumulative", "trend", "findings"}]


def test_of_a_changed_binning_the_last_is_shown_with_a_note():
    rows = [np.arange(bins + 2) * minute for minute, bins in enumerate([4, 4, 8, 8], start=1)]
    session = Session(archive_of(*snapshots({"h": rows}, 1)))
    assert session.notes == ["h changed its binning during run 1; the snapshots since 12:02:00 UTC are shown."]
    assert session.loaded.cumulative.sizes == {"time": 2, "x": 8, "sum": 5}


def test_an_empty_store_says_how_to_fill_it(tmp_path):
    Store.create(tmp_path / "store")
    session = Session(owtrend.open(tmp_path / "store"), run="300000", start="12:00")
    assert session.loaded.cumulative is None
    assert session.notes == [
        f"This store holds no runs yet. Fill it with: owtrend ingest FOLDER --store {tmp_path}/store"
    ]
    assert (session.subsystems, session.reductors, session.loaded.edges) == ([], [], [None])


def test_a_projection_and_a_typed_reductor_are_part_of_the_view(archive):
    session = Session(archive, run=300000, histogram="map", axes="x", region="0.8:3", reductor="mean_x(y=2:5)")
    assert session.view.address == "?run=300000&subsystem=EMC&histogram=map&reductor=mean_x(y=2:5)&axes=x&range=y=1:3"
    assert (session.ranges, session.complaints) == ({"y": (1, 3)}, {})
    assert from_address(archive, session.view.address).view.address == session.view.address
    session.choose(histogram="plain")
    assert (session.view.axes, session.view.region, session.view.reductor, session.complaints) == ("", "", "mean_x", {})


@pytest.mark.parametrize(
    ("reductor", "why"),
    [
        ("mode", "no reductor 'mode'; did you mean 'mean'; there are entries"),
        ("quantile_x", "quantile takes 1 numbers in brackets, not 0"),
        ("mean_x(y=0.3:2)", "no bin begins or ends at 0.3"),
        ("mean_z", "no reductor 'mean_z' for it"),
        ("mean_x(", "no reductor 'mean_x('"),
        ("ratio(nothing)", "nothing"),
    ],
)
def test_a_reductor_that_means_nothing_has_its_complaint_and_the_last_good_trend_stays(archive, reductor, why):
    session = Session(archive, run=300000, histogram="map", reductor="quantile_y(0.9)")
    trend = session.loaded.trend
    session.choose(reductor=reductor)
    assert why in session.complaints["reductor"]
    assert (session.view.reductor, session.notes) == ("quantile_y(0.9)", [])
    assert session.loaded.trend is trend
    session.choose(start="12:02")
    assert why in session.complaints["reductor"], "until it is corrected"
    session.choose(reductor="median_x")
    assert (session.view.reductor, session.complaints) == ("median_x", {})
    assert from_address(archive, f"?run=300000&histogram=map&reductor={reductor}").view.reductor == "mean_x"


def test_a_range_that_means_nothing_has_its_complaint_and_the_last_good_one_stays(archive):
    session = Session(archive, run=300000, histogram="map", axes="x", region="1:3")
    session.choose(region="here")
    assert "'here' is not a range" in session.complaints["region"]
    assert session.view.region == "y=1:3"
    session.choose(axes="y")
    assert (session.view.region, session.complaints) == ("", {}), "another axis has other ranges"


def test_further_runs_that_lack_the_histogram_have_a_note_and_stay_chosen(archive):
    session = Session(archive, run=300000, histogram="labelled", others="300001, 300000")
    assert (session.view.others, session.loaded.further, session.runs) == ((300001,), {}, [300000])
    assert "300001" in session.notes[0]
    session.choose(histogram="plain")
    assert (list(session.loaded.further), session.runs, session.notes) == ([300001], [300000, 300001], [])
    session.choose(subsystem="TPC", histogram=None)
    assert (session.view.others, session.loaded.further, session.notes) == ((300001,), {}, ["Run 300001 has no TPC."])


def test_the_trend_is_of_all_runs_shown(archive):
    session = Session(archive, run=300000, others=[300001])
    assert sorted(set(session.loaded.trend["run"].values.tolist())) == [300000, 300001]
    session.choose(every="run")
    assert session.loaded.trend["run"].values.tolist() == [300000, 300001]
    session.choose(every="3min", others=[])
    assert session.loaded.trend.sizes["time"] < 6


def test_with_another_run_contents_are_per_entry_unless_chosen_otherwise(archive):
    session = Session(archive, run=300000)
    session.choose(others=[300001])
    assert session.view.normalised
    session.choose(normalised=False)
    session.choose(histogram="map")
    assert not session.view.normalised
    assert not from_address(archive, session.view.address).view.normalised


def test_moving_the_interval_reads_no_trend_and_no_run_again(archive):
    session = Session(archive, run=300000, others=[300001], reductor="quantile_x(0.5)")
    heard = []
    session.watch(heard.append)
    session.choose(start="12:02")
    assert heard == [{"start"}]
