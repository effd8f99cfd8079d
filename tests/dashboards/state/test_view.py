"""The selection always holds together, and its address restores it."""

from urllib.parse import parse_qsl

import numpy as np
import pytest

import owtrend
from dashboards.state.view import Selection
from owtrend.store.repository import Store
from tests import making


def at(clock):
    return np.datetime64(f"2018-06-01T{clock}", "ns")


def from_address(archive, address):
    return Selection.from_address(archive, dict(parse_qsl(address.removeprefix("?"))))


def test_what_no_address_tells_is_chosen(archive):
    chosen = Selection(archive)
    assert (chosen.run, chosen.subsystem, chosen.histogram, chosen.reductor) == (300001, "EMC", "plain", "mean_x")
    assert (chosen.start, chosen.stop, chosen.log, chosen.notes) == (None, None, False, [])


def test_an_address_restores_the_view(archive):
    chosen = Selection(archive, run=300000, histogram="a/rather/long/name_of_a_histogram_that_nobody_would_type")
    chosen.choose(reductor="std_x", start=at("12:02"), stop=at("12:04"), log=True)
    chosen.choose(others=[300001], normalised=False, every="2min")
    again = from_address(archive, chosen.address)
    assert again.address == chosen.address
    aside = {"name": 0, "cumulative": 0, "trend": 0, "further": 0, "findings": 0}
    assert again.param.values() | aside == chosen.param.values() | aside
    assert again.cumulative.identical(chosen.cumulative)
    assert again.trend.equals(chosen.trend)
    assert list(again.further) == list(chosen.further)


def test_an_address_is_readable(archive):
    chosen = Selection(archive, run=300000, subsystem="TPC", stop=at("12:03:30"))
    assert chosen.address == "?run=300000&subsystem=TPC&histogram=plain&reductor=mean_x&stop=2018-06-01T12:03:30"


