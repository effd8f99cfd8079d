"""An upgrade of a store to the present format: checksums in all chunks, hashes of rows and of Icechunk's files."""

from collections.abc import Callable, Iterator
from typing import Any

import zarr

from owtrend.store.layout import FORMAT, has_checksums
from owtrend.store.repository import Store
from owtrend.store.transaction import Transaction
from owtrend.store.upkeep.damage import chunks_of

__all__ = ["upgrade"]

_RUNS_AT_ONCE = 64  # whose rows are in memory


def upgrade(store: Store, progress: Callable[[str, int, int], None] | None = None) -> bool:
    """Give a store of an earlier format what the present one has; returns whether there was anything to do.

    No number changes. Each array is a commit: an interrupted upgrade goes on where it was. What is damaged already gets
    a checksum as it is, so check the store first.

    Raises
    ------
    StoreLockedError
        If another process writes to this store.
    """
    with store.writer("raw") as begin, store.writer("derived"):
        reader = store.reader()
        if reader.format == FORMAT:
            return False
        without = [array for array in _arrays(reader.group) if not has_checksums(array.metadata)]
        for done, array in enumerate(without):
            if progress:
                progress("upgrading arrays", done, len(without))
            transaction: Transaction = begin()
            transaction.write_again(array, chunks_of(array), add_checksums=True)
            transaction.commit(f"checksums for {array.path}")
        transaction = begin()
        for name in reader.registered:
            view = reader.subsystem(name)
            run_indices = [*view.run_indices.values()]
            for first in range(0, len(run_indices), _RUNS_AT_ONCE):
                some = run_indices[first : first + _RUNS_AT_ONCE]
                transaction.write_row_hashes(name, {run_index: view.folded_rows(run_index) for run_index in some})
        transaction.upgraded()
        transaction.commit(f"upgrade to format {FORMAT}")
        return True


def _arrays(group: zarr.Group) -> Iterator[zarr.Array[Any]]:
    """All arrays in a group and the groups in it."""
    for name in sorted(group.array_keys()):
        yield group[name]
    for name in sorted(group.group_keys()):
        yield from _arrays(group[name])
