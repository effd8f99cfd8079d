"""Scores of a small detector: what they find, what they depend on, and what is made again when."""

import shutil
from dataclasses import replace
from itertools import chain, count

import numpy as np
import pytest

import owtrend
from owtrend.compute import compute, update_scores
from owtrend.compute.stale import Stale
from owtrend.conditions.columns import table_of
from owtrend.conditions.stored import add
from owtrend.config import Config, ScoreConfig
from owtrend.errors import NotFoundError
from owtrend.kernels.two_sample.tails import z_of
from owtrend.model.rows import State
from owtrend.outliers.monitor import SCORES
from owtrend.store import versions
from owtrend.store.repository import Store
from tests.builders import MINUTE, START, append, archive_of, snapshots
from tests.studies import cases

RUNS = tuple(range(300000, 300006))
SHAPES = {"a": 30.0 + 20 * np.sin(np.arange(40) / 4), "b": np.linspace(5, 60, 25), "c": np.full(12, 40.0)}


def sent(run, seed, change=None, size=24, without=None):
    """A run of three histograms that change in every second snapshot; ``change`` alters what one gains in it.

    In some snapshots a histogram is absent: ``without`` has its name and these.
    """
    rng = np.random.default_rng([seed, run])
    totals = {name: np.zeros(len(shape) + 2) for name, shape in SHAPES.items()}
    rows = {name: [] for name in SHAPES}
    for number in range(size):
        for name, shape in SHAPES.items():
            expected = np.pad(shape, 1) * (1 - number % 2)
            if change is not None:
                expected = change(name, number, expected)
            totals[name] = totals[name] + rng.poisson(expected)
            rows[name].append(None if without and name == without[0] and number in without[1] else totals[name])
    return snapshots(rows, run, minutes=count(60 * (run - RUNS[0])))


def hot(name, number, expected):
    if name == "a" and number >= 12:
        expected = expected.copy()
        expected[8] += 300 * (1 - number % 2)
    return expected


@pytest.fixture(scope="module")
def runs():
    return {run: sent(run, 1, hot if run == RUNS[3] else None) for run in RUNS}


@pytest.fixture(scope="module")
def scored(runs, tmp_path_factory):
    store = tmp_path_factory.mktemp("scored") / "store"
    append(store, chain(*runs.values()))
    compute.compute(store, workers=0)
    return store


def stored(store):
    """All that is stored of the scores, by run."""
    view = owtrend.open(store).stored("EMC")
    arrays = {
        name: [view.scores.block(name, view.run_index(run)) for run in RUNS]
        for name in ("z", "total", "flagged", "null")
    }
    return arrays, view.scores.lines([view.run_index(run) for run in RUNS]), view.scores.basis


@pytest.mark.slow
def test_a_hot_channel_is_flagged_while_it_is_there_and_nowhere_else(scored):
    flags = owtrend.open(scored).findings()
    of_bins = flags[flags["score"].isin(SCORES)]
    assert set(of_bins["run"]) == {RUNS[3]}
    assert set(of_bins["histogram"]) == {"a"}
    assert len(of_bins) == 6
    assert of_bins["why"].iloc[0].startswith("position [cm] 7 to 8: ")
    assert "compared with 3 runs, 300000 to 300002" in of_bins["why"].iloc[0]
    start, stop = of_bins["start"].iloc[0], of_bins["stop"].iloc[0]
    assert stop - start == np.timedelta64(120, "s")
    assert set(flags["run"]) == {RUNS[3]}


@pytest.mark.slow
def test_a_share_that_rises_is_told_of_the_histogram_whose_it_is(scored):
    flags = owtrend.open(scored).findings()
    shares = flags[flags["score"] == "fraction"]
    assert set(shares["histogram"]) == {"a"}
    assert shares["why"].str.startswith("fraction of a in its component: ").all()


@pytest.mark.slow
def test_incidents_join_what_belongs_together(scored):
    (incident,) = owtrend.open(scored).incidents().to_dict("records")
    assert (incident["runs"], incident["subsystems"], incident["histograms"]) == ((RUNS[3],), ("EMC",), 1)


@pytest.mark.slow
def test_scores_are_xarray_over_time_with_their_threshold(scored):
    archive = owtrend.open(scored)
    made = archive.scores("EMC", ["a", "b"], run=RUNS[3])
    assert made.sizes == {"time": 23, "histogram": 2, "score": 8}  # the last snapshot brought nothing new
    assert made["z"].attrs["units"] == "normal standard deviations"
    reported = np.isfinite(made["total"].values)
    np.testing.assert_array_equal(reported[:, 0], np.arange(23) % 2 == 0)
    beyond = made["total"] > made["threshold"]
    assert (beyond == made["flagged"]).sel(histogram="b").all()
    assert beyond.sel(histogram="a").sum() == 6
    per_shift = 4 * 8 * 3600 / 120  # three histograms count as four
    np.testing.assert_allclose(made["threshold"], z_of(np.array([np.log(1 / per_shift)]))[0], rtol=1e-6)
    every = archive.scores("EMC", "a", ["chi2"])
    assert every.sizes == {"snapshot": 6 * 23, "histogram": 1, "score": 1}
    assert np.unique(every["run"]).tolist() == list(RUNS)


