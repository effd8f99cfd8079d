"""Delivery: every message that is due is tried once; several processes may do so at once."""

import hashlib
import json
import logging
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from owtrend.config.alarms import AlarmConfig
from owtrend.config.receivers import Receiver
from owtrend.display import printable
from owtrend.errors import OwtrendError
from owtrend.model.wording import plural
from owtrend.quality.journal import Journal, outbox
from owtrend.quality.notify.backoff import LONGEST, delay
from owtrend.quality.notify.message import Answer, Drawing, Message, Outcome, Sender
from owtrend.quality.notify.outbox import nanoseconds
from owtrend.quality.notify.senders import open_sender
from owtrend.quality.notify.wording import Place, lasted, summary_message

__all__ = ["DeliverySummary", "Picture", "deliver", "status"]

Picture = Callable[[Drawing], bytes | None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_THREADS = 4
_GIVE_UP = 2  # failures in a row, after which the other messages to a receiver wait
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeliverySummary:
    """What became of the messages that were due.

    Parameters
    ----------
    sent, failed, refused
        Tries by their outcome; what failed and was refused is tried again.
    held_back
        Messages that became part of a summary.
    next_due
        When to call again; None: nothing waits.
    problems
        By receiver the last answer that was no success.
    """

    sent: int = 0
    failed: int = 0
    refused: int = 0
    held_back: int = 0
    next_due: datetime | None = None
    problems: dict[str, str] = field(default_factory=dict)


def deliver(
    journal: Journal, settings: AlarmConfig, *, now: datetime | None = None,
    senders: Callable[[Receiver], Sender] = open_sender, pictures: Picture | None = None,
) -> DeliverySummary:  # fmt: skip
    """Try each message that is due once.

    A message is claimed before it is sent, so that two processes do not send it twice; a claim that nobody ended
    expires. After two failures in a row, or when a server asks to wait, the other messages to that receiver wait, too.

    Parameters
    ----------
    now
        For tests; None: what the clock says at each try.
    senders
        Makes the sender of a receiver.
    pictures
        Draws the picture of a message; None: messages have none.

    Raises
    ------
    StoreError
        If the database cannot be read or written.
    """
    if not journal.exists or not settings.receivers:
        return DeliverySummary()
    with journal.connection(writes=False) as connection:
        if not outbox.has_any(connection):
            return DeliverySummary()
    work = _Work(journal, settings, now, senders, _Pictures(pictures))
    with ThreadPoolExecutor(min(_THREADS, len(settings.receivers)), "owtrend-deliver") as threads:
        counts = list(threads.map(work.deliver_to, settings.receivers))
    due = [one.next_due for one in counts if one.next_due is not None]
    problems = {name: text for one in counts for name, text in one.problems.items()}
    return DeliverySummary(
        sum(one.sent for one in counts), sum(one.failed for one in counts), sum(one.refused for one in counts),
        sum(one.held_back for one in counts), min(due, default=None), problems,
    )  # fmt: skip


def status(journal: Journal, settings: AlarmConfig) -> list[dict[str, Any]]:
    """By receiver, configured or with messages: how many wait, are refused, since when, and what it answered last.

    ``oldest`` and ``last_sent`` are UTC, None where there is none; ``configured`` is false for a receiver that is gone.
    """
    rows = []
    if journal.exists:
        with journal.connection(writes=False) as connection:
            rows = outbox.overview(connection) if outbox.has_any(connection) else []
    known = {row["receiver"]: row for row in rows}
    none = {"waiting": 0, "refused": 0, "oldest": None, "last_sent": None, "tries": 0, "answer": ""}
    names = [*settings.receivers, *(name for name in known if name not in settings.receivers)]
    found = []
    for name in names:
        row = {"receiver": name, **none, **known.get(name, {}), "configured": name in settings.receivers}
        times = {key: None if row[key] is None else _datetime(row[key]) for key in ("oldest", "last_sent")}
        found.append(row | times)
    return found


@dataclass(frozen=True)
class _Pictures:
    """Pictures of one call, each drawn once, one at a time. One that cannot be drawn stops no message."""

    draw: Picture | None
    drawn: dict[Drawing, bytes | None] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, drawing: Drawing | None) -> bytes | None:
        if self.draw is None or drawing is None:
            return None
        with self.lock:
            if drawing not in self.drawn:
                try:
                    self.drawn[drawing] = self.draw(drawing)
                except Exception as error:  # whatever a store holds: the words are more urgent than the picture
                    self.drawn[drawing] = None
                    name = printable(drawing.histogram, 100)
                    _log.warning("no picture of %s (%s: %s)", name, type(error).__name__, printable(error, 200))
            return self.drawn[drawing]


