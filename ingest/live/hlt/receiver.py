"""The receiver of the HLT's snapshots: asks a merger, or listens to a sender, and hands on what comes.

It stores nothing. What was handed on counts as seen only once the callback has returned.
"""

import logging
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
import zmq

from ingest.decode.compression import Buffer
from ingest.limits import Limits
from ingest.live.hlt.endpoint import open_socket, parse
from ingest.live.hlt.objects import MessageReader
from ingest.live.hlt.payload import KIND, LIMITS, Decoded, decode_frames, joined
from ingest.live.hlt.wire import Request, announces_layouts, request
from owtrend.display import printable, quoted
from owtrend.errors import SnapshotError, UsageError
from owtrend.model.snapshot import Snapshot
from owtrend.model.wording import plural

__all__ = ["HltReceiver", "HltSettings", "Outcome", "Received", "wait_after"]

_SLICE = 100  # [ms] between two looks at whether to stop
_LATEST = 2**63 // 10**6  # [ms]
_log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What came of one attempt to receive; only a snapshot is to be stored."""

    SNAPSHOT = "snapshot"
    STILL_ALIVE = "still alive"  # the content received before: its run is over, or nothing was filled
    RUN_ZERO = "run 0"
    NO_INFO = "no state of the run"
    NO_OBJECT = "no histogram"
    BAD = "bad message"
    NO_ANSWER = "no answer"


_FAILURES = {Outcome.NO_ANSWER}
_KEPT = {Outcome.SNAPSHOT, Outcome.BAD}


@dataclass(frozen=True, slots=True, kw_only=True)
class HltSettings:
    """How to receive.

    Parameters
    ----------
    select
        Regular expression of the objects to ask for; empty for all.
    reset
        Ask the merger to start anew after each reply: each has only what is new. It takes the data from all others
        that ask the same merger.
    interval
        Seconds between two requests.
    timeout
        Seconds for a whole message to arrive. Then the socket is closed, which also ends a message that never does.
    longest
        Bytes of one message.
    reset_after
        Ask the merger to start anew after this many replies of the same content; 0: never.
    keep_equal
        Hand on a snapshot although its content was received before.
    sender_time
        Take the time of a snapshot from the sender's ``time`` [ms], as replays and the simulator state it.
    first_wait, longest_wait
        Seconds to wait after the first attempt that failed, and at most.
    """

    select: str = ""
    reset: bool = False
    interval: float = 60.0
    timeout: float = 100.0
    longest: int = 256_000_000
    reset_after: int = 0
    keep_equal: bool = False
    sender_time: bool = False
    first_wait: float = 1.0
    longest_wait: float = 60.0
    limits: Limits = LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """The result of one attempt to receive.

    Parameters
    ----------
    payload
        What came, if it is a snapshot or bad: for `decode_payload`, with ``meta``.
    reason
        Why it is no snapshot, else empty.
    """

    outcome: Outcome
    reason: str = ""
    payload: bytes = b""
    meta: Mapping[str, Any] = field(default_factory=dict)
    snapshot: Snapshot | None = None
    kind: str = KIND


def wait_after(failures: int, settings: HltSettings, rng: random.Random) -> float:
    """Seconds to wait after so many failures in a row: doubled each time, and spread, so that clients do not meet."""
    longest = min(settings.longest_wait, settings.first_wait * 2.0 ** min(failures - 1, 60))
    return longest * rng.uniform(0.5, 1.0)


class HltReceiver:
    """A client of one merger for one subsystem.

    Parameters
    ----------
    endpoint
        ``REQ``, ``SUB`` or ``PULL``, then ``>`` to connect or ``@`` to bind, then addresses, separated by commas.
    clock
        Time now [ns UTC].

    Examples
    --------
    >>> receiver = HltReceiver("REQ>tcp://localhost:60201", "EMC", HltSettings(select="EMC"))
    >>> receiver.receive().outcome  # doctest: +SKIP
    <Outcome.SNAPSHOT: 'snapshot'>
    """

    def __init__(
        self, endpoint: str, subsystem: str, settings: HltSettings | None = None, *,
        context: zmq.Context[Any] | None = None, clock: Callable[[], int] = time.time_ns,
        rng: random.Random | None = None,
    ) -> None:  # fmt: skip
        self.endpoint = parse(endpoint, ("REQ", "SUB", "PULL"))
        self.subsystem = subsystem
        self.settings = settings or HltSettings()
        if re.search(r"\s", self.settings.select):
            raise UsageError(f"select={quoted(self.settings.select)}: the merger ends it at a space; write . instead")
        self.counts: Counter[Outcome] = Counter()
        self.connections = 0
        self._context = context or zmq.Context.instance()
        self._clock = clock
        self._rng = rng or random.Random()
        self._socket: zmq.Socket[Any] | None = None
        self._reader = MessageReader()
        self._announced: tuple[bytes, bytes] | None = None  # class layouts with their header
        self._wants_layouts = True
        self._last: tuple[int, bytes] | None = None  # run and content handed on last
        self._equal = 0  # replies of that content since
        self._asked_reset = False  # by the last request
        self._failures = 0
        self._was = Outcome.SNAPSHOT

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; a message that has arrived in part is dropped."""
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None

    def run(self, on_received: Callable[[Received], None], stop: threading.Event) -> None:
        """Receive until ``stop`` is set; ``on_received`` gets each result.

        What it raises ends the receiver: then the snapshot does not count as seen.
        """
        with self:
            while not stop.is_set():
                begin = time.monotonic()
                received = self.receive(stop)
                if stop.is_set() and received.outcome is Outcome.NO_ANSWER:
                    return
                on_received(received)
                self.accept(received)
                if received.outcome in _FAILURES:
                    stop.wait(wait_after(self._failures, self.settings, self._rng))
                elif self.endpoint.type == "REQ":
                    stop.wait(max(0.0, begin + self.settings.interval - time.monotonic()))

    def receive(self, stop: threading.Event | None = None) -> Received:
        """Ask once, or wait for one message; never raises for what comes or does not come."""
        try:
            frames = self._exchange(stop)
        except zmq.ZMQError as error:
            self.close()
            return Received(outcome=Outcome.NO_ANSWER, reason=f"{self.endpoint}: {error}")
        if frames is None:
            self.close()
            seconds = f"{self.settings.timeout:g} s"
            return Received(outcome=Outcome.NO_ANSWER, reason=f"{self.endpoint}: no whole message within {seconds}")
        return self._judged(frames)

    def accept(self, received: Received) -> None:
        """Count a result; its snapshot was stored, so the same content is not handed on again."""
        outcome = received.outcome
        self.counts[outcome] += 1
        self._failures = self._failures + 1 if outcome in _FAILURES else 0
        if outcome is Outcome.SNAPSHOT and received.snapshot is not None:
            self._last = int(received.snapshot.run or 0), received.snapshot.digest
            self._equal = 0
        elif outcome is Outcome.STILL_ALIVE:
            self._equal += 1
        if outcome is not self._was:  # once, not every minute
            level = logging.INFO if outcome in (Outcome.SNAPSHOT, Outcome.STILL_ALIVE) else logging.WARNING
            _log.log(level, "%s: %s%s", self.subsystem, outcome, f" ({received.reason})" if received.reason else "")
            self._was = outcome

    def _exchange(self, stop: threading.Event | None) -> list[Buffer] | None:
        """The frames of one message; None if it is not here in time, or ``stop`` is set."""
        if self._socket is None:
            self._socket = open_socket(self._context, self.endpoint, self.settings.longest)
            self.connections += 1
        socket, deadline = self._socket, time.monotonic() + self.settings.timeout
        self._asked_reset = False
        if self.endpoint.type == "REQ":
            self._asked_reset = self.settings.reset or 0 < self.settings.reset_after <= self._equal
            if self._asked_reset:
                self._equal = 0
            wanted = Request(select=self.settings.select, reset=self._asked_reset, schema=self._wants_layouts)
            socket.send_multipart(request(wanted), zmq.NOBLOCK)
        while not (stop is not None and stop.is_set()):
            left = deadline - time.monotonic()
            if socket.poll(min(_SLICE, max(1, int(1000 * left)))):
                return [frame.buffer for frame in socket.recv_multipart(zmq.NOBLOCK, copy=False)]
            if left <= 0:
                break
        return None

    def _judged(self, frames: Sequence[Buffer]) -> Received:
        size = sum(map(len, frames))
        meta: dict[str, Any] = {
            "source": f"{self.endpoint} {self.subsystem}", "subsystem": self.subsystem, "time": self._clock(),
            "accumulation": "reset" if self.settings.reset else "cumulative",
        }  # fmt: skip
        if size > self.settings.longest:
            reason = f"a message of {size:,} bytes, more than {self.settings.longest:,}"
            return Received(outcome=Outcome.BAD, reason=reason, meta=meta)
        try:
            frames, decoded = self._decoded(frames, meta)
        except SnapshotError as error:
            self._wants_layouts = True
            return Received(outcome=Outcome.BAD, reason=str(error), meta=meta, payload=joined(frames))
        snapshot, info = decoded.snapshot, decoded.reply.info
        stated = "" if info is None else info.fields.get("time", "").strip()
        if self.settings.sender_time and stated.isascii() and stated.isdigit() and int(stated) < _LATEST:
            meta["time"] = int(stated) * 10**6
            snapshot = replace(snapshot, time=np.datetime64(meta["time"], "ns"))
        meta |= {"run": snapshot.run or 0, "mode": snapshot.mode or ""}
        outcome, reason = self._outcome(snapshot, info is None or not info.text)
        if outcome is Outcome.SNAPSHOT or snapshot.problems:
            self._wants_layouts = decoded.lacks_layouts or bool(snapshot.problems)
        payload = joined(frames) if outcome in _KEPT else b""
        return Received(outcome=outcome, reason=reason, payload=payload, meta=meta, snapshot=snapshot)

    def _decoded(self, frames: Sequence[Buffer], meta: Mapping[str, Any]) -> tuple[Sequence[Buffer], Decoded]:
        """A message decoded by the layouts it has, else by those announced before, else by the known ones."""
        limits = self.settings.limits
        if announces_layouts(frames) or self._announced is None:
            decoded = decode_frames(frames, meta, self._reader, limits)
            pair = decoded.reply.layouts_pair
            if pair is not None and len(decoded.snapshot) and not decoded.snapshot.problems:
                self._announced = bytes(pair[0]), bytes(pair[1])
            return frames, decoded
        with_announced = [*self._announced, *frames]
        decoded = decode_frames(with_announced, meta, self._reader, limits)
        if decoded.snapshot.problems:
            without = decode_frames(frames, meta, self._reader, limits)
            if len(without.snapshot.problems) < len(decoded.snapshot.problems):
                self._announced = None
                return frames, without
        return with_announced, decoded

    def _outcome(self, snapshot: Snapshot, without_info: bool) -> tuple[Outcome, str]:
        if without_info:
            return Outcome.NO_INFO, "the message has no state of the run, or an empty one"
        if not snapshot.run:
            return Outcome.RUN_ZERO, "the sender states run 0"
        if not len(snapshot):
            if snapshot.problems:
                name, why = next(iter(snapshot.problems.items()))
                count = plural(len(snapshot.problems), "object")
                return Outcome.BAD, f"{count} of {len(snapshot.problems)} not readable: {printable(name)}: {why}"
            return Outcome.NO_OBJECT, f"run {snapshot.run}: the message has no histogram"
        if not self.settings.keep_equal and self._last is not None and self._last[0] == snapshot.run:
            emptied = snapshot.entries == 0 and (self.settings.reset or self._equal > 0 or self._asked_reset)
            same = not self.settings.reset and self._last[1] == snapshot.digest
            if emptied or same:
                return Outcome.STILL_ALIVE, f"run {snapshot.run}: the content received before"
        return Outcome.SNAPSHOT, ""
