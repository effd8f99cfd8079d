"""Append live snapshots to a store, one commit for all that came together, and fold them into full chunks."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.display import DisplayedFields, quoted
from owtrend.errors import SnapshotError, UsageError
from owtrend.model import root_sums
from owtrend.model.registry import COUNTS, SAME, SUMS, WEIGHTS, Layouts, Registry, Segment, segments_of
from owtrend.model.rows import Accumulation, Provenance, TailRow, hash_of_row, settle
from owtrend.model.snapshot import Snapshot
from owtrend.store import quarantine
from owtrend.store.layout import TIME_CHUNK
from owtrend.store.reader import SubsystemReader
from owtrend.store.repository import Store
from owtrend.store.transaction import Transaction
from owtrend.times import nanoseconds

__all__ = ["Appended", "Appender", "appender"]

_DTYPES = {COUNTS: np.int32, WEIGHTS: np.float64, SUMS: np.float64}
_SLOTS_KEPT = 256  # of an empty tail while a run goes on; their old content stays on disk until it is overwritten
_OVER_AFTER = 30 * 60 * 10**9  # [ns] without a row while other runs go on: the run is over
_RUNS_KEPT = 16  # runs of each subsystem whose rows are remembered, in addition to those in the tail
_FOLD_CELLS = 2**18  # cells in one step of folding: one chunk of the tail
_Values = list[tuple[Segment, NDArray[Any] | None]]


@dataclass(repr=False)
class Appended(DisplayedFields):
    """Result of `Appender.append`: the new version, the numbers of snapshots added, dropped and replaced, and which
    of those given are in the store now, by position.
    """

    version: str
    added: int = 0
    duplicates: int = 0
    replaced: int = 0
    refused: list[str] = field(default_factory=list)  # lines of the quarantine
    kept: list[int] = field(default_factory=list)


@dataclass
class _Row:
    """A row, as far as it is needed to compare another with it."""

    entries: float
    digest: bytes
    slot: int  # -1 if it lies in the chunks
    source: str


@dataclass
class _Live:
    """Memory of one subsystem, so that an append reads nothing."""

    registry: Registry = field(default_factory=Registry)
    layouts: Layouts = field(default_factory=Layouts)
    run_indices: dict[int, int] = field(default_factory=dict)
    layouts_written: int = 0
    room: int = 0  # rows that the time axis has
    rows: dict[int, dict[int, _Row]] = field(default_factory=dict)  # by run and time
    revisions: dict[int, int] = field(default_factory=dict)  # by run
    accumulations: dict[int, int] = field(default_factory=dict)  # by run, of those that have rows
    slots: int = 0  # that the tail has, free ones included
    tail: dict[int, dict[int, int]] = field(default_factory=dict)  # by run: the time of the row in each slot
    unwritten: dict[int, tuple[TailRow, dict[str, NDArray[Any]]]] = field(default_factory=dict)  # of an append, by slot

    @property
    def free_slot(self) -> int:
        used = set().union(*self.tail.values())
        return next(number for number in range(len(used) + 1) if number not in used)

    def is_over(self, run: int) -> bool:
        """True if a run has probably ended: others have gone on without it."""
        newest = max(time for rows in self.tail.values() for time in rows.values())
        return newest - max(self.tail[run].values()) > _OVER_AFTER


@contextlib.contextmanager
def appender(store: Store) -> Iterator["Appender"]:
    """Open an `Appender`, which is the only raw writer of the store until it is closed.

    Raises
    ------
    StoreLockedError
        If another process writes raw data to this store.
    """
    with store.writer("raw") as begin:
        yield Appender(store, begin)


class Appender:
    """Appends snapshots to a store, and folds them into full chunks in the gaps.

    The cost of a snapshot does not depend on the length of its run. What `append` returned is safe if the process dies.
    """

    def __init__(self, store: Store, begin: Any) -> None:
        self._store = store
        self._begin = begin
        self._registered = store.reader().registered
        self._live: dict[str, _Live] = {}
        self._folding: Iterator[None] | None = None

    def append(
        self,
        snapshots: Sequence[Snapshot],
        accumulation: int = Accumulation.CUMULATIVE,
        provenance: Sequence[str] | None = None,
    ) -> Appended:
        """Add snapshots in one commit, in any order.

        Of several snapshots of one subsystem, run and time, equal ones are kept once. If their contents differ, the one
        with more entries is kept, and the others are listed in the quarantine.

        Parameters
        ----------
        accumulation
            `owtrend.model.rows.Accumulation` of all of them.
        provenance
            Lines of provenance, if they come from another store.

        Raises
        ------
        SnapshotError
            If one has no subsystem, run or time, no histogram, or a histogram without ROOT's statistics. Then none is
            added.
        UsageError
            If its run has another accumulation.
        """
        for snapshot in snapshots:
            _require_whole(snapshot)
        for live in self._live.values():
            for run in live.rows.keys() - live.tail.keys() if len(live.rows) > _RUNS_KEPT else ():
                del live.rows[run]  # they are read from the store again if needed
        result = Appended("")
        try:
            prepared = [(snapshot, self._segments(snapshot)) for snapshot in snapshots]
            self._make_room(prepared)
            transaction = self._begin()
            lines = provenance or [_provenance(snapshot) for snapshot in snapshots]
            for number, ((snapshot, values), line) in enumerate(zip(prepared, lines, strict=True)):
                if self._add(transaction, snapshot, values, accumulation, line, result):
                    result.kept.append(number)
            for subsystem, live in self._live.items():
                if live.unwritten:
                    live.slots = transaction.write_tail(subsystem, list(live.unwritten.values()))
                    live.unwritten.clear()
            if result.refused:
                transaction.quarantine(result.refused)
            result.version = transaction.commit(_message(snapshots))
        except BaseException:  # the memory may differ from the store now: read it again
            self._live.clear()
            self._folding = None
            raise
        return result

    def fold(self, seconds: float | None = None, *, everything: bool = False) -> bool:
        """Move rows from the tail into chunks of 64 rows, for about ``seconds`` at most; true if none is left.

        Parameters
        ----------
        everything
            Also rows that do not fill a chunk, as when the detector stops. Otherwise only those of runs that are over:
            others have gone on without them for half an hour.
        """
        stop = None if seconds is None else time.monotonic() + seconds
        while True:
            if self._folding is None:
                self._folding = self._fold(everything)
            try:
                done = next(self._folding, "done") == "done"
            except BaseException:
                self._live.clear()
                self._folding = None
                raise
            if done:
                self._folding = None
                if not everything or not any(live.tail for live in self._live.values()):
                    return True
            if stop is not None and time.monotonic() >= stop:
                return False

    def _state(self, subsystem: str) -> _Live:
        if subsystem not in self._live:
            live = _Live()
            reader = self._store.reader()
            if subsystem in reader.registered:
                view = reader.subsystem(subsystem)
                live.registry, live.layouts = view.registry, view.layouts
                live.layouts_written = len(view.layouts)
                live.slots = view.slots
                live.run_indices = {int(run): run_index for run_index, run in enumerate(view.per_run["run"])}
                live.room = view.room
                live.tail = {run: {row.slot: row.time for row in rows} for run, rows in view.tail.items()}
            self._live[subsystem] = live  # after all was read
        return self._live[subsystem]

    def _known_rows(self, subsystem: str, run: int) -> dict[int, _Row]:
        live = self._state(subsystem)
        if run not in live.rows:
            known: dict[int, _Row] = {}
            live.revisions[run] = 0
            if run in live.run_indices:
                view = self._store.reader().subsystem(subsystem)
                live.revisions[run] = int(view.stored_per_run["revision"][live.run_indices[run]])
                rows, order = view.rows(live.run_indices[run]), view.order(live.run_indices[run])
                if len(rows):
                    live.accumulations[run] = rows.accumulation
                for number, when in enumerate(rows.time.tolist()):
                    came = Provenance.from_json(rows.provenance[number])
                    slot = int(-1 - order[number]) if order[number] < 0 else -1
                    known[when] = _Row(came.entries, rows.digest[number].tobytes(), slot, came.source)
            live.rows[run] = known
        return live.rows[run]

    def _segments(self, snapshot: Snapshot) -> _Values:
        registry = self._state(_subsystem(snapshot)).registry
        return [pair for histogram in snapshot.values() for pair in segments_of(histogram, registry)]

    def _make_room(self, prepared: list[tuple[Snapshot, _Values]]) -> None:
        """Register new segments and grow the axes in a commit of its own, if needed."""
        transaction: Transaction | None = None
        for subsystem in dict.fromkeys(_subsystem(snapshot) for snapshot, _ in prepared):
            live = self._state(subsystem)
            here = [(snapshot, values) for snapshot, values in prepared if snapshot.subsystem == subsystem]
            wanted = [segment for _, values in here for segment, _ in values if segment.offset < 0]
            runs = dict.fromkeys(int(snapshot.run or 0) for snapshot, _ in here)
            most = max(len(self._known_rows(subsystem, run)) for run in runs) + len(here)
            if not wanted and most <= live.room and all(run in live.run_indices for run in runs):
                continue
            live.registry = live.registry.extended(wanted)
            transaction = transaction or self._begin()
            live.run_indices |= transaction.prepare(subsystem, live.registry, runs, most)
            live.room = transaction.room(subsystem)
            for number, (snapshot, values) in enumerate(prepared):
                if snapshot.subsystem == subsystem and any(segment.offset < 0 for segment, _ in values):
                    prepared[number] = snapshot, self._segments(snapshot)
        if transaction is not None:
            self._folding = None  # a resize cannot be rebased: start again
            transaction.commit("make room")

    def _add(
        self, transaction: Transaction, snapshot: Snapshot, values: _Values, accumulation: int, provenance: str,
        result: Appended,
    ) -> bool:  # fmt: skip
        """Add a snapshot; False if the store has it, or another in its place."""
        subsystem, run, when = _subsystem(snapshot), int(snapshot.run or 0), _nanoseconds(snapshot)
        live, known = self._state(subsystem), self._known_rows(subsystem, run)
        row = _Row(snapshot.entries, snapshot.digest, -1, snapshot.source)
        if live.accumulations.setdefault(run, accumulation) != accumulation:
            raise UsageError(
                f"{self._store.location}: run {run} of {subsystem} is {_words(live.accumulations[run])} so far, "
                f"this snapshot is {_words(accumulation)}; send it with another run number"
            )
        before = known.get(when)
        if known and when <= max(known):
            self._folding = None  # its rows may have moved: start again
        if before is None:
            result.added += 1
        elif (settled := settle(before, row)) is None:
            result.duplicates += 1
            return False
        else:
            winner, loser, reason = settled
            result.refused.append(quarantine.entry(loser.source, reason, subsystem=subsystem, run=run, time=when))
            if winner is before:
                return False
            result.replaced += 1
        row.slot = before.slot if before is not None and before.slot >= 0 else live.free_slot
        live.tail.setdefault(run, {})[row.slot] = when
        cells = {}
        for array, dtype in _DTYPES.items():
            if any(segment.array == array for segment, _ in values):
                cells[array] = np.zeros(live.registry.size(array), dtype=dtype)
        numbers = []
        for segment, part in values:
            numbers.append(live.registry.number(segment))
            if segment.array != SAME:
                cells[segment.array][segment.cells] = part
        layout = live.layouts.number(numbers)
        live.revisions[run] += 1
        mode = snapshot.mode or ""
        tail_row = TailRow(
            slot=row.slot, run=run, time=when, layout=layout, flags=0, digest=row.digest, mode=mode,
            provenance=provenance, accumulation=accumulation, revision=live.revisions[run],
            hash=hash_of_row(subsystem, run, when, layout, 0, row.digest, provenance, mode, accumulation),
        )  # fmt: skip
        if len(live.layouts) > live.layouts_written:
            transaction.write_layouts(subsystem, live.layouts)
            live.layouts_written = len(live.layouts)
        live.unwritten[row.slot] = tail_row, cells
        known[when] = row
        return True

    def _fold(self, everything: bool) -> Iterator[None]:
        """Fold step by step; each step takes about as long as an append."""
        for subsystem in sorted({*self._registered, *self._live}):
            view: SubsystemReader | None = None
            for run in list(self._state(subsystem).tail):
                whole_run = everything or self._state(subsystem).is_over(run)
                if whole_run or self._fills_a_chunk(subsystem, run):
                    view = view or self._store.reader().subsystem(subsystem)
                    if run in view.tail:  # else it came after the view was opened
                        yield from self._fold_run(view, subsystem, run, view.tail[run], whole_run)
            live = self._state(subsystem)
            if not live.tail and live.slots > (0 if everything else _SLOTS_KEPT):
                live.slots = 0
                transaction: Transaction = self._begin()
                transaction.shrink_tail(subsystem)
                transaction.commit(f"give back the empty tail of {subsystem}")

    def _fills_a_chunk(self, subsystem: str, run: int) -> bool:
        """True if the rows of a run fill a chunk that has rows in the tail."""
        known = self._known_rows(subsystem, run)
        first = next(number for number, when in enumerate(sorted(known)) if known[when].slot >= 0)
        return first < len(known) // TIME_CHUNK * TIME_CHUNK

    def _fold_run(
        self, view: SubsystemReader, subsystem: str, run: int, tail: tuple[TailRow, ...], whole_run: bool
    ) -> Iterator[None]:
        run_index = view.any_run_index(run)
        rows, order = view.rows(run_index), view.order(run_index)
        folded = view.folded(run_index)
        first = int(np.flatnonzero(order != np.arange(len(order)))[0])
        begin = first // TIME_CHUNK * TIME_CHUNK
        end = len(rows) if whole_run else len(rows) // TIME_CHUNK * TIME_CHUNK
        if first < folded:  # a late row moves all those after it in the chunks, or the last would be lost
            end = max(end, int(np.flatnonzero(order >= 0)[-1]) + 1)
        if end <= first:
            return
        # Visible rows of the chunks may only change in the commit that changes their row arrays, with no append in
        # between. New rows are written to the chunks first, step by step; they count from the second commit on.
        whole = first < folded
        transaction: Transaction = self._begin()
        for start in range(begin, end, TIME_CHUNK):
            which = np.arange(start, min(start + TIME_CHUNK, end))
            for array in _DTYPES:
                size = view.group_size(array)
                for cell in range(0, size, _FOLD_CELLS):
                    block = view.stored_cells(array, run_index, which, slice(cell, min(cell + _FOLD_CELLS, size)))
                    transaction.write_block(subsystem, array, run_index, start, cell, block)
                    if not whole:
                        yield
        if not whole:
            transaction.commit(f"fold {subsystem} run {run}")
            yield
            transaction = self._begin()
        gone = [row.slot for row in tail if row.slot in {int(-1 - at) for at in order[:end] if at < 0}]
        transaction.fold_rows(subsystem, run_index, rows.first(end), int(view.stored_per_run["revision"][run_index]))
        transaction.clear_slots(subsystem, gone)
        transaction.commit(f"fold {subsystem} run {run}: rows {begin} to {end}")
        live = self._state(subsystem)
        live.tail[run] = {slot: when for slot, when in live.tail[run].items() if slot not in gone}
        if not live.tail[run]:
            del live.tail[run]
        for known in live.rows.get(run, {}).values():
            if known.slot in gone:
                known.slot = -1
        yield


def _require_whole(snapshot: Snapshot) -> None:
    for name in ("subsystem", "run", "time"):
        if getattr(snapshot, name) is None:
            raise SnapshotError(
                f"{snapshot.source or 'snapshot'}: it has no {name}; set it, or give a source whose name has it"
            )
    if not 0 <= int(snapshot.run or 0) < 2**63:
        raise SnapshotError(f"{snapshot.source or 'snapshot'}: run {quoted(snapshot.run)}; expected less than 2^63")
    try:
        nanoseconds(np.datetime64(snapshot.time))
    except (OverflowError, ValueError) as error:
        raise SnapshotError(
            f"{snapshot.source or 'snapshot'}: its time {quoted(snapshot.time)} is impossible: {error}"
        ) from error
    if not len(snapshot):
        raise SnapshotError(f"{snapshot.source or 'snapshot'}: no histogram in it")
    for histogram in snapshot.values():
        if missing := [
            name for name in root_sums.names(len(histogram.axes), mixed=False) if name not in histogram.sums
        ]:
            raise SnapshotError(
                f"{snapshot.source or 'snapshot'}: {histogram.name} has no {', '.join(missing)}, "
                "which trends need; add ROOT's statistics, or make the histogram by Histogram.from_hist"
            )


def _words(accumulation: int) -> str:
    return "cumulative" if accumulation == Accumulation.CUMULATIVE else "in reset mode"


def _subsystem(snapshot: Snapshot) -> str:
    return str(snapshot.subsystem)


def _nanoseconds(snapshot: Snapshot) -> int:
    assert snapshot.time is not None, "checked by append"
    return int(snapshot.time.astype("datetime64[ns]").astype(np.int64))


def _provenance(snapshot: Snapshot) -> str:
    return Provenance(
        source=snapshot.source, parsed=snapshot.source, mode=snapshot.mode or "", entries=snapshot.entries,
        unsupported=len(snapshot.unsupported), received=str(np.datetime64("now")),
    ).to_json()  # fmt: skip


def _message(snapshots: Sequence[Snapshot]) -> str:
    return "append " + ", ".join(f"{snapshot.subsystem} run {snapshot.run}" for snapshot in snapshots)
