"""Tables of what a store holds: runs, histograms and quarantine; and the runs and histograms that a call asks for."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from owtrend.histograms.run_histogram import by_binning
from owtrend.model.histogram import Path
from owtrend.model.registry import HistogramEntry, Segment, matching
from owtrend.model.rows import NotStored, State
from owtrend.model.wording import plural
from owtrend.store.quarantine import missing_snapshots
from owtrend.store.reader import Reader, SubsystemReader

__all__ = [
    "carried_table", "changes_table", "event_words", "histogram_rows", "histograms_table", "kinds_table",
    "not_stored_table", "quarantine_table", "runs_table", "select_histograms", "select_runs",
]  # fmt: skip

_RUNS_AT_ONCE = 16  # whose states are read
_RUN_COLUMNS = ["start", "stop", "duration", "snapshots", "unreadable", "subsystems", "mode"]
_HISTOGRAM_COLUMNS = [
    "path", "class", "kind", "dims", "bins", "axes", "title", "reductors", "first_run", "last_run",
]  # fmt: skip
_QUARANTINE_COLUMNS = ["source", "object", "subsystem", "run", "time", "reason"]


def runs_table(reader: Reader) -> pd.DataFrame:
    """The runs of all subsystems; see `owtrend.Archive.runs`."""
    columns = ["run", "n_snapshots", "start", "stop", "mode"]
    pieces = []
    for name in reader.subsystems:
        per_run = reader.subsystem(name).per_run
        table = pd.DataFrame({column: per_run[column] for column in columns})
        pieces.append(table[table["n_snapshots"] > 0].assign(subsystem=name, unreadable=0))
    pieces += [
        pd.DataFrame(
            {"run": [run], "n_snapshots": 0, "start": min(times), "stop": max(times), "mode": "", "subsystem": "",
             "unreadable": sum(map(len, times.values()))}
        )
        for (_, run), times in missing_snapshots(reader.quarantine).items()
    ]  # fmt: skip
    if not pieces:
        return pd.DataFrame(columns=_RUN_COLUMNS, index=pd.Index([], name="run", dtype=np.int64))
    every = pd.concat(pieces)
    readable = every["n_snapshots"] > 0
    timed = every[readable | ~every["run"].isin(every["run"][readable])]  # unreadable files only of runs with no others
    by_run = every.groupby("run")
    table = pd.DataFrame(
        {
            "start": timed.groupby("run")["start"].min(),
            "stop": timed.groupby("run")["stop"].max(),
            "snapshots": by_run["n_snapshots"].sum(),
            "unreadable": by_run["unreadable"].sum(),
            "subsystems": "",
            "mode": "",
        }
    )
    for column in ("subsystem", "mode"):
        words: dict[int, list[str]] = {}
        for run, word in dict.fromkeys(zip(every["run"].tolist(), every[column], strict=True)):
            words.setdefault(run, []).extend([word] if word else [])
        listed = [words[run] if column == "subsystem" else sorted(words[run]) for run in table.index.tolist()]
        table["subsystems" if column == "subsystem" else column] = [", ".join(names) for names in listed]
    for column in ("start", "stop"):
        table[column] = pd.to_datetime(table[column], unit="ns")
    return table.assign(duration=table["stop"] - table["start"])[_RUN_COLUMNS]


def histograms_table(
    view: SubsystemReader, run: int | None, reductors: Callable[[Segment], Iterable[str]]
) -> pd.DataFrame:
    """The histograms of a subsystem; see `owtrend.Archive.histograms`.

    Parameters
    ----------
    run
        Only those of this run; None: of all runs.
    reductors
        Names of the reductors that mean something for a histogram.
    """
    numbers = np.arange(len(view.registry))
    first = np.full(len(numbers), np.iinfo(np.int64).max)
    last = np.full(len(numbers), -1)
    if run is None:
        having, runs = view.layouts_of_runs, view.per_run["run"]
        for layout in np.flatnonzero(having.any(axis=0)):
            used, known = view.holds[layout], runs[having[:, layout]]
            first[used] = np.minimum(first[used], known.min())
            last[used] = np.maximum(last[used], known.max())
    else:
        used = view.holds[np.unique(view.layout(view.run_index(run)))].any(axis=0)
        first[used] = last[used] = run
    rows = []
    for path, entry in view.registry.histograms.items():
        segments = [number for number, _ in entry.segments]
        if (last[segments] < 0).all():
            continue
        newest = entry.segments[int(np.argmax(last[segments]))][1]
        rows.append(
            {
                "name": entry.name,
                "path": path,
                "class": newest.class_name,
                "kind": "gauge" if newest.gauge else "counter",
                "dims": len(newest.axes),
                "bins": int(np.prod([len(axis) for axis in newest.axes])),
                "axes": tuple(axis.title for axis in newest.axes),
                "title": newest.title,
                "reductors": tuple(reductors(newest)),
                "first_run": int(first[segments].min()),
                "last_run": int(last[segments].max()),
            }
        )
    return pd.DataFrame(rows, columns=["name", *_HISTOGRAM_COLUMNS]).set_index("name")


def histogram_rows(
    view: SubsystemReader, entries: Collection[HistogramEntry], runs: Collection[int] | None = None
) -> list[dict[str, Any]]:
    """Subsystem, histogram, class, bins (flow excluded), title and runs of those histograms that any of the runs has.

    Class, bins and title are those of the newest binning.
    """
    chosen = [run for run in sorted(view.run_indices) if runs is None or run in runs]
    layouts = view.layouts_of_runs[[view.run_indices[run] for run in chosen]]
    numbers = np.array(chosen)
    by_layouts: dict[bytes, list[int]] = {}  # histograms that the same layouts hold are in the same runs
    rows = []
    for entry in view.registry.histograms.values():
        segments = [number for number, _ in entry.segments]
        if entry not in entries:
            continue
        holding = view.holds[:, segments].any(axis=1)
        if holding.tobytes() not in by_layouts:
            by_layouts[holding.tobytes()] = numbers[layouts[:, holding].any(axis=1)].tolist()
        if not (having := by_layouts[holding.tobytes()]):
            continue
        held = view.holds[layouts[chosen.index(having[-1])]].any(axis=0)
        newest = [segment for number, segment in entry.segments if held[number]][-1]
        bins = int(np.prod([len(axis) for axis in newest.axes]))
        row = {"subsystem": view.name, "histogram": entry.name, "class": newest.class_name, "bins": bins}
        rows.append({**row, "title": newest.title, "runs": having})
    return rows


def kinds_table(reader: Reader) -> pd.DataFrame:
    """Histograms that are no plain counters, by the stored states; see `owtrend.Archive.kinds`."""
    rows = []
    for name in reader.subsystems:
        view = reader.subsystem(name)
        seen = dict[str, list[tuple[int, NDArray[np.uint8]]]]()  # states by path, of each run
        every = view.trends.run_states
        plain = every.any(axis=1) & ~(every > (State.HELD | State.REPORTED)).any(axis=1)
        wanted = (view.trends.revisions > 0) & ~plain & bool(view.trends.histograms)
        eventful_runs = sorted(run for run, index in view.run_indices.items() if wanted[index])
        for first in range(0, len(eventful_runs), _RUNS_AT_ONCE):
            some = eventful_runs[first : first + _RUNS_AT_ONCE]
            counts = [int(view.per_run["n_snapshots"][view.run_index(run)]) for run in some]
            block = view.trends.block("state", [view.run_index(run) for run in some], slice(0, max(counts)))
            for run, count, states in zip(some, counts, block, strict=True):
                eventful = (states[:count] > (State.HELD | State.REPORTED)).any(axis=0)
                for column in np.flatnonzero(eventful).tolist():
                    seen.setdefault(view.trends.histograms[column], []).append((run, states[:count, column]))
        for path, entry in view.registry.histograms.items():
            found = seen.get(json.dumps(path), [])
            kind, why, runs = _kind(view, entry, found)
            if kind:
                row = {"subsystem": name, "histogram": entry.name, "kind": kind, "why": why, "runs": runs}
                rows.append(row | _counts(found if kind == "counter" else []))
    return pd.DataFrame(rows, columns=["subsystem", "histogram", "kind", "why", "runs", *_EVENTS.values()])


_RECOGNISED = {
    State.GAUGE: ("gauge", "bins fall again and again while the entries do not, or contents are set by hand"),
    State.RESET: ("reset", "bins and entries fall again and again"),
}
_EVENTS = {
    State.RESTART: "restarts", State.OUT_OF_ORDER: "out_of_order", State.LOST: "unknown", State.MOVED: "moved",
}  # fmt: skip
_NOUNS = {"restarts": "restart", "out_of_order": "out-of-order snapshot", "unknown": "unknown gain"}
_NOUNS |= {"moved": "moved-entries snapshot"}


def _counts(seen: Sequence[tuple[int, NDArray[np.uint8]]]) -> dict[str, int]:
    """In how many rows each event happened."""
    every = np.concatenate([np.zeros(0, dtype=np.uint8), *(states for _, states in seen)])
    return {name: int(np.count_nonzero(bit.is_set(every))) for bit, name in _EVENTS.items()}


def event_words(counts: Mapping[str, int]) -> str:
    """``2 restarts, 1 unknown gain``: what the columns of `kinds_table` count; empty if nothing happened."""
    return ", ".join(plural(int(counts[name]), noun) for name, noun in _NOUNS.items() if counts[name])


def _kind(
    view: SubsystemReader, entry: HistogramEntry, seen: Sequence[tuple[int, NDArray[np.uint8]]]
) -> tuple[str, str, tuple[int, ...]]:
    """Kind of a histogram, why, and the runs that show it; empty for a counter with nothing but gains."""
    declared = {State.GAUGE: "gauge", State.RESET: "reset", State.HELD: "counter"}.get(view.kind(entry.name))
    if declared:
        return declared, "as the configuration says", ()
    if entry.first.gauge:
        return "gauge", "ROOT's kIsAverage is set", ()
    for bit, (kind, why) in _RECOGNISED.items():
        if runs := tuple(run for run, states in seen if bit.is_set(states).any()):
            return kind, why, runs
    if not seen:
        return "", "", ()
    return "counter", event_words(_counts(seen)), tuple(run for run, _ in seen)


def quarantine_table(reader: Reader) -> pd.DataFrame:
    """Files and objects that could not be taken in; see `owtrend.Archive.quarantine`."""
    return pd.DataFrame([json.loads(line) for line in reader.quarantine], columns=_QUARANTINE_COLUMNS)


def carried_table(reader: Reader) -> pd.DataFrame:
    """First rows of runs that are the end of the run before; see `owtrend.Archive.carried`."""
    rows = [
        {"subsystem": name, "run": int(view.per_run["run"][run_index]), "snapshots": count}
        for name, view in ((name, reader.subsystem(name)) for name in reader.subsystems)
        for run_index, count in sorted(view.carried.items())
    ]
    return pd.DataFrame(rows, columns=["subsystem", "run", "snapshots"])


def changes_table(reader: Reader) -> pd.DataFrame:
    """Histograms whose class, error option or axes changed within a run; see `owtrend.Archive.changes`."""
    rows = []
    for name in reader.subsystems:
        view = reader.subsystem(name)
        several = [
            entry for entry in view.registry.histograms.values() if len({one.binning for _, one in entry.segments}) > 1
        ]
        changed = [(run, entry) for entry in several for run in _with_several_binnings(view, entry)]
        rows += [
            {"subsystem": name, "run": run, "histogram": entry.name, "time": time, "change": words}
            for run, entry in sorted(changed, key=lambda one: one[0])
            for one in by_binning(view, run, entry)
            for time, words in one.changes
        ]
    return pd.DataFrame(rows, columns=["subsystem", "run", "histogram", "time", "change"])


def _with_several_binnings(view: SubsystemReader, entry: HistogramEntry) -> list[int]:
    """Runs in which a histogram has more than one binning, class or error option."""
    binnings: dict[Any, list[int]] = {}
    for number, segment in entry.segments:
        binnings.setdefault(segment.binning, []).append(number)
    holding = (view.holds[:, numbers].any(axis=1) for numbers in binnings.values())
    having = sum(view.layouts_of_runs[:, layouts].any(axis=1).astype(int) for layouts in holding)
    runs: list[int] = np.sort(view.per_run["run"][np.greater(having, 1)]).tolist()
    return runs


def not_stored_table(reader: Reader) -> pd.DataFrame:
    """Objects of files that the store does not hold; see `owtrend.Archive.not_stored`."""
    rows = [
        {"subsystem": name, "class": class_name, **asdict(objects)}
        for name in reader.subsystems
        for class_name, objects in reader.subsystem(name).not_stored.items()
    ]
    return pd.DataFrame(rows, columns=["subsystem", "class", *NotStored.__dataclass_fields__])


def select_runs(known: Iterable[int], wanted: slice | Sequence[int] | None) -> list[int]:
    """All known runs in order (None), those in a slice of run numbers (both ends included), or the list itself."""
    if wanted is None:
        return sorted(known)
    if isinstance(wanted, slice):
        first = wanted.start if wanted.start is not None else -np.inf
        last = wanted.stop if wanted.stop is not None else np.inf
        return [run for run in sorted(known) if first <= run <= last]
    return list(wanted)


def select_histograms(view: SubsystemReader, histograms: Sequence[str | Path] | str | None) -> list[HistogramEntry]:
    """The histograms of these names, those that fit a shell pattern, or all (None).

    Raises
    ------
    NotFoundError, AmbiguousNameError
        If there is no histogram of a name or pattern, or several of one name.
    """
    if histograms is not None and not isinstance(histograms, str):
        return [view.registry.find(name, view.where) for name in histograms]
    return matching(view.registry.histograms.values(), [] if histograms is None else [histograms], view.where)
