"""Comparisons: every pair that ROOT compared, faults that must be found, and good data without findings."""

import json
from functools import cache
from itertools import chain

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given
from hypothesis import strategies as st

import owtrend
from ingest import SnapshotReader
from owtrend.comparison.normalise import NORMALISE
from owtrend.comparison.pulls import PULLS
from owtrend.comparison.scores import DEFAULT, SCORES
from owtrend.errors import BinningChangedError, DimsError, NotFoundError, UsageError
from owtrend.kernels.two_sample import statistics as kernels
from tests.builders import archive_of, snapshots, table, write
from tests.studies import sizes

BRACKETS = {"outside": "(0, 90)", "x_outside": "(0, 3)", "y_outside": "(0, 3)"}
ALL = [name + BRACKETS.get(name, "") for name in SCORES]


def one(counts, **options):
    """A histogram of one row, no flow bins."""
    return table(np.asarray(counts)[None], flow=False, **options).isel(time=0)


def score_of(compared, name, what="score"):
    return compared[what].sel(score_name=name).values


@pytest.mark.parametrize("step", sizes(40, 1))
def test_comparisons_agree_with_root(shared, step):
    """chi2, ndf, p, warnings, Kolmogorov's distance and p, the last also with flow bins, of 353 pairs, or every 40th.

    One pair has different edges: there ROOT returns 0 for Kolmogorov's test, and `compare` refuses it.
    """

    @cache
    def read(name):
        return SnapshotReader(max_cells=2**22).read(shared / name)

    wrong, refused, compared, rebinned = [], [], 0, 0
    for pair in json.loads((shared / "oracle.json").read_text())["pairs"][::step]:
        a, b = (read(pair["file"])["/".join([pair[which][0], *(name for _, name in pair[which][1])])] for which in "ab")
        kind = ("UU", "UW", "WW").index(pair["chi2_option"])
        flat = [np.asarray(part, dtype=float).ravel() for h in (a, b) for part in (h.values(), h.variances())]
        chi2, ndf, weak = kernels.chi2(flat[0][None], flat[1][None], *flat[2:], kind)
        numbers = [("chi2", chi2[0], 1e-9, 1e-12), ("ndf", ndf[0], 0, 0), ("igood", weak[0], 0, 0),
                ("chi2_p", kernels.chi2_probability(chi2, ndf)[0], 1e-6, 1e-300)]  # fmt: skip
        for flow, name in ((False, "ks_p"), (True, "ks_p_with_flow")):
            data, variance, reference, reference_variance = (
                np.asarray(part, dtype=float).ravel() for h in (a, b) for part in (h.values(flow), h.variances(flow))
            )
            distance = kernels.kolmogorov(data[None], reference, a.values(flow).shape)
            n, m = data.sum() ** 2 / variance.sum(), reference.sum() ** 2 / reference_variance.sum()
            if not flow and "ks_max_distance" in pair:
                numbers.append(("ks_max_distance", distance[0], 1e-9, 1e-13))
            numbers.append((name, kernels.kolmogorov_probability(distance, np.array([n]), m)[0], 1e-6, 1e-40))
        where = f"{pair['file']} {a.name} {b.name}"
        try:
            both = [owtrend.to_xarray(one, flow=True) for one in (a, b)]
            labelled = owtrend.compare(*both, chi2=pair["chi2_option"], scores=["chi2_ndf", "ks"])
        except BinningChangedError:
            rebinned += 1
        else:
            numbers += [("chi2", labelled.chi2.item(), 1e-9, 1e-12), ("ndf", labelled.ndf.item(), 0, 0),
                     ("chi2_p", score_of(labelled, "chi2_ndf", "p_value"), 1e-6, 1e-300),
                     ("ks_p", score_of(labelled, "ks", "p_value"), 1e-6, 1e-40)]  # fmt: skip
        for name, ours, relative, absolute in numbers:
            compared += 1
            if not abs(ours - pair[name]) <= max(relative * abs(pair[name]), absolute):
                same = np.array_equal(a.axes[0].edges, b.axes[0].edges)
                (wrong if same else refused).append(f"{where} {name}: {ours} here, {pair[name]} in ROOT")
    assert compared > 3000 / step
    assert not wrong, "\n".join(wrong)
    assert (
        step > 1 or [line.split(" ", 3)[:3] for line in refused] == [["go-hep/gauss-h1.root", "h1d-var", "h1f-var"]] * 2
    )
    assert rebinned == 1 or (step > 1 and not rebinned)


