"""Tables of conditions in a store: added by name, read as one value per run or per row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from owtrend.conditions.columns import is_key, table_of
from owtrend.conditions.files import read_columns
from owtrend.conditions.table import ConditionTable, Key, cleaned_name
from owtrend.errors import AmbiguousNameError, NotFoundError, UsageError, hint
from owtrend.store.reader import Reader
from owtrend.store.repository import Store

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Conditions", "Source", "add", "remove"]

_MOST_TABLES = 200
_ROLE = "conditions"  # of the writer: neither a live receiver nor `owtrend compute` has to stop


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file with conditions, and which of its columns are meant; see `owtrend.conditions.columns.table_of`."""

    path: Path
    table: str | None = None
    run_column: str | None = None
    time_column: str | None = None
    columns: Sequence[str] = ()

    def read(self, name: str | None = None, who: str = "") -> ConditionTable:
        """The table in the file; its ``name`` is that of the file if none is given.

        Raises
        ------
        UsageError
            If it cannot be read, or has no such columns.
        """
        named = {*self.columns, *(self.run_column or "").split(":"), self.run_column, self.time_column}
        columns = read_columns(
            self.path, self.table, lambda column: not self.columns or column in named or is_key(column)
        )
        return table_of(
            columns, name or cleaned_name(self.path.stem), run_column=self.run_column, time_column=self.time_column,
            chosen=self.columns, source=f"{self.path}{f' ({self.table})' if self.table else ''}", who=who,
            added=datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip


def add(store: Store, table: ConditionTable) -> bool:
    """Keep a table in a store, in place of one by the same name; returns true if it replaced one.

    Raises
    ------
    StoreLockedError
        If another process adds conditions at this moment.
    UsageError
        If there are too many tables.
    """
    with store.writer(_ROLE) as begin:
        reader = store.reader()
        names = reader.conditions
        if table.name not in names and len(names) >= _MOST_TABLES:
            raise UsageError(f"{store.location}: it has {len(names)} tables of conditions; at most {_MOST_TABLES}")
        transaction = begin()
        transaction.write_conditions(table.name, table.lines())
        transaction.commit(f"conditions {table.name}")
    return table.name in names


def remove(store: Store, name: str) -> None:
    """Remove a table of conditions; earlier versions of the store keep it.

    Raises
    ------
    NotFoundError
        If there is none by that name.
    """
    with store.writer(_ROLE) as begin:
        names = store.reader().conditions
        if name not in names:
            known = hint(name, names) or f"; there are {', '.join(names) or 'none'}"
            raise NotFoundError(f"{store.location}: no table of conditions {name!r}{known}")
        transaction = begin()
        transaction.delete(f"conditions/{name}")
        transaction.commit(f"without conditions {name}")


class Conditions:
    """All conditions of one state of a store. A condition is a column; ``table.column`` where several have one name."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    @cached_property
    def tables(self) -> dict[str, ConditionTable]:
        """By name.

        Raises
        ------
        StoreError
            If one of them cannot be read.
        """
        reader = self.reader
        return {
            name: ConditionTable.from_lines(reader.condition_lines(name), f"{reader.location}: the conditions {name}")
            for name in reader.conditions
        }

    @cached_property
    def places(self) -> dict[str, tuple[ConditionTable, str]]:
        """Table and column of each condition, by its name."""
        count: dict[str, int] = {}
        for table in self.tables.values():
            for column in table.columns:
                count[column] = count.get(column, 0) + 1
        return {
            column if count[column] == 1 else f"{table.name}.{column}": (table, column)
            for table in self.tables.values()
            for column in table.columns
        }

    def find(self, name: str) -> tuple[ConditionTable, str]:
        """The table and the column of a condition.

        Raises
        ------
        NotFoundError
            If there is none by that name.
        AmbiguousNameError
            If several tables have it.
        """
        if name in self.places:
            return self.places[name]
        table, _, column = name.partition(".")
        if column and table in self.tables and column in self.tables[table].columns:
            return self.tables[table], column
        alike = [one for one in self.places if one.endswith(f".{name}")]
        if alike:
            raise AmbiguousNameError(f"{self.reader.location}: several conditions {name!r}: {', '.join(alike)}")
        known = hint(name, self.places) or f"; there are {', '.join(self.places) or 'none'}"
        raise NotFoundError(f"{self.reader.location}: no condition {name!r}{known}; `owtrend conditions add` adds some")

    def of_runs(self, name: str, spans: Mapping[int, tuple[int, int]]) -> dict[int, Any]:
        """One value of a condition for each of some runs, whose begin and end [ns UTC] are given."""
        table, column = self.find(name)
        return {run: table.of_run(column, run, *span) for run, span in spans.items()}

    def at(self, name: str, run: int, times: NDArray[np.datetime64]) -> NDArray[Any]:
        """Values of a condition at times of a run, UTC: the last that was known at each."""
        table, column = self.find(name)
        return table.at(column, run, times.astype("datetime64[ns]").astype(np.int64))

    def along(self, name: str, trend: "xr.Dataset") -> tuple[str, NDArray[Any]]:
        """Values of a condition along the dim of a trend, and that dim: ``run``, ``time`` or ``snapshot``."""
        (dim,) = trend["value"].dims
        if dim == "run":
            begin, end = (
                trend[one].values.astype("datetime64[ns]").astype(np.int64).tolist() for one in ("start", "stop")
            )
            spans = dict(zip(trend["run"].values.tolist(), zip(begin, end, strict=True), strict=True))
            return str(dim), _array(list(self.of_runs(name, spans).values()))
        runs = np.broadcast_to(trend["run"].values, trend["time"].shape)
        pieces = {run: self.at(name, run, trend["time"].values[runs == run]) for run in np.unique(runs).tolist()}
        values = np.empty(len(runs), dtype=np.result_type(*pieces.values()) if pieces else np.float64)
        for run, piece in pieces.items():
            values[runs == run] = piece
        return str(dim), values

    def values(self, name: str, subsystem: str, run: int) -> NDArray[Any]:
        """Values of a condition for each snapshot of a run of a subsystem, as rules need them."""
        view = self.reader.subsystem(subsystem)
        return self.at(name, run, view.times(view.run_index(run)))

    def listing(self) -> pd.DataFrame:
        """What is kept: table, condition, what it is joined on, rows, runs or times, kind of its values, source."""
        kinds = {"f": "number", "i": "integer", "b": "true or false", "O": "text"}
        rows = []
        for name, (table, column) in self.places.items():
            on = {Key.RUN: "run", Key.RUNS: "first and last run", Key.TIME: "time"}[table.key]
            if table.key is Key.TIME and "run" in table.keys:
                on = "run and time"
            rows.append(
                {
                    "table": table.name, "condition": name, "joined on": on, "rows": len(table),
                    "values": kinds[table.columns[column].dtype.kind], "source": table.source, "who": table.who,
                    "added": table.added,
                }
            )  # fmt: skip
        columns = ["table", "condition", "joined on", "rows", "values", "source", "who", "added"]
        return pd.DataFrame(rows, columns=columns)

    def of_archive(self, runs: pd.DataFrame) -> pd.DataFrame:
        """Values of all conditions for the runs of an archive, as `owtrend.Archive.runs` has them."""
        begin, end = (runs[name].to_numpy("datetime64[ns]").astype(np.int64).tolist() for name in ("start", "stop"))
        spans = dict(zip(runs.index.tolist(), zip(begin, end, strict=True), strict=True))
        made = {name: _array(list(self.of_runs(name, spans).values())) for name in self.places}
        return pd.DataFrame(made, index=runs.index)


def _array(values: Sequence[Any]) -> NDArray[Any]:
    """Values of one condition: numbers, integers or bools, if all are; else objects."""
    array = np.array(values) if values and all(isinstance(one, int | float | np.generic) for one in values) else None
    if array is not None and array.dtype.kind in "ifb":
        return array
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
