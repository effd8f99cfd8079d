"""Journal of a store: what people did about it, when and why; nothing in it is ever changed or deleted."""

import getpass
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from owtrend.errors import StoreError, UsageError
from owtrend.quality.journal.database import Database

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

__all__ = ["Action", "Entry", "Journal", "add", "entries", "login_name"]

_MOST = 10_000  # characters of a note


class Action(StrEnum):
    """What people do, and what owtrend notes about alarms, as stored."""

    ACCEPT = "accept"  # an incident is the new normal
    UNDO_ACCEPT = "undo accept"
    ACKNOWLEDGE = "acknowledge"  # somebody looks after an alarm
    COMMENT = "comment"
    ACCEPT_WARNING = "accept warning"  # of a rule, for a histogram
    UNDO_ACCEPT_WARNING = "undo accept warning"
    CLOSE = "close"  # an alarm that no data will end
    SILENCE = "silence"
    END_SILENCE = "end silence"
    ALARM = "alarm"  # what became of one
    FLAG = "flag"  # an interval of a run
    UNFLAG = "undo flag"
    SIGN_OFF = "sign off"  # a run
    UNDO_SIGN_OFF = "undo sign off"


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


class Journal(Database):
    """The journal of one store: SQLite in its folder, or a database at a URL."""

    def entries(self, actions: Collection[Action] = (), subjects: Collection[str] | None = None) -> list[Entry]:
        """Entries, oldest first: all, or those of some actions and subjects.

        Raises
        ------
        StoreError
            If the database cannot be read.
        """
        if not self.may_hold("journal", "action", [action.value for action in actions]):
            return []
        with self.connection(writes=False) as connection:
            return entries(connection, actions, subjects)

    def add(self, action: Action, subject: str, *, note: str, who: str, details: Mapping[str, Any]) -> Entry:
        """Append an entry; it is on disk when this returns.

        Raises
        ------
        UsageError
            If the note is too long or no text, or the store needs a database URL.
        StoreError
            If the database cannot be written.
        """
        with self.connection(writes=True) as connection:
            return add(connection, action, subject, note=note, who=who, details=details)


def entries(
    connection: "Connection", actions: Collection[Action] = (), subjects: Collection[str] | None = None
) -> list[Entry]:
    """`Journal.entries` within a transaction."""
    from sqlalchemy import inspect, select

    if not inspect(connection).has_table("journal"):
        return []
    table = _table()
    chosen = select(table).order_by(table.c.number)
    if actions:
        chosen = chosen.where(table.c.action.in_([action.value for action in actions]))
    if subjects is not None:
        chosen = chosen.where(table.c.subject.in_([*subjects]))
    return [_entry(dict(row)) for row in connection.execute(chosen).mappings()]


def add(
    connection: "Connection", action: Action, subject: str, *, note: str, who: str, details: Mapping[str, Any],
    time: datetime | None = None,
) -> Entry:  # fmt: skip
    """`Journal.add` within a transaction; ``time`` is now, if it is not given."""
    from sqlalchemy import insert

    if len(note) > _MOST:
        raise UsageError(f"a note of {len(note):,} characters; at most {_MOST:,} are kept")
    try:
        f"{note}{who}{subject}".encode()
    except UnicodeEncodeError:
        raise UsageError("a note or a name with bytes that are no text; expected UTF-8, type it anew") from None
    now = datetime.now(UTC) if time is None else time
    values = {
        "time": now.isoformat(timespec="microseconds"), "who": who, "action": action.value, "subject": subject,
        "note": note, "details": json.dumps(details),
    }  # fmt: skip
    _table().metadata.create_all(connection)
    number = connection.execute(insert(_table()).values(values)).inserted_primary_key[0]  # type: ignore[index]
    return Entry(int(number), now, who, action, subject, note, details)


def login_name() -> str:
    """The name that the user logged in with; ``unknown`` where there is none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


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
