"""ROOT files whose unpacked objects were changed: records replaced by others that are packed as ROOT would."""

import random
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache

from ingest.decode.compression import unpack
from ingest.decode.records import Key, KeyList, RootFile
from tests.fuzz import mutations

__all__ = ["KINDS", "bomb", "circle", "objects", "replaced", "unpacked_mutated"]

_BLOCK = 2**24 - 1  # [bytes] that one block unpacks to, at most
_LENGTHS = (0, 1, 2, 3, 0x3FFF, 0x7FFF, 0x8000, 0x10000, 0x00FFFFFF, 0x3FFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@lru_cache(maxsize=64)
def objects(content: bytes) -> list[tuple[Key, bytes]]:
    """Keys of all folders of a genuine file, with the unpacked bytes behind them."""
    with RootFile(content, "base") as file:
        found, folders = [], [file.root]
        for folder in folders:
            record = file.key_list(folder)
            for key in KeyList(record).keys if len(record) else ():
                if key.class_name.startswith("TDirectory"):
                    folders.append(key.seek + key.keylen)
                else:
                    stored = content[key.seek + key.keylen : key.seek + key.nbytes]
                    found.append((key, bytes(unpack(stored, key.objlen))))
        return found


def replaced(content: bytes, key: Key, payload: bytes, *, packed: bool = True, size: int | None = None) -> bytes:
    """A file with another object behind a key: its record is appended, and the list of keys points there.

    ``size`` is what the key states instead of the object's size.
    """
    stored = b"".join(map(_block, _cut(payload))) if packed else payload
    nbytes, seek = key.keylen + len(stored), len(content)
    data = bytearray(content)
    head = bytearray(content[key.seek : key.seek + key.keylen])
    old = struct.pack(">i", key.seek)
    objlen = len(payload) if size is None else size
    at = 0
    while (at := data.find(old, at + 1)) >= 18:  # in the list of keys: sizes, position and all else of the same key
        (length,) = struct.unpack_from(">i", data, at - 18)
        if length == key.nbytes and at - 18 != key.seek:
            struct.pack_into(">i", data, at - 18, nbytes)
            struct.pack_into(">i", data, at - 12, objlen)
            struct.pack_into(">i", data, at, seek)
            break
    struct.pack_into(">i", head, 0, nbytes)
    struct.pack_into(">i", head, 6, objlen)
    struct.pack_into(">i", head, 18, seek)
    data += head + stored
    struct.pack_into(">i", data, 12, len(data))  # where the file ends
    return bytes(data)


def _cut(payload: bytes) -> list[bytes]:
    return [payload[at : at + _BLOCK] for at in range(0, len(payload), _BLOCK)] or [b""]


def _block(part: bytes) -> bytes:
    packed = zlib.compress(part, 1)
    return b"ZL\x08" + len(packed).to_bytes(3, "little") + len(part).to_bytes(3, "little") + packed


def unpacked_mutated(content: bytes, rng: random.Random) -> bytes:
    """A file with damage inside one to three unpacked objects: anywhere, in lengths and in counts."""
    for key, payload in rng.sample(found := objects(content), min(rng.choice((1, 1, 2, 3)), len(found))):
        changed = rng.choice((_damaged, _damaged, _other_length, _doubled))(payload, rng)
        content = replaced(content, key, changed, packed=rng.random() < 0.5)
    return content


def _damaged(payload: bytes, rng: random.Random) -> bytes:
    return mutations.mutated(payload, rng)


def _other_length(payload: bytes, rng: random.Random) -> bytes:
    """Another number where a length, a byte count or a reference may stand."""
    data = bytearray(payload)
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(max(len(data) - 4, 1))
        near = (at, len(data) - at, len(data), 0x40000000 | rng.randrange(len(data) + 8), rng.choice(_LENGTHS))
        data[at : at + 4] = (rng.choice(near) & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(data)


def _doubled(payload: bytes, rng: random.Random) -> bytes:
    """A piece of the object inside itself, again and again: what nests, nests deeper."""
    at = rng.randrange(len(payload) or 1)
    piece = payload[at : at + rng.choice((4, 20, 200, 2000))]
    where = rng.randrange(len(payload) or 1)
    return payload[:where] + piece * rng.choice((1, 2, 50)) + payload[where:]


def circle(content: bytes, rng: random.Random) -> bytes:
    """A file in which one position is that of something else: folders and lists that contain themselves."""
    data = bytearray(content)
    with RootFile(content, "base") as file:
        (start,) = struct.unpack_from(">i", content, file.root + 26)
        places = [100, file.root, start, *(key.seek for key in KeyList(file.key_list(file.root)).keys)]
    for _ in range(rng.choice((1, 2, 4))):
        target, place = rng.choice(places), rng.choice(places).to_bytes(4, "big")
        at = data.find(place, rng.randrange(len(data)))
        if at >= 0:
            data[at : at + 4] = target.to_bytes(4, "big")
    return bytes(data)


def bomb(content: bytes, rng: random.Random) -> bytes:
    """A file with an object that unpacks to megabytes of one byte, or states that it does."""
    key, payload = rng.choice(objects(content))
    size = rng.choice((2**16, 2**20, 2**24, 2**26))
    filling = bytes([rng.choice((0, 0, 0x40, 0xFF))]) * size
    at = rng.randrange(len(payload) + 1)
    changed = payload[:at] + filling + payload[at:] if rng.random() < 0.7 else payload
    stated = None if rng.random() < 0.7 else rng.choice((size, 2**31 - 1, 0))
    return replaced(content, key, changed, size=stated)


KINDS: tuple[tuple[float, Callable[[bytes, random.Random], bytes]], ...] = (
    (0.45, mutations.mutated), (0.43, unpacked_mutated), (0.118, circle), (0.002, bomb),
)  # fmt: skip
