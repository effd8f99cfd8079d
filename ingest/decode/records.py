"""Records of a ROOT file: its header, the keys of its folders, and the unpacked bytes behind a key.

Sources of the layout: ``TFile``, ``TDirectoryFile`` and ``TKey`` of ROOT. Nothing here knows what an object is. All
sizes that a file states are checked before memory is taken for them.
"""

import os
import struct
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ingest.decode import compression
from ingest.decode.compression import BLOCK_HEADER, ONE_BLOCK, Buffer, unpack
from owtrend.errors import SnapshotError

__all__ = ["Key", "KeyList", "RootFile", "Scratch", "text"]

_LARGE = 1_000_000  # versions of files from here on have positions of 8 bytes; of records, versions over 1000
_IN_MEMORY = 2**26  # [bytes] files up to this size are read at once: a quarter of the time of reading by records
_SCRATCH = 2**24  # [bytes] the largest file whose memory is kept for the next file
_LONGEST_LIST = 2**26  # [bytes] records of keys and of class layouts
_BEGINNING = 2**20  # [bytes] of an object that is not packed


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a list of keys: position and size of the object's record, its unpacked size ``objlen`` [bytes]."""

    name: str
    class_name: str
    cycle: int
    seek: int
    nbytes: int
    keylen: int
    objlen: int


class _LargeFile:
    """Bytes of a file too large for memory, read on demand.

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
        Path or bytes of the file, and its name in errors.
    scratch
        Memory to read a small file into. Results stay valid until the next file is read into it.

    Raises
    ------
    SnapshotError
        If it is empty, cut short, or no ROOT file.
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

    def __len__(self) -> int:
        """Size of the file [bytes]."""
        return len(self._data)

    def close(self) -> None:
        if not self._small:
            self._data.close()

    def _read_header(self) -> None:
        head = self._data[:64]
        if not len(self._data):
            raise SnapshotError(f"{self.label}: empty file (0 bytes); expected a ROOT file, copy it again")
        if head[:4] != b"root" or len(head) < 64:
            beginning = bytes(head[:8])
            raise SnapshotError(f"{self.label}: not a ROOT file ({len(self._data)} bytes, starting with {beginning!r})")
        version, self._begin = struct.unpack_from(">ii", head, 4)
        layout = ">qqiiibiqi" if version >= _LARGE else ">iiiiibiii"
        end, _, _, _, self._name_bytes, _, _, self._seek_info, self._bytes_info = struct.unpack_from(layout, head, 12)
        if end > len(self._data):
            raise SnapshotError(f"{self.label}: cut short ({len(self._data):,} of {end:,} bytes); copy it again")

    def bytes(self, start: int, stop: int) -> Buffer:
        """Bytes ``[start, stop)`` of the file; an error if it is shorter."""
        if not 0 <= start <= stop <= len(self._data):
            raise SnapshotError(f"bytes {start:,} to {stop:,} lie outside the file of {len(self._data):,} bytes")
        return self._data[start:stop]

    def unpacked(self, start: int, stop: int, objlen: int) -> Buffer:
        """Unpack the ``objlen`` bytes in ``[start, stop)``; errors as of `unpack`."""
        # Nearly all records are one block of zlib: without the loop over blocks 1 us instead of 3, of 40 us.
        if self._small and start + BLOCK_HEADER < stop <= len(self._data):
            method, low, high = ONE_BLOCK.unpack_from(self._data, start)
            length, size = low & 0xFFFFFF, high << 8 | low >> 24
            if method == b"ZL" and length == stop - start - BLOCK_HEADER and size == objlen:
                return compression.unpack_block(method, self._data[stop - length : stop], size)
        return unpack(self.bytes(start, stop), objlen)

    def beginning(self, start: int, stop: int, objlen: int) -> Buffer:
        """The first unpacked bytes, at most one block of 16 MB."""
        packed = self.bytes(start, stop)
        if len(packed) == objlen:
            return packed[:_BEGINNING]
        for block in compression.blocks(packed):
            return compression.unpack_block(*block)
        return b""

    @property
    def root(self) -> int:
        """Position of the record of the top folder."""
        return self._begin + self._name_bytes

    @property
    def written(self) -> datetime:
        """Time of the last write, by the header: local time of the writing host, no zone."""
        try:
            (bits,) = struct.unpack(">I", self.bytes(self.root + 6, self.root + 10))  # fDatimeM, as TDatime packs it
        except (struct.error, SnapshotError) as error:
            raise SnapshotError(f"{self.label}: no date in its damaged header; give the times by --pattern") from error
        parts = (bits >> 26) + 1995, bits >> 22 & 15, bits >> 17 & 31, bits >> 12 & 31, bits >> 6 & 63, bits & 63
        try:
            return datetime(*parts)
        except ValueError as error:
            raise SnapshotError(
                f"{self.label}: invalid date {parts} in its header; give the times by --pattern"
            ) from error

    def class_record(self) -> tuple[Key, Buffer] | None:
        """Key and packed bytes of the record of class layouts; None if the file has none."""
        if not self._seek_info:
            return None
        record = self._list(self._seek_info, self._bytes_info)
        key, _ = _key(record, 0)
        return key, record[key.keylen :]

    def key_list(self, folder: int) -> Buffer:
        """The record of the keys of the folder at position ``folder``; empty if it never had any."""
        head = self.bytes(folder, min(folder + 42, len(self._data)))
        (version,) = struct.unpack_from(">H", head)
        (nbytes,) = struct.unpack_from(">i", head, 10)
        (seek,) = struct.unpack_from(">q", head, 34) if version > 1000 else struct.unpack_from(">i", head, 26)
        if not seek and folder != self.root:
            return b""
        if not seek:
            raise SnapshotError("no list of keys: still being written, or never closed")
        return self._list(seek, nbytes)

    def _list(self, start: int, nbytes: int) -> Buffer:
        """The record of a list, which is never large."""
        if nbytes > _LONGEST_LIST:
            raise SnapshotError(f"keys or class layouts of {nbytes:,} bytes; expected up to {_LONGEST_LIST:,}")
        return self.bytes(start, start + nbytes)


class KeyList:
    """The keys of one folder, and a way to read the same list of another file in a tenth of the time.

    From one snapshot to the next only sizes, dates and positions change.
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
            previous = newest.get(key.name)
            if previous is None or key.cycle > keys[previous].cycle:
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
        """``nbytes`` and ``seek`` of the same keys in another list; None if the list has other keys."""
        raw = np.frombuffer(record, dtype=np.uint8)
        if len(raw) != self._size or not np.array_equal(raw[self._fixed], self._bytes):
            return None
        wide = self._seeks.shape[1] == 8
        return _integers(raw, self._nbytes, ">i4"), _integers(raw, self._seeks, ">i8" if wide else ">i4")


