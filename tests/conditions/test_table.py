"""Values of a table for runs and times, by hand; what is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from owtrend.conditions.columns import table_of
from owtrend.conditions.table import ConditionTable, cleaned_name
from owtrend.errors import NotFoundError, OwtrendError, StoreError, UsageError

HOUR = 3600 * 10**9


def of_texts(text, **options):
    head, *rows = [line.split(",") for line in text.split()]
    return table_of(dict(zip(head, zip(*rows, strict=True), strict=True)), "t", **options)


def test_values_by_run_have_the_narrowest_kind():
    table = of_texts("run,fill,energy,good,beam\n3,7000,6.5,true,pp\n1,6999,,false,PbPb")
    assert table.keys["run"].tolist() == [1, 3]
    assert {name: cells.dtype.kind for name, cells in table.columns.items()} == {
        "fill": "i",
        "energy": "f",
        "good": "b",
        "beam": "O",
    }
    assert [table.of_run(name, 3, 0, 1) for name in table.columns] == [7000, 6.5, True, "pp"]
    assert np.isnan(table.of_run("energy", 1, 0, 1))
    assert table.of_run("beam", 2, 0, 1) is None
    assert np.isnan(table.of_run("fill", 2, 0, 1))
    assert table.at("beam", 1, np.array([5, 6])).tolist() == ["PbPb", "PbPb"]


def test_a_period_holds_from_its_first_to_its_last_run():
    table = of_texts("first_run,last_run,period\n100,199,LHC18a\n300,300,LHC18c")
    found = [table.of_run("period", run, 0, 1) for run in (99, 100, 199, 200, 300, 301)]
    assert found == [None, "LHC18a", "LHC18a", None, "LHC18c", None]


def test_a_value_over_time_holds_until_the_next():
    table = of_texts("time,rate,state\n2018-06-01T10:00,100,up\n2018-06-01T11:00,200,up\n2018-06-01T13:00,400,down")
    ten = np.datetime64("2018-06-01T10:00", "ns").astype(int)
    times = ten + HOUR * np.array([-1, 0, 1, 2, 9])
    np.testing.assert_array_equal(table.at("rate", 1, times), [np.nan, 100, 200, 200, 400])
    assert table.at("state", 1, times).tolist() == [None, "up", "up", "up", "down"]
    assert table.of_run("rate", 1, ten, ten + 4 * HOUR) == 200  # integers are not averaged: they may be fills
    assert table.of_run("state", 1, ten, ten + 4 * HOUR) == "up"
    assert table.of_run("state", 1, ten - 2 * HOUR, ten - HOUR) is None


def test_numbers_over_time_are_averaged_over_how_long_they_hold():
    table = table_of({"time": [0.5, 3600, 3 * 3600], "rate": [100.0, 200.0, 400.0]}, "t")
    assert table.of_run("rate", 1, HOUR // 2, 4 * HOUR) == pytest.approx((50 + 2 * 200 + 400) / 3.5)
    assert table.of_run("rate", 1, 5 * HOUR, 6 * HOUR) == 400
    assert np.isnan(table.of_run("rate", 1, 0, 10))


def test_values_over_time_of_a_run_are_not_those_of_another():
    table = table_of({"run": [1, 1, 2], "time": [0, 10, 20], "x": [1.0, 2.0, 3.0]}, "t")
    times = np.array([5, 15, 25]) * 10**9
    np.testing.assert_array_equal(table.at("x", 1, times), [1, 2, 2])
    np.testing.assert_array_equal(table.at("x", 2, times), [np.nan, np.nan, 3])
    np.testing.assert_array_equal(table.at("x", 3, times), [np.nan] * 3)


@pytest.mark.parametrize(
    "seconds", [[1.5e9, 1.5e9 + 1], [1_500_000_000_000, 1_500_000_001_000], [15 * 10**17, 15 * 10**17 + 10**9]]
)
def test_numbers_since_1970_are_seconds_milliseconds_or_nanoseconds(seconds):
    assert table_of({"time": seconds, "x": [1, 2]}, "t").keys["time"].tolist() == [15 * 10**17, 15 * 10**17 + 10**9]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("run,x\n1,2\n1,3", {}, "two rows for run 1; expected one. Are these values over time?"),
        ("time,x\n2018,2\nnoon,3", {}, "column 'time' has cells that are no times"),
        ("first_run,last_run,x\n1,9,a\n9,12,b", {}, "runs 1 to 9 overlaps the next"),
        ("first_run,last_run,x\n9,1,a", {}, "runs 9 to 1 ends before it begins"),
        ("ruun,x\n1,2", {}, "which column has the run or the time"),
        ("run,x\nnone,2", {}, "column 'run' has cells that are no run numbers"),
        ("run,x\n-1,2", {}, "column 'run' has cells that are no run numbers"),
        ("run,a/b,a.b\n1,2,3", {}, "two columns are called 'a_b'"),
        ("run,x\n1,2", {"chosen": ["y"]}, "no column 'y'"),
        ("run,x\n1,2", {"run_column": "ruun"}, "no column 'ruun'; did you mean 'run'"),
        ("run,x\n1,2", {"run_column": "run:x:x"}, "expected one column, or FIRST:LAST"),
        ("run\n1", {}, "nothing in it"),
    ],
)  # fmt: skip
def test_what_makes_no_table_is_one_line(text, options, words):
    with pytest.raises(UsageError) as error:
        of_texts(text, **options)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_names_are_those_of_expressions():
    assert cleaned_name("Beam energy [GeV]") == "Beam_energy_GeV"
    assert cleaned_name("1st") == "_1st"
    with pytest.raises(UsageError, match="is no name"):
        table_of({"run": [1], "x": [1]}, "../evil")
    table = of_texts("run,energy\n1,2")
    with pytest.raises(NotFoundError, match="did you mean 'energy'"):
        table.column("enrgy")


@given(
    numbers=st.lists(st.floats(width=64) | st.none(), min_size=1, max_size=5),
    texts=st.lists(st.text(max_size=20) | st.none(), min_size=5, max_size=5),
)  # fmt: skip
def test_a_table_comes_back_from_its_lines_as_it_was(numbers, texts):
    columns = {"run": range(len(numbers)), "number": numbers, "text": texts[: len(numbers)]}
    table = table_of(columns, "t", source="s\x1b", who="me", added="now")
    again = ConditionTable.from_lines(table.lines(), "store")
    assert again.lines() == table.lines()
    assert again.digest == table.digest
    for name, cells in table.columns.items():
        np.testing.assert_array_equal(again.columns[name], cells)


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[:1],
        lambda lines: lines[1:],
        lambda lines: [*lines, json.dumps({"column": "y", "kind": "<f8", "values": [1] * 99})],
        lambda lines: [*lines, json.dumps({"column": "../y", "kind": "<f8", "values": [1]})],
        lambda lines: [*lines, json.dumps({"column": "y", "kind": "os.system", "values": [1]})],
        lambda lines: [*lines, "[" * 10_000],
        lambda lines: [lines[0].replace('"t"', '"$(x)"'), *lines[1:]],
    ],
)
def test_lines_that_somebody_changed_are_one_error(change):
    with pytest.raises(OwtrendError) as error:
        ConditionTable.from_lines(change(of_texts("run,x\n1,2").lines()), "store: the conditions t")
    assert isinstance(error.value, StoreError | UsageError)
