"""Conditions in a store: added, replaced, removed; joined with runs, rows, trends, exports, references and scores."""

import csv
import json

import numpy as np
import pytest

import owtrend
from owtrend.cli.main import status
from owtrend.comparison.reference import comparable
from owtrend.compute.stale import score_settings
from owtrend.conditions.columns import table_of
from owtrend.conditions.stored import Conditions, add, remove
from owtrend.config import Config, ScoreConfig
from owtrend.errors import AmbiguousNameError, NotFoundError, StoreError
from owtrend.outliers.reference_pool import ScoreSettings
from owtrend.output import tables
from owtrend.store.repository import Store
from owtrend.store.upkeep import repair
from owtrend.store.upkeep.check import check
from tests.builders import MINUTE, START, append, archive_of, snapshot
from tests.store import faults

RUNS = (300000, 300001, 300002, 300003)
LOGBOOK = {
    "run": RUNS[:3],
    "period": ["a", "a", "b"],
    "interaction_rate": [100.0, 110.0, 300.0],
    "good": ["true", "false", "true"],
}
RATES = {"time": [str(START + minute * MINUTE) for minute in (1, 61)], "rate": [1.5, 2.5]}


def made():
    """Four runs of three snapshots, an hour apart."""
    rows = [snapshot(60 * number + minute, run=run) for number, run in enumerate(RUNS) for minute in (1, 2, 3)]
    archive = archive_of(*rows)
    store = Store.open(archive.location)
    add(store, table_of(LOGBOOK, "logbook", who="me"))
    add(store, table_of(RATES, "rates"))
    return store


@pytest.fixture(scope="module")
def store():
    """A store that all tests read."""
    return made()


@pytest.fixture
def own():
    """A store that one test changes."""
    return made()


def test_conditions_of_runs_join_the_runs(store):
    archive = owtrend.open(store.location)
    table = archive.runs.join(archive.conditions)
    assert table["period"].fillna("none").tolist() == ["a", "a", "b", "none"]
    np.testing.assert_array_equal(table["rate"], [1.5, 2.5, 2.5, 2.5])
    assert archive.conditions.query("period == 'a'").index.tolist() == [300000, 300001]
    assert archive.condition_tables["joined on"].tolist() == ["run"] * 3 + ["time"]


def test_a_condition_over_time_is_the_one_of_each_snapshot(own):
    later = {"time": [str(START + 2 * MINUTE)], "rate": [9.0]}
    add(own, table_of(later, "rates"))
    archive = owtrend.open(own.location)
    found = archive.condition("rate", 300000)
    np.testing.assert_array_equal(found, [np.nan, 9, 9])
    assert found.dims == ("time",)
    np.testing.assert_array_equal(Conditions(own.reader()).values("rate", "EMC", 300000), found)
    assert archive.condition("period", 300003).values.tolist() == [None] * 3
    with pytest.raises(NotFoundError, match=r"no condition 'rat'; did you mean 'rate'\?; `owtrend"):
        archive.condition("rat", 300000)
    with pytest.raises(NotFoundError, match="no run 7"):
        archive.condition("rate", 7)


@pytest.mark.parametrize(("every", "expected"), [("run", [1.5, 2.5, 2.5, 2.5]), (None, [1.5] * 3 + [2.5] * 9)])
def test_a_trend_against_a_condition_has_it_as_a_coordinate(store, every, expected):
    trend = owtrend.open(store.location).trend("EMC", "h", "entries", every=every, against="rate")
    np.testing.assert_array_equal(trend["rate"], expected)
    assert trend["rate"].dims == trend["value"].dims
    one = owtrend.open(store.location).trend("EMC", "h", "entries", 300001, against="period")
    assert one["period"].values.tolist() == ["a"] * 3


def test_an_earlier_state_keeps_its_conditions(own):
    before = owtrend.open(own.location)
    version = before.version
    remove(own, "logbook")
    assert list(owtrend.open(own.location).conditions) == ["rate"]
    assert "period" in owtrend.open(own.location, as_of=version).conditions
    with pytest.raises(NotFoundError, match="no table of conditions 'logbok'"):
        remove(own, "logbok")


