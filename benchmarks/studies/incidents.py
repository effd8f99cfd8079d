"""Findings joined to incidents and matched to known faults: faults found, their delay, and false incidents.

A *report* is a snapshot in which a histogram changed. Incidents are joined by `owtrend.quality.incident`, findings of
all detectors alike: by the real reports of each histogram, since the baselines know no typical time between them, and
not over runs, since each fault ends with its run. An incident is true if it overlaps the window of a fault
(+ 5 reports).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from ingest.simulator.faults import Fault
from owtrend import Archive
from owtrend.model.finding import Finding, Score
from owtrend.quality.incident import RunFindings
from owtrend.quality.incident import incidents as joined_by_run

__all__ = ["COLUMNS", "FaultMatch", "IncidentSpan", "ReportTimes", "clopper_pearson", "concerns", "garwood",
           "incidents", "instant", "is_true", "match_fault", "timed"]  # fmt: skip

COLUMNS = ("subsystem", "run", "histogram", "start", "stop", "score", "z", "why")  # of a table of findings
NEAR, ALLOWED = 2, 5  # reports
Times = NDArray[np.datetime64]
Key = tuple[str, int]  # subsystem and run


@dataclass(frozen=True)
class ReportTimes:
    """Times of the reports of each histogram and of all snapshots, UTC, by subsystem and run.

    After the last report of a run, and for whole snapshots, a report is a ``cycle``.
    """

    histograms: Mapping[Key, Mapping[str, Times]]
    snapshots: Mapping[Key, Times]
    cycle: np.timedelta64

    @classmethod
    def from_archive(cls, archive: Archive, cycle: np.timedelta64) -> "ReportTimes":
        """Report times of all histograms of an archive."""
        histograms: dict[Key, dict[str, Times]] = {}
        snapshots: dict[Key, Times] = {}
        for subsystem in archive.subsystems:
            trends = archive.trends(subsystem, reductors=["entries"])
            reported, times = trends["reported"].values, trends["time"].values
            for run in np.unique(trends["run"].values).tolist():
                in_run = trends["run"].values == run
                names = enumerate(trends["histogram"].values.tolist())
                snapshots[subsystem, run] = times[in_run]
                histograms[subsystem, run] = {name: times[in_run & reported[:, column]] for column, name in names}
        return cls(histograms, snapshots, cycle)

    def after(self, key: Key, histogram: str | None, time: np.datetime64, number: int) -> np.datetime64:
        """Time of the report with this ``number`` after ``time``, from 1."""
        known = self._reports(key, histogram)
        later = known[np.searchsorted(known, time, side="right") :]
        if number <= len(later):
            return later[number - 1]
        return (later[-1] if len(later) else time) + (number - len(later)) * self.cycle

    def first(self, key: Key, histogram: str | None, time: np.datetime64, stop: np.datetime64) -> np.datetime64:
        """The first report (of whole snapshots: snapshot) in ``(time, stop]``; ``stop`` if there is none."""
        known = self._reports(key, histogram) if histogram else self.snapshots.get(key, np.empty(0, "datetime64[ns]"))
        later = known[np.searchsorted(known, time, side="right") :]
        return min(later[0], stop) if len(later) else stop

    def delay(self, key: Key, histogram: str | None, start: np.datetime64, known_at: np.datetime64) -> int:
        """Number of the report after ``start`` by which something was known."""
        known = self._reports(key, histogram)
        if not len(known):
            return int(np.ceil((known_at - start) / self.cycle))
        return 1 + int(((known > start) & (known < known_at)).sum())

    def _reports(self, key: Key, histogram: str | None) -> Times:
        none: Times = np.empty(0, "datetime64[ns]")
        return none if histogram is None else self.histograms.get(key, {}).get(histogram, none)


@dataclass(frozen=True)
class IncidentSpan:
    """Findings that belong together; ``parts`` are the (subsystem, start, stop] that were joined."""

    start: np.datetime64
    stop: np.datetime64
    parts: tuple[tuple[str, np.datetime64, np.datetime64], ...]


@dataclass(frozen=True)
class FaultMatch:
    """A fault and the number of its report by which it was found; None if it was not."""

    fault: Fault
    delay: int | None

    @property
    def soon(self) -> bool:
        """True if the fault was found by its fifth report."""
        return self.delay is not None and self.delay <= ALLOWED


def instant(time: datetime) -> np.datetime64:
    """The time in UTC, without a zone, as in all tables here."""
    return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "ns")


def timed(findings: pd.DataFrame, reports: ReportTimes) -> pd.DataFrame:
    """Findings in order, with the times of their ``first`` report, when they were ``raised``, and until when others are
    ``near``.

    Parameters
    ----------
    findings
        A line each with `COLUMNS`: the interval is ``(start, stop]``, UTC; one without a histogram concerns the whole
        subsystem or snapshot. A finding is raised by its first report, unless a column ``raised`` has the time, which
        is needed where the interval begins before it was noticed.
    """
    table = findings.copy()
    # A column may have NaN for None.
    names = [name if isinstance(name, str) else None for name in findings["histogram"]]
    for name in {"start", "stop", "raised"} & set(findings):
        table[name] = pd.to_datetime(findings[name], utc=True).dt.tz_localize(None).astype("datetime64[ns]")
    first, near = [], []
    columns = (table[column] for column in ("subsystem", "run", "start", "stop"))
    for name, subsystem, run, start, stop in zip(names, *columns, strict=True):
        ends = start.to_datetime64(), stop.to_datetime64()
        first.append(reports.first((subsystem, run), name, *ends))
        near.append(reports.after((subsystem, run), name, ends[1], NEAR))
    table["first"] = np.array(first, dtype="datetime64[ns]")
    table["near"] = np.array(near, dtype="datetime64[ns]")
    table["raised"] = table["raised"].fillna(table["first"]) if "raised" in table else table["first"]
    return table.sort_values("first", kind="stable", ignore_index=True)


def incidents(findings: pd.DataFrame) -> list[IncidentSpan]:
    """Incidents of findings from `timed`, whatever their scores, in order of time."""
    by_run: dict[int, list[Finding]] = {}
    columns = (findings[name].to_numpy() for name in ("subsystem", "run", "histogram", "start", "stop", "near"))
    for subsystem, run, name, start, stop, near in zip(*columns, strict=True):
        # Of two reports up to the first one in a finding, one lies before its start.
        report = int((near - stop) / np.timedelta64(1, "ns")) // (2 * NEAR)
        names = (name,) if isinstance(name, str) else ()
        begin, end = (int(time.astype("datetime64[ns]").astype(np.int64)) for time in (start, stop))
        by_run.setdefault(int(run), []).append(
            Finding(
                subsystem=subsystem, run=int(run), histograms=names, start=begin, stop=end, score=Score.BIN, z=0.0,
                why="", report=report,
            )
        )  # fmt: skip
    in_order = sorted(by_run.items(), key=lambda item: min(finding.start for finding in item[1]))
    joined = joined_by_run(RunFindings(run, of_run, {}) for run, of_run in in_order)
    spans = []
    for one in joined:
        parts = ((part.subsystem, *np.array([part.start, part.stop], "datetime64[ns]")) for part in one.parts)
        spans.append(IncidentSpan(np.datetime64(one.start, "ns"), np.datetime64(one.stop, "ns"), tuple(parts)))
    return spans


def is_true(
    incident: IncidentSpan, faults: Sequence[Fault], reports: ReportTimes, *, same_subsystem: bool = False
) -> bool:
    """True if the incident overlaps the window of a fault (+ 5 reports), on request in the same subsystem only."""
    for fault in faults:
        start, stop = instant(fault.start), _end(fault, fault.histogram, reports)
        for subsystem, begin, end in incident.parts if same_subsystem else ((None, incident.start, incident.stop),):
            if subsystem in (None, fault.subsystem) and begin < stop and end > start:
                return True
    return False


def concerns(findings: pd.DataFrame, fault: Fault) -> NDArray[np.bool_]:
    """True for findings in the run and subsystem of a fault, for a histogram that it changes or for all."""
    same = (findings["subsystem"] == fault.subsystem) & (findings["run"] == fault.run)
    if fault.histograms:
        same &= findings["histogram"].isna() | findings["histogram"].isin(fault.histograms)
    return np.asarray(same, dtype=bool)


def match_fault(fault: Fault, findings: pd.DataFrame, reports: ReportTimes) -> FaultMatch:
    """Match a fault with findings from `timed` that were raised in its window or up to 5 reports later.

    Reports are those of the finding's histogram, or else of the fault's; cycles, if the fault concerns whole snapshots.
    A finding that was raised later, as at the end of a run, matches if its interval reaches into the window.
    """
    key, start = (fault.subsystem, fault.run), instant(fault.start)
    delays = []
    chosen = findings[concerns(findings, fault)]
    for name, begin, raised in zip(*(chosen[c].to_numpy() for c in ("histogram", "start", "raised")), strict=True):
        histogram = name if fault.histograms and isinstance(name, str) else fault.histogram
        if raised > start and begin < _end(fault, histogram, reports):
            delays.append(reports.delay(key, histogram, start, raised))
    return FaultMatch(fault, min(delays, default=None))


def clopper_pearson(found: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a fraction (Clopper, Pearson, Biometrika 26 (1934) 404)."""
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, found, of - found + 1) if found else 0.0
    high = stats.beta.isf(tail, found + 1, of - found) if found < of else 1.0
    return float(low), float(high)


def garwood(count: int, level: float = 0.95) -> tuple[float, float]:
    """Exact interval of a Poisson mean (Garwood, Biometrika 28 (1936) 437)."""
    tail = (1 - level) / 2
    return float(stats.chi2.ppf(tail, 2 * count) / 2) if count else 0.0, float(stats.chi2.isf(tail, 2 * count + 2) / 2)


def _end(fault: Fault, histogram: str | None, reports: ReportTimes) -> np.datetime64:
    return reports.after((fault.subsystem, fault.run), histogram, instant(fault.stop), ALLOWED)
