"""Trends, scores, incidents and alarms of what a receiver stores: brought up to date after commits, delivered aside."""

import contextlib
import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from owtrend.compute.compute import compute
from owtrend.compute.live import Live
from owtrend.compute.update_alarms import update_alarms
from owtrend.config import Config
from owtrend.detectors.trends import with_trends
from owtrend.display import printable
from owtrend.errors import OwtrendError, StoreLockedError
from owtrend.model.histogram import Path
from owtrend.model.rows import Accumulation
from owtrend.model.snapshot import Snapshot
from owtrend.quality.journal import Journal
from owtrend.quality.notify import deliver
from owtrend.store.repository import Store
from owtrend.trends.settings import existing

__all__ = ["Deliveries", "Derived"]

_AGAIN = 10.0  # [s] after which the role of the derived writer is asked for again, or a failure is tried again
_LONGEST_SLEEP = 60.0  # [s] between two looks at what is due
_log = logging.getLogger(__name__)


class Derived:
    """The live engine of a receiver, and the alarms that follow from it. Use it as a context.

    Nothing that fails here stops the raw data: the engine is made anew, and reads what it missed from the store. While
    another process computes on the store, it waits.

    Parameters
    ----------
    config
        From this machine: rules, alarms and what else `owtrend compute` takes; None: what the store has.
    """

    def __init__(self, store: Store, config: Config | None = None) -> None:
        self._store, self.config = store, config
        self._opened = contextlib.ExitStack()
        self._live: Live | None = None
        self._again = 0.0
        self._new = False  # whether something was taken that is not written
        self._histograms: dict[str, set[Path]] = {}
        self.failures = self.writes = 0
        self.alarms_on = 0

    def __enter__(self) -> "Derived":
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None and self._new:
            self.write(state=True)
        self._close()

    @property
    def journal(self) -> Journal:
        """What people did, alarms, and messages that wait."""
        return Journal(self._store.location, self.config.journal if self.config else None)

    @property
    def has_new(self) -> bool:
        """Whether something was taken that is not written."""
        return self._new

    def configure(self, config: Config | None) -> None:
        """Go on with another configuration, which `compute` writes into the store first."""
        self.config = config
        self._close()
        self._again = 0.0

    def open(self) -> bool:
        """True if the engine is ready; brings the store up to date first, which takes as long as `owtrend compute`."""
        if self._live is not None:
            return True
        if time.monotonic() < self._again:
            return False
        try:
            compute(self._store.location, config=self.config, workers=0)
            begin = self._opened.enter_context(self._store.writer("derived"))
            self._live = Live(self._store, begin, self.config.journal if self.config else None)
        except StoreLockedError as error:
            _log.warning("trends wait, snapshots are stored: %s", error)
            self._again = time.monotonic() + _AGAIN
        except Exception as error:  # whatever trends fail of: snapshots are stored all the same
            self._failed("bring trends up to date", error)
        return self._live is not None

    def take(self, snapshots: Sequence[Snapshot], accumulation: Accumulation) -> None:
        """Take snapshots that were committed, in that order."""
        if self._live is None or not snapshots:
            return
        try:
            if self._widened(snapshots):  # it took them from the store
                return
            for update in self._live.take(snapshots, accumulation):
                for finding in update.findings:
                    where = printable(", ".join(finding.histograms[:3]), 200)
                    _log.info("finding in %s run %d: %s %s", update.subsystem, update.run, finding.score, where)
            self._new = True
        except Exception as error:  # as above
            self._failed("compute trends and scores", error)

    def write(self, *, state: bool = False) -> bool:
        """Store what is new, and bring the alarms up to date; true if both went well."""
        if self._live is None:
            return False
        try:
            self._live.write(state=state)
            self._new = False
            journal = self.journal
            if journal.writable:
                reader = self._store.reader()
                alarms = self.config.alarms if self.config else Config().alarms
                status = update_alarms(reader, journal, existing(reader.config, reader), alarms)
                self.alarms_on = sum(record.alarm.state.on for record in status.records)
        except Exception as error:  # as above
            self._failed("store trends and alarms", error)
            return False
        self.writes += 1
        return True

    def _widened(self, snapshots: Sequence[Snapshot]) -> bool:
        """True if plug-ins of detectors ask for trends of histograms that are new: then the engine began anew."""
        fresh = False
        for snapshot in snapshots:
            known = self._histograms.setdefault(str(snapshot.subsystem), set())
            fresh |= not known.issuperset(snapshot.histograms)
            known.update(snapshot.histograms)
        if not fresh:
            return False
        reader = self._store.reader()
        config = reader.config if self.config is None else self.config
        if with_trends(config, reader) == with_trends(reader.config, reader) == reader.config:
            return False
        if self._new:
            self.write()
        self._close()
        if self.open():
            self._new = True
        return True

    def _failed(self, what: str, error: Exception) -> None:
        """A fault in the derived data: the raw data go on, and the engine begins anew."""
        self.failures += 1
        if isinstance(error, OwtrendError):
            _log.error("could not %s, tried again in %.0f s: %s", what, _AGAIN, error)
        else:
            _log.exception("could not %s, tried again in %.0f s", what, _AGAIN)
        self._close()
        self._again = time.monotonic() + _AGAIN

    def _close(self) -> None:
        self._opened.close()
        self._opened = contextlib.ExitStack()
        self._live, self._new = None, False


class Deliveries:
    """A thread that sends the messages of alarms when they are due, so that no receiver of messages holds up the rest.

    Use it as a context.
    """

    def __init__(self, derived: Derived) -> None:
        self._derived = derived
        self._wake, self._stop = threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="owtrend-deliveries", daemon=True)
        self.sent = 0

    def __enter__(self) -> "Deliveries":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._wake.set()
        self._thread.join(_AGAIN)

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def _run(self) -> None:
        wait = 0.0
        while not self._stop:
            self._wake.wait(wait)
            self._wake.clear()
            wait = _LONGEST_SLEEP
            config = self._derived.config
            if config is None or self._stop:
                continue
            try:
                summary = deliver.deliver(self._derived.journal, config.alarms)
                self.sent += summary.sent
                if summary.next_due is not None:
                    wait = min(max((summary.next_due - datetime.now(UTC)).total_seconds(), 1.0), wait)
            except OwtrendError as error:
                _log.error("messages wait: %s", error)
            except Exception:  # the thread lives as long as the receiver; messages stay in the outbox
                _log.exception("messages wait")
