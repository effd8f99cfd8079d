"""Flags joined to incidents and held against the truth: which faults were found, how late, and what was false.

A *report* is a snapshot in which a histogram changed. An *incident* is a set of flags at most two reports apart in one
subsystem, joined across subsystems where they overlap; it is true if it overlaps the window of a fault (+ 5 reports).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ingest.simulator.faults import Fault
from owtrend import Archive

__all__ = ["COLUMNS", "Finding", "Incident", "Reports", "clopper_pearson", "concerns", "find", "garwood", "incidents",
           "instant", "is_true", "timed"]  # fmt: skip

COLUMNS = ("subsystem", "run", "histogram", "start", "stop", "score", "z", "why")  # of a table of flags
NEAR, ALLOWED = 2, 5  # reports
Times = NDArray[np.datetime64]
Key = tuple[str, int]  # subsystem and run


@dataclass(frozen=True)
class Reports:
    """When each histogram reported, and the times of all snapshots, UTC, by subsystem and run.

    Where a run has no more reports, and for what concerns whole snapshots, a report is a ``cycle``.
    """

    histograms: Mapping[Key, Mapping[str, Times]]
    snapshots: Mapping[Key, Times]
    cycle: np.timedelta64

    @classmethod
    def of(cls, archive: Archive, cycle: np.timedelta64) -> "Reports":
        """Those of all histograms of an archive."""
        histograms: dict[Key, dict[str, Times]] = {}
        snapshots: dict[Key, Times] = {}
        for subsystem in archive.subsystems:
            made = archive.trends(subsystem, reductors=["entries"])
            reported, times = made["reported"].values, made["time"].values
            for run in np.unique(made["run"].values).tolist():
                mine = made["run"].values == run
                names = enumerate(made["histogram"].values.tolist())
                snapshots[subsystem, run] = times[mine]
                histograms[subsystem, run] = {name: times[mine & reported[:, column]] for column, name in names}
        return cls(histograms, snapshots, cycle)

    def after(self, key: Key, histogram: str | None, time: np.datetime64, number: int) -> np.datetime64:
        """When a histogram has reported so many times after ``time``."""
        known = self._of(key, histogram)
        later = known[np.searchsorted(known, time, side="right") :]
        if number <= len(later):
            return later[number - 1]
        return (later[-1] if len(later) else time) + (number - len(later)) * self.cycle

    def first(self, key: Key, histogram: str | None, time: np.datetime64, stop: np.datetime64) -> np.datetime64:
        """The first report (of whole snapshots: snapshot) in ``(time, stop]``; ``stop`` if there is none."""
        known = self._of(key, histogram) if histogram else self.snapshots.get(key, np.empty(0, "datetime64[ns]"))
        later = known[np.searchsorted(known, time, side="right") :]
        return min(later[0], stop) if len(later) else stop

    def delay(self, key: Key, histogram: str | None, start: np.datetime64, known_at: np.datetime64) -> int:
        """By which report after ``start`` something was known."""
        known = self._of(key, histogram)
        if not len(known):
            return int(np.ceil((known_at - start) / self.cycle))
        return 1 + int(((known > start) & (known < known_at)).sum())

    def _of(self, key: Key, histogram: str | None) -> Times:
        none: Times = np.empty(0, "datetime64[ns]")
        return none if histogram is None else self.histograms.get(key, {}).get(histogram, none)


@dataclass(frozen=True)
class Incident:
    """Flags that belong together; ``parts`` are the (subsystem, start, stop] that were joined."""

    start: np.datetime64
    stop: np.datetime64
    parts: tuple[tuple[str, np.datetime64, np.datetime64], ...]


@dataclass(frozen=True)
class Finding:
    """Whether a fault was flagged: by which of its reports (None: not at all), and whether by the fifth."""

    fault: Fault
    delay: int | None

    @property
    def soon(self) -> bool:
        return self.delay is not None and self.delay <= ALLOWED


def instant(time: datetime) -> np.datetime64:
    """As times are here: UTC without a zone."""
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "ns")


def timed(flags: pd.DataFrame, reports: Reports) -> pd.DataFrame:
    """Flags in order, each with its ``first`` report, when it was ``raised`` and until when others are ``near`` it.

    Parameters
    ----------
    flags
        One line each with `COLUMNS`: what is flagged is ``(start, stop]``, UTC, and without a histogram the whole
        subsystem or snapshot. A flag is raised by its first report, unless a column ``raised`` tells when;
        it should where what is flagged begins before it was noticed.
    """
    made = flags.copy()
    names = [name if isinstance(name, str) else None for name in flags["histogram"]]  # a column may have NaN for None
    for name in {"start", "stop", "raised"} & set(flags):
        made[name] = pd.to_datetime(flags[name], utc=True).dt.tz_localize(None).astype("datetime64[ns]")
    first, near = [], []
    columns = (made[column] for column in ("subsystem", "run", "start", "stop"))
    for name, subsystem, run, start, stop in zip(names, *columns, strict=True):
        ends = start.to_datetime64(), stop.to_datetime64()
        first.append(reports.first((subsystem, run), name, *ends))
        near.append(reports.after((subsystem, run), name, ends[1], NEAR))
    made["first"] = np.array(first, dtype="datetime64[ns]")
    made["near"] = np.array(near, dtype="datetime64[ns]")
    made["raised"] = made["raised"].fillna(made["first"]) if "raised" in made else made["first"]
    return made.sort_values("first", kind="stable", ignore_index=True)


def incidents(flags: pd.DataFrame) -> list[Incident]:
    """Flags as `timed` gives them, joined, whatever their scores; in order of time."""
    parts: list[tuple[Any, Any, str]] = []
    for subsystem, mine in flags.groupby("subsystem"):
        start = stop = near = None
        for its_start, its_stop, first, its_near in zip(
            *(mine[name].to_numpy() for name in ("start", "stop", "first", "near")), strict=True
        ):
            if near is None or first > near:
                if near is not None:
                    parts.append((start, stop, str(subsystem)))
                start, stop, near = its_start, its_stop, its_near
            else:
                start, stop, near = min(start, its_start), max(stop, its_stop), max(near, its_near)
        parts.append((start, stop, str(subsystem)))
    joined: list[Incident] = []
    for start, stop, subsystem in sorted(parts):
        part = (subsystem, start, stop)
        if joined and start < joined[-1].stop:
            last = joined.pop()
            joined.append(Incident(last.start, max(last.stop, stop), (*last.parts, part)))
        else:
            joined.append(Incident(start, stop, (part,)))
    return joined


def is_true(incident: Incident, faults: Sequence[Fault], reports: Reports, *, same_subsystem: bool = False) -> bool:
    """Whether it overlaps the window of a fault (+ 5 reports of where to look); of its own subsystem, if so asked."""
    for fault in faults:
        start, stop = instant(fault.start), _end(fault, fault.histogram, reports)
        for subsystem, begin, end in incident.parts if same_subsystem else ((None, incident.start, incident.stop),):
            if subsystem in (None, fault.subsystem) and begin < stop and end > start:
                return True
    return False


def concerns(flags: pd.DataFrame, fault: Fault) -> NDArray[np.bool_]:
    """Which flags are of the run and subsystem of a fault, and of a histogram that it changes or of them all."""
    same = (flags["subsystem"] == fault.subsystem) & (flags["run"] == fault.run)
    if fault.histograms:
        same &= flags["histogram"].isna() | flags["histogram"].isin(fault.histograms)
    return np.asarray(same, dtype=bool)


def find(fault: Fault, flags: pd.DataFrame, reports: Reports) -> Finding:
    """How soon a fault was flagged, by flags as `timed` gives them that were raised in its window or 5 reports later.

    Reports are those of the flagged histogram, or else of where to look for the fault; cycles, if it concerns whole
    snapshots. Of a flag that was raised later, as at the end of a run about all of it, it is the flagged time that must
    reach into the window.
    """
    key, start = (fault.subsystem, fault.run), instant(fault.start)
    delays = []
    mine = flags[concerns(flags, fault)]
    for name, begin, raised in zip(*(mine[c].to_numpy() for c in ("histogram", "start", "raised")), strict=True):
        of = name if fault.histograms and isinstance(name, str) else fault.histogram
        if raised > start and begin < _end(fault, of, reports):
            delays.append(reports.delay(key, of, start, raised))
    return Finding(fault, min(delays, default=None))


def clopper_pearson(found: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share (Clopper, Pearson, Biometrika 26 (1934) 404)."""
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, found, of - found + 1) if found else 0.0
    high = stats.beta.isf(tail, found + 1, of - found) if found < of else 1.0
    return float(low), float(high)


def garwood(count: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a Poisson mean (Garwood, Biometrika 28 (1936) 437)."""
    tail = (1 - level) / 2
    return float(stats.chi2.ppf(tail, 2 * count) / 2) if count else 0.0, float(stats.chi2.isf(tail, 2 * count + 2) / 2)


def _end(fault: Fault, histogram: str | None, reports: Reports) -> np.datetime64:
    return reports.after((fault.subsystem, fault.run), histogram, instant(fault.stop), ALLOWED)