MAP = np.random.default_rng(1).poisson(30, (8, 7))


@pytest.mark.parametrize("pull", PULLS)
@pytest.mark.parametrize("normalise", ["integral", "entries", "robust", "none"])
def test_a_histogram_against_itself_has_no_pulls_and_no_distance(pull, normalise):
    got = owtrend.compare(one(MAP), one(MAP), pull=pull, normalise=normalise, scores=ALL)
    np.testing.assert_allclose(got.pull, 0, atol=1e-6)
    for name in ("chi2_ndf", "ks", "emd", "js", "max_pull", "mean_pull2", "bad_bins", "deviation", "empty"):
        assert score_of(got, name) == pytest.approx(0, abs=1e-6), name
    for name in ("chi2_ndf", "ks", "bad_bins", "empty"):
        assert score_of(got, name, "p_value") == 1, name
    assert got.scale == 1
    np.testing.assert_array_equal(got.expected, MAP)


@pytest.mark.slow
@given(factor=st.integers(2, 50), seed=st.integers(0, 99))
def test_the_scale_of_a_reference_does_not_matter_for_the_shape(factor, seed):
    rng = np.random.default_rng(seed)
    data, reference = one(rng.poisson(5, 20)), rng.poisson(9, 20)
    assume(data.contents.sum() > 0)
    got = [owtrend.compare(data, one(reference * k), scores=["ks", "emd", "js"], pull="gauss") for k in (1, factor)]
    np.testing.assert_allclose(got[0].score, got[1].score, atol=1e-12)
    np.testing.assert_allclose(got[0].expected, got[1].expected)
    assert got[0].scale.item() == pytest.approx(got[1].scale.item() * factor)


@pytest.mark.parametrize("pull", PULLS)
@pytest.mark.parametrize("normalise", ["integral", "robust", "entries", "none"])
def test_a_hot_channel_that_is_empty_in_the_reference_is_found(pull, normalise):
    reference, hot = np.full(50, 40), np.full(50, 40)
    reference[17], hot[17] = 0, 60
    got = owtrend.compare(one(hot), one(reference), pull=pull, normalise=normalise, scores=["max_pull", "bad_bins"])
    assert got.pull.values.argmax() == 17
    assert got.pull[17] > 5
    assert score_of(got, "max_pull", "p_value") < 1e-5
    assert score_of(got, "bad_bins") == 1
    assert got.worst_x.values[:, 0].tolist() == [17.5, 17.5]
    np.testing.assert_allclose(got.contribution.values[:, 0], got.pull[17])
    assert np.isnan(got.contribution.sel(score_name="bad_bins").values[1:]).all()


@pytest.mark.parametrize("pull", PULLS)
@pytest.mark.parametrize("normalise", ["integral", "robust", "entries", "none"])
def test_new_content_against_an_empty_reference_is_found(pull, normalise):
    got = owtrend.compare(one([0, 0, 80, 0]), one([0, 0, 0, 0]), pull=pull, normalise=normalise, scores=ALL)
    assert got.pull[2] > 5
    assert got.empty == 2
    assert got.scale == 1
    assert score_of(got, "max_pull", "p_value") < 1e-5
    assert np.isnan(score_of(got, "chi2_ndf"))


