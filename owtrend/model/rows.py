"""Rows of a run without their cells: those in its chunks, and the tail of the latest.

A chunk of the cell arrays holds 64 rows. To write each row of a live run there would rewrite 64 each time, so it goes
to a *slot* of the tail instead, an array with chunks of one row, and `owtrend.store.append` folds 64 of them at once.
This module joins the rows of both; it has no I/O.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum, IntFlag
from fnmatch import fnmatchcase
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from owtrend import __version__

__all__ = [
    "DECODER", "MANY_LAYOUTS", "SUMMARY", "Accumulation", "Bits", "FileKey", "NotStored", "Provenance", "Rival",
    "RowFlag", "RunRows", "State", "TailRow", "carried_over", "hash_of_row", "merged_order", "settle", "shown",
    "unchanged",
]  # fmt: skip

MOST_LAYOUTS, MANY_LAYOUTS = 10, -2
# Digests of the first row and of the last that is shown, the layouts of the rows between (-1: no more; -2: more than
# fit), and the revision of the run that this is true for.
SUMMARY = np.dtype(
    [("first", "u1", 16), ("last", "u1", 16), ("revision", "<i8"), ("layouts", "<i4", MOST_LAYOUTS)]
)  # fmt: skip


class Bits(IntFlag):
    """Bits of a stored uint8 mask."""

    def is_set(self, mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """True where ``mask`` has at least one of these bits; an enum in place of uint8 would make int64 of it."""
        return (mask & np.uint8(self)) != 0


class RowFlag(Bits):
    """Bits of the stored ``flags`` of a row."""

    UNCHANGED = 1  # the content of the row before
    AMBIGUOUS_TIME = 2  # local time in the hour that the clock change repeats


class State(Bits):
    """Bits of the stored ``state`` of a histogram in a row."""

    HELD = 1  # the row has the histogram
    REPORTED = 2  # its bins changed
    RESTART = 4  # it counts from zero again
    OUT_OF_ORDER = 8  # content of another time: it takes part in no increment
    GAUGE = 16  # its own value, no sum of fills
    RESET = 32  # filled since the row before, though other rows of the run are not
    LOST = 64  # a gain that is not known: a bin is full, or with MOVED all bins were scaled
    MOVED = 128  # a few entries went to other bins

    @property
    def words(self) -> tuple[str, ...]:
        """What happened other than gains and restarts, in words."""
        return tuple(words for bit, words in _STEPS.items() if bit in self)

    @classmethod
    def declared(cls, kinds: Mapping[str, str], histogram: str) -> "State":
        """The bit of the kind that a configuration gives a histogram; HELD for a counter, no bits if it gives none."""
        kind = kinds.get(histogram)
        if kind is None:
            kind = next((kind for pattern, kind in kinds.items() if fnmatchcase(histogram, pattern)), "")
        return {"gauge": cls.GAUGE, "reset": cls.RESET, "counter": cls.HELD}.get(kind, cls(0))


_STEPS = {
    State.OUT_OF_ORDER: "out of order", State.GAUGE: "a gauge: its last value",
    State.RESET: "reset at each snapshot", State.LOST: "unknown gain, left out",
    State.MOVED: "entries moved between bins",
}  # fmt: skip


class Accumulation(IntEnum):
    """Meaning of the contents of a run's snapshots."""

    CUMULATIVE = 0  # since the run began
    RESET = 1  # since the snapshot before


DECODER = f"owtrend {__version__}"
_MOST_CLASSES = 16  # that are not stored; of these the most frequent are noted
_LONGEST = 120  # [characters] of their names: a file may have any
FileKey = tuple[str, int, int]  # path, size and time of change [ns]: what makes it the same file in another folder


