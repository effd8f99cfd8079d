"""The receiver: doors that put payloads into a spool, one writer, a heartbeat, and signals."""

import contextlib
import json
import logging
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from ingest import naming
from ingest.limits import Limits
from ingest.live import watch
from ingest.live.derived import Deliveries, Derived
from ingest.live.spool import Spool, SpoolLimits
from ingest.live.writer import Writer
from owtrend.config import load
from owtrend.display import printable
from owtrend.errors import OwtrendError, UsageError
from owtrend.store.receiver import folder_of, write_receiver_state
from owtrend.store.repository import Store

__all__ = ["JsonLines", "Receiver", "ReceiverSettings"]

_HEARTBEAT = 2.0  # [s]
_SETTLE = 0.25  # [s] at least between two looks at a watched folder
_LOOK = 0.5  # [s] that the writer waits for a payload
_ONGOING = 300.0  # [s] after its last snapshot a run is taken to be over
_RATES = 60.0  # [s] over which rates are
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ReceiverSettings:
    """Where a receiver listens, and where it puts what comes.

    Parameters
    ----------
    spool
        Folder of the spool and of the state; None: next to the store.
    watch
        Folders to watch.
    http
        Host and port to listen on; beyond this machine only with tokens.
    tokens
        File of tokens, see `ingest.live.web.tokens`.
    interval
        Seconds between two looks at a watched folder.
    config
        File of settings on this machine; read again on SIGHUP.
    patterns, timezone, accumulation
        Of names of files and what they hold, as `owtrend ingest` has them.
    """

    store: str
    spool: Path | None = None
    watch: tuple[Path, ...] = ()
    http: tuple[str, int] | None = None
    tokens: Path | None = None
    interval: float = 2.0
    config: Path | None = None
    patterns: tuple[str, ...] = ()
    timezone: str = naming.CERN
    accumulation: str = "cumulative"
    limits: Limits = field(default_factory=Limits)
    spool_limits: SpoolLimits = field(default_factory=SpoolLimits)

    @property
    def folder(self) -> Path:
        """Of the spool and the state."""
        folder = self.spool or folder_of(self.store)
        if folder is None:
            raise UsageError(f"{self.store}: not on a local disk; give a folder for the spool with --spool")
        return folder


