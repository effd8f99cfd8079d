import zlib

import pytest
import xxhash

from ingest.decode import compression
from ingest.decode.compression import unpack
from owtrend.errors import SnapshotError


def block(kind, packed, size):
    return kind + b"\x08" + len(packed).to_bytes(3, "little") + size.to_bytes(3, "little") + packed


def raw_deflate(content):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


def test_blocks_of_any_method_are_joined():
    first, second = b"a" * 3000, b"b" * 50
    packed = block(b"ZL", zlib.compress(first), 3000) + block(b"CS", raw_deflate(second), 50)
    assert bytes(unpack(packed, 3050)) == first + second
    assert unpack(first, 3000) == first  # not packed at all


@pytest.mark.parametrize(
    ("packed", "objlen", "message"),
    [
        (block(b"ZL", zlib.compress(b"a" * 99), 99), 100, "unpack to 99 bytes, but the key states 100"),
        (block(b"ZL", zlib.compress(b"a" * 99), 100), 100, "unpacks to 99 bytes, but states 100"),
        (block(b"ZL", zlib.compress(b"a" * 101), 100), 100, "damaged packed bytes"),
        (block(b"ZL", b"nonsense", 100), 100, "damaged packed bytes"),
        (block(b"XZ", b"nonsense", 100), 100, "damaged packed bytes"),
        (block(b"ZS", b"nonsense", 100), 100, "damaged packed bytes"),
        (block(b"L4", b"checksumnonsense", 100), 100, "checksum mismatch"),
        (block(b"L4", xxhash.xxh64(b"nonsense").digest() + b"nonsense", 100), 100, "damaged packed bytes"),
        (block(b"??", b"nonsense", 100), 100, r"unknown packing method b'\?\?'; owtrend reads ZL, CS, XZ, L4, ZS"),
        (block(b"ZL", zlib.compress(b"a" * 99), 99)[:-3], 99, "cut short by 3 bytes"),
        (b"ZL\x08", 99, "cut short in the header of a block"),
    ],
)
def test_damaged_blocks_are_refused_with_the_reason(packed, objlen, message):
    with pytest.raises(SnapshotError, match=message):
        unpack(packed, objlen)


def test_a_decompression_bomb_is_refused_before_any_block_is_unpacked(monkeypatch):
    monkeypatch.setattr(compression, "unpack_block", None)
    packed = block(b"ZL", b"x", 2**24 - 1) * 1000
    with pytest.raises(SnapshotError, match=r"packed blocks unpack to 16,777,215,000 bytes, but the key states 10"):
        unpack(packed, 10)
