"""The records of a ROOT file: its header, its folders' keys, and the unpacked bytes behind a key.

Sources of the layout: ``TFile``, ``TDirectoryFile``, ``TKey`` and ``R__unzip`` of ROOT. Nothing here knows what an
object is. All sizes that a file states are checked before memory is taken for them.
"""

import lzma
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import cramjam
import deflate
import numpy as np
import xxhash
from numpy.typing import NDArray

from owtrend.errors import SnapshotError

__all__ = ["Buffer", "Key", "KeyList", "RootFile", "Scratch", "text", "unpack"]

Buffer = bytes | bytearray | memoryview

_LARGE = 1_000_000  # added to the version of a file, and 1000 to that of a record, whose positions have 8 bytes
_IN_MEMORY = 2**28  # files up to this size are read at once: one call, a quarter of the time of reading by records
_SCRATCH = 2**24  # of a file that is read into memory which is kept for the next
_BEGINNING = 2**20  # of what is not packed
_BLOCK_HEADER = 9
_BLOCK = struct.Struct("<2sx3s3s")  # kind, method, packed and unpacked size
_ONE_BLOCK = struct.Struct("<2sxIH")  # the same, the sizes still in one


@dataclass(frozen=True, slots=True)
class Key:
    """What a list of keys tells of one object; ``seek`` and ``nbytes`` are its record, ``objlen`` its unpacked size."""

    name: str
    class_name: str
    cycle: int
    seek: int
    nbytes: int
    keylen: int
    objlen: int


class _LargeFile:
    """Bytes of a file too large to be held, read where they are asked for.

    Not a memory map: a file cut short by its writer would end the process.
    """

    def __init__(self, path: Path) -> None:
        self._handle = path.open("rb", buffering=0)
        self._size = os.fstat(self._handle.fileno()).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: slice) -> bytes:
        start, stop, _ = index.indices(self._size)
        return os.pread(self._handle.fileno(), max(stop - start, 0), start)

    def close(self) -> None:
        self._handle.close()


class RootFile:
    """One ROOT file, open for reading.

    Parameters
    ----------
    source, label
        The file's path or bytes, and what errors call it.
    scratch
        Where to read a small file into; what this object gives then holds until the next is read.

    Raises
    ------
    SnapshotError
        If it is no ROOT file, empty, cut short, or was never closed.
    """

    def __init__(self, source: Buffer | Path, label: str, scratch: "Scratch | None" = None) -> None:
        self.label = label
        self._data: Any = source
        if isinstance(source, Buffer):
            self._data = memoryview(source)
        else:
            try:
                large = source.stat().st_size > _IN_MEMORY
                self._data = _LargeFile(source) if large else (scratch or Scratch()).read(source)
            except OSError as error:
                raise SnapshotError(f"{label}: cannot be opened ({error.strerror or error})") from error
        self._small = isinstance(self._data, memoryview)
        try:
            self._read_header()
        except struct.error as error:
            self.close()
            raise SnapshotError(f"{label}: damaged header; copy it again or leave it out") from error
        except SnapshotError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if not self._small:
            self._data.close()

    def _read_header(self) -> None:
        head = self._data[:64]
        if not len(self._data):
            raise SnapshotError(f"{self.label}: empty file (0 bytes); expected a ROOT file")
        if head[:4] != b"root" or len(head) < 64:
            found = bytes(head[:8])
            raise SnapshotError(f"{self.label}: not a ROOT file ({len(self._data)} bytes that begin with {found!r})")
        version, self._begin = struct.unpack_from(">ii", head, 4)
        layout = ">qqiiibiqi" if version >= _LARGE else ">iiiiibiii"
        end, _, _, _, self._name_bytes, _, _, self._seek_info, self._bytes_info = struct.unpack_from(layout, head, 12)
        if end > len(self._data):
            raise SnapshotError(f"{self.label}: cut short ({len(self._data):,} of {end:,} bytes); copy it again")

    def bytes(self, start: int, stop: int) -> Buffer:
        """``[start, stop)`` of the file; all of it or an error."""
        if not 0 <= start <= stop <= len(self._data):
            raise SnapshotError(f"bytes {start:,} to {stop:,} of a file of {len(self._data):,}")
        return self._data[start:stop]

    def unpacked(self, start: int, stop: int, objlen: int) -> Buffer:
        """The ``objlen`` bytes that were packed into ``[start, stop)``; the errors are those of `unpack`."""
        # By far the most common record, one block of zlib, without the loop over blocks: 1 us instead of 3, of 40.
        if self._small and start + _BLOCK_HEADER < stop <= len(self._data):
            kind, low, high = _ONE_BLOCK.unpack_from(self._data, start)
            length, size = low & 0xFFFFFF, high << 8 | low >> 24
            if kind == b"ZL" and length == stop - start - _BLOCK_HEADER and size == objlen:
                return _unpacked(kind, self._data[stop - length : stop], size)
        return unpack(self.bytes(start, stop), objlen)

    def beginning(self, start: int, stop: int, objlen: int) -> Buffer:
        """The first of what `unpacked` gives, at most one block of 16 MB."""
        packed = self.bytes(start, stop)
        if len(packed) == objlen:
            return packed[:_BEGINNING]
        for block in _blocks(packed):
            return _unpacked(*block)
        return b""

    @property
    def root(self) -> int:
        """Where the record of the top folder lies."""
        return self._begin + self._name_bytes

    @property
    def written(self) -> datetime:
        """When it was last written, by its header: local time of the writing host, no zone."""
        try:
            (bits,) = struct.unpack(">I", self.bytes(self.root + 6, self.root + 10))  # fDatimeM, as TDatime packs it
        except (struct.error, SnapshotError) as error:
            raise SnapshotError(f"{self.label}: damaged header, no date in it; give times by --pattern") from error
        parts = (bits >> 26) + 1995, bits >> 22 & 15, bits >> 17 & 31, bits >> 12 & 31, bits >> 6 & 63, bits & 63
        try:
            return datetime(*parts)
        except ValueError as error:
            raise SnapshotError(
                f"{self.label}: no valid date in its header (found {parts}); give times by --pattern"
            ) from error

    def class_record(self) -> tuple[Key, Buffer] | None:
        """The record of the classes' layouts: its key and packed bytes; None where the file has none."""
        if not self._seek_info:
            return None
        record = self.bytes(self._seek_info, self._seek_info + self._bytes_info)
        key, _ = _key(record, 0)
        return key, record[key.keylen :]

    def key_list(self, folder: int) -> Buffer:
        """The record of the keys of the folder whose own record lies at ``folder``; empty if it never had any."""
        head = self.bytes(folder, min(folder + 42, len(self._data)))
        (version,) = struct.unpack_from(">H", head)
        (nbytes,) = struct.unpack_from(">i", head, 10)
        (seek,) = struct.unpack_from(">q", head, 34) if version > 1000 else struct.unpack_from(">i", head, 26)
        if not seek and folder != self.root:
            return b""
        if not seek:
            raise SnapshotError("it has no list of keys: still being written, or never closed")
        return self.bytes(seek, seek + nbytes)


