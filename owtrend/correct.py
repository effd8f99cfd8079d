"""Repairs of what a store holds, each in one commit and each in the ledger: what, where, when and why."""

import json
from datetime import UTC, datetime

from owtrend.errors import NotFoundError, UsageError
from owtrend.store import Reader, Store

__all__ = ["ledger", "remove_run"]


def remove_run(store: Store, run: int, *, why: str, subsystem: str | None = None) -> str:
    """Take a run out of a store, of one subsystem or of all; gives the new version.

    Its rows are gone from now on, and versions and tags of before still have them. The same files can be ingested
    again, so to replace a run is to remove it and to ingest better files.

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
        raise UsageError("a repair needs a reason, which the ledger keeps")
    with store.writer("raw") as begin:
        reader = store.reader()
        names = reader.registered if subsystem is None else (subsystem,)
        held = [name for name in names if run in reader.subsystem(name).places]
        if not held:
            where = "" if subsystem is None else f", subsystem {subsystem}"
            raise NotFoundError(f"{store.location}{where}: no run {run}")
        transaction = begin()
        for name in held:
            view = reader.subsystem(name)
            rows = len(view.rows(view.places[run]))
            transaction.remove_run(name, view.places[run], run, int(view.per_run["revision"][view.places[run]]) + 1)
            entry = {"what": "removed", "subsystem": name, "run": run, "rows": rows, "why": why}
            when = datetime.now(UTC).isoformat(timespec="seconds")
            transaction.write_ledger(json.dumps({"time": when, **entry}))
        return str(transaction.commit(f"remove run {run} of {', '.join(held)}: {why}"))


def ledger(reader: Reader) -> list[dict[str, object]]:
    """Every repair of a store, oldest first: time (UTC), what, subsystem, run, rows, why."""
    return [json.loads(line) for line in reader.ledger]
