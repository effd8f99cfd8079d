"""Simulated archives read back: snapshots in order of time, entries, and the increment of each report."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest.decode.reader import SnapshotReader
from ingest.simulator.faults import Fault
from owtrend.errors import SnapshotError
from owtrend.model.snapshot import Snapshot

Series = dict[tuple[int, str], list[Snapshot]]


def read(folder: Path) -> Series:
    """The readable snapshots of each (run, subsystem), in order of time."""
    series: Series = defaultdict(list)
    reader = SnapshotReader()
    for path in sorted(folder.glob("Run*/*/*.root")):
        try:
            snapshot = reader.read(path)
        except SnapshotError:
            continue
        assert not snapshot.problems
        assert not snapshot.unsupported
        assert snapshot.run is not None
        assert snapshot.subsystem is not None
        series[snapshot.run, snapshot.subsystem].append(snapshot)
    return series


def utc(snapshot: Snapshot) -> datetime:
    assert snapshot.time is not None
    return datetime.fromtimestamp(int(snapshot.time.astype("datetime64[s]").astype(int)), UTC)


def entries(snapshots: list[Snapshot], name: str) -> NDArray[np.float64]:
    return np.array([snapshot[name].sums["entries"] for snapshot in snapshots])


@dataclass(frozen=True)
class Report:
    """Increment of one histogram: fills in (since, until), both times of snapshots."""

    since: datetime  # the snapshot before the one with the report before
    until: datetime
    gained: NDArray[np.float64]

    def lies_in(self, fault: Fault) -> bool:
        return fault.start <= self.since and self.until <= fault.stop

    def lies_outside(self, fault: Fault) -> bool:
        return self.until <= fault.start or self.since >= fault.stop


def reports(snapshots: list[Snapshot], name: str) -> list[Report]:
    """The reports of a histogram whose binning does not change, the first one left out."""
    changed = [k for k in range(1, len(snapshots)) if np.diff(entries(snapshots[k - 1 : k + 1], name)) > 0]
    increments = []
    for before, now in pairwise(changed):
        gained = snapshots[now][name].values() - snapshots[before][name].values()
        increments.append(Report(utc(snapshots[before - 1]), utc(snapshots[now]), gained))
    return increments