def test_columns_of_one_name_in_two_tables_are_qualified(own):
    add(own, table_of({"run": RUNS, "rate": [4, 5, 6, 7]}, "counts"))
    archive = owtrend.open(own.location)
    assert {"counts.rate", "rates.rate"} < set(archive.conditions)
    assert archive.condition("counts.rate", 300001).values.tolist() == [5] * 3
    with pytest.raises(AmbiguousNameError, match=r"counts\.rate, rates\.rate"):
        archive.condition("rate", 300000)


def test_an_export_has_conditions_as_columns(store, tmp_path):
    tables.export_trends(store.location, tmp_path / "a.csv", reductors=["entries"], conditions=["*"])
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["period"] for row in rows[::3]] == ["a", "a", "b", ""]
    assert [row["rate"] for row in rows[::3]] == ["1.5", "2.5", "2.5", "2.5"]
    assert rows[0]["good"] == "true"
    tables.export_trends(store.location, tmp_path / "a.parquet", reductors=["entries"], conditions=["good", "period"])
    assert (tmp_path / "a.parquet").stat().st_size


def test_the_commands_add_list_filter_and_remove(own, tmp_path, capsys):
    (tmp_path / "fills.csv").write_text("run,fill number\n300000,7001\n300001,7002\n")
    assert status(["conditions", "add", own.location, str(tmp_path / "fills.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["conditions"] == ["fill_number"]
    assert status(["conditions", own.location, "--json"]) == 0
    assert {row["table"] for row in json.loads(capsys.readouterr().out)} == {"fills", "logbook", "rates"}
    assert (
        status(["runs", "--where", "period=a", own.location, "--runs", "300001-300003", "--conditions", "--json"]) == 0
    )
    assert [(row["run"], row["condition: fill_number"]) for row in json.loads(capsys.readouterr().out)] == [
        (300001, 7002)
    ]
    assert status(["conditions", "remove", own.location, "fills"]) == 0
    assert status(["conditions", "remove", own.location, "fills"]) == 1
    assert "no table of conditions 'fills'" in capsys.readouterr().err


def test_comparable_runs_have_a_similar_rate_in_the_conditions(store):
    reader, rates = store.reader(), dict(zip(RUNS, [100.0, 110.0, 300.0, 105.0], strict=True))

    def like(**options):
        return comparable(reader, Config(), "EMC", 300003, shortest=0, **options)

    assert like() == [300000, 300001, 300002]
    assert like(rate_within=0.2, rates=rates) == [300000, 300001]
    assert like(rate_within=0.2, rates=rates | {300000: np.nan}) == [300001]
    with pytest.raises(NotFoundError, match="run 300003 has no rate"):
        like(rate_within=0.2, rates={})


def test_score_settings_have_the_rates_only_where_they_are_to_be_compared(store):
    reader = store.reader()
    assert score_settings(Config(), reader, [])["EMC"].rates == ()
    assert score_settings(Config(), reader, [])["EMC"].digest == ScoreSettings(tests=1).digest
    config = Config(scores=ScoreConfig(rate_within=0.2))
    settings = score_settings(config, reader, [])["EMC"]
    assert settings.rates == ((300000, 100.0), (300001, 110.0), (300002, 300.0))
    assert settings.digest != ScoreSettings(tests=1).digest
    found = [
        (run, earlier) for run in RUNS for earlier in RUNS if earlier < run and not settings.comparable(run, earlier)
    ]
    assert found == [(300002, 300000), (300002, 300001)]  # of 300003 no rate is known: it is compared with all


def test_a_damaged_table_is_named_and_dropped_by_repair(tmp_path):
    append(tmp_path / "store", [snapshot(1)])
    store = Store.open(tmp_path / "store")
    for name in ("good", "bad"):
        add(store, table_of(LOGBOOK, name))
    faults.spoil(store, "conditions/bad", 0)
    store = Store.open(store.location)
    with pytest.raises(StoreError):
        owtrend.open(store.location).conditions  # noqa: B018
    assert ["bad" in problem for problem in check(store).problems] == [True]
    repair.repair(store)
    assert set(owtrend.open(store.location).condition_tables["table"]) == {"good"}