def test_an_empty_slice_has_a_p_value_where_the_scale_is_known():
    nothing, reference = one([0, 0, 0]), one([40, 30, 30])
    got = owtrend.compare(nothing, reference, scores=["empty", "chi2_ndf"])
    assert (got.empty.item(), score_of(got, "empty")) == (1, 1)
    assert np.isnan(score_of(got, "empty", "p_value"))
    assert (got.pull == 0).all()
    known = owtrend.compare(nothing, reference, normalise="events", events=(1, 20), scores=["empty"])
    assert score_of(known, "empty", "p_value") == pytest.approx((1 + 1 / 20) ** -100)
    assert known.worst_x.sel(score_name="empty").values[0] == 0.5
    both = owtrend.compare(nothing, nothing, scores=["empty"])
    assert (both.empty.item(), score_of(both, "empty")) == (3, 0)


def test_rows_are_compared_one_by_one():
    rng = np.random.default_rng(5)
    rows, reference = table(rng.poisson(8, (4, 5, 6)), flow=False), one(rng.poisson(80, (5, 6)))
    for normalise in ("integral", "robust", "entries", "none"):
        got = owtrend.compare(rows, reference, scores=ALL[:9], normalise=normalise)
        assert got.pull.dims == ("time", "x", "y")
        assert got.score.dims == ("time", "score_name")
        alone = [owtrend.compare(rows.isel(time=t), reference, scores=ALL[:9], normalise=normalise) for t in range(4)]
        xr.testing.assert_allclose(got, xr.concat(alone, "time", data_vars="all"))
    chunked = owtrend.compare(rows.chunk({"time": 1}), reference, scores=ALL[:9], normalise="none")
    xr.testing.assert_identical(chunked, got)


def test_flow_bins_do_not_count():
    inner, flow = one([3, 4, 5]), table([[900, 3, 4, 5, 7]]).isel(time=0)
    got = owtrend.compare(flow, flow)
    np.testing.assert_array_equal(got.x, inner.x)
    assert owtrend.compare(flow, table([[0, 3, 4, 5, 0]]).isel(time=0)).scale == 1


def test_normalised_by_hand():
    data, reference = one([10, 20, 30]), one([10, 10, 20])
    options = {"events": {"events": (3, 10)}, "range": {"within": {"x": (0, 2)}}}
    scales = {name: owtrend.compare(data, reference, normalise=name, **options.get(name, {})).scale.item()
              for name in NORMALISE}  # fmt: skip
    assert scales == {"integral": 1.5, "entries": 1.5, "events": 0.3, "range": 1.5, "none": 1.0, "robust": 1.5}
    got = owtrend.compare(data, reference, normalise="range", within={"x": (1, 2)})
    assert got.scale == 2
    np.testing.assert_allclose(got.expected, [20, 20, 40])


def test_a_hot_strip_spoils_the_integral_but_not_the_robust_scale():
    rng = np.random.default_rng(2)
    reference, hot = rng.poisson(4000, (20, 10)), rng.poisson(40, (20, 10))
    hot[:, 3] *= 9
    by_integral, robust = (owtrend.compare(one(hot), one(reference), normalise=n) for n in ("integral", "robust"))
    assert by_integral.scale > 0.017
    assert robust.scale.item() == pytest.approx(0.01, rel=0.03)
    good = np.delete(np.arange(10), 3)
    assert (np.abs(robust.pull.isel(y=good)) < 4).all()
    assert (robust.pull.isel(y=3) > 10).all()


def test_scores_by_hand():
    data, reference = one([[0, 8], [4, 4]]), one([[4, 4], [4, 4]])
    names = ["ks", "emd", "js", "deviation", "outside(1, 5)", "x_outside(1, 9)", "y_outside(0, 1)", "chi2_ndf"]
    got = owtrend.compare(data, reference, scores=names, pull="gauss")
    assert score_of(got, "ks") == pytest.approx((0.25 + 0.25) / 2)
    assert score_of(got, "emd") == pytest.approx(0.25 / 2)
    assert score_of(got, "deviation") == 0.5
    assert score_of(got, "outside(1, 5)") == 2
    assert score_of(got, "x_outside(1, 9)") == 0.5
    assert score_of(got, "y_outside(0, 1)") == 0.75
    assert score_of(got, "chi2_ndf") == pytest.approx((4 + 16 / 12) / 3)
    assert got.ndf == 3
    assert got.worst_y.sel(score_name="outside(1, 5)").values[0] == 1.5


