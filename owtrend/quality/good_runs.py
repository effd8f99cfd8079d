"""Good runs: what is left of each run without flagged intervals, and what each flag costs."""

import csv
import io
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from owtrend.conditions.stored import Conditions
from owtrend.config import Config
from owtrend.errors import UsageError
from owtrend.quality.journal import Journal
from owtrend.quality.run_flags import ACTIONS, Judgement, RunFlag, flags_of, run_ends, sign_offs
from owtrend.store.reader import Reader
from owtrend.trends.intervals import event_counter
from owtrend.trends.settings import existing

__all__ = ["Choice", "GoodRun", "as_csv", "as_json", "good_runs", "good_table", "lost_data", "without"]

Interval = tuple[int, int]  # (start, stop], ns UTC


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which data are good.

    Parameters
    ----------
    subsystems
        Those that must be good; none: all that a run has.
    without
        Names of flags whose intervals are left out; none: of all flags that say *bad*.
    having
        Only runs with each of these flags, wherever in them.
    signed
        Only runs that two people signed off.
    whole
        Only runs of which nothing is left out.
    runs
        Only these; None: all.
    """

    subsystems: Collection[str] = ()
    without: Collection[str] = ()
    having: Collection[str] = ()
    signed: bool = False
    whole: bool = False
    runs: Collection[int] | None = None

    def leaves_out(self, flag: RunFlag) -> bool:
        """True if the interval of this flag is not good."""
        wanted = flag.name in self.without if self.without else flag.judgement is Judgement.BAD
        return wanted and flag.concerns(self.subsystems or None)


@dataclass(frozen=True)
class GoodRun:
    """A run with good data: its begin and end, the good intervals in it, and who signed it off."""

    run: int
    start: int
    stop: int
    good: tuple[Interval, ...]
    flags: tuple[str, ...]
    signed_by: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Length of the good intervals."""
        return sum(stop - start for start, stop in self.good) / 1e9


def without(whole: Interval, bad: Iterable[Interval]) -> tuple[Interval, ...]:
    """What is left of an interval without others.

    >>> without((0, 10), [(2, 4), (3, 5), (9, 12)])
    ((0, 2), (5, 9))
    """
    left, at = [], whole[0]
    for start, stop in _joined(bad):
        if start > at:
            left.append((at, min(start, whole[1])))
        at = max(at, stop)
        if at >= whole[1]:
            break
    if at < whole[1]:
        left.append((at, whole[1]))
    return tuple(left)


