"""Numbers that no fills can have are missing; what only looks odd is shown."""

import numpy as np
import pytest

from owtrend.model.axis import Axis
from tests.builders import archive_of, histogram, snapshots

SECONDS = [Axis.spaced(4, 1.5e9, 1.5e9 + 40)]


def trends(rows, reductors):
    """Values of some reductors in each row, shape ``(row, reductor)``."""
    archive = archive_of(*snapshots({"h": rows}))
    return archive.trends("EMC", ["h"], reductors, run=300000)["value"].values[:, 0]


def sums(entries, mean, std=1.0):
    return {"tsumw": entries, "tsumw2": entries, "tsumwx": entries * mean, "tsumwx2": entries * (mean**2 + std**2)}


@pytest.mark.parametrize(("mean", "shown"), [(-0.1, False), (0.0, True), (3.9, True), (4.1, False), (13.2, False)])
def test_a_mean_outside_of_its_axis_is_missing_and_its_width_too(mean, shown):
    (row,) = trends([histogram([0, 10, 20, 30, 40, 0], **sums(100, mean))], ["mean_x", "std_x", "entries"])
    assert np.isfinite(row).tolist() == [shown, shown, True]


@pytest.mark.slow
def test_fills_beyond_the_axis_or_negative_weights_explain_a_mean_outside():
    beyond = histogram([0, 10, 20, 30, 40, 900], **sums(1000, 7.0))
    weighted = histogram([0, 10, 20, 30, 40, 0], **(sums(100, 13.0) | {"tsumw2": 300}))
    for row, mean in ((beyond, 7), (weighted, 13)):
        assert trends([row], ["mean_x"]).ravel().tolist() == [mean]


@pytest.mark.parametrize(
    ("contents", "mean", "shown"),
    [
        pytest.param([0, 0, 50, 50, 0, 0], 1.5e9 + 20, False, id="lost-in-rounding"),
        pytest.param([0, 0, 100, 0, 0, 0], 1.5e9 + 15, True, id="one-bin"),
        pytest.param([0, 0, 50, 50, 0, 0], 0.0, False, id="outside"),
    ],
)
def test_no_width_beside_several_filled_bins_is_missing(contents, mean, shown):
    row = histogram(contents, axes=SECONDS, **sums(100, mean, 0.0))
    ((width,),) = trends([row], ["std_x"])
    assert (width == 0) == shown
    assert np.isnan(width) != shown


def test_the_statistics_of_labels_that_root_does_not_sum_up_are_shown():
    row = histogram([0, 50, 50, 0], axes=[Axis.spaced(2, 0, 2)], **sums(100, 0.0, 0.0))
    assert trends([row], ["mean_x", "std_x"]).tolist() == [[0, 0]]


@pytest.mark.slow
def test_a_share_below_zero_or_above_one_is_missing_and_none_at_all_is_zero():
    many = np.pad(np.full(20, 100), 1)
    moved = many + np.pad([-30, *[5] * 19], 1)
    reductors = ["fraction_x(0,1)", "fraction_x(1,20)", "fraction_x(18,20)"]
    first, second = trends([histogram(many), histogram(moved)], reductors)
    assert first.tolist() == [0.05, 0.95, 0.1]
    assert np.isnan(second[:2]).all()
    assert second[2] == pytest.approx(10 / 65)
    assert trends([histogram([0, 0, 7, 0])], ["fraction_x(0,1)", "underflow_x"]).tolist() == [[0, 0]]
