"""Stored scores and findings as people use them: scores over time, findings with their reasons."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from owtrend.errors import NotFoundError
from owtrend.model.finding import Finding, Flagged, table
from owtrend.model.registry import HistogramEntry
from owtrend.store import versions
from owtrend.store.reader import Reader, SubsystemReader

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["finding_table", "not_scored", "run_score_table", "score_dataset"]

_SHOWN = Flagged.BINS | Flagged.RATE | Flagged.CONTRIBUTES  # not the other histograms of a wrong fraction


def score_dataset(
    view: SubsystemReader, runs: Sequence[int], histograms: Sequence[HistogramEntry], names: Sequence[str] | None,
    *, ragged: bool,
) -> xr.Dataset:  # fmt: skip
    """Scores of some histograms in some runs; see `owtrend.Archive.scores`."""
    import xarray as xr  # here, for findings do without it

    known = view.scores.names
    if not known:
        raise NotFoundError(f"{view.where}: no scores yet; run `owtrend compute`")
    chosen = list(known if names is None else names)
    if missing := [name for name in chosen if name not in known]:
        raise NotFoundError(f"{view.where}: no score {missing[0]!r}; there are {', '.join(known)}")
    pieces = [_of_run(view, run, histograms, chosen, "snapshot" if ragged else "time") for run in runs]
    if ragged:
        labels = [("snapshot", np.full(piece.sizes["snapshot"], run)) for run, piece in zip(runs, pieces, strict=True)]
        pieces = [piece.assign_coords(run=label) for piece, label in zip(pieces, labels, strict=True)]
    result = pieces[0] if len(pieces) == 1 else xr.concat(pieces, dim="snapshot")
    result["z"].attrs = {"long_name": "score", "units": "normal standard deviations"}
    result["total"].attrs = {"long_name": "all scores as one", "units": "normal standard deviations"}
    return result.assign_attrs(comparisons=view.scores.comparisons)


def run_score_table(view: SubsystemReader, entry: HistogramEntry) -> pd.DataFrame:
    """Scores of whole runs of one histogram, in order of time; see `owtrend.Archive.run_scores`."""
    from dataclasses import asdict

    from owtrend.outliers.histogram_scores import run_total
    from owtrend.outliers.reference_pool import RunScore, ScoreSettings, WholeRuns

    column = view.trends.column(entry.path)
    if column is None:
        raise NotFoundError(f"{view.where}: {entry.name} has no trends yet; run `owtrend compute`")
    begins, modes = view.per_run["start"], view.per_run["mode"]
    scores = WholeRuns(ScoreSettings(1), entry.name)
    rows = []
    for run, run_index in sorted(view.run_indices.items(), key=lambda item: (int(begins[item[1]]), item[0])):
        if view.trends.revisions[run_index] and (found := run_total(view, run, entry, column)) is not None:
            rows.append(asdict(scores.add(run, modes[run_index], *found)))
    return pd.DataFrame(rows, columns=[*RunScore.__dataclass_fields__]).set_index("run")


def not_scored(reader: Reader, subsystem: str | None, runs: Collection[int] | None) -> list[int]:
    """See `owtrend.Archive.not_scored`."""
    found = set[int]()
    for name in reader.subsystems if subsystem is None else [subsystem]:
        view = reader.subsystem(name)
        missing = (view.scores.revisions != view.per_run["revision"]) & (view.per_run["n_snapshots"] > 0)
        found |= {*view.per_run["run"][missing].tolist()}
    return sorted(found if runs is None else found.intersection(runs))


def _of_run(
    view: SubsystemReader, run: int, histograms: Sequence[HistogramEntry], names: Sequence[str], dim: str
) -> xr.Dataset:  # fmt: skip
    """Scores of one run; NaN if they are older than its data, and for histograms newer than the scores."""
    import xarray as xr

    order = {path: number for number, path in enumerate(view.registry.histograms)}
    columns = np.array([order[entry.path] for entry in histograms])
    scored = np.flatnonzero(columns < view.scores.histograms)
    run_index, scores = view.run_index(run), view.scores
    times = view.times(run_index)
    shape = len(times), len(histograms)
    z, total = np.full((*shape, len(names)), np.nan, np.float32), np.full(shape, np.nan, np.float32)
    flagged = np.zeros(shape, dtype=bool)
    fresh = scores.revisions[run_index] == view.per_run["revision"][run_index]
    if fresh and len(scored):
        where = run_index, slice(0, len(times)), columns[scored].tolist()
        z[:, scored] = scores.block("z", *where, [scores.names.index(name) for name in names])
        total[:, scored] = scores.block("total", *where)
        flagged[:, scored] = _SHOWN.is_set(scores.block("flagged", *where))
    threshold = scores.thresholds(run_index, len(times)) if fresh else np.full(len(times), np.nan, np.float32)
    stale = fresh and any(scores.versions[name][run_index] != version for name, version in versions.SCORES.items())
    return xr.Dataset(
        {
            "z": ((dim, "histogram", "score"), z),
            "total": ((dim, "histogram"), total),
            "flagged": ((dim, "histogram"), flagged),
        },
        coords={
            "time": (dim, times),
            "threshold": (dim, threshold),
            "stale": (dim, np.full(len(times), stale)),
            "histogram": [entry.name for entry in histograms],
            "score": list(names),
        },
    )


def finding_table(reader: Reader, subsystems: Sequence[str] | None, runs: Collection[int] | None) -> pd.DataFrame:
    """Findings in some subsystems and runs (None: in all), as stored; see `owtrend.Archive.findings`."""
    findings: list[Finding] = []
    for name in reader.subsystems:
        if subsystems is None or name in subsystems:
            view = reader.subsystem(name)
            chosen = [at for run, at in sorted(view.run_indices.items()) if runs is None or run in runs]
            findings += map(Finding.from_json, view.scores.lines(chosen))
    findings += [
        finding for finding in map(Finding.from_json, reader.quality("unreadable") or ())
        if (subsystems is None or finding.subsystem in subsystems) and (runs is None or finding.run in runs)
    ]  # fmt: skip
    return table(findings)
