import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from owtrend.model.axis import Axis, common, common_axes, rearranged, targets
from tests import builders

ANSWERS = json.loads((Path(__file__).parents[1] / "data" / "root" / "extensions.json").read_text())


def axes_of(state):
    """Axes as ROOT had them."""
    named = ({number: label for number, label in enumerate(labels, start=1) if label} for labels in state["labels"])
    return tuple(replace(Axis.spaced(*axis), labels=labels) for axis, labels in zip(state["axes"], named, strict=True))


def test_axis_survives_its_schema():
    axis = Axis(np.array([0.0, 1, 10]), regular=False, title="p_{T}", labels={1: "low"})
    again = Axis.from_dict(axis.to_dict())
    assert again == axis
    assert (again.title, again.labels) == (axis.title, axis.labels)
    assert Axis.from_dict(Axis.spaced(3, -0.1, 0.7).to_dict()) == Axis.spaced(3, -0.1, 0.7)


@pytest.mark.parametrize("case", ANSWERS["extensions"], ids=lambda case: case["class"])
def test_bins_merge_as_root_extends_an_axis(case):
    have, want = (axes_of(case[when]) for when in ("before", "after"))
    joined = common_axes([have, want])
    assert joined == want == common_axes([want, have])
    for part, cells in case["before"]["parts"].items():
        found = rearranged(np.array([cells]), have, want)[0]
        # ROOT adds the bins two by two, at each doubling: sums of fractions differ in the last digit
        np.testing.assert_allclose(found, case["after"]["parts"][part], rtol=1e-15 if "sumw" in part else 0)


@pytest.mark.parametrize("case", ANSWERS["merges"], ids=lambda case: case["class"])
def test_labels_are_brought_together_as_root_merges_them(case):
    parts = [(axes_of(one), one["parts"]) for one in case["parts"]]
    joined = common_axes([axes for axes, _ in parts])
    assert joined == axes_of(case["whole"])
    for name, cells in case["whole"]["parts"].items():
        total = sum(rearranged(np.array([one[name]]), axes, joined) for axes, one in parts)
        np.testing.assert_array_equal(total, [cells])


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        pytest.param([(4, 0, 4), (4, -4, 4), (4, 0, 8)], (6, -4, 8), id="extended-to-either-side"),
        pytest.param([(5, 0, 5), (5, 0, 10), (5, -5, 5)], None, id="bins-that-overlap"),
        pytest.param([(10, 0, 1), (5, 0, 1)], None, id="fewer-bins"),
        pytest.param([(4, 0, 4), (4, 4, 8)], None, id="moved"),
        pytest.param([(4, 0, 4), (4, 0, 12)], None, id="three-times-as-wide"),
        pytest.param([(4, 0, 4), (4, 1, 9)], None, id="not-from-an-end"),
        pytest.param([(4, 1, 5), (4, 0, 8)], None, id="not-by-whole-ranges"),
        pytest.param([(4, 0, 4), (5, 0, 8)], None, id="another-number"),
        pytest.param([(3, 0, 0.3), (3, 0, 0.6), (3, -0.6, 0.6), (3, -0.6, 1.8)], (3, -0.6, 1.8), id="rounded"),
        pytest.param([(1, 0, 0), (1, 0, 1)], None, id="no-width"),
    ],
)
def test_common_axes_by_hand(axes, expected):
    found = common([Axis.spaced(*one) for one in axes])
    assert found == (None if expected is None else Axis.spaced(*expected))
    assert found == common([Axis.spaced(*one) for one in reversed(axes)])


def test_equal_labels_are_matched_in_their_order_and_a_bin_without_one_by_its_number():
    have, want = builders.labelled(["a", "a", "b"]), builders.labelled(["b", "a", "c", "a"])
    assert targets(have, want).tolist() == [0, 2, 4, 1, 5]
    nameless = replace(Axis.spaced(3, 0, 3), labels={1: "a"})
    assert targets(nameless, want).tolist() == [0, 2, 5, 3, 5]
    assert common([Axis.spaced(2, 0, 2), want]) == want, "an axis before its first label"


@given(st.data())
def test_an_extended_axis_keeps_all_that_was_in_range(data):
    bins, width = data.draw(st.integers(1, 9)), data.draw(st.sampled_from([1.0, 0.1, 1 / 3, 60.0]))
    axes, low, high = [], 0.0, bins * width
    for upwards in [True, *data.draw(st.lists(st.booleans(), max_size=5))]:
        axes.append(Axis.spaced(bins, low, high))
        low, high = (low, high + (high - low)) if upwards else (low - (high - low), high)
    chosen = data.draw(st.permutations(axes))
    joined = common(chosen)
    assert joined == axes[-1]
    for axis in axes:
        to = targets(axis, joined)
        for number, centre in enumerate(axis.centres, start=1):
            low, high = joined[int(to[number]) - 1]
            assert low < centre < high
