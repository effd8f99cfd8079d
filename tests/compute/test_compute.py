import importlib
import linecache
import shutil
import sys

import numpy as np
import pytest

import owtrend
from owtrend import modules
from owtrend.compute import compute
from owtrend.compute.stale import Stale, stale_reductors, stale_trends
from owtrend.config import Config
from owtrend.errors import NotFoundError
from owtrend.store import versions
from owtrend.store.repository import Store
from owtrend.trends import query
from owtrend.trends.reductors import DEFAULT
from owtrend.trends.run_trends import run_trends
from tests import oracles
from tests.builders import append, archive_of, snapshots


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    location, rng = tmp_path_factory.mktemp("two_runs") / "store", np.random.default_rng(1)
    for run in (300000, 300001):
        rows = rng.poisson(5, (70, 8)).cumsum(axis=0)
        append(location, snapshots({"h": rows, "g": rows[::-1]}, run))
    return location


@pytest.fixture
def store(two_runs, tmp_path):
    """A copy for each test."""
    return shutil.copytree(two_runs, tmp_path / "store")


@pytest.fixture(scope="module")
def computed_once(two_runs, tmp_path_factory):
    store = shutil.copytree(two_runs, tmp_path_factory.mktemp("computed") / "store")
    assert compute.compute(store, workers=0).runs == 2
    return store


@pytest.fixture
def computed(computed_once, tmp_path):
    """A copy for each test that begins with trends and scores."""
    return shutil.copytree(computed_once, tmp_path / "store")


def test_trends_equal_the_plain_numpy_way(computed_once):
    opened = owtrend.open(computed_once)
    contents = opened.histogram("EMC", "h", run=300000)
    mean, std = oracles.mean_and_std_trend(contents.contents.values, contents.x.values)
    np.testing.assert_allclose(opened.trend("EMC", "h", "mean", run=300000).value, mean)
    np.testing.assert_allclose(opened.trend("EMC", "h", "std", run=300000).value, std)


def test_only_what_changed_is_computed_again(computed):
    store = computed
    again = compute.compute(store, workers=0, scores=False)
    assert (again.runs, again.unchanged) == (0, 2)
    append(store, snapshots({"h": [[9] * 8]}, 300001, minutes=[240]))
    assert compute.compute(store, workers=0, scores=False).runs == 1
    assert compute.compute(store, workers=0, runs=[300000], force=True, scores=False).runs == 1


@pytest.mark.slow
def test_other_code_or_new_histograms_make_trends_stale(computed, monkeypatch):
    store = computed
    append(store, snapshots({"new": [[1, 2, 3]]}, 300002))
    assert compute.compute(store, workers=0, scores=False).runs == 1
    assert owtrend.open(store).trend("EMC", "new", "entries", run=300002).value.values.tolist() == [6]
    assert owtrend.open(store).trend("EMC", "h", "entries", run=300000).sizes == {"time": 70}
    monkeypatch.setattr(versions, "TRENDS", versions.TRENDS + 1)
    assert compute.compute(store, workers=0, scores=False).runs == 3


@pytest.mark.slow
def test_trends_of_other_formulas_are_served_marked_stale_until_they_are_made_again(computed, monkeypatch):
    store = computed
    before = owtrend.open(store).trends("EMC").load()
    monkeypatch.setattr(versions, "TRENDS", versions.TRENDS + 1)
    monkeypatch.setattr(query, "run_trends", None)  # nothing is computed while reading
    assert compute.compute(store, workers=0, runs=[300000], scores=False).runs == 1
    archive = owtrend.open(store)
    now = archive.trends("EMC").load()
    assert now.drop_vars("stale").identical(before.drop_vars("stale"))
    np.testing.assert_array_equal(now["stale"], now["run"] == 300001)
    assert archive.trends("EMC", every="run")["stale"].values.tolist() == [False, True]
    stale = archive.stale
    assert stale[stale["what"] == "trends"].values.tolist() == [["EMC", 300001, "trends", Stale.FORMULA.value]]
    assert compute.compute(store, workers=0, scores=False).runs == 1
    assert not owtrend.open(store).trends("EMC")["stale"].any()


