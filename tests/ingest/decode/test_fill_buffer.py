import json

import numpy as np
import pytest

from ingest import SnapshotReader
from ingest.decode.fill_buffer import find_bins, flushed, good_limits
from ingest.decode.streamer import Array, RootObject
from owtrend.errors import SnapshotError
from owtrend.model.axis import Axis
from tests.ingest.decode.test_reader import ANSWERS, CLASSES, ROOT_FILES

LIMITS = json.loads((ROOT_FILES / "limits.json").read_text())


def test_ranges_are_those_that_root_finds():
    for bins, low, high, first, last in LIMITS["ranges"]:
        assert good_limits(bins, low, high) == (first, last)


def test_values_on_and_off_the_edges_fall_into_roots_bins():
    for bins, low, high, values, numbers in LIMITS["bins"]:
        assert find_bins(Axis.spaced(bins, low, high), np.array(values)).tolist() == numbers


def test_values_off_the_axis_and_no_numbers_go_to_the_flow_bins():
    axis = Axis(np.array([0.0, 1, 10]), regular=False)
    values = np.array([-np.inf, -1e-9, 0, 1, 9.9, 10, np.inf, np.nan])
    assert find_bins(axis, values).tolist() == [0, 0, 1, 2, 2, 3, 3, 3]
    assert find_bins(Axis.spaced(2, 0, 2), values).tolist() == [0, 0, 1, 2, 3, 3, 3, 3]


def test_flushed_histograms_equal_roots():
    """All of the folder of buffers; the file's other answers are compared beside the reader."""
    snapshot = SnapshotReader().read(CLASSES)
    buffers = [path for path in ANSWERS if path[0] == "buffers"]
    assert len(buffers) == 15
    for path in buffers:
        assert snapshot[path].sums["entries"] == ANSWERS[path]["entries"] > 0


@pytest.mark.parametrize(
    ("axis", "top", "message"),
    [
        ({"fBits": 1 << 11}, {}, "whole numbers"),
        ({}, {"fBits": 1 << 20}, "powers of two"),
        ({"fXmin": 0.0, "fXmax": 1.0, "fBits2": 2}, {}, "extend an axis"),
    ],
)
def test_binnings_that_only_root_could_find_are_named(axis, top, message):
    members = {"fNbins": 4, "fXmin": 0.0, "fXmax": 0.0, "fBits": 0, "fBits2": 0, **axis}
    fills = np.array([2, 1, 0.5, 1, 7.0], dtype=">f8").tobytes()
    waiting = {"fBits": 0, "fBuffer": Array(0, "d", 5), **top, "fXaxis": RootObject("TAxis", members)}
    found = RootObject("TH1F", waiting)
    histogram = SnapshotReader().read(CLASSES)["numbers/h1f"]
    with pytest.raises(SnapshotError, match=message):
        flushed(histogram, found, fills)
