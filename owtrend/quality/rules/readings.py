"""What rules read of a store: reports of histograms in order of time, with the values that expressions name."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from owtrend.conditions import stored
from owtrend.config import Config
from owtrend.errors import NotFoundError
from owtrend.kernels.series.mad import nan_median
from owtrend.model.registry import HistogramEntry
from owtrend.model.rows import State
from owtrend.quality.rules.windows import Reports
from owtrend.store.reader import Reader, SubsystemReader
from owtrend.trends.query import row_by_row, run_by_run
from owtrend.trends.settings import parse_stored

__all__ = ["Conditions", "HistogramReports", "Span", "StoredConditions", "read", "spans"]

_log = logging.getLogger(__name__)
_MINUTE = 60 * 10**9
_RUNS_AT_ONCE = 128  # whose scores are read
_NEVER = int(np.iinfo(np.int64).min)


class Conditions(Protocol):
    """Looks up run conditions."""

    def __call__(self, name: str, subsystem: str, runs: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[Any]:
        """A condition in some reports, given the run and the end [ns UTC] of each.

        Numbers, or texts; None where it is missing.
        """
        ...


@dataclass(frozen=True)
class StoredConditions:
    """Looks up the conditions that were added to a store; one that is not there is missing, and reported once."""

    reader: Reader

    def __call__(self, name: str, subsystem: str, runs: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[Any]:
        """A condition in some reports, see `Conditions`."""
        try:
            table, column = self._stored.find(name)
        except NotFoundError as error:
            _log.warning("subsystem %s: %s; rules take it for missing", subsystem, error)
            return np.full(len(runs), np.nan)
        pieces = {run: table.at(column, run, times[runs == run]) for run in np.unique(runs).tolist()}
        found = np.full(len(runs), None, dtype=object)
        for run, values in pieces.items():
            found[runs == run] = values
        return found

    @cached_property
    def _stored(self) -> stored.Conditions:
        return stored.Conditions(self.reader)


@dataclass(frozen=True, order=True)
class Span:
    """Time ``(after, until]`` whose reports are read [ns UTC]; ``whole`` if nothing is earlier."""

    after: int
    until: int
    whole: bool = False


@dataclass(frozen=True, eq=False)
class HistogramReports:
    """Reports of one histogram in order of time, each ``(start, stop]`` [ns UTC]."""

    entry: HistogramEntry
    run: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    span: NDArray[np.int64]
    wanted: NDArray[np.bool_]
    inputs: dict[tuple[str, str], NDArray[Any]]

    def as_seen(self, history: str) -> tuple[Reports, NDArray[np.intp]]:
        """The reports as a rule sees them, and the place of each of them here.

        With the ``history`` ``runs`` windows reach over earlier runs, with ``run`` they do not.
        """
        if history == "runs":
            return Reports(self.span, self.inputs, self.wanted), np.arange(len(self.run))
        order = np.lexsort((self.stop, self.run))
        inputs = {what: values[order] for what, values in self.inputs.items()}
        return Reports(self.run[order], inputs, self.wanted[order]), order


def spans(view: SubsystemReader, runs: Iterable[int], before: int, having: NDArray[np.bool_]) -> list[Span]:
    """Time to read for some runs and the windows that end in them: since ``before`` earlier runs began.

    ``having`` is true for the runs, by run index, that may have one of the histograms.
    """
    starts, stops = view.per_run["start"], view.per_run["stop"]
    begins = np.sort(starts[having])
    found: list[Span] = []
    for run in runs:
        run_index = view.run_index(run)
        place = int(np.searchsorted(begins, starts[run_index])) - before
        whole = place <= 0
        found.append(Span(_NEVER if whole else int(begins[place]) - 1, int(stops[run_index]), whole))
    joined: list[Span] = []
    for span in sorted(found):
        if joined and span.after <= joined[-1].until:
            last = joined[-1]
            joined[-1] = Span(last.after, max(last.until, span.until), last.whole)
        else:
            joined.append(span)
    return joined


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of some runs, run by run, and of which span each is; -1: of none."""

    view: SubsystemReader
    runs: Sequence[int]
    run: NDArray[np.int64]
    time: NDArray[np.int64]
    span: NDArray[np.int64]

    @property
    def firsts(self) -> NDArray[np.intp]:
        """The first row of each run."""
        return np.flatnonzero(np.diff(self.run, prepend=-1))


