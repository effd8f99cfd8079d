import pickle
import sys
from functools import cache

import numpy as np
import pytest
from sklearn.decomposition import PCA

import owtrend
from benchmarks.studies.learned_shapes import BINS, histogram, varied
from owtrend.errors import BinningChangedError, DimsError, NotFoundError, OwtrendError, UsageError
from owtrend.kernels.shapes.anscombe import mean_shares, pulls
from owtrend.learned.shape_models import MODELS, Autoencoder, Mean, Nmf, Pca, ShapeModel
from tests.builders import archive_of, snapshots
from tests.studies import sizes

FLEXIBLE = ["pca", *(pytest.param(name, marks=pytest.mark.slow) for name in ("nmf", "autoencoder"))]


@cache
def learned(name):
    return owtrend.learn_shape(varied(1, 8), name)


def fraction_below(scored, limit=0.01):
    return float((scored.p_value < limit).mean())


@pytest.mark.slow
@pytest.mark.parametrize("name", FLEXIBLE)
def test_a_shape_with_a_known_variation_is_no_outlier_though_plain_chi2_says_so(name):
    new = varied(2, 20)
    total = owtrend.increments(varied(1, 8))["contents"].sum("snapshot")
    reference = varied(1, 8).isel(snapshot=0).copy()
    reference["contents"] = total
    plain = owtrend.compare(owtrend.increments(new), reference, scores=["chi2_ndf"])
    assert fraction_below(plain) > 0.9
    assert fraction_below(learned(name).score(new)) <= 0.02