@pytest.mark.slow
def test_what_there_is_no_score_of_is_an_error(scored, runs):
    archive = owtrend.open(scored)
    with pytest.raises(NotFoundError, match="no score 'chi'; there are chi2, bin"):
        archive.scores("EMC", scores=["chi"])
    with pytest.raises(NotFoundError, match="none of the runs"):
        archive.scores("EMC", runs=[])
    new = archive_of(*runs[RUNS[0]])
    with pytest.raises(NotFoundError, match="no scores yet; run `owtrend compute`"):
        new.scores("EMC")
    assert new.findings().empty


@pytest.mark.slow
@pytest.mark.parametrize(
    ("blocks", "batch", "workers"),
    [(1, 1, 0), pytest.param(2**19, 1, 0, marks=pytest.mark.study), pytest.param(30, 2, 2, marks=pytest.mark.study)],
)
def test_no_score_depends_on_blocks_batches_or_workers(scored, runs, tmp_path, monkeypatch, blocks, batch, workers):
    monkeypatch.setattr(update_scores, "BLOCK_CELLS", blocks)
    monkeypatch.setattr(update_scores, "RUNS_PER_BATCH", batch)
    append(tmp_path / "store", chain(*runs.values()))
    compute.compute(tmp_path / "store", workers=workers)
    (arrays, lines, basis), (others, other_lines, other_basis) = stored(scored), stored(tmp_path / "store")
    for name, of_runs in arrays.items():
        for one, other in zip(of_runs, others[name], strict=True):
            np.testing.assert_array_equal(one, other)
    assert sorted(lines) == sorted(other_lines)
    np.testing.assert_array_equal(basis, other_basis)


