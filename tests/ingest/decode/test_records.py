import pytest

from ingest.decode import records
from ingest.decode.records import KeyList, RootFile
from owtrend.errors import SnapshotError
from tests.ingest.decode.test_reader import CLASSES, FIRST, ROOT_FILES


def test_a_list_of_keys_is_known_again_by_all_but_sizes_dates_and_places():
    first, second, _ = sorted(ROOT_FILES.glob("EMC*.root"))
    records = []
    for path in (first, second):
        file = RootFile(path, str(path))
        records.append(bytes(file.key_list(file.root)))
    assert records[0] != records[1]
    keys = KeyList(records[0])
    anew = KeyList(records[1])
    assert keys.again(records[1]) == ([key.nbytes for key in anew.keys], [key.seek for key in anew.keys])
    assert keys.again(records[1].replace(b"TH1F", b"TH1D")) is None
    assert keys.again(records[1] + b"\0") is None


def test_a_deleted_key_and_older_cycles_are_not_among_the_keys():
    snapshot = RootFile(CLASSES, "classes")
    top = {key.name: key for key in KeyList(snapshot.key_list(snapshot.root)).keys}
    names = KeyList(snapshot.key_list(top["names"].seek + top["names"].keylen)).keys
    assert "deleted" not in {key.name for key in names}
    assert [key.cycle for key in names if key.name == "cycles"] == [3]


def test_bytes_beyond_the_end_are_an_error():
    with pytest.raises(SnapshotError, match=r"bytes 5 to 99,999,999 lie outside the file"):
        RootFile(FIRST, "first").bytes(5, 99_999_999)


def test_a_file_that_does_not_fit_in_memory_reads_the_same(monkeypatch):
    whole = RootFile(FIRST, "whole")
    monkeypatch.setattr(records, "_IN_MEMORY", 100)
    with RootFile(FIRST, "piece by piece") as file:
        assert isinstance(file._data, records._LargeFile)
        assert file.key_list(file.root) == whole.key_list(whole.root)
        key = KeyList(file.key_list(file.root)).keys[0]
        record = key.seek + key.keylen, key.seek + key.nbytes, key.objlen
        assert file.unpacked(*record) == whole.unpacked(*record) == file.beginning(*record)
