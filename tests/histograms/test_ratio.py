"""Ratios and efficiencies: against ROOT's own, at the ends of the range, and what cannot be divided."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import owtrend
from owtrend.errors import BinningChangedError, DimsError, UsageError
from tests.builders import archive_of, snapshots, table

PAIRS = json.loads((Path(__file__).parents[1] / "data/root/projections.json").read_text())["pairs"]


def pair_of(archive, pair):
    names = pair["passed"], pair["total"]
    return [archive.histogram("EMC", name, run=300000, flow=True).isel(time=0) for name in names]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair["passed"])
def test_the_ratio_is_roots_and_nan_where_root_gives_zero_for_want_of_a_denominator(projections, pair):
    passed, total = pair_of(projections, pair)
    got = owtrend.ratio(passed, total)
    empty = total.contents.values == 0
    assert empty.any()
    assert np.isnan(got.value.values[empty]).all()
    assert np.isnan(got.error.values[empty]).all()
    np.testing.assert_allclose(got.value.values[~empty], np.array(pair["answers"]["ratio"])[~empty], rtol=1e-12)
    np.testing.assert_allclose(got.error.values[~empty], np.array(pair["answers"]["ratio_error"])[~empty], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair["passed"])
def test_efficiencies_and_intervals_are_roots(projections, pair):
    passed, total = pair_of(projections, pair)
    got, answers = owtrend.efficiency(passed, total), pair["answers"]
    filled = total.contents.values != 0
    np.testing.assert_allclose(got.value.values[filled], np.array(answers["default"]["value"])[filled], rtol=1e-12)
    expected = np.array(answers["binomial_error"])[filled]
    np.testing.assert_allclose(got.error.values[filled], expected, rtol=1e-10, atol=1e-15)
    assert np.isnan(got.value.values[~filled]).all()
    for end in ("lower", "upper"):
        np.testing.assert_allclose(got[end].values, answers["default"][end], rtol=1e-9, atol=1e-12)
        wide = owtrend.efficiency(passed, total, level=0.95)[end].values
        np.testing.assert_allclose(wide, answers["0.95"][end], rtol=1e-9, atol=1e-12)
    assert got.attrs["interval"] == ("normal" if pair["weighted"] else "Clopper-Pearson")


def test_efficiencies_by_hand():
    passed, total = table([[0, 0, 10, 1, 0, 0]]), table([[0, 10, 10, 2, 0, 0]])
    got = owtrend.efficiency(passed, total).isel(time=0, x=slice(1, -1))
    tail = (1 - 0.682689492137) / 2
    np.testing.assert_allclose(got.value, [0, 1, 0.5, np.nan])
    np.testing.assert_allclose(got.error, [0, 0, 0.5 / 2**0.5, np.nan])
    np.testing.assert_allclose(got.lower, [0, tail**0.1, 1 - (1 - tail) ** 0.5, 0])  # beta(n, 1) and its mirror image
    np.testing.assert_allclose(got.upper, [1 - tail**0.1, 1, (1 - tail) ** 0.5, 1])


@pytest.mark.slow
@given(
    pairs=st.lists(st.integers(0, 40).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), min_size=1),
    level=st.floats(0.05, 0.99),
)
def test_an_interval_holds_the_value_and_mirrors_that_of_what_failed(pairs, level):
    k, n = np.transpose(pairs)
    passed, failed, total = (table([one], flow=False) for one in (k, n - k, n))
    got, other = owtrend.efficiency(passed, total, level=level), owtrend.efficiency(failed, total, level=level)
    some = got.isel(x=n > 0)
    assert ((some.lower <= some.value) & (some.value <= some.upper)).all()
    np.testing.assert_allclose(got.lower, 1 - other.upper, atol=1e-12)
    np.testing.assert_allclose(got.error, other.error, atol=1e-12)
    whole = owtrend.ratio(total, total)
    assert (whole.value.values[:, n > 0] == 1).all()


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng, truth, n = np.random.default_rng(5), 0.9, 20
    passed = rng.binomial(n, truth, (1, 5000))
    got = owtrend.efficiency(table(passed, flow=False), table(np.full_like(passed, n), flow=False))
    covered = ((got.lower <= truth) & (truth <= got.upper)).mean().item()
    assert 0.68 < covered < 0.95  # it is a discrete distribution: never less


def test_rows_are_divided_row_by_row_or_all_by_one():
    rows, one = table([[0, 2, 0], [0, 6, 0]]), table([[0, 4, 0]]).isel(time=0)
    got = owtrend.ratio(rows, one)
    assert got.value.sel(x=0.5).values.tolist() == [0.5, 1.5]
    assert got.value.dims == ("time", "x")
    assert owtrend.ratio(one, rows).value.sel(x=0.5).values.tolist() == pytest.approx([2, 2 / 3])
    assert owtrend.ratio(one, rows).time.values.tolist() == rows.time.values.tolist()
    assert owtrend.ratio(rows, rows).value.sel(x=0.5).values.tolist() == [1, 1]
    chunked = owtrend.ratio(rows.chunk({"time": 1}), rows)
    xr.testing.assert_identical(chunked.compute(), owtrend.ratio(rows, rows).compute())
    assert got.attrs == {"name": "h / h", "subsystem": "EMC", "flow": True, "variable_axes": ()}


def test_profiles_are_divided_by_their_means(rooted):
    profile = rooted.histogram("EMC", "profile", run=300000).isel(time=0)
    got, values = owtrend.ratio(profile, profile), owtrend.values(profile)
    np.testing.assert_allclose(got.value, 1)
    np.testing.assert_allclose(got.error, np.sqrt(2 * values.variance) / values.value)


def test_a_region_of_a_histogram_is_a_share_of_it(rooted):
    towers = rooted.histogram("EMC", "TH2I", run=300000)
    got = owtrend.efficiency(owtrend.project(towers, "x", y=slice(0, 52)), owtrend.project(towers, "x"))
    assert got.value.dims == ("time", "x")
    assert ((got.lower < got.value) & (got.value < got.upper)).all()


def test_a_bin_that_is_not_a_number_has_no_efficiency():
    got = owtrend.efficiency(table([[np.nan, 1.0, 0.0]], flow=False), table([[4.0, 4.0, 4.0]], flow=False))
    for name in ("value", "error", "lower", "upper"):
        assert np.isnan(got[name].values).tolist() == [[True, False, False]]


HISTOGRAM = table([[1, 2, 3, 4]])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda h: owtrend.efficiency(h, table([[1, 1, 3, 4]])), UsageError, r"in 1 bins .* first 2 of 1 at .*'x': 1"),
        (lambda h: owtrend.efficiency(table([[0, -1, 0, 0]]), h), UsageError, "fewer than none, first -1 of 2"),
        (lambda h: owtrend.efficiency(h, h, level=68), UsageError, "level=68: a confidence level is between 0 and 1"),
        (lambda h: owtrend.ratio(h, table([[1, 2, 3]])), BinningChangedError, "bins of x differ: 4 in .*rebin"),
        (lambda h: owtrend.ratio(h, table([[1, 2, 3, 4]], flow=False)), BinningChangedError, "flow bins in both or in"),
        (lambda h: owtrend.ratio(h, table([[1, 2, 3, 4]], edges=[0, 1, 3])), BinningChangedError, "bins of x differ"),
        (lambda h: owtrend.ratio(h, table(np.ones((1, 4, 4), int))), BinningChangedError, "h and h: axes x and x, y"),
        (lambda h: owtrend.ratio(h, table([[1, 2, 3, 4]] * 2)), DimsError, "their rows in time differ"),
        (lambda h: owtrend.ratio(h.contents, h), DimsError, "expected a histogram"),
    ],
)
def test_what_cannot_be_divided_is_an_error_that_says_why(call, error, message):
    with pytest.raises(error, match=message):
        call(HISTOGRAM)


def test_a_profile_has_no_efficiency(rooted):
    profile = rooted.histogram("EMC", "profile", run=300000)
    with pytest.raises(DimsError, match="a profile has no efficiency"):
        owtrend.efficiency(profile, profile)


@pytest.mark.slow
def test_slices_whose_reports_are_of_other_times_have_no_ratio():
    passed = [[0, *[count] * 2, 0] for count in (1, 1, 2, 2, 4)]
    total = [[0, *[count] * 2, 0] for count in (2, 4, 4, 5, 8)]
    archive = archive_of(*snapshots({"passed": passed, "total": total}))
    slices = [
        [owtrend.time_slice(archive.histogram("EMC", name, run=300000), *ends) for name in ("passed", "total")]
        for ends in (("12:00", "12:02"), ("12:00", "12:04"))
    ]
    with pytest.raises(
        DimsError, match=r"by their reports passed \(2018-06-01T12:00:00, .*12:02:00\] and total .*12:01"
    ):
        owtrend.ratio(*slices[0])
    assert owtrend.ratio(*slices[0], sent_together=True).value.values.tolist() == [0.5, 0.5]
    got = owtrend.efficiency(*slices[1])
    assert got.value.values.tolist() == [0.5, 0.5]
    assert [str(got[end].values)[11:16] for end in ("start", "stop")] == ["12:00", "12:04"]
