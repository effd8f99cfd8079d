"""Projections and merged bins: by hand, against ROOT's own, and in any order with increments and time slices."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import owtrend
from owtrend.errors import DimsError, UsageError
from owtrend.model import schema
from tests.builders import table

ROOT_FILES = Path(__file__).parents[1] / "data" / "root"
CASES = json.loads((ROOT_FILES / "projections.json").read_text())["cases"]


def arguments_of(case):
    arguments = {
        name: slice(*value) if case["call"] == "project" else value for name, value in case["arguments"].items()
    }
    return {**arguments, "axes": case["arguments"]["axes"]} if "axes" in arguments else arguments


def named(case):
    arguments = " ".join(f"{name}={value}" for name, value in case["arguments"].items())
    return f"{case['call']} {case['histogram']} {arguments}"


@pytest.mark.parametrize("case", CASES, ids=named)
def test_bins_errors_and_statistics_are_roots(projections, case):
    histogram = projections.histogram("EMC", case["histogram"], run=300000, flow=True).isel(time=0)
    got = getattr(owtrend, case["call"])(histogram, **arguments_of(case))
    assert got.attrs["class"] == case["class"]
    for axis, edges in zip(schema.axes_of(got), case["edges"], strict=True):
        np.testing.assert_allclose(got[f"{axis}_right"].values[:-1], edges, rtol=1e-12, atol=1e-12)
    values = owtrend.values(got)
    values = values.transpose(*reversed(values.value.dims))  # x is fastest in ROOT
    np.testing.assert_allclose(np.nan_to_num(values.value.values.ravel()), case["contents"], rtol=1e-12)
    if not case["histogram"].startswith("profile"):
        np.testing.assert_allclose(np.sqrt(values.variance.values.ravel()), case["errors"], rtol=1e-12)
    else:
        np.testing.assert_allclose(np.sqrt(values.variance.values.ravel()), case["errors"], rtol=1e-6, atol=1e-9)
    if case["entries"] is not None:
        assert got.sums.sel(sum="entries") == case["entries"]
    names = [name for name in got["sum"].values if name != "entries"]
    sums = dict(zip(names, case["sums"], strict=True))
    if case["exact"] is None:  # ROOT keeps fills that are no longer in range; the bins do not
        in_range = got.contents.values[1:-1].sum()
        assert got.sums.sel(sum="tsumw").item() == pytest.approx(in_range)
        assert in_range < sums["tsumw"]
        return
    for name, expected in sums.items():
        moment = set(name.removeprefix("tsumw").removesuffix("2")) & set("xyz")
        tolerance = {"rel": 1e-12}
        if moment and not case["exact"]:  # a fill and the centre of its bin, which is at most 2 wide, up to 4 away
            tolerance = {"abs": sums["tsumw"] * (8 if len(name) > len("tsumwx") else 1)}
        assert got.sums.sel(sum=name).item() == pytest.approx(expected, **tolerance), name


def test_the_statistics_of_the_fills_are_kept_where_root_keeps_them_only_without_flow(projections):
    histogram = projections.histogram("EMC", "flow", run=300000, flow=True).isel(time=0)
    whole = owtrend.project(histogram, "x").sums
    outside = [owtrend.project(histogram, "x", y=piece).sums for piece in (slice(None, 0), slice(4, None))]
    names = [name for name in whole["sum"].values if name != "entries"]
    total = histogram.sums.sel(sum=names) + sum(outside).sel(sum=names)
    np.testing.assert_allclose(whole.sel(sum=names), total, rtol=1e-12)
    assert whole.sel(sum="entries") == histogram.sums.sel(sum="entries")


BLOCK = np.arange(25).reshape(1, 5, 5)  # 3 x 3 bins in [0, 3] and flow


@pytest.mark.parametrize(
    ("wanted", "bins"),
    [
        ({}, slice(None)),
        ({"y": slice(None, None)}, slice(None)),
        ({"y": slice(-np.inf, np.inf)}, slice(None)),
        ({"y": slice(0, 3)}, slice(1, 4)),
        ({"y": slice(1, 2)}, slice(2, 3)),
        ({"y": slice(None, 1)}, slice(0, 2)),
        ({"y": slice(2, None)}, slice(3, 5)),
        ({"y": slice(1 + 1e-9, 3)}, slice(2, 4)),
    ],
)
def test_a_range_takes_the_bins_whose_edges_lie_in_it_and_flow_bins_at_open_ends(wanted, bins):
    got = owtrend.project(table(BLOCK), "x", **wanted)
    assert got.contents.values.tolist() == BLOCK[:, :, bins].sum(axis=2).tolist()
    assert got.contents.dtype == np.int64
    assert set(got.coords) - {"entries_received"} == {"time", "sum", "run", "additive", "x", "x_left", "x_right"}
    assert got.sums.sel(sum="entries").item() == BLOCK[:, :, bins].sum()


def test_without_flow_a_projection_has_the_bins_in_range_and_the_statistics_of_the_fills():
    flat = table(BLOCK[:, 1:-1, 1:-1], flow=False)
    got = owtrend.project(flat, "y")
    assert got.contents.values.tolist() == [[33, 36, 39]]
    assert got["sum"].values.tolist() == ["entries", "tsumw", "tsumw2", "tsumwy", "tsumwy2"]
    assert got.attrs["class"] == "TH1D"
    xr.testing.assert_equal(got.sums, flat.sums.sel(sum=got["sum"]))


def test_axes_keep_their_names_order_titles_and_kind():
    cube = table(np.ones((2, 3, 4, 5), dtype=int), flow=False)
    cube.attrs["variable_axes"] = ("x", "z")
    got = owtrend.project(cube, "zx")
    assert got.contents.dims == ("time", "x", "z")
    assert got.identical(owtrend.project(cube, "xz"))
    assert got.attrs["variable_axes"] == ("x", "z")
    assert got.z.attrs["long_name"] == "title of z"
    assert owtrend.project(got, "z").identical(owtrend.project(cube, "z"))
    assert owtrend.project(cube, "xyz").identical(cube)


def test_sumw2_is_summed_and_makes_the_statistics_of_a_range():
    weighted = table(BLOCK.astype(float), sumw2=BLOCK * 3.0)
    got = owtrend.project(weighted, "x", y=slice(0, 2))
    assert got.sumw2.values.tolist() == (BLOCK[:, :, 1:3].sum(axis=2) * 3.0).tolist()
    assert got.sums.sel(sum="tsumw2").item() == BLOCK[0, 1:-1, 1:3].sum() * 3


def test_a_bin_that_is_not_a_number_makes_its_sum_none():
    counts = BLOCK.astype(float)
    counts[0, 1, 2] = np.nan
    got = owtrend.project(table(counts), "x").contents.values
    assert np.isnan(got).tolist() == [[False, True, False, False, False]]


@pytest.mark.slow
def test_what_is_in_dask_chunks_stays_in_chunks():
    counts = np.random.default_rng(1).poisson(3, (4, 6, 8))
    whole, pieces = table(counts), table(counts).chunk({"time": 2, "x": 2, "y": 3})
    for made in (
        lambda h: owtrend.project(h, "x"),
        lambda h: owtrend.project(h, "y", x=slice(1, 3)),
        lambda h: owtrend.rebin(h, x=2, y=[0, 1, 5]),
        lambda h: owtrend.increments(owtrend.project(owtrend.rebin(h, x=3), "x", y=slice(2, None))),
    ):
        assert made(pieces).contents.chunks is not None
        assert made(pieces).sums.chunks is not None
        xr.testing.assert_allclose(made(pieces).compute(), made(whole))
        assert made(pieces).attrs == made(whole).attrs


def test_restarts_in_a_region_are_those_of_the_histogram():
    rows = np.zeros((3, 4, 4), dtype=int)
    rows[:, 1, 1], rows[:, 2, 2] = [5, 7, 9], [50, 1, 3]  # the region does not fall where the histogram restarts
    region = owtrend.project(table(rows), "x", y=slice(0, 1))
    assert region.sums.sel(sum="entries").values.tolist() == [5, 7, 9]
    assert region.entries_received.values.tolist() == [55, 8, 12]
    gained = owtrend.increments(region)
    assert gained.reported.values.all()
    assert gained.contents.sel(x=0.5).values.tolist() == [5, 7, 2]
    assert gained.restart.values.tolist() == [False, True, False]
    assert "entries_received" not in gained.coords
    assert gained.identical(owtrend.project(owtrend.increments(table(rows)), "x", y=slice(0, 1)))
    piece = owtrend.time_slice(region)
    assert (piece.contents.sel(x=0.5), piece.restarts, piece.sums.sel(sum="entries")) == (14, 1, 14)
    assert "entries_received" not in piece.coords


def test_a_region_of_a_region_still_restarts_with_the_histogram():
    rows = np.zeros((2, 4, 4, 4), dtype=int)
    rows[:, 1, 1, 1], rows[:, 2, 2, 2] = [5, 7], [50, 1]
    inner = owtrend.project(owtrend.project(table(rows), "xy", z=slice(0, 1)), "x", y=slice(0, 1))
    assert inner.identical(owtrend.project(table(rows), "x", y=slice(0, 1), z=slice(0, 1)))
    assert owtrend.increments(inner).restart.values.tolist() == [False, True]


def test_a_region_of_a_gauge_reports_when_the_gauge_does():
    rows = np.zeros((3, 4, 4), dtype=int)
    rows[:, 1, 1], rows[:, 2, 2] = [5, 5, 5], [1, 2, 2]
    gauge = table(rows).assign_attrs(gauge=True).assign_coords(additive=False)
    gained = owtrend.increments(owtrend.project(gauge, "x", y=slice(0, 1)))
    assert gained.contents.sel(x=0.5).values.tolist() == [5, 5, 5]
    assert gained.reported.values.tolist() == owtrend.increments(gauge).reported.values.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("new", "contents", "edges"),
    [
        pytest.param(1, [1, 2, 4, 8, 16, 32, 64], [0, 1, 2, 3, 4, 5], id="none"),
        pytest.param(2, [1, 6, 24, 96], [0, 2, 4], id="last-bin-left-over"),
        pytest.param(5, [1, 62, 64], [0, 5], id="all-in-one"),
        pytest.param([0, 2, 5], [1, 6, 56, 64], [0, 2, 5], id="edges"),
        pytest.param((1, 3 - 1e-9, 4), [3, 12, 16, 96], [1, 3, 4], id="edges-that-leave-bins-over"),
    ],
)
def test_merged_bins_and_what_is_left_over(new, contents, edges):
    histogram = table([[1, 2, 4, 8, 16, 32, 64]])
    got = owtrend.rebin(histogram, x=new)
    assert got.contents.values.tolist() == [contents]
    assert got.x_left.values.tolist() == [-np.inf, *edges]
    assert got.x_right.values.tolist() == [*edges, np.inf]
    assert got.x.attrs == histogram.x.attrs
    assert got.attrs["variable_axes"] == (() if isinstance(new, int) else ("x",))
    made = owtrend.to_hist(got.isel(time=0))
    assert made.axes[0].edges.tolist() == edges
    assert made.values(flow=True).tolist() == contents
    without = owtrend.rebin(histogram.isel(x=slice(1, -1)).assign_attrs(flow=False), x=new)
    assert without.contents.values.tolist() == [contents[1:-1]]
    assert owtrend.to_hist(without.isel(time=0)).axes[0].edges.tolist() == edges
    for one in (got, without):
        assert one.sums.sel(sum="entries") == 127
        assert one.sums.sel(sum="tsumw") == sum(contents[1:-1])


def test_a_bin_keeps_its_label_unless_it_is_merged():
    histogram = table([[0, 1, 2, 3, 0]], labels=["INT7", "EMC", "other"])
    assert owtrend.rebin(histogram, x=[0, 1, 3]).x_label.values.tolist() == ["", "INT7", "", ""]
    assert "x_label" not in owtrend.rebin(histogram, x=3).coords


shapes = hnp.array_shapes(min_dims=3, max_dims=3, min_side=3, max_side=8)
blocks = hnp.arrays(np.int64, shapes, elements=st.integers(0, 9))


@pytest.mark.slow
@given(gained=blocks, restart=st.integers(1, 9), flow=st.booleans(), group=st.integers(1, 5), data=st.data())
def test_projections_and_merged_bins_come_before_or_after_increments_and_slices(gained, restart, flow, group, data):
    cumulative = np.concatenate([gained[:restart].cumsum(axis=0), gained[restart:].cumsum(axis=0)])
    histogram = table(cumulative, flow=flow)
    bins = histogram.sizes["y"] - 2 * flow
    low = data.draw(st.none() | st.integers(0, bins - 1))
    high = data.draw(st.none() | st.integers((low or 0) + 1, bins))
    calls = {
        "project": lambda h: owtrend.project(h, "x"),
        "region": lambda h: owtrend.project(h, "x", y=slice(low, high)),
        "rebin": lambda h: owtrend.rebin(h, x=min(group, h.sizes["x"] - 2 * flow)),
        "edges": lambda h: owtrend.rebin(h, y=[low or 0, high or bins]),
    }
    made = calls[data.draw(st.sampled_from(list(calls)))]
    before, after = owtrend.increments(made(histogram)), made(owtrend.increments(histogram))
    np.testing.assert_array_equal(before.contents, after.contents)
    # A restart that nobody can see may change bins outside a region, but not the entries.
    xr.testing.assert_allclose(before.drop_vars("reported"), after.drop_vars("reported"))
    xr.testing.assert_allclose(owtrend.time_slice(made(histogram)), made(owtrend.time_slice(histogram)))


@pytest.mark.slow
@given(cells=blocks, group=st.integers(1, 5), other=st.integers(1, 4))
def test_projections_and_merged_bins_commute_and_lose_nothing(cells, group, other):
    histogram = table(cells)
    group, other = min(group, histogram.sizes["x"] - 2), min(other, histogram.sizes["y"] - 2)
    first = owtrend.rebin(owtrend.project(histogram, "x"), x=group)
    second = owtrend.project(owtrend.rebin(histogram, x=group), "x")
    xr.testing.assert_identical(first.drop_vars("sums"), second.drop_vars("sums"))
    moments = ["entries", "tsumw", "tsumw2"]  # flow bins of y are added at the centres of fine or of coarse bins
    xr.testing.assert_allclose(first.sums.sel(sum=moments), second.sums.sel(sum=moments))
    both = owtrend.rebin(histogram, x=group, y=other)
    xr.testing.assert_identical(both.contents, owtrend.rebin(owtrend.rebin(histogram, y=other), x=group).contents)
    xr.testing.assert_identical(owtrend.project(both, "y"), owtrend.project(both, "xy").pipe(owtrend.project, "y"))
    total = histogram.contents.sum(["x", "y"])
    for made in (first, second, both):
        xr.testing.assert_equal(made.contents.sum(schema.axes_of(made)), total)
        xr.testing.assert_equal(made.sums.sel(sum="entries"), histogram.sums.sel(sum="entries"))
    bins = histogram.sizes["y"] - 2
    pieces = [slice(None, 0), *(slice(low, low + 1) for low in range(bins)), slice(bins, None)]
    parts = [owtrend.project(histogram, "x", y=piece).contents.values for piece in pieces]
    np.testing.assert_array_equal(sum(parts), owtrend.project(histogram, "x").contents)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["TH2I", "TH3S", "profile2d"])
@pytest.mark.parametrize("run", [300000, None])
def test_stored_histograms_are_projected_before_or_after_increments(rooted, name, run):
    histogram = rooted.histogram("EMC", name, run=run, flow=True)
    for made in (
        lambda h: owtrend.project(h, "y"),
        lambda h: owtrend.project(owtrend.rebin(h, x=2), "x", y=slice(h.y_right.values[1], None)),
    ):
        xr.testing.assert_allclose(owtrend.increments(made(histogram)), made(owtrend.increments(histogram)))
    chunked = rooted.histogram("EMC", name, run=run, flow=True, chunks={})
    xr.testing.assert_allclose(owtrend.project(chunked, "x").compute(), owtrend.project(histogram, "x"))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda h: owtrend.project(h, "z"), DimsError, "no projection onto 'z'; it has the axes x, y"),
        (lambda h: owtrend.project(h, ""), DimsError, "no projection onto ''"),
        (lambda h: owtrend.project(h, "xx"), DimsError, "no projection onto 'xx'"),
        (lambda h: owtrend.project(h.contents, "x"), DimsError, "expected a histogram"),
        (lambda h: owtrend.project(h, "x", x=slice(0, 1)), UsageError, "a range of x, but summed over is y"),
        (lambda h: owtrend.project(h, "x", y=slice(0.5, 2)), UsageError, "y = 0.5 is no bin edge; .* 0 and 1$"),
        (lambda h: owtrend.project(h, "x", y=slice(0, 7)), UsageError, "y = 7 is no bin edge; the nearest: 3"),
        (lambda h: owtrend.project(h, "x", y=slice(-1, 2)), UsageError, "y = -1 is no bin edge; the nearest: 0"),
        (lambda h: owtrend.project(h, "x", y=slice(2, 2)), UsageError, "no bin of y between 2 and 2"),
        (lambda h: owtrend.project(h, "x", y=slice(0, np.nan)), UsageError, "y = nan is no bin edge"),
        (lambda h: owtrend.project(h, "x", y=slice("a", 1)), UsageError, "y = 'a' is no number"),
        (lambda h: owtrend.project(h, "x", y=(0, 1)), UsageError, r"give a range as slice\(lower, upper\)"),
        (lambda h: owtrend.rebin(h, z=2), DimsError, "no axis z; it has x, y"),
        (lambda h: owtrend.rebin(h, x=4), UsageError, "x=4; it has 3 bins to merge"),
        (lambda h: owtrend.rebin(h, x=0), UsageError, "x=0; it has 3 bins"),
        (lambda h: owtrend.rebin(h, x=[0, 1.4, 3]), UsageError, "x = 1.4 is no bin edge; the nearest: 1 and 2"),
        (lambda h: owtrend.rebin(h, x=[0, 2, 1]), UsageError, "give two edges or more, increasing"),
        (lambda h: owtrend.rebin(h, x=[1]), UsageError, "give two edges or more"),
    ],
)
def test_what_cannot_be_done_is_an_error_that_says_what_can(call, error, message):
    with pytest.raises(error, match=message):
        call(table(BLOCK))
