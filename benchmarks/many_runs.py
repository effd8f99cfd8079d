"""A store of thousands of short runs, as the runs of some years leave it: three subsystems, a few small histograms.

python -m benchmarks.many_runs STORE 3300
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from owtrend.model import root_sums
from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram
from owtrend.model.registry import COUNTS, SUMS, WEIGHTS, Layouts, Registry, segments_of
from owtrend.model.rows import Provenance, RunRows, unchanged
from owtrend.model.snapshot import Snapshot
from owtrend.store.repository import Store

__all__ = ["SUBSYSTEMS", "build", "snapshots"]

SUBSYSTEMS = ("EMC", "HLT", "TPC")
FIRST_RUN = 300000
ROWS = 4  # snapshots of a run, five minutes apart; runs begin every half an hour
KINDS = 37  # different runs, which come again and again: what a run has depends on its number alone
_START = np.datetime64("2018-06-01T00:00", "ns").astype(int)
_MINUTE = 60 * 10**9
_RUNS_AT_ONCE = 256


def build(location: str | Path, runs: int) -> None:
    """Create a store of ``runs`` runs, or add those that it lacks, without scores."""
    store = Store.open_or_create(location)
    for subsystem in SUBSYSTEMS:
        reader = store.reader()
        known = reader.subsystem(subsystem).run_indices if subsystem in reader.registered else {}
        wanted = [run for run in range(FIRST_RUN, FIRST_RUN + runs) if run not in known]
        for first in range(0, len(wanted), _RUNS_AT_ONCE):
            _add(store, subsystem, wanted[first : first + _RUNS_AT_ONCE])


def snapshots(subsystem: str, run: int) -> Iterator[Snapshot]:
    """The snapshots of one run, cumulative. In one kind of run a bin of ``hits`` is too high from the third on."""
    kind = (run - FIRST_RUN) % KINDS
    rng = np.random.default_rng([kind, *subsystem.encode()])
    shapes = [np.exp(-0.5 * ((np.arange(size) - size / 2) / (size / 5)) ** 2) for size in (30, 48, 20)]
    gains = [rng.poisson(200 * shape, (ROWS, len(shape))).cumsum(axis=0) for shape in shapes]
    if kind == KINDS - 1:
        gains[0][2:, 7] += 400 * np.arange(1, ROWS - 1)
    for number in range(ROWS):
        hits, time, energy = (gain[number] for gain in gains)
        yield Snapshot(
            histograms={
                one.path: one for one in (
                    _counter(("hits",), hits, np.int32), _counter(("QA", "time"), time, np.float32),
                    _profile(("QA", "energy"), energy),
                )
            },
            subsystem=subsystem, run=run, source=f"{subsystem}/{run}/{number}.root",
            time=_times(run)[number].view("datetime64[ns]"),
        )  # fmt: skip


def _counter(path: tuple[str, ...], counts: NDArray[np.int64], dtype: type) -> Histogram:
    axes = (Axis.spaced(len(counts), 0.0, float(len(counts)), "channel"),)
    sums = root_sums.from_bins(axes, {"contents": counts.astype(float)}, float(counts.sum()))
    contents = np.pad(counts, 1).astype(dtype)
    return Histogram(
        path=path, class_name="TH1I" if dtype is np.int32 else "TH1F", axes=axes, title=f"{path[-1]} per channel",
        parts={"contents": contents}, sums=sums,
    )  # fmt: skip


def _profile(path: tuple[str, ...], entries: NDArray[np.int64]) -> Histogram:
    axes = (Axis.spaced(len(entries), 0.0, float(len(entries)), "channel"),)
    weight = entries.astype(float)
    inside = {"sumwy": 1.5 * weight, "sumwy2": 2.5 * weight, "bin_entries": weight}
    sums = root_sums.from_bins(axes, inside, float(weight.sum()))
    parts = {part: np.pad(values, 1) for part, values in inside.items()}
    return Histogram(path=path, class_name="TProfile", axes=axes, title="mean energy", parts=parts, sums=sums)


def _add(store: Store, subsystem: str, runs: Sequence[int]) -> None:
    """Add new runs to the end of a subsystem, as `owtrend ingest` would, but many in a block."""
    kinds = {(run - FIRST_RUN) % KINDS: list(snapshots(subsystem, run)) for run in runs[:KINDS]}
    with store.writer("raw") as begin:
        reader = store.reader()
        view = reader.subsystem(subsystem) if subsystem in reader.registered else None
        registry, layouts = (view.registry, view.layouts) if view else (Registry(), Layouts())
        every = [one for rows in kinds.values() for one in rows[0].values()]
        registry = registry.extended(segment for one in every for segment, _ in segments_of(one, registry))
        transaction = begin()
        run_indices = transaction.prepare(subsystem, registry, runs, ROWS)
        transaction.commit("make room")
        of_kind = {kind: _stored(rows, registry, layouts) for kind, rows in kinds.items()}
        transaction = begin()
        first, described = run_indices[runs[0]], {}
        for name in (COUNTS, WEIGHTS, SUMS):
            target = transaction.group[f"raw/{subsystem}/{name}"]
            blocks = [of_kind[(run - FIRST_RUN) % KINDS][1][name] for run in runs]
            target[first : first + len(runs), :ROWS] = np.stack(blocks).astype(target.dtype)
        for run in runs:
            rows, _ = of_kind[(run - FIRST_RUN) % KINDS]
            provenance = tuple(line.replace("RUN", str(run)) for line in rows.provenance)
            described[run_indices[run]] = replace(rows, time=_times(run), provenance=provenance)
        transaction.write_rows(subsystem, described, layouts)
        transaction.commit(f"{len(runs)} runs of {subsystem}")


def _times(run: int) -> NDArray[np.int64]:
    return _START + _MINUTE * (30 * (run - FIRST_RUN) + 5 * np.arange(1, ROWS + 1))


def _stored(
    rows: Sequence[Snapshot], registry: Registry, layouts: Layouts
) -> tuple[RunRows, dict[str, NDArray[np.float64]]]:
    """The rows of a run, whose provenance has RUN for its number, and their cells by array."""
    cells = {name: np.zeros((len(rows), registry.size(name))) for name in (COUNTS, WEIGHTS, SUMS)}
    numbers = []
    for number, snapshot in enumerate(rows):
        found = [pair for one in snapshot.values() for pair in segments_of(one, registry)]
        numbers.append(layouts.number([registry.number(segment) for segment, _ in found]))
        for segment, values in found:
            if values is not None:
                cells[segment.array][number, segment.cells] = values
    digest = np.array([np.frombuffer(one.digest, dtype=np.uint8) for one in rows])
    names = [f"{one.subsystem}/RUN/{number}.root" for number, one in enumerate(rows)]
    provenance = (
        Provenance(source=name, parsed=name, entries=one.entries) for name, one in zip(names, rows, strict=True)
    )
    return RunRows(
        time=_times(FIRST_RUN), layout=np.array(numbers, dtype=np.int32), flags=unchanged(digest).astype(np.uint8),
        digest=digest, provenance=tuple(one.to_json() for one in provenance),
    ), cells  # fmt: skip


if __name__ == "__main__":
    build(sys.argv[1], int(sys.argv[2]))
