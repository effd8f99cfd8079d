import csv
import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet
import pytest

import owtrend
from owtrend.compute import compute
from owtrend.errors import NotFoundError, UsageError
from owtrend.output import tables
from tests.builders import archive_of, histogram, snapshot


@pytest.mark.slow
def test_the_table_has_the_stored_summary_and_computes_what_is_not_stored(simulated):
    archive = owtrend.open(simulated)
    table = tables.run_table(simulated, subsystem="TPC", reductors=["mean"])
    rows = table.rows()
    assert table.counts == {"TPC": len(rows)}
    assert {row["run"] for row in rows} == {300000, 300001}
    assert {row["reductor"] for row in rows} == {"mean_x"}
    name = rows[0]["histogram"]
    made = archive.time_slice("TPC", 300001)[name]
    (row,) = [row for row in rows if (row["run"], row["histogram"]) == (300001, name)]
    assert row["value"] == pytest.approx(made.sums["tsumwx"] / made.sums["tsumw"])
    compute.compute(simulated, runs=[300001], workers=0, scores=False)
    assert tables.run_table(simulated, subsystem="TPC", reductors=["mean"]).rows() == rows


def columns_of(path):
    """A table as lists of plain values by column, empty as None."""
    if path.suffix == ".parquet":
        table = pyarrow.parquet.read_table(path)
        return {name: table[name].to_pylist() for name in table.column_names}
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            head, *rows = csv.reader(file)
        return {name: [row[number] or None for row in rows] for number, name in enumerate(head)}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {name: [line.get(name) for line in lines] for name in dict.fromkeys(name for line in lines for name in line)}


@pytest.mark.slow
@pytest.mark.parametrize("ending", tables.FORMATS)
def test_a_table_has_the_trends_of_every_snapshot(simulated, tmp_path, ending):
    archive = owtrend.open(simulated)
    path = tmp_path / f"trends{ending}"
    summary = tables.export_trends(simulated, path, subsystem="HLT", histograms=["fHistCluster*"], reductors=["mean"])
    table = columns_of(path)
    assert (summary.rows, summary.trends, summary.runs) == (len(table["run"]), 2, 2)
    assert list(map(int, table["run"])) == sorted(map(int, table["run"]))
    assert set(table["subsystem"]) == {"HLT"}
    name = "fHistClusterChargeTot"
    expected = archive.trend("HLT", name, "mean")
    for column, values in (
        (f"{name}:mean_x", expected.value), (f"{name}:mean_x:error", expected.error),
        (f"{name}:exposure", expected.exposure),
    ):  # fmt: skip
        found = np.array([np.nan if value is None else float(value) for value in table[column]])
        np.testing.assert_array_equal(found, values.values)
    reported = [{"true": True, "false": False}.get(value, value) for value in table[f"{name}:reported"]]
    assert reported == expected.reported.values.tolist()
    if ending != ".parquet":
        assert table["time"] == [f"{text}Z" for text in np.datetime_as_string(expected.time.values, "ns")]
    else:
        assert pyarrow.parquet.ParquetFile(path).num_row_groups == 2
        field = pyarrow.parquet.read_schema(path).field(f"{name}:exposure")
        assert field.metadata == {b"units": b"s"}


def test_absent_is_not_false_and_subsystems_share_a_table(small_store, tmp_path):
    summary = tables.export_trends(small_store, tmp_path / "t.ndjson", reductors=["entries"])
    assert (summary.rows, summary.runs) == (10, 2)
    table = columns_of(tmp_path / "t.ndjson")
    assert table["subsystem"] == ["EMC"] * 6 + ["TPC"] * 4
    assert table["sometimes:reported"] == [True, None, True, None, None, None, None, None, None, None]
    assert table["sometimes:entries"][:4] == [2, None, 5, None]
    assert table["t:entries"][6:] == [2, 5, 2, 4]


@pytest.mark.slow
def test_an_export_that_fails_leaves_what_was_there(small_store, tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("before")
    with pytest.raises(UsageError, match=r"no format for '.xls'"):
        tables.export_trends(small_store, tmp_path / "t.xls")
    with pytest.raises(NotFoundError, match="no reductor 'meen'"):
        tables.export_trends(small_store, path, reductors=["meen"])
    with pytest.raises(NotFoundError, match="no run 7"):
        tables.export_trends(small_store, path, runs=[7])
    monkeypatch.setattr(tables, "_run_columns", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tables.export_trends(small_store, path)
    assert [one.name for one in tmp_path.iterdir()] == ["t.csv"]
    assert path.read_text() == "before"


def test_histograms_that_display_alike_have_columns_of_their_own(tmp_path):
    one = histogram([0, 1, 0], "folder/h")
    archive = archive_of(snapshot(1, one, replace(one, path=("folder/h",))))
    tables.export_trends(archive.location, tmp_path / "t.ndjson", reductors=["entries"])
    table = columns_of(tmp_path / "t.ndjson")
    assert {"('folder', 'h'):entries", "('folder/h',):entries"} <= set(table)
