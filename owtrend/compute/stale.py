"""Stored trends and scores that `compute` would make again, and why."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from numbers import Real

import numpy as np
import pandas as pd

from owtrend.conditions.stored import Conditions
from owtrend.config import Config, ScoreConfig
from owtrend.model.finding import Concerned, Finding
from owtrend.outliers.reference_pool import NULL_RUNS, ScoreSettings
from owtrend.quality.acceptance import accepted_lines
from owtrend.quality.journal import Journal
from owtrend.quality.unreadable import unreadable
from owtrend.store import versions
from owtrend.store.reader import Reader, SubsystemReader
from owtrend.trends.settings import changed_reductors, existing, kept_reductors, settings_hash

__all__ = [
    "Stale",
    "reference_digest",
    "runs_before",
    "runs_in_time",
    "score_settings",
    "stale_reductors",
    "stale_runs",
    "stale_score",
    "stale_trends",
]


class Stale(StrEnum):
    """Why the trends or scores of a run are to be computed; the value is what people read."""

    MISSING = "not computed yet"
    DATA = "the data changed"
    SETTINGS = "the configuration changed"
    FORMULA = "made by formulas of another version"
    REFERENCE = "what it is compared with changed"  # a run before it, or what is accepted


def stale_trends(view: SubsystemReader, subsystem: str, config: Config) -> dict[int, Stale]:
    """Reason by run, for the runs whose stored trends are not those that `compute` would make now.

    ``config`` is as `owtrend.trends.settings.existing` returns it.
    """
    stored, reductors = view.trends.reductors, kept_reductors(config, subsystem)
    columns = [stored.index(name) for name in reductors if name in stored]
    all_stored = len(columns) == len(reductors)
    settings = np.frombuffer(settings_hash(config, view), dtype=np.uint8)
    made_by, revisions = view.trends.versions[:, columns], view.trends.revisions
    reasons = [  # the first that is true
        (Stale.MISSING, revisions == 0),
        (Stale.DATA, revisions != view.per_run["revision"]),
        (Stale.FORMULA, ((made_by != versions.TRENDS) & (made_by > 0)).any(axis=1)),
        (Stale.SETTINGS, (view.trends.settings != settings).any(axis=1)),
        (Stale.FORMULA, (made_by == 0).any(axis=1) | (not all_stored)),  # a default reductor that is new
    ]
    why = np.select([true for _, true in reasons], range(1, len(reasons) + 1)).tolist()
    return {
        run: reasons[why[run_index] - 1][0] for run, run_index in sorted(view.run_indices.items()) if why[run_index]
    }


def stale_reductors(reader: Reader, subsystem: str, config: Config, stale: Mapping[int, Stale]) -> dict[int, set[str]]:
    """By run, the only reductors that are to be computed: for runs of which nothing but some reductors changed.

    ``config`` is as `owtrend.trends.settings.existing` returns it, ``stale`` as `stale_trends`.
    """
    view = reader.subsystem(subsystem)
    before = existing(reader.config, reader)
    changed = changed_reductors(before, config, view)
    if changed is None:
        return {}
    known = np.frombuffer(settings_hash(before, view, recorded=True), dtype=np.uint8)
    same = (view.trends.settings == known).all(axis=1)
    stored, kept = view.trends.reductors, kept_reductors(config, subsystem)
    made = {name: view.trends.versions[:, stored.index(name)] > 0 for name in kept if name in stored}
    never = np.zeros(len(same), dtype=bool)
    return {
        run: {name for name in kept if name in changed or not made.get(name, never)[view.run_index(run)]}
        for run, reason in stale.items() if reason is Stale.SETTINGS and same[view.run_index(run)]
    }  # fmt: skip


def score_settings(config: Config, reader: Reader, accepted: Sequence[str]) -> dict[str, ScoreSettings]:
    """Settings of the scores, by subsystem; ``accepted`` as of `owtrend.quality.acceptance.accepted_lines`."""
    levels = [Concerned.from_list(json.loads(line)) for line in accepted]
    scores = config.scores
    known = sum(len(reader.subsystem(name).registry.histograms) for name in reader.subsystems)
    tests = 1 << max(known - 1, 0).bit_length()  # a power of two: a new histogram seldom moves the thresholds
    return {
        name: ScoreSettings(
            tests=tests, budget=scores.false_alarms, last=scores.last, adapt_after=scores.adapt_after,
            epochs=_first_runs(reader.subsystem(name), scores.epochs.get(name, ())),
            accepted=tuple(level for level in levels if level.subsystem == name),
            rate_within=scores.rate_within, rates=_rates(reader, reader.subsystem(name), scores),
        )
        for name in reader.subsystems
    }  # fmt: skip


def _rates(reader: Reader, view: SubsystemReader, scores: ScoreConfig) -> tuple[tuple[int, float], ...]:
    """Rates of the runs of a subsystem, where they are to be compared and there is a condition that has them."""
    if scores.rate_within is None or scores.rate not in (conditions := Conditions(reader)).places:
        return ()
    begins, ends = view.per_run["start"].tolist(), view.per_run["stop"].tolist()
    spans = {run: (begins[run_index], ends[run_index]) for run, run_index in sorted(view.run_indices.items())}
    rates = conditions.of_runs(scores.rate, spans).items()
    return tuple((run, float(rate)) for run, rate in rates if isinstance(rate, Real) and rate == rate)


def _first_runs(view: SubsystemReader, epochs: Sequence[int]) -> tuple[int, ...]:
    """The runs with which epochs begin: those given, or the next that there are."""
    known = sorted(view.run_indices)
    later = (next((run for run in known if run >= given), None) for given in epochs)
    return tuple(run for run in later if run is not None)


def stale_score(view: SubsystemReader, order: Sequence[int], number: int, settings: ScoreSettings) -> Stale | None:
    """Why the stored scores of a run are not those that `compute` would give now; None if they are.

    Parameters
    ----------
    order, number
        All runs that have trends, in order of time, and which of them it is.
    """
    run_index, scores = view.run_index(order[number]), view.scores
    if not scores.revisions[run_index]:
        return Stale.MISSING
    if scores.revisions[run_index] != view.per_run["revision"][run_index]:
        return Stale.DATA
    stored = scores.versions
    if any(name not in stored or stored[name][run_index] != version for name, version in versions.SCORES.items()):
        return Stale.FORMULA
    if scores.settings[run_index].tobytes() != settings.digest:
        return Stale.SETTINGS
    digest = reference_digest(view, order, number, settings)
    return None if scores.basis[run_index].tobytes() == digest else Stale.REFERENCE


def runs_in_time(view: SubsystemReader) -> list[int]:
    """Runs that have trends of what they are now, in order of time."""
    runs = view.per_run
    made = np.flatnonzero((view.trends.revisions == runs["revision"]) & (runs["n_snapshots"] > 0))
    order: list[int] = runs["run"][made[np.lexsort((runs["run"][made], runs["start"][made]))]].tolist()
    return order


def runs_before(order: Sequence[int], number: int, settings: ScoreSettings) -> Sequence[int]:
    """The runs that a run is compared with or learns from: those before it, in its epoch."""
    earliest = max(number - NULL_RUNS, 0)
    first = max((at for at in range(earliest, number + 1) if order[at] in settings.epochs), default=earliest)
    return order[first:number]


def reference_digest(
    view: SubsystemReader, order: Sequence[int], number: int, settings: ScoreSettings, *,
    made: Mapping[int, bytes] | None = None,
) -> bytes:  # fmt: skip
    """Digest of what a run is compared with: what the runs before gave to its references, and what is accepted.

    Parameters
    ----------
    order, number
        As of `stale_score`.
    made
        Outcomes that are not stored yet.
    """
    before, known, given = runs_before(order, number, settings), view.outcomes, made or {}
    pieces = []
    for run in before:
        name, outcome = known[run]
        pieces += [name, given.get(run, outcome)]
    if settings.accepted:
        first, last = view.run_index([*before, order[number]][0]), view.run_index(order[number])
        start, stop = view.per_run["start"][first], view.per_run["stop"][last]
        pieces += [level.to_json().encode() for level in sorted(settings.accepted) if start <= level.start < stop]
    if settings.rate_within is not None:
        pieces += [b"%r " % settings.rate_of(run) for run in (*before, order[number])]
    return hashlib.blake2b(b"".join(pieces), digest_size=16).digest()


def stale_runs(reader: Reader) -> pd.DataFrame:
    """What `compute` would make again: ``subsystem``, ``run``, ``what`` (trends, scores, findings) and ``reason``."""
    config = existing(reader.config, reader)
    settings = score_settings(config, reader, accepted_lines(Journal(reader.location), reader))
    rows = [
        row for name in reader.subsystems for row in _stale_rows(reader.subsystem(name), name, config, settings[name])
    ]
    changed = set(map(Finding.from_json, reader.quality("unreadable") or ())) ^ set(unreadable(reader))
    of_files = sorted({(finding.subsystem, finding.run) for finding in changed})
    rows += [(name, run, "findings", Stale.DATA.value) for name, run in of_files]
    return pd.DataFrame(rows, columns=["subsystem", "run", "what", "reason"])


def _stale_rows(
    view: SubsystemReader, subsystem: str, config: Config, settings: ScoreSettings
) -> Iterator[tuple[str, int, str, str]]:
    for run, reason in stale_trends(view, subsystem, config).items():
        yield subsystem, run, "trends", reason.value
    order = runs_in_time(view)
    numbers = {run: number for number, run in enumerate(order)}
    for run in sorted(view.run_indices):
        why = stale_score(view, order, numbers[run], settings) if run in numbers else Stale.MISSING
        if why is not None:
            yield subsystem, run, "scores", why.value