def _integers(raw: NDArray[np.uint8], offsets: NDArray[np.intp], dtype: str) -> list[int]:
    return raw[offsets].view(dtype)[:, 0].tolist()


class Scratch:
    """Memory that one file after the other is read into: fresh pages for each would add a twentieth of the time."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def read(self, path: Path) -> memoryview:
        """The bytes of a file; they stay valid until the next is read."""
        with path.open("rb", buffering=0) as handle:
            size = os.fstat(handle.fileno()).st_size
            if len(self._buffer) < size <= _SCRATCH:
                self._buffer = bytearray(size * 5 // 4)
            view, filled = memoryview(self._buffer if size <= _SCRATCH else bytearray(size))[:size], 0
            while filled < size and (count := handle.readinto(view[filled:])):
                filled += count
            return view[:filled]


def _key(record: Buffer, start: int) -> tuple[Key, int]:
    """The key at ``start`` of a record, and the position after it."""
    nbytes, version, objlen, _, keylen, cycle = struct.unpack_from(">iHiIHH", record, start)
    (seek,) = struct.unpack_from(">q" if version > 1000 else ">i", record, start + 18)
    position = start + (34 if version > 1000 else 26)
    class_name, position = text(record, position)
    name, position = text(record, position)
    _, position = text(record, position)
    if objlen < 0 or nbytes < keylen:
        raise SnapshotError(f"key {name!r} states impossible sizes: {nbytes} bytes, {objlen} unpacked")
    return Key(name, class_name, cycle, seek, nbytes, keylen, objlen), position


def text(data: Buffer, position: int, end: int | None = None) -> tuple[str, int]:
    """A TString and the position after it; UTF-8, else Latin-1, as ROOT does not state the encoding.

    It lies before ``end``, by default the end of ``data``.
    """
    length, start = data[position], position + 1
    if length == 255:
        (length,) = struct.unpack_from(">i", data, start)
        start += 4
    room = min(len(data), len(data) if end is None else end) - start
    if not 0 <= length <= room:
        raise SnapshotError(f"a text of {length:,} characters does not fit into {max(room, 0):,} bytes")
    raw = bytes(data[start : start + length])
    try:
        return raw.decode(), start + length
    except UnicodeDecodeError:
        return raw.decode("latin-1"), start + length
