"""One table of conditions, and its values for a run or at a time."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.display import quoted
from owtrend.errors import NotFoundError, UsageError, hint, reading

__all__ = ["MOST_CELLS", "ConditionTable", "Key", "cleaned_name", "require_name"]

MOST_CELLS = 20_000_000  # of a table
_MOST_COLUMNS = 500
_MOST_TEXT = 1000  # characters of a cell
_NAME = re.compile(r"[^\W\d]\w{0,99}")


class Key(StrEnum):
    """What the rows of a table belong to, as stored."""

    RUN = "run"  # a run
    RUNS = "runs"  # all runs from a first to a last one, such as a period
    TIME = "time"  # from a time on, until the next row; perhaps within one run only


_KEYS = {Key.RUN: ("run",), Key.RUNS: ("first_run", "last_run"), Key.TIME: ("time",)}


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionTable:
    """Columns of values, each row of which belongs to a run, to several, or to a time; sorted by that.

    Parameters
    ----------
    key
        What rows belong to.
    keys
        ``run``; ``first_run`` and ``last_run``, both included; or ``time`` [ns UTC], perhaps with ``run``.
    columns
        float64 (NaN where there is no value), int64, bool, or object: text, None where there is none.
    source
        Where it came from, as people gave it.
    who, added
        Who added it, and when (ISO 8601, UTC).
    """

    name: str
    key: Key
    keys: Mapping[str, NDArray[np.int64]]
    columns: Mapping[str, NDArray[Any]]
    source: str = ""
    who: str = ""
    added: str = ""

    @classmethod
    def sorted(
        cls, name: str, keys: Mapping[str, NDArray[np.int64]], columns: Mapping[str, NDArray[Any]], **more: str
    ) -> "ConditionTable":
        """A table whose rows are sorted and checked; what ``keys`` are there says what its rows belong to.

        Raises
        ------
        UsageError
            If a name is no name, there are too many cells, or two rows claim one run or one time.
        """
        key = Key.TIME if "time" in keys else Key.RUNS if "first_run" in keys else Key.RUN
        for column in (name, *columns):
            require_name(column)
        rows = len(next(iter(keys.values())))
        if not columns or not rows:
            raise UsageError(f"conditions {name!r}: nothing in it but {'keys' if rows else 'an empty table'}")
        if rows * len(columns) > MOST_CELLS or len(columns) > _MOST_COLUMNS:
            raise UsageError(
                f"conditions {name!r}: {rows:,} rows of {len(columns)} columns; at most {MOST_CELLS:,} cells and "
                f"{_MOST_COLUMNS} columns are kept: choose with --columns"
            )
        order = np.lexsort([keys[one] for one in (*reversed(_KEYS[key]), *(("run",) if "run" in keys else ()))])
        keys = {one: np.ascontiguousarray(values[order], dtype=np.int64) for one, values in keys.items()}
        made = cls(name=name, key=key, keys=keys, columns={one: cells[order] for one, cells in columns.items()}, **more)
        made._require_unique()
        return made

    def _require_unique(self) -> None:
        if self.key is Key.RUNS:
            first, last = self.keys["first_run"], self.keys["last_run"]
            wrong = np.flatnonzero(last < first)
            double = np.flatnonzero(first[1:] <= last[:-1]) if not len(wrong) else wrong
            if len(double):
                at = int(double[0])
                what = "ends before it begins" if len(wrong) else "overlaps the next"
                raise UsageError(f"conditions {self.name!r}: the row of runs {first[at]} to {last[at]} {what}")
            return
        every = np.stack(list(self.keys.values()))
        double = np.flatnonzero((every[:, 1:] == every[:, :-1]).all(axis=0))
        if len(double):
            where = ", ".join(f"{name} {_shown(name, int(every[n, double[0]]))}" for n, name in enumerate(self.keys))
            more = " Are these values over time? Name the column with --time-column" if self.key is Key.RUN else ""
            raise UsageError(f"conditions {self.name!r}: two rows for {where}; expected one.{more}")

    def __len__(self) -> int:
        return len(next(iter(self.keys.values())))

    def column(self, name: str) -> NDArray[Any]:
        """The values of a column, row by row.

        Raises
        ------
        NotFoundError
            If there is no such column.
        """
        if name not in self.columns:
            raise NotFoundError(f"conditions {self.name!r}: no column {name!r}{hint(name, self.columns)}")
        return self.columns[name]

    def at(self, name: str, run: int, times: NDArray[np.int64]) -> NDArray[Any]:
        """Values of a column for some times of a run [ns UTC]: each is the last one known at that time."""
        if self.key is not Key.TIME:
            rows = np.repeat(self._row_of(run), len(times))
        else:
            first, last = self._rows_of(run)
            rows = first - 1 + np.searchsorted(self.keys["time"][first:last], times, side="right")
            rows = np.where(rows < first, -1, rows)
        return _taken(self.column(name), rows)

    def of_run(self, name: str, run: int, start: int, stop: int) -> Any:
        """One value of a column for a run from ``start`` to ``stop`` [ns UTC]; NaN or None where it has none.

        Over time, numbers are averaged over the length of time that each holds; of other values, integers included,
        the one that holds longest is taken.
        """
        cells = self.column(name)
        if self.key is not Key.TIME:
            return _taken(cells, np.array([self._row_of(run)]))[0]
        first, last = self._rows_of(run)
        times = self.keys["time"][first:last]
        begin = max(int(np.searchsorted(times, start, side="right")) - 1, 0)
        end = int(np.searchsorted(times, stop, side="right"))
        if begin >= end:
            return _missing(cells)
        ends = np.append(times[begin + 1 : end], stop)
        lengths = np.maximum(ends - np.maximum(times[begin:end], start), 1).astype(np.float64)
        held = cells[first + begin : first + end]
        if held.dtype.kind == "f":
            known = ~np.isnan(held)
            return float(np.average(held[known], weights=lengths[known])) if known.any() else np.nan
        total: dict[Any, float] = {}
        for value, length in zip(held.tolist(), lengths.tolist(), strict=True):
            total[value] = total.get(value, 0.0) + length
        return max(total, key=lambda value: total[value])

    def _row_of(self, run: int) -> int:
        """The row of a run, -1 if it has none."""
        firsts = self.keys["run" if self.key is Key.RUN else "first_run"]
        row = int(np.searchsorted(firsts, run, side="right")) - 1
        last = firsts if self.key is Key.RUN else self.keys["last_run"]
        return row if row >= 0 and run <= last[row] else -1

    def _rows_of(self, run: int) -> tuple[int, int]:
        """The first row over time that belongs to a run, and the one after the last."""
        if "run" not in self.keys:
            return 0, len(self)
        first, last = (int(np.searchsorted(self.keys["run"], run, side=side)) for side in ("left", "right"))
        return first, last

    @cached_property
    def digest(self) -> str:
        """Hash of the contents: two tables of equal digests give the same values."""
        return hashlib.blake2b("\n".join(self.lines()[1:]).encode(), digest_size=8).hexdigest()

    def lines(self) -> list[str]:
        """JSON lines: what it is, then a line per key and column."""
        facts = {"name": self.name, "source": self.source, "who": self.who, "added": self.added, "rows": len(self)}
        keys = [json.dumps({"key": name, "values": values.tolist()}) for name, values in self.keys.items()]
        columns = [
            json.dumps({"column": name, "kind": cells.dtype.str, "values": _plain(cells)})
            for name, cells in self.columns.items()
        ]
        return [json.dumps(facts), *keys, *columns]

    @classmethod
    def from_lines(cls, lines: Sequence[str], where: str) -> "ConditionTable":
        """A table that a store holds; ``where`` names it in messages.

        Raises
        ------
        StoreError
            If they are not those of a table.
        """
        with reading(where, "`owtrend conditions remove` drops them"):
            facts, *rest = map(json.loads, lines)
            more = {name: str(facts[name]) for name in ("source", "who", "added")}
            keys = {one["key"]: np.array(one["values"], dtype=np.int64) for one in rest if "key" in one}
            columns = {one["column"]: _cells(one["kind"], one["values"]) for one in rest if "column" in one}
            if {len(values) for values in (*keys.values(), *columns.values())} != {facts["rows"]}:
                raise ValueError("columns of different lengths")
            return cls.sorted(str(facts["name"]), keys, columns, **more)


def require_name(name: str) -> None:
    """Raise UsageError if a table or column cannot be named like that: letters, digits and _, as in expressions."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"conditions: {quoted(name)} is no name; expected letters, digits and _, beginning with a letter, "
            "at most 100 characters"
        )