@pytest.mark.parametrize(
    ("address", "note", "shown"),
    [
        ("run=7", "There is no run 7 in the store; 300001 is shown instead.", {"run": 300001}),
        ("run=seven", "There is no run seven in the store; 300001 is shown instead.", {"run": 300001}),
        ("run=300001&subsystem=TPC", "no subsystem TPC in run 300001; EMC is", {"subsystem": "EMC"}),
        ("histogram=nothing", "no histogram nothing in EMC of run 300001; plain is", {"histogram": "plain"}),
        ("run=300001&histogram=labelled", "no histogram labelled in EMC of run 300001", {"histogram": "plain"}),
        ("every=soon", "not a length of time: 'soon'", {"every": ""}),
        ("with=7", "There is no run 7 in the store.", {"others": []}),
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
def test_what_the_store_does_not_have_is_said_and_replaced(archive, address, note, shown):
    chosen = from_address(archive, address)
    assert len(chosen.notes) == 1
    assert note in chosen.notes[0]
    assert {name: getattr(chosen, name) for name in shown} == shown
    assert chosen.cumulative is not None


def test_what_is_no_part_of_a_view_is_ignored(archive):
    chosen = from_address(archive, "?colour=red&cumulative=1&notes=x&histogram=&log=perhaps&reductor=mean")
    assert (chosen.notes, chosen.log, chosen.reductor) == ([], False, "mean_x")


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
    chosen = Selection(archive, run=300000, start=start, stop=stop)
    assert ((chosen.start, chosen.stop), chosen.notes) == (expected, [])
    assert owtrend.time_slice(chosen.cumulative, chosen.start, chosen.stop)["stop"] == (expected[1] or at("12:06"))


def test_another_histogram_keeps_the_interval_and_another_run_does_not(archive):
    chosen = Selection(archive, run=300000, start="12:02", stop="12:04", reductor="std_x")
    chosen.choose(histogram="map")
    assert (chosen.start, chosen.stop, chosen.reductor) == (at("12:02"), at("12:04"), "std_x")
    chosen.choose(subsystem="TPC", histogram=None)
    assert (chosen.start, chosen.stop, chosen.notes) == (at("12:01:30"), at("12:03:30"), [])
    chosen.choose(run=300001)
    assert (chosen.start, chosen.stop) == (None, None)


def test_a_note_goes_away_with_the_next_choice(archive):
    chosen = Selection(archive, histogram="nothing")
    chosen.choose(histogram="map")
    assert chosen.notes == []


def test_watchers_hear_of_a_change_once_and_of_no_change_never(archive):
    chosen, heard = Selection(archive, run=300000), []
    chosen.param.watch(lambda *events: heard.append({event.name for event in events}), list(chosen.param))
    chosen.choose(run=300000, histogram="plain", start=None)
    assert heard == []
    chosen.choose(histogram="map", start="12:02", log=True)
    assert heard == [{"histogram", "start", "log", "cumulative", "trend", "findings"}]


def test_a_changed_binning_is_said_and_the_last_is_shown(tmp_path):
    for minute, bins in enumerate([4, 4, 8, 8]):
        when = making.START.replace(minute=minute)
        path = tmp_path / f"data/Run1/EMC/EMChists.{when:%Y_%m_%d_%H_%M_%S}.root"
        making.write(path, {"h": making.th1(np.arange(bins + 2.0) * (minute + 1), "h")})
    making.ingest(tmp_path / "data", tmp_path / "store")
    chosen = Selection(owtrend.open(tmp_path / "store"))
    assert chosen.notes == ["h changed its binning during run 1; the snapshots since 12:02:00 UTC are shown."]
    assert chosen.cumulative.sizes == {"time": 2, "x": 8, "sum": 5}


def test_an_empty_store_says_how_to_fill_it(tmp_path):
    Store.create(tmp_path / "store")
    chosen = Selection(owtrend.open(tmp_path / "store"), run="300000", start="12:00")
    assert chosen.cumulative is None
    assert chosen.notes == [
        f"This store holds no runs yet. Fill it with: owtrend ingest FOLDER --store {tmp_path}/store"
    ]
    assert (chosen.subsystems, chosen.reductors, chosen.edges) == ([], [], [None])


def test_a_projection_and_a_typed_reductor_are_part_of_the_view(archive):
    chosen = Selection(archive, run=300000, histogram="map", axes="x", region="0.8:3", reductor="mean_x(y=2:5)")
    assert chosen.address == "?run=300000&subsystem=EMC&histogram=map&reductor=mean_x(y=2:5)&axes=x&range=y=1:3"
    assert (chosen.ranges, chosen.complaints) == ({"y": (1, 3)}, {})
    assert from_address(archive, chosen.address).address == chosen.address
    chosen.choose(histogram="plain")
    assert (chosen.axes, chosen.region, chosen.reductor, chosen.complaints) == ("", "", "mean_x", {})


@pytest.mark.parametrize(
    ("reductor", "why"),
    [
        ("mode", "no reductor 'mode'; there are entries"),
        ("quantile_x", "quantile takes 1 numbers in brackets, not 0"),
        ("mean_x(y=0.3:2)", "no bin begins or ends at 0.3"),
        ("mean_z", "no reductor 'mean_z' for it"),
        ("mean_x(", "no reductor 'mean_x('"),
        ("ratio(nothing)", "nothing"),
    ],
)
def test_a_reductor_that_means_nothing_is_said_and_the_last_good_trend_stays(archive, reductor, why):
    chosen = Selection(archive, run=300000, histogram="map", reductor="quantile_y(0.9)")
    trend = chosen.trend
    chosen.choose(reductor=reductor)
    assert why in chosen.complaints["reductor"]
    assert (chosen.reductor, chosen.notes) == ("quantile_y(0.9)", [])
    assert chosen.trend is trend
    chosen.choose(start="12:02")
    assert why in chosen.complaints["reductor"], "until it is mended"
    chosen.choose(reductor="median_x")
    assert (chosen.reductor, chosen.complaints) == ("median_x", {})
    assert from_address(archive, f"?run=300000&histogram=map&reductor={reductor}").reductor == "mean_x"


def test_a_range_that_means_nothing_is_said_and_the_last_good_one_stays(archive):
    chosen = Selection(archive, run=300000, histogram="map", axes="x", region="1:3")
    chosen.choose(region="here")
    assert "'here' is no range" in chosen.complaints["region"]
    assert chosen.region == "y=1:3"
    chosen.choose(axes="y")
    assert (chosen.region, chosen.complaints) == ("", {}), "another axis has other ranges"


def test_further_runs_that_lack_the_histogram_are_said_and_kept_for_another(archive):
    chosen = Selection(archive, run=300000, histogram="labelled", others="300001, 300000")
    assert (chosen.others, chosen.further, chosen.runs) == ([300001], {}, [300000])
    assert "300001" in chosen.notes[0]
    chosen.choose(histogram="plain")
    assert (list(chosen.further), chosen.runs, chosen.notes) == ([300001], [300000, 300001], [])
    chosen.choose(subsystem="TPC", histogram=None)
    assert (chosen.others, chosen.further, chosen.notes) == ([300001], {}, ["Run 300001 has no TPC."])


def test_the_trend_is_of_all_runs_shown(archive):
    chosen = Selection(archive, run=300000, others=[300001])
    assert sorted(set(chosen.trend["run"].values.tolist())) == [300000, 300001]
    chosen.choose(every="run")
    assert chosen.trend["run"].values.tolist() == [300000, 300001]
    chosen.choose(every="3min", others=[])
    assert chosen.trend.sizes["time"] < 6


def test_beside_another_run_contents_are_per_entry_unless_told(archive):
    chosen = Selection(archive, run=300000)
    chosen.choose(others=[300001])
    assert chosen.normalised
    chosen.choose(normalised=False)
    chosen.choose(histogram="map")
    assert not chosen.normalised
    assert not from_address(archive, chosen.address).normalised


def test_a_move_of_the_interval_reads_no_trend_and_no_run_again(archive):
    chosen = Selection(archive, run=300000, others=[300001], reductor="quantile_x(0.5)")
    heard = []
    chosen.param.watch(lambda *events: heard.append({event.name for event in events}), list(chosen.param))
    chosen.choose(start="12:02")
    assert heard == [{"start"}]
