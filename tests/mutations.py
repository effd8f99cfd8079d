"""Damage to files as by disks, networks and attackers."""

import random
from pathlib import Path

__all__ = ["bases", "mutated"]

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
