"""Scores and findings of one histogram, and the latest incidents of a store."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import owtrend
from owtrend.errors import NotFoundError
from owtrend.model.finding import Aspect, BinRange, Score

__all__ = ["Findings", "Incident", "findings", "kept_findings", "latest", "reductor_for"]

MOST = 30  # incidents that are listed


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


def kept_findings(now: Findings, before: Findings | None) -> Findings:
    """``before`` if it says the same."""
    if before is None or (now.key, now.unscored, now.is_gauge) != (before.key, before.unscored, before.is_gauge):
        return now
    scores, scores_before = now.scores, before.scores
    same = scores is scores_before if scores is None or scores_before is None else scores.identical(scores_before)
    return before if same and now.rows.equals(before.rows) else now


def findings(
    archive: owtrend.Archive, cumulative: xr.Dataset, runs: Sequence[int], known: Findings | None = None
) -> Findings:
    """Scores and findings of a histogram, given as from `Archive.histogram`; ``known`` again if they are the same."""
    subsystem, path, name = (cumulative.attrs[attr] for attr in ("subsystem", "path", "name"))
    key = subsystem, path, tuple(runs)
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
    """The newest incidents; one of several subsystems has a line for each, the most significant first."""
    found: dict[str, Incident] = {}
    for incident in archive.incidents().sort_values("start", ascending=False).head(MOST).itertuples():
        runs, others = incident.runs, [name for name in incident.subsystems if name != incident.subsystem]
        since = f"  ·  {len(runs)} runs since {runs[0]}" if len(runs) > 1 else ""
        for name in (incident.subsystem, *others):
            of_name = [part for part in incident.parts if part.subsystem == name]
            part = next((part for part in of_name if part.run == incident.run), of_name[0])
            start, stop = np.datetime64(part.start, "ns"), np.datetime64(part.stop, "ns")
            histogram, score, place, joined = incident.histogram, incident.score, incident.place, ""
            if name != incident.subsystem:
                top = _most_significant(archive, name, part.run, start, stop)
                histogram, score = (top["histograms"][0] if top["histograms"] else None), top["score"]
                place = top["place"]
                joined = f"  ·  with {incident.subsystem}"
            words = [name, *([histogram] if histogram else []), score.replace("_", " "), *([place] if place else [])]
            label = f"{pd.Timestamp(start):%m-%d %H:%M}  ·  {' '.join(words)}{joined}{since}"
            while label in found:
                label += " "  # a widget needs distinct options
            found[label] = Incident(label, name, part.run, histogram, start, stop)
    return tuple(found.values())


def reductor_for(archive: owtrend.Archive, incident: Incident) -> str:
    """The reductor whose trend shows what is wrong: entries of all bins, or of those that deviate, or where they lie;
    empty if any may.
    """
    if incident.histogram is None:
        return "entries"
    where = incident.subsystem, incident.run, incident.start, incident.stop
    top = _most_significant(archive, *where, histogram=incident.histogram)
    score, bins = Score(top["score"]), top["bins"]
    if score.aspect in (Aspect.FRACTION, Aspect.RATE):
        return "entries"
    if score.quantity == "place":
        return f"mean_{bins[0].axis if bins else 'x'}"
    if score.quantity == "counts" and bins and all(map(_is_range, bins)):
        return f"entries({','.join(map(_range_text, bins))})"
    return ""


def _is_range(place: BinRange) -> bool:
    return math.isfinite(place.low) and math.isfinite(place.high)


def _range_text(place: BinRange) -> str:
    inside = json.dumps(place.label, ensure_ascii=False) if place.label else f"{place.low!r}:{place.high!r}"
    return f"{place.axis}={inside}"


def _most_significant(
    archive: owtrend.Archive, subsystem: str, run: int, start: np.datetime64, stop: np.datetime64,
    histogram: str | None = None,
) -> pd.Series:  # fmt: skip
    """The most significant finding of a subsystem, or of one histogram, in an interval of a run."""
    rows = archive.findings(subsystem, runs=[run])
    if histogram is not None:
        rows = rows[np.array([histogram in names for names in rows["histograms"]], dtype=bool)]
    rows = rows[(rows["start"] >= start) & (rows["stop"] <= stop)]
    return rows.sort_values(["certain", "z", "start"], ascending=[False, False, True], kind="stable").iloc[0]