@pytest.mark.parametrize("name", FLEXIBLE)
def test_a_hot_channel_is_found_and_located(name):
    scored = learned(name).score(varied(3, 4, "hot channel", 0.01))
    assert fraction_below(scored) > 0.9
    assert all(f"amplitude {BINS // 3} to {BINS // 3 + 1}: " in text for text in scored.why.values if text)
    assert (scored.pull.argmax("x") == BINS // 3).mean() > 0.9


@pytest.mark.parametrize("name", FLEXIBLE)
def test_a_dead_region_is_found_as_one_region(name):
    scored = learned(name).score(varied(4, 4, "dead region", 0.05))
    assert fraction_below(scored) == 1
    low = 2 * BINS // 5
    assert all(f"amplitude {low} to {low + 5}: 0 counts where " in text for text in scored.why.values)


@pytest.mark.parametrize("name", FLEXIBLE)
def test_a_known_variation_that_goes_too_far_is_found(name):
    scored = learned(name).score(varied(5, 4, "mix out of range", 0.95))
    assert fraction_below(scored) > 0.9
    assert scored.statistic_p_value.sel(statistic_name="distance").max() < 0.01


@pytest.mark.parametrize("name", FLEXIBLE)
def test_half_of_all_counts_in_one_bin_do_not_change_the_expectation_of_the_others(name):
    clean, hot = (learned(name).score(varied(6, 2, "hot channel", size)) for size in (1e-9, 1.0))
    others = np.arange(BINS) != BINS // 3
    off = hot.pull.values[:, others]
    assert np.abs(off).max() < 6
    total = clean.expected.values[:, others].sum() / hot.expected.values[:, others].sum()
    assert total == pytest.approx(1, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("models", sizes(2, 6))
def test_p_values_of_good_reports_are_calibrated(models):
    below = []
    for seed in range(models):
        model = owtrend.learn_shape(varied(10 + seed, 6), "pca")
        below.append(model.score(varied(30 + seed, 10)).p_value.values)
    p = np.concatenate(below)
    assert (p < 0.1).mean() < 0.13
    assert (p < 0.01).mean() < 0.02


def test_the_p_value_lies_in_its_interval():
    scored = learned("pca").score(varied(7, 4, "hot channel", 0.003))
    small = scored.p_value < 0.05
    assert small.any()
    assert ((scored.p_low <= scored.p_value) & (scored.p_value <= scored.p_high)).values[small].all()


@pytest.mark.parametrize("name", ["mean", *FLEXIBLE])
def test_a_model_can_be_pickled_and_keeps_its_training_data(name):
    model = learned(name)
    again = pickle.loads(pickle.dumps(model))
    assert repr(again).startswith("<owtrend.Learned: ")
    new = varied(8, 1)
    np.testing.assert_array_equal(again.score(new).p_value, model.score(new).p_value)
    assert again.runs == tuple(range(8))
    assert again.reports == 80
    assert again.variations >= 1


def test_components_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    base, other = rng.dirichlet(np.full(30, 3.0), 2)
    mix = rng.uniform(0, 0.3, (50, 1))
    counts = rng.poisson(1e5 * (base + mix * (other - base))).astype(float)
    model = Pca()
    model.fit(counts, 1)
    left = pulls(counts, counts.sum(axis=1, keepdims=True) * mean_shares(counts))
    expected = PCA(1).fit(left).components_[0] * np.sqrt(model.level + 3 / 8)
    component = model.shapes[1]
    assert abs(component @ expected) / np.linalg.norm(component) / np.linalg.norm(expected) > 0.999


def test_without_variations_every_model_is_the_mean():
    rng = np.random.default_rng(1)
    counts = rng.poisson(np.linspace(5, 50, 20), (30, 20)).astype(float)
    expected = []
    for model_class in (Mean, Pca, Nmf, Autoencoder):
        model = model_class()
        model.fit(counts, 0)
        expected.append(model.expected(counts, np.ones(counts.shape, dtype=bool)))
    for other in expected[1:]:
        np.testing.assert_allclose(other, expected[0])


@pytest.mark.study
def test_a_bottleneck_needs_fewer_numbers_than_components():
    model = owtrend.learn_shape(varied(1, 8), "autoencoder", variations=4)
    assert model.model.parameters == 3
    assert owtrend.learn_shape(varied(1, 8), "pca", variations=4).model.parameters == 5


class Flat:
    """A user's own model: the same content in every bin."""

    parameters = 1

    def fit(self, counts, variations):
        self.bins = counts.shape[1]

    def expected(self, counts, trusted):
        level = (counts * trusted).sum(axis=1) / trusted.sum(axis=1)
        return np.repeat(level[:, None], self.bins, axis=1)


@pytest.mark.slow
def test_a_users_own_model_can_be_passed_or_registered():
    rng = np.random.default_rng(2)
    good = histogram(rng.poisson(100, (60, 20)), np.repeat(np.arange(6), 10))
    hot = rng.poisson(100, (10, 20))
    hot[:, 4] += 200
    new = histogram(hot, np.zeros(10))
    passed = owtrend.learn_shape(good, Flat)
    assert passed.model_name == "Flat"
    assert fraction_below(passed.score(new)) == 1
    try:
        assert owtrend.shape_model("flat")(Flat) is Flat
        np.testing.assert_array_equal(owtrend.learn_shape(good, "flat").score(new).p_value, passed.score(new).p_value)
        with pytest.raises(UsageError, match="there is a shape model 'flat' already"):
            owtrend.shape_model("flat")(Mean)
    finally:
        MODELS.pop("flat", None)
    model: ShapeModel = Flat()
    assert model.parameters == 1


@pytest.mark.slow
def test_weighted_contents_are_scored_as_effective_counts():
    rng = np.random.default_rng(3)
    gained, runs = rng.poisson(80, (60, 25)), np.repeat(np.arange(6), 10)
    plain, heavy = histogram(gained, runs), histogram(gained, runs)
    heavy = heavy.assign(contents=heavy.contents * 5.0, sumw2=heavy.contents * 25.0)
    one, other = (owtrend.learn_shape(taken).score(taken) for taken in (plain, heavy))
    np.testing.assert_allclose(other.pull, one.pull, atol=1e-9)
    np.testing.assert_allclose(other.expected, 5 * one.expected)


def test_a_single_run_is_held_out_in_five_pieces():
    rng = np.random.default_rng(4)
    model = owtrend.learn_shape(histogram(rng.poisson(80, (40, 25)), np.zeros(40, dtype=int)))
    assert model.runs == (0,)
    assert np.isfinite(model.held_out[:, :2]).all()


def test_a_bad_report_among_the_good_ones_is_left_out_and_listed():
    rng = np.random.default_rng(5)
    gained = rng.poisson(80, (40, 25))
    gained[13, 3] += 3000
    taken = histogram(gained, np.repeat(np.arange(4), 10))
    assert owtrend.learn_shape(taken).left_out == (taken.time.values[13],)


@pytest.mark.parametrize(
    ("change", "model", "error", "message"),
    [
        (lambda h: h, "gan", NotFoundError, "no shape model 'gan'; there are mean, pca"),
        (lambda h: h.isel(snapshot=slice(0, 5)), "pca", UsageError, "5 good reports"),
        (lambda h: h.assign_attrs(gauge=True), "pca", DimsError, "a gauge has no counts"),
        (lambda h: h.rename(contents="sumwy"), "pca", DimsError, "a profile has no counts"),
        (lambda h: h.isel(snapshot=0), "pca", DimsError, "no dim time or snapshot"),
        (lambda h: (h * 0).assign_attrs(h.attrs), "pca", NotFoundError, "no report has any counts"),
    ],
)
def test_data_that_cannot_be_learned_from_is_an_error(change, model, error, message):
    taken = change(varied(1, 2))
    with pytest.raises(error, match=message):
        owtrend.learn_shape(taken, model)


def test_different_bins_are_an_error():
    with pytest.raises(BinningChangedError, match="its bins differ from those that the model was trained on"):
        learned("pca").score(varied(1, 1).isel(x=slice(0, 50)))


def test_the_error_without_scikit_learn_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.decomposition", None)
    with pytest.raises(OwtrendError, match=r'pip install "owtrend\[learn\]"'):
        owtrend.learn_shape(varied(1, 4), "nmf")
    assert owtrend.learn_shape(varied(1, 4), "pca").variations >= 1


def test_an_archive_learns_from_runs_and_keeps_runs_and_version():
    rng, rows = np.random.default_rng(6), []
    shape = np.array([0, 200, 500, 300, 100, 0])
    for run in range(4):
        gained = rng.poisson(shape, (13, 6))
        gained[:, [0, -1]] = 0
        if run == 3:
            gained[8:, 4] += 300
        rows += snapshots({"h": gained.cumsum(axis=0)}, 300000 + run)
    archive = archive_of(*rows)
    model = archive.learn("EMC", "h", runs=[300000, 300001, 300002])
    assert model.runs == (300000, 300001, 300002)
    assert model.version == archive.version
    scored = model.score(archive.histogram("EMC", "h", run=300003))
    assert scored.pull.dims == ("time", "x")
    assert (scored.p_value.values[8:] < 0.01).all()
    assert (scored.p_value.values[:8] > 0.01).all()
    assert "position [cm] 3 to 4" in scored.why.values[-1]
    flow = model.score(archive.histogram("EMC", "h", run=300003, flow=True))
    np.testing.assert_array_equal(flow.p_value, scored.p_value)