class Receiver:
    """The live service of one store; `run` returns when it was asked to stop.

    Parameters
    ----------
    until
        Asked after each step of the writer whether to stop; for tests.
    """

    def __init__(self, settings: ReceiverSettings, until: Callable[["Receiver"], bool] | None = None) -> None:
        self.settings = settings
        self._until = until or (lambda _: False)
        self.stopping = threading.Event()
        self._hung_up = False
        self._started = time.time()
        self._stepped = time.monotonic()
        self._watches: list[watch.FolderWatch] = []
        self._rates: list[tuple[float, Counter[str]]] = []
        self.spool: Spool
        self.writer: Writer
        self.derived: Derived

    def run(self) -> None:
        """Receive until SIGTERM or SIGINT, or `stopping` is set.

        Raises
        ------
        OwtrendError
            If the store, the spool or the configuration cannot be used.
        """
        settings = self.settings
        config = load(settings.config) if settings.config else None
        store = Store.open_or_create(settings.store)
        with contextlib.ExitStack() as opened:
            self.spool = opened.enter_context(Spool(settings.folder, settings.spool_limits))
            begin = opened.enter_context(store.writer("raw"))
            self.derived = opened.enter_context(Derived(store, config))
            self.writer = Writer(store, begin, self.spool, self.derived, settings.limits)
            deliveries = opened.enter_context(Deliveries(self.derived))
            opened.enter_context(self._signals())
            for folder in settings.watch:
                opened.enter_context(self._watched(folder, store))
            if settings.http is not None:
                opened.enter_context(self._serving(*settings.http))
            opened.enter_context(_thread("owtrend-heartbeat", self._beat, self.stopping))
            _log.info("ready: %d payloads wait", len(self.spool))
            alarms = 0
            while not self.stopping.is_set() and not self._until(self):
                if self._hung_up:
                    self._read_config_again()
                self.writer.step(_LOOK)
                self._stepped = time.monotonic()
                if self.writer.pause:
                    self.stopping.wait(self.writer.pause)
                if (written := self.derived.writes) != alarms:
                    alarms = written
                    deliveries.wake()
            self.stopping.set()
            _log.info("stopping: %d payloads wait for the next start", len(self.spool))
            self.writer.finish()
        write_receiver_state(settings.folder, self.state() | {"state": "stopped"})

    def state(self) -> dict[str, Any]:
        """What `owtrend status` shows, for JSON."""
        writer, now = self.writer.state, time.time()
        subsystems = dict(writer.subsystems)  # copies: the writer goes on meanwhile
        committed, alarmed = writer.to_committed.copy(), writer.to_alarms.copy()
        trouble = [writer.trouble, *(one.trouble for one in self._watches)]
        age = {name: now - one.stored for name, one in subsystems.items()}
        return {
            "state": next((f"trouble: {printable(text, 300)}" for text in trouble if text), "receiving"),
            "pid": os.getpid(), "started": _iso(self._started), "heartbeat": _iso(now),
            "last_step_seconds": round(time.monotonic() - self._stepped, 1),
            "doors": [
                *(f"watch {folder}" for folder in self.settings.watch),
                *(["http {}:{}".format(*self.settings.http)] if self.settings.http else []),
            ],
            "queue": {
                "payloads": len(self.spool), "bytes": self.spool.size,
                "oldest_seconds": round(self.spool.oldest_seconds, 1),
            },
            "counts": dict(writer.counts), "quarantine": dict(writer.reasons),
            "per_minute": self._per_minute(writer.counts),
            "data_age_seconds": round(max(min(age.values()), 0.0), 1) if age else None,
            "subsystems": {
                printable(name, 100): {
                    "run": one.run, "time": _iso(one.time / 1e9), "ongoing": age[name] < _ONGOING,
                    "age_seconds": round(max(age[name], 0.0), 1),
                }
                for name, one in subsystems.items()
            },
            "seconds_to": {
                what: {f"p{one}": round(float(np.percentile(list(values), one)), 4) for one in (50, 99)}
                for what, values in (("commit", committed), ("alarms", alarmed)) if values
            },
            "alarms_on": self.derived.alarms_on, "failures_of_trends": self.derived.failures,
        }  # fmt: skip

    def _per_minute(self, counts: Mapping[str, int]) -> dict[str, float]:
        """Rates over the last minute."""
        now = time.monotonic()
        self._rates = [one for one in self._rates if now - one[0] <= _RATES] or [(now, Counter(counts))]
        first, before = self._rates[0]
        self._rates.append((now, Counter(counts)))
        minutes = max((now - first) / 60, 1 / 60)
        return {name: round((count - before[name]) / minutes, 2) for name, count in counts.items()}

    def _beat(self) -> None:
        while True:
            try:
                write_receiver_state(self.settings.folder, self.state())
            except Exception:  # the next one may be written; until then the age of the last says so
                _log.exception("no heartbeat")
            if self.stopping.wait(_HEARTBEAT):
                return

    @contextlib.contextmanager
    def _watched(self, folder: Path, store: Store) -> Iterator[None]:
        settings = self.settings
        watched = watch.FolderWatch(
            folder, self.spool, known=watch.known_keys(store.reader(), str(settings.limits)),
            patterns=settings.patterns, timezone=settings.timezone, accumulation=settings.accumulation,
        )  # fmt: skip
        self._watches.append(watched)
        hint = threading.Event()

        def sweep_again_and_again() -> None:
            while not self.stopping.is_set():
                hint.clear()
                try:
                    watched.sweep()
                except Exception:  # a folder that is gone for a while comes back
                    _log.exception("%s: could not be looked at, tried again", folder)
                if self.stopping.wait(_SETTLE):
                    return
                if watched.unsettled:
                    continue
                hint.wait(settings.interval)

        with watch.hinted(folder, hint.set), _thread("owtrend-watch", sweep_again_and_again, self.stopping, hint):
            yield

    @contextlib.contextmanager
    def _serving(self, host: str, port: int) -> Iterator[None]:
        from ingest.live.web import http
        from ingest.live.web.tokens import Tokens

        settings = self.settings
        tokens = Tokens.load(settings.tokens) if settings.tokens else Tokens()
        if not tokens.hashes and not http.is_loopback(host):
            raise UsageError(
                f"no token is configured, so {host} is not listened to: make one with --tokens FILE --add-token NAME, "
                "or give --http 127.0.0.1:PORT"
            )
        door = http.HttpDoor(self.spool, self.state, tokens, settings.limits, settings.timezone)
        with http.serving(http.application(door), host, port):
            yield

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT end the receiver, SIGHUP reads the configuration again."""

        def stop(number: int, _: FrameType | None) -> None:
            _log.info("%s", signal.Signals(number).name)
            self.stopping.set()

        def hung_up(_: int, __: FrameType | None) -> None:
            self._hung_up = True

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: hung_up}
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _read_config_again(self) -> None:
        self._hung_up = False
        if self.settings.config is None:
            return
        try:
            self.derived.configure(load(self.settings.config))
            _log.info("%s: read again", self.settings.config)
        except OwtrendError as error:
            _log.error("the configuration stays as it was: %s", error)


class JsonLines(logging.Formatter):
    """A line of JSON for each message."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": _iso(record.created), "level": record.levelname.lower(), "logger": record.name,
            "message": printable(record.getMessage(), 2000),
        }  # fmt: skip
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)[-4000:]
        return json.dumps(fields)


@contextlib.contextmanager
def _thread(
    name: str, work: Callable[[], None], stopping: threading.Event, *wakes: threading.Event
) -> Iterator[None]:  # fmt: skip
    """A thread that ends once ``stopping`` is set."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        for wake in wakes:
            wake.set()
        thread.join(10)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
