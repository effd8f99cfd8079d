"""Two passes over one store compared: which trends, scores, findings and incidents differ, by subsystem and run."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.model.finding import Finding
from owtrend.quality.incident import Incident
from owtrend.quality.results import store_incidents
from owtrend.store.reader import Reader, SubsystemReader
from owtrend.store.repository import Store

__all__ = ["PassComparison", "RunDifference", "compare_passes"]

TOLERANCE = {"value": 1e-9, "error": 1e-9, "z": 1e-4, "total": 1e-4}  # relative; more is no rounding
_CELLS_AT_ONCE = 2**22


@dataclass(frozen=True, kw_only=True)
class RunDifference:
    """What differs in one run of a subsystem.

    Parameters
    ----------
    rows
        Snapshots of one pass only.
    trends, scores
        Numbers of the others that differ by more than rounding, or are there in one pass only.
    largest
        Largest difference of a trend, relative to the larger value; NaN if none differs, infinity if one is missing.
    where
        Histogram and reductor, or histogram and score, of one that differs.
    flags
        Reports that are flagged in one pass only.
    appeared, gone
        Ids of findings of the second pass only, and of the first only.
    why
        What the pass was made from that is another: data, settings, formulas, references.
    """

    subsystem: str
    run: int
    rows: int = 0
    trends: int = 0
    largest: float = float("nan")
    scores: int = 0
    flags: int = 0
    where: str = ""
    appeared: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    why: str = ""

    @property
    def differs(self) -> bool:
        """True if any number or finding does."""
        return bool(self.rows or self.trends or self.scores or self.flags or self.appeared or self.gone)


@dataclass(frozen=True, kw_only=True)
class PassComparison:
    """Two passes: runs that differ, incidents of one of them only, and what only one has at all."""

    compared: int  # runs x subsystems
    runs: tuple[RunDifference, ...]
    appeared: tuple[Incident, ...]
    gone: tuple[Incident, ...]
    only_in_one: tuple[str, ...]  # subsystems, runs, histograms, reductors, in words

    @property
    def equal(self) -> bool:
        """True if nothing differs."""
        return not (self.runs or self.appeared or self.gone or self.only_in_one)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""

        def facts(incident: Incident) -> dict[str, Any]:
            return {"id": incident.id, "runs": incident.runs, "why": incident.top.why}

        rows = [{name: _finite(value) for name, value in asdict(one).items()} for one in self.runs]
        return {
            "equal": self.equal, "compared": self.compared, "runs": rows,
            "incidents_appeared": [facts(one) for one in self.appeared],
            "incidents_gone": [facts(one) for one in self.gone], "only_in_one": self.only_in_one,
        }  # fmt: skip


def compare_passes(
    store: Store, first: str, second: str, *, deep: bool = False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> PassComparison:  # fmt: skip
    """Compare the trends, scores, findings and incidents of two versions or tags of a store.

    Parameters
    ----------
    deep
        Also read runs that both passes made from the same data, settings, formulas and references. They are equal,
        unless a formula changed without its version, or a machine calculates otherwise.

    Raises
    ------
    NotFoundError
        If there is no such version.
    """
    before, after = store.reader(first), store.reader(second)
    only, runs, compared = list[str](), list[RunDifference](), 0
    shared = [name for name in before.subsystems if name in after.subsystems]
    only += [f"subsystem {name}" for name in sorted({*before.subsystems} ^ {*after.subsystems})]
    for number, name in enumerate(shared):
        progress("comparing", number, len(shared))
        old, new = before.subsystem(name), after.subsystem(name)
        numbers = sorted(old.run_indices.keys() & new.run_indices.keys())
        only += [f"{name} run {run}" for run in sorted(old.run_indices.keys() ^ new.run_indices.keys())]
        for what in ("trends", "scores"):
            made = [
                {run for run in numbers if getattr(view, what).revisions[view.run_index(run)]} for view in (old, new)
            ]
            only += [f"{what} of {name} run {run}" for run in sorted(made[0] ^ made[1])]
        columns = _Columns.shared(old, new, only)
        read = [run for run in numbers if deep or _why(old, new, run)]
        runs += [_with_findings(one, old, new) for one in _differences(old, new, read, columns)]
        compared += len(numbers)
    progress("comparing", len(shared), len(shared))
    incidents = _incidents(before), _incidents(after)
    return PassComparison(
        compared=compared, runs=tuple(one for one in runs if one.differs), only_in_one=tuple(only),
        appeared=tuple(one for key, one in incidents[1].items() if key not in incidents[0]),
        gone=tuple(one for key, one in incidents[0].items() if key not in incidents[1]),
    )  # fmt: skip


@dataclass(frozen=True)
class _Columns:
    """Histograms, reductors and scores that both passes have, by name, and their places in each."""

    histograms: list[str]
    reductors: list[str]
    scores: list[str]
    places: tuple["_Places", "_Places"]
    scored: int  # histograms that have scores: the first ones

    @classmethod
    def shared(cls, old: SubsystemReader, new: SubsystemReader, only: list[str]) -> "_Columns":
        """Those of two states of a subsystem; what one lacks is added to ``only``, in words."""
        names = {}
        for what in ("histograms", "reductors"):
            first, second = getattr(old.trends, what), getattr(new.trends, what)
            names[what] = [name for name in first if name in {*second}]
            only += [f"{old.name}: {what[:-1]} {name}" for name in sorted({*first} ^ {*second})]
        scores = [name for name in old.scores.names if name in new.scores.names]
        only += [f"{old.name}: score {name}" for name in sorted({*old.scores.names} ^ {*new.scores.names})]
        first_places, second_places = (
            _Places(
                [int(view.trends.column(_path(name)) or 0) for name in names["histograms"]],
                [view.trends.reductors.index(name) for name in names["reductors"]],
                [view.scores.names.index(name) for name in scores],
            )
            for view in (old, new)
        )
        scored = min(old.scores.histograms, new.scores.histograms)
        return cls(names["histograms"], names["reductors"], scores, (first_places, second_places), scored)


@dataclass(frozen=True)
class _Places:
    histograms: list[int]
    reductors: list[int]
    scores: list[int]


def _path(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))


def _differences(
    old: SubsystemReader, new: SubsystemReader, runs: Sequence[int], columns: _Columns
) -> Iterator[RunDifference]:
    """A difference for each run that has one, without findings."""
    made = {run: RunDifference(subsystem=old.name, run=run) for run in runs}
    for view in (old, new):
        view.read_all_rows("time")
    for what in ("trends", "scores"):
        for run, rows, before, after in _blocks(old, new, runs, what, columns):
            made[run] = replace(_compared(made[run], what, before, after, columns), rows=rows)
    yield from made.values()


def _blocks(
    old: SubsystemReader, new: SubsystemReader, wanted: Sequence[int], what: str, columns: _Columns
) -> Iterator[tuple[int, int, dict[str, NDArray[Any]], dict[str, NDArray[Any]]]]:
    """Runs, each with the number of snapshots of one pass only, and the numbers of both passes at the other snapshots.

    Only those that have such numbers in both passes; some runs are read at once.
    """
    both = (old, new)
    runs = [run for run in wanted if all(getattr(view, what).revisions[view.run_index(run)] for view in both)]
    longest = max((len(view.times(view.run_index(run))) for view in (old, new) for run in runs), default=0)
    names = columns.reductors if what == "trends" else columns.scores
    histograms = len(columns.histograms) if what == "trends" else columns.scored
    if not (names and histograms):
        return
    at_once = max(1, _CELLS_AT_ONCE // max(1, longest * histograms * len(names)))
    for first in range(0, len(runs), at_once):
        some = runs[first : first + at_once]
        blocks = [_read(view, what, some, longest, columns, number) for number, view in enumerate((old, new))]
        for number, run in enumerate(some):
            times = [view.times(view.run_index(run)) for view in (old, new)]
            shared, *rows = np.intersect1d(times[0], times[1], return_indices=True)
            before, after = (
                {name: block[number][at] for name, block in of_pass.items()}
                for of_pass, at in zip(blocks, rows, strict=True)
            )
            yield run, len(times[0]) + len(times[1]) - 2 * len(shared), before, after


def _read(
    view: SubsystemReader, what: str, runs: Sequence[int], rows: int, columns: _Columns, which: int
) -> dict[str, NDArray[Any]]:
    """Blocks ``(run, time, histogram[, reductor or score])`` of one pass."""
    where, places = ([view.run_index(run) for run in runs], slice(0, rows)), columns.places[which]
    if what == "trends":
        of = places.histograms, places.reductors
        return {name: view.trends.block(name, *where, *of) for name in ("value", "error")}
    scored = slice(0, columns.scored)
    found = {name: view.scores.block(name, *where, scored) for name in ("total", "flagged")}
    return {"z": view.scores.block("z", *where, scored, places.scores)} | found


def _compared(
    one: RunDifference, what: str, old: dict[str, NDArray[Any]], new: dict[str, NDArray[Any]], columns: _Columns
) -> RunDifference:
    """A difference with that of the trends, or of the scores."""
    count, largest, where = 0, one.largest, one.where
    names = columns.reductors if what == "trends" else columns.scores
    for name in [name for name in old if name != "flagged"]:
        size = _relative(old[name].astype(np.float64), new[name].astype(np.float64))
        differs = size > TOLERANCE[name]
        if not differs.any():
            continue
        count += int(differs.sum())
        place = np.unravel_index(int(np.argmax(size)), size.shape)
        kind = names[int(place[2])] if len(place) > 2 else name
        where = where or f"{'/'.join(_path(columns.histograms[int(place[1])]))} {kind}"
        largest = float(size.max()) if name == "value" else largest
    if what == "trends":
        return replace(one, trends=count, largest=largest, where=where)
    return replace(one, scores=count, where=where, flags=int((old["flagged"] != new["flagged"]).sum()))


def _relative(old: NDArray[np.float64], new: NDArray[np.float64]) -> NDArray[np.float64]:
    """Differences relative to the larger of two numbers; infinity where only one is a number."""
    with np.errstate(invalid="ignore", over="ignore"):
        size = np.abs(new - old) / np.maximum(np.maximum(np.abs(old), np.abs(new)), np.finfo(np.float64).tiny)
    size[np.isnan(old) & np.isnan(new)] = 0.0
    size[old == new] = 0.0
    return np.where(np.isnan(size), np.inf, size)


def _with_findings(one: RunDifference, old: SubsystemReader, new: SubsystemReader) -> RunDifference:
    """A difference with the findings of one pass only, and why the passes may differ.

    Findings are read where numbers differ, or what they were made from: each run takes a millisecond.
    """
    why = _why(old, new, one.run)
    if not (why or one.differs):
        return one
    before, after = (
        dict.fromkeys(Finding.from_json(line).id for line in view.scores.lines([view.run_index(one.run)]))
        for view in (old, new)
    )
    return replace(
        one, why=", ".join(why), appeared=tuple(key for key in after if key not in before),
        gone=tuple(key for key in before if key not in after),
    )  # fmt: skip


def _why(old: SubsystemReader, new: SubsystemReader, run: int) -> list[str]:
    """What the numbers of a run were made from that is another in the second pass."""
    before, after = _made_from(old, old.run_index(run)), _made_from(new, new.run_index(run))
    return [name for name in before if before[name] != after[name]]


def _made_from(view: SubsystemReader, at: int) -> dict[str, Any]:
    return {
        "data": int(view.trends.revisions[at]),
        "settings": (view.trends.settings[at].tobytes(), view.scores.settings[at].tobytes()),
        "formulas": (view.trends.versions[at].tolist(), [int(of[at]) for of in view.scores.versions.values()]),
        "references": view.scores.basis[at].tobytes(),
    }


def _incidents(reader: Reader) -> dict[str, Incident]:
    return {incident.id: incident for incident in store_incidents(reader)}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
