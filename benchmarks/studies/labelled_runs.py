"""The four labelled runs of small cumulative snapshots: which anomalies are found, and what is flagged for nothing.

``python -m benchmarks.studies.labelled_runs FOLDER [--detector NAME]...`` with ``labels.json`` in the folder prints two
tables. Each anomaly tells how clear it is in one snapshot: the largest z of chi2. One without a number concerns no
content.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import owtrend
from benchmarks.studies.incidents import Reports, concerns, find, incidents, instant, timed
from benchmarks.studies.shifts import DETECTORS, table
from ingest.archive import ingest, naming
from ingest.simulator.faults import Fault

__all__ = ["Labels", "converted", "found", "labels", "needless"]

CYCLE = np.timedelta64(60, "s")  # here every histogram reports in every snapshot


@dataclass(frozen=True)
class Labels:
    """What ``labels.json`` tells: anomalies, benign changes and bad files (as faults of no size), all runs."""

    anomalies: tuple[Fault, ...]
    benign: tuple[Fault, ...]
    files: tuple[Fault, ...]
    runs: tuple[int, ...]


def labels(folder: Path) -> Labels:
    """Anomalies in ``(start, stop]``, from the snapshot before the first to the last that shows them.

    What concerns a whole run is there for each of its subsystems. The size is the z of a single increment, or that of
    the pull at the end of the run; NaN where none is told.
    """
    told = json.loads((folder / "labels.json").read_text())["runs"]
    made: dict[str, list[Fault]] = {"anomalies": [], "benign": []}
    for run, group in ((run, group) for run in told for group in made):
        for one in run[group]:
            for subsystem in [one["subsystem"]] if "subsystem" in one else run["subsystems"]:
                made[group].append(_fault(run, subsystem, one))
    files = tuple(_bad_file(run, one) for run in told for one in run["file_events"])
    return Labels(tuple(made["anomalies"]), tuple(made["benign"]), files, tuple(run["run"] for run in told))


def converted(folder: Path, into: Path) -> Path:
    """The store of the runs, with ``truth.json`` beside it as the simulator writes it."""
    ingest.ingest(ingest.find_files([folder], timezone="UTC"), into / "store", workers=0, timezone="UTC")
    known = labels(folder)
    truth = {"runs": known.runs, "faults": list(map(asdict, known.anomalies))}
    (into / "truth.json").write_text(json.dumps(truth, default=datetime.isoformat))
    return into / "store"


def found(known: Labels, flags: pd.DataFrame, reports: Reports) -> list[str]:
    """Of each anomaly the report, from its first, by which it was flagged.

    Flags of a histogram with an anomaly of its own tell nothing of one that concerns the whole run.
    """
    told = []
    for fault in known.anomalies:
        others = [] if fault.histograms else [one.histogram for one in known.anomalies if one.run == fault.run]
        mine = flags[~flags["histogram"].isin([name for name in others if name])]
        delay = find(fault, mine, reports).delay
        told.append("no" if delay is None else f"report {delay}")
    return told


def needless(known: Labels, flags: pd.DataFrame, reports: Reports) -> dict[int, tuple[int, int]]:
    """Per run the incidents of flags that concern no anomaly, and how many of those flags are of a benign change.

    A flag is excused while an anomaly of its histogram, or of the whole run, lasts, and up to five reports later; one
    of whole snapshots also where a file is empty, cut short or missing.
    """
    excused = np.zeros(len(flags), dtype=bool)
    for file in known.files:
        inside = (flags["stop"] > instant(file.start)) & (flags["start"] < instant(file.stop))
        excused |= concerns(flags, file) & inside.to_numpy(dtype=bool) & flags["histogram"].isna().to_numpy(dtype=bool)
    for fault in known.anomalies:
        until = reports.after((fault.subsystem, fault.run), fault.histogram, instant(fault.stop), 5)
        inside = (flags["stop"] > instant(fault.start)) & (flags["start"] < until)
        excused |= concerns(flags, fault) & inside.to_numpy(dtype=bool)
    left = flags[~excused]
    counts = {}
    for run in known.runs:
        mine = left[left["run"] == run]
        during = np.zeros(len(mine), dtype=bool)
        for change in known.benign:
            during |= concerns(mine, change) & (mine["stop"] > instant(change.start)).to_numpy(dtype=bool)
        counts[run] = len(incidents(mine)), int(during.sum())
    return counts


def _fault(run: dict[str, Any], subsystem: str, one: dict[str, Any]) -> Fault:
    snapshots = {kept["index"]: kept["file"] for kept in run["snapshots"][subsystem]}
    clear = one.get("detectability", {})
    before = max((index for index in snapshots if index < one["first"]), default=None)
    last = max(index for index in snapshots if index <= one.get("last", max(snapshots)))
    start = _time(snapshots[min(snapshots)]) - timedelta(minutes=1) if before is None else _time(snapshots[before])
    histogram = one.get("hist")
    return Fault(
        kind=one["kind"], run=run["run"], subsystem=subsystem, histogram=histogram,
        histograms=() if histogram is None else (histogram,), start=start, stop=_time(snapshots[last]),
        size=clear.get("chi2_z_single_increment_max", clear.get("final_profile_pull", np.nan)), where=(), details="",
    )  # fmt: skip


def _bad_file(run: dict[str, Any], one: dict[str, Any]) -> Fault:
    stop = _time(one["file"])
    return Fault(
        kind=one["kind"], run=run["run"], subsystem=one["subsystem"], histogram=None, histograms=(),
        start=stop - timedelta(minutes=1), stop=stop, size=np.nan, where=(), details="",
    )  # fmt: skip


def _time(file: str) -> datetime:
    utc, _ = naming.to_utc(naming.parse(file).time, "UTC")
    return pd.Timestamp(utc, tz="UTC").to_pydatetime()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--detector", action="append", choices=list(DETECTORS), help="all, if none is named")
    asked = parser.parse_args(arguments)
    known, names = labels(asked.folder), asked.detector or list(DETECTORS)
    with tempfile.TemporaryDirectory() as made:
        store = converted(asked.folder, Path(made))
        reports = Reports.of(owtrend.open(store), CYCLE)
        flags = {name: timed(DETECTORS[name](store), reports) for name in names}
    columns = [found(known, flags[name], reports) for name in names]
    lines = []
    for one, *told in zip(known.anomalies, *columns, strict=True):
        clear = "-" if np.isnan(one.size) else f"{one.size:.1f}"
        lines.append([str(one.run), one.kind, one.subsystem, one.histogram or "all", clear, *told])
    print(table(["run", "anomaly", "subsystem", "histogram", "clear by", *names], lines))
    counts = {name: needless(known, flags[name], reports) for name in names}
    lines = [[str(run), *("{}, {}".format(*counts[name][run]) for name in names)] for run in known.runs]
    heads = ["run", *(f"{name}: false incidents, flags in benign changes" for name in names)]
    print("\n" + table(heads, lines))


if __name__ == "__main__":
    main()
