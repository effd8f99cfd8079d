import json
from datetime import datetime
from pathlib import Path

import hist
import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from ingest import root_file
from ingest.root_file import SnapshotReader
from owtrend.errors import OwtrendError, SnapshotError
from tests import making

ROOT_FILES = Path(__file__).parents[1] / "data" / "root"
FIRST = ROOT_FILES / "EMChistos_300000_C_2018_6_1_12_0_0.root"


def test_a_file_of_root_itself_is_read_with_every_part():
    snapshot = SnapshotReader().read(FIRST)
    expected = json.loads((ROOT_FILES / "answers.json").read_text())["alone"][FIRST.name]
    assert {h.name for h in snapshot.values()} == set(expected)
    assert not snapshot.problems
    for histogram in snapshot.values():
        answer = expected[histogram.name]
        values = histogram.values(flow=True).ravel(order="F")
        np.testing.assert_allclose(np.nan_to_num(values), answer["values"], rtol=1e-12, err_msg=histogram.name)
        errors = np.sqrt(histogram.variances(flow=True).ravel(order="F"))
        np.testing.assert_allclose(errors, answer["errors"], rtol=1e-9, atol=1e-9, err_msg=histogram.name)
        assert histogram.sums["entries"] == answer["reductors"]["entries"][0]
    assert ("TPCQA", "tracks") in snapshot
    assert ("name/with slash",) in snapshot
    assert snapshot["profile_s"].error_option == "s"
    assert snapshot["labelled"].axes[0].labels == {1: "INT7", 2: "EMC L0", 3: "other"}
    assert snapshot["TH3S"].parts["contents"].dtype == np.int16
    assert snapshot["variable"].axes[0].edges.tolist() == [0, 1, 2.5, 5, 10]


def test_the_name_tells_and_bytes_read_like_the_file():
    snapshot = SnapshotReader().read(FIRST.read_bytes(), name="data/TPChistos_12_B_2018_01_01_00_00_00.root")
    assert (snapshot.subsystem, snapshot.run, snapshot.mode) == ("TPC", 12, "B")
    assert snapshot.time == np.datetime64("2017-12-31T23:00:00", "ns")
    assert snapshot.digest == SnapshotReader().read(FIRST).digest


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "f4", "f8"])
def test_every_number_type_keeps_its_dtype(tmp_path, dtype):
    path = making.write(tmp_path / "x.root", {"h": making.th1([1, 2, 3, 4], dtype=dtype)})
    histogram = SnapshotReader().read(path)["h"]
    assert histogram.parts["contents"].dtype == np.dtype(dtype)
    assert histogram.values(flow=True).tolist() == [1, 2, 3, 4]


def test_of_several_cycles_the_highest_is_read(tmp_path):
    with uproot.recreate(tmp_path / "x.root") as file:
        for value in (1, 2, 3):
            file["h"] = making.th1([0, value, 0])
    assert SnapshotReader().read(tmp_path / "x.root")["h"].values().tolist() == [3]


def test_what_is_no_histogram_is_named_with_its_class(tmp_path):
    path = making.write(tmp_path / "x.root", {"h": making.th1([0, 1, 0]), "words": "hello"})
    snapshot = SnapshotReader().read(path)
    assert dict(snapshot.unsupported) == {"words": "TObjString"}
    assert list(snapshot) == [("h",)]


def test_a_histogram_with_too_many_cells_is_refused_by_name_and_the_rest_is_read(tmp_path):
    path = making.write(tmp_path / "x.root", {"big": making.th1([1] * 5000), "small": making.th1([1, 2, 3])})
    snapshot = SnapshotReader(max_cells=1000).read(path)
    assert [h.name for h in snapshot.values()] == ["small"]
    assert "more than max_cells=1,000" in snapshot.problems["big"]


def test_a_damaged_object_is_named_and_the_rest_is_read(tmp_path):
    path = making.write(tmp_path / "x.root", {"good": making.th1([1, 2, 3]), "bad": making.th1([1] * 900)})
    data = bytearray(path.read_bytes())
    with uproot.open(path) as file:
        key = file.key("bad")
    payload = key.fSeekKey + key.fKeylen
    data[payload + 12 : payload + 52] = bytes(40)
    snapshot = SnapshotReader().read(bytes(data))
    assert snapshot["good"].values().tolist() == [2]
    assert list(snapshot.problems) == ["bad"]


def test_broken_files_are_one_clear_error_each(tmp_path):
    for content, message in [
        (b"", "empty file"),
        (b"Just need a file here, no ROOT", "not a ROOT file"),
        (FIRST.read_bytes()[:3000], "cut short"),
    ]:
        with pytest.raises(SnapshotError, match=message):
            SnapshotReader().read(content)
    with pytest.raises(SnapshotError, match="cannot be opened"):
        SnapshotReader().read(tmp_path / "missing.root")


@given(data=st.data())
def test_a_mutated_file_gives_a_snapshot_or_one_error(data):
    content = bytearray(FIRST.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        SnapshotReader().read(bytes(content))
    except OwtrendError as error:
        assert "\n" not in str(error)


def test_the_header_tells_when_a_file_was_written(tmp_path):
    before = datetime.now().replace(microsecond=0)
    path = making.write(tmp_path / "x.root", {"h": making.th1([0, 1, 0])})
    assert before <= root_file.written(path) <= datetime.now()
    with uproot.open(FIRST) as file:
        assert root_file.written(FIRST) == file.modified_on


def test_weighted_and_multidimensional_histograms_equal_uproots(tmp_path):
    rng = np.random.default_rng(1)
    two = hist.Hist(hist.axis.Regular(7, 0, 1), hist.axis.Variable([0, 1, 5, 6]), storage=hist.storage.Weight())
    two.fill(rng.normal(0.5, 0.4, 500), rng.normal(3, 2, 500), weight=rng.random(500))
    path = making.write(tmp_path / "x.root", {"two": two})
    histogram = SnapshotReader().read(path)["two"]
    with uproot.open(path) as file:
        np.testing.assert_array_equal(histogram.values(flow=True), file["two"].values(flow=True))
        np.testing.assert_array_equal(histogram.variances(flow=True), file["two"].variances(flow=True))
        assert [a.edges.tolist() for a in histogram.axes] == [a.edges().tolist() for a in file["two"].axes]


def test_every_shared_file_is_read_or_named(shared):
    read = 0
    for path in sorted(shared.rglob("*.root")):
        try:
            snapshot = SnapshotReader().read(path)
        except SnapshotError as error:
            assert str(path) in str(error)
            continue
        read += len(snapshot)
        for name, reason in snapshot.problems.items():
            assert name
            assert reason
    assert read > 2000