@pytest.mark.slow
def test_runs_that_come_one_by_one_have_the_same_scores(scored, runs):
    archive = archive_of()
    for rows in runs.values():
        append(archive.location, rows)
        assert compute.compute(archive.location, workers=0).scored == 1
    for one, other in zip(stored(scored)[0]["total"], stored(archive.location)[0]["total"], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_nothing_is_scored_twice_until_it_changes(scored, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(scored, store)
    assert compute.compute(store, workers=0).scored == 0
    assert compute.compute(store, workers=0, force=True).scored == 6
    assert compute.compute(store, workers=0, force=True, runs=[RUNS[2]]).scored == 1


@pytest.mark.slow
def test_a_run_that_changes_has_those_after_it_scored_anew_as_far_as_they_depend_on_it(scored, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(scored, store)
    append(store, snapshots({"a": [[0, *[9e4] * 40, 0]]}, RUNS[2], minutes=[160]))
    summary = compute.compute(store, workers=0)
    assert summary.runs == 1
    assert 2 <= summary.scored <= 4  # itself, the next, and whose reference comes out otherwise


@pytest.mark.slow
def test_other_rules_make_scores_stale_and_not_trends(scored, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(scored, store)
    summary = compute.compute(store, workers=0, config=Config(scores=ScoreConfig(false_alarms=0.001)))
    assert (summary.runs, summary.scored) == (0, 6)
    strict = owtrend.open(store).scores("EMC", "a", run=RUNS[3])
    assert (strict["threshold"] > 4.6).all()
    again = compute.compute(store, workers=0)
    assert (again.runs, again.scored) == (0, 0)


@pytest.mark.slow
def test_runs_that_begin_at_once_are_not_scored_twice():
    archive = archive_of(*chain(*(snapshots({"a": [[0, n, 0] for n in range(1, 4)]}, run) for run in RUNS[:2])))
    assert compute.compute(archive.location, workers=0).scored == 2
    assert archive.latest().stale.empty


@pytest.mark.slow
def test_three_runs_in_a_row_that_are_otherwise_are_the_new_usual():
    def otherwise(name, number, expected):
        return expected[::-1] if name == "b" else expected

    runs = range(300000, 300009)
    archive = archive_of(*chain(*(sent(run, 2, otherwise if run >= 300003 else None, size=16) for run in runs)))
    compute.compute(archive.location, workers=0)
    flags = archive.latest().findings()
    assert set(flags["run"][flags["histogram"] == "b"]) == {300003, 300004, 300005}
    never = Config(scores=ScoreConfig(adapt_after=0))
    compute.compute(archive.location, workers=0, config=never)
    flags = archive.latest().findings()
    assert set(flags["run"][flags["histogram"] == "b"]) == set(range(300003, 300009))


@pytest.mark.slow
def test_what_is_wrong_from_the_first_snapshot_is_seen_beside_other_runs():
    def dead(name, number, expected):
        return np.where(np.arange(len(expected)) == 20, 0, expected) if name == "a" else expected

    archive = archive_of(*chain(*(sent(run, 3, dead if run == 300003 else None) for run in RUNS[:4])))
    compute.compute(archive.location, workers=0)
    flags = archive.latest().findings()
    assert set(flags["run"]) == {300003}
    assert flags["start"].iloc[0] <= START + 180 * MINUTE
    assert flags["why"].str.startswith("position [cm] 19 to 20: 0 counts where ").any()


@pytest.mark.slow
def test_scores_of_other_formulas_stay_readable_until_they_are_made_again(scored, tmp_path, monkeypatch):
    store = tmp_path / "store"
    shutil.copytree(scored, store)
    before = owtrend.open(store)
    assert before.stale.empty
    assert not before.scores("EMC", "a", run=RUNS[3])["stale"].any()
    monkeypatch.setattr(versions, "SCORES", {**versions.SCORES, "component": versions.SCORES["component"] + 1})
    old = owtrend.open(store)
    assert set(old.stale["reason"]) == {Stale.FORMULA.value}
    assert old.scores("EMC", "a", run=RUNS[3])["stale"].all()
    assert compute.compute(store, workers=0, runs=[RUNS[0]]).scored == 1
    some = owtrend.open(store)
    assert some.stale["run"].tolist() == list(RUNS[1:])
    for run in RUNS:
        now, then = some.scores("EMC", run=run), before.scores("EMC", run=run)
        assert now.drop_vars("stale").identical(then.drop_vars("stale"))
        assert bool(now["stale"].any()) == (run != RUNS[0])
    assert some.findings().equals(before.findings())
    assert compute.compute(store, workers=0).scored == 5
    assert owtrend.open(store).stale.empty


@pytest.mark.slow
def test_a_new_epoch_that_a_person_told_has_no_reference_before_it(scored, tmp_path, caplog):
    store = tmp_path / "store"
    shutil.copytree(scored, store)
    config = Config(scores=ScoreConfig(epochs={"EMC": [RUNS[4]]}))
    assert compute.compute(store, workers=0, config=config).scored == 2  # the first of it and the one after
    looks = owtrend.open(store).stored("EMC")
    null = looks.scores.block("null", slice(0, len(RUNS)))[:, :, 0, 0, 0]  # reports compared with other runs
    with_reference = [bool(np.nan_to_num(null[looks.run_index(run)]).any()) for run in RUNS]
    assert with_reference == [False, True, True, True, False, True]
    text = owtrend.open(store).findings()["why"]
    assert not text.str.contains("compared with 4 runs").any()
    compute.compute(store, workers=0, config=Config(scores=ScoreConfig(epochs={"ECM": [1]})))
    assert "no subsystem 'ECM'; did you mean 'EMC'?" in caplog.text


@pytest.mark.slow
def test_a_fault_in_the_first_run_does_not_become_usual_in_it():
    archive = archive_of(*sent(300000, 4, hot, size=48), *sent(300001, 4))
    compute.compute(archive.location, workers=0)
    archive = archive.latest()
    total = archive.scores("EMC", "a", run=300000)["total"].values[:, 0]
    reports = total[np.isfinite(total)]
    assert len(reports) == 23
    assert (reports[5:] > 12).all()
    flags = archive.findings()
    assert set(flags["run"]) == {300000}


@pytest.mark.slow
def test_a_histogram_that_came_later_has_no_scores_and_the_others_theirs(scored, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(scored, store)
    append(store, snapshots({"new": [[1, 2, 3]] * 2}, 300009, minutes=count(1440)))
    made = owtrend.open(store).scores("EMC")
    assert np.isfinite(made["total"].sel(histogram="a")).any()
    assert np.isnan(made["total"].sel(histogram="new")).all()


@pytest.mark.slow
def test_a_histogram_that_was_away_for_a_while_biases_no_share():
    away = {300001: ("c", range(6, 16))}
    archive = archive_of(*chain(*(sent(run, 5, without=away.get(run)) for run in RUNS[:4])))
    compute.compute(archive.location, workers=0)
    archive = archive.latest()
    assert set(archive.findings()["score"]) == {"absent"}
    shares = archive.scores("EMC", scores=["fraction"], runs=[300002, 300003])["z"]
    assert np.nanmax(shares) < 3.5


def full_run(run, seed, *, change=None):
    """As `sent`, with bins of ``c`` that are full from about snapshot 6 on."""
    rows = []
    for row in sent(run, seed, change):
        known = row.histograms["c",]
        contents = {"contents": known.parts["contents"].clip(max=127).astype("i1")}
        full = replace(known, class_name="TH1C", parts=contents)
        rows.append(replace(row, histograms={**row.histograms, ("c",): full}))
    return rows


@pytest.mark.slow
def test_a_histogram_that_is_full_takes_no_part_in_fractions_and_the_others_go_on():
    def less_of_b(name, number, expected):
        return 0.5 * expected if name == "b" and number == 18 else expected

    full = [full_run(run, 5, change=less_of_b if run == RUNS[1] else None) for run in RUNS[1:5]]
    archive = archive_of(*sent(RUNS[0], 5), *chain(*full), *sent(RUNS[5], 5))
    compute.compute(archive.location, workers=0)
    archive = archive.latest()
    found = archive.findings()
    assert found[found["score"] != "lost"][["run", "histogram", "score"]].to_numpy().tolist() == [
        [RUNS[1], "b", "fraction"]
    ]
    assert found[found["score"] == "lost"]["run"].tolist() == list(RUNS[1:5])
    state = archive.trend("EMC", "c", "entries", run=RUNS[2]).state
    lost = State.LOST.is_set(state.values)
    assert 8 < lost.sum() < 12
    fraction = archive.scores("EMC", scores=["fraction"], runs=[RUNS[2]])["z"].isel(score=0)
    assert np.isnan(fraction.sel(histogram="c").values[lost]).all()
    assert np.isfinite(fraction.sel(histogram="b").values[lost]).all()


@pytest.mark.slow
def test_a_component_that_gets_another_histogram_goes_on(monkeypatch):
    archive = archive_of()
    for run in range(300000, 300010):
        if run == 300004:
            monkeypatch.setitem(SHAPES, "d", np.full(8, 30.0))
        append(archive.location, sent(run, 6))
        if run in (300003, 300004, 300009):
            compute.compute(archive.location, workers=0)
    archive = archive.latest()
    found = archive.findings()
    assert found[["run", "histogram", "score"]].to_numpy().tolist() == [[300004, "d", "new"]]
    shares = archive.scores("EMC", ["c", "d"], ["fraction"], runs=[300004, 300009])["z"]
    assert np.isfinite(shares.sel(histogram="c")).any()
    assert np.isfinite(shares.isel(snapshot=slice(23, None)).sel(histogram="d")).any()


@pytest.mark.slow
@pytest.mark.parametrize("when", cases(["computing trends", "scoring"], ["scoring"]))
def test_what_comes_while_it_computes_is_for_the_next_call(monkeypatch, when):
    monkeypatch.setattr(update_scores, "RUNS_PER_BATCH", 1)
    store, more = Store.in_memory(), {"x": np.cumsum(np.full((8, 12), 4.0), axis=0).tolist()}
    append(store.location, [*sent(RUNS[0], 1), *sent(RUNS[1], 1)])

    def send(what, *_):  # a subsystem, and a run with another histogram
        if what == when and len(store.reader().subsystems) == 1:
            append(store.location, [*snapshots(more, RUNS[0], subsystem="TPC"), *snapshots(more, RUNS[2])])

    assert compute.compute(store.location, workers=0, progress=send).scored == 2
    assert compute.compute(store.location, workers=0).scored >= 2
    for name in ("EMC", "TPC"):
        view = store.reader().subsystem(name)
        assert view.scores.revisions.tolist() == view.per_run["revision"].tolist()


@pytest.mark.slow
def test_runs_of_another_rate_are_no_reference_where_the_configuration_says_so(runs, tmp_path):
    store = tmp_path / "store"
    append(store, chain(*(runs[run] for run in RUNS[:3])))
    rates = {"run": RUNS[:3], "interaction_rate": [100.0, 500.0, 105.0]}
    add(Store.open(store), table_of(rates, "rates"))
    compute.compute(store, workers=0)

    def last():
        view = owtrend.open(store).stored("EMC")
        return view.scores.block("z", view.run_index(RUNS[2]))

    of_all = last()
    config = Config(scores=ScoreConfig(rate_within=0.1))
    assert compute.compute(store, workers=0, config=config).scored == 3
    assert not np.array_equal(of_all, last(), equal_nan=True)
    add(Store.open(store), table_of(rates | {"interaction_rate": [100.0, 100.0, 105.0]}, "rates"))
    assert set(owtrend.open(store).stale["reason"]) == {Stale.REFERENCE.value}
    assert compute.compute(store, workers=0).scored == 2  # the one whose rate changed and the one after
    np.testing.assert_array_equal(last(), of_all)
    compute.compute(store, workers=0, config=Config())
    np.testing.assert_array_equal(last(), of_all)
