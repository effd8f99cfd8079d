"""What one user looks at: run, subsystem, histogram, reductor, interval; told by the page's address and kept in it."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pandas as pd
import param
import xarray as xr

import owtrend
from owtrend.difference import parse_time
from owtrend.errors import BinningChangedError, OwtrendError, UsageError

__all__ = ["Selection"]

KEPT = 2**23  # bytes; a smaller histogram is kept in memory with all its snapshots
_ADDRESS = ("run", "subsystem", "histogram", "reductor", "start", "stop", "log")


class Selection(param.Parameterized):
    """A choice that always holds together: `choose` changes it, and who watches it hears of each change once.

    ``start`` and ``stop`` are times of snapshots in UTC, None at the run's ends. ``cumulative`` is the chosen histogram
    with its snapshots, or None if there is nothing to show; ``notes`` then says why.
    """

    run = param.Integer(default=None, allow_None=True)
    subsystem = param.String()
    histogram = param.String(doc="Displayed name.")
    reductor = param.String()
    start = param.Parameter()
    stop = param.Parameter()
    log = param.Boolean(doc="Logarithmic contents: heights in 1-D, colours in 2-D.")
    cumulative = param.Parameter()
    notes = param.List(item_type=str, doc="What could not be shown as asked for, and what is shown instead.")

    def __init__(self, archive: owtrend.Archive, **wanted: Any) -> None:
        super().__init__()
        self.archive = archive
        self.histograms = pd.DataFrame()  # those of the subsystem in the run, as `Archive.histograms` gives them
        self.choose(**wanted)

    @classmethod
    def from_address(cls, archive: owtrend.Archive, query: Mapping[str, str]) -> "Selection":
        """The selection that the query of an address tells; what it does not tell is chosen for the user."""
        return cls(archive, **{name: text for name, text in query.items() if name in _ADDRESS})

    @property
    def address(self) -> str:
        """The query of a link that restores this view, such as ``?run=300000&subsystem=EMC&...``."""
        told = {name: getattr(self, name) for name in _ADDRESS} | {"log": "1" if self.log else None}
        for name in ("start", "stop"):
            told[name] = None if told[name] is None else _text(told[name])
        return "?" + urlencode({name: value for name, value in told.items() if value not in (None, "")}, safe="/:")

    @property
    def subsystems(self) -> list[str]:
        """Those that took part in the run."""
        return self._subsystems(self.run) if self.run is not None else []

    @property
    def reductors(self) -> list[str]:
        """Those that have a meaning for the histogram."""
        return _reductors(self.histograms, self.histogram)

    @property
    def edges(self) -> list[np.datetime64 | None]:
        """Where an interval can begin or end: the run's beginning (None), then each snapshot."""
        return [None, *([] if self.cumulative is None else self.cumulative["time"].values)]

    def choose(self, **wanted: Any) -> None:
        """Change part of the selection, and with it what no longer fits.

        Values may be texts, as they stand in an address; None and empty ones are chosen anew. What the store does not
        have is replaced by something near, and `notes` says so.
        """
        archive, notes = self.archive, list[str]()
        if archive.runs.empty:
            how = f"owtrend ingest FOLDER --store {archive.location}"
            self._update(cumulative=None, notes=[f"This store holds no runs yet. Fill it with: {how}"])
            return
        asked = {name: getattr(self, name) for name in _ADDRESS} | wanted
        asked = {name: value if not isinstance(value, str) else value.strip() or None for name, value in asked.items()}
        run = _one_of("run", _number(asked["run"]), archive.runs.index.tolist()[::-1], "the store", notes)
        subsystem = _one_of("subsystem", asked["subsystem"], self._subsystems(run), f"run {run}", notes)
        same = (run, subsystem) == (self.run, self.subsystem)
        table = self.histograms if same else archive.histograms(subsystem, run=run)
        where = f"{subsystem} of run {run}"
        histogram = _one_of("histogram", asked["histogram"], table.index.tolist(), where, notes)
        reductors = _reductors(table, histogram)
        reductor = {"mean": "mean_x", "std": "std_x"}.get(asked["reductor"], asked["reductor"])
        if reductor not in reductors:
            if wanted.get("reductor"):
                notes.append(f"{histogram} has no reductor {reductor}; it has {', '.join(reductors)}.")
            reductor = "mean_x" if "mean_x" in reductors else next(iter(reductors), "")
        cumulative = self.cumulative
        if not (same and histogram == self.histogram):
            cumulative = self._read(run, subsystem, histogram, table, notes)
        if run != self.run and self.run is not None:  # an interval is of one run
            asked |= {"start": wanted.get("start"), "stop": wanted.get("stop")}
        start, stop = _interval(cumulative, asked["start"], asked["stop"], notes)
        self.histograms = table
        self._update(
            run=run, subsystem=subsystem, histogram=histogram, reductor=reductor, start=start, stop=stop,
            log=asked["log"] in (True, "1", "true"), cumulative=cumulative, notes=notes,
        )  # fmt: skip

    def _update(self, **values: Any) -> None:
        """Set what differs, so that nobody hears of a change that is none."""
        changed = {}
        for name, value in values.items():
            kept = getattr(self, name)
            if value is not kept and (isinstance(value, xr.Dataset) or value != kept):
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
            since = _text(found["time"].values[0])[-8:]
            notes.append(f"{name} changed its binning during run {run}; the snapshots since {since} UTC are shown.")
        except OwtrendError as error:
            notes.append(str(error))
            return None
        # In memory a slice takes 2 ms instead of 10. The sums are small, and every slice needs all of them.
        return found.load() if found.nbytes <= KEPT else found.assign(sums=found["sums"].load())

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


def _interval(
    cumulative: xr.Dataset | None, start: Any, stop: Any, notes: list[str]
) -> tuple[np.datetime64 | None, np.datetime64 | None]:
    """Cut to snapshots as `owtrend.time_slice` cuts, or widened to the next snapshot if none lies between."""
    if cumulative is None or (start is None and stop is None):
        return None, None
    times = cumulative["time"].values
    try:
        first = -1 if start is None else _last_before(times, start)
        last = len(times) - 1 if stop is None else _last_before(times, stop)
    except UsageError as error:
        notes.append(f"{error}. The whole run is shown instead.")
        return None, None
    if last < first or first == len(times) - 1:
        asked = f"{'run start' if start is None else start} to {'run end' if stop is None else stop}"
        notes.append(f"There is no snapshot in the interval {asked}; the whole run is shown instead.")
        return None, None
    last = max(last, first + 1)
    return None if first < 0 else times[first], None if last == len(times) - 1 else times[last]


def _last_before(times: Any, told: Any) -> int:
    """Index of the last of ``times`` at or before a time; -1 if all are later."""
    when = parse_time(told.removesuffix("Z") if isinstance(told, str) else told, times[0])
    if np.isnat(when):
        raise UsageError(f"not a time: {told!r}")
    return int(np.searchsorted(times, when, side="right")) - 1


def _text(time: np.datetime64) -> str:
    """To the second, or as exactly as it takes."""
    return str(np.datetime_as_string(time, "s" if time == time.astype("datetime64[s]") else "auto"))
