import itertools
import json
import random
import struct
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from ingest.decode import compression, records, streamer
from ingest.decode import reader as root_file
from ingest.decode.histogram import is_histogram
from ingest.decode.reader import SnapshotReader
from owtrend.errors import OwtrendError, SnapshotError
from owtrend.output.root_writer import root_object
from tests.builders import histogram, write
from tests.fuzz import mutations

ROOT_FILES = Path(__file__).parents[2] / "data" / "root"
FIRST = ROOT_FILES / "EMChistos_300000_C_2018_6_1_12_0_0.root"
CLASSES = ROOT_FILES / "classes.root"
STATISTICS = {
    1: ["tsumw", "tsumw2", "tsumwx", "tsumwx2", "tsumwy", "tsumwy2"],
    2: ["tsumw", "tsumw2", "tsumwx", "tsumwx2", "tsumwy", "tsumwy2", "tsumwxy", "tsumwz", "tsumwz2"],
    3: ["tsumw", "tsumw2", "tsumwx", "tsumwx2", "tsumwy", "tsumwy2", "tsumwxy", "tsumwz", "tsumwz2", "tsumwxz",
        "tsumwyz", "tsumwt", "tsumwt2"],
}  # fmt: skip
ANSWERS = {tuple(json.loads(path)): one for path, one in json.loads((ROOT_FILES / "classes.json").read_text()).items()}


@pytest.fixture(scope="module")
def classes():
    return SnapshotReader().read(CLASSES)


def test_every_histogram_of_a_file_of_root_itself_is_found(classes):
    assert set(ANSWERS) - {("small",)} == set(classes) - {("contents", "not_numbers")}
    assert not classes.problems
    assert dict(classes.unsupported) == {
        "containers/list/words": "TObjString", "others/graph": "TGraph", "others/text": "TObjString",
        "others/sparse": "THnSparseT<TArrayD>",
    }  # fmt: skip


@pytest.mark.parametrize("path", [path for path in ANSWERS if path != ("small",)], ids="/".join)
def test_root_answers_the_same(classes, path):
    histogram, answer = classes[path], ANSWERS[path]
    assert (histogram.class_name, histogram.title) == (answer["class"], answer["title"])
    for axis, edges, title, labels in zip(
        histogram.axes, answer["edges"], answer["titles"], answer["labels"], strict=True
    ):
        np.testing.assert_allclose(axis.edges, edges, rtol=1e-14, atol=1e-14)
        assert (axis.title, dict(axis.labels)) == (title, {int(number): label for number, label in labels.items()})
    contents = np.nan_to_num(histogram.values(flow=True)).ravel(order="F")
    np.testing.assert_allclose(contents, answer["contents"], rtol=1e-12)
    errors = np.sqrt(histogram.variances(flow=True)).ravel(order="F")
    np.testing.assert_allclose(errors, answer["errors"], rtol=1e-9, atol=1e-9)
    assert histogram.sums["entries"] == answer["entries"]
    if histogram.sums["tsumw"]:  # without any, ROOT makes them of the bins
        names = STATISTICS[len(histogram.axes)][: len(answer["stats"])]
        np.testing.assert_allclose([histogram.sums[name] for name in names], answer["stats"], rtol=1e-12)


def test_details_that_no_answer_shows(classes):
    assert classes["contents/gauge"].gauge
    assert [classes[f"profiles/p1{option}"].error_option for option in ("", "s", "i", "g")] == ["", "s", "i", "g"]
    values = classes["contents/not_numbers"].values()
    assert [np.isnan(values[0]), values[1], values[2]] == [True, np.inf, -np.inf]
    dtypes = [classes[f"numbers/h1{letter}"].parts["contents"].dtype.str for letter in "csilfd"]
    assert dtypes == ["|i1", "<i2", "<i4", "<i8", "<f4", "<f8"]
    assert all(part.flags.aligned for histogram in classes.values() for part in histogram.parts.values())