def test_dead_noisy_and_strip_scores_do_not_use_the_reference():
    towers = np.random.default_rng(4).poisson(40, (12, 10))
    towers[5, 5], towers[2, 7] = 0, 400
    names = ["dead", "noisy", "strip_median", "noisy(5, 2)"]
    got = owtrend.compare(one(towers), one(np.ones((12, 10), int)), scores=names)
    assert got.score.values.tolist() == [1, 1, 2, 1]
    assert got.worst_x.values[:, 0].tolist() == [5.5, 2.5, 2.5, 2.5]
    assert got.worst_y.values[:, 0].tolist() == [5.5, 7.5, 7.5, 7.5]
    sparse = one(np.random.default_rng(4).poisson(0.3, (12, 10)))
    assert owtrend.compare(sparse, sparse, scores=names).score.values.tolist() == [0, 0, 0, 0]


def test_rows_without_a_fill_are_counted():
    rows = table([[1, 2], [0, 0], [0, 0], [3, 0], [0, 0]], flow=False)
    got = owtrend.compare(rows, one([1, 1]), scores=["stalled"])
    assert got.score.values[:, 0].tolist() == [0, 1, 2, 0, 1]


def test_weighted_contents_are_compared_by_their_errors():
    rng = np.random.default_rng(8)
    n, m = rng.poisson(50, 30), rng.poisson(400, 30)
    data, reference = one(2.5 * n, sumw2=2.5**2 * n[None]), one(0.5 * m, sumw2=0.25 * m[None])
    got = owtrend.compare(data, reference)
    assert (got.attrs["chi2"], got.attrs["pull"]) == ("WW", "gauss")
    assert owtrend.compare(one(n), reference).attrs["chi2"] == "UW"
    assert got.pull.std().item() == pytest.approx(1, abs=0.35)
    assert score_of(got, "chi2_ndf", "p_value") > 0.001
    with pytest.raises(UsageError, match="is for counts; h has weights"):
        owtrend.compare(data, reference, pull="exact")


def test_profiles_are_compared_by_their_means(rooted):
    rows = rooted.histogram("EMC", "profile", run=300000)
    late, early = rows.isel(time=-1), rows.isel(time=0)
    got = owtrend.compare(late, early)
    assert got.attrs["chi2"] == "values"
    assert got.attrs["normalise"] == "none"
    a, b = owtrend.values(late), owtrend.values(early)
    np.testing.assert_allclose(got.pull, (a.value - b.value) / np.sqrt(a.variance + b.variance))
    assert got.chi2.item() == pytest.approx(np.nansum(got.pull**2))
    assert np.isnan(score_of(got, "ks"))
    assert (owtrend.compare(late, late).pull.fillna(0) == 0).all()


def test_efficiencies_are_compared_by_the_facing_ends_of_their_intervals():
    good = owtrend.efficiency(one([90, 50, 0]), one([100, 100, 100]))
    bad = owtrend.efficiency(one([40, 52, 30]), one([100, 100, 100]))
    got = owtrend.compare(bad, good)
    low, high = good.value - good.lower, bad.upper - bad.value
    assert got.pull[0].item() == pytest.approx(-0.5 / np.hypot(low[0], high[0]).item())
    assert got.pull[2] > 4  # though its error is 0 in the reference
    assert abs(got.pull[1]) < 1
    assert got.ndf == 3


