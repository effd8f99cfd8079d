"""ROOT files changed in their bytes: damaged as by disks, networks and attackers, or moved beyond 2 GB."""

import random
import struct
from pathlib import Path

__all__ = ["bases", "moved", "mutated"]

_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x40000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def bases(folder: Path) -> list[bytes]:
    """Genuine files to damage."""
    return [path.read_bytes() for path in sorted(folder.glob("*.root")) if path.stat().st_size < 100_000]


def mutated(content: bytes, rng: random.Random) -> bytes:
    """``content`` with one to eight pieces of damage."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        rng.choice((_bits, _byte, _number, _number, _zeros, _copied, _cut, _inserted, _swapped))(data, rng)
    return bytes(data)


def moved(source: Path, path: Path, offset: int) -> Path:
    """The top folder of a ROOT file with all its records moved by ``offset``, as ROOT writes files of over 2 GB.

    What is between is a hole. Positions have 8 bytes then, as the versions of file, folder and keys say.
    """
    data = source.read_bytes()
    head = struct.unpack_from(">iiiiiiibiii", data, 4)
    version, begin, end, *free, name_bytes, units, packing, info, info_bytes = head
    at = begin + name_bytes
    _, created, written, keys_bytes, record_bytes, _, _, seek = struct.unpack_from(">HIIiiiii", data, at)
    key_list, position, count = data[seek : seek + keys_bytes], 0, 0
    (length,) = struct.unpack_from(">H", key_list, 14)
    (count,) = struct.unpack_from(">i", key_list, length)
    position, wide = length + 4, []
    for _ in range(count):
        *sizes, own, parent = struct.unpack_from(">iHiIHHii", key_list, position)
        sizes[1] += 1000
        stop = position + 26
        for _ in range(3):  # class, name, title
            stop += 1 + key_list[stop]
        wide.append(struct.pack(">iHiIHHqq", *sizes, own + offset, parent) + key_list[position + 26 : stop])
        position = stop
    keys = key_list[: length + 4] + b"".join(wide)
    folder = struct.pack(">HIIiiqqq", 1005, created, written, len(keys), record_bytes, begin, 0, seek + offset)
    header = struct.pack(
        ">4siiqqiiibiqi", b"root", version + 1_000_000, begin, end + offset + 10_000, *free, name_bytes, units, packing,
        info, info_bytes,
    )  # fmt: skip
    with path.open("wb") as file:
        file.write(header.ljust(begin, b"\0") + data[begin:at] + folder + bytes(60))
        file.seek(info)
        file.write(data[info : info + info_bytes])
        file.seek(offset + begin)
        file.write(data[begin:])
        file.truncate(end + offset + 10_000)
        file.seek(end + offset)  # after all others: it has grown
        file.write(keys)
        file.seek(at + 34)
        file.write(struct.pack(">q", end + offset))
    return path


def _position(data: bytearray, rng: random.Random) -> int:
    """Anywhere, but more often in the header and near the end, where the lists of keys lie."""
    size = max(len(data), 1)
    return rng.choice((rng.randrange(size), rng.randrange(size), rng.randrange(min(size, 400)),
                       size - 1 - rng.randrange(min(size, 3000))))  # fmt: skip


def _bits(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_position(data, rng)] ^= 1 << rng.randrange(8)


def _byte(data: bytearray, rng: random.Random) -> None:
    if data:
        data[_position(data, rng)] = rng.randrange(256)


def _number(data: bytearray, rng: random.Random) -> None:
    width, position = rng.choice((2, 4, 4, 8)), _position(data, rng)
    number = rng.choice((rng.choice(_NUMBERS), rng.randrange(1 << 8 * width), len(data), position))
    data[position : position + width] = (number % (1 << 8 * width)).to_bytes(width, "big")


def _zeros(data: bytearray, rng: random.Random) -> None:
    position = _position(data, rng)
    width = min(rng.choice((8, 64, 4096)), len(data) - position)
    data[position : position + width] = bytes(width)


def _copied(data: bytearray, rng: random.Random) -> None:
    """A piece copied to a second position, as by a lost seek."""
    here, there, width = _position(data, rng), _position(data, rng), rng.choice((4, 50, 600))
    piece = data[here : here + width]
    data[there : there + len(piece)] = piece


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[_position(data, rng) :]


def _inserted(data: bytearray, rng: random.Random) -> None:
    position = _position(data, rng)
    data[position:position] = rng.randbytes(rng.choice((1, 4, 100)))


def _swapped(data: bytearray, rng: random.Random) -> None:
    here, there = _position(data, rng), _position(data, rng)
    if data:
        data[here], data[there] = data[there], data[here]
