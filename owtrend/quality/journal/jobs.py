"""Jobs of a schedule as the journal's database keeps them: a row each."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from owtrend.quality.journal.database import Database

if TYPE_CHECKING:
    from sqlalchemy import Table

__all__ = ["load_jobs", "save_jobs"]


def load_jobs(database: Database) -> dict[str, dict[str, Any]]:
    """Fields of all jobs, by name; of earlier configurations, too."""
    if not database.exists:
        return {}
    from sqlalchemy import inspect, select

    with database.connection(writes=False) as connection:
        if not inspect(connection).has_table("jobs"):
            return {}
        rows = connection.execute(select(_table()).order_by(_table().c.name)).all()
    return {row.name: json.loads(row.fields) for row in rows}


def save_jobs(database: Database, jobs: Mapping[str, Mapping[str, Any]], gone: Sequence[str] = ()) -> None:
    """Keep jobs in the state that they have now, and drop those that are ``gone``; others stay as they are."""
    from sqlalchemy import delete, insert

    with database.connection(writes=True) as connection:
        _table().metadata.create_all(connection)
        if names := [*jobs, *gone]:
            connection.execute(delete(_table()).where(_table().c.name.in_(names)))
        if jobs:
            rows = [{"name": name, "fields": json.dumps(fields)} for name, fields in jobs.items()]
            connection.execute(insert(_table()), rows)


@cache
def _table() -> "Table":
    from sqlalchemy import Column, MetaData, String, Table, Text

    name = Column("name", String(100), primary_key=True)
    return Table("jobs", MetaData(), name, Column("fields", Text, nullable=False))
