"""Numbers, times and texts from outside that mean nothing: each is one line that names it, whatever way it came in."""

from dataclasses import replace

import numpy as np
import pytest

import owtrend
from dashboards.state import region
from dashboards.state.session import Session
from ingest.archive.find import find_files
from ingest.naming import Pattern
from owtrend.cli import main
from owtrend.config import load
from owtrend.display import quoted
from owtrend.errors import NotFoundError, OwtrendError, SnapshotError, UsageError
from owtrend.times import parse_interval, parse_time, to_utc
from owtrend.trends.reductors import parse
from tests import builders

HUGE = "9" * 4400  # more digits than Python makes a number of
REDUCTORS = ["fraction_x(0,1e400)", "fraction_x(nan,1)", f"quantile_x({HUGE})", "mean_x(x=0:1e400)", "gauss_x(0,1e308)",
             "mean_x(x=1:2,x=3:4)", "quantile_x(٣)", HUGE, "("*5000]  # fmt: skip
TIMES = ["1000000000-01-01", "9999-12-31", "2262-01-01", "0001-01-01", "1600", "20180601", "3", "NaT", HUGE]


@pytest.mark.parametrize(
    "text", [*TIMES, "", None, 10**30, 10**5000, {}, np.datetime64("2300"), float("nan")], ids=quoted
)
def test_a_time_that_nanoseconds_cannot_hold_is_none(text):
    with pytest.raises(UsageError, match="not a time"):
        parse_time(text, np.datetime64("2018-06-01", "ns"))


@pytest.mark.parametrize(
    "text", ["5", "1e400s", "99999999d", HUGE, 1e300, 10**5000, np.timedelta64(2**62, "s")], ids=quoted
)
def test_a_length_of_time_that_is_none_is_an_error(text):
    with pytest.raises(UsageError, match="not a length of time") as raised:
        parse_interval(text)
    assert len(str(raised.value)) < 200


def test_a_time_with_a_zone_is_brought_to_utc_without_a_warning():
    assert parse_time("2018-06-01T12:00+02:00") == np.datetime64("2018-06-01T10:00", "ns")
    assert to_utc("0001-01-01T00:00:00+10:00") is None


@pytest.mark.parametrize("name", REDUCTORS[:-3], ids=quoted)
def test_a_reductor_of_impossible_numbers_is_an_error(small, name):
    with pytest.raises(OwtrendError) as raised:
        small.trend("EMC", "h", name)
    assert len(str(raised.value)) < 300


def test_the_name_of_a_reductor_with_a_large_number_is_short():
    assert parse("fraction_x(0,1e308)").name == "fraction_x(0,1e+308)"
    assert parse("fraction_x(0,9007199254740993)").name == "fraction_x(0,9007199254740992)"


@pytest.mark.parametrize("run", [2**63, 10**30, 10**5000, -1], ids=quoted)
def test_a_run_that_no_store_can_hold_is_not_found(small, run):
    for call in (
        lambda: small.histogram("EMC", "h", run=run),
        lambda: small.trend("EMC", "h", "mean", runs=[run]),
        lambda: small.findings(runs=run),
        lambda: small.time_slice("EMC", run),
    ):
        with pytest.raises(NotFoundError, match="no run"):
            call()
    with pytest.raises(NotFoundError, match="no version"):
        owtrend.open(small.location, as_of=str(run) if run < 10**4000 else HUGE)


def test_a_bound_that_is_no_float_is_an_error(small):
    histogram = small.histogram("EMC", "h", run=300000)
    for bound in (10**400, float("nan"), 10**5000):
        with pytest.raises(UsageError):
            owtrend.project(histogram, "x", x=slice(0, bound))


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"run": 2**63}, "less than 2"), ({"time": np.datetime64("2263-01-01")}, "it is in the year 2263"),
     ({"time": np.datetime64("0001-01-01")}, "the year 1,"), ({"time": np.datetime64("NaT")}, "not a time")],
)  # fmt: skip
def test_a_snapshot_that_a_store_cannot_hold_is_refused(tmp_path, changes, message):
    with pytest.raises(SnapshotError, match=message):
        builders.append(tmp_path / "store", [replace(builders.snapshot(1), **changes)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("EMChistos_9223372036854775808_C_2018_6_1_12_0_5.root", "a run is less than 2"),
        ("EMChistos_300000_C_2263_6_1_12_0_5.root", "it is in the year 2263"),
        ("EMChistos_300000_C_0001_6_1_12_0_5.root", "it is in the year 1,"),
        ("EMChistos_300000_C_2018_13_1_12_0_5.root", "month must be in 1..12"),
    ],
)
def test_a_file_with_an_impossible_name_is_skipped_with_its_reason_and_the_others_go_on(tmp_path, name, reason):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    good = next((tmp_path / "data").rglob("*.root"))
    (tmp_path / "data" / name).write_bytes(good.read_bytes())
    found = find_files([tmp_path / "data"])
    assert [file.path for file in found.files] == [str(good)]
    assert reason in "".join(found.examples.values())
    assert builders.ingest(tmp_path / "data", tmp_path / "store").added == 1