def read(
    view: SubsystemReader, config: Config, entries: Sequence[HistogramEntry], inputs: Iterable[tuple[str, str]],
    read_spans: Sequence[Span], wanted: Iterable[int], conditions: Conditions,
) -> Iterator[HistogramReports]:  # fmt: skip
    """The reports of some histograms in some spans, with what rules depend on.

    Parameters
    ----------
    config
        An existing configuration, see `owtrend.trends.settings.existing`.
    inputs
        As `owtrend.quality.rules.expression.Expression.inputs`.
    wanted
        Runs that are asked for; all others only fill windows.
    """
    names: dict[str, list[str]] = {}
    for what, name in sorted(inputs):
        names.setdefault(what, []).append(name)
    starts, stops = view.per_run["start"], view.per_run["stop"]
    there = np.zeros(len(starts), dtype=bool)
    for span in read_spans:
        there |= (starts <= span.until) & (stops > span.after)
    indices = [at for at in view.run_indices.values() if there[at]]
    runs = [
        int(view.per_run["run"][at]) for at in sorted(indices, key=lambda at: (starts[at], view.per_run["run"][at]))
    ]
    if not runs:
        return
    reductors = sorted({*names.get("trend", ()), *names.get("error", ())})
    chosen = [parse_stored(view, one) for one in reductors]
    trends = row_by_row(view, view.name, config, runs, entries, chosen, ragged=True)
    time = trends["time"].values.astype("datetime64[ns]").view(np.int64)
    numbers = np.searchsorted([one.after for one in read_spans], time).astype(np.int64) - 1
    numbers[time > np.array([one.until for one in read_spans])[numbers]] = -1
    rows = _Rows(view, runs, np.asarray(trends["run"].values, dtype=np.int64), time, numbers)
    values: dict[tuple[str, str], NDArray[Any]] = {}  # over rows and histograms
    for what, variable in (("trend", "value"), ("error", "error")):
        if what in names:
            block = trends[variable].values
            values |= {(what, name): block[:, :, reductors.index(name)] for name in names[what]}
    values |= {("score", name): of for name, of in _scores(rows, entries, names.get("score", ())).items()}
    if "reference" in names:
        values |= _references(rows, config, entries, names["reference"])
    for name in names.get("condition", ()):
        found = conditions(name, view.name, rows.run, time)
        values["condition", name] = np.repeat(found[:, None], len(entries), axis=1)
    state = trends["state"].values
    asked = np.isin(rows.run, np.fromiter(wanted, dtype=np.int64))
    for column, entry in enumerate(entries):
        yield _of_histogram(rows, entry, state[:, column], {what: of[:, column] for what, of in values.items()}, asked)


def _of_histogram(
    rows: _Rows, entry: HistogramEntry, state: NDArray[np.uint8], values: Mapping[tuple[str, str], NDArray[Any]],
    asked: NDArray[np.bool_],
) -> HistogramReports:  # fmt: skip
    """The rows in which a histogram reports, in order of time, each since the report before it in its run.

    The first of a run is since its first snapshot; where it is that itself, of a minute, whatever comes later.
    """
    gauge = State.GAUGE.is_set(state) | entry.first.gauge
    reports = np.flatnonzero(State.REPORTED.is_set(state) | (State.HELD.is_set(state) & gauge))
    stop, run = rows.time[reports], rows.run[reports]
    firsts = rows.firsts
    of_run = np.searchsorted(firsts, reports, side="right") - 1
    first = rows.time[firsts][of_run]
    start = np.where(first < stop, first, stop - _MINUTE)
    same = np.diff(run, prepend=-1) == 0
    start[same] = np.roll(stop, 1)[same]
    order = np.lexsort((run, stop))
    order = order[rows.span[reports[order]] >= 0]
    reports = reports[order]
    inputs = {what: of[reports] for what, of in values.items()}
    return HistogramReports(entry, run[order], start[order], stop[order], rows.span[reports], asked[reports], inputs)


