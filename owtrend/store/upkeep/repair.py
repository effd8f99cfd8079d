"""Repairs of a store, each in the ledger: what, where, when and why."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from owtrend.display import DisplayedFields
from owtrend.errors import NotFoundError, StoreError, UsageError
from owtrend.model.rows import Provenance
from owtrend.model.snapshot import Snapshot
from owtrend.model.wording import run_names
from owtrend.store.append import appender
from owtrend.store.disk.checksums import Extent
from owtrend.store.layout import CELL_DIM, TIME_CHUNK
from owtrend.store.reader import Reader
from owtrend.store.repository import Store
from owtrend.store.transaction import Transaction
from owtrend.store.upkeep.check import check, rows_of
from owtrend.store.upkeep.damage import Damage, Remedy, chunks_outside

__all__ = ["Repaired", "ledger", "merge", "remove_run", "repair"]


_ROUNDS = 4


@dataclass(repr=False)
class Repaired(DisplayedFields):
    """Result of `repair`: what was damaged, what was done, and the tag of the version before."""

    problems: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    tag: str = ""


def repair(
    store: Store, *, dry_run: bool = False, progress: Callable[[str, int, int], None] | None = None
) -> Repaired:  # fmt: skip
    """Drop what is damaged, without reading it, so that the files can be ingested and the rest computed again.

    Only rows with damage are dropped; other rows of their runs stay. The version before gets a tag, the ledger says
    what was dropped.

    Parameters
    ----------
    dry_run
        Only say what would be dropped, and why.

    Raises
    ------
    StoreLockedError
        If another process writes to this store.
    """
    result = Repaired()
    if (whole := _version_to_go_back_to(store)) is not None:
        result.problems.append(str(whole.fallen_back))
        result.actions.append(f"go back to version {whole.reader().version}")
        if dry_run:
            return result
        with whole.writer("raw"), whole.writer("derived"):
            store = whole.restored()
    with store.writer("raw") as begin, store.writer("derived"):
        for _ in range(_ROUNDS):  # what hides behind damaged tables shows once they are mended
            damage, reader = check(store, progress).damage, store.reader()
            if not damage:
                break
            actions = _actions(damage, reader)
            result.problems += dict.fromkeys(map(str, damage))
            result.actions += actions
            if dry_run:
                break
            if not result.tag and all(one.listed for one in damage):  # a tag would keep a damaged list for good
                result.tag = f"before-repair-{datetime.now(UTC):%Y-%m-%dT%H%M%S}"
                store.tag(result.tag)
            transaction: Transaction = begin()
            _mend(transaction, damage, reader)
            for action in actions:
                transaction.write_ledger(_entry("repaired", action=action, why="damage", tag=result.tag))
            transaction.commit(f"repair: {actions[0]}")
    return result


def _version_to_go_back_to(store: Store) -> Store | None:
    """A store at its newest whole version, if the newest is damaged as such; None if it is not."""
    if store.fallen_back is not None:
        return store
    version = store.reader().version
    if f"snapshots/{version}" not in dict(store.changed_files(version)):
        return None
    if (whole := Store.newest_whole(store.location)) is None:
        raise StoreError(f"{store.location}: no version of it is whole; ingest the files into a new store")
    return whole


def _actions(damage: Iterable[Damage], reader: Reader) -> list[str]:
    """What is done about damage, in words."""
    lines: dict[str, None] = {}
    for one in damage:
        name, computed = one.subsystem, one.path.partition("/")[0]
        computed = "summaries" if one.path.endswith("/summary") else computed
        match one.remedy:
            case Remedy.DROP_SUBSYSTEM:
                line = f"drop all runs of {name}"
            case Remedy.DROP_RUNS:
                numbers = [int(reader.group[f"raw/{name}/run"][at]) for at in one.run_indices]
                line = f"drop {run_names(numbers)} of {name}"
            case Remedy.DROP_ROWS:
                line = f"drop {name} {one.where}"
            case Remedy.DROP_LATEST:
                line = f"drop the latest snapshots of {name}, those not in full chunks yet"
            case Remedy.COMPUTE_AGAIN:
                line = f"drop the damaged {computed} of {name}"
            case Remedy.DELETE if computed == "conditions":
                line = f"drop the {one.path.replace('/', ' ')}"
            case Remedy.DELETE:
                line = f"drop all {computed}{f' of {name}' if name else ''}"
            case Remedy.EMPTY_LOG:
                line = f"empty the {one.path}"
            case Remedy.FORGET_SETTINGS:
                line = "drop the configuration; `owtrend compute STORE --config FILE` gives another"
        lines[line] = None
    return list(lines)


def _mend(transaction: Transaction, damage: Sequence[Damage], reader: Reader) -> None:
    """Carry out the remedies; a subsystem or run that is dropped needs no other."""
    gone = {one.subsystem for one in damage if one.remedy is Remedy.DROP_SUBSYSTEM}
    for name in gone:
        for kind in ("raw", "trends", "scores", "state"):
            transaction.delete(f"{kind}/{name}")
    damage = [one for one in damage if one.subsystem not in gone]
    lists: dict[str, list[Extent]] = defaultdict(list)
    for one in damage:
        if one.chunks is not None and not one.listed:
            lists[one.path].append(one.chunks)
    for path, extents in lists.items():
        transaction.write_again(reader.group[path], chunks_outside(reader.group[path], extents))
    for one in damage:
        if one.chunks is not None and one.listed:
            transaction.delete_chunk(one.path, [begin for begin, _ in one.chunks])
        match one.remedy:
            case Remedy.DROP_LATEST:
                transaction.drop_latest(one.subsystem)
            case Remedy.COMPUTE_AGAIN:
                transaction.forget_derived(one.path.rpartition("/")[0], one.run_indices)
            case Remedy.DELETE:
                transaction.delete(one.path)
            case Remedy.EMPTY_LOG:
                transaction.empty_log(one.path)
            case Remedy.FORGET_SETTINGS:
                transaction.configure("", {})
    runs = {(one.subsystem, at): None for one in damage if one.remedy is Remedy.DROP_RUNS for at in one.run_indices}
    for name, run_index in runs:
        group = reader.group[f"raw/{name}"]
        transaction.remove_run(name, run_index, int(group["run"][run_index]), int(group["revision"][run_index]) + 1)
    rows: dict[tuple[str, int], set[int]] = defaultdict(set)
    for one in damage:
        if one.remedy is Remedy.DROP_ROWS and (one.subsystem, one.run_indices[0]) not in runs:
            rows[one.subsystem, one.run_indices[0]] |= {*one.rows}
    for (name, run_index), numbers in rows.items():
        _drop_rows(transaction, reader, name, run_index, numbers)


def _drop_rows(transaction: Transaction, reader: Reader, name: str, run_index: int, gone: set[int]) -> None:
    """Write the rows of a run anew without some of them, all in chunks; later ones move up."""
    view = reader.subsystem(name)
    rows = view.rows(run_index)
    kept = np.array([number for number in range(len(rows)) if number not in gone], dtype=np.intp)
    run, revision = int(view.stored_per_run["run"][run_index]), int(view.stored_per_run["revision"][run_index]) + 1
    transaction.remove_run(name, run_index, run, revision)
    for first in range(0, len(kept), TIME_CHUNK):
        which = kept[first : first + TIME_CHUNK]
        for array in CELL_DIM:
            size = view.group_size(array)
            width = view.group[array].chunks[-1]
            for cell in range(0, size, width):
                block = view.stored_cells(array, run_index, which, slice(cell, min(cell + width, size)))
                transaction.write_block(name, array, run_index, first, cell, block)
    transaction.fold_rows(name, run_index, rows.chosen(kept), revision)


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
