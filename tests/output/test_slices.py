import hashlib
import json
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import uproot

import owtrend
from ingest import SnapshotReader
from owtrend import Axis, Histogram, Snapshot
from owtrend.errors import NotFoundError, UsageError
from owtrend.histograms import subsystem_slice
from owtrend.output import root_writer, slices
from tests.builders import MINUTE, START, archive_of, histogram, snapshot, snapshots
from tests.studies import sizes

DATA = Path(__file__).parents[1] / "data"


def classes():
    """Histograms that ROOT wrote, of every class and kind of axis."""
    return SnapshotReader().read(DATA / "root" / "classes.root")


def times(factor, one):
    """The histogram filled so many times over; what is an infinity or no number stays."""
    whole = {"i": np.int64, "f": np.float64}
    with np.errstate(invalid="ignore"):  # an infinity times zero
        parts = {name: part.astype(whole[part.dtype.kind]) * factor for name, part in one.parts.items()}
    return one.refilled(parts, {name: value * factor for name, value in one.sums.items()})


def slice_of_every_class():
    """Four snapshots with 1, 3, 0 (a restart) and 2 times the fills; between the first and the last are 4 times."""
    made = [
        snapshot(minute, *(times(factor, one) for one in classes().values()))
        for minute, factor in ((1, 1), (2, 3), (3, 0), (4, 2))
    ]
    return archive_of(*made).time_slice("EMC", 300000, START + MINUTE)


@pytest.fixture(scope="module")
def every_class():
    return slice_of_every_class()


def bytes_digest(one):
    return hashlib.sha256(root_writer.root_object(one).serialize(name=one.path[-1])).hexdigest()[:16]


def assert_same(found, expected):
    """The same histogram with titles; the digest has class, option, binning, bits of all parts and sums."""
    assert found == expected
    assert found.title == expected.title
    assert [axis.title for axis in found.axes] == [axis.title for axis in expected.axes]


def test_what_root_wrote_is_written_again_as_it_was(tmp_path):
    read = classes()
    root_writer.write(tmp_path / "again.root", read.histograms)
    again = SnapshotReader().read(tmp_path / "again.root")
    assert list(again) == list(read)
    for path, expected in read.items():
        assert_same(again[path], expected)


def test_a_slice_of_every_class_is_four_times_the_fills(every_class):
    assert (every_class.interval.snapshots, every_class.interval.restarts) == (3, 1)
    for path, one in classes().items():
        found = every_class[path]
        factor = 2 if one.gauge else 4
        for name, part in times(factor, one).parts.items():
            finite = np.isfinite(part)
            np.testing.assert_allclose(found.parts[name][finite], part[finite], rtol=1e-14, err_msg=str(path))
            assert np.isnan(found.parts[name][~finite].astype(float)).all(), "an infinity less an infinity"
        if np.isfinite(list(one.sums.values())).all():
            assert found.sums == pytest.approx({name: factor * value for name, value in one.sums.items()})
        full = path in (("contents", "saturated"), ("buffers", "char"))
        assert found.class_name == ("TH1S" if full else one.class_name)
        assert every_class.widened.get(path) == ("TH1C" if full else None)


def test_a_written_slice_is_read_back_the_same(every_class, tmp_path):
    root_writer.write(tmp_path / "slice.root", every_class.histograms)
    again = SnapshotReader().read(tmp_path / "slice.root")
    assert list(again) == list(every_class)
    for path, expected in every_class.items():
        assert_same(again[path], expected)


def test_uproot_reads_a_written_slice(every_class, tmp_path):
    root_writer.write(tmp_path / "slice.root", every_class.histograms)
    with uproot.open(tmp_path / "slice.root") as file:
        for path, expected in every_class.items():
            if path[0] in ("numbers", "profiles"):
                found = file["/".join(path)]
                assert found.classname == expected.class_name
                values = np.nan_to_num(expected.values(flow=True))
                np.testing.assert_array_equal(found.values(flow=True), values, err_msg=str(path))
        labels = file["axes/labelled"].member("fXaxis").member("fLabels")
    assert [(str(label), label.bases[0].member("@fUniqueID")) for label in labels] == [("INT7", 1), ("µ", 3)]


