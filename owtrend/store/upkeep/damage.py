"""What is damaged in a store, and what mends it: chunks that are lost or whose bytes have changed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import icechunk
import numpy as np
import zarr
from zarr.core.sync import sync

from owtrend.display import printable
from owtrend.store.disk.checksums import Extent

__all__ = ["Damage", "Remedy", "chunks_of", "chunks_outside", "damaged_chunks", "is_of_chunks", "reason_of"]

_CHANGED, _MISSING = "its bytes have changed (checksum)", "a file of the store is missing"


class Remedy(Enum):
    """What `owtrend.store.upkeep.repair.repair` does about a damage, besides deleting the damaged chunks."""

    GO_BACK = auto()  # to the newest version that is whole
    DROP_SUBSYSTEM = auto()  # with its trends and scores; its files can be ingested again
    DROP_RUNS = auto()
    DROP_ROWS = auto()
    DROP_LATEST = auto()  # rows that are not in full chunks yet
    COMPUTE_AGAIN = auto()  # what was computed for its runs counts as not computed
    DELETE = auto()  # the whole group, which is computed again
    EMPTY_LOG = auto()
    FORGET_SETTINGS = auto()  # the configuration, which is then given again


@dataclass(frozen=True)
class Damage:
    """One damage: subsystem, where there and what, for people; for a repair the remedy and what it concerns."""

    subsystem: str
    what: str
    remedy: Remedy
    where: str = ""  # in the subsystem
    run_indices: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()  # of the single run, for DROP_ROWS
    path: str = ""  # of the array or group
    chunks: Extent | None = None  # of the array
    listed: bool = True  # False if the list of these chunks is damaged, and not they themselves

    def __str__(self) -> str:
        where = " ".join(filter(None, (printable(self.subsystem, 80), self.where)))
        return f"{where}: {self.what}" if where else self.what


def chunks_of(array: zarr.Array[Any]) -> list[tuple[int, ...]]:
    """Indices of the chunks of an array that are stored."""
    store: Any = array.store

    async def found() -> list[tuple[int, ...]]:
        return sorted([tuple(chunk) async for chunk in store.session.chunk_coordinates(f"/{array.path}")])

    return sync(found())


def damaged_chunks(
    array: zarr.Array[Any], unlisted: Sequence[tuple[Extent, str]] = ()
) -> Iterator[tuple[Extent | None, str]]:  # fmt: skip
    """Chunks that cannot be read, and why; None if nobody knows which chunks the array has.

    Parameters
    ----------
    unlisted
        Chunks whose list is damaged, and why.
    """
    yield from unlisted
    try:
        lists = [extent for extent, _ in unlisted]
        chunks = chunks_outside(array, lists) if lists else chunks_of(array)
    except Exception as error:  # whatever Icechunk says of a damaged file
        yield None, reason_of(error)
        return
    for chunk in chunks:
        where = tuple(
            slice(at * length, min((at + 1) * length, size))
            for at, length, size in zip(chunk, array.chunks, array.shape, strict=True)
        )
        if any(one.start >= one.stop for one in where):
            continue  # beyond the array since it was made smaller
        try:
            array[where]
        except Exception as error:  # whatever a codec says of damaged bytes
            yield tuple((at, at + 1) for at in chunk), reason_of(error)


def chunks_outside(array: zarr.Array[Any], lists: Sequence[Extent]) -> list[tuple[int, ...]]:
    """All chunks that an array may have, but those of some lists."""
    return [chunk for chunk in np.ndindex(array.cdata_shape) if not any(_is_within(chunk, extent) for extent in lists)]


def _is_within(chunk: tuple[int, ...], extent: Extent) -> bool:
    """True if a chunk is one of an extent."""
    return all(begin <= at < end for at, (begin, end) in zip(chunk, extent, strict=True))


def is_of_chunks(error: Exception) -> bool:
    """True if a chunk cannot be read, rather than that what was read makes no sense."""
    return isinstance(error, icechunk.IcechunkError) or reason_of(error) in (_CHANGED, _MISSING)


def reason_of(error: Exception) -> str:
    """Why something cannot be read, in one line."""
    text = next((line.strip(" x│|") for line in str(error).splitlines() if line.strip(" x│|")), type(error).__name__)
    if "checksum" in text.lower():
        return _CHANGED
    if "not found" in text:
        return _MISSING
    return f"cannot be read ({printable(text, 120)})"