def test_a_dead_region_and_a_hot_strip_are_two_patches():
    rng = np.random.default_rng(9)
    reference, data = rng.poisson(500, (48, 24)), rng.poisson(5, (48, 24))
    data[10:16, 4:9] = 0
    data[30, :] += 40
    got = owtrend.patches(one(data), one(reference))
    strip, patch = got.iloc[0], got.iloc[1]
    assert (strip.kind, strip.x_low, strip.x_high, strip.y_low, strip.y_high) == ("connected", 30, 31, 0, 24)
    assert strip.pull > 20
    assert patch.pull < -8
    assert (patch.x_low, patch.x_high) == pytest.approx((10, 16), abs=1)
    assert (patch.y_low, patch.y_high) == pytest.approx((4, 9), abs=1)
    assert patch.value == pytest.approx(0, abs=10)
    assert len(got) == 2
    assert (got.p_value < 1e-8).all()
    assert data[tuple(strip.cells.T)].sum() == strip.value


def test_a_weak_loss_over_many_bins_is_found_though_no_single_bin_is_bad():
    rng = np.random.default_rng(10)
    reference, data = rng.poisson(900, (40, 32)), rng.poisson(9, (40, 32))
    data[8:24, 8:16] = rng.poisson(6, (16, 8))
    compared = owtrend.compare(one(data), one(reference), scores=["bad_bins"])
    assert score_of(compared, "bad_bins") == 0
    data[12, 12] = 90  # must not hide the loss
    hot, weak = owtrend.patches(one(data), one(reference)).iloc[:2].itertuples()
    assert (hot.kind, hot.bins, hot.x_low, hot.y_low, hot.value) == ("connected", 1, 12, 12, 90)
    assert (weak.kind, weak.bins) == ("block", 16 * 8 - 1)
    assert (weak.x_low, weak.x_high, weak.y_low, weak.y_high) == (8, 24, 8, 16)
    assert weak.pull < -6


@pytest.mark.slow
@pytest.mark.parametrize("trials", sizes(15, 60))
def test_p_values_of_patches_in_good_maps_are_calibrated(trials):
    rng = np.random.default_rng(11)
    reference = one(rng.poisson(300, (16, 12)))
    found = [len(owtrend.patches(one(rng.poisson(3, (16, 12))), reference, significance=0.05))
             for _ in range(trials)]  # fmt: skip
    assert np.count_nonzero(found) <= trials * 0.05 + (4 if trials == 60 else 2)


def test_regions_of_a_line_a_cube_and_a_profile(rooted):
    line, cube = np.full(40, 30), np.full((6, 5, 7), 30)
    dark, dim = line.copy(), cube.copy()
    dark[12:17], dim[1:4, 2:4, 3:6] = 0, 2
    assert owtrend.patches(one(dark), one(line)).iloc[0][["x_low", "x_high"]].tolist() == [12, 17]
    got = owtrend.patches(one(dim), one(cube)).iloc[0]
    assert [got[f"{axis}_{end}"] for axis in "xyz" for end in ("low", "high")] == [1, 4, 2, 4, 3, 6]
    assert got.bins == 18
    profile = rooted.histogram("EMC", "profile", run=300000).isel(time=0)
    assert len(owtrend.patches(profile, profile)) == 0


def test_p_values_of_good_data_are_calibrated_or_larger():
    rng = np.random.default_rng(12)
    truth = rng.uniform(20, 60, 40)
    rows, reference = table(rng.poisson(truth, (400, 40)), flow=False), one(rng.poisson(20 * truth))
    got = owtrend.compare(rows, reference, scores=["chi2_ndf", "max_pull", "ks"], pull="exact")
    for name in ("chi2_ndf", "max_pull", "ks"):
        fraction = (score_of(got, name, "p_value") < 0.1).mean()
        assert fraction < 0.16, name
    assert (score_of(got, "chi2_ndf", "p_value") < 0.1).mean() > 0.05
    assert (score_of(got, "max_pull", "p_value") < 0.1).mean() > 0.05


