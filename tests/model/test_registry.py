import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram
from owtrend.model.registry import COUNTS, SAME, SUMS, WEIGHTS, Layouts, Registry, Segment, number_class, segments_of


def histogram(contents, sumw2=None, path=("h",), axis=None):
    parts = {"contents": np.asarray(contents)}
    if sumw2 is not None:
        parts["sumw2"] = np.asarray(sumw2, dtype=float)
    axis = axis or Axis.spaced(len(contents) - 2, 0, 1)
    return Histogram(path=path, class_name="TH1D", axes=(axis,), parts=parts, sums={"entries": 1.0, "tsumw": 1.0})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 1.0, -5.0], COUNTS),
        ([2.0**31 - 1, -(2.0**31)], COUNTS),
        ([2.0**31], WEIGHTS),
        ([0.5], WEIGHTS),
        ([np.nan], WEIGHTS),
        ([np.inf], WEIGHTS),
        ([-0.0], WEIGHTS),
        (np.array([2**31], dtype=np.int64), WEIGHTS),
        (np.array([127], dtype=np.int8), COUNTS),
        ([], COUNTS),
    ],
)
def test_only_values_that_int32_holds_exactly_are_counts(values, expected):
    assert number_class(np.asarray(values)) == expected


def test_each_part_needs_a_segment_but_sumw2_equal_to_the_contents_needs_no_cells():
    found = [(s.part, s.array, s.length) for s, _ in segments_of(histogram([0.0, 1, 2], [0, 1, 2]), Registry())]
    assert found == [("contents", COUNTS, 3), ("sumw2", SAME, 0), ("sums", SUMS, 2)]
    found = [(s.part, s.array) for s, _ in segments_of(histogram([0.0, 1.5, 2], [0, 1, 2]), Registry())]
    assert found == [("contents", WEIGHTS), ("sumw2", COUNTS), ("sums", SUMS)]


def test_a_registry_only_grows_and_a_changed_binning_or_label_gets_cells_of_its_own():
    labelled = Axis(np.array([0.0, 1]), labels={1: "a"})
    relabelled = Axis(np.array([0.0, 1]), labels={1: "b"})
    registry = Registry()
    for one in (histogram([0, 1, 2]), histogram([0, 1, 2, 3]), histogram([0, 1, 2], axis=labelled),
                histogram([0, 1, 2], axis=relabelled), histogram([0, 1, 2])):  # fmt: skip
        before = registry.segments
        registry = registry.extended(segment for segment, _ in segments_of(one, registry))
        assert registry.segments[: len(before)] == before
    contents = [segment for segment in registry if segment.part == "contents"]
    assert [(s.offset, s.length) for s in contents] == [(0, 3), (3, 4), (7, 3), (10, 3)]
    assert registry.size(COUNTS) == 13


def test_another_title_makes_no_segment():
    one, other = Axis.spaced(1, 0, 1, "x"), Axis.spaced(1, 0, 1, "y")
    registry = Registry().extended(segment for segment, _ in segments_of(histogram([0, 1, 2], axis=one), Registry()))
    assert all(s.offset >= 0 for s, _ in segments_of(histogram([0, 1, 2], axis=other), registry))


def test_a_segment_survives_its_json():
    axis = Axis(np.array([0.0, 0.1, 1 / 3]), regular=False, title="η", labels={2: "ß"})
    for segment, _ in segments_of(histogram([0, 1, 2, 3], axis=axis, path=("a/b", "c d")), Registry()):
        again = Segment.from_json(segment.to_json())
        assert again.key == segment.key
        assert again.axes[0].title == "η"


@given(layout=st.sets(st.integers(0, 99)))
def test_a_layout_survives_its_json(layout):
    expected = tuple(sorted(layout))
    assert Layouts.from_json(Layouts.to_json(expected)) == expected


def test_a_layout_is_the_set_of_segments_of_a_row():
    layouts = Layouts()
    assert [layouts.number([2, 0]), layouts.number([1]), layouts.number([0, 2])] == [0, 1, 0]
    assert layouts.matrix(3).tolist() == [[True, False, True], [False, True, False]]
