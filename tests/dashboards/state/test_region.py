"""Projections as users type them: axes, and ranges of the others."""

import numpy as np
import pytest

import owtrend
from dashboards.state import region
from owtrend.errors import UsageError
from owtrend.histograms.labelled import to_xarray
from owtrend.model.axis import Axis
from tests.builders import histogram, labelled


@pytest.fixture
def named(archive):
    return lambda name: archive.histogram("EMC", name, run=300000)


def test_choices_are_of_the_axes_there_are(named):
    assert region.choices(named("plain")) == [""]
    assert region.choices(named("map")) == ["", "x", "y"]
    assert region.choices(named("box")) == ["", "x", "y", "z", "xz", "yz"]


@pytest.mark.parametrize(
    ("name", "axes", "text", "expected"),
    [
        ("map", "x", "", {}),
        ("map", "x", "y=1:3", {"y": (1, 3)}),
        ("map", "x", "1:3", {"y": (1, 3)}),
        ("map", "x", " y = 3 to 1 ", {"y": (1, 3)}),
        ("map", "x", "0.6:3.4", {"y": (1, 3)}),
        ("map", "x", "2.1:2.2", {"y": (2, 3)}),
        ("map", "x", "9:12", {"y": (4, 5)}),
        ("map", "x", "-3:99", {}),
        ("uneven", "x", "2:6", {"y": (1, 6)}),
        ("box", "x", "y=0:1, z=1:2", {"y": (0, 1), "z": (1, 2)}),
        ("box", "", "1:2", {"z": (1, 2)}),
        ("box", "xz", "1:2", {"y": (1, 2)}),
    ],
)
def test_a_range_is_brought_to_the_edges_of_bins(named, name, axes, text, expected):
    found = region.ranges(text, named(name), axes)
    assert found == expected
    assert region.ranges(region.region_text(found), named(name), axes) == expected


def with_labels():
    axes = [Axis.spaced(2, 0, 2), labelled(["minimum bias", 'a "b", y=1:2', "<b>"])]
    return to_xarray(histogram(np.pad(np.arange(6.0).reshape(2, 3), 1), axes=axes))


@pytest.mark.parametrize(
    ("text", "label"),
    [('y="minimum bias"', "minimum bias"), (r'"a \"b\", y=1:2"', 'a "b", y=1:2'), ('y = "<b>"', "<b>")],
)
def test_a_label_is_a_range_of_its_bin(text, label):
    found = region.ranges(text, with_labels(), "x")
    assert found == {"y": label}
    assert region.ranges(region.region_text(found), with_labels(), "x") == found
    number = with_labels().y_label.values.tolist().index(label)
    assert region.projected(with_labels(), "x", found).contents.values.tolist() == [number, number + 3]


@pytest.mark.parametrize("text", ['y="beam"', 'x="beam"', 'y="', 'y=""', r'y="\q"', f'y="{"a" * 9999}"'])
def test_what_is_no_label_is_no_range(text):
    with pytest.raises(UsageError, match="give a part of y=0:3"):
        region.ranges(text, with_labels(), "x")


@pytest.mark.parametrize(
    ("name", "axes", "text", "why"),
    [
        ("map", "x", "x=1:2", "'x=1:2' is not a range of a summed axis; give a part of y=0:5"),
        ("map", "x", "a:b", "'a:b' is not a range"),
        ("map", "", "1:2", "no axis is summed over; choose a projection first"),
        ("box", "x", "1:2", "give a part of y=0:3,z=0:2"),
    ],
)
def test_a_wrong_range_is_an_error_that_says_what_is_possible(named, name, axes, text, why):
    with pytest.raises(UsageError) as caught:
        region.ranges(text, named(name), axes)
    assert why in str(caught.value)


def test_a_projection_has_the_contents_and_errors_of_the_bins_in_range(named):
    content = owtrend.time_slice(named("map"))
    shown = region.projected(content, "x", {"y": (1.0, 3.0)})
    bins = content["contents"].values[:, 1:3]
    np.testing.assert_array_equal(shown["contents"], bins.sum(axis=1))
    np.testing.assert_array_equal(owtrend.values(shown)["variance"], bins.sum(axis=1))
    box = owtrend.time_slice(named("box"))
    np.testing.assert_array_equal(region.projected(box, "", {})["contents"], box["contents"].values.sum(axis=2))
    assert region.projected(content, "", {}) is content
