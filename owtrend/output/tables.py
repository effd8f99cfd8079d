"""Writes trends as tables: Parquet, CSV, NDJSON; and lists those of whole runs."""

import csv
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.conditions.stored import Conditions
from owtrend.config import Config
from owtrend.detectors.listing import home
from owtrend.display import DisplayedFields
from owtrend.errors import NotFoundError, UsageError
from owtrend.model.registry import HistogramEntry, matching
from owtrend.output.whole_file import whole_file
from owtrend.store.reader import SubsystemReader
from owtrend.store.repository import Store
from owtrend.trends.query import row_by_row, run_by_run
from owtrend.trends.reductors import Reductor, axis_words
from owtrend.trends.settings import existing, kept, kept_reductors, parse_stored

__all__ = ["FORMATS", "ExportSummary", "RunTable", "export_trends", "run_table"]

_SLAB = 2**20  # numbers read at once

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, repr=False)
class ExportSummary(DisplayedFields):
    """Summary of `export_trends`; ``rows`` are snapshots, ``trends`` pairs of histogram and reductor."""

    file: str
    rows: int
    trends: int
    runs: int
    bytes: int


@dataclass(frozen=True, kw_only=True, eq=False)
class RunTable:
    """The trends of whole runs that were chosen, read by `rows`."""

    config: Config
    chosen: "list[_Chosen]"

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows by subsystem."""
        return {one.subsystem: sum(1 for _ in one.trends()) for one in self.chosen}

    def rows(self) -> list[dict[str, Any]]:
        """A dict of run, subsystem, histogram, reductor, value and error for each; see `run_table`."""
        rows = []
        for one in self.chosen:
            found = run_by_run(one.view, one.subsystem, self.config, one.runs, one.entries, one.reductors)
            value, error, labels = found["value"].values, found["error"].values, _labels(one.entries)
            for place in one.trends():
                number, column, which = place
                names = {"histogram": labels[column], "reductor": one.reductors[which].name}
                numbers = {"value": float(value[place]), "error": float(error[place])}
                rows.append({"run": one.runs[number], "subsystem": one.subsystem, **names, **numbers})
        return rows


def run_table(
    location: str | Path, *, subsystem: str | None = None, histograms: Sequence[str] = (),
    reductors: Sequence[str] = (), runs: Sequence[int] | None = None,
) -> RunTable:  # fmt: skip
    """The reductors of whole runs: ``rows()`` has run, subsystem, histogram, reductor, value and error of each.

    Parameters
    ----------
    subsystem, histograms, reductors, runs
        Only these; ``histograms`` are patterns of displayed names, ``mean`` and ``std`` are those along x.

    Returns
    -------
    :
        By subsystem, run, histogram and reductor; only histograms that the run holds. ``value`` and ``error`` are NaN
        where there were no entries. Stored, or else computed now.

    Raises
    ------
    StoreError, NotFoundError, UsageError
        If there is no such store; no such subsystem, histogram or run; no such reductor.
    """
    config, chosen = _chosen(location, subsystem, histograms, reductors, runs)
    return RunTable(config=config, chosen=chosen)


def export_trends(
    location: str | Path, path: Path, *, subsystem: str | None = None, histograms: Sequence[str] = (),
    reductors: Sequence[str] = (), runs: Sequence[int] | None = None, conditions: Sequence[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> ExportSummary:  # fmt: skip
    """Write trends as a table: one row per run, subsystem and snapshot.

    Columns: ``run``, ``subsystem``, ``time`` (the snapshot, UTC); per histogram ``<histogram>:<reductor>`` and
    ``<histogram>:<reductor>:error`` (of its increment), ``<histogram>:exposure`` (length of the increment [s]; none up
    to the first snapshot of a run) and ``<histogram>:reported`` (whether it changed). Empty where there is no value. A
    ratio or efficiency has an exposure of its own, ``<histogram>:<reductor>:exposure``: from report to report of both.
    Histograms of one name in two subsystems share their columns. Memory holds some runs at a time.

    Parameters
    ----------
    path
        A name that ends with one of `FORMATS`: ``.parquet`` (a row group per run and subsystem), ``.csv`` or
        ``.ndjson`` (an object per line, without what is empty).
    subsystem, histograms, reductors, runs
        As in `run_table`.
    conditions
        Conditions of runs, each a column by its name: the value that held at the time of the snapshot. ``*``: all.
    progress
        Called with the name of the step, the number of runs done and their total.

    Raises
    ------
    StoreError, NotFoundError, UsageError
        As `run_table`; also for an unknown ending, or no folder for the file.
    """
    if path.suffix not in FORMATS:
        raise UsageError(f"{path}: no format for {path.suffix!r}; give a name that ends with {', '.join(FORMATS)}")
    config, chosen = _chosen(location, subsystem, histograms, reductors, runs)
    columns: dict[str, str] = {"run": "int64", "subsystem": "string", "time": "time"}
    trends: dict[str, None] = {}
    for one in chosen:
        for fitting, label in zip(one.fitting, _labels(one.entries), strict=True):
            for which in fitting:
                name = f"{label}:{one.reductors[which].name}"
                trends[name] = None
                columns |= {name: "float64", f"{name}:error": "float64"}
                if one.reductors[which].other:
                    columns |= {f"{name}:exposure": "seconds"}
            columns |= {f"{label}:exposure": "seconds", f"{label}:reported": "bool"}
    joined = _Joined(Conditions(Store.open(location).reader()), conditions)
    columns |= joined.columns
    total, done, rows = sum(len(one.runs) for one in chosen), 0, 0
    with whole_file(path) as unfinished, FORMATS[path.suffix](unfinished, columns) as write:
        for one in chosen:
            for run, table in _tables(one, config):
                count = len(table["time"])
                names = {"run": np.full(count, run), "subsystem": np.full(count, one.subsystem, dtype=object)}
                write(names | table | joined.of(run, table["time"]))
                rows, done = rows + count, done + 1
                if progress:
                    progress("exporting trends", done, total)
    numbers = {run for one in chosen for run in one.runs}
    return ExportSummary(file=str(path), rows=rows, trends=len(trends), runs=len(numbers), bytes=path.stat().st_size)


class _Joined:
    """Columns of conditions in a table of trends."""

    def __init__(self, conditions: Conditions, names: Sequence[str]) -> None:
        wanted = list(conditions.places) if "*" in names else names
        self._conditions, self._names = conditions, dict[str, str]()
        self.columns: dict[str, str] = {}
        for name in wanted:
            table, column = conditions.find(name)
            label = f"{table.name}.{column}" if name in ("run", "subsystem", "time") else name
            self._names[label] = name
            self.columns[label] = {"b": "bool", "O": "string"}.get(table.columns[column].dtype.kind, "float64")

    def of(self, run: int, times: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Values at the times of the snapshots of a run."""
        return {label: self._conditions.at(name, run, times) for label, name in self._names.items()}


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The runs of one subsystem, sorted, their histograms, and the reductors that mean something for each."""

    view: SubsystemReader
    subsystem: str
    runs: list[int]
    entries: list[HistogramEntry]
    reductors: list[Reductor]
    fitting: list[list[int]]

    def trends(self) -> Iterator[tuple[int, int, int]]:
        """Positions among the runs, entries and reductors of all trends of whole runs that the store holds."""
        for number, run in enumerate(self.runs):
            held = _held(self.view, run)
            for column, entry in enumerate(self.entries):
                if any(held[segment] for segment, _ in entry.segments):
                    for which in self.fitting[column]:
                        yield number, column, which


def _chosen(
    location: str | Path, subsystem: str | None, histograms: Sequence[str], names: Sequence[str],
    runs: Sequence[int] | None,
) -> tuple[Config, list[_Chosen]]:  # fmt: skip
    """What exists of the store's configuration; the chosen runs, histograms and reductors, by subsystem."""
    reader = Store.open(location).reader()
    config = existing(reader.config, reader)
    homes = [home(reader, name) for name in (reader.subsystems if subsystem is None else (subsystem,))]
    views = {of.view.name: of.view for of in homes}
    where = reader.location if subsystem is None else homes[0].view.where
    every = [entry for of in homes for entry in of.entries]
    asked = set(matching(every, histograms, where))
    missing = set(runs or ()) - {run for view in views.values() for run in view.run_indices}
    for name in names:
        if words := axis_words(name, (entry.first for entry in every if entry in asked)):
            _log.warning("%s", words)
    if missing and (subsystem is None or missing == set(runs or ())):  # in one subsystem, a range may have holes
        raise NotFoundError(f"{where}: no run {', '.join(map(str, sorted(missing)))}; `owtrend runs` lists them")
    chosen = []
    for name, view in views.items():
        known = sorted(run for run in view.run_indices if runs is None or run in runs)
        layouts = view.layouts_of_runs[[view.run_index(run) for run in known]].any(axis=0)
        held: NDArray[np.bool_] = np.any(view.holds[layouts], axis=0)
        reductors = [parse_stored(view, one) for one in names or kept_reductors(config, name)]
        entries, fitting = [], []
        for entry in view.registry.histograms.values():
            fits = [
                number
                for number, one in enumerate(reductors)
                if any(one.fits(segment) for _, segment in entry.segments)
                and (names or kept(config, name, entry, one.name))
            ]
            if entry in asked and fits and any(held[number] for number, _ in entry.segments):
                entries.append(entry)
                fitting.append(fits)
        if entries:
            chosen.append(
                _Chosen(
                    view=view, subsystem=name, runs=known, entries=entries, reductors=reductors, fitting=fitting
                )
            )  # fmt: skip
    return config, chosen


