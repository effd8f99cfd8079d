import sys

import numpy as np
import pytest
import xarray as xr

from owtrend.errors import DimsError, OwtrendError, UsageError
from owtrend.learned.isolation_forest import unusual
from tests.builders import archive_of, snapshots
from tests.studies import sizes

HISTOGRAMS, REDUCTORS = 12, ["entries", "mean_x", "std_x"]


def trends(seed, runs, rows=40, change=None):
    """Trends of twelve histograms that report each minute in runs with a decaying beam: values and their errors."""
    rng = np.random.default_rng(seed)
    size = runs * rows
    beam = np.exp(-np.tile(np.arange(rows), runs) / 30)[:, None] * rng.uniform(0.5, 1.5, (runs, 1)).repeat(rows, axis=0)
    counts = beam * np.linspace(1e4, 1e5, HISTOGRAMS)
    entries = rng.poisson(counts).astype(float)
    means, widths = (rng.normal(5, 1 / np.sqrt(counts)) for _ in range(2))
    value = np.stack([entries, means, widths], axis=-1)
    error = np.stack([np.sqrt(entries), 1 / np.sqrt(counts), 1 / np.sqrt(counts)], axis=-1)
    if change:
        change(value)
    number = np.arange(size)
    times = np.datetime64("2018-06-01", "ns") + (number + 60 * (number // rows)) * np.timedelta64(60, "s")
    dims = ("snapshot", "histogram", "reductor")
    return xr.Dataset(
        {"value": (dims, value), "error": (dims, error)},
        coords={"run": ("snapshot", number // rows), "time": ("snapshot", times),
                "histogram": [f"h{n}" for n in range(HISTOGRAMS)], "reductor": REDUCTORS,
                "reported": (dims[:2], np.ones((size, HISTOGRAMS), dtype=bool))},
    )  # fmt: skip


@pytest.fixture(scope="module")
def good():
    return trends(1, 12)


def judge(good, change=None, seed=2, **options):
    return unusual(good, trends(seed, 1, change=change), "5min", **options)


@pytest.mark.slow
@pytest.mark.parametrize("runs", sizes(2, 10))
def test_p_values_of_good_intervals_are_calibrated(good, runs):
    p = np.concatenate([judge(good, seed=seed).p_value.values for seed in range(20, 20 + runs)])
    assert len(p) == 8 * runs
    assert (p < 0.01).mean() <= 0.025
    assert (p < 0.2).mean() < 0.4


@pytest.mark.slow
def test_a_beam_that_decays_raises_nothing_nor_does_a_higher_rate(good):
    def double(value):
        value[20:, :, 0] *= 2

    assert (judge(good, double).p_value > 0.01).all()


@pytest.mark.slow
def test_one_trend_that_is_off_is_found_and_named(good):
    def shifted(value):
        value[20:, 7, 1] += 0.5

    judged = judge(good, shifted)
    assert (judged.p_value[4:] < 0.01).all()
    assert (judged.p_value[:4] > 0.01).all()
    assert all(text.startswith("mean_x of h7 +30.0 sigma") for text in judged.why.values[4:])
    assert judged.why.values[0] == ""
    largest = judged.contribution.isel(time=-1).argmax(...)
    assert largest["histogram"] == 7
    assert REDUCTORS[int(largest["reductor"])] == "mean_x"


@pytest.mark.slow
def test_a_hot_channel_in_one_histogram_is_no_loss_in_all_others(good):
    def hot(value):
        value[20:, 3, 0] *= 1.5

    judged = judge(good, hot)
    assert (judged.p_value[4:] < 0.01).all()
    late = judged.pull.isel(time=-1).sel(reductor="entries").values
    assert late[3] > 5
    assert np.abs(np.delete(late, 3)).max() < 5


@pytest.mark.slow
def test_missing_values_do_not_matter(good):
    def missing(value):
        value[:, 5, 2] = np.nan
        value[10:20] = np.nan

    judged = judge(good, missing)
    assert np.isnan(judged.pull.sel(histogram="h5", reductor="std_x")).all()
    empty = np.isnan(judged.pull).all(("histogram", "reductor"))
    assert np.isnan(judged.p_value.values[empty.values]).all()
    assert (judged.p_value.values[~empty.values] > 0.01).all()
    assert empty.sum() == 2


@pytest.mark.slow
def test_a_trend_rarely_present_in_good_runs_is_left_out(good):
    sparse = good.copy(deep=True)
    sparse["value"][:300, 4, 1] = np.nan
    assert np.isnan(judge(sparse).pull.sel(histogram="h4", reductor="mean_x")).all()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_answer(good):
    xr.testing.assert_identical(judge(good, seed=3), judge(good, seed=3))


def test_trends_that_cannot_be_judged_are_an_error(good):
    with pytest.raises(UsageError, match="at least 10 of two runs are needed"):
        judge(good.isel(snapshot=good.run == 0))
    with pytest.raises(DimsError, match="of the same histograms and reductors"):
        judge(good.isel(histogram=slice(0, 5)))
    with pytest.raises(DimsError, match=r"expected trends from archive\.trends"):
        judge(good.isel(histogram=0))


def test_the_error_without_scikit_learn_says_how_to_install_it(good, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(OwtrendError, match=r'pip install "owtrend\[learn\]"'):
        judge(good)


@pytest.mark.slow
def test_an_archive_finds_the_intervals_of_a_run_that_are_unlike_good_runs():
    rng, rows = np.random.default_rng(4), []
    shape = np.array([0, 200, 500, 300, 100, 0])
    for run in range(6):
        histograms = {}
        for name in ("a", "b", "c"):
            increments = rng.poisson(shape, (30, 6))
            if run == 5 and name == "b":
                increments[15:, 4] += 200
            histograms[name] = increments.cumsum(axis=0)
        rows += snapshots(histograms, 300000 + run)
    judged = archive_of(*rows).unusual("EMC", 300005, slice(300000, 300005), every="3min")
    assert judged.attrs["runs"] == (300000, 300001, 300002, 300003, 300004)
    assert judged.sizes["time"] == 10
    assert (judged.p_value.values[6:] < 0.05).all()
    assert (judged.p_value.values[:5] > 0.05).mean() >= 0.8
    assert all(" of b " in text for text in judged.why.values[6:])
