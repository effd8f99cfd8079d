"""The one writer of a receiver: payloads of the spool -> the store, then trends, scores, incidents and alarms."""

import logging
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from ingest.limits import Limits
from ingest.live.derived import Derived
from ingest.live.payloads import Decoded, decode, source_of
from ingest.live.spool import Payload, Spool
from owtrend.display import printable
from owtrend.errors import NONSENSE, OwtrendError, StoreError
from owtrend.model.rows import NotStored
from owtrend.model.snapshot import Snapshot
from owtrend.store import quarantine
from owtrend.store.append import Appender
from owtrend.store.repository import Store

__all__ = ["LATENCIES", "SubsystemState", "Writer", "WriterState"]

_BATCH = 64  # snapshots in a commit
_BATCH_BYTES = 64 * 10**6  # of payloads in a commit
_WRITE_EVERY = 5.0  # [s] between two updates of trends and alarms while the writer is behind
_FOLD = 0.05  # [s] of folding between two looks for payloads
_LONGEST_PAUSE = 30.0  # [s] between two tries when the store takes nothing
LATENCIES = 2000  # whose quantiles are kept
_log = logging.getLogger(__name__)


@dataclass
class SubsystemState:
    """The newest snapshot of a subsystem: its run, its time [ns UTC], and when it was stored [s since 1970]."""

    run: int
    time: int
    stored: float


@dataclass
class WriterState:
    """What a writer did so far.

    Parameters
    ----------
    counts
        Of snapshots stored, duplicates, superseded, quarantined; and of commits.
    reasons
        How many were quarantined, by kind of reason.
    trouble
        Why nothing can be stored now; empty if it can.
    to_committed, to_alarms
        Seconds from the acknowledgement to the commit, and to alarms, of the newest snapshots.
    """

    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    subsystems: dict[str, SubsystemState] = field(default_factory=dict)
    trouble: str = ""
    to_committed: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES))
    to_alarms: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES))


