"""Reads from an archive what a view shows: the histogram in each run, its trend, findings and reference."""

import json
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import owtrend
from dashboards.state import interval
from owtrend.errors import BinningChangedError, OwtrendError
from owtrend.model.histogram import display_name

__all__ = ["Loaded", "histogram", "histogram_in", "histograms", "kept", "namesakes", "subsystems", "trend"]

_MOST_CHANGES = 3  # named
KEPT = 2**23  # bytes; a smaller histogram is kept in memory with all its snapshots
_histograms: weakref.WeakKeyDictionary[owtrend.Archive, weakref.WeakValueDictionary[Any, xr.Dataset]]
_histograms = weakref.WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Loaded:
    """Everything that was read for a view.

    Parameters
    ----------
    histograms
        Histograms of the subsystem in the run, as from `Archive.histograms`.
    cumulative
        The chosen histogram with its snapshots, an `xarray.Dataset`; None if there is nothing to show.
    further
        The same histogram in those of the other runs that have it.
    trend
        The reductor in all these runs, an `xarray.Dataset`; None if it has none.
    findings
        `Findings` of all these runs.
    reference
        `SliceReference` of the pulls; None unless they are shown.
    """

    histograms: pd.DataFrame = field(default_factory=pd.DataFrame)
    cumulative: Any = None  # these are Any, not optional: pages ask once whether there is something to show
    further: Mapping[int, xr.Dataset] = field(default_factory=dict)
    trend: Any = None
    findings: Any = None
    reference: Any = None

    @property
    def run(self) -> int:
        """The run of the chosen histogram."""
        return int(self.cumulative["run"].item())

    @property
    def edges(self) -> list[np.datetime64 | None]:
        """Possible ends of an interval: the run's start (None), then each snapshot."""
        return [None, *([] if self.cumulative is None else self.cumulative["time"].values)]

    def reductors(self, name: str) -> list[str]:
        """The reductors that are stored for a histogram; others are computed when they are asked for."""
        names = self.histograms.index.tolist()
        return list(self.histograms["reductors"].iloc[names.index(name)]) if name in names else []


def runs(archive: owtrend.Archive) -> pd.DataFrame:
    """The runs that can be shown: those with snapshots."""
    return archive.runs[archive.runs["snapshots"] > 0]


def subsystems(archive: owtrend.Archive, run: int) -> list[str]:
    """The subsystems in a run."""
    own = str(archive.runs.loc[run, "subsystems"]).split(", ")
    return own + [name for name, host in archive.hosted.items() if host in own]


def histograms(archive: owtrend.Archive, run: int, subsystem: str) -> pd.DataFrame:
    """The histograms of a subsystem in a run, as from `Archive.histograms`, each with an index of its own.

    Projections that a plug-in derives are among them, at the end. ``group`` and ``label`` are as its plug-in says.
    Two may have the same displayed name: ``b`` in the folder ``a``, and ``a/b``. Their index has quotes:
    ``"a" / "b"`` and ``"a/b"``.
    """
    table = archive.histograms(subsystem, run=run)
    groups = archive.groups(subsystem, run)
    table = pd.concat([table, _projections(table, groups)]) if (groups["kind"] == "projection").any() else table
    double = table.index.duplicated(keep=False)
    if double.any():
        quoted = [" / ".join(json.dumps(part, ensure_ascii=False) for part in path) for path in table["path"]]
        table.index = pd.Index(np.where(double, quoted, table.index), name=table.index.name)
    shown = dict(zip(groups.index, zip(groups["group"], groups["title"], strict=True), strict=True))
    names = [display_name(path) for path in table["path"]]
    alone = dict.fromkeys(title for title, count in Counter(groups["title"]).items() if count == 1)
    labels = [
        own if double_name else shown[name][1] if shown[name][1] in alone else f"{shown[name][1]}  ·  {own}"
        for own, name, double_name in zip(table.index, names, double, strict=True)
    ]
    table = table.assign(group=[shown[name][0] for name in names], label=labels)
    table.attrs["groups"] = list(dict.fromkeys(groups["group"][groups["kind"].isin(["stored", "projection"])]))
    return table


