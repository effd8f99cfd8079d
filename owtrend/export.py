"""What leaves a store: time slices as ROOT files, trends as Parquet, CSV and NDJSON, and the runs' summaries.

Files are written under a temporary name beside their own and moved in place when they are complete.
"""

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.catalog import HistogramEntry, matching
from owtrend.errors import NotFoundError, UsageError
from owtrend.pipeline import blocks
from owtrend.reader import Reader, SubsystemReader
from owtrend.reduce import REDUCTORS, TrendArrays, applicable, run_trends
from owtrend.slices import Interval, time_slices
from owtrend.snapshot import display_name
from owtrend.store import Store

__all__ = ["FORMATS", "ExportSummary", "SliceSummary", "export_slice", "export_trends", "run_table"]

_MANY_RUNS = 8  # from which on their rows are read at once


@dataclass(frozen=True, kw_only=True)
class SliceSummary:
    """What `export_slice` wrote.

    ``start`` and ``stop`` are UTC texts, ``start`` None where the slice counts since the run began. ``widened`` has by
    name the class before and after, ``rebinned`` the names of further binnings, ``renamed`` by name the one in the
    file, ``absent`` what no snapshot of the interval holds, ``partial`` by name the interval of what is not in all.
    """

    file: str
    run: int
    subsystem: str
    histograms: int
    start: str | None
    stop: str
    snapshots: int
    restarts: int
    gaps: int
    reported: int
    widened: dict[str, tuple[str, str]]
    rebinned: tuple[str, ...]
    renamed: dict[str, str]
    absent: tuple[str, ...]
    partial: dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What `export_trends` wrote; ``rows`` are snapshots, ``trends`` pairs of histogram and reductor."""

    file: str
    rows: int
    trends: int
    runs: int
    bytes: int


def export_slice(
    location: str | Path, run: int, subsystem: str, path: Path, start: Any = None, stop: Any = None, *,
    select: Sequence[str] = (),
) -> SliceSummary:  # fmt: skip
    """Write the time slice of every histogram of a subsystem as a ROOT file.

    The histograms are ROOT's own, of the classes that `owtrend.slices.time_slices` tells, in the folders that they came
    in: ``GetBinContent``, ``GetBinError``, ``GetEntries``, ``GetMean``, ``GetStdDev`` are owtrend's numbers. Containers
    become folders. Drawing attributes, attached functions and the limits of a profile are not in the store.

    Raises
    ------
    StoreError, NotFoundError, UsageError
        If there is no such store; no such run, subsystem, snapshot or histogram; no folder for the file.
    """
    from owtrend import root_writer

    made = time_slices(Store.open(location).reader(), subsystem, run, start, stop, select=select)
    with _complete(path) as unfinished:
        places = root_writer.write(unfinished, made.histograms)
    whole = _interval(made.interval)
    ends = ("start", "stop", "snapshots")
    return SliceSummary(
        file=str(path), run=run, subsystem=subsystem, histograms=len(made), **whole,
        widened={display_name(own): (before, made[own].class_name) for own, before in made.widened.items()},
        rebinned=tuple(map(display_name, made.rebinned)),
        renamed={display_name(own): display_name(place) for own, place in places.items() if own != place},
        absent=tuple(map(display_name, made.absent)),
        partial={
            display_name(own): _interval(interval)
            for own, interval in made.intervals.items()
            if any(_interval(interval)[name] != whole[name] for name in ends)
        },
    )  # fmt: skip


def run_table(
    location: str | Path, *, subsystem: str | None = None, histograms: Sequence[str] = (),
    reductors: Sequence[str] = (), runs: Sequence[int] | None = None,
) -> list[dict[str, Any]]:  # fmt: skip
    """The reductors of whole runs: a dict of run, subsystem, histogram, reductor, value and error for each.

    Parameters
    ----------
    subsystem, histograms, reductors, runs
        Only these; ``histograms`` are patterns of displayed names, ``mean`` and ``std`` are those along x.

    Returns
    -------
    :
        By subsystem, run, histogram and reductor; only histograms that the run holds. ``value`` and ``error`` are NaN
        where nothing was gained. Stored, or else computed now.

    Raises
    ------
    StoreError, NotFoundError, UsageError
        If there is no such store; no such subsystem, histogram or run; no such reductor.
    """
    wanted = _reductors(reductors)
    reader = Store.open(location).reader()
    chosen = _chosen(reader, subsystem, histograms, wanted, runs)
    rows = []
    for name, known, entries in chosen:
        view = reader.subsystem(name)
        for run in known:
            used = _held(view, run)
            held = [entry for entry in entries if any(used[number] for number, _ in entry.segments)]
            trends = _trends(view, run, held, ("run_value", "run_error"))
            for row, (entry, label) in enumerate(zip(held, _labels(held), strict=True)):
                for reductor in _of(entry, wanted):
                    column = list(REDUCTORS).index(reductor)
                    value, error = (float(trends[part][row, column]) for part in ("run_value", "run_error"))
                    which = {"run": run, "subsystem": name, "histogram": label, "reductor": reductor}
                    rows.append({**which, "value": value, "error": error})
    return rows


def export_trends(
    location: str | Path, path: Path, *, subsystem: str | None = None, histograms: Sequence[str] = (),
    reductors: Sequence[str] = (), runs: Sequence[int] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> ExportSummary:  # fmt: skip
    """Write trends as a table: one row per run, subsystem and snapshot.

    Columns: ``run``, ``subsystem``, ``time`` (the snapshot, UTC); per histogram ``<histogram>:<reductor>`` and
    ``<histogram>:<reductor>:error`` (of what it gained), ``<histogram>:exposure`` (seconds in which it was gained; none
    for what a run gained up to its first snapshot) and ``<histogram>:reported`` (whether it changed). Empty where there
    is nothing. Histograms of one name in two subsystems share their columns. Written run by run: memory holds one run.

    Parameters
    ----------
    path
        A name that ends with one of `FORMATS`: ``.parquet`` (a row group per run and subsystem), ``.csv`` or
        ``.ndjson`` (an object per line, without what is empty).
    subsystem, histograms, reductors, runs
        As in `run_table`.
    progress
        Called with a word on what is being done, and how many runs of how many are done.

    Raises
    ------
    StoreError, NotFoundError, UsageError
        As `run_table`; also for an unknown ending, or no folder for the file.
    """
    if path.suffix not in FORMATS:
        raise UsageError(f"{path}: no format for {path.suffix!r}; give a name that ends with {', '.join(FORMATS)}")
    wanted = _reductors(reductors)
    reader = Store.open(location).reader()
    chosen = _chosen(reader, subsystem, histograms, wanted, runs)
    columns: dict[str, str] = {"run": "int64", "subsystem": "string", "time": "time"}
    trends: dict[str, None] = {}
    for _, _, entries in chosen:
        for entry, label in zip(entries, _labels(entries), strict=True):
            for reductor in _of(entry, wanted):
                trends[f"{label}:{reductor}"] = None
                columns |= {f"{label}:{reductor}{end}": "float64" for end in ("", ":error")}
            columns |= {f"{label}:exposure": "seconds", f"{label}:reported": "bool"}
    total, done, rows = sum(len(known) for _, known, _ in chosen), 0, 0
    with _complete(path) as unfinished, FORMATS[path.suffix](unfinished, columns) as write:
        for name, known, entries in chosen:
            view = reader.subsystem(name)
            for run in known:
                table = _run_columns(view, run, entries, wanted)
                count = len(table["time"])
                write({"run": np.full(count, run), "subsystem": np.full(count, name, dtype=object), **table})
                rows, done = rows + count, done + 1
                if progress:
                    progress("exporting trends", done, total)
    numbers = {run for _, known, _ in chosen for run in known}
    return ExportSummary(
        file=str(path), rows=rows, trends=len(trends), runs=len(numbers), bytes=path.stat().st_size
    )


Chosen = list[tuple[str, list[int], list[HistogramEntry]]]


def _chosen(
    reader: Reader, subsystem: str | None, histograms: Sequence[str], wanted: Sequence[str],
    runs: Sequence[int] | None,
) -> Chosen:  # fmt: skip
    """Of each subsystem the runs, sorted, and of the histograms that were asked for those that these runs hold."""
    views = {name: reader.subsystem(name) for name in (reader.subsystems if subsystem is None else (subsystem,))}
    where = reader.location if subsystem is None else views[subsystem].where
    every = [entry for view in views.values() for entry in view.registry.histograms.values()]
    asked = set(matching(every, histograms, where))
    if missing := set(runs or ()) - {run for view in views.values() for run in view.places}:
        raise NotFoundError(f"{where}: no run {', '.join(map(str, sorted(missing)))}; `owtrend runs` lists them")
    chosen = []
    for name, view in views.items():
        known = sorted(run for run in view.places if runs is None or run in runs)
        if len(known) > _MANY_RUNS:
            view.read_all_rows()
        held = np.zeros(len(view.registry), dtype=bool)
        for run in known:
            held |= _held(view, run)
        entries = [
            entry
            for entry in view.registry.histograms.values()
            if entry in asked and _of(entry, wanted) and any(held[number] for number, _ in entry.segments)
        ]
        if entries:
            chosen.append((name, known, entries))
    return chosen


def _held(view: SubsystemReader, run: int) -> NDArray[np.bool_]:
    """Whether any row of a run holds each segment."""
    held: NDArray[np.bool_] = np.any(view.holds[np.unique(view.layout(view.place(run)))], axis=0)
    return held


def _reductors(names: Sequence[str]) -> list[str]:
    """By their own names, in their own order; all if none is named."""
    own = {{"mean": "mean_x", "std": "std_x"}.get(name, name) for name in names}
    if unknown := own - set(REDUCTORS):
        raise UsageError(f"no reductor {', '.join(sorted(unknown))}; there are {', '.join(REDUCTORS)}")
    return [name for name in REDUCTORS if name in own or not own]


def _of(entry: HistogramEntry, wanted: Sequence[str]) -> list[str]:
    """The reductors of ``wanted`` that have a meaning for a histogram."""
    known = {name for _, segment in entry.segments for name in applicable(segment)}
    return [name for name in wanted if name in known]


def _trends(view: SubsystemReader, run: int, entries: Sequence[HistogramEntry], arrays: Sequence[str]) -> TrendArrays:
    """Some of the arrays that `run_trends` makes, stored or else made now, a block of histograms at a time."""
    place = view.place(run)
    rows = len(view.times(place))
    stored, reductors = view.trend_names
    columns = {name: number for number, name in enumerate(stored)}
    wanted = [columns.get(json.dumps(entry.path), -1) for entry in entries]
    fresh = view.trend_revisions[place] == view.per_run["revision"][place]
    over_time = [slice(0, rows), slice(min(wanted, default=0), max(wanted, default=0) + 1)]
    if fresh and reductors == list(REDUCTORS) and min(wanted, default=0) >= 0:
        numbers = np.array(wanted, dtype=np.intp) - over_time[1].start
        found = {}
        for name in arrays:
            over = over_time[1:] if name.startswith("run_") else over_time
            found[name] = view.trend_array(name, place, *over).take(numbers, axis=len(over) - 1)
        return found
    pieces = [run_trends(view, run, entries[first:last]) for first, last in blocks(entries, rows)]
    return {
        name: np.concatenate([piece[name] for piece in pieces], axis=0 if name.startswith("run_") else 1)
        for name in arrays
    }


def _run_columns(
    view: SubsystemReader, run: int, entries: Sequence[HistogramEntry], wanted: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Columns of one run, see `export_trends`."""
    place = view.place(run)
    times = view.times(place)
    trends = _trends(view, run, entries, ("value", "error", "begin", "reported"))
    exposure = (times[:, None] - trends["begin"].view("datetime64[ns]")) / np.timedelta64(1, "s")
    holds = view.holds[view.layout(place)]
    table: dict[str, NDArray[Any]] = {"time": times}
    for column, (entry, label) in enumerate(zip(entries, _labels(entries), strict=True)):
        held = holds[:, [number for number, _ in entry.segments]].any(axis=1)
        if not held.any():
            continue
        for reductor in _of(entry, wanted):
            which = list(REDUCTORS).index(reductor)
            table[f"{label}:{reductor}"] = trends["value"][:, column, which]
            table[f"{label}:{reductor}:error"] = trends["error"][:, column, which]
        reported = trends["reported"][:, column].astype(object)
        reported[~held] = None
        table |= {f"{label}:exposure": exposure[:, column], f"{label}:reported": reported}
    return table


def _labels(entries: Sequence[HistogramEntry]) -> list[str]:
    """Displayed names, or the tuples of the paths where names display alike."""
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
                kept = {name: cell for name, cell in zip(table, row, strict=True) if _is_told(cell)}
                file.write(json.dumps(kept, ensure_ascii=False) + "\n")

        yield write


# By the ending of the name: opens a file for these columns, and gives what appends the rows of one run.
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


def _is_told(cell: Any) -> bool:
    return cell is not None and (not isinstance(cell, float) or bool(np.isfinite(cell)))


def _interval(interval: Interval) -> dict[str, Any]:
    """An interval as JSON has it."""
    told: dict[str, Any] = asdict(interval)
    for name in ("start", "stop"):
        told[name] = None if np.isnat(told[name]) else str(np.datetime_as_string(told[name], "s"))
    return told


@contextmanager
def _complete(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``; what is written there is moved in place if all went well, else removed."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: no folder {path.parent}; make it first")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        unfinished.unlink(missing_ok=True)