@dataclass(frozen=True)
class _Work:
    journal: Journal
    settings: AlarmConfig
    now: datetime | None
    senders: Callable[[Receiver], Sender]
    pictures: _Pictures
    lock: threading.Lock = field(default_factory=threading.Lock)  # one transaction of this process at a time

    def time(self) -> int:
        return nanoseconds(self.now or datetime.now(UTC))

    def deliver_to(self, name: str) -> DeliverySummary:
        """Send one message after the other to a receiver."""
        count = {Outcome.SENT: 0, Outcome.RETRY: 0, Outcome.REFUSED: 0}
        held, failures, problem = 0, 0, ""
        sender: Sender | None = None
        while True:
            with self.lock, self.journal.connection(writes=True) as connection:
                row, joined = self._next(connection, name)
            held += joined
            if row is None:
                break
            try:
                if sender is None:
                    sender = self.senders(self.settings.receivers[name])
                answer = self._tried(name, sender, row)
            except OwtrendError as error:  # no password, for instance
                answer = Answer(Outcome.RETRY, printable(error, 200))
                failures = _GIVE_UP
            count[answer.outcome] += 1
            failures = 0 if answer.outcome is Outcome.SENT else failures + 1
            now, wait = self.time(), delay(row.id, row.tries, answer)
            with self.lock, self.journal.connection(writes=True) as connection:
                outbox.record(
                    connection, row, answer.text, now, sent=answer.outcome is Outcome.SENT, next_try=now + wait,
                    refused=answer.outcome is Outcome.REFUSED,
                )  # fmt: skip
                if failures >= _GIVE_UP or answer.retry_after is not None:
                    outbox.postpone(connection, name, now, now + min(wait, LONGEST))
            if answer.outcome is not Outcome.SENT:
                problem = answer.text
                words = "cannot be reached" if answer.outcome is Outcome.RETRY else "refuses a message"
                _log.warning(
                    "receiver %s %s (%s); try %d of %s, the next in %s", name, words, answer.text, row.tries, row.id,
                    lasted(wait),
                )  # fmt: skip
        with self.lock, self.journal.connection(writes=False) as connection:
            due = self._next_due(connection, name)
        return DeliverySummary(
            count[Outcome.SENT], count[Outcome.RETRY], count[Outcome.REFUSED], held,
            None if due is None else _datetime(due), {name: problem} if problem else {},
        )  # fmt: skip

    def _next(self, connection: Any, name: str) -> tuple[outbox.Row | None, int]:
        """Claim the next message to a receiver, and say how many messages it stands for, if it is a summary."""
        now = self.time()
        rows = outbox.waiting(connection, name, now)
        rate = self.settings.rate
        free = rate.messages - len(outbox.in_window(connection, name, now, _length(rate.time)))
        if not rows or free <= 0:
            return None, 0
        row, held = rows[0], 0
        if free == 1 and len(rows) > 1:
            row, held = self._summary(connection, name, rows, now), len(rows)
        token = secrets.token_hex(8)
        if not outbox.claim(connection, row, token, now):
            return None, 0
        (row,) = outbox.with_messages(connection, [row])
        return replace(row, tries=row.tries + 1, token=token), held

    def _summary(self, connection: Any, name: str, rows: list[outbox.Row], now: int) -> outbox.Row:
        text = json.dumps([name, "summary", sorted(row.id for row in rows)])
        identity = hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
        place = Place(self.journal.location, self.settings.address, self.settings.timezone)
        rate = self.settings.rate
        words = f"{plural(rate.messages, 'message')} in {lasted(_length(rate.time))}"
        held = [Message.from_json(row.message) for row in outbox.with_messages(connection, rows)]
        message = summary_message(identity, held, words, place, _datetime(now))
        error = any(row.error for row in rows)
        return outbox.hold(connection, rows, outbox.Row(0, identity, name, error, now, message.to_json()))

    def _next_due(self, connection: Any, name: str) -> int | None:
        now, period = self.time(), _length(self.settings.rate.time)
        due = outbox.next_due(connection, name, now)
        sent = outbox.in_window(connection, name, now, period)
        if due is None or len(sent) < self.settings.rate.messages:
            return due
        return max(due, sent[-self.settings.rate.messages] + period)

    def _tried(self, name: str, sender: Sender, row: outbox.Row) -> Answer:
        message = Message.from_json(row.message)
        if sender.shows_pictures:
            message = replace(message, picture=self.pictures.of(message.drawing))
        try:
            return sender.send(message)
        except OwtrendError:
            raise
        except Exception as error:  # a fault of ours; its text may have a secret in it, so it is not kept
            _log.error("receiver %s: %s while a message was sent", name, type(error).__name__)
            return Answer(Outcome.RETRY, f"unexpected {type(error).__name__} while it was sent")


def _length(time: Any) -> int:
    return round(time.total_seconds() * 1e9)


def _datetime(ns: int) -> datetime:
    """A time to the microsecond, rounded up: what is due then is due."""
    return _EPOCH + timedelta(microseconds=-(-ns // 1000))