def test_root_says_of_a_slice_what_owtrend_says(every_class):
    answers = json.loads((DATA / "slice" / "answers.json").read_text())
    assert len(answers["histograms"]) == len(every_class)
    for key, root in answers["histograms"].items():
        one = every_class[tuple(json.loads(key))]
        assert (one.class_name, one.title, one.gauge) == (root["class"], root["title"], root["gauge"])
        for axis, edges, labels in zip(one.axes, root["edges"], root["labels"], strict=True):
            np.testing.assert_allclose(axis.edges, edges, rtol=1e-14, atol=1e-14 * np.ptp(edges))
            assert [axis.labels.get(number + 1, "") for number in range(len(axis))] == labels
        same = {"rtol": 1e-14, "err_msg": key}
        values = one.values(flow=True).ravel(order="F").astype(float)
        np.testing.assert_allclose(np.nan_to_num(values) if one.kind == "MEAN" else values, root["values"], **same)
        errors = np.sqrt(one.variances(flow=True)).ravel(order="F")
        np.testing.assert_allclose(errors, root["errors"], **same)
        assert one.sums["entries"] == root["entries"]
        if one.sums["tsumw"] != 0:  # else ROOT goes by the bins
            for number, letter in enumerate("xyz"[: len(one.axes)]):
                mean = one.sums[f"tsumw{letter}"] / one.sums["tsumw"]
                spread = np.sqrt(max(one.sums[f"tsumw{letter}2"] / one.sums["tsumw"] - mean**2, 0))
                for value, name in ((mean, "mean"), (spread, "std")):
                    np.testing.assert_allclose(value, root[name][number], rtol=1e-9, atol=1e-9, err_msg=key)


def test_what_is_written_are_the_bytes_that_root_was_asked_about(every_class):
    answers = json.loads((DATA / "slice" / "answers.json").read_text())
    if uproot.__version__ == answers["uproot"]:
        assert {json.dumps(path): bytes_digest(one) for path, one in every_class.items()} == answers["bytes"]


@pytest.mark.slow
@pytest.mark.parametrize("subsystems", sizes(["HLT"], ["EMC", "HLT", "TPC"]))
def test_a_slice_of_all_is_the_slice_of_each(simulated, subsystems):
    archive = owtrend.open(simulated)

    @cache
    def rows(subsystem, path):
        return archive.histogram(subsystem, path, run=300000, flow=True).load()

    intervals = [(None, None), ("12:10", "12:20"), ("12:05:30", None), (None, "12:04")]
    for subsystem, (start, stop) in product(subsystems, intervals):
        made = archive.time_slice(subsystem, 300000, start, stop)
        assert len(made) + len(made.absent) - len(made.rebinned) == len(archive.histograms(subsystem))
        for path, one in made.items():
            if path in made.rebinned or (*path[:-1], f"{path[-1]}#2") in made.rebinned:
                continue
            expected = owtrend.time_slice(rows(subsystem, path), start, stop)
            for name in one.parts:
                np.testing.assert_array_equal(one.part(name), expected[name].values, err_msg=f"{path} {start} {stop}")
            assert list(one.sums.values()) == expected["sums"].values.tolist()
            interval = made.intervals[path]
            np.testing.assert_equal(interval.start, expected.coords["start"].values[()])
            assert interval.stop == expected.coords["stop"].values
            for name in ("snapshots", "restarts", "gaps", "reported"):
                assert getattr(interval, name) == int(expected.coords[name]), (path, name)


@pytest.mark.slow
def test_there_is_a_restart_in_what_the_tests_slice(simulated):
    archive = owtrend.open(simulated)
    slices = [archive.time_slice(name, run) for name in archive.subsystems for run in archive.runs.index]
    assert sum(one.interval.restarts for one in slices) == 1
    assert any(one.rebinned for one in slices)


def test_in_reset_mode_the_rows_are_added_up():
    archive = archive_of(*snapshots({"h": [[0, 3, 0], [0, 1, 0], [0, 0, 4]]}), reset=True)
    made = archive.time_slice("EMC", 300000, "12:00")
    assert made["h"].values(flow=True).tolist() == [0, 1, 4]
    assert (made.interval.restarts, made["h"].sums["entries"]) == (0, 5)


@pytest.mark.slow
def test_reading_in_small_strokes_gives_the_same(simulated, monkeypatch):
    whole = owtrend.open(simulated).time_slice("TPC", 300000, "12:03", "12:25")
    monkeypatch.setattr(subsystem_slice, "STROKE_BYTES", 1)
    assert dict(owtrend.open(simulated).time_slice("TPC", 300000, "12:03", "12:25")) == dict(whole)


def test_both_binnings_of_an_interval_are_written():
    fine, coarse = histogram([0, 1, 2, 3, 4, 0]), histogram([0, 5, 9, 0])
    made = [snapshot(1, fine), snapshot(2, fine), snapshot(3, coarse), snapshot(4, histogram([0, 6, 9, 1]))]
    archive = archive_of(*made)
    both = archive.time_slice("EMC", 300000)
    first, second = ("h",), ("h#2",)
    assert both.rebinned == (second,)
    assert both[first].values().tolist() == [1, 2, 3, 4]
    assert both[second].values(flow=True).tolist() == [0, 6, 9, 1]
    assert np.isnat(both.intervals[second].start)
    late = archive.time_slice("EMC", 300000, START + 3 * MINUTE)
    assert list(late) == [first]
    assert late["h"].values(flow=True).tolist() == [0, 1, 0, 1]