def _joined(intervals: Iterable[Interval]) -> list[Interval]:
    """Intervals in order, overlapping ones as one, empty ones left out."""
    joined: list[Interval] = []
    for start, stop in sorted(one for one in intervals if one[0] < one[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(stop, joined[-1][1])
        else:
            joined.append((start, stop))
    return joined


def good_runs(reader: Reader, journal: Journal, choice: Choice | None = None) -> list[GoodRun]:
    """Runs with good data, by number."""
    choice = choice or Choice()
    entries = journal.entries(ACTIONS)
    flags: dict[int, list[RunFlag]] = {}
    for flag in flags_of(entries):
        flags.setdefault(flag.run, []).append(flag)
    _require_names({*choice.without, *choice.having}, {flag.name for of_run in flags.values() for flag in of_run})
    runs = [run for run in _runs(reader, choice.subsystems) if choice.runs is None or run in choice.runs]
    signed = sign_offs(reader, entries, runs)
    found = []
    for run in runs:
        start, stop = run_ends(reader, run)
        of_run = flags.get(run, [])
        good = without((start, stop), (flag.clipped(start, stop) for flag in of_run if choice.leaves_out(flag)))
        names = tuple(dict.fromkeys(flag.name for flag in of_run if flag.concerns(choice.subsystems or None)))
        if not good or not set(choice.having) <= {*names} or (choice.signed and not signed[run].complete):
            continue
        if choice.whole and good != ((start, stop),):
            continue
        found.append(GoodRun(run, start, stop, good, names, signed[run].people))
    return found


def _runs(reader: Reader, subsystems: Collection[str]) -> list[int]:
    """Runs that have snapshots of all these subsystems, or of any if there are none."""
    of_each = [set(reader.subsystem(name).run_indices) for name in subsystems or reader.subsystems]
    return sorted((set.intersection if subsystems else set.union)(*of_each)) if of_each else []


def _require_names(wanted: Collection[str], known: Collection[str]) -> None:
    if missing := sorted({*wanted} - {*known}):
        listed = ", ".join(sorted(known)) or "none"
        raise UsageError(f"no flag called {', '.join(map(repr, missing))}; there are {listed}")


def good_table(found: Sequence[GoodRun]) -> pd.DataFrame:
    """Good runs as `owtrend.Archive.good_runs` returns them: a row per good interval."""
    rows = [
        {
            "run": one.run, "start": pd.Timestamp(start), "stop": pd.Timestamp(stop),
            "seconds": (stop - start) / 1e9, "signed_by": ", ".join(one.signed_by),
        }
        for one in found for start, stop in one.good
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["run", "start", "stop", "seconds", "signed_by"])


def as_json(found: Sequence[GoodRun], reader: Reader, choice: Choice) -> str:
    """A good-run list as JSON: what it was made from, and for each run its good intervals. Times are UTC."""
    rows = [
        {
            "run": one.run, "start": _iso(one.start), "stop": _iso(one.stop), "seconds": one.seconds,
            "good": [[_iso(start), _iso(stop)] for start, stop in one.good], "flags": one.flags,
            "signed_by": one.signed_by,
        }
        for one in found
    ]  # fmt: skip
    facts = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"), "version": reader.version,
        "subsystems": sorted(choice.subsystems) or None, "without": sorted(choice.without) or ["all bad"],
        "having": sorted(choice.having), "signed": choice.signed,
    }  # fmt: skip
    return json.dumps(facts | {"runs": rows}, indent=1)


def as_csv(found: Sequence[GoodRun]) -> str:
    """A good-run list as CSV, a row per good interval: run, start, stop, seconds, signed_by. Times are UTC."""
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(["run", "start", "stop", "seconds", "signed_by"])
    for one in found:
        for start, stop in one.good:
            rows.writerow([one.run, _iso(start), _iso(stop), (stop - start) / 1e9, " + ".join(one.signed_by)])
    return file.getvalue()


def _iso(time: int) -> str:
    return f"{np.datetime_as_string(np.datetime64(time, 'ns'), 'ms')}Z"


def lost_data(
    reader: Reader, journal: Journal, config: Config, *, condition: str | None = None,
    runs: Collection[int] | None = None,
) -> pd.DataFrame:  # fmt: skip
    """What each flag costs, by its name and subsystem: time, events, or a condition summed over the time.

    Parameters
    ----------
    condition
        Also this one, times the seconds for which it holds: of a rate in Hz, the number of interactions.
    runs
        Only these; None: all.

    Returns
    -------
    :
        Columns ``flag``, ``subsystem`` (None: all), ``runs`` (how many), ``seconds``, ``fraction`` of the time of all
        runs, ``events`` (NaN where nothing counts them), and the condition by its name. Intervals of one flag that
        overlap count once.
    """
    config, conditions = existing(config, reader), Conditions(reader)
    every = [run for run in _runs(reader, ()) if runs is None or run in runs]
    ends = {run: run_ends(reader, run) for run in every}
    total = sum(stop - start for start, stop in ends.values()) / 1e9
    groups: dict[tuple[str, str | None], dict[int, list[Interval]]] = {}
    for flag in flags_of(journal.entries(ACTIONS)):
        if flag.run in ends and flag.judgement is not Judgement.GOOD:
            lost = groups.setdefault((flag.name, flag.subsystem), {}).setdefault(flag.run, [])
            lost.append(flag.clipped(*ends[flag.run]))
    rows = []
    for (name, subsystem), lost_by_run in groups.items():
        joined = {run: _joined(lost) for run, lost in lost_by_run.items()}
        seconds = sum(stop - start for lost in joined.values() for start, stop in lost) / 1e9
        row: dict[str, Any] = {
            "flag": name, "subsystem": subsystem, "runs": len(joined), "seconds": seconds,
            "fraction": seconds / total if total else np.nan,
            "events": sum(map(_counted(reader, config, subsystem), joined, joined.values())),
        }  # fmt: skip
        if condition is not None:
            row[condition] = sum(_summed(conditions, condition, run, lost) for run, lost in joined.items())
        rows.append(row)
    columns = ["flag", "subsystem", "runs", "seconds", "fraction", "events", *([condition] if condition else [])]
    return pd.DataFrame(rows, columns=columns)


def _counted(reader: Reader, config: Config, subsystem: str | None) -> Callable[[int, Sequence[Interval]], float]:
    """A function that counts the events in intervals of a run, NaN where nothing counts them."""

    def counters(run: int) -> Iterator[Any]:
        for name in reader.subsystems if subsystem is None else (subsystem,):
            view = reader.subsystem(name)
            if run in view.run_indices and (counter := event_counter(view, run, config, name)) is not None:
                yield counter

    def count(run: int, lost: Sequence[Interval]) -> float:
        counter = next(counters(run), None)
        if counter is None:
            return float("nan")
        begin, end = np.array(lost, dtype=np.int64).reshape(-1, 2).T.view("datetime64[ns]")
        return float(counter.between(begin, end).sum())

    return count


def _summed(conditions: Conditions, name: str, run: int, lost: Sequence[Interval]) -> float:
    """A condition times the seconds for which it held; NaN where it is not known, or no number."""
    total = 0.0
    for start, stop in lost:
        value = conditions.of_runs(name, {run: (start, stop)})[run]
        number = isinstance(value, int | float | np.number | np.bool_)
        total += float(value) * (stop - start) / 1e9 if number else float("nan")
    return total