def test_bytes_are_read_like_a_file_and_a_given_name_is_parsed():
    snapshot = SnapshotReader().read(FIRST.read_bytes(), name="data/TPChistos_12_B_2018_01_01_00_00_00.root")
    assert (snapshot.subsystem, snapshot.run, snapshot.mode) == ("TPC", 12, "B")
    assert snapshot.time == np.datetime64("2017-12-31T23:00:00", "ns")
    assert snapshot.digest == SnapshotReader().read(FIRST).digest
    assert SnapshotReader().read(bytearray(FIRST.read_bytes())).digest == snapshot.digest


@pytest.mark.parametrize("packing", ["zlib", "lzma", "lz4", "zstd"])
def test_every_packing_method_gives_the_same_also_in_several_blocks(packing):
    plain = SnapshotReader().read(ROOT_FILES / "packed_none.root")
    packed = SnapshotReader().read(ROOT_FILES / f"packed_{packing}.root")
    assert packed["small"] == plain["small"]
    if packing != "lz4":  # there it would take 70 kB
        cells = np.arange(0, 2102 * 2102, 40009)
        assert np.array_equal(np.flatnonzero(packed["large"].parts["contents"]), cells[1:])
        assert np.array_equal(packed["large"].parts["contents"][cells], cells.astype(np.float32))


@pytest.mark.slow
def test_results_never_depend_on_what_a_reader_remembers():
    """One reader for all files, in every order, gives what a new one gives each time."""
    files = [*sorted(ROOT_FILES.glob("EMC*.root")), CLASSES, ROOT_FILES / "packed_zlib.root"]
    alone = {path: SnapshotReader().read(path).digest for path in files}
    reader = SnapshotReader()
    for order in itertools.permutations(files, 3):
        for path in order:
            assert reader.read(path).digest == alone[path]


def test_following_snapshots_are_not_walked(monkeypatch):
    first, *following = sorted(ROOT_FILES.glob("EMC*.root"))
    reader = SnapshotReader()
    reader.read(first)
    monkeypatch.setattr(root_file, "read_key_object", None)
    for path in following:
        snapshot = reader.read(path)
        assert (len(snapshot), dict(snapshot.problems)) == (12, {})


def test_after_a_new_title_only_that_histogram_is_walked_again(tmp_path, monkeypatch):
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.root")
        with uproot.recreate(paths[-1], compression=None) as file:
            for name in ("stays", "changes"):
                file[name] = root_object(histogram([0, number, 0], name))
    data = paths[1].read_bytes().replace(b"title of changes", b"TITLE OF CHANGES")
    walked = []
    read = streamer.read_key_object
    monkeypatch.setattr(root_file, "read_key_object", lambda *a: walked.append(a[1]) or read(*a))
    reader = SnapshotReader()
    reader.read(paths[0])
    assert len(walked) == 2
    snapshot = reader.read(data)
    assert len(walked) == 3
    assert snapshot["changes"].title == "TITLE OF CHANGES"
    assert snapshot["changes"].values().tolist() == [1]
    assert reader.read(paths[2])["changes"].title == "title of changes"


def test_an_unchanged_object_is_neither_unpacked_nor_created_again(tmp_path, monkeypatch):
    still, fed, more = histogram([0, 1, 2, 0], "still"), histogram([0, 1, 1, 0], "fed"), histogram([0, 1, 5, 0], "fed")
    first = write(tmp_path / "1.root", still, fed)
    second = write(tmp_path / "2.root", still, more)
    reader = SnapshotReader()
    reader.read(first)  # walked
    before = reader.read(first)
    unpacked = []
    monkeypatch.setattr(
        records.RootFile,
        "unpacked",
        lambda *wanted, own=records.RootFile.unpacked: unpacked.append(1) or own(*wanted),
    )
    after = reader.read(second)
    assert len(unpacked) == 1
    assert after["still"] is before["still"]
    assert (after["fed"].values().tolist(), before["fed"].values().tolist()) == ([1, 5], [1, 1])
    assert after.digest == SnapshotReader().read(second).digest
    with pytest.raises(ValueError, match="read-only"):
        after["still"].parts["contents"][1] = 7


def test_arrays_outlive_the_reader_and_the_next_file():
    reader = SnapshotReader()
    first, second, _ = sorted(ROOT_FILES.glob("EMC*.root"))
    kept = reader.read(first)["TH1F"]
    before = kept.values().copy()
    reader.read(second)
    np.testing.assert_array_equal(kept.values(), before)


