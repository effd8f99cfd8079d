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


def test_automatic_limits_equal_roots():
    for bins, low, high, first, last in LIMITS["ranges"]:
        assert good_limits(bins, low, high) == (first, last)


def test_values_near_edges_fall_into_the_same_bins_as_in_root():
    for bins, low, high, values, numbers in LIMITS["bins"]:
        assert find_bins(Axis.spaced(bins, low, high), np.array(values)).tolist() == numbers


def test_values_off_the_axis_and_nan_go_to_the_flow_bins():
    axis = Axis(np.array([0.0, 1, 10]), regular=False)
    values = np.array([-np.inf, -1e-9, 0, 1, 9.9, 10, np.inf, np.nan])
    assert find_bins(axis, values).tolist() == [0, 0, 1, 2, 2, 3, 3, 3]
    assert find_bins(Axis.spaced(2, 0, 2), values).tolist() == [0, 0, 1, 2, 3, 3, 3, 3]


def test_flushed_histograms_equal_roots():
    """Entries of all histograms with buffers; test_reader compares the other answers."""
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
        ({"fXmin": 0.0, "fXmax": 1.0, "fBits2": 2}, {}, "would extend an axis; owtrend cannot replay that"),
    ],
)
def test_binnings_that_only_root_can_choose_are_refused(axis, top, message):
    members = {"fNbins": 4, "fXmin": 0.0, "fXmax": 0.0, "fBits": 0, "fBits2": 0, **axis}
    fills = np.array([2, 1, 0.5, 1, 7.0], dtype=">f8").tobytes()
    members_with_buffer = {"fBits": 0, "fBuffer": Array(0, "d", 5), **top, "fXaxis": RootObject("TAxis", members)}
    root_object = RootObject("TH1F", members_with_buffer)
    histogram = SnapshotReader().read(CLASSES)["numbers/h1f"]
    with pytest.raises(SnapshotError, match=message):
        flushed(histogram, root_object, fills)