class Writer:
    """Moves payloads from a spool to a store, in order of arrival, several in a commit when it is behind.

    A payload leaves the spool after its commit, so a death in between stores nothing twice: the store knows rows of
    equal time and content. What cannot be read goes to the quarantine, with its reason in the store.
    """

    def __init__(
        self, store: Store, begin: Any, spool: Spool, derived: Derived, limits: Limits | None = None
    ) -> None:  # fmt: skip
        self._begin, self._spool, self._derived = begin, spool, derived
        self._limits = limits or Limits()
        self._appender = Appender(store, begin)
        self._not_stored: set[tuple[str, int, str]] = set()
        self._waiting_for_alarms: list[float] = []  # when those came that are not in the alarms
        self._written = time.monotonic()
        self._pause = 0.0
        self._folded = True
        self.state = WriterState()

    def step(self, wait: float = 0.0) -> bool:
        """Store what waits in one commit per mode of accumulation; false if nothing did for ``wait`` seconds.

        Between payloads it writes trends and alarms, and folds the tail of the store.
        """
        self._derived.open()
        payloads = self._spool.take(_BATCH, _BATCH_BYTES, 0.0 if self._busy else wait)
        if not payloads:
            self._in_between()
            return False
        try:
            self._store([one for payload in payloads if (one := self._decoded(payload)) is not None])
        except Exception as error:  # a full disk, or a fault: payloads stay in the spool, and are tried again
            self._troubled(error)
            return False
        self.state.trouble, self._pause, self._folded = "", 0.0, False
        if not len(self._spool) or time.monotonic() - self._written > _WRITE_EVERY:
            self._write()
        return True

    @property
    def pause(self) -> float:
        """Seconds to wait before the next step, as the store took nothing in the last."""
        return self._pause

    @property
    def _busy(self) -> bool:
        return not self._folded or self._derived.has_new

    def finish(self) -> None:
        """Write what is not written of trends and alarms, and what a later process goes on from."""
        self._write(state=True)

    def _in_between(self) -> None:
        if self._derived.has_new:
            self._write()
            return
        try:
            self._folded = self._appender.fold(_FOLD)
        except Exception as error:  # as above; rows that are not folded are in the tail
            self._troubled(error)

    def _write(self, *, state: bool = False) -> None:
        self._written = time.monotonic()
        if self._derived.write(state=state):
            now = time.monotonic()
            self.state.to_alarms += [now - arrived for arrived in self._waiting_for_alarms]
        self._waiting_for_alarms = []

    def _decoded(self, payload: Payload) -> Decoded | None:
        try:
            return decode(payload, self._limits)
        except (OwtrendError, MemoryError, *NONSENSE) as error:
            self._refuse(payload, error, "not readable")
            return None

    def _store(self, decoded: Sequence[Decoded]) -> None:
        """Commit snapshots in order of time: those that came late in the same batch are no late rows."""
        ordered = sorted(decoded, key=lambda one: str(one.snapshot.time))
        for accumulation, group in groupby(ordered, key=lambda one: one.accumulation):
            together = list(group)
            try:
                self._append(together, accumulation)
            except NONSENSE as error:  # SnapshotError and UsageError are among them
                if len(together) == 1:
                    self._refuse(together[0].payload, error, "refused by the store")
                    continue
                for one in together:
                    self._store([one])

    def _append(self, decoded: Sequence[Decoded], accumulation: Any) -> None:
        snapshots = [one.snapshot for one in decoded]
        appended = self._appender.append(snapshots, accumulation, [one.provenance for one in decoded])
        self._note(decoded)
        self._spool.remove([one.payload for one in decoded])
        now, state = time.monotonic(), self.state
        arrived = [one.payload.arrived for one in decoded if one.payload.arrived is not None]
        state.to_committed += [now - moment for moment in arrived]
        self._waiting_for_alarms += arrived
        state.counts.update(
            stored=appended.added, duplicates=appended.duplicates, superseded=len(appended.refused), commits=1
        )
        for snapshot in snapshots:
            name, when = str(snapshot.subsystem), _when(snapshot)
            before = state.subsystems.get(name)
            if before is None or when >= before.time:
                state.subsystems[name] = SubsystemState(int(snapshot.run or 0), when, time.time())
        _log.info("stored %d, %d known before, %d wait", appended.added, appended.duplicates, len(self._spool))
        self._derived.take([snapshots[number] for number in appended.kept], accumulation)

    def _note(self, decoded: Sequence[Decoded]) -> None:
        """List in the store what of these snapshots could not be read, and objects that are no histograms."""
        lines, objects = list[str](), dict[tuple[str, int], dict[str, NotStored]]()
        for one in decoded:
            name, run = str(one.snapshot.subsystem), int(one.snapshot.run or 0)
            when = _when(one.snapshot)
            lines += [
                quarantine.entry(one.snapshot.source, reason, subsystem=name, run=run, time=when, name=histogram)
                for histogram, reason in one.snapshot.problems.items()
            ]
            for class_name, found in NotStored.by_class(one.snapshot.unsupported).items():
                if (name, run, class_name) not in self._not_stored:
                    objects.setdefault((name, run), {})[class_name] = found
        if not lines and not objects:
            return
        transaction = self._begin()
        transaction.quarantine(lines)
        for (name, run), classes in objects.items():
            transaction.note_not_stored(name, run, classes)
        transaction.commit("list what is not stored of received snapshots")
        self.state.counts["objects quarantined"] += len(lines)
        self._not_stored |= {(name, run, one) for (name, run), classes in objects.items() for one in classes}

    def _refuse(self, payload: Payload, error: BaseException, kind: str) -> None:
        """Put a payload aside, with a line in the quarantine of the store."""
        reason = str(error) if isinstance(error, OwtrendError) else f"{type(error).__name__}: {error}"
        reason, meta = printable(reason, 500), payload.meta
        subsystem, run, when = meta.get("subsystem"), meta.get("run"), meta.get("time")
        line = quarantine.entry(
            source_of(payload), reason, subsystem=printable(str(subsystem), 100) if subsystem else None,
            run=run if isinstance(run, int) else None, time=when if isinstance(when, int) else 0,
        )  # fmt: skip
        transaction = self._begin()
        transaction.quarantine([line])
        transaction.commit("list a payload that could not be stored")
        self._spool.quarantine(payload, reason)
        self.state.counts["quarantined"] += 1
        self.state.reasons[kind] += 1
        _log.warning("quarantined: %s: %s", source_of(payload), reason)

    def _troubled(self, error: Exception) -> None:
        """The store takes nothing, as when its disk is full: the payloads stay in the spool and are tried again."""
        self._pause = min(2 * self._pause or 1.0, _LONGEST_PAUSE)
        self.state.trouble = printable(str(error) or type(error).__name__, 500)
        self.state.counts["failed commits"] += 1
        known = isinstance(error, OSError | StoreError)
        _log.error("nothing stored, tried again in %.0f s: %s", self._pause, self.state.trouble, exc_info=not known)


def _when(snapshot: Snapshot) -> int:
    """Time of a stored snapshot [ns UTC]."""
    assert snapshot.time is not None, "the store refuses what has no time"
    return int(snapshot.time.astype("int64"))
