"""Packed records <-> bytes: the blocks that ROOT packs a record into, by any of its methods.

Source of the layout: ``R__unzip`` of ROOT. Sizes are checked before memory is taken for them.
"""

import lzma
import struct
from collections.abc import Callable, Iterator

import cramjam
import deflate
import xxhash

from owtrend.errors import SnapshotError

__all__ = ["BLOCK_HEADER", "ONE_BLOCK", "Buffer", "blocks", "pack", "unpack", "unpack_block"]

Buffer = bytes | bytearray | memoryview

BLOCK_HEADER = 9  # bytes
ONE_BLOCK = struct.Struct("<2sxIH")  # its method, and the packed and unpacked size (3 bytes each) in two numbers
_LONGEST_BLOCK = 0xFFFFFF  # [bytes] unpacked: its size has three bytes
_BLOCK = struct.Struct("<2sx3s3s")  # the same, with each size by itself


def unpack(packed: Buffer, objlen: int) -> Buffer:
    """Unpack the ``objlen`` bytes of a record, whatever the method.

    Raises
    ------
    SnapshotError
        If the blocks do not add up to ``objlen``, or one is damaged, cut short, or not of its stated size.
    """
    if len(packed) == objlen:
        return packed
    parts = list(blocks(packed))  # their sizes are summed before any is unpacked
    if (total := sum(size for _, _, size in parts)) != objlen:
        raise SnapshotError(f"packed blocks unpack to {total:,} bytes, but the key states {objlen:,}")
    if len(parts) == 1:
        return unpack_block(*parts[0])
    out = bytearray(objlen)
    position = 0
    for method, block, size in parts:
        out[position : position + size] = unpack_block(method, block, size)
        position += size
    return out


def blocks(packed: Buffer) -> Iterator[tuple[bytes, Buffer, int]]:
    """Split a packed record: yields (method, packed bytes, unpacked size) of each block."""
    position = 0
    while position < len(packed):
        if position + BLOCK_HEADER > len(packed):
            raise SnapshotError("packed record cut short in the header of a block")
        method, length, size = _BLOCK.unpack_from(packed, position)
        stop = position + BLOCK_HEADER + int.from_bytes(length, "little")
        if stop > len(packed):
            raise SnapshotError(f"packed block cut short by {stop - len(packed)} bytes")
        yield method, packed[position + BLOCK_HEADER : stop], int.from_bytes(size, "little")
        position = stop


def unpack_block(method: bytes, block: Buffer, size: int) -> Buffer:
    """Unpack one block of ``size`` unpacked bytes."""
    if method not in _UNPACK:
        known = ", ".join(name.decode() for name in _UNPACK)
        raise SnapshotError(f"unknown packing method {method!r}; owtrend reads {known}")
    try:
        out = _UNPACK[method](block, size)
    except (deflate.DeflateError, cramjam.DecompressionError, lzma.LZMAError, ValueError, EOFError) as error:
        raise SnapshotError(f"damaged packed bytes ({str(error).strip() or type(error).__name__})") from error
    if len(out) != size:
        raise SnapshotError(f"packed block unpacks to {len(out):,} bytes, but states {size:,}")
    return out


def _lzma(block: Buffer, size: int) -> Buffer:
    return lzma.LZMADecompressor(memlimit=2**27).decompress(block, size)


def _lz4(block: Buffer, size: int) -> Buffer:
    if xxhash.xxh64_digest(block[8:]) != bytes(block[:8]):
        raise ValueError("checksum mismatch")
    out = bytearray(size)
    return memoryview(out)[: cramjam.lz4.decompress_block_into(block[8:], out, output_len=size)]  # after the checksum


def _zstd(block: Buffer, size: int) -> Buffer:
    out = bytearray(size)
    return memoryview(out)[: cramjam.zstd.decompress_into(block, out)]


# libdeflate unpacks float histograms twice as fast as zlib, and never writes more than the size it is given.
_UNPACK: dict[bytes, Callable[[Buffer, int], Buffer]] = {
    b"ZL": deflate.zlib_decompress,
    b"CS": deflate.deflate_decompress,  # before 2005: a raw stream, without zlib's frame
    b"XZ": _lzma,
    b"L4": _lz4,
    b"ZS": _zstd,
}


def pack(data: bytes, method: bytes) -> bytes:
    """Pack into blocks by a ``method`` of ROOT: ``ZL``, ``XZ``, ``L4`` or ``ZS``."""
    out = bytearray()
    for start in range(0, len(data), _LONGEST_BLOCK):
        part = data[start : start + _LONGEST_BLOCK]
        number, how = _PACK[method]
        packed = how(part)
        if len(packed) > _LONGEST_BLOCK:
            raise SnapshotError(f"a block of {len(part):,} bytes cannot be packed by {method.decode()}: it grows")
        out += method + bytes([number]) + len(packed).to_bytes(3, "little") + len(part).to_bytes(3, "little") + packed
    return bytes(out)


def _pack_lz4(part: bytes) -> bytes:
    block = bytes(cramjam.lz4.compress_block(part, store_size=False))
    return xxhash.xxh64_digest(block) + block


_PACK: dict[bytes, tuple[int, Callable[[bytes], bytes]]] = {
    b"ZL": (8, lambda part: bytes(deflate.zlib_compress(part, 1))),
    b"XZ": (0, lambda part: lzma.compress(part, preset=1)),
    b"L4": (1, _pack_lz4),
    b"ZS": (1, lambda part: bytes(cramjam.zstd.compress(part))),
}
