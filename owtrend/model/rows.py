"""What the rows of a run are, beside their cells: those in its chunks, and the tail of those that came last.

A chunk of the cell arrays holds 64 rows. To write each row of a live run there would rewrite 64 each time, so it goes
to a *slot* of the tail instead, an array with chunks of one row, and `owtrend.store.append` folds 64 of them at once.
This module knows what a slot says, and how the rows of a run are put together from both; it has no I/O.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AMBIGUOUS_TIME", "CUMULATIVE", "RESET", "UNCHANGED", "RunRows", "TailRow", "merged_order", "outranks", "shown",
    "unchanged",
]  # fmt: skip

UNCHANGED, AMBIGUOUS_TIME = 1, 2  # flags of a row
CUMULATIVE, RESET = 0, 1  # accumulation of a run


@dataclass(frozen=True, kw_only=True)
class RunRows:
    """The rows of one run in order of time, without their cells.

    ``time`` int64 ns UTC, ``layout`` int32, ``flags`` uint8, ``digest`` (row, 16) uint8, ``provenance`` JSON lines.
    """

    time: NDArray[np.int64]
    layout: NDArray[np.int32]
    flags: NDArray[np.uint8]
    digest: NDArray[np.uint8]
    provenance: tuple[str, ...]
    mode: str = ""
    accumulation: int = CUMULATIVE

    def __len__(self) -> int:
        return len(self.time)

    @property
    def n_snapshots(self) -> int:
        """Rows that are shown, see `shown`."""
        return shown((self.flags & UNCHANGED) != 0, self.accumulation != RESET)


@dataclass(frozen=True, kw_only=True, slots=True)
class TailRow:
    """One row in the tail: where its cells are, and what else a row of the store has."""

    slot: int
    run: int
    time: int  # ns UTC
    layout: int
    flags: int
    digest: bytes
    provenance: str
    mode: str
    accumulation: int
    revision: int  # of the run, with this row

    def to_bytes(self) -> bytes:
        """A line of JSON, without the slot, which is its place."""
        fields = asdict(self) | {"digest": self.digest.hex()}
        del fields["slot"]
        return json.dumps(fields).encode()

    @classmethod
    def from_bytes(cls, slot: int, line: bytes) -> Self | None:
        """The row that `to_bytes` wrote; None for a slot that is free."""
        text = line.rstrip(b"\0")
        if not text:
            return None
        fields: dict[str, Any] = json.loads(text)
        return cls(slot=slot, **{**fields, "digest": bytes.fromhex(fields["digest"])})


def merged_order(times: NDArray[np.int64], tail: Sequence[TailRow]) -> NDArray[np.int64]:
    """Where each row of a run is, in order of time: its number in the run's chunks, or ``-1 - slot`` in the tail.

    A tail row with the time of a row in the chunks stands in its place.
    """
    if not tail:
        return np.arange(len(times))
    late = np.array([row.time for row in tail], dtype=np.int64)
    kept = np.flatnonzero(~np.isin(times, late))
    every = np.concatenate([times[kept], late])
    where = np.concatenate([kept, [-1 - row.slot for row in tail]]).astype(np.int64)
    return where[np.argsort(every, kind="stable")]


def unchanged(digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each row has the content of the one before; ``digests`` has shape ``(row, 16)``."""
    same = np.zeros(len(digests), dtype=bool)
    same[1:] = (digests[1:] == digests[:-1]).all(axis=1)
    return same


def shown(same: NDArray[np.bool_], additive: bool) -> int:
    """Rows up to the last that changed: unchanged ones after the end of a run are not shown.

    All of them in reset mode (not ``additive``), where equal content is a new gain.
    """
    changed = np.flatnonzero(~same)
    return len(same) if not additive else int(changed[-1]) + 1 if len(changed) else 0


def outranks(entries: float, digest: bytes, other_entries: float, other_digest: bytes) -> bool:
    """Which of two snapshots of one time is kept: the one with more entries, whatever came first."""
    return (entries, digest) > (other_entries, other_digest)
