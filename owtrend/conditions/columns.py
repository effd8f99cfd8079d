"""Columns of a file as the keys and values of a table of conditions."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.conditions.table import ConditionTable, cleaned_name
from owtrend.display import printable, quoted
from owtrend.errors import UsageError, hint
from owtrend.times import parse_time

__all__ = ["Columns", "is_key", "table_of", "typed"]

Columns = Mapping[str, Sequence[Any] | NDArray[Any]]  # by name in the file

_RUN = ("run", "runnumber", "runnr", "run_number", "run_nr", "run_no", "runno")
_RUNS = ("first_run", "firstrun", "run_first", "run_min"), ("last_run", "lastrun", "run_last", "run_max")
_TIME = ("time", "timestamp", "datetime", "date_time", "time_utc", "utc")
_TRUTH = {"true": True, "false": False, "yes": True, "no": False}
_LONGEST_TEXT = 1000
_SECONDS, _MILLISECONDS, _NANOSECONDS = (0, 2**33), (10**11, 2**33 * 1000), (10**17, 2**63)  # since 1970


def table_of(
    columns: Columns, name: str, *, run_column: str | None = None, time_column: str | None = None,
    chosen: Sequence[str] = (), **more: str,
) -> ConditionTable:  # fmt: skip
    """A table of conditions from the columns of a file.

    Parameters
    ----------
    columns
        By their names in the file: texts, numbers or times.
    run_column
        Of the run number; or two, ``first:last``; by default ``run``, ``first_run`` and ``last_run``, or similar.
    time_column
        Of the time from which on the values of a row hold, UTC; by default ``time`` or similar.
    chosen
        Columns to keep; all if there are none.
    more
        ``source``, ``who`` and ``added``.

    Raises
    ------
    UsageError
        If a column is missing, has no numbers or times where they are needed, or two have one name.
    """
    alike = {one.casefold(): one for one in columns}
    keys = _key_columns(alike, columns, run_column, time_column)
    wanted = list(chosen) or [one for one in columns if one not in keys.values()]
    for one in wanted:
        _require(one, columns)
    values: dict[str, NDArray[Any]] = {}
    for one in wanted:
        if (cleaned := cleaned_name(one)) in values or not cleaned:
            what = f"two columns are called {cleaned!r} here" if cleaned else "it has no letter in its name"
            raise UsageError(f"conditions: column {quoted(one)}: {what}; choose others with --columns")
        if (cells := typed(columns[one], one)) is not None:
            values[cleaned] = cells
    of_keys = {
        one: _times(columns[column], column) if one == "time" else _whole(columns[column], column)
        for one, column in keys.items()
    }
    return ConditionTable.sorted(name, of_keys, values, **more)


def is_key(name: str) -> bool:
    """True for a column that is taken for a run or a time where nobody names one."""
    return name.casefold() in {*_RUN, *_TIME, *_RUNS[0], *_RUNS[1]}


def _key_columns(
    alike: Mapping[str, str], columns: Columns, run_column: str | None, time_column: str | None
) -> dict[str, str]:
    """Columns of the keys, by key."""
    keys: dict[str, str] = {}

    def first_of(names: Sequence[str]) -> str | None:
        return next((alike[one] for one in names if one in alike), None)

    if time_column is not None:
        keys["time"] = _require(time_column, columns)
    elif run_column is None and (found := first_of(_TIME)) is not None:
        keys["time"] = found
    if run_column is not None:
        whole = run_column in columns
        pieces = [run_column] if whole else run_column.split(":")
        names = ["run"] if len(pieces) == 1 else ["first_run", "last_run"]
        if len(pieces) > 2 or (len(pieces) == 2 and keys):
            raise UsageError(f"conditions: --run-column {quoted(run_column)}: expected one column, or FIRST:LAST")
        keys |= {key: _require(column, columns) for key, column in zip(names, pieces, strict=True)}
    elif (found := first_of(_RUN)) is not None:
        keys["run"] = found
    elif not keys and (both := [first_of(names) for names in _RUNS]) and all(both):
        keys = {"first_run": str(both[0]), "last_run": str(both[1])}
    if not keys:
        known = printable(", ".join(columns), 300)
        raise UsageError(
            f"conditions: which column has the run or the time? Name it with --run-column or --time-column; there are "
            f"{known or 'none'}"
        )
    return keys


def _require(name: str, columns: Columns) -> str:
    if name not in columns:
        near = hint(name, columns)
        raise UsageError(
            f"conditions: no column {quoted(name)}{near or '; there are ' + printable(', '.join(columns), 300)}"
        )
    return name


def typed(values: Sequence[Any] | NDArray[Any], name: str) -> NDArray[Any] | None:
    """Cells as float64, int64, bool, or text; None for what is neither, such as lists in a cell."""
    array = values if isinstance(values, np.ndarray) else _from_list(values)
    match array.dtype.kind:
        case "b":
            return array
        case "f":
            return array.astype(np.float64)
        case "i" | "u":
            return array.astype(np.int64) if not len(array) or array.max() < 2**63 else array.astype(np.float64)
        case "M":
            array = np.array([None if np.isnat(one) else f"{one}Z" for one in array.astype("datetime64[us]")], object)
        case "S" | "U":
            array = array.astype(str).astype(object)
        case "O":
            pass
        case _:
            return None
    if array.ndim != 1 or any(isinstance(one, list | tuple | dict | set | np.ndarray) for one in array):
        return None
    return _from_texts([None if one is None or one != one else _text(one) for one in array], name)


def _from_list(values: Sequence[Any]) -> NDArray[Any]:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) and value.tzinfo else str(value)


def _from_texts(texts: Sequence[str | None], name: str) -> NDArray[Any]:
    """The narrowest kind that all texts are of; an empty text is no value."""
    known = [text.strip() for text in texts if text is not None and text.strip()]
    for kind, dtype in ((_truth, np.bool_), (_integer, np.int64), (float, np.float64)):
        whole = len(known) == len(texts) or dtype is np.float64
        if not whole or not known:
            continue
        try:
            if dtype is np.float64:
                return np.array([float(text) if text and text.strip() else np.nan for text in texts])
            return np.array([kind(text) for text in known], dtype=dtype)
        except (OverflowError, ValueError):
            continue
    if any(len(text) > _LONGEST_TEXT for text in known):
        raise UsageError(f"conditions: column {quoted(name)} has texts of more than {_LONGEST_TEXT:,} characters")
    out = np.empty(len(texts), dtype=object)
    out[:] = [text.strip() if text and text.strip() else None for text in texts]
    return out


def _truth(text: str) -> bool:
    try:
        return _TRUTH[text.casefold()]
    except KeyError as error:
        raise ValueError(text) from error


def _integer(text: str) -> int:
    if "_" in text or len(text) > 20:
        raise ValueError(text)
    return int(text)


def _whole(values: Sequence[Any] | NDArray[Any], name: str) -> NDArray[np.int64]:
    """Run numbers."""
    cells = typed(values, name)
    if cells is not None and cells.dtype.kind == "f" and (np.isfinite(cells) & (cells == np.trunc(cells))).all():
        cells = cells.astype(np.int64)
    if cells is None or cells.dtype.kind != "i" or (len(cells) and cells.min() < 0):
        raise UsageError(f"conditions: column {quoted(name)} has cells that are no run numbers; every row needs one")
    return cells


def _times(values: Sequence[Any] | NDArray[Any], name: str) -> NDArray[np.int64]:
    """Times in ns UTC: ISO 8601 texts, times, or seconds, milliseconds or nanoseconds since 1970."""
    array = values if isinstance(values, np.ndarray) else _from_list(values)
    try:
        if array.dtype.kind == "M":
            if np.isnat(array).any():
                raise ValueError("a missing time")
            return array.astype("datetime64[ns]").astype(np.int64)
        cells = typed(array, name)
        if cells is None or cells.dtype.kind == "b":
            raise ValueError("no times")
        if cells.dtype.kind in "if":
            return _since_1970(cells)
        return np.array([parse_time(text).astype("datetime64[ns]").astype(np.int64) for text in cells], dtype=np.int64)
    except (OverflowError, TypeError, ValueError) as error:
        raise UsageError(
            f"conditions: column {quoted(name)} has cells that are no times ({printable(str(error), 100)}); expected "
            "ISO 8601 such as 2018-06-01T10:30:00, in UTC, or seconds since 1970"
        ) from error


def _since_1970(cells: NDArray[Any]) -> NDArray[np.int64]:
    for (first, last), unit in ((_SECONDS, 10**9), (_MILLISECONDS, 10**6), (_NANOSECONDS, 1)):
        if len(cells) and cells.min() >= first and cells.max() < last:
            if cells.dtype.kind == "i":
                return np.asarray(cells * unit, dtype=np.int64)
            whole = np.floor(cells)
            return np.asarray(whole.astype(np.int64) * unit + np.rint((cells - whole) * unit).astype(np.int64))
    raise ValueError("numbers that are no seconds, milliseconds or nanoseconds since 1970")
