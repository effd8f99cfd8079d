"""Small inputs for tests: ROOT files written by uproot, folders of snapshots, stores made of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import uproot
from uproot.writing.identify import to_TAxis, to_TH1x

from ingest import archive, naming

START = datetime(2018, 6, 1, 12, 0)


def th1(
    contents: Sequence[float], name: str = "h", dtype: str = "f8", entries: float | None = None, **sums: float
) -> Any:
    """A TH1 whose ``contents`` include the flow bins, over [0, bins], with the statistics its bins have."""
    data = np.asarray(contents, dtype=f">{dtype}")
    bins = len(data) - 2
    centres, inside = np.arange(bins) + 0.5, np.asarray(contents, dtype=float)[1:-1]
    statistics = {
        "fEntries": float(np.sum(contents)) if entries is None else entries,
        "fTsumw": inside.sum(),
        "fTsumw2": inside.sum(),
        "fTsumwx": (inside * centres).sum(),
        "fTsumwx2": (inside * centres**2).sum(),
        **sums,
    }
    return to_TH1x(
        fName=name, fTitle=f"title of {name}", data=data, **statistics, fSumw2=None,
        fXaxis=to_TAxis("xaxis", "position [cm]", bins, 0.0, float(bins)),
    )  # fmt: skip


def write(path: Path, histograms: Mapping[str, Any]) -> Path:
    """A ROOT file with these objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path) as file:
        for name, histogram in histograms.items():
            file[name] = histogram
    return path


def write_run(
    folder: Path, cumulative: Mapping[str, Sequence[Sequence[float] | None]], run: int = 300000, subsystem: str = "EMC",
    seconds: int = 60, start: datetime = START,
) -> None:  # fmt: skip
    """A run folder: per histogram its contents (flow included) in each snapshot, None where it is absent."""
    for number in range(len(next(iter(cumulative.values())))):
        held = {name: th1(rows[number], name) for name, rows in cumulative.items() if rows[number] is not None}
        write(folder / naming.processed_name(subsystem, run, start + timedelta(seconds=seconds * number)), held)


def ingest(folder: Path, store: Path, **options: Any) -> archive.IngestSummary:
    """Take a folder into a store in this process."""
    found = archive.find_files([folder], timezone="UTC")
    return archive.ingest(found, store, workers=0, timezone="UTC", **options)