def _projections(table: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Rows of the projections that a plug-in derives from the histograms in a table."""
    rows = []
    for name, row in groups[groups["kind"] == "projection"].iterrows():
        axes, (source,) = str(row["axes"]), row["sources"]
        reductors = [one for one in table.loc[source, "reductors"] if "_" not in one or one[-1] in axes]
        kept = {column: table.loc[source, column] for column in ("kind", "first_run", "last_run")}
        rows.append(
            {**kept, "name": name, "path": (name,), "title": row["title"], "dims": len(axes), "reductors": reductors}
        )
    return pd.DataFrame(rows).set_index("name").reindex(columns=table.columns)


def namesakes(table: pd.DataFrame, name: str | None) -> tuple[str, ...]:
    """The histograms that have a displayed name, where it is the name of several."""
    if name is None or name in table.index:
        return ()
    return tuple(table.index[[display_name(path) == name for path in table["path"]]])


def kept(now: Any, before: Any) -> Any:
    """``before`` if it holds the same rows of the same histogram: what did not change is not drawn anew."""
    if now is None or before is None or now.sizes != before.sizes or now.attrs != before.attrs:
        return now
    # In a large histogram, which is not in memory, the statistics of each row stand for its bins.
    bins = [] if now.nbytes <= KEPT else [name for name in now.data_vars if name != "sums"]
    return before if now.drop_vars(bins).identical(before.drop_vars(bins)) else now


def histogram(
    archive: owtrend.Archive, run: int, subsystem: str, path: tuple[str, ...], notes: list[str]
) -> xr.Dataset | None:  # fmt: skip
    """One histogram in one run, cumulative, in its last binning; None, and why in ``notes``, if it cannot be read."""
    try:
        found = _shared(archive, subsystem, path, run, None)
    except BinningChangedError:
        found = _shared(archive, subsystem, path, run, -1)
        since, name = interval.text(found["time"].values[0])[-8:], found.attrs["name"]
        notes.append(f"{name} changed its binning during run {run}; the snapshots since {since} UTC are shown.")
    except OwtrendError as error:
        notes.append(str(error))
        return None
    name, changes = found.attrs["name"], found.attrs.get("changes", ())
    notes += [f"{name} in run {run}, {words}." for words in changes[-_MOST_CHANGES:]]
    return found


def _shared(
    archive: owtrend.Archive, subsystem: str, path: tuple[str, ...], run: int, binning: int | None
) -> xr.Dataset:
    """A histogram in one run; all sessions that show it have the same, since nobody changes it."""
    known = _histograms.setdefault(archive, weakref.WeakValueDictionary())
    key = subsystem, path, run, binning
    if (found := known.get(key)) is None:
        found = archive.histogram(subsystem, path, run=run, binning=binning)
        # In memory a slice takes 2 ms instead of 10. The sums are small, and every slice needs all of them.
        found = found.load() if found.nbytes <= KEPT else found.assign(sums=found["sums"].load())
        known[key] = found
    return found


def histogram_in(
    archive: owtrend.Archive, runs: Sequence[int], cumulative: xr.Dataset, known: Mapping[int, xr.Dataset],
    notes: list[str],
) -> Mapping[int, xr.Dataset]:  # fmt: skip
    """The same histogram in further runs, as far as they have it; ``known`` is not read again."""
    subsystem, path, found = cumulative.attrs["subsystem"], cumulative.attrs["path"], {}
    for run in runs:
        if run in known:
            found[run] = known[run]
        elif subsystem not in subsystems(archive, run):
            notes.append(f"Run {run} has no {subsystem}.")
        elif (further := histogram(archive, run, subsystem, path, notes)) is not None:
            found[run] = further
    return found


def trend(
    archive: owtrend.Archive, cumulative: xr.Dataset, runs: Sequence[int], reductors: Iterable[str], every: str,
    known: xr.Dataset | None, errors: list[str],
) -> tuple[str, xr.Dataset | None]:  # fmt: skip
    """The trend of the first of ``reductors`` that fits, and its full name; ``known`` if it is the same trend."""
    subsystem, path = cumulative.attrs["subsystem"], cumulative.attrs["path"]
    reductors = list(dict.fromkeys(filter(None, reductors)))
    for reductor in reductors:
        key = (subsystem, path, reductor, tuple(runs), every)
        if known is not None and known.attrs["key"] == key:
            return reductor, known
        which = {"run": runs[0]} if len(runs) == 1 else {"runs": list(runs)}
        try:
            found = archive.trend(subsystem, path, reductor, every=every or None, **which)
        except OwtrendError as error:
            errors.append(str(error))
            continue
        reductor = found.attrs["reductor"]  # "mean" is "mean_x"
        return reductor, found.assign_attrs(key=(subsystem, path, reductor, tuple(runs), every))
    return reductors[-1], None