def test_every_score_has_a_docstring_and_every_default_exists():
    assert set(DEFAULT) <= set(SCORES)
    for name, function in SCORES.items():
        assert function.__name__ == name
        assert function.__doc__


HISTOGRAM = one([1, 2, 3])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda h: owtrend.compare(h, h, normalise="max"), UsageError, "normalise='max': expected one of integral"),
        (lambda h: owtrend.compare(h, h, pull="sigma"), UsageError, "pull='sigma': expected one of beta_binomial"),
        (lambda h: owtrend.compare(h, h, normalise="events"), UsageError, "needs events="),
        (lambda h: owtrend.compare(h, h, within={"x": (0, 1)}), UsageError, "and the reverse"),
        (lambda h: owtrend.compare(h, h, normalise="range", within={"y": (0, 1)}), UsageError, "no axis 'y'"),
        (lambda h: owtrend.compare(h, h, normalise="range", within={"x": (8, 9)}), UsageError, "no bin of x is in .8"),
        (lambda h: owtrend.compare(h, h, normalise="events", events=([1, 2], 3)), UsageError, "one for each of its 1"),
        (lambda h: owtrend.compare(h, h, scores=["chi"]), NotFoundError, "no score 'chi'; there are chi2_ndf"),
        (lambda h: owtrend.compare(h, h, scores=["ks(3)"]), UsageError, r"'ks\(3\)': expected nothing in the brackets"),
        (lambda h: owtrend.compare(h, h, scores=["outside(3)"]), UsageError, "expected low, high in the brackets"),
        (lambda h: owtrend.compare(h, h, scores=["bad_bins(x)"]), UsageError, "expected limit in the brackets"),
        (lambda h: owtrend.compare(h, one([1, 2])), BinningChangedError, "bins of x differ"),
        (lambda h: owtrend.compare(h, table([[1, 2, 3]] * 2, flow=False)), DimsError, "a reference has one row"),
        (lambda h: owtrend.compare(h.contents, h), DimsError, "expected a histogram"),
        (lambda h: owtrend.patches(table([[1, 2, 3]] * 2, flow=False), h), DimsError, "still has rows"),
    ],
)
def test_histograms_that_cannot_be_compared_are_an_error_with_a_reason(call, error, message):
    with pytest.raises(error, match=message):
        call(HISTOGRAM)


@pytest.mark.parametrize("pull", PULLS)
def test_a_bin_with_a_negative_content_has_a_pull(pull):
    got = owtrend.compare(one([30, -4, 30]), one([30, 30, 30]), pull=pull, normalise="none")
    assert got.pull[1] < -4
    assert np.isfinite(got.pull).all()
    assert np.isnan(score_of(got, "js"))


@pytest.mark.slow
def test_a_reference_can_be_a_file_a_time_slice_or_slices_of_several_runs(tmp_path):
    rng = np.random.default_rng(8)
    rows = {run: rng.poisson(50, (6, 12)).cumsum(axis=0) for run in (300000, 300001, 300002)}
    runs = {run: snapshots({"h": counts}, run) for run, counts in rows.items()}
    archive = archive_of(*chain(*runs.values()))
    late, early = (owtrend.time_slice(archive.histogram("EMC", "h", run=run)) for run in (300002, 300000))
    expected = owtrend.compare(late, early)
    file = write(tmp_path / "last.root", *runs[300000][-1].values())
    for reference in (SnapshotReader().read(file), archive.time_slice("EMC", 300000), archive.reference("EMC", 300000)):
        xr.testing.assert_equal(owtrend.compare(late, reference), expected)
    both = owtrend.compare(late, archive.reference("EMC", [300000, 300001]), normalise="none")
    totals = rows[300000][-1] + rows[300001][-1]
    np.testing.assert_array_equal(both.expected, totals[1:-1])
    assert owtrend.patches(late, archive.reference("EMC", 300000)).equals(owtrend.patches(late, early))
