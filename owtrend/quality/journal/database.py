"""The database of a store: SQLite in its folder, or any that SQLAlchemy reaches by a URL."""

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from owtrend.errors import OwtrendError, StoreError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

__all__ = ["FILE", "Database", "understood"]

FILE = "journal.sqlite"  # in the folder of a local store
_WAIT = 30.0  # seconds, for another process that writes
_HINTS = {
    "locked": "; another process is writing to it: try again when that has ended",
    "not a database": "; put a copy of the file in its place, or move it away: then a new journal begins",
    "malformed": "; put a copy of the file in its place, or move it away: then a new journal begins",
}
_in_memory: dict[str, "Engine"] = {}  # by location of the store


class Database:
    """The database of one store.

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

    @property
    def writable(self) -> bool:
        """Whether there is a place to write one: a remote store without a URL has none."""
        return self._local is not None or self._url is not None or self.location.startswith("memory://")

    def may_hold(self, table: str, column: str = "", values: Collection[str] = ()) -> bool:
        """False if a local database has no such rows: then nobody need import SQLAlchemy, which takes 0.3 s.

        Parameters
        ----------
        column, values
            Only rows with one of these values; none: any row.
        """
        if self._local is None:
            return self.exists
        if not self._local.exists():
            return False
        import sqlite3
        from contextlib import closing

        chosen = f" where {column} in ({', '.join('?' * len(values))})" if values else ""
        uri = f"file:{_quoted(self._local)}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=_WAIT)) as connection:
                known = connection.execute("select 1 from sqlite_master where name = ?", [table]).fetchone()
                found = known and connection.execute(f"select 1 from {table}{chosen} limit 1", [*values]).fetchone()
                return found is not None
        except sqlite3.Error:  # who reads on says what is wrong
            return True

    @contextmanager
    def connection(self, *, writes: bool) -> "Iterator[Connection]":
        """A transaction: all that is written in it is on disk when it ends, or nothing of it.

        Raises
        ------
        StoreError
            If the database cannot be read, or written.
        UsageError
            If the store needs a database URL.
        """
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
            hint = next((hint for words, hint in _HINTS.items() if words in reason), "")
            raise StoreError(
                f"{self._local or self.location}: the journal cannot be {what} ({reason}){hint}"
            ) from error

    def _engine(self, *, writes: bool) -> "Engine":
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool, StaticPool

        if self._url is not None:
            try:
                return create_engine(self._url, poolclass=NullPool)
            except ModuleNotFoundError as error:
                raise StoreError(
                    f"{self.location}: the journal needs the Python package {error.name} for its database; install it"
                ) from error
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


@contextmanager
def understood(what: str) -> Iterator[None]:
    """What is read from the journal here is turned into values.

    Raises
    ------
    StoreError
        If it is damaged, or was written by a newer owtrend; ``what`` says which part.
    """
    try:
        yield
    except OwtrendError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise StoreError(
            f"the journal: {what} cannot be read ({reason}); it is damaged, or of a newer owtrend: update owtrend, or "
            "put a copy of the journal in its place"
        ) from error


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.absolute()))
