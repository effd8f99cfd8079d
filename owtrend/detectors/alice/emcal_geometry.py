"""The trigger channels of EMCal and DCal: supermodule, TRU, column and row of a FastOR, and their names in words.

As in AliEMCALTriggerMappingV2 (Run 2): 20 supermodules, 52 trigger region units (TRU) of 96 FastORs. In position maps
EMCal has rows 0 to 63 and DCal rows 64 to 103, of 48 columns each; side A has columns 0 to 23. A full supermodule is 24
columns x 12 rows in three TRUs of 8 columns, a third of one 24 x 4 in one TRU. FastOR numbers run along the rows of one
column, column by column, sector by sector. In the middle of DCal, columns 16 to 31, is PHOS.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite

from owtrend.detectors.protocol import Line
from owtrend.model.finding import BinRange

__all__ = ["CHANNELS", "COLUMNS", "ROWS", "TRU_GRID", "FastOR", "channel_words", "position_words"]

CHANNELS, COLUMNS, ROWS, SUPERMODULES = 4992, 48, 104, 20
_PER_TRU, _TRU_COLUMNS, _SIDE = 96, 8, 24
_SECTORS = (*range(0, 60, 12), 60, 64, 76, 88, 100, ROWS)  # first row of each; the last is the end
_PHOS_COLUMNS, _PHOS_ROWS = (16, 32), (64, 100)


@dataclass(frozen=True, order=True)
class FastOR:
    """One trigger channel, at a column and row of the position maps."""

    supermodule: int
    tru: int
    column: int
    row: int

    @classmethod
    def from_position(cls, column: int, row: int) -> "FastOR":
        """The channel at a position; ValueError if there is none."""
        if not (0 <= column < COLUMNS and 0 <= row < ROWS):
            raise ValueError(f"no FastOR at column {column}, row {row}")
        sector = next(number for number in range(len(_SECTORS) - 1) if row < _SECTORS[number + 1])
        side = int(column >= _SIDE)
        first = _SECTORS[sector]
        within = side * 3 + column % _SIDE // _TRU_COLUMNS if _SECTORS[sector + 1] - first == 12 else side
        return cls(2 * sector + side, first * COLUMNS // _PER_TRU + within, column, row)

    @classmethod
    def from_channel(cls, channel: int) -> "FastOR":
        """The channel with an absolute number; ValueError if there is none."""
        if not 0 <= channel < CHANNELS:
            raise ValueError(f"no FastOR {channel}; there are 0 to {CHANNELS - 1}")
        sector = next(n for n in range(len(_SECTORS) - 1) if channel < COLUMNS * _SECTORS[n + 1])
        rows = _SECTORS[sector + 1] - _SECTORS[sector]
        column, row = divmod(channel - COLUMNS * _SECTORS[sector], rows)
        return cls.from_position(column, _SECTORS[sector] + row)

    @property
    def channel(self) -> int:
        """Its absolute number."""
        first = max(one for one in _SECTORS if one <= self.row)
        rows = _SECTORS[_SECTORS.index(first) + 1] - first
        return COLUMNS * first + rows * self.column + self.row - first

    @property
    def phos(self) -> bool:
        """True where PHOS is: no module of DCal."""
        return _PHOS_COLUMNS[0] <= self.column < _PHOS_COLUMNS[1] and _PHOS_ROWS[0] <= self.row < _PHOS_ROWS[1]


def _tru_grid() -> tuple[Line, ...]:
    """The edges of TRUs and supermodules in a position map."""

    def upright(columns: Iterable[int], rows: tuple[float, float]) -> list[Line]:
        return [Line((column, column), rows) for column in columns]

    def level(rows: Iterable[int], columns: tuple[float, float]) -> list[Line]:
        return [Line(columns, (row, row)) for row in rows]

    emcal = upright(range(8, 48, 8), (0, 60)) + level(range(12, 61, 12), (0, 48))
    third = upright([24], (60, 64)) + level([64], (0, 48))
    dcal = upright([8, 16, 32, 40], (64, 100)) + level([76, 88], (0, 16)) + level([76, 88], (32, 48))
    dcal_third = level([100], (0, 48)) + upright([24], (100, 104))
    return (*emcal, *third, *dcal, *dcal_third)


TRU_GRID = _tru_grid()


def channel_words(bins: Sequence[BinRange]) -> str:
    """The FastORs in a range of absolute numbers along x; nothing for all of them."""
    along = next((one for one in bins if one.axis == "x"), None)
    if along is None or not (isfinite(along.low) or isfinite(along.high)):
        return ""
    channels = range(*_whole(along, CHANNELS))
    if not channels or len(channels) == CHANNELS:
        return ""
    words = _words(map(FastOR.from_channel, channels))
    if not words or len(channels) > _PER_TRU:
        return words
    if len(channels) > 1:
        return f"{words}, FastORs {channels[0]} to {channels[-1]}"
    one = FastOR.from_channel(channels[0])
    return f"{words}, FastOR {channels[0]} (column {one.column}, row {one.row})"


def position_words(bins: Sequence[BinRange]) -> str:
    """The FastORs in ranges of columns (x) and rows (y); nothing for all of them."""
    spans = {"x": (0, COLUMNS), "y": (0, ROWS)}
    for one in bins:
        if one.axis in spans:
            spans[one.axis] = _whole(one, spans[one.axis][1])
    positions = [(column, row) for column in range(*spans["x"]) for row in range(*spans["y"])]
    return "" if len(positions) in (0, COLUMNS * ROWS) else _words(FastOR.from_position(*one) for one in positions)


def _whole(bins: BinRange, most: int) -> tuple[int, int]:
    """The whole numbers that a range of bins touches, from 0 to ``most``: the first, and the one behind the last."""
    low = floor(bins.low + 1e-6) if isfinite(bins.low) else 0 if bins.low < 0 else most
    high = ceil(bins.high - 1e-6) if isfinite(bins.high) else most if bins.high > 0 else 0
    return min(max(low, 0), most), min(max(high, 0), most)


def _words(channels: Iterable[FastOR]) -> str:
    every = list(channels)
    real = [one for one in every if not one.phos]
    if not real:
        return "PHOS hole of DCal" if every else ""
    supermodules, trus = ({getattr(one, name) for one in real} for name in ("supermodule", "tru"))
    if len(supermodules) == SUPERMODULES:
        return ""
    words = _numbered("supermodule", supermodules)
    return f"{words}, {_numbered('TRU', trus)}" if len(supermodules) == 1 else words


def _numbered(noun: str, numbers: set[int]) -> str:
    """``TRU 3``, ``TRUs 3 to 5``, ``TRUs 3, 9, 15``, or the first and last of many."""
    known = sorted(numbers)
    if len(known) == 1:
        return f"{noun} {known[0]}"
    if known[-1] - known[0] == len(known) - 1 and len(known) > 2:
        return f"{noun}s {known[0]} to {known[-1]}"
    listed = ", ".join(map(str, known)) if len(known) <= 6 else f"{len(known)} from {known[0]} to {known[-1]}"
    return f"{noun}s {listed}"