def test_of_several_cycles_the_highest_is_read(tmp_path):
    with uproot.recreate(tmp_path / "x.root") as file:
        for value in (1, 2, 3):
            file["h"] = root_object(histogram([0, value, 0]))
    assert SnapshotReader().read(tmp_path / "x.root")["h"].values().tolist() == [3]


def test_a_histogram_with_too_many_cells_is_refused_by_name_before_it_is_unpacked(monkeypatch):
    unpacked = []
    unpack = compression.unpack_block
    monkeypatch.setattr(compression, "unpack_block", lambda *a: unpacked.append(a[2]) or unpack(*a))
    snapshot = SnapshotReader(max_cells=2101 * 2101).read(ROOT_FILES / "packed_zlib.root")
    assert [h.name for h in snapshot.values()] == ["small"]
    assert snapshot.problems == {"large": "4,418,404 cells, more than max_cells=4,414,201"}
    assert sum(unpacked) < 2**24 + 100_000  # the first block of the two, the class layouts, the small one
    assert len(SnapshotReader(max_cells=2102 * 2102).read(ROOT_FILES / "packed_zlib.root")) == 2


def test_a_container_with_too_many_cells_inside_is_read_but_for_that_one():
    snapshot = SnapshotReader(max_cells=4).read(CLASSES)
    assert "5 cells, more than max_cells=4" in snapshot.problems["containers/list/a"]
    assert "names/with:colon" in snapshot


def test_a_damaged_object_is_named_and_the_rest_is_read(tmp_path):
    path = write(tmp_path / "x.root", histogram([1, 2, 3], "good"), histogram([1] * 900, "bad"))
    data = bytearray(path.read_bytes())
    with uproot.open(path) as file:
        key = file.key("bad")
    payload = key.fSeekKey + key.fKeylen
    data[payload + 12 : payload + 52] = bytes(40)
    snapshot = SnapshotReader().read(bytes(data))
    assert snapshot["good"].values().tolist() == [2]
    assert list(snapshot.problems) == ["bad"]


def test_broken_files_are_one_clear_error_each(tmp_path):
    never_closed = bytearray(FIRST.read_bytes())
    with uproot.open(FIRST) as file:
        at = file.file.fBEGIN + file.file.fNbytesName
    never_closed[at + 26 : at + 30] = bytes(4)  # no list of keys yet
    for content, message in [
        (b"", "empty file"),
        (b"Just need a file here, no ROOT", "not a ROOT file"),
        (FIRST.read_bytes()[:3000], r"cut short \(3,000 of 10,980 bytes\); copy it again"),
        (bytes(never_closed), "still being written, or never closed"),
        (random.Random(1).randbytes(10_000), "not a ROOT file"),
        (b"root" + random.Random(1).randbytes(10_000), "cut short|damaged"),
    ]:
        with pytest.raises(SnapshotError, match=message):
            SnapshotReader().read(content)
    with pytest.raises(SnapshotError, match="cannot be opened"):
        SnapshotReader().read(tmp_path / "missing.root")
    with pytest.raises(SnapshotError, match="cannot be opened"):
        SnapshotReader().read(tmp_path)


@given(seed=st.integers(0, 2**63))
def test_a_mutated_file_gives_a_snapshot_or_one_error(seed):
    rng = random.Random(seed)
    content = mutations.mutated(rng.choice(mutations.bases(ROOT_FILES)), rng)
    try:
        for histogram in MUTATED_READER.read(content).values():
            histogram.values(), histogram.variances(), histogram.digest
    except OwtrendError as error:
        assert "\n" not in str(error)


MUTATED_READER = SnapshotReader()


def test_files_over_2_gb_are_read_where_their_objects_lie(tmp_path):
    path = mutations.moved(FIRST, tmp_path / "large.root", 5 * 2**30)  # sparse: takes 40 kB of the disk
    snapshot = SnapshotReader().read(path)
    here = SnapshotReader().read(FIRST)
    top = [name for name in here if len(name) == 1]
    assert len(top) == 11
    assert [snapshot[name] for name in top] == [here[name] for name in top]
    with uproot.open(path) as file:  # the test's own file is a ROOT file
        assert file["TH1F"].values().tolist() == here["TH1F"].values().tolist()