def test_a_run_in_a_pattern_or_an_option_is_as_small_as_a_store_needs_it(tmp_path):
    assert "is impossible" in Pattern.compile("{run}.root").read(f"{HUGE}.root")
    assert Pattern.compile("{run}.root").read(f"{'0' * 4000}7.root").run == 7
    (tmp_path / "EMC_2018_6_1_12_0_5.root").write_bytes(b"")
    found = find_files([tmp_path], patterns=["{subsystem}_{time}.root"], run=2**63)
    assert dict(found.skipped) == {"no run has this number: expected 1 to 2^63 - 1": 1}


@pytest.mark.parametrize(
    "text",
    ["scores: {false_alarms: .inf}", "scores: {false_alarms: .nan}", f"scores: {{last: {HUGE}}}",
     "scores: {last: 9223372036854775808}", "scores: {adapt_after: 1e400}", "scores: {false_alarms: 2001-99-99}",
     "[" * 1000],
)  # fmt: skip
def test_a_configuration_of_impossible_numbers_is_one_line(tmp_path, text):
    (tmp_path / "owtrend.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"owtrend.yaml: ") as raised:
        load(tmp_path / "owtrend.yaml")
    assert "\n" not in str(raised.value)


ALL = (HUGE, "9223372036854775808", "-1", "1e400", "nan")


def commands(store, numbers, times, reductors):
    for number in numbers:
        yield "trends", store, "--runs", number
        yield "outliers", store, "--runs", f"1-{number}"
        yield "slice", store, number, "EMC", "-o", "x.root"
        yield "remove", store, number, "--why", "x"
        yield "clean", store, "--older-than", number
        yield "ingest", ".", "--store", store, "--run", number
    for number in numbers[-2:]:
        for option in ("--max-cells", "--max-megabytes", "--max-objects", "--max-seconds", "--workers"):
            yield "ingest", ".", "--store", store, option, number
        for option in ("--runs", "--snapshots", "--scale", "--statistics", "--faults", "--seed", "--first-run"):
            yield "simulate", "simulated", option, number
    yield "simulate", "simulated", "--faults", HUGE
    yield "simulate", "simulated", "--snapshots", "9223372036854775808"
    for name in reductors:
        yield "trends", store, "--reductor", name
    for time in times:
        yield "slice", store, "300000", "EMC", "-o", "x.root", "--from", time
        yield "slice", store, "300000", "EMC", "-o", "x.root", "--to", time


@pytest.mark.slow
@pytest.mark.parametrize(
    ("numbers", "times", "reductors"),
    [(ALL[-1:], TIMES[:1], REDUCTORS[:1]), pytest.param(ALL, TIMES, REDUCTORS, marks=pytest.mark.slow)],
    ids=["few", "all"],
)
def test_a_command_says_in_one_line_what_means_nothing(
    tmp_path, monkeypatch, capsys, small_store, numbers, times, reductors
):
    monkeypatch.chdir(tmp_path)
    for command in commands(str(small_store), numbers, times, reductors):
        status = main.status(command)
        error = capsys.readouterr().err
        assert status in (1, 2), command
        last = error.strip().splitlines()
        assert len(last) == 1 if status == 1 else last[-1].startswith("Error: "), (command, error)
        assert "fault in owtrend" not in error, (command, error)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "query",
    [{"run": HUGE}, {"run": "9223372036854775808"}, {"run": "-1"}, {"with": f"1,{HUGE},nan"}, {"every": HUGE},
     {"every": "1e400s"}, {"every": "5"}, {"start": "1000000000-01-01"}, {"stop": HUGE}, {"start": "0001-01-01"},
     {"reductor": "fraction_x(0,1e400)"}, {"reductor": HUGE}, {"range": f"x={HUGE}:1"}, {"histogram": HUGE},
     {"subsystem": HUGE}],
)  # fmt: skip
def test_an_address_that_means_nothing_shows_something_and_a_short_note(small, query):
    session = Session.from_address(small, query)
    assert (session.view.run in (300000, 300001), session.view.histogram != "") == (True, True)
    notes = [*session.notes, *session.complaints.values()]
    assert notes
    assert max(map(len, notes)) < 400


def test_a_range_far_beyond_an_axis_ends_where_the_axis_does(projections):
    dims = projections.histograms("EMC")["dims"]
    name = dims.index[dims == 2][0]
    histogram = projections.histogram("EMC", name, run=300000)
    low, high = region.span(histogram, "y")
    middle = float(histogram["y_left"].values[1])
    assert region.ranges(f"y={middle!r}:1e400", histogram, "x") == {"y": (middle, high)}
    assert region.ranges(f"y=-{HUGE}:{middle!r}", histogram, "x") == {"y": (low, middle)}