def cleaned_name(text: str) -> str:
    """A name of a column as expressions can have it: ``Beam energy [GeV]`` is ``Beam_energy_GeV``."""
    name = "_".join(re.findall(r"\w+", text))[:100]
    return f"_{name}"[:100] if name[:1].isdigit() else name


def _taken(cells: NDArray[Any], rows: NDArray[np.intp]) -> NDArray[Any]:
    """Cells of some rows; without a value where the row is -1, so integers become floats there."""
    found = cells[rows]
    absent = rows < 0
    if absent.any():
        found = found.astype(np.float64 if cells.dtype.kind in "if" else object)
        found[absent] = _missing(cells)
    return found


def _missing(cells: NDArray[Any]) -> float | None:
    return np.nan if cells.dtype.kind in "if" else None


def _plain(cells: NDArray[Any]) -> list[Any]:
    """Cells as JSON holds them: None for NaN."""
    values: list[Any] = cells.tolist()
    if cells.dtype.kind == "f":
        return [value if np.isfinite(value) else None if value != value else str(value) for value in values]
    return values


def _cells(kind: str, values: Sequence[Any]) -> NDArray[Any]:
    """Cells from JSON."""
    dtype = {"<f8": np.float64, "<i8": np.int64, "|b1": np.bool_, "|O": object}[kind]
    if dtype is np.float64:
        return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
    out: NDArray[Any] = np.empty(len(values), dtype=dtype)
    out[:] = [value if value is None else str(value)[:_MOST_TEXT] for value in values] if dtype is object else values
    return out


def _shown(name: str, value: int) -> str:
    return f"{np.datetime64(value, 'ns')} UTC" if name == "time" else str(value)
