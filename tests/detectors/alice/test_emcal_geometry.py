import math

import pytest

from owtrend.detectors.alice.emcal_geometry import CHANNELS, FastOR, channel_words, position_words
from owtrend.detectors.alice.emcal_geometry import TRU_GRID as GRID
from owtrend.model.finding import BinRange


def along(axis, low, high):
    return BinRange(axis, 1, 2, low, high)


def test_each_channel_has_one_position_and_96_of_them_make_a_tru():
    positions = [FastOR.from_channel(channel) for channel in range(CHANNELS)]
    assert [one.channel for one in positions] == list(range(CHANNELS))
    assert [one.tru for one in positions] == [channel // 96 for channel in range(CHANNELS)]
    assert len({(one.column, one.row) for one in positions}) == CHANNELS
    assert [sum(one.supermodule == number for one in positions) for number in (0, 9, 10, 12, 17, 18, 19)] == [
        288, 288, 96, 288, 288, 96, 96,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "row", "supermodule", "tru"),
    [(0, 0, 0, 0), (23, 0, 0, 2), (24, 0, 1, 3), (47, 59, 9, 29), (23, 63, 10, 30), (24, 60, 11, 31), (8, 64, 12, 33),
     (47, 99, 17, 49), (0, 103, 18, 50), (47, 100, 19, 51)],
)  # fmt: skip
def test_known_corners(column, row, supermodule, tru):
    found = FastOR.from_position(column, row)
    assert (found.supermodule, found.tru) == (supermodule, tru)


def test_phos_is_where_six_trus_would_be():
    assert {one.tru for one in map(FastOR.from_channel, range(CHANNELS)) if one.phos} == {34, 35, 40, 41, 46, 47}
    with pytest.raises(ValueError, match="no FastOR at column 48"):
        FastOR.from_position(48, 0)
    with pytest.raises(ValueError, match="no FastOR 4992"):
        FastOR.from_channel(CHANNELS)


def test_lines_of_the_grid_lie_between_trus():
    """Left and right of each upright line are two TRUs, or a TRU and the hole of PHOS."""
    for line in GRID:
        (x, other), (low, _) = line.x, line.y
        if x == other:
            left, right = FastOR.from_position(int(x) - 1, int(low)), FastOR.from_position(int(x), int(low))
            assert left.tru != right.tru, line
        else:
            below, above = FastOR.from_position(int(x), int(low) - 1), FastOR.from_position(int(x), int(low))
            assert below.supermodule != above.supermodule, line


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (3200, 3201, "supermodule 12, TRU 33, FastOR 3200 (column 10, row 72)"),
        (3168, 3264, "supermodule 12, TRU 33, FastORs 3168 to 3263"),
        (3072, 3264, "supermodule 12, TRUs 32, 33"),
        (3264, 3360, "PHOS hole of DCal, FastORs 3264 to 3359"),
        (0, 576, "supermodules 0, 1"),
        (0, 864, "supermodules 0 to 2"),
        (0, 4992, ""),
        (4992, 5000, ""),
        (-math.inf, 0, ""),
        (-math.inf, math.inf, ""),
    ],
)
def test_channels_in_words(low, high, words):
    assert channel_words([along("x", low, high)]) == words


def test_positions_in_words():
    assert position_words([along("x", 8, 16), along("y", 64, 70)]) == "supermodule 12, TRU 33"
    assert position_words([along("y", 60, 64)]) == "supermodules 10, 11"
    assert position_words([along("x", 16, 32), along("y", 64, 100)]) == "PHOS hole of DCal"
    assert position_words([along("y", 104, 105)]) == ""
    assert position_words([]) == ""
