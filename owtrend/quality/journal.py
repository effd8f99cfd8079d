"""Journal of a store: what people did about it, when and why; nothing in it is ever changed or deleted."""

import getpass
import json
import os
import stat
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from owtrend.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine, Table

__all__ = ["FILE", "Action", "Entry", "Journal", "login_name"]

FILE = "journal.sqlite"  # in the folder of a local store
_WAIT = 30.0  # seconds, for another process that writes
_MOST = 10_000  # characters of a note
_in_memory: dict[str, "Engine"] = {}  # by location of the store


class Action(StrEnum):
    """What people do, as stored."""

    ACCEPT = "accept"  # an incident is the new normal
    UNDO_ACCEPT = "undo accept"


@dataclass(frozen=True)
class Entry:
    """One line of the journal.

    Parameters
    ----------
    time
        UTC.
    subject
        What it is about, such as the id of an incident.
    details
        What the action needs later on, as JSON holds it.
    """

    number: int
    time: datetime
    who: str
    action: Action
    subject: str
    note: str
    details: Mapping[str, Any]


class Journal:
    """The journal of one store: SQLite in its folder, or a database at a URL.

    Parameters
    ----------
    location
        Of the store.
    url
        Database URL as SQLAlchemy takes it; only from a configuration on this machine, never from a store.
    """

    def __init__(self, location: str | Path, url: str | None = None) -> None:
        self.location, self._url = str(location), url
        self._local = None if url or "://" in self.location else Path(location) / FILE

    @property
    def exists(self) -> bool:
        """Whether there is one to read; a remote store without a URL has none."""
        if self._local is not None:
            return self._local.exists()
        return self._url is not None or self.location in _in_memory

    def entries(self) -> list[Entry]:
        """All entries, oldest first.

        Raises
        ------
        StoreError
            If the database cannot be read.
        """
        if not self.exists:
            return []
        from sqlalchemy import inspect, select

        with self._connection(writes=False) as connection:
            if not inspect(connection).has_table("journal"):
                return []
            rows = connection.execute(select(_table()).order_by(_table().c.number)).mappings().all()
        return [_entry(dict(row)) for row in rows]

    def add(self, action: Action, subject: str, *, note: str, who: str, details: Mapping[str, Any]) -> Entry:
        """Append an entry; it is on disk when this returns.

        Raises
        ------
        UsageError
            If the note is too long, or the store needs a database URL.
        StoreError
            If the database cannot be written.
        """
        if len(note) > _MOST:
            raise UsageError(f"a note of {len(note):,} characters; at most {_MOST:,} are kept")
        now = datetime.now(UTC)
        values = {
            "time": now.isoformat(timespec="microseconds"), "who": who, "action": action.value, "subject": subject,
            "note": note, "details": json.dumps(details),
        }  # fmt: skip
        from sqlalchemy import insert

        with self._connection(writes=True) as connection:
            _table().metadata.create_all(connection)
            number = connection.execute(insert(_table()).values(values)).inserted_primary_key[0]  # type: ignore[index]
        return Entry(int(number), now, who, action, subject, note, details)

    @contextmanager
    def _connection(self, *, writes: bool) -> "Iterator[Connection]":
        from sqlalchemy.exc import SQLAlchemyError

        try:
            engine = self._engine(writes=writes)
            with engine.begin() as connection:
                if writes and engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")  # the lock first: two writers wait for each other
                yield connection
        except SQLAlchemyError as error:
            what = "written" if writes else "read"
            reason = str(error.__cause__ or error).splitlines()[0]
            raise StoreError(f"{self._local or self.location}: the journal cannot be {what} ({reason})") from error

    def _engine(self, *, writes: bool) -> "Engine":
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool, StaticPool

        if self._url is not None:
            return create_engine(self._url, poolclass=NullPool)
        if self._local is not None:
            # Not in WAL mode: its readers must be able to write next to the file.
            mode = "rwc" if writes else "ro"
            if self._local.exists() and not stat.S_ISREG(os.lstat(self._local).st_mode):
                raise StoreError(f"{self._local}: not a file of its own; the journal of a store is never elsewhere")
            return create_engine(
                f"sqlite:///file:{_quoted(self._local)}?mode={mode}&uri=true", poolclass=NullPool,
                connect_args={"timeout": _WAIT, "isolation_level": None},
            )  # fmt: skip
        if self.location.startswith("memory://"):
            if self.location not in _in_memory:
                arguments = {"check_same_thread": False, "isolation_level": None}
                _in_memory[self.location] = create_engine("sqlite://", poolclass=StaticPool, connect_args=arguments)
            return _in_memory[self.location]
        raise UsageError(f"{self.location}: its journal needs a database; name its URL as `journal` in a configuration")


def login_name() -> str:
    """The name that the user logged in with; ``unknown`` where there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.absolute()))


@cache
def _table() -> "Table":
    """The one table; SQLAlchemy is imported when a journal is read or written."""
    from sqlalchemy import Column, Integer, MetaData, Table, Text

    text = [Column(name, Text, nullable=False) for name in ("time", "who", "action", "subject", "note", "details")]
    return Table("journal", MetaData(), Column("number", Integer, primary_key=True), *text)


def _entry(row: Mapping[str, Any]) -> Entry:
    try:
        time, action = datetime.fromisoformat(row["time"]), Action(row["action"])
        return Entry(row["number"], time, row["who"], action, row["subject"], row["note"], json.loads(row["details"]))
    except (TypeError, ValueError) as error:
        raise StoreError(f"an entry of the journal cannot be read ({error}); update owtrend") from error
