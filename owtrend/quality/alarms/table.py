"""Alarms as a table for people: what is on, since when, who looks after it."""

from collections.abc import Iterable

import pandas as pd

from owtrend.errors import AmbiguousNameError, NotFoundError, UsageError
from owtrend.quality.alarms.alarm import Alarm
from owtrend.quality.alarms.engine import records
from owtrend.quality.alarms.people import ACTIONS, People
from owtrend.quality.alarms.record import Record
from owtrend.quality.journal import Action, Entry, Journal

__all__ = ["COLUMNS", "alarm_table", "find", "find_on", "history"]

COLUMNS = (
    "id", "state", "quality", "start", "fired", "stop", "run", "subsystem", "subsystems", "source", "name",
    "histogram", "why", "acknowledged", "silenced", "announced",
)  # fmt: skip


def alarm_table(journal: Journal) -> pd.DataFrame:
    """All alarms of a journal, as `owtrend.Archive.alarms` returns them."""
    found, pending = records(journal)
    people = People(journal.entries(ACTIONS))
    quiet = {record.id: any(silence.fits(record) for silence in people.silences()) for record in found}
    rows = [
        {**_row(record.id, record.alarm), "acknowledged": _who(people.acknowledged(record.id)),
         "silenced": quiet[record.id] and record.alarm.state.on,
         "announced": None if record.announced is None else pd.Timestamp(record.announced).tz_convert(None)}
        for record in found
    ]  # fmt: skip
    rows += [
        {**_row(alarm.id, alarm), "acknowledged": "", "silenced": False, "announced": None} for alarm in pending
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=[*COLUMNS])
    for column in ("start", "fired", "stop", "announced"):
        table[column] = pd.to_datetime(table[column])
    return table


def _row(identity: str, alarm: Alarm) -> dict[str, object]:
    subject = alarm.subject
    return {
        "id": identity, "state": alarm.state.value, "quality": alarm.worst.value, "start": pd.Timestamp(alarm.start),
        "fired": None if alarm.fired is None else pd.Timestamp(alarm.fired),
        "stop": None if alarm.stop is None else pd.Timestamp(alarm.stop), "run": alarm.run,
        "subsystem": subject.subsystem, "subsystems": alarm.concerns, "source": subject.kind.value,
        "name": subject.name, "histogram": alarm.histogram, "why": alarm.why,
    }  # fmt: skip


def _who(entry: Entry | None) -> str:
    return "" if entry is None else entry.who


def find(journal: Journal, text: str) -> Record:
    """The one alarm whose id is ``text`` or begins with it; also that of an incident by the incident's id.

    Raises
    ------
    NotFoundError, AmbiguousNameError
        If there is none, or several.
    """
    found, _ = records(journal)
    alike = [one for one in found if text and text.lower() in (one.id, one.alarm.subject.name)]
    alike = alike or _beginning(found, text)
    if len(alike) == 1:
        return alike[0]
    if alike:
        ids = ", ".join(one.id for one in alike[:5])
        raise AmbiguousNameError(f"{journal.location}: {text!r} fits {len(alike)} alarms: {ids}; give more of one id")
    raise NotFoundError(f"{journal.location}: no alarm {text!r}; `owtrend alarms STORE --all` lists them")


def find_on(journal: Journal, text: str) -> Record:
    """The one alarm that `find` finds, if it is on.

    Raises
    ------
    NotFoundError, AmbiguousNameError
        As `find`.
    UsageError
        If it is over: what people do about an alarm would hold for the next time, too, without anybody knowing.
    """
    found = find(journal, text)
    if found.alarm.state.over:
        raise UsageError(
            f"alarm {found.id} is over ({found.alarm.state.value}); only `owtrend comment` is possible now"
        )
    return found


def _beginning(found: Iterable[Record], text: str) -> list[Record]:
    return [one for one in found if text and one.id.startswith(text.lower())]


def history(journal: Journal, alarm: str) -> list[Entry]:
    """What became of an alarm, and what people did about it, oldest first."""
    return journal.entries((Action.ALARM, *ACTIONS), [alarm])
