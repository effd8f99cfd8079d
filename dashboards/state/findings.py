"""What was found wrong: the scores and flags of one histogram, and the latest incidents of a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import owtrend
from owtrend.errors import NotFoundError
from owtrend.model import finding

__all__ = ["Findings", "Incident", "findings", "latest"]

RUNS, MOST = 50, 30  # runs that are looked through for incidents, and incidents that are listed


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found of one histogram in some runs.

    Parameters
    ----------
    table
        ``total``, and coords ``time``, ``run``, ``threshold`` over ``snapshot``; None if no run has scores.
    flags
        As `owtrend.Archive.findings`, those that concern the histogram or whole snapshots.
    unscored
        Runs that have no scores, or none of what they are now.
    gauge
        Whether it is one: it counts nothing, and is never scored.
    made
        What it was made from, so that nothing is read twice.
    """

    table: xr.Dataset | None
    flags: pd.DataFrame
    unscored: tuple[int, ...]
    gauge: bool
    made: tuple[Any, ...]

    def within(self, run: int, start: np.datetime64 | None, stop: np.datetime64 | None) -> pd.DataFrame:
        """The flags that overlap a time slice of a run, the surest first; None stands for an end of the run."""
        chosen = self.flags["run"] == run
        if start is not None:
            chosen &= self.flags["stop"] > start
        if stop is not None:
            chosen &= self.flags["start"] < stop
        return self.flags[chosen].sort_values(["z", "start"], ascending=[False, True], kind="stable")


def findings(
    archive: owtrend.Archive, cumulative: xr.Dataset, runs: Sequence[int], known: Findings | None = None
) -> Findings:
    """Of a histogram as `Archive.histogram` gives it; ``known`` again if it is that."""
    subsystem, path, name = (cumulative.attrs[key] for key in ("subsystem", "path", "name"))
    made = archive.version, subsystem, path, tuple(runs)
    if known is not None and known.made == made:
        return known
    flags = archive.findings(subsystem, runs=list(runs))
    flags = flags[np.array([name in held or not held for held in flags["histograms"]], dtype=bool)]
    gauge, table = bool(cumulative.attrs["gauge"]), None
    unscored = tuple(runs)
    if not gauge:
        try:
            found = archive.scores(subsystem, [path], ["chi2"], runs=list(runs))
        except NotFoundError:  # nothing was ever computed
            pass
        else:
            found = found.drop_vars("z").isel(histogram=0, drop=True).load()
            scored = np.unique(found["run"].values[np.isfinite(found["threshold"].values)]).tolist()
            unscored = tuple(run for run in runs if run not in scored)
            table = found if scored else None
    return Findings(table, flags, unscored, gauge, made)


@dataclass(frozen=True)
class Incident:
    """What was flagged together, and where its surest flag is; ``histogram`` is None if that is of whole snapshots."""

    label: str
    subsystem: str
    run: int
    histogram: str | None
    start: np.datetime64
    stop: np.datetime64


def latest(archive: owtrend.Archive) -> tuple[Incident, ...]:
    """The newest incidents of the newest runs."""
    return _latest(archive, archive.version)


@lru_cache(maxsize=4)
def _latest(archive: owtrend.Archive, version: str) -> tuple[Incident, ...]:
    newest = archive.runs["start"].sort_values().index[-RUNS:].tolist()
    flags = archive.findings(runs=newest)
    found: dict[str, Incident] = {}
    for one in finding.incidents(flags).sort_values("start", ascending=False).head(MOST).itertuples():
        inside = flags[(flags["start"] >= one.start) & (flags["stop"] <= one.stop)]
        surest = inside[(inside["z"] == one.z) & (inside["why"] == one.why)].iloc[0]
        own = inside[(inside["run"] == surest["run"]) & (inside["subsystem"] == surest["subsystem"])]
        names = surest["histograms"]
        told = (surest["subsystem"], *names[:1], one.score.replace("_", " "))
        label = f"{one.start:%m-%d %H:%M}  ·  {' '.join(told)}"
        while label in found:
            label += " "  # as options of a widget they must differ
        ends = (np.datetime64(own[end].agg(how), "ns") for end, how in (("start", "min"), ("stop", "max")))
        found[label] = Incident(label, surest["subsystem"], int(surest["run"]), names[0] if names else None, *ends)
    return tuple(found.values())
