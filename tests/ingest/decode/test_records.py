import zlib

import pytest
import xxhash

from ingest.decode import records
from ingest.decode.records import KeyList, RootFile, unpack
from owtrend.errors import SnapshotError
from tests.ingest.decode.test_reader import CLASSES, FIRST, ROOT_FILES


def block(kind, packed, size):
    return kind + b"\x08" + len(packed).to_bytes(3, "little") + size.to_bytes(3, "little") + packed


def raw_deflate(content):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


def test_blocks_of_any_packing_are_joined():
    first, second = b"a" * 3000, b"b" * 50
    packed = block(b"ZL", zlib.compress(first), 3000) + block(b"CS", raw_deflate(second), 50)
    assert bytes(unpack(packed, 3050)) == first + second
    assert unpack(first, 3000) == first  # not packed at all


@pytest.mark.parametrize(
    ("packed", "objlen", "message"),
    [
        (block(b"ZL", zlib.compress(b"a" * 99), 99), 100, "unpack to 99 bytes, its key states 100"),
        (block(b"ZL", zlib.compress(b"a" * 99), 100), 100, "holds 99 bytes and states 100"),
        (block(b"ZL", zlib.compress(b"a" * 101), 100), 100, "damaged packed bytes"),
        (block(b"ZL", b"nonsense", 100), 100, "damaged packed bytes"),
        (block(b"XZ", b"nonsense", 100), 100, "damaged packed bytes"),
        (block(b"ZS", b"nonsense", 100), 100, "damaged packed bytes"),
        (block(b"L4", b"checksumnonsense", 100), 100, "checksum"),
        (block(b"L4", xxhash.xxh64(b"nonsense").digest() + b"nonsense", 100), 100, "damaged packed bytes"),
        (block(b"??", b"nonsense", 100), 100, r"packed by b'\?\?', which is none of ZL, CS, XZ, L4, ZS"),
        (block(b"ZL", zlib.compress(b"a" * 99), 99)[:-3], 99, "cut short by 3 bytes"),
        (b"ZL\x08", 99, "a block without a header"),
    ],
)
def test_what_does_not_unpack_says_why(packed, objlen, message):
    with pytest.raises(SnapshotError, match=message):
        unpack(packed, objlen)


def test_a_bomb_of_blocks_is_refused_by_their_sum_before_any_is_unpacked(monkeypatch):
    monkeypatch.setattr(records, "_unpacked", None)
    packed = block(b"ZL", b"x", 2**24 - 1) * 1000
    with pytest.raises(SnapshotError, match=r"its blocks unpack to 16,777,215,000 bytes, its key states 10"):
        unpack(packed, 10)


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
    with pytest.raises(SnapshotError, match=r"bytes 5 to 99,999,999 of a file of"):
        RootFile(FIRST, "first").bytes(5, 99_999_999)


def test_a_file_that_does_not_fit_in_memory_reads_the_same(monkeypatch):
    whole = RootFile(FIRST, "whole")
    monkeypatch.setattr(records, "_IN_MEMORY", 100)
    with RootFile(FIRST, "piece by piece") as file:
        assert isinstance(file._data, records._LargeFile)
        assert file.key_list(file.root) == whole.key_list(whole.root)
        key = KeyList(file.key_list(file.root)).keys[0]
        place = key.seek + key.keylen, key.seek + key.nbytes, key.objlen
        assert file.unpacked(*place) == whole.unpacked(*place) == file.beginning(*place)
