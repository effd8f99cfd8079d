"""Outbox as the journal keeps it: each message to each receiver with its tries; nothing is ever deleted."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Table

__all__ = [
    "CLAIM",
    "SECOND",
    "SKEW",
    "Row",
    "Said",
    "add",
    "claim",
    "create",
    "has_any",
    "hold",
    "in_window",
    "next_due",
    "overview",
    "postpone",
    "record",
    "said",
    "waiting",
    "with_messages",
]

SECOND = 10**9
CLAIM = 300 * SECOND  # a try that takes longer is taken for dead
SKEW = 60 * SECOND  # by which clocks of machines may differ; what is later than that was written by a wrong clock


class Said(NamedTuple):
    """One piece of news of one alarm to one receiver: it is said once."""

    receiver: str
    alarm: str
    news: str
    round: int


@dataclass(frozen=True)
class Row:
    """One message in the outbox; times in ns UTC.

    Parameters
    ----------
    number
        In order of queueing.
    message
        JSON; empty where it was not read.
    token
        Of the claim: whoever has it records the answer.
    """

    number: int
    id: str
    receiver: str
    error: bool
    created: int
    message: str
    tries: int = 0
    token: str = ""


def said(connection: "Connection", alarms: Collection[str]) -> set[Said]:
    """All that was queued on these alarms."""
    from sqlalchemy import select

    table = _tables()["said"]
    found: set[Said] = set()
    for some in _chunks(sorted(alarms)):
        rows = connection.execute(select(table).where(table.c.alarm.in_(some)))
        found |= {Said(row.receiver, row.alarm, row.news, row.round) for row in rows}
    return found


def add(connection: "Connection", row: Row, news: Sequence[Said]) -> None:
    """Queue a message, due at once, with the news that it has."""
    from sqlalchemy import insert

    tables = _tables()
    values = {
        "id": row.id, "receiver": row.receiver, "error": int(row.error), "created": row.created, "message": row.message,
        "tries": 0, "next_try": row.created, "looked": row.created, "refused": 0, "answer": "", "token": "",
    }  # fmt: skip
    connection.execute(insert(tables["outbox"]).values(values))
    if news:
        connection.execute(insert(tables["said"]), [{**one._asdict(), "message": row.id} for one in news])


def waiting(connection: "Connection", receiver: str, now: int) -> list[Row]:
    """Messages to a receiver that are due and that nobody is sending, errors first, then in order of queueing.

    A message waits for earlier ones on the same alarm, unless those are refused. The rows are without their messages,
    see `with_messages`.
    """
    from sqlalchemy import select

    tables = _tables()
    box, news = tables["outbox"], tables["said"]
    columns = [box.c[name] for name in ("number", "id", "receiver", "error", "created", "tries", "token")]
    chosen = select(*columns).where(box.c.receiver == receiver, _open(box), _due(box, now), _free(box, now))
    rows = connection.execute(chosen.order_by(box.c.error.desc(), box.c.number)).all()
    if not rows:
        return []
    unsent = select(news.c.alarm, box.c.number, box.c.refused).where(
        news.c.message == box.c.id, box.c.receiver == receiver, box.c.sent.is_(None)
    )
    alarms: dict[int, list[str]] = {}  # by number of the message
    first: dict[str, int] = {}  # by alarm the number of the first message that is neither sent nor refused
    for alarm, number, refused in connection.execute(unsent):
        alarms.setdefault(number, []).append(alarm)
        if not refused:
            first[alarm] = min(number, first.get(alarm, number))
    return [
        _row(row) for row in rows
        if all(first.get(alarm, row.number) >= row.number for alarm in alarms.get(row.number, ()))
    ]  # fmt: skip


def with_messages(connection: "Connection", rows: Sequence[Row]) -> list[Row]:
    """The rows with their messages."""
    from sqlalchemy import select

    box = _tables()["outbox"]
    found: dict[int, str] = {}
    for some in _chunks([row.number for row in rows]):
        chosen = select(box.c.number, box.c.message).where(box.c.number.in_(some))
        found |= {row.number: row.message for row in connection.execute(chosen)}
    return [replace(row, message=found[row.number]) for row in rows]


def in_window(connection: "Connection", receiver: str, now: int, period: int) -> list[int]:
    """When what counts for the rate of a receiver was sent, in order; what is being sent counts as sent now."""
    from sqlalchemy import select

    box = _tables()["outbox"]
    sent = select(box.c.sent).where(
        box.c.receiver == receiver, box.c.sent > now - period, box.c.sent <= now + SKEW, box.c.held_in.is_(None)
    )
    claimed = select(box.c.number).where(box.c.receiver == receiver, _open(box), ~_free(box, now))
    flying = len(connection.execute(claimed).all())
    return sorted(row.sent for row in connection.execute(sent)) + [now] * flying


def claim(connection: "Connection", row: Row, token: str, now: int) -> bool:
    """Take a message in order to send it; False: another process was faster."""
    from sqlalchemy import update

    box = _tables()["outbox"]
    taken = update(box).where(box.c.number == row.number, _open(box), _free(box, now))
    done = connection.execute(taken.values(claimed=now, claimed_until=now + CLAIM, token=token, tries=box.c.tries + 1))
    return done.rowcount == 1


def hold(connection: "Connection", rows: Sequence[Row], summary: Row) -> Row:
    """Queue a summary in place of several messages, which are sent when it is sent."""
    from sqlalchemy import select, update

    add(connection, summary, ())
    box = _tables()["outbox"]
    for some in _chunks([row.number for row in rows]):
        connection.execute(update(box).where(box.c.number.in_(some)).values(held_in=summary.id))
    return _row(connection.execute(select(box).where(box.c.id == summary.id)).one())


def record(
    connection: "Connection", row: Row, answer: str, now: int, *, sent: bool, next_try: int | None, refused: bool
) -> None:  # fmt: skip
    """Keep what became of a try. That it was sent counts, whoever has the claim by now."""
    from sqlalchemy import update

    box = _tables()["outbox"]
    values: dict[str, Any] = {"answer": answer, "looked": now, "claimed": None, "claimed_until": None, "token": ""}
    chosen = update(box).where(box.c.number == row.number)
    held: dict[str, Any] = {"refused": int(refused)}
    if sent:
        values |= {"sent": now, "next_try": None, "refused": 0}
        held |= {"sent": now, "next_try": None, "answer": f"in summary {row.id}"}
    else:
        chosen = chosen.where(box.c.token == row.token, box.c.sent.is_(None))
        values |= {"next_try": next_try, "refused": int(refused)}
    if connection.execute(chosen.values(values)).rowcount:
        connection.execute(update(box).where(box.c.held_in == row.id, box.c.sent.is_(None)).values(held))


def postpone(connection: "Connection", receiver: str, now: int, until: int) -> None:
    """Let all that is due for a receiver wait, without a try."""
    from sqlalchemy import update

    box = _tables()["outbox"]
    due = update(box).where(box.c.receiver == receiver, _open(box), _due(box, now), _free(box, now))
    connection.execute(due.values(next_try=until, looked=now))


def next_due(connection: "Connection", receiver: str, now: int) -> int | None:
    """When the next message to a receiver is due, or its claim ends; None: none waits."""
    from sqlalchemy import select

    box = _tables()["outbox"]
    rows = connection.execute(
        select(box.c.next_try, box.c.claimed_until, box.c.looked, box.c.claimed).where(
            box.c.receiver == receiver, _open(box)
        )
    )
    times = []
    for row in rows:
        when = now if row.looked > now + SKEW else row.next_try
        if row.claimed_until is not None and row.claimed <= now + SKEW:
            when = max(when, row.claimed_until)
        times.append(when)
    return min(times, default=None)


def overview(connection: "Connection") -> list[dict[str, Any]]:
    """By receiver: waiting, refused, created of the oldest that waits, last sent, tries and answer of the worst."""
    from sqlalchemy import func, select

    box = _tables()["outbox"]
    last = select(box.c.receiver, func.max(box.c.sent).label("sent")).group_by(box.c.receiver)
    nothing = {"waiting": 0, "refused": 0, "oldest": None, "tries": 0, "answer": ""}
    found: dict[str, dict[str, Any]] = {
        row.receiver: {"receiver": row.receiver, **nothing, "last_sent": row.sent}
        for row in connection.execute(last.order_by(box.c.receiver))
    }
    open_rows = connection.execute(select(box).where(_open(box)).order_by(box.c.number))
    for row in open_rows:
        one = found[row.receiver]
        one["waiting"] += 1
        one["refused"] += row.refused
        one["oldest"] = row.created if one["oldest"] is None else min(one["oldest"], row.created)
        if row.tries >= one["tries"] and row.answer:
            one["tries"], one["answer"] = row.tries, row.answer
    return list(found.values())


def _row(row: Any) -> Row:
    return Row(row.number, row.id, row.receiver, bool(row.error), row.created, "", row.tries, row.token)


def _open(box: "Table") -> "ColumnElement[bool]":
    """Neither sent nor part of a summary."""
    from sqlalchemy import and_

    return and_(box.c.sent.is_(None), box.c.held_in.is_(None))


def _due(box: "Table", now: int) -> "ColumnElement[bool]":
    """Due, or put off by a clock that was wrong."""
    from sqlalchemy import or_

    return or_(box.c.next_try <= now, box.c.looked > now + SKEW)


def _free(box: "Table", now: int) -> "ColumnElement[bool]":
    """Not claimed, or by a process that is dead, or by a clock that was wrong."""
    from sqlalchemy import or_

    return or_(box.c.claimed_until.is_(None), box.c.claimed_until <= now, box.c.claimed > now + SKEW)


def _chunks(values: Sequence[Any], size: int = 500) -> Iterable[Sequence[Any]]:
    return (values[first : first + size] for first in range(0, len(values), size))


def create(connection: "Connection") -> None:
    """Make the tables where they are missing."""
    _tables()["outbox"].metadata.create_all(connection)


def has_any(connection: "Connection") -> bool:
    """Whether anything was ever queued."""
    from sqlalchemy import inspect

    return inspect(connection).has_table("outbox")


@cache
def _tables() -> dict[str, "Table"]:
    from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

    metadata = MetaData()
    name, identity = String(64), String(32)
    box = Table(
        "outbox", metadata,
        Column("number", Integer, primary_key=True),
        Column("id", identity, unique=True, nullable=False),
        Column("receiver", name, nullable=False),
        Column("error", Integer, nullable=False),
        Column("created", BigInteger, nullable=False),
        Column("message", Text, nullable=False),
        Column("tries", Integer, nullable=False),
        Column("looked", BigInteger, nullable=False),  # when next_try was decided
        Column("next_try", BigInteger),
        Column("claimed", BigInteger),
        Column("claimed_until", BigInteger),
        Column("token", String(32), nullable=False),
        Column("sent", BigInteger),
        Column("held_in", identity),  # the summary that it is part of
        Column("refused", Integer, nullable=False),
        Column("answer", Text, nullable=False),
    )  # fmt: skip
    Index("outbox_open", box.c.receiver, box.c.sent)
    Index("outbox_held", box.c.held_in)
    said = Table(
        "outbox_said", metadata,
        Column("receiver", name, primary_key=True),
        Column("alarm", String(64), primary_key=True),
        Column("news", String(32), primary_key=True),
        Column("round", Integer, primary_key=True),
        Column("message", identity, nullable=False, index=True),
    )  # fmt: skip
    Index("outbox_said_alarm", said.c.alarm)
    return {"outbox": box, "said": said}
