"""Stored scores as people hold them: over time, as flags with their reasons, and joined to incidents."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr

from owtrend.errors import NotFoundError
from owtrend.model.finding import Finding, table
from owtrend.model.registry import HistogramEntry
from owtrend.outliers.component_scores import SHARE
from owtrend.store import versions
from owtrend.store.reader import Reader, SubsystemReader

__all__ = ["flag_table", "score_dataset"]


def score_dataset(
    view: SubsystemReader, runs: Sequence[int], entries: Sequence[HistogramEntry], names: Sequence[str] | None,
    *, ragged: bool,
) -> xr.Dataset:  # fmt: skip
    """Scores of some histograms in some runs; see `owtrend.Archive.scores`."""
    known, looks = view.score_names
    if not known:
        raise NotFoundError(f"{view.where}: it has no scores yet; `owtrend compute` makes them")
    chosen = list(known if names is None else names)
    if missing := [name for name in chosen if name not in known]:
        raise NotFoundError(f"{view.where}: no score {missing[0]!r}; there are {', '.join(known)}")
    order = {path: number for number, path in enumerate(view.registry.histograms)}
    all_columns = np.array([order[entry.path] for entry in entries])
    there = np.flatnonzero(all_columns < view.score_histograms)  # what came after the last `compute` has no scores
    columns = all_columns[there].tolist()
    which = [known.index(name) for name in chosen]
    pieces = []
    for run in runs:
        run_index = view.run_index(run)
        times = view.times(run_index)
        origin = view.score_origin
        fresh = origin["revision"][run_index] == view.per_run["revision"][run_index]
        shape = len(times), len(entries)
        z, total = np.full((*shape, len(which)), np.nan, np.float32), np.full(shape, np.nan, np.float32)
        flagged = np.zeros(shape, dtype=bool)
        if fresh and columns:
            rows = slice(0, len(times))
            z[:, there] = view.score_block("z", run_index, rows, columns, which)
            total[:, there] = view.score_block("total", run_index, rows, columns)
            flagged[:, there] = view.score_block("flagged", run_index, rows, columns) & (255 - SHARE) > 0
        dim = "snapshot" if ragged else "time"
        threshold = np.full(len(times), origin["threshold"][run_index] if fresh else np.nan)
        old = fresh and any(
            view.score_versions[name][run_index] != version for name, version in versions.SCORES.items()
        )
        piece = xr.Dataset(
            {"z": ((dim, "histogram", "score"), z), "total": ((dim, "histogram"), total),
             "flagged": ((dim, "histogram"), flagged)},
            coords={"time": (dim, times), "threshold": (dim, threshold), "stale": (dim, np.full(len(times), old)),
                    "histogram": [e.name for e in entries], "score": chosen},
        )  # fmt: skip
        pieces.append(piece.assign_coords(run=(dim, np.full(len(times), run))) if ragged else piece)
    made = pieces[0] if len(pieces) == 1 else xr.concat(pieces, dim="snapshot")
    made["z"].attrs = {"long_name": "score", "units": "normal standard deviations"}
    made["total"].attrs = {"long_name": "all scores as one", "units": "normal standard deviations"}
    return made.assign_attrs(looks=looks)


def flag_table(reader: Reader, subsystems: Sequence[str], runs: Sequence[int] | None) -> pd.DataFrame:
    """All flags of some runs (None: of all), and what could not be read; see `owtrend.Archive.findings`."""
    found: list[Finding] = []
    for name in subsystems:
        view = reader.subsystem(name)
        run_indices = [run_index for run, run_index in sorted(view.run_indices.items()) if runs is None or run in runs]
        found += [Finding.from_json(line) for line in view.flag_lines(run_indices)]
        found += _unreadable(reader, name, view, runs)
    return table(found)


def _unreadable(reader: Reader, subsystem: str, view: SubsystemReader, runs: Sequence[int] | None) -> list[Finding]:
    """Whole files in quarantine whose name tells run and time."""
    made = []
    for line in reader.quarantine:
        fields = json.loads(line)
        run, time = fields.get("run"), fields.get("time")
        if (
            fields["object"] is not None
            or fields.get("subsystem") != subsystem
            or run not in view.run_indices
            or not time
        ):
            continue
        if runs is not None and run not in runs:
            continue
        times = view.rows(view.run_indices[run]).time
        stop = int(np.datetime64(str(time).replace("Z", ""), "ns").view("int64"))
        spacing = int(np.median(np.diff(times))) if len(times) > 1 else 60 * 10**9
        earlier = times[times < stop]
        start = int(earlier[-1]) if len(earlier) else stop - spacing
        why = str(fields["reason"])
        made.append(
            Finding(
                subsystem=subsystem,
                run=run,
                histograms=(),
                start=start,
                stop=stop,
                score="unreadable",
                z=np.inf,
                why=why,
                report=spacing,
            )
        )
    return made
