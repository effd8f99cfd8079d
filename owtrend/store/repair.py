"""Repairs of a store, each in the ledger: what, where, when and why."""

import json
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from owtrend.errors import NotFoundError, UsageError
from owtrend.model.rows import Provenance
from owtrend.model.snapshot import Snapshot
from owtrend.store.append import appender
from owtrend.store.check import rows_of
from owtrend.store.layout import TIME_CHUNK
from owtrend.store.reader import Reader
from owtrend.store.repository import Store

__all__ = ["ledger", "merge", "remove_run"]


def remove_run(store: Store, run: int, *, why: str, subsystem: str | None = None) -> str:
    """Remove a run of one subsystem or of all; returns the new version.

    Earlier versions and tags still have its rows. The same files can be ingested again: to replace a run, remove it and
    ingest better files.

    Raises
    ------
    NotFoundError
        If the store has no such run.
    UsageError
        If no reason is given.
    StoreLockedError
        If another process writes raw data to this store.
    """
    if not why.strip():
        raise UsageError("no reason given; say why, for the ledger")
    with store.writer("raw") as begin:
        reader = store.reader()
        names = reader.registered if subsystem is None else (subsystem,)
        having = [name for name in names if run in reader.subsystem(name).run_indices]
        if not having:
            where = "" if subsystem is None else f", subsystem {subsystem}"
            raise NotFoundError(f"{store.location}{where}: no run {run}")
        transaction = begin()
        for name in having:
            view = reader.subsystem(name)
            run_index = view.run_indices[run]
            rows = len(view.rows(run_index))
            transaction.remove_run(name, run_index, run, int(view.stored_per_run["revision"][run_index]) + 1)
            transaction.write_ledger(_entry("removed", subsystem=name, run=run, rows=rows, why=why))
        return str(transaction.commit(f"remove run {run} of {', '.join(having)}: {why}"))


def merge(
    into: Store, source: Store, *, why: str, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, int]:
    """Add all rows of another store; returns the numbers of rows added, dropped as duplicates, and replaced.

    Rows keep their provenance. Of several rows at one time `Appender.append` chooses, so merging again or in another
    order changes nothing. Every 64 rows are a commit; after an interruption call it again.

    Raises
    ------
    StoreLockedError
        If another process writes raw data to ``into``.
    """
    if not why.strip():
        raise UsageError("no reason given; say why, for the ledger")
    counts = {"added": 0, "duplicates": 0, "replaced": 0}
    reader = source.reader()
    runs = [(name, run) for name in reader.subsystems for run in sorted(reader.subsystem(name).run_indices)]
    with appender(into) as live:
        for done, (name, run) in enumerate(runs):
            view = reader.subsystem(name)
            rows = view.rows(view.run_indices[run])
            for first in range(0, len(rows), TIME_CHUNK):
                which = np.arange(first, min(first + TIME_CHUNK, len(rows)))
                times = rows.time.view("datetime64[ns]")
                snapshots = [
                    Snapshot(
                        histograms=histograms, subsystem=name, run=run, time=times[number],
                        mode=rows.mode or None, source=Provenance.from_json(rows.provenance[number]).source,
                    )
                    for number, histograms in zip(which, rows_of(view, view.run_indices[run], which), strict=True)
                ]  # fmt: skip
                result = live.append(snapshots, rows.accumulation, [rows.provenance[number] for number in which])
                for what in counts:
                    counts[what] += getattr(result, what)
                live.fold(everything=True)
            if progress:
                progress("merging", done + 1, len(runs))
    with into.writer("raw") as begin:
        transaction = begin()
        transaction.write_ledger(_entry("merged", source=source.location, why=why, **counts))
        transaction.commit(f"merge {source.location}: {why}")
    return counts


def _entry(what: str, **fields: object) -> str:
    return json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), "what": what, **fields})


def ledger(reader: Reader) -> list[dict[str, object]]:
    """Every repair of a store, oldest first: time (UTC), what, why, and further details."""
    return [json.loads(line) for line in reader.ledger]