def test_a_histogram_that_is_not_in_the_interval_is_absent(small):
    assert small.time_slice("EMC", 300000, "12:02:30").absent == (("sometimes",),)
    assert small.time_slice("EMC", 300001).absent == (("sometimes",),)
    with pytest.raises(NotFoundError, match="none of the 1 histograms asked for is in run 300000"):
        small.time_slice("EMC", 300000, "12:02:30", select=["some*"])
    partly = small.time_slice("EMC", 300000, "12:00", "12:02")
    assert partly["sometimes"].values(flow=True).tolist() == [1, 0, 4, 0]
    assert (partly.interval.snapshots, partly.intervals["sometimes",].snapshots) == (2, 1)


@pytest.mark.parametrize(
    ("letter", "contents", "wider"),
    [
        pytest.param("C", [127, -128, 0], "C", id="fits"),
        pytest.param("C", [0, 128, 0], "S", id="a-full-char"),
        pytest.param("S", [0, -32769, 0], "I", id="a-full-short"),
        pytest.param("I", [0, 2**31, 0], "D", id="beyond-an-int"),
        pytest.param("L", [0, 2**40, 0], "L", id="long"),
        pytest.param("L", [0, 0.5, 0], "D", id="no-whole-number"),
        pytest.param("F", [0, 2**24, np.nan], "F", id="float"),
        pytest.param("F", [0, 2**24 + 1, 0], "D", id="whole-but-not-in-float32"),
        pytest.param("F", [0, 0.1, np.inf], "D", id="weighted"),
        pytest.param("F", [0, 1e300, 0], "D", id="beyond-float32"),
    ],
)
def test_a_class_is_widened_until_it_holds_the_numbers(letter, contents, wider):
    found, cast = subsystem_slice._fitting(letter, np.asarray(contents))
    assert found == wider
    np.testing.assert_array_equal(cast, contents)


def test_the_gain_of_a_full_float_becomes_a_double():
    full = np.array([0, 2**25 + 4, 0], dtype="f4")
    made = [snapshot(1, histogram([0, 1, 0], dtype="f4")), snapshot(2, histogram(full, dtype="f4"))]
    gained = archive_of(*made).time_slice("EMC", 300000, START + MINUTE)
    assert gained["h"].class_name == "TH1D"
    assert gained["h"].values().tolist() == [2**25 + 3]
    assert gained.widened == {("h",): "TH1F"}


def test_names_that_root_could_not_keep_apart_are_told_apart(tmp_path):
    one = histogram([0, 1, 0])
    paths = [("a",), ("a", "b"), ("a#2",), ("a", "c/d")]
    found = root_writer.write(tmp_path / "h.root", {path: replace(one, path=path) for path in paths})
    assert found == {("a",): ("a#3",), ("a", "b"): ("a", "b"), ("a#2",): ("a#2",), ("a", "c/d"): ("a", "c/d")}
    assert set(SnapshotReader().read(tmp_path / "h.root")) == set(found.values())


def test_a_three_dimensional_histogram_with_variable_edges_and_labels(tmp_path):
    axes = (
        Axis(np.array([0, 1, 5.0]), regular=False, title="x"),
        replace(Axis.spaced(2, 0, 1, "y"), labels={1: "left", 2: "right"}),
        Axis.spaced(3, -1, 1),
    )
    names = ["x", "x2", "y", "y2", "xy", "z", "z2", "xz", "yz"]
    sums = ["entries", "tsumw", "tsumw2", *(f"tsumw{name}" for name in names)]
    one = Histogram(
        path=("h",), class_name="TH3F", axes=axes, title="µ", parts={"contents": np.arange(80, dtype="f4")},
        sums=dict(zip(sums, map(float, range(12)), strict=True)),
    )  # fmt: skip
    root_writer.write(tmp_path / "h.root", {one.path: one})
    assert_same(SnapshotReader().read(tmp_path / "h.root")["h"], one)


@pytest.mark.slow
def test_a_slice_file_tells_what_is_in_it(simulated, tmp_path):
    path = tmp_path / "slice.root"
    summary = slices.export_slice(simulated, 300000, "HLT", path, "12:05", "12:25", select=["fHistCluster*"])
    read = SnapshotReader().read(path)
    assert summary.histograms == len(read) == 2
    assert summary.start.startswith("2018-06-01T12:04") or summary.start.startswith("2018-06-01T12:05")
    assert summary.snapshots == 20
    with pytest.raises(NotFoundError, match="no histogram like 'nothing\\*'"):
        slices.export_slice(simulated, 300000, "HLT", path, select=["nothing*"])
    with pytest.raises(NotFoundError, match="no snapshot of run 300000"):
        slices.export_slice(simulated, 300000, "HLT", path, "2018-06-02T10:00")
    with pytest.raises(UsageError, match="make it first"):
        slices.export_slice(simulated, 300000, "HLT", tmp_path / "no" / "slice.root")
    assert list(tmp_path.iterdir()) == [path]


def test_a_slice_is_a_snapshot(every_class):
    assert isinstance(every_class, Snapshot)
    assert every_class["numbers/h1f"].to_hist().sum(flow=True) == 4 * 80
    assert every_class.time == START + 4 * MINUTE
