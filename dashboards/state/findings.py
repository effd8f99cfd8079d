"""Scores and findings of one histogram, and the latest incidents of a store."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import owtrend
from owtrend.errors import NotFoundError
from owtrend.quality.incident import incidents

__all__ = ["Findings", "Incident", "findings", "latest"]

RUNS, MOST = 50, 30  # runs that are searched for incidents, and incidents that are listed


@dataclass(frozen=True, eq=False)
class Findings:
    """Scores and findings of one histogram in some runs.

    Parameters
    ----------
    scores
        ``total``, with coords ``time``, ``run``, ``threshold`` and ``stale`` over ``snapshot``; None if no run has any.
    rows
        Findings that concern the histogram or whole snapshots, as from `owtrend.Archive.findings`.
    unscored
        Runs without scores of their present data.
    is_gauge
        A gauge counts nothing and is never scored.
    key
        The histogram and runs they are for, so that nothing is read twice.
    """

    scores: xr.Dataset | None
    rows: pd.DataFrame
    unscored: tuple[int, ...]
    is_gauge: bool
    key: tuple[Any, ...]

    def within(self, run: int, start: np.datetime64 | None, stop: np.datetime64 | None) -> pd.DataFrame:
        """Findings that overlap a time slice of a run, by falling significance; None stands for an end of the run."""
        chosen = self.rows["run"] == run
        if start is not None:
            chosen &= self.rows["stop"] > start
        if stop is not None:
            chosen &= self.rows["start"] < stop
        return self.rows[chosen].sort_values(["certain", "z", "start"], ascending=[False, False, True], kind="stable")


def findings(
    archive: owtrend.Archive, cumulative: xr.Dataset, runs: Sequence[int], known: Findings | None = None
) -> Findings:
    """Scores and findings of a histogram, given as from `Archive.histogram`; ``known`` again if they are the same."""
    subsystem, path, name = (cumulative.attrs[attr] for attr in ("subsystem", "path", "name"))
    key = archive.version, subsystem, path, tuple(runs)
    if known is not None and known.key == key:
        return known
    rows = archive.findings(subsystem, runs=list(runs))
    rows = rows[np.array([name in names or not names for names in rows["histograms"]], dtype=bool)]
    is_gauge, scores = bool(cumulative.attrs["gauge"]), None
    unscored = tuple(runs)
    if not is_gauge:
        try:
            found = archive.scores(subsystem, [path], ["chi2"], runs=list(runs))
        except NotFoundError:  # nothing was ever computed
            pass
        else:
            found = found.drop_vars("z").isel(histogram=0, drop=True).load()
            scored = np.unique(found["run"].values[np.isfinite(found["threshold"].values)]).tolist()
            unscored = tuple(run for run in runs if run not in scored)
            scores = found if scored else None
    return Findings(scores, rows, unscored, is_gauge, key)


@dataclass(frozen=True)
class Incident:
    """Findings that belong together, and where the most significant is; ``histogram`` is None for whole snapshots."""

    label: str
    subsystem: str
    run: int
    histogram: str | None
    start: np.datetime64
    stop: np.datetime64


@lru_cache(maxsize=4)  # sessions of one version share its archive
def latest(archive: owtrend.Archive) -> tuple[Incident, ...]:
    """The newest incidents of the newest runs."""
    runs = archive.runs["start"].sort_values().index[-RUNS:].tolist()
    rows = archive.findings(runs=runs)
    found: dict[str, Incident] = {}
    for incident in incidents(rows).sort_values("start", ascending=False).head(MOST).itertuples():
        inside = rows[(rows["start"] >= incident.start) & (rows["stop"] <= incident.stop)]
        same_z = inside["certain"] if incident.certain else inside["z"] == incident.z
        top = inside[same_z & (inside["why"] == incident.why)].iloc[0]
        same_run = inside[(inside["run"] == top["run"]) & (inside["subsystem"] == top["subsystem"])]
        names = top["histograms"]
        words = (top["subsystem"], *names[:1], incident.score.replace("_", " "))
        label = f"{incident.start:%m-%d %H:%M}  ·  {' '.join(words)}"
        while label in found:
            label += " "  # a widget needs distinct options
        start, stop = np.datetime64(same_run["start"].min(), "ns"), np.datetime64(same_run["stop"].max(), "ns")
        found[label] = Incident(label, top["subsystem"], int(top["run"]), names[0] if names else None, start, stop)
    return tuple(found.values())
