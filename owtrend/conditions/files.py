"""Columns of a file with conditions: CSV, Parquet, a table of SQLite, or a ROOT tree. Nothing in it is executed."""

import csv
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from owtrend.conditions.columns import Columns
from owtrend.conditions.table import MOST_CELLS
from owtrend.display import printable, quoted
from owtrend.errors import NONSENSE, UsageError, hint

__all__ = ["ENDINGS", "read_columns"]

_MOST_BYTES = 2**30

Wanted = Callable[[str], bool]


def read_columns(path: Path, table: str | None = None, wanted: Wanted = lambda _: True) -> Columns:
    """The columns of a file, by name.

    Parameters
    ----------
    table
        Of SQLite, or tree of a ROOT file; by default the only one.
    wanted
        True for the names of columns that are needed.

    Raises
    ------
    UsageError
        If it cannot be read, is too large, has another format than its name says, or several tables.
    """
    reader = _BY_ENDING.get(path.suffix.lower())
    if reader is None:
        raise UsageError(
            f"{path}: no format for {quoted(path.suffix)}; give a name that ends with {', '.join(ENDINGS)}"
        )
    try:
        size = os.stat(path).st_size
        if not path.is_file() or size > _MOST_BYTES:
            what = f"{size / 1e9:.1f} GB; at most {_MOST_BYTES / 1e9:.1f} are read" if size > _MOST_BYTES else "no file"
            raise UsageError(f"{path}: {what}")
        return reader(path, table, wanted)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or printable(str(error), 200)})") from error


@contextmanager
def _reading(path: Path, what: str, *more: type[Exception]) -> Iterator[None]:
    """Turn whatever a damaged file leads to into one UsageError."""
    errors: tuple[type[Exception], ...] = (*NONSENSE, *more)
    try:
        yield
    except UsageError:
        raise
    except errors as error:
        text = next(iter(str(error).splitlines()), "")
        raise UsageError(f"{path}: not {what} that can be read ({printable(text, 200)})") from error


def _require_size(path: Path, rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        raise UsageError(
            f"{path}: {rows:,} rows of {columns:,} columns, at most {MOST_CELLS:,} cells are read; choose by --columns"
        )


def _csv(path: Path, _: str | None, wanted: Wanted) -> Columns:
    with _reading(path, "CSV", csv.Error, UnicodeDecodeError), path.open(newline="", encoding="utf-8-sig") as file:
        head = file.readline()
        delimiter = max(",;\t", key=head.count)
        names = next(csv.reader([head], delimiter=delimiter), [])
        names = [name.strip() for name in names]
        if not names or len(set(names)) < len(names) or not all(names):
            raise UsageError(f"{path}: its first line must name each column, with no name twice; it is {quoted(head)}")
        rows = [row for row in islice(csv.reader(file, delimiter=delimiter), MOST_CELLS // len(names) + 1) if row]
        _require_size(path, len(rows), len(names))
        for number, row in enumerate(rows, start=2):
            if len(row) != len(names):
                raise UsageError(f"{path}, line {number}: {len(row)} cells, expected {len(names)}")
        return {one: [row[number] for row in rows] for number, one in enumerate(names) if wanted(one)}


def _parquet(path: Path, _: str | None, wanted: Wanted) -> Columns:
    import pyarrow as pa
    from pyarrow import parquet

    with _reading(path, "Parquet", pa.ArrowException):
        file = parquet.ParquetFile(path)
        flat = [field.name for field in file.schema_arrow if not pa.types.is_nested(field.type)]
        names = [name for name in flat if wanted(name)]
        _require_size(path, file.metadata.num_rows, len(names))
        table = file.read(columns=names)
        return {name: _arrow_cells(table[name], pa) for name in names}


def _arrow_cells(column: Any, pa: Any) -> Any:
    """Cells of a column: an array where it has no missing cell, else a list with None there."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("ns")) if column.type.tz is None else column.cast(pa.timestamp("ns", "UTC"))
        return column.to_numpy()
    plain = pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)
    return column.to_numpy() if plain and not column.null_count else column.to_pylist()


def _sqlite(path: Path, table: str | None, wanted: Wanted) -> Columns:
    uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    with _reading(path, "a database of SQLite", sqlite3.Error), closing(sqlite3.connect(uri, uri=True)) as database:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA query_only = ON")
        listed = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        name = _only([str(name) for (name,) in listed], table, path, "table")
        escaped = name.replace('"', '""')
        rows = database.execute(f'SELECT * FROM "{escaped}"')
        names = [str(one[0]) for one in rows.description]
        cells = rows.fetchmany(MOST_CELLS // len(names) + 1)
        _require_size(path, len(cells), len(names))
        return {one: [row[number] for row in cells] for number, one in enumerate(names) if wanted(one)}


def _root(path: Path, table: str | None, wanted: Wanted) -> Columns:
    import uproot

    with (
        _reading(path, "a ROOT file", uproot.exceptions.KeyInFileError, NotImplementedError),
        uproot.open(path) as file,
    ):
        trees = file.keys(cycle=False, filter_classname=["TTree", "ROOT::RNTuple", "ROOT::Experimental::RNTuple"])
        tree = file[_only(list(dict.fromkeys(trees)), table, path, "tree")]
        names = [name for name in tree.keys(recursive=False) if wanted(name)]
        _require_size(path, tree.num_entries, len(names))
        columns = {name: tree[name].array(library="np") for name in names}
        return {name: cells for name, cells in columns.items() if cells.ndim == 1}


def _only(names: Sequence[str], wanted: str | None, path: Path, what: str) -> str:
    """The table that is wanted, or the only one."""
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted in names:
        return str(wanted)
    known = printable(", ".join(names), 300) or "none"
    if wanted is None:
        raise UsageError(f"{path}: which {what}? Name it with --table; there are {known}")
    raise UsageError(f"{path}: no {what} {quoted(wanted)}{hint(wanted, names) or f'; there are {known}'}")


_BY_ENDING: dict[str, Callable[[Path, str | None, Wanted], Columns]] = {
    ".csv": _csv, ".tsv": _csv, ".parquet": _parquet, ".sqlite": _sqlite, ".sqlite3": _sqlite, ".db": _sqlite,
    ".root": _root,
}  # fmt: skip
ENDINGS = tuple(_BY_ENDING)
