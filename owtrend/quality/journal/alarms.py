"""Alarms as the journal keeps them: the present state of each, and how far the data were looked at."""

import json
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from owtrend.quality.journal.database import understood

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

__all__ = ["load", "progress", "save", "save_progress"]


def load(connection: "Connection", *, over_since: int | None = None) -> dict[str, dict[str, Any]]:
    """Fields of alarms by id: all that are on, and those that ended since a time [ns UTC]; None: all."""
    from sqlalchemy import inspect, or_, select

    if not inspect(connection).has_table("alarms"):
        return {}
    table = _tables()["alarms"]
    chosen = select(table.c.id, table.c.fields).order_by(table.c.start, table.c.id)
    if over_since is not None:
        chosen = chosen.where(or_(table.c.stop.is_(None), table.c.stop >= over_since))
    rows = connection.execute(chosen).all()
    with understood("an alarm"):
        return {row.id: dict(json.loads(row.fields)) for row in rows}


def save(connection: "Connection", alarms: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep alarms, new ones and others in their new state; each has ``start`` and ``stop`` [ns UTC, None: it is on]."""
    from sqlalchemy import delete, insert

    table = _tables()["alarms"]
    table.metadata.create_all(connection)
    if alarms:
        connection.execute(delete(table).where(table.c.id.in_([*alarms])))
        rows = [
            {"id": identity, "start": fields["start"], "stop": fields["stop"], "fields": json.dumps(fields)}
            for identity, fields in alarms.items()
        ]
        connection.execute(insert(table), rows)


def progress(connection: "Connection") -> dict[str, Any]:
    """What `save_progress` kept; empty before the first time."""
    from sqlalchemy import inspect, select

    if not inspect(connection).has_table("alarm_progress"):
        return {}
    kept = connection.execute(select(_tables()["progress"].c.fields)).scalar()
    with understood("how far the data were looked at"):
        return {} if kept is None else dict(json.loads(kept).items())


def save_progress(connection: "Connection", fields: Mapping[str, Any]) -> None:
    """Keep how far the data were looked at."""
    from sqlalchemy import delete, insert

    table = _tables()["progress"]
    table.metadata.create_all(connection)
    connection.execute(delete(table))
    connection.execute(insert(table).values(number=0, fields=json.dumps(fields)))


@cache
def _tables() -> dict[str, "Table"]:
    from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text

    metadata = MetaData()
    alarms = Table(
        "alarms", metadata, Column("id", String(24), primary_key=True), Column("start", BigInteger, nullable=False),
        Column("stop", BigInteger, index=True), Column("fields", Text, nullable=False),
    )  # fmt: skip
    kept = Table(
        "alarm_progress", metadata, Column("number", Integer, primary_key=True), Column("fields", Text, nullable=False)
    )
    return {"alarms": alarms, "progress": kept}
