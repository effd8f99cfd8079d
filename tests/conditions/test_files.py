"""Columns of files: the same table from each format; damaged and hostile ones."""

import sqlite3
from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import uproot

from owtrend.conditions.columns import table_of
from owtrend.conditions.files import read_columns
from owtrend.errors import UsageError

COLUMNS = {"run": [300001, 300000], "energy": [6.5, 0.45], "beam": ["pp", "Pb"]}


def as_csv(path, columns=COLUMNS, delimiter=","):
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join(delimiter.join(map(str, row)) for row in [tuple(columns), *rows]) + "\n")


def as_parquet(path, columns=COLUMNS):
    pyarrow.parquet.write_table(pa.table(columns), path)


def as_sqlite(path, columns=COLUMNS, name="runs"):
    quoted = name.replace('"', '""')
    with closing(sqlite3.connect(path)) as database:
        database.execute(f'CREATE TABLE "{quoted}" ({", ".join(columns)})')
        places = ", ".join("?" * len(columns))
        database.executemany(f'INSERT INTO "{quoted}" VALUES ({places})', zip(*columns.values(), strict=True))
        database.commit()


def as_root(path, columns=COLUMNS):
    with uproot.recreate(path) as file:
        numbers = {name: np.array(values) for name, values in columns.items() if not isinstance(values[0], str)}
        file.mktree("runs", {name: cells.dtype for name, cells in numbers.items()}).extend(numbers)


@pytest.mark.parametrize(
    ("name", "write"),
    [("a.csv", as_csv), ("a.parquet", as_parquet), ("a.sqlite", as_sqlite), ("a.root", as_root)],
)
def test_each_format_gives_the_same_table(tmp_path, name, write):
    write(tmp_path / name)
    table = table_of(read_columns(tmp_path / name), "t")
    assert table.keys["run"].tolist() == [300000, 300001]
    assert table.columns["energy"].tolist() == [0.45, 6.5]
    if name != "a.root":
        assert table.columns["beam"].tolist() == ["Pb", "pp"]


def test_semicolons_tabs_and_a_byte_order_mark_are_read(tmp_path):
    for number, delimiter in enumerate(";\t"):
        as_csv(tmp_path / f"{number}.csv", delimiter=delimiter)
        path = tmp_path / f"{number}.csv"
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert table_of(read_columns(path), "t").columns["beam"].tolist() == ["Pb", "pp"]


def test_times_of_parquet_are_utc(tmp_path):
    time = np.array(["2018-06-01T10:00", "2018-06-01T11:00"], "datetime64[us]")
    zoned = pa.array(time).cast(pa.timestamp("us", "Europe/Zurich"))  # an instant, shown elsewhere
    pyarrow.parquet.write_table(pa.table({"time": zoned, "x": [1, None]}), tmp_path / "a.parquet")
    table = table_of(read_columns(tmp_path / "a.parquet"), "t")
    assert table.keys["time"].view("datetime64[ns]").tolist() == time.astype("datetime64[ns]").tolist()
    np.testing.assert_array_equal(table.columns["x"], [1, np.nan])


def test_one_of_several_tables_must_be_named_and_is_only_a_name(tmp_path):
    path = tmp_path / "a.db"
    as_sqlite(path, name='x"; DROP TABLE runs; --')
    as_sqlite(path)
    with pytest.raises(UsageError, match="which table"):
        read_columns(path)
    with pytest.raises(UsageError, match="no table 'run'; did you mean 'runs'"):
        read_columns(path, "run")
    assert len(read_columns(path, 'x"; DROP TABLE runs; --')["run"]) == 2
    assert len(read_columns(path, "runs")["run"]) == 2


def test_a_view_of_a_database_is_never_run(tmp_path):
    as_sqlite(tmp_path / "a.db")
    with closing(sqlite3.connect(tmp_path / "a.db")) as database:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT * FROM n"
        database.execute(f"CREATE VIEW evil AS {endless}")
        database.commit()
    with pytest.raises(UsageError, match="no table 'evil'"):
        read_columns(tmp_path / "a.db", "evil")


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".sqlite", ".root", ".json"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00\xff nonsense \x1b[31m" * 40, b"root\x00\x00\xf6\x24", b"PAR1PAR1", b"a,b\n1"]
)
def test_a_file_of_another_kind_is_one_line(tmp_path, ending, content):
    path = tmp_path / f"file{ending}"
    path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        table_of(read_columns(path), "t")
    assert str(error.value).isprintable()


def test_a_file_that_is_not_there_or_a_folder_is_one_line(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    for name in ("missing.csv", "folder.csv"):
        with pytest.raises(UsageError, match=name):
            read_columns(tmp_path / name)


def test_more_cells_than_are_kept_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("owtrend.conditions.files.MOST_CELLS", 5)
    for name, write in (("a.csv", as_csv), ("a.parquet", as_parquet), ("a.db", as_sqlite)):
        write(tmp_path / name)
        with pytest.raises(UsageError, match="at most 5 cells are read; choose by --columns"):
            read_columns(tmp_path / name)
    assert len(read_columns(tmp_path / "a.parquet", None, {"run", "beam"}.__contains__)) == 2
