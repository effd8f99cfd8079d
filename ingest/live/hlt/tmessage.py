"""TMessages <-> the bytes of ROOT objects, plain or zipped; no socket, and no ROOT.

Sources: ``TMessage`` of ROOT (``SetLength``, ``Compress``, ``Uncompress``) and ``TBufferFile::WriteObjectAny``.
Positions inside an object are counted from the beginning of its unpacked message.
"""

import struct
from enum import StrEnum

from ingest.decode.class_layouts import ClassLayouts
from ingest.decode.compression import Buffer, pack, unpack
from ingest.decode.streamer import DAMAGE, ObjectWalk, RootObject
from ingest.decode.streamer_info import read_class_layouts
from ingest.limits import Budget
from owtrend.errors import SnapshotError

__all__ = ["HEAD", "Packing", "class_layouts", "message", "object_bytes", "read_object", "with_class"]

HEAD = 8  # [bytes] length and kind; objects begin after it, and positions are counted from it
_LONGEST = 2**30  # [bytes] a TBuffer holds no more
_SHORTEST = 34 + 4  # [bytes] of an object's message, by the HLT's own check
_OBJECT, _ZIPPED = 4, 0x20000000  # kMESS_OBJECT, kMESS_ZIP
_COUNT, _NEW_CLASS = 0x40000000, 0xFFFFFFFF  # kByteCountMask, kNewClassTag


class Packing(StrEnum):
    """Methods by which ROOT packs a message."""

    ZLIB = "ZL"
    LZMA = "XZ"
    LZ4 = "L4"
    ZSTD = "ZS"


def object_bytes(payload: Buffer, budget: Budget) -> Buffer:
    """The bytes of the object in a message, unpacked; they begin with the object's class.

    The length may be in either byte order: ROOT writes it big-endian, the components of the HLT little-endian.

    Raises
    ------
    SnapshotError
        If it is no message of an object, cut short, or damaged.
    OverBudget
        If it would unpack to more than the ``budget`` of its reply allows.
    """
    if len(payload) < _SHORTEST:
        raise SnapshotError(f"a message of {len(payload)} bytes; an object takes at least {_SHORTEST}")
    stated = len(payload) - 4
    if stated not in (struct.unpack_from(">I", payload)[0], struct.unpack_from("<I", payload)[0]):
        big, little = struct.unpack_from(">I", payload)[0] + 4, struct.unpack_from("<I", payload)[0] + 4
        raise SnapshotError(
            f"a message of {len(payload):,} bytes that states {big:,} (or {little:,} little-endian): cut short or no "
            "TMessage"
        )
    (what,) = struct.unpack_from(">I", payload, 4)
    if what == _OBJECT:
        return memoryview(payload)[HEAD:]
    if what != _OBJECT | _ZIPPED:
        raise SnapshotError(f"a message of kind {what:#x}, expected an object ({_OBJECT}), plain or zipped")
    (length,) = struct.unpack_from(">I", payload, HEAD)
    if not _SHORTEST <= length <= _LONGEST:
        raise SnapshotError(f"a zipped message that states {length:,} unpacked bytes")
    budget.keep(0, length)
    return unpack(memoryview(payload)[HEAD + 4 :], length - HEAD)


def message(content: Buffer, packing: Packing | None = None, *, little_endian: bool = False) -> bytes:
    """The message of an object whose bytes are ``content``, as `object_bytes` gives them.

    ``little_endian`` states the length as the components of the HLT do.
    """
    length = "<I" if little_endian else ">I"
    if packing is None:
        return struct.pack(length, len(content) + 4) + struct.pack(">I", _OBJECT) + content
    packed = pack(bytes(content), packing.value.encode())
    head = struct.pack(length, len(packed) + HEAD) + struct.pack(">II", _OBJECT | _ZIPPED, len(content) + HEAD)
    return head + packed


def with_class(class_name: str, content: bytes) -> bytes:
    """The bytes of an object, which begin with its version, after its class as in a message."""
    named = struct.pack(">I", _NEW_CLASS) + class_name.encode() + b"\0" + content
    return struct.pack(">I", len(named) | _COUNT) + named


def read_object(content: Buffer, classes: ClassLayouts, budget: Budget) -> RootObject:
    """The object whose bytes `object_bytes` gave, walked member by member.

    Raises
    ------
    SnapshotError
        If the bytes are no object.
    OverBudget
        If it has more objects inside, or takes more time, than the ``budget`` allows.
    """
    try:
        found = ObjectWalk(content, HEAD, classes, budget).pointer()
    except SnapshotError:
        raise
    except DAMAGE as error:
        raise SnapshotError(f"damaged object ({type(error).__name__}: {error})") from error
    if found is None:
        raise SnapshotError("a message of no object (a null pointer)")
    return found


def class_layouts(payload: Buffer, budget: Budget) -> ClassLayouts:
    """The class layouts in a message of ``TStreamerInfo`` objects, in whatever collection.

    Raises
    ------
    SnapshotError
        If it is no such message.
    OverBudget
        If it takes more than the ``budget`` of its reply allows.
    """
    return read_class_layouts(object_bytes(payload, budget), HEAD, budget, behind_pointer=True)