def test_the_header_has_the_time_of_the_last_write(tmp_path):
    before = datetime.now().replace(microsecond=0)
    path = write(tmp_path / "x.root", histogram([0, 1, 0]))
    assert before <= root_file.written(path) <= datetime.now()
    with uproot.open(FIRST) as file:
        assert root_file.written(FIRST) == file.modified_on


def bits(array):
    """Exactly these numbers, NaN and -0.0 included."""
    return np.ascontiguousarray(array).view(np.uint8)


@pytest.mark.study
def test_every_shared_file_is_read_or_named_and_equals_uproot_bit_by_bit(shared):
    """First member by member, then by the template; contents, errors' parts, statistics and edges."""
    read, classes = 0, set()
    for path in sorted(shared.rglob("*.root")):
        reader = SnapshotReader()
        try:
            snapshots = reader.read(path), reader.read(path)
        except SnapshotError as error:
            assert str(path) in str(error)
            assert path.stat().st_size < 40 or "cut short" in str(error) or "damaged" in str(error)
            continue
        assert snapshots[0].digest == snapshots[1].digest
        classes |= set(snapshots[0].unsupported.values())
        assert all("more than max_cells" in reason for reason in snapshots[0].problems.values())
        read += len(snapshots[0])
        theirs = dict(uproot_objects(path)) if "runs" not in path.parts or "Run300102" in path.parts else {}
        for name, ours in snapshots[1].items():
            if name not in theirs or name == ("contents", "buffered"):
                continue
            members = theirs[name].all_members
            stored = {"contents": "TArray", "sumwy": "TArray", "sumwy2": "fSumw2", "sumw2": "fSumw2",
                      "bin_entries": "fBinEntries", "bin_sumw2": "fBinSumw2"}  # fmt: skip
            for part, values in ours.parts.items():
                member = stored[part]
                raw = theirs[name].base(uproot.models.TArray.Model_TArray)[0] if member == "TArray" else members[member]
                expected = np.asarray(raw)
                np.testing.assert_array_equal(bits(values), bits(expected.astype(expected.dtype.newbyteorder("="))))
            for total, value in ours.sums.items():
                (member,) = (one for one in members if one.lower() == f"f{total}")
                assert struct.pack("d", value) == struct.pack("d", members[member])
    assert read > 2000
    assert {"TGraph", "TTree", "TCutG", "TH2Poly", "TNtuple", "THnT<float>"} < classes
    assert not {one for one in classes if is_histogram(one)}


def uproot_objects(path):
    """What uproot can read of the histograms that are keys."""

    def keys(folder, above=()):
        newest = {}
        for key in folder._keys:
            if key.fName not in newest or key.fCycle > newest[key.fName].fCycle:
                newest[key.fName] = key
        for key in newest.values():
            if key.fClassName.startswith("TDirectory"):
                yield from keys(key.get(), (*above, key.fName))
            elif is_histogram(key.fClassName) and key.fObjlen < 5e7:
                yield (*above, key.fName), key

    with uproot.open(path) as file:
        for name, key in keys(file):
            try:
                yield name, key.get()
            except ValueError as error:
                assert "b'CS'" in str(error)


@pytest.mark.study
def test_79_million_cells_are_refused_or_read_in_bounded_memory(shared):
    """A 0.7 MB file; as float64 it would take 630 MB, its own bytes are 158."""
    script = """
import resource, sys
from ingest import SnapshotReader
reader = SnapshotReader(max_cells=int(sys.argv[2]))
reader.read(sys.argv[3])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
snapshot = reader.read(sys.argv[1])
found = [int(h.parts["contents"].sum()) for h in snapshot.values()] + list(snapshot.problems.values())
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, *found, sep="|")
"""
    for max_cells, answer, megabytes in [
        (2**24, "78,939,500 cells, more than max_cells=16,777,216", 40),
        (2**27, "812657664", 2 * 158 + 40),
    ]:
        path = shared / "alice-aliroot/TOF/ShuttleInput/Total.root"
        command = [sys.executable, "-c", script, str(path), str(max_cells), str(FIRST)]
        peak, found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().split("|")
        assert found == answer
        assert int(peak) < megabytes
