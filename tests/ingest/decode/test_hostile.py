"""Files made to hurt: each is a snapshot or one named reason, in little time and memory."""

import json
import struct
from pathlib import Path

import pytest

import owtrend
from ingest import SnapshotReader
from ingest.decode.class_layouts import ClassLayouts
from ingest.decode.histogram import leaves
from ingest.decode.streamer import ObjectWalk, RootObject, read_key_object
from ingest.limits import Budget, Limits, OverBudget
from owtrend.errors import SnapshotError
from tests import builders

HOSTILE = Path(__file__).parents[2] / "data" / "hostile"
ROOT_FILES = Path(__file__).parents[2] / "data" / "root"
FIRST = ROOT_FILES / "EMChistos_300000_C_2018_6_1_12_0_0.root"
VERSION = struct.pack(">h", 3)


def test_a_class_record_that_jumps_back_is_an_error():
    with pytest.raises(SnapshotError, match="-56 bytes to skip"):
        SnapshotReader().read(HOSTILE / "jump.root")


def test_a_profile_without_bin_entries_is_named_as_damaged():
    snapshot = SnapshotReader().read(HOSTILE / "profile_without_bin_entries.root")
    assert dict(snapshot.problems) == {"TPC_meanVsModule": "damaged: a profile without bin_entries"}
    assert len(snapshot) == 4


def null_pointers(count):
    """An array of null pointers, as ROOT writes it."""
    array = VERSION + bytes(10) + b"\0" + struct.pack(">ii", count, 0) + bytes(4 * count)
    return struct.pack(">I", 0x40000000 | len(array)) + array


def test_null_pointers_are_counted():
    assert len(read_key_object(null_pointers(50), "TObjArray", 0, ClassLayouts()).items) == 50
    with pytest.raises(OverBudget, match="more than max_objects=10 keys, or objects in one key"):
        read_key_object(null_pointers(200), "TObjArray", 0, ClassLayouts(), Budget(Limits(objects=10)))


def test_an_object_is_not_read_beyond_the_one_that_contains_it():
    walk = ObjectWalk(bytes(100), 0, ClassLayouts())
    walk.end = 10
    with pytest.raises(SnapshotError, match="does not fit into 10 bytes"):
        walk.array("d", 2)
    with pytest.raises(SnapshotError, match="-1 bytes to skip"):
        walk.skip(-1)


@pytest.mark.parametrize(
    ("class_name", "member"),
    [("o2::quality_control::core::MonitorObject", "mObject"), ("TCanvas", "fPrimitives"), ("THStack", "fHists")],
)
def test_an_object_that_contains_itself_ends(class_name, member):
    circle = RootObject(class_name, items=[])
    circle.members[member] = circle
    assert len(list(leaves(circle, ("x",)))) <= 1


def test_limits_refuse_a_file_with_the_option_that_raises_them():
    content = FIRST.read_bytes()
    for limits, reason in [
        (Limits(objects=3), "more than max_objects=3 keys"),
        (Limits(megabytes=0.02), r"MB of memory, more than max_megabytes=0; if the file is genuine, allow more"),
        (Limits(seconds=-9), "more CPU time than max_seconds=-9 allow"),
    ]:
        with pytest.raises(SnapshotError, match=reason):
            SnapshotReader(limits=limits).read(content)


def test_memory_that_does_not_suffice_is_a_reason(monkeypatch):
    reader = SnapshotReader()
    with monkeypatch.context() as patched:
        patched.setattr(reader, "_folder", lambda *_: bytearray(2**60))
        with pytest.raises(SnapshotError, match="not enough free memory"):
            reader.read(FIRST)
    assert reader.read(FIRST).digest == SnapshotReader().read(FIRST).digest


@pytest.mark.slow
def test_a_file_beyond_its_limits_is_read_again_with_others_only(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0], [0, 2, 0]]})
    few, many = Limits(objects=0), Limits()
    refused = builders.ingest(tmp_path / "data", tmp_path / "store", limits=few)
    assert (refused.added, refused.quarantined, refused.known) == (0, 2, 0)
    assert "max_objects=0" in json.loads(refused.quarantine[0])["reason"]
    assert builders.ingest(tmp_path / "data", tmp_path / "store", limits=few).known == 2
    assert builders.ingest(tmp_path / "data", tmp_path / "store", limits=many).added == 2
    assert not len(owtrend.open(tmp_path / "store").quarantine)