@dataclass(kw_only=True)
class Provenance:
    """Where a row comes from; stored as a line of JSON.

    Parameters
    ----------
    source
        Where the snapshot came from, for people.
    parsed
        The part of the path that gave run and time.
    size, mtime
        Of the file [bytes], [ns].
    mode
        HLT mode.
    entries
        Sum of the entries of all histograms.
    unsupported
        How many objects were no histograms.
    timezone
        Time zone of the times in file names.
    received
        When a live snapshot came, UTC.
    rename
        Rules by which histograms were renamed.
    nominal
        Time by name or header [ns UTC] where several snapshots had it and this one was moved on; 0 otherwise.
    duplicates
        Files of the same run and time that were dropped.
    """

    source: str
    parsed: str = ""
    size: int = 0
    mtime: int = 0
    mode: str = ""
    timezone: str | None = None
    entries: float
    decoder: str = DECODER
    unsupported: int = 0
    received: str | None = None
    rename: list[str] = field(default_factory=list)
    nominal: int = 0
    duplicates: list[FileKey] = field(default_factory=list)

    @property
    def file(self) -> FileKey:
        return self.parsed, self.size, self.mtime

    @property
    def files(self) -> list[FileKey]:
        """The file of the row and those dropped as its duplicates: none is to be read again."""
        return [self.file, *self.duplicates]

    def to_json(self) -> str:
        absent = [
            name for name in ("timezone", "received", "rename", "nominal", "duplicates") if not getattr(self, name)
        ]
        fields = {_STORED_AS.get(name, name): value for name, value in vars(self).items() if name not in absent}
        return json.dumps(fields)

    @classmethod
    def from_json(cls, line: str) -> Self:
        fields = {_CALLED.get(name, name): value for name, value in json.loads(line).items()}
        fields["duplicates"] = [tuple(file) for file in fields.get("duplicates", [])]
        return cls(**{name: fields[name] for name in cls.__dataclass_fields__ if name in fields})


@dataclass(frozen=True, kw_only=True)
class NotStored:
    """Objects of one class that files hold and a store does not: how many in one file at most, and one of them."""

    objects: int
    example: str
    first_run: int = 0
    last_run: int = 0

    @classmethod
    def by_class(cls, unsupported: Mapping[str, str]) -> dict[str, Self]:
        """Those of a snapshot, of whose ``unsupported`` objects the class is given by name."""
        counts = Counter(unsupported.values())
        examples = {class_name: name for name, class_name in reversed([*unsupported.items()])}
        return {
            class_name[:_LONGEST]: cls(objects=count, example=examples[class_name][:_LONGEST])
            for class_name, count in counts.most_common(_MOST_CLASSES)
        }

    def joined(self, other: Self | None, run: int = 0) -> Self:
        """With those of other files; ``run`` is that of the file."""
        runs = [number for number in (run, self.first_run, self.last_run) if number]
        if other is not None:
            runs += [number for number in (other.first_run, other.last_run) if number]
        most = self if other is None or self.objects > other.objects else other
        return replace(most, first_run=min(runs, default=0), last_run=max(runs, default=0))


_STORED_AS = {"parsed": "told"}  # keys of stored lines that have other names here
_CALLED = {stored: name for name, stored in _STORED_AS.items()}


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
    accumulation: int = Accumulation.CUMULATIVE

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def none(cls) -> Self:
        """No rows."""
        return cls(
            time=np.empty(0, np.int64), layout=np.empty(0, np.int32), flags=np.empty(0, np.uint8),
            digest=np.empty((0, 16), np.uint8), provenance=(),
        )  # fmt: skip

    def chosen(self, which: NDArray[np.intp]) -> Self:
        """Some of the rows; which of them repeat the row before is found anew."""
        digest = self.digest[which]
        flags = (self.flags[which] & ~np.uint8(RowFlag.UNCHANGED)) | np.uint8(RowFlag.UNCHANGED) * unchanged(digest)
        provenance = tuple(self.provenance[number] for number in which)
        return replace(
            self, time=self.time[which], layout=self.layout[which], flags=flags, digest=digest, provenance=provenance
        )

    def first(self, count: int) -> Self:
        """The first rows."""
        return replace(
            self, time=self.time[:count], layout=self.layout[:count], flags=self.flags[:count],
            digest=self.digest[:count], provenance=self.provenance[:count],
        )  # fmt: skip

    def since(self, first: int) -> Self:
        """The rows from ``first`` on."""
        return replace(
            self, time=self.time[first:], layout=self.layout[first:], flags=self.flags[first:],
            digest=self.digest[first:], provenance=self.provenance[first:],
        )  # fmt: skip

    def hashes(self, subsystem: str, run: int) -> NDArray[np.uint64]:
        """`hash_of_row` of each row."""
        return np.array(
            [
                hash_of_row(subsystem, run, *row, self.mode, self.accumulation)
                for row in zip(
                    self.time.tolist(), self.layout.tolist(), self.flags.tolist(),
                    map(bytes, self.digest), self.provenance, strict=True,
                )
            ],
            dtype=np.uint64,
        )  # fmt: skip

    def summary(self, revision: int) -> NDArray[np.void]:
        """What a list of runs needs of the rows, at this revision of the run; see `SUMMARY`."""
        summary = np.zeros((), dtype=SUMMARY)
        summary["layouts"] = -1
        summary["revision"] = revision
        if count := self.n_snapshots:
            summary["first"], summary["last"] = self.digest[0], self.digest[count - 1]
            layouts = np.unique(self.layout[:count])
            summary["layouts"][: len(layouts)] = layouts if len(layouts) <= MOST_LAYOUTS else MANY_LAYOUTS
        return summary

    @property
    def n_snapshots(self) -> int:
        """Rows that are shown, see `shown`."""
        return shown(RowFlag.UNCHANGED.is_set(self.flags), self.accumulation != Accumulation.RESET)


