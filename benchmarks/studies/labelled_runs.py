"""The four labelled runs of small cumulative snapshots: anomalies found, and false incidents.

``python -m benchmarks.studies.labelled_runs FOLDER [--detector NAME]...`` with ``labels.json`` in the folder prints two
tables. The size of an anomaly is the largest z of chi2 in one snapshot; one without a number concerns no content.
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
from benchmarks.studies.incidents import ReportTimes, concerns, incidents, instant, match_fault, timed
from benchmarks.studies.shifts import DETECTORS, table
from ingest import naming
from ingest.archive import ingest
from ingest.simulator.faults import Fault

__all__ = ["Labels", "converted", "false_incidents", "found", "labels"]

CYCLE = np.timedelta64(60, "s")  # here every histogram reports in every snapshot


@dataclass(frozen=True)
class Labels:
    """Contents of ``labels.json``: anomalies, benign changes and bad files (as faults without a size), and all runs."""

    anomalies: tuple[Fault, ...]
    benign: tuple[Fault, ...]
    files: tuple[Fault, ...]
    runs: tuple[int, ...]


def labels(folder: Path) -> Labels:
    """Read the labels; an anomaly is in ``(start, stop]``, from the snapshot before the first to the last with it.

    An anomaly of a whole run is listed for each of its subsystems. The size is the z of a single increment, or the pull
    at the end of the run; NaN where none is given.
    """
    runs = json.loads((folder / "labels.json").read_text())["runs"]
    made: dict[str, list[Fault]] = {"anomalies": [], "benign": []}
    for run, group in ((run, group) for run in runs for group in made):
        for one in run[group]:
            for subsystem in [one["subsystem"]] if "subsystem" in one else run["subsystems"]:
                made[group].append(_fault(run, subsystem, one))
    files = tuple(_bad_file(run, one) for run in runs for one in run["file_events"])
    return Labels(tuple(made["anomalies"]), tuple(made["benign"]), files, tuple(run["run"] for run in runs))


def converted(folder: Path, into: Path) -> Path:
    """The store of the runs, with ``truth.json`` next to it, as the simulator writes it."""
    ingest.ingest(ingest.find_files([folder], timezone="UTC"), into / "store", workers=0, timezone="UTC")
    known = labels(folder)
    truth = {"runs": known.runs, "faults": list(map(asdict, known.anomalies))}
    (into / "truth.json").write_text(json.dumps(truth, default=datetime.isoformat))
    return into / "store"


def found(known: Labels, findings: pd.DataFrame, reports: ReportTimes) -> list[str]:
    """Number of the report, from the first, by which each anomaly was found.

    Findings of a histogram with an anomaly of its own do not count for an anomaly of the whole run.
    """
    delays = []
    for fault in known.anomalies:
        others = [] if fault.histograms else [one.histogram for one in known.anomalies if one.run == fault.run]
        others_left_out = findings[~findings["histogram"].isin([name for name in others if name])]
        delay = match_fault(fault, others_left_out, reports).delay
        delays.append("no" if delay is None else f"report {delay}")
    return delays


def false_incidents(known: Labels, findings: pd.DataFrame, reports: ReportTimes) -> dict[int, tuple[int, int]]:
    """Incidents of each run that concern no anomaly, and how many of their findings are due to a benign change.

    A finding is excused during an anomaly of its histogram, or of the whole run, and up to five reports later; one of
    whole snapshots also where a file is empty, truncated or missing.
    """
    excused = np.zeros(len(findings), dtype=bool)
    for file in known.files:
        inside = (findings["stop"] > instant(file.start)) & (findings["start"] < instant(file.stop))
        excused |= (
            concerns(findings, file) & inside.to_numpy(dtype=bool) & findings["histogram"].isna().to_numpy(dtype=bool)
        )
    for fault in known.anomalies:
        until = reports.after((fault.subsystem, fault.run), fault.histogram, instant(fault.stop), 5)
        inside = (findings["stop"] > instant(fault.start)) & (findings["start"] < until)
        excused |= concerns(findings, fault) & inside.to_numpy(dtype=bool)
    left = findings[~excused]
    counts = {}
    for run in known.runs:
        in_run = left[left["run"] == run]
        benign = np.zeros(len(in_run), dtype=bool)
        for change in known.benign:
            benign |= concerns(in_run, change) & (in_run["stop"] > instant(change.start)).to_numpy(dtype=bool)
        counts[run] = len(incidents(in_run)), int(benign.sum())
    return counts


def _fault(run: dict[str, Any], subsystem: str, label: dict[str, Any]) -> Fault:
    snapshots = {kept["index"]: kept["file"] for kept in run["snapshots"][subsystem]}
    clear = label.get("detectability", {})
    before = max((index for index in snapshots if index < label["first"]), default=None)
    last = max(index for index in snapshots if index <= label.get("last", max(snapshots)))
    start = _time(snapshots[min(snapshots)]) - timedelta(minutes=1) if before is None else _time(snapshots[before])
    histogram = label.get("hist")
    return Fault(
        kind=label["kind"], run=run["run"], subsystem=subsystem, histogram=histogram,
        histograms=() if histogram is None else (histogram,), start=start, stop=_time(snapshots[last]),
        size=clear.get("chi2_z_single_increment_max", clear.get("final_profile_pull", np.nan)), where=(), details="",
    )  # fmt: skip


def _bad_file(run: dict[str, Any], event: dict[str, Any]) -> Fault:
    stop = _time(event["file"])
    return Fault(
        kind=event["kind"], run=run["run"], subsystem=event["subsystem"], histogram=None, histograms=(),
        start=stop - timedelta(minutes=1), stop=stop, size=np.nan, where=(), details="",
    )  # fmt: skip


def _time(file: str) -> datetime:
    name = naming.parse(file)
    assert name is not None, file
    assert name.time is not None, file
    utc, _ = naming.to_utc(name.time, "UTC")
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
        reports = ReportTimes.from_archive(owtrend.open(store), CYCLE)
        findings = {name: timed(DETECTORS[name](store), reports) for name in names}
    columns = [found(known, findings[name], reports) for name in names]
    lines = []
    for anomaly, *delays in zip(known.anomalies, *columns, strict=True):
        size = "-" if np.isnan(anomaly.size) else f"{anomaly.size:.1f}"
        lines.append([str(anomaly.run), anomaly.kind, anomaly.subsystem, anomaly.histogram or "all", size, *delays])
    print(table(["run", "anomaly", "subsystem", "histogram", "size", *names], lines))
    counts = {name: false_incidents(known, findings[name], reports) for name in names}
    lines = [[str(run), *("{}, {}".format(*counts[name][run]) for name in names)] for run in known.runs]
    heads = ["run", *(f"{name}: false incidents, findings in benign changes" for name in names)]
    print("\n" + table(heads, lines))


if __name__ == "__main__":
    main()