@pytest.mark.slow
def test_only_what_depends_on_a_setting_is_computed_again():
    """A reductor is for the trends of one subsystem, a rule for none, the budget of false alarms for all scores."""
    rows = {"h": [[0, number, 2 * number, 0] for number in range(1, 5)]}
    archive = archive_of(
        *snapshots(rows), *snapshots(rows, subsystem="TPC"), *snapshots(rows, 300001, minutes=range(60, 64))
    )
    assert compute.compute(archive.location, workers=0).runs == 3
    rule = {"name": "low", "subsystem": "EMC", "histogram": "h", "error": "entries < 3"}
    settings = {"subsystems": {"EMC": {"reductors": {"h": ["quantile_x(0.9)"]}}}}

    def computed(**more):
        config = Config.model_validate(settings | more)
        summary = compute.compute(archive.location, workers=0, config=config)
        return summary.runs, summary.scored

    assert computed() == (2, 0)
    assert computed(rules=[rule]) == (0, 0)
    assert computed(rules=[rule | {"error": "entries < 2"}]) == (0, 0)
    assert computed(scores={"false_alarms": 0.5}) == (0, 3)
    assert computed(scores={"false_alarms": 0.5}) == (0, 0)


@pytest.mark.slow
def test_another_reductor_leaves_what_is_stored_of_other_runs(computed, monkeypatch):
    store = computed
    before = owtrend.open(store).trends("EMC", run=300001).load()
    more = Config.model_validate({"subsystems": {"EMC": {"reductors": {"h": ["quantile_x(0.9)"]}}}})
    compute.compute(store, workers=0, scores=False, runs=[300000], config=more)
    archive = owtrend.open(store)
    high = archive.trend("EMC", "h", "quantile_x(0.9)")
    assert np.isfinite(high.value).sum() > 100  # stored of one run, computed now of the other
    monkeypatch.setattr(query, "run_trends", None)
    assert archive.trends("EMC", run=300001).load().identical(before)


def with_reductors(**reductors):
    return Config.model_validate({"subsystems": {"EMC": {"reductors": reductors}}})


@pytest.mark.slow
def test_another_reductor_is_computed_alone_and_all_is_as_if_it_had_been_there_before(
    computed, two_runs, tmp_path, monkeypatch
):
    asked, store = [], shutil.copytree(two_runs, tmp_path / "other")

    def noted(view, run, histograms, names, *more, **options):
        asked.append(set(names))
        return run_trends(view, run, histograms, names, *more, **options)

    monkeypatch.setattr(compute, "run_trends", noted)

    def then(config):
        asked.clear()
        summary = compute.compute(computed, workers=0, scores=False, config=config)
        assert compute.compute(computed, workers=0, scores=False).runs == 0
        return summary.runs, set().union(*asked)

    assert then(with_reductors(h=["quantile_x(0.9)"])) == (2, {"quantile_x(0.9)"})
    assert then(with_reductors(h=["quantile_x(0.9)", "maximum"], g=["maximum"])) == (2, {"maximum"})
    assert then(with_reductors(h=["maximum"])) == (2, {"maximum"})  # g lost it; the quantile of h counts no more
    last = with_reductors(h=["maximum", "quantile_x(0.9)"])
    assert then(last) == (2, {"quantile_x(0.9)"})
    asked.clear()
    compute.compute(store, workers=0, scores=False, config=last)
    one, other = (owtrend.open(location).stored("EMC").trends for location in (computed, store))
    columns = [one.reductors.index(name) for name in other.reductors]
    for name in ("value", "error"):
        each = [found.block(name, [0, 1], slice(0, 70)) for found in (one, other)]
        np.testing.assert_array_equal(each[0][..., columns], each[1])
        each = [found.block(f"run_{name}", [0, 1]) for found in (one, other)]
        np.testing.assert_array_equal(each[0][..., columns], each[1])
    np.testing.assert_array_equal(one.versions[:, columns], other.versions)
    np.testing.assert_array_equal(one.settings, other.settings)


