"""What one user looks at: runs, subsystem, histogram, reductor, interval; told by the page's address and kept in it."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import param
import xarray as xr

import owtrend
from dashboards.state import interval, region
from dashboards.state.findings import findings
from dashboards.state.reference import beside
from owtrend.errors import BinningChangedError, OwtrendError, UsageError
from owtrend.trends.query import every_interval

__all__ = ["ADDRESS", "MOST", "Selection"]

KEPT = 2**23  # bytes; a smaller histogram is kept in memory with all its snapshots
MOST = 7  # further runs; as many colours as are told apart
ADDRESS = {
    "run": "run", "others": "with", "subsystem": "subsystem", "histogram": "histogram", "reductor": "reductor",
    "every": "every", "axes": "axes", "region": "range", "start": "start", "stop": "stop", "log": "log",
    "normalised": "norm", "pulls": "pulls",
}  # fmt: skip


class Selection(param.Parameterized):
    """A choice that always holds together: `choose` changes it, and who watches it hears of each change once.

    ``start`` and ``stop`` are times of snapshots in UTC, None at the run's ends. ``cumulative`` is the chosen histogram
    with its snapshots, or None if there is nothing to show; ``notes`` then says why. ``further`` has the same of those
    of the ``others`` that have the histogram, ``trend`` the reductor of all these runs, ``findings`` their scores and
    flags; ``beside`` is what pulls are beside, if they are shown.
    """

    run = param.Integer(default=None, allow_None=True)
    others = param.List(item_type=int, doc="Further runs, beside which the run is shown.")
    subsystem = param.String()
    histogram = param.String(doc="Displayed name.")
    reductor = param.String()
    every = param.String(doc="Interval of a trend's points: '' (a snapshot), such as '10min', or 'run'.")
    axes = param.String(doc="Onto which the histogram is projected; '' is as it is, of three axes the first two.")
    region = param.String(doc="Range of the axes that are summed over, such as 'y=2:5'; '' is all.")
    start = param.Parameter()
    stop = param.Parameter()
    log = param.Boolean(doc="Logarithmic contents: heights in 1-D, colours in 2-D.")
    normalised = param.Boolean(doc="Contents per entry.")
    pulls = param.Boolean(doc="Whether the time slice is compared with other runs, bin by bin.")
    cumulative = param.Parameter()
    further = param.Dict(default={})
    trend = param.Parameter()
    findings = param.Parameter()
    beside = param.Parameter()
    notes = param.List(item_type=str, doc="What could not be shown as asked for, and what is shown instead.")
    complaints = param.Dict(default={}, doc="What is wrong with a text somebody typed: 'reductor' or 'region' -> why.")

    def __init__(self, archive: owtrend.Archive, **wanted: Any) -> None:
        super().__init__()
        self.archive = archive
        self.histograms = pd.DataFrame()  # those of the subsystem in the run, as `Archive.histograms` gives them
        self.choose(**wanted)

    @classmethod
    def from_address(cls, archive: owtrend.Archive, query: Mapping[str, str]) -> "Selection":
        """The selection that the query of an address tells; what it does not tell is chosen for the user."""
        return cls(archive, **{name: query[key] for name, key in ADDRESS.items() if key in query})

    @property
    def address(self) -> str:
        """The query of a link that restores this view, such as ``?run=300000&subsystem=EMC&...``."""
        told = {name: getattr(self, name) for name in ADDRESS} | {"log": "1" if self.log else None}
        told["pulls"] = "1" if self.pulls else None
        told["others"] = ",".join(map(str, self.others))
        told["normalised"] = "1" if self.normalised else "0" if self.others else None  # beside others it is the rule
        for name in ("start", "stop"):
            told[name] = None if told[name] is None else interval.text(told[name])
        kept = {ADDRESS[name]: value for name, value in told.items() if value not in (None, "")}
        return "?" + urlencode(kept, safe="/:,()=")

    @property
    def subsystems(self) -> list[str]:
        """Those that took part in the run."""
        return self._subsystems(self.run) if self.run is not None else []

    @property
    def reductors(self) -> list[str]:
        """Those that are kept of the histogram; more can be had by their names."""
        return _reductors(self.histograms, self.histogram)

    @property
    def runs(self) -> list[int]:
        """The run and the further ones that have the histogram, in order."""
        return sorted([self.run, *self.further])

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The region, as numbers."""
        return {} if self.cumulative is None else region.ranges(self.region, self.cumulative, self.axes)

    @property
    def edges(self) -> list[np.datetime64 | None]:
        """Where an interval can begin or end: the run's beginning (None), then each snapshot."""
        return [None, *([] if self.cumulative is None else self.cumulative["time"].values)]

    def choose(self, **wanted: Any) -> None:
        """Change part of the selection, and with it what no longer fits.

        Values may be texts, as they stand in an address; None and empty ones are chosen anew. What the store does not
        have is replaced by something near, and `notes` says so; what was typed and means nothing leaves things as they
        are, and `complaints` says so.
        """
        archive, notes = self.archive, list[str]()
        if archive.runs.empty:
            how = f"owtrend ingest FOLDER --store {archive.location}"
            self._update(cumulative=None, notes=[f"This store holds no runs yet. Fill it with: {how}"])
            return
        asked = {name: getattr(self, name) for name in ADDRESS} | wanted
        asked = {name: value if not isinstance(value, str) else value.strip() or None for name, value in asked.items()}
        run = _one_of("run", _number(asked["run"]), archive.runs.index.tolist()[::-1], "the store", notes)
        subsystem = _one_of("subsystem", asked["subsystem"], self._subsystems(run), f"run {run}", notes)
        same = (run, subsystem) == (self.run, self.subsystem)
        table = self.histograms if same else archive.histograms(subsystem, run=run)
        where = f"{subsystem} of run {run}"
        histogram = _one_of("histogram", asked["histogram"], table.index.tolist(), where, notes)
        cumulative, known = self.cumulative, self.further
        if not (same and histogram == self.histogram):
            cumulative = self._read(run, subsystem, histogram, table, notes)
        if (subsystem, histogram) != (self.subsystem, self.histogram):
            known = {}
        others = self._others(asked["others"], run, notes)
        further = {} if cumulative is None else self._further(others, subsystem, cumulative, known, notes)
        if run != self.run and self.run is not None:  # an interval is of one run
            asked |= {"start": wanted.get("start"), "stop": wanted.get("stop")}
        start, stop = interval.between_snapshots(cumulative, asked["start"], asked["stop"], notes)
        complaints = {name: why for name, why in self.complaints.items() if name not in wanted and same}
        of_axes = self._projection(cumulative, asked, "region" in wanted, complaints)
        of_trend = self._trend(cumulative, sorted([run, *further]), table, histogram, asked, wanted, complaints, notes)
        per_entry = asked["normalised"] in (True, "1", "true")
        if others and not self.others and "normalised" not in wanted:
            per_entry = True  # runs differ in length: only then are they comparable
        self.histograms = table
        self._update(
            run=run, others=others, subsystem=subsystem, histogram=histogram, start=start, stop=stop,
            log=asked["log"] in (True, "1", "true"), normalised=per_entry, cumulative=cumulative, further=further,
            notes=notes, complaints=complaints, **of_axes, **of_trend, **self._judged(cumulative, further, asked),
        )  # fmt: skip

    def _update(self, **values: Any) -> None:
        """Set what differs, so that nobody hears of a change that is none."""
        changed = {}
        for name, value in values.items():
            kept = getattr(self, name)
            if name == "further":
                differs = {key: id(one) for key, one in value.items()} != {key: id(one) for key, one in kept.items()}
            else:
                differs = value is not kept and (isinstance(value, xr.Dataset) or value != kept)
            if differs:
                changed[name] = value
        self.param.update(**changed)

    def _read(self, run: int, subsystem: str, name: str, table: pd.DataFrame, notes: list[str]) -> xr.Dataset | None:
        if not name:
            notes.append(f"There are no histograms in {subsystem} of run {run}.")
            return None
        path = table["path"].iloc[table.index.tolist().index(name)]
        try:
            found = self.archive.histogram(subsystem, path, run=run)
        except BinningChangedError:
            found = self.archive.histogram(subsystem, path, run=run, binning=-1)
            since = interval.text(found["time"].values[0])[-8:]
            notes.append(f"{name} changed its binning during run {run}; the snapshots since {since} UTC are shown.")
        except OwtrendError as error:
            notes.append(str(error))
            return None
        # In memory a slice takes 2 ms instead of 10. The sums are small, and every slice needs all of them.
        return found.load() if found.nbytes <= KEPT else found.assign(sums=found["sums"].load())

    def _others(self, told: Any, run: int, notes: list[str]) -> list[int]:
        """Further runs as an address or a widget tells them, in order."""
        every = told.split(",") if isinstance(told, str) else (told or [])
        wanted = dict.fromkeys(_number(one.strip() if isinstance(one, str) else one) for one in every if one != "")
        unknown = [one for one in wanted if one not in self.archive.runs.index]
        if unknown:
            notes.append(f"There is no run {', '.join(map(str, unknown))} in the store.")
        found = [one for one in wanted if one not in unknown and one != run]
        if len(found) > MOST:
            notes.append(f"At most {MOST} further runs are shown, for more colours are not told apart.")
        return sorted(found[:MOST])

    def _further(
        self, others: Sequence[int], subsystem: str, cumulative: xr.Dataset, known: Mapping[int, xr.Dataset],
        notes: list[str],
    ) -> dict[int, xr.Dataset]:  # fmt: skip
        """The histogram in further runs, as far as they have it with these axes."""
        path, found = cumulative.attrs["path"], {}
        for run in others:
            table = pd.DataFrame({"path": [path]}, index=[cumulative.attrs["name"]])
            if run in known:
                found[run] = known[run]
            elif subsystem not in self._subsystems(run):
                notes.append(f"Run {run} has no {subsystem}.")
            elif (one := self._read(run, subsystem, cumulative.attrs["name"], table, notes)) is not None:
                found[run] = one
        return found

    def _projection(
        self, cumulative: xr.Dataset | None, asked: Mapping[str, Any], typed: bool, complaints: dict[str, str]
    ) -> dict[str, str]:  # fmt: skip
        """Axes and region, as far as they fit."""
        axes = asked["axes"] if asked["axes"] in region.choices(cumulative) else ""
        if axes != self.axes:
            complaints.pop("region", None)
        if cumulative is None:
            return {"axes": "", "region": ""}
        for text in (asked["region"], self.region):
            try:
                return {"axes": axes, "region": region.region_text(region.ranges(text or "", cumulative, axes))}
            except UsageError as error:
                if typed:
                    complaints.setdefault("region", str(error))
        return {"axes": axes, "region": ""}

    def _trend(
        self, cumulative: xr.Dataset | None, runs: list[int], table: pd.DataFrame, histogram: str,
        asked: Mapping[str, Any], wanted: Mapping[str, Any], complaints: dict[str, str], notes: list[str],
    ) -> dict[str, Any]:  # fmt: skip
        """Reductor, interval and trend: those asked for, or else the last good ones, or else the first that fit."""
        every = asked["every"] or ""
        try:
            every_interval(every if every not in ("", "run") else "1min")
        except UsageError as error:
            notes.append(f"{error}. Each snapshot is shown instead.")
            every = ""
        if cumulative is None:
            return {"reductor": "", "every": every, "trend": None}
        kept = _reductors(table, histogram)
        usual = "mean_x" if "mean_x" in kept else next(iter(kept), "entries")
        told = cumulative.attrs["subsystem"], cumulative.attrs["path"]
        which: dict[str, Any] = {"run": runs[0]} if len(runs) == 1 else {"runs": runs}
        for reductor in dict.fromkeys(filter(None, (asked["reductor"], self.reductor, usual))):
            made = (*told, reductor, tuple(runs), every)
            if self.trend is not None and self.trend.attrs["made"] == made:
                return {"reductor": reductor, "every": every, "trend": self.trend}
            try:
                trend = self.archive.trend(*told, reductor, every=every or None, **which)
            except OwtrendError as error:
                if wanted.get("reductor"):
                    complaints.setdefault("reductor", str(error))
                continue
            named = trend.attrs["reductor"]  # "mean" is "mean_x"
            made = (*told, named, tuple(runs), every)
            return {"reductor": named, "every": every, "trend": trend.assign_attrs(made=made)}
        return {"reductor": usual, "every": every, "trend": None}

    def _judged(
        self, cumulative: xr.Dataset | None, further: Mapping[int, xr.Dataset], asked: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Scores, flags, and if pulls are wanted what they are beside; read once for each histogram and runs."""
        pulls = asked["pulls"] in (True, "1", "true")
        if cumulative is None:
            return {"pulls": pulls, "findings": None, "beside": None}
        runs = sorted([int(cumulative["run"].item()), *further])
        found, reference = findings(self.archive, cumulative, runs, self.findings), self.beside
        if not pulls:
            reference = None
        elif reference is None or reference.of is not cumulative:
            reference = beside(self.archive, cumulative)
        return {"pulls": pulls, "findings": found, "beside": reference}

    def _subsystems(self, run: int) -> list[str]:
        return str(self.archive.runs.loc[run, "subsystems"]).split(", ")


def _reductors(table: pd.DataFrame, histogram: str) -> list[str]:
    names = table.index.tolist()
    return list(table["reductors"].iloc[names.index(histogram)]) if histogram in names else []


def _one_of(kind: str, wanted: Any, known: Sequence[Any], where: str, notes: list[str]) -> Any:
    """``wanted`` if it is known, else the first known, and a note unless nothing was wanted."""
    if wanted in known:
        return wanted
    first = known[0] if known else ""
    if wanted is not None:
        notes.append(f"There is no {kind} {wanted} in {where}; {first} is shown instead.")
    return first


def _number(run: Any) -> Any:
    return int(run) if isinstance(run, str) and run.isdecimal() else run
