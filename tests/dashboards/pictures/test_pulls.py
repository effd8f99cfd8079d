"""Pulls compare with the last comparable runs, or else with the rest of the same run, and say which."""

import holoviews as hv
import numpy as np
import pytest

import owtrend
from dashboards.pictures.pulls import pulls
from dashboards.state import region
from dashboards.state.reference import compared, slice_reference
from tests.builders import archive_of, histogram, snapshots


def compare(archive, name, run, start=None, stop=None, axes="", ranges=""):
    cumulative = archive.histogram("EMC", name, run=run).load()
    part = owtrend.time_slice(cumulative, start, stop)
    chosen = region.ranges(ranges, cumulative, axes)
    return compared(part, region.projected(part, axes, chosen), slice_reference(archive, cumulative), axes, chosen)


def layers(picture, kind):
    return [part for part in picture if type(part) is kind]


def drawn(picture):
    return hv.renderer("bokeh").get_plot(picture)


def test_the_reference_is_the_one_of_the_archive(scored):
    found = slice_reference(scored, scored.histogram("EMC", "odd", run=3).load())
    expected = scored.reference("EMC", like=3, select=["odd"]).histogram("odd")
    np.testing.assert_array_equal(found.content["contents"], expected.part("contents", flow=False))
    assert (found.name, found.is_rest) == ("2 earlier runs, 1 to 2", False)
    sums = found.content["sums"].to_series()
    assert {name: sums[name] for name in sums.index} == {name: expected.sums[name] for name in sums.index}


def test_a_dead_bin_has_a_negative_pull_and_the_others_agree(scored):
    data = compare(scored, "odd", 3, start="14:12")
    pull = data.shown["pull"].values
    assert pull[2] < -8
    assert np.abs(np.delete(pull, 2)).max() < 4
    assert data.shown["expected"].values[2] > 100
    assert np.abs(compare(scored, "odd", 3, stop="14:11").shown["pull"].values).max() < 4


@pytest.mark.slow
def test_bars_point_to_the_side_of_the_pull_in_its_colour(scored):
    data = compare(scored, "odd", 3, start="14:12")
    picture = pulls(data)
    up, down = layers(picture, hv.Rectangles)
    pull = data.shown["pull"].values
    np.testing.assert_array_equal(up.dimension_values("pull"), pull[pull >= 0])
    np.testing.assert_array_equal(down.dimension_values("pull"), pull[pull < 0])
    assert up.opts.get("style").kwargs["fill_color"] != down.opts.get("style").kwargs["fill_color"]
    y_range = drawn(picture).handles["y_range"]
    assert y_range.start == -y_range.end < pull.min()


def test_without_an_earlier_run_the_rest_of_the_run_is_the_reference(scored):
    data = compare(scored, "odd", 1, start="12:04", stop="12:08")
    assert data.words == "against the rest of this run"
    cumulative = scored.histogram("EMC", "odd", run=1)
    whole, part = owtrend.time_slice(cumulative), owtrend.time_slice(cumulative, "12:04", "12:08")
    shares = (whole["contents"] - part["contents"]).values / float(whole["contents"].sum() - part["contents"].sum())
    np.testing.assert_allclose(data.shown["expected"], shares * float(part["contents"].sum()))


def test_the_whole_first_run_has_nothing_to_be_compared_with(scored):
    data = compare(scored, "odd", 1)
    assert data.words == "· no earlier run to compare with"
    assert np.isnan(data.shown["pull"]).all()
    assert [len(bars) for bars in layers(pulls(data), hv.Rectangles)] == [0, 0]


@pytest.mark.slow
def test_a_histogram_that_was_binned_anew_is_compared_with_its_own_run():
    three = snapshots({"h": [[0, n, n, n, 0] for n in range(1, 15)]}, 1)
    archive = archive_of(*three, *snapshots({"h": [[0, n, n, 0] for n in range(1, 15)]}, 2))
    assert compare(archive, "h", 2, stop="12:05").words == "against the rest of this run"


@pytest.mark.slow
def test_a_name_with_brackets_is_no_pattern():
    names = {"h[0]": [[0, n, n, 0] for n in range(1, 15)], "h0": [[0, 0, n, 0] for n in range(1, 15)]}
    data = compare(archive_of(*snapshots(names, 1), *snapshots(names, 2)), "h[0]", 2)
    assert (data.words, data.shown["expected"].values.tolist()) == ("against run 1", [14, 14])


def test_a_gauge_has_no_pulls():
    data = compare(archive_of(*snapshots({"g": [histogram([0, 1, 1, 1, 1, 0], gauge=True)] * 3}, 1)), "g", 1)
    assert data.words == "· a gauge has no counts to compare"
    assert np.isnan(data.shown["pull"]).all()


@pytest.mark.parametrize(("name", "axes", "kind"), [
    pytest.param("map", "", hv.Image, id="map"),
    pytest.param("uneven", "", hv.QuadMesh, id="unequal-bins"),
    pytest.param("box", "xz", hv.Image, id="projected"),
    pytest.param("map", "y", hv.Overlay, id="projected-onto-one-axis"),
    pytest.param("labelled", "", hv.Overlay, id="labelled"),
    pytest.param("profile", "", hv.Overlay, id="profile"),
])  # fmt: skip
def test_every_kind_of_histogram_has_pulls_as_it_is_shown(archive, name, axes, kind):
    data = compare(archive, name, 300000, stop="12:02", axes=axes)
    picture = pulls(data)
    assert type(picture) is kind
    assert np.nanmax(np.abs(data.shown["pull"])) < 1, "the minutes of this run are all alike"
    drawn(picture)


def test_pulls_of_a_profile_compare_its_means(archive):
    data = compare(archive, "profile", 300000, stop="12:02")
    np.testing.assert_allclose(data.shown["expected"].values, [10, 11, np.nan])
    assert np.isnan(data.shown["pull"].values[2])


def test_a_map_is_coloured_evenly_on_both_sides_of_zero_and_blank_where_both_are_empty(archive):
    data = compare(archive, "map", 300000, stop="12:02")
    data.shown["pull"].values[0, 0] = -40
    picture = pulls(data)
    mapper = drawn(picture).handles["color_mapper"]
    assert (mapper.low, mapper.high) == (-12, 12), "one bin does not take all colours; the hover text has its pull"
    assert np.nanmin(picture.dimension_values("pull")) == -40
    assert len(mapper.palette) % 2 == 1
    assert np.isnan(picture.dimension_values("colour")).sum() == (data.shown["contents"].values == 0).sum()


def test_an_empty_slice_has_finite_limits(scored):
    data = compare(scored, "odd", 3, stop="14:03")
    data.shown["pull"].values[:] = np.nan
    y_range = drawn(pulls(data)).handles["y_range"]
    assert np.isfinite([y_range.start, y_range.end]).all()