@pytest.mark.slow
def test_a_new_event_counter_or_data_make_all_trends_anew(computed):
    counted = Config.model_validate({"subsystems": {"EMC": {"events": "h", "reductors": {"h": ["maximum"]}}}})
    assert stale_reductors_of(computed, counted) == {}
    append(computed, snapshots({"h": [[9] * 8]}, 300001, minutes=[240]))
    assert set(stale_reductors_of(computed, with_reductors(h=["maximum"]))) == {300000}


def stale_reductors_of(store, config):
    reader = owtrend.open(store)._reader
    stale = stale_trends(reader.subsystem("EMC"), "EMC", config)
    return stale_reductors(reader, "EMC", config, stale)


@pytest.mark.slow
def test_a_docstring_makes_no_trend_stale_and_a_formula_of_ones_own_does(store, tmp_path, monkeypatch):
    source = "import owtrend\n\n\n@owtrend.reductor\ndef my_sum(gained):\n    {}\n    return {}\n"
    module = tmp_path / "owtrend_test_my_sum.py"
    monkeypatch.syspath_prepend(str(tmp_path))
    config = Config.model_validate({"modules": [module.stem], "subsystems": {"EMC": {"reductors": {"h": ["my_sum"]}}}})
    reasons = []
    for words, formula in (('"Old."', 1.0), ('"New words."  # and a comment', 1.0), ('"Old."', 2.0)):
        module.write_text(source.format(words, formula))
        sys.modules.pop(module.stem, None)
        importlib.invalidate_caches()
        linecache.clearcache()
        modules.import_local(config.modules)
        stale = stale_trends(owtrend.open(store).stored("EMC"), "EMC", config)
        reasons.append(set(stale.values()))
        compute.compute(store, workers=0, scores=False, config=config)
    assert reasons == [{Stale.MISSING}, set(), {Stale.SETTINGS}]


@pytest.mark.study
def test_small_blocks_and_two_processes_give_the_same_arrays(store, monkeypatch):
    def stored():
        view = owtrend.open(store).stored("EMC")
        return [view.trends.block(name, slice(0, 2)) for name in ("value", "error", "state", "run_value", "run_error")]

    compute.compute(store, workers=0, scores=False)
    whole = stored()
    monkeypatch.setattr(compute, "BLOCK_BYTES", 1)
    compute.compute(store, workers=2, force=True, scores=False)
    for one, other in zip(whole, stored(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_run_summary_is_the_trend_of_the_whole_run(computed_once):
    store = computed_once
    view = owtrend.open(store).stored("EMC")
    values = view.trends.block("run_value", view.run_index(300000), 0)
    whole = owtrend.time_slice(owtrend.open(store).histogram("EMC", "h", run=300000))
    sums = whole.sums.to_series()
    assert values[DEFAULT.index("entries")] == sums["entries"]
    assert values[DEFAULT.index("mean_x")] == pytest.approx(sums["tsumwx"] / sums["tsumw"])


@pytest.mark.slow
def test_trends_go_on_over_a_change_of_binning():
    archive = archive_of(*snapshots({"h": [[0, 4, 0], [0, 6, 0], [0, 6, 3, 0]]}))
    trend = archive.trend("EMC", "h", "entries", run=300000)
    assert trend.value.values.tolist() == [4, 2, 3]
    assert trend.exposure.values[1:].tolist() == [60, 60]
    compute.compute(archive.location, workers=0, scores=False)
    view = archive.latest().stored("EMC")
    assert view.trends.block("run_value", 0, 0, 0) == 9


def test_a_run_that_is_not_there_is_an_error(store):
    with pytest.raises(NotFoundError, match="no run 99"):
        compute.compute(store, runs=[99], workers=0)


@pytest.mark.slow
def test_trends_in_an_earlier_layout_are_made_anew():
    archive = archive_of(*snapshots({"h": [[0, 4, 0], [0, 6, 0]]}))
    compute.compute(archive.location, workers=0, scores=False)
    with Store.open(archive.location).writer("derived") as begin:
        transaction = begin()
        del transaction.group["trends/EMC/state"]
        transaction.commit("as before")
    trend = archive.latest().trend("EMC", "h", "entries", run=300000)
    assert trend.value.values.tolist() == [4, 2]
    assert trend.reported.values.tolist() == [True, True]