@dataclass(frozen=True, kw_only=True, slots=True)
class TailRow:
    """One row in the tail: its slot, and all that the store keeps of a row."""

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
    hash: int = 0  # `hash_of_row`; 0 in stores of format 1

    def to_bytes(self) -> bytes:
        """A line of JSON, without the slot."""
        fields = asdict(self) | {"digest": self.digest.hex()}
        del fields["slot"]
        return json.dumps(fields).encode()

    @classmethod
    def from_bytes(cls, slot: int, line: bytes) -> Self | None:
        """The row written by `to_bytes`; None for a free slot."""
        text = line.rstrip(b"\0")
        if not text:
            return None
        fields: dict[str, Any] = json.loads(text)
        return cls(slot=slot, **{**fields, "digest": bytes.fromhex(fields["digest"])})


def hash_of_row(
    subsystem: str, run: int, time: int, layout: int, flags: int, digest: bytes, provenance: str, mode: str,
    accumulation: int,
) -> int:  # fmt: skip
    """Hash of all that the store keeps of a row, whose ``digest`` stands for its histograms; never 0."""
    kept = flags & ~int(RowFlag.UNCHANGED)  # follows from the digests, and changes with the row before
    fields = [subsystem, run, time, layout, kept, mode[:8], int(accumulation), provenance]
    return xxhash.xxh3_64_intdigest(json.dumps(fields).encode() + digest) or 1


def merged_order(times: NDArray[np.int64], tail: Sequence[TailRow]) -> NDArray[np.int64]:
    """Location of each row of a run, in order of time: its number in the run's chunks, or ``-1 - slot`` in the tail.

    A row in the tail replaces the row in the chunks with its time.
    """
    if not tail:
        return np.arange(len(times))
    late = np.array([row.time for row in tail], dtype=np.int64)
    kept = np.flatnonzero(~np.isin(times, late))
    every = np.concatenate([times[kept], late])
    where = np.concatenate([kept, [-1 - row.slot for row in tail]]).astype(np.int64)
    return where[np.argsort(every, kind="stable")]


def unchanged(digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """True where a row has the content of the row before; ``digests`` has shape ``(row, 16)``."""
    same = np.zeros(len(digests), dtype=bool)
    same[1:] = (digests[1:] == digests[:-1]).all(axis=1)
    return same


def shown(same: NDArray[np.bool_], additive: bool) -> int:
    """Number of rows up to the last that changed: unchanged ones after the end of a run are not shown.

    All rows in reset mode (not ``additive``), where equal content is a new increment.
    """
    changed = np.flatnonzero(~same)
    return len(same) if not additive else int(changed[-1]) + 1 if len(changed) else 0


def carried_over(rows: RunRows, before: bytes) -> int:
    """Number of first rows of a run that hold the end of the run before it, as when a file of it came late.

    Parameters
    ----------
    before
        Digest of the last row of the run before.

    Returns
    -------
    :
        How many have that content, if the row after them has fewer entries: the run counts from zero only there. Else
        0: nobody knows yet, or the run goes on counting from them.
    """
    same = (rows.digest == np.frombuffer(before, dtype=np.uint8)).all(axis=1)
    count = int(np.argmin(same))
    if not count or rows.accumulation == Accumulation.RESET or count >= len(rows.provenance):
        return 0
    first, after = (Provenance.from_json(rows.provenance[number]).entries for number in (0, count))
    return count if after < first else 0


class Rival(Protocol):
    """A snapshot as `settle` compares it with another of the same time."""

    @property
    def entries(self) -> float: ...
    @property
    def digest(self) -> bytes: ...
    @property
    def source(self) -> str: ...


R = TypeVar("R", bound=Rival)


def settle(known: R, new: R) -> tuple[R, R, str] | None:
    """Decide which of two snapshots of one run and time is kept.

    It is the one with more entries, so that the order of arrival never matters.

    Returns
    -------
    :
        The one to keep, the other, and the reason for the quarantine; None if their contents are equal.
    """
    if known.digest == new.digest:
        return None
    winner, loser = (new, known) if (new.entries, new.digest) > (known.entries, known.digest) else (known, new)
    reason = (
        f"same time as {winner.source} but other content, with {loser.entries:.0f} entries against "
        f"{winner.entries:.0f}; the one with more is kept"
    )
    return winner, loser, reason