class KeyList:
    """The keys of one folder, and how to read the same list again at a tenth of the price.

    From one snapshot to the next only sizes, dates and positions change in it.
    """

    def __init__(self, record: Buffer) -> None:
        head, _ = _key(record, 0)
        (count,) = struct.unpack_from(">i", record, head.keylen)
        position = head.keylen + 4
        keys: list[Key] = []
        starts: list[int] = []
        for _ in range(count):
            starts.append(position)
            key, position = _key(record, position)
            keys.append(key)
        newest: dict[str, int] = {}
        for number, key in enumerate(keys):
            held = newest.get(key.name)
            if held is None or key.cycle > keys[held].cycle:
                newest[key.name] = number
        chosen = list(newest.values())
        self.keys = [keys[number] for number in chosen]
        raw = np.frombuffer(record, dtype=np.uint8)
        self._fixed = np.ones(len(raw), dtype=bool)
        self._fixed[: head.keylen] = False
        wide = len(starts) > 0 and struct.unpack_from(">H", record, starts[0] + 4)[0] > 1000
        for start in starts:
            self._fixed[start : start + 4] = False  # fNbytes
            self._fixed[start + 10 : start + 14] = False  # fDatime
            self._fixed[start + 18 : start + (26 if wide else 22)] = False  # fSeekKey
        self._bytes = raw[self._fixed]
        self._size = len(raw)
        begins = np.array([starts[number] for number in chosen], dtype=np.intp)[:, np.newaxis]
        self._nbytes = begins + np.arange(4)
        self._seeks = begins + 18 + np.arange(8 if wide else 4)

    def again(self, record: Buffer) -> tuple[list[int], list[int]] | None:
        """``nbytes`` and ``seek`` of the same keys in another list; None if it holds anything else."""
        raw = np.frombuffer(record, dtype=np.uint8)
        if len(raw) != self._size or not np.array_equal(raw[self._fixed], self._bytes):
            return None
        wide = self._seeks.shape[1] == 8
        return _integers(raw, self._nbytes, ">i4"), _integers(raw, self._seeks, ">i8" if wide else ">i4")


def _integers(raw: NDArray[np.uint8], where: NDArray[np.intp], dtype: str) -> list[int]:
    return raw[where].view(dtype)[:, 0].tolist()


