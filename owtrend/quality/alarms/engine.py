"""The alarm engine: what is observed, against the journal, in one transaction."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from owtrend.quality.alarms.alarm import Alarm, Report, State, Subject, Timing
from owtrend.quality.alarms.notice import Notice
from owtrend.quality.alarms.people import ACTIONS, People
from owtrend.quality.alarms.reconcile import Settings, reconcile
from owtrend.quality.alarms.record import Record
from owtrend.quality.alarms.sources import Coverage, aged, incident_alarms, merged, rule_alarms, source_alarms
from owtrend.quality.flag import Quality
from owtrend.quality.incident import Incident
from owtrend.quality.journal import Action, Journal
from owtrend.quality.journal import alarms as tables
from owtrend.quality.journal.database import understood
from owtrend.quality.journal.entries import add, entries

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["ENGINE", "Observed", "Status", "people", "records", "update", "window"]

ENGINE = "owtrend"  # who, in entries of the journal that no person makes
_RUNS = 2  # newest ones of each subsystem, whose reports are judged anew each time: late rows may change them


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What is known of the detector.

    Parameters
    ----------
    incidents
        All, in order of time.
    covered
        By subsystem, the runs that there are.
    begin
        Since when reports were judged by the rules [ns UTC]; see `window`.
    reports
        Since then, by rule and histogram; those that are only ok may be left out where no alarm is on.
    timings
        By name of each rule.
    unjudged
        Names of rules that could not be used: nothing is known of what they watch.
    """

    incidents: Sequence[Incident]
    covered: Mapping[str, Coverage]
    begin: int = 0
    reports: Mapping[Subject, Sequence[Report]] = field(default_factory=dict)
    timings: Mapping[str, Timing] = field(default_factory=dict)
    unjudged: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Status:
    """Alarms as they are after an update.

    Parameters
    ----------
    pending
        Bad, but not for long enough.
    notices
        Those that people are sent word of now.
    """

    records: tuple[Record, ...]
    pending: tuple[Alarm, ...]
    notices: tuple[Notice, ...]


def window(covered: Mapping[str, Coverage]) -> int:
    """Since when reports are to be judged [ns UTC]: the newest two runs of each subsystem."""
    return min((of.since(_RUNS) for of in covered.values() if of.runs), default=0)


def update(
    journal: Journal, observed: Observed, settings: Settings, *, now: datetime, incident_quality: Quality,
    stale_after: int = 0, queue: "Callable[[Connection, Sequence[Notice]], Any] | None" = None,
) -> Status:  # fmt: skip
    """Bring the alarms of the journal up to date; what people are to learn is queued in the same transaction.

    Parameters
    ----------
    incident_quality, stale_after
        As `incident_alarms` and `source_alarms` take them.
    queue
        Puts notices into the outbox.

    Raises
    ------
    StoreError
        If the journal cannot be written.
    """
    at = int(now.timestamp() * 1e9)
    with journal.connection(writes=True) as connection:
        kept = tables.progress(connection)
        old = _digest(observed.incidents, observed.begin)
        since = observed.begin if kept.get("old") == old else 0
        known = _load(connection, since)
        of_known = [record.alarm for record in known]
        on = {alarm.subject.name for alarm in of_known if alarm.state.on}
        recent = [incident for incident in observed.incidents if incident.stop >= since or incident.id in on]
        fired = [
            *incident_alarms(recent, observed.covered, incident_quality),
            *rule_alarms(observed.reports, observed.timings, of_known, observed.begin, observed.unjudged),
            *source_alarms(observed.covered, of_known, at, stale_after),
        ]
        alarms = aged(fired, observed.covered, at, stale_after)
        acts = People(entries(connection, ACTIONS))
        renamed = merged(of_known, observed.incidents)
        outcome = reconcile(known, alarms, acts, settings, now, renamed)
        pending = tuple(alarm for alarm in alarms if alarm.state is State.PENDING)
        tables.save(connection, {record.id: record.to_dict() for record in outcome.records})
        tables.save_progress(
            connection,
            {"old": old, "time": now.isoformat(), "pending": [alarm.to_dict() for alarm in pending]},
        )
        for identity, state, why in outcome.history:
            add(connection, Action.ALARM, identity, note=why, who=ENGINE, details={"state": state}, time=now)
        for identity, why in outcome.ended_silences.items():
            add(connection, Action.END_SILENCE, identity, note=why, who=ENGINE, details={}, time=now)
        if queue is not None and outcome.notices:
            queue(connection, outcome.notices)
    changed = {record.id: record for record in outcome.records}
    every = {record.id: record for record in known} | changed
    return Status(tuple(every.values()), pending, outcome.notices)


def people(journal: Journal) -> People:
    """What people did about alarms."""
    return People(journal.entries(ACTIONS))


def records(journal: Journal) -> tuple[list[Record], list[Alarm]]:
    """All alarms of the journal, oldest first, and those that were pending at the last update."""
    if not journal.exists:
        return [], []
    with journal.connection(writes=False) as connection:
        pending = tables.progress(connection).get("pending", ())
        return _load(connection, None), [Alarm.from_dict(fields) for fields in pending]


def _load(connection: "Connection", since: int | None) -> list[Record]:
    rows = tables.load(connection, over_since=since)
    with understood("an alarm"):
        return [Record.from_dict(identity, fields) for identity, fields in rows.items()]


def _digest(incidents: Iterable[Incident], begin: int) -> str:
    """Of the incidents that ended before a time: while it is the same, nothing about them is to be done."""
    digest = hashlib.blake2b(digest_size=8)
    for incident in incidents:
        if incident.stop < begin:
            digest.update(f"{incident.id} {incident.stop}\n".encode())
    return digest.hexdigest()
