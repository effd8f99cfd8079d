"""Scores whose p-values hold at any occupancy, and comparisons in which each component has a scale of its own."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import owtrend
from owtrend.comparison.scores import SCORES
from owtrend.errors import UsageError
from owtrend.kernels.two_sample import chi2_moments
from tests.builders import table
from tests.studies import sizes

EXACT = ["homogeneity", "chi2_permutation", "ks_permutation", "min_p"]
OF = xr.DataArray(np.repeat([0, 1, -1], 20), dims="x")
AHEAD = np.repeat([1.3, 0.7, 1.0], 20)


def one(counts, **options):
    """A histogram of one row, no flow bins."""
    return table(np.asarray(counts)[None], flow=False, **options).isel(time=0)


def p_of(compared, name):
    return compared.p_value.sel(score_name=name).values


@pytest.mark.parametrize("shape", [(12,), (5, 6), (3, 3, 4)])
def test_p_values_are_large_for_good_histograms_and_tiny_for_bad_ones(shape):
    rng = np.random.default_rng(1)
    reference, good = rng.poisson(40, shape), rng.poisson(4, shape)
    bad = good.copy()
    bad[(1,) * len(shape)] = 90
    got = owtrend.compare(one(good), one(reference), scores=EXACT)
    assert (got.p_value > 0.01).all()
    wrong = owtrend.compare(one(bad), one(reference), scores=EXACT)
    assert (wrong.p_value[[0, 1, 3]] < 1e-12).all()
    assert wrong.p_value[2] < 1e-3
    assert (wrong.worst_x[:, 0] == 1.5).all()


def test_p_values_too_small_for_permutations_come_from_bounds():
    data, reference = np.full(30, 40), np.full(30, 40)
    data[:10] = 120
    got = owtrend.compare(one(data), one(reference), scores=["ks_permutation", "chi2_permutation", "homogeneity", "ks"])
    assert (got.p_value < 1e-9).all()
    assert p_of(got, "ks_permutation") == pytest.approx(p_of(got, "ks"), rel=1e-6)  # two terms of one series
    assert p_of(got, "chi2_permutation") == p_of(got, "homogeneity")


def test_more_permutations_resolve_smaller_p_values():
    data, reference = one([30, 20, 10, 12, 9, 4]), one([20, 22, 22, 21, 19, 20])
    few, more = (
        owtrend.compare(data, reference, scores=[f"ks_permutation({draws})"]).p_value.item() for draws in (9, 19_999)
    )
    assert more < few
    assert 1e-5 < more < 0.1


def test_homogeneity_is_chi2_in_standard_deviations():
    rng = np.random.default_rng(3)
    data, reference = rng.poisson(2, 40), rng.poisson(6, 40)
    got = owtrend.compare(one(data), one(reference), scores=["homogeneity"])
    sums = chi2_moments.pearson(data[None].astype(float), reference.astype(float))
    mean, variance, _ = chi2_moments.moments(sums)
    assert got.score.item() == pytest.approx(((sums[0, 3] - mean) / np.sqrt(variance)).item())
    assert got.p_value.item() == pytest.approx(chi2_moments.chances(sums)[0].item())


def test_weighted_negative_and_empty_histograms_have_no_p_values():
    rng = np.random.default_rng(8)
    counts, reference = rng.poisson(50, 30), rng.poisson(50, 30)
    weighted = owtrend.compare(one(2.5 * counts, sumw2=2.5**2 * counts[None]), one(reference), scores=EXACT)
    assert weighted.p_value.isnull().all()
    assert weighted.score.isnull().all()
    moved = counts.copy()
    moved[3] = -2
    assert owtrend.compare(one(moved), one(reference), scores=EXACT[:3]).p_value.isnull().all()
    assert owtrend.compare(one(0 * counts), one(reference), scores=EXACT).p_value.isnull().all()


def test_each_component_is_compared_as_if_alone():
    rng = np.random.default_rng(4)
    reference = rng.poisson(300, 60)
    rows = rng.poisson(100 * AHEAD, (3, 60))
    got = owtrend.compare(table(rows, flow=False), one(reference), component=OF, scores=["chi2_ndf"], pull="exact")
    parts = [np.flatnonzero(number == OF) for number in (-1, 0, 1)]
    alone = [owtrend.compare(table(rows[:, p], flow=False), one(reference[p]), pull="exact") for p in parts]
    np.testing.assert_array_equal(got.component, [-1, 0, 1])
    np.testing.assert_allclose(got.scale, np.stack([a.scale for a in alone], axis=-1))
    np.testing.assert_allclose(got.chi2, sum(a.chi2 for a in alone).values)
    np.testing.assert_array_equal(got.ndf, [57, 57, 57])
    for part, a in zip(parts, alone, strict=True):
        np.testing.assert_allclose(got.pull.isel(x=part), a.pull.values)
        np.testing.assert_allclose(got.expected.isel(x=part).sum("x"), rows[:, part].sum(axis=1))
    assert got.attrs["normalise"] == "integral"


@pytest.mark.parametrize("pull", ["beta_binomial", "exact", "poisson", "gauss"])
@pytest.mark.parametrize("normalise", ["integral", "robust"])
def test_a_component_that_is_ahead_is_no_difference_with_the_map(pull, normalise):
    rng = np.random.default_rng(5)
    data, reference = one(rng.poisson(2000 * AHEAD)), one(rng.poisson(9000, 60))
    names = ["chi2_ndf", "ks", *EXACT]
    plain = owtrend.compare(data, reference, scores=names, pull=pull)
    known = owtrend.compare(data, reference, scores=names, pull=pull, component=OF, normalise=normalise)
    assert (plain.p_value < 1e-6).all()
    assert (known.p_value > 0.01).all()
    np.testing.assert_allclose(known.scale, np.array([1.0, 1.3, 0.7]) * 2 / 9, rtol=0.05)
    for distance in ("emd", "js"):
        far, near = (
            owtrend.compare(data, reference, scores=[distance], component=of).score.item() for of in (None, OF)
        )
        assert near < far / 3


def test_a_hot_bin_is_found_in_a_component_and_left_out_of_the_robust_scale():
    rng = np.random.default_rng(6)
    counts = rng.poisson(100 * AHEAD)
    counts[25] = 1500
    got = owtrend.compare(one(counts), one(rng.poisson(900, 60)), component=OF, normalise="robust", scores=["min_p"])
    assert got.pull.values.argmax() == 25
    assert got.scale.sel(component=1).item() == pytest.approx(0.7 / 9, rel=0.1)
    assert got.worst_x[0, 0] == 25.5


def test_an_empty_component_scores_1_and_one_without_reference_has_scale_1():
    reference, silent, fresh = np.full(60, 50), np.full(60, 50), np.full(60, 50)
    silent[:20], fresh[:20] = 0, 0
    gone = owtrend.compare(one(silent), one(reference), component=OF, scores=["empty", "chi2_ndf"])
    assert gone.score.values.tolist() == [1, 0]
    assert gone.scale.sel(component=0) == 0
    assert gone.ndf == 38
    new = owtrend.compare(one(reference), one(fresh), component=OF, scores=["empty", "max_pull"])
    assert new.score.sel(score_name="empty") == 0
    assert new.scale.sel(component=0) == 1
    assert (new.pull[:20] > 5).all()


@pytest.mark.slow
@pytest.mark.parametrize("trials", sizes(30, 150))
def test_p_values_are_uniform_with_the_map_and_not_without_it(trials):
    rng = np.random.default_rng(7)
    plain, known = [], []
    for _ in range(trials):
        ahead = np.repeat(rng.uniform(0.93, 1.07, 3), 20)
        pair = one(rng.poisson(2000 * ahead)), one(rng.poisson(6000, 60))
        for found, of in ((plain, None), (known, OF)):
            found.append(owtrend.compare(*pair, scores=["homogeneity"], component=of).p_value.item())
    assert (np.array(plain) < 0.001).mean() > 0.5
    assert stats.kstest(known, "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"component": OF[:-1]}, r"for each of the 60 bins in range of h, got int64 of \{'x': 59\}"),
        ({"component": OF.rename(x="y")}, r"got int64 of \{'y': 60\}"),
        ({"component": OF.astype(float)}, "got float64"),
        ({"component": OF, "normalise": "entries"}, "normalise='entries' has one for all"),
        ({"component": OF, "normalise": "none"}, "leave out one of the two"),
    ],
)
def test_a_map_that_does_not_fit_is_an_error_with_a_reason(options, message):
    counts = np.full(60, 5)
    with pytest.raises(UsageError, match=message):
        owtrend.compare(one(counts), one(counts), **options)


def test_the_exact_scores_are_among_the_scores():
    assert set(EXACT) <= set(SCORES)