def _held(view: SubsystemReader, run: int) -> NDArray[np.bool_]:
    """True for each segment that a row of the run holds."""
    held: NDArray[np.bool_] = np.any(view.holds[view.layouts_of_runs[view.run_index(run)]], axis=0)
    return held


def _tables(one: _Chosen, config: Config) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    """Runs, each with its columns; many are read at once, for a read takes most of a millisecond."""
    shown = one.view.per_run["n_snapshots"]
    per_row = len(one.entries) * len(one.reductors)
    group: list[int] = []
    counts: list[int] = []
    for number, run in enumerate(one.runs):
        group.append(run)
        counts.append(int(shown[one.view.run_index(run)]))
        if number + 1 == len(one.runs) or sum(counts) * per_row > _SLAB:
            made = row_by_row(one.view, one.subsystem, config, group, one.entries, one.reductors, ragged=True)
            numbers = {name: made[name].values for name in ("time", "value", "error", "exposure", "reported")}
            for run_of_group, stop, count in zip(group, np.cumsum(counts).tolist(), counts, strict=True):
                own = {name: values[stop - count : stop] for name, values in numbers.items()}
                yield run_of_group, _run_columns(one, run_of_group, own)
            group, counts = [], []


def _run_columns(one: _Chosen, run: int, own: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Columns of one run, see `export_trends`, from what `row_by_row` has of it."""
    value, error, exposure, reports = (own[name] for name in ("value", "error", "exposure", "reported"))
    exposure = np.broadcast_to(exposure.reshape(*exposure.shape[:2], -1), value.shape)
    plain = next((which for which, single in enumerate(one.reductors) if not single.other), 0)
    holds = one.view.holds[one.view.layout(one.view.run_index(run))]
    table: dict[str, NDArray[Any]] = {"time": own["time"]}
    for column, (entry, label) in enumerate(zip(one.entries, _labels(one.entries), strict=True)):
        held = holds[:, [number for number, _ in entry.segments]].any(axis=1)
        if not held.any():
            continue
        for which in one.fitting[column]:
            name = f"{label}:{one.reductors[which].name}"
            table |= {name: value[:, column, which], f"{name}:error": error[:, column, which]}
            if one.reductors[which].other:
                table |= {f"{name}:exposure": exposure[:, column, which]}
        reported = reports[:, column].astype(object)
        reported[~held] = None
        table |= {f"{label}:exposure": exposure[:, column, plain], f"{label}:reported": reported}
    return table


def _labels(entries: Sequence[HistogramEntry]) -> list[str]:
    """Displayed names, or the tuples of the paths where several display alike."""
    seen = Counter(entry.name for entry in entries)
    return [entry.name if seen[entry.name] == 1 else repr(entry.path) for entry in entries]


Write = Callable[[dict[str, NDArray[Any]]], None]


@contextmanager
def _parquet(path: Path, columns: dict[str, str]) -> Iterator[Write]:
    import pyarrow as pa
    from pyarrow import parquet

    types = {
        "int64": pa.int64(), "string": pa.dictionary(pa.int32(), pa.string()), "time": pa.timestamp("ns", tz="UTC"),
        "float64": pa.float64(), "seconds": pa.float64(), "bool": pa.bool_(),
    }  # fmt: skip
    schema = pa.schema(
        [pa.field(name, types[kind], metadata={"units": "s"} if kind == "seconds" else None)
         for name, kind in columns.items()]
    )  # fmt: skip
    with parquet.ParquetWriter(path, schema) as writer:

        def write(table: dict[str, NDArray[Any]]) -> None:
            rows = len(table["time"])
            arrays = [
                pa.array(table[field.name], type=field.type, from_pandas=True)
                if field.name in table
                else pa.nulls(rows, type=field.type)
                for field in schema
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

        yield write


# pyarrow.csv is faster, but writes 1.0 as 1, so that a column of whole numbers comes back as integers.
@contextmanager
def _csv(path: Path, columns: dict[str, str]) -> Iterator[Write]:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(columns)

        def write(table: dict[str, NDArray[Any]]) -> None:
            empty = [""] * len(table["time"])
            texts = [[_text(cell) for cell in _cells(table[name])] if name in table else empty for name in columns]
            rows.writerows(zip(*texts, strict=True))

        yield write


@contextmanager
def _ndjson(path: Path, columns: dict[str, str]) -> Iterator[Write]:
    with path.open("w", encoding="utf-8") as file:

        def write(table: dict[str, NDArray[Any]]) -> None:
            for row in zip(*map(_cells, table.values()), strict=True):
                kept = {name: cell for name, cell in zip(table, row, strict=True) if _has_value(cell)}
                file.write(json.dumps(kept, ensure_ascii=False) + "\n")

        yield write


# By the ending of the name: opens a file for these columns and returns a function that appends the rows of one run.
FORMATS: dict[str, Callable[[Path, dict[str, str]], Any]] = {".parquet": _parquet, ".csv": _csv, ".ndjson": _ndjson}


def _cells(column: NDArray[Any]) -> list[Any]:
    if column.dtype.kind == "M":
        return [f"{text}Z" for text in np.datetime_as_string(column, unit="ns")]
    cells: list[Any] = column.tolist()
    return cells


def _text(cell: Any) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    return "" if cell is None or cell != cell else str(cell)


def _has_value(cell: Any) -> bool:
    return cell is not None and (not isinstance(cell, float) or bool(np.isfinite(cell)))