class Scratch:
    """Memory that one file after the other is read into: fresh pages for each would take a twentieth of the time."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def read(self, path: Path) -> memoryview:
        """The bytes of a file; they hold until the next is read."""
        with path.open("rb", buffering=0) as handle:
            size = os.fstat(handle.fileno()).st_size
            if len(self._buffer) < size <= _SCRATCH:
                self._buffer = bytearray(size * 5 // 4)
            view, held = memoryview(self._buffer if size <= _SCRATCH else bytearray(size))[:size], 0
            while held < size and (more := handle.readinto(view[held:])):
                held += more
            return view[:held]


def _key(record: Buffer, start: int) -> tuple[Key, int]:
    """The key at ``start`` of a record, and where it ends."""
    nbytes, version, objlen, _, keylen, cycle = struct.unpack_from(">iHiIHH", record, start)
    (seek,) = struct.unpack_from(">q" if version > 1000 else ">i", record, start + 18)
    position = start + (34 if version > 1000 else 26)
    class_name, position = text(record, position)
    name, position = text(record, position)
    _, position = text(record, position)
    if objlen < 0 or nbytes < keylen:
        raise SnapshotError(f"key {name!r} states {nbytes} bytes, {objlen} unpacked")
    return Key(name, class_name, cycle, seek, nbytes, keylen, objlen), position


def text(data: Buffer, position: int) -> tuple[str, int]:
    """A TString and where it ends. ROOT does not say its encoding: UTF-8, else Latin-1."""
    length, start = data[position], position + 1
    if length == 255:
        (length,) = struct.unpack_from(">i", data, start)
        start += 4
    raw = bytes(data[start : start + length])
    if len(raw) != length or length < 0:
        raise SnapshotError(f"a text of {length} characters where {len(raw)} are left")
    try:
        return raw.decode(), start + length
    except UnicodeDecodeError:
        return raw.decode("latin-1"), start + length


def unpack(packed: Buffer, objlen: int) -> Buffer:
    """The ``objlen`` bytes that a record holds, whatever they were packed with.

    Raises
    ------
    SnapshotError
        If the blocks do not add up to ``objlen``, or one does not unpack to the size it states.
    """
    if len(packed) == objlen:
        return packed
    blocks = list(_blocks(packed))  # their sizes are summed before any is unpacked
    if (total := sum(size for _, _, size in blocks)) != objlen:
        raise SnapshotError(f"its blocks unpack to {total:,} bytes, its key states {objlen:,}")
    if len(blocks) == 1:
        return _unpacked(*blocks[0])
    out = bytearray(objlen)
    position = 0
    for kind, block, size in blocks:
        out[position : position + size] = _unpacked(kind, block, size)
        position += size
    return out


def _blocks(packed: Buffer) -> Iterator[tuple[bytes, Buffer, int]]:
    """Kind, packed bytes and unpacked size of each block."""
    position = 0
    while position < len(packed):
        if position + _BLOCK_HEADER > len(packed):
            raise SnapshotError("a block without a header at the end of a packed record")
        kind, length, size = _BLOCK.unpack_from(packed, position)
        stop = position + _BLOCK_HEADER + int.from_bytes(length, "little")
        if stop > len(packed):
            raise SnapshotError(f"a packed block is cut short by {stop - len(packed)} bytes")
        yield kind, packed[position + _BLOCK_HEADER : stop], int.from_bytes(size, "little")
        position = stop


def _unpacked(kind: bytes, block: Buffer, size: int) -> Buffer:
    if kind not in _UNPACK:
        known = ", ".join(name.decode() for name in _UNPACK)
        raise SnapshotError(f"packed by {kind!r}, which is none of {known}")
    try:
        out = _UNPACK[kind](block, size)
    except (deflate.DeflateError, cramjam.DecompressionError, lzma.LZMAError, ValueError, EOFError) as error:
        raise SnapshotError(f"damaged packed bytes ({str(error).strip() or type(error).__name__})") from error
    if len(out) != size:
        raise SnapshotError(f"a packed block holds {len(out):,} bytes and states {size:,}")
    return out


def _lzma(block: Buffer, size: int) -> Buffer:
    return lzma.LZMADecompressor(memlimit=2**27).decompress(block, size)


def _lz4(block: Buffer, size: int) -> Buffer:
    if xxhash.xxh64_digest(block[8:]) != bytes(block[:8]):
        raise ValueError("its checksum is another")
    out = bytearray(size)
    return memoryview(out)[: cramjam.lz4.decompress_block_into(block[8:], out, output_len=size)]  # after the checksum


def _zstd(block: Buffer, size: int) -> Buffer:
    out = bytearray(size)
    return memoryview(out)[: cramjam.zstd.decompress_into(block, out)]


# libdeflate unpacks float histograms twice as fast as zlib, and never more than it is told.
_UNPACK: dict[bytes, Callable[[Buffer, int], Buffer]] = {
    b"ZL": deflate.zlib_decompress,
    b"CS": deflate.deflate_decompress,  # before 2005: a raw stream, without zlib's frame
    b"XZ": _lzma,
    b"L4": _lz4,
    b"ZS": _zstd,
}