def _scores(rows: _Rows, entries: Sequence[HistogramEntry], names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Scores by name over rows and histograms; missing where they are older than the data."""
    view, scores = rows.view, rows.view.scores
    if not names or not scores.names:
        return {}
    names = [name for name in names if name in ("total", "threshold", *scores.names)]
    out = {name: np.full((len(rows.run), len(entries)), np.nan) for name in names}
    order = {path: number for number, path in enumerate(view.registry.histograms)}
    columns = np.array([order[entry.path] for entry in entries])
    scored = np.flatnonzero(columns < scores.histograms)
    begins = dict(zip(rows.runs, np.append(rows.firsts, len(rows.run)).tolist(), strict=False))
    counts = {run: int(view.per_run["n_snapshots"][view.run_indices[run]]) for run in rows.runs}
    fresh = [run for run in rows.runs if _is_fresh(view, view.run_indices[run])]
    fresh.sort(key=lambda run: view.run_indices[run])
    for first in range(0, len(fresh), _RUNS_AT_ONCE):
        group = fresh[first : first + _RUNS_AT_ONCE]
        where = [view.run_indices[run] for run in group], slice(0, max(counts[run] for run in group))
        blocks: dict[str, NDArray[Any]] = {}
        if len(scored) and "total" in names:
            blocks["total"] = scores.block("total", *where, columns[scored].tolist())
        if len(scored) and (kept := [name for name in names if name not in ("total", "threshold")]):
            z = scores.block("z", *where, columns[scored].tolist(), [scores.names.index(name) for name in kept])
            blocks |= {name: z[..., number] for number, name in enumerate(kept)}
        for number, run in enumerate(group):
            own = slice(begins[run], begins[run] + counts[run])
            for name, block in blocks.items():
                out[name][own, scored] = block[number, : counts[run]]
            if "threshold" in names:
                out["threshold"][own] = scores.thresholds(view.run_indices[run], counts[run])[:, None]
    return out


def _is_fresh(view: SubsystemReader, run_index: int) -> bool:
    revisions = view.scores.revisions
    return bool(run_index < len(revisions) and revisions[run_index] == view.per_run["revision"][run_index])


def _references(
    rows: _Rows, config: Config, entries: Sequence[HistogramEntry], names: Sequence[str]
) -> dict[tuple[str, str], NDArray[np.float64]]:
    """Medians of whole earlier runs: the last ones of the same mode and epoch that ended before a run began."""
    view = rows.view
    per_run, epochs = view.per_run, np.sort(config.scores.epochs.get(view.name, []))
    shown = np.array(sorted(view.run_indices.values(), key=lambda at: (per_run["stop"][at], per_run["run"][at])))
    kind = [(per_run["mode"][at], int(np.searchsorted(epochs, per_run["run"][at], side="right"))) for at in shown]
    compared_with: list[list[int]] = []
    for run in rows.runs:
        index = view.run_indices[run]
        own = per_run["mode"][index], int(np.searchsorted(epochs, run, side="right"))
        ended = int(np.searchsorted(per_run["stop"][shown], per_run["start"][index], side="right"))
        alike = [at for at in range(ended) if kind[at] == own and shown[at] != index]
        compared_with.append([int(per_run["run"][shown[at]]) for at in alike[-config.scores.last :]])
    needed = sorted({run for runs in compared_with for run in runs})
    out = {("reference", name): np.full((len(rows.run), len(entries)), np.nan) for name in names}
    if not needed:
        return out
    chosen = [parse_stored(view, name) for name in names]
    values = run_by_run(view, view.name, config, needed, entries, chosen)["value"].values
    place = {run: number for number, run in enumerate(needed)}
    begins = np.append(rows.firsts, len(rows.run))
    for number, runs in enumerate(compared_with):
        median = nan_median(values[[place[run] for run in runs]]) if runs else np.full(values.shape[1:], np.nan)
        for column, name in enumerate(names):
            out["reference", name][begins[number] : begins[number + 1]] = median[:, column]
    return out
