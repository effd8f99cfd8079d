"""Alarms brought up to date once a store has its trends, scores and incidents."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from owtrend.config import Config, RuleConfig
from owtrend.config.alarms import AlarmConfig
from owtrend.detectors.plugins import incident_places
from owtrend.errors import OwtrendError
from owtrend.quality.alarms.alarm import Kind
from owtrend.quality.alarms.engine import Observed, Status, people, records, update, window
from owtrend.quality.alarms.notice import Item, Notice
from owtrend.quality.alarms.reconcile import Settings
from owtrend.quality.alarms.record import Policy
from owtrend.quality.alarms.sources import Coverage, coverage, rule_reports, timing_of
from owtrend.quality.flag import Flag, Quality
from owtrend.quality.incident import Incident
from owtrend.quality.journal import Journal
from owtrend.quality.notify import outbox
from owtrend.quality.results import store_incidents
from owtrend.quality.rules.flags import Judged, judged
from owtrend.store.reader import Reader

__all__ = ["update_alarms"]

_log = logging.getLogger(__name__)


def update_alarms(
    reader: Reader, journal: Journal, config: Config, alarms: AlarmConfig, now: datetime | None = None
) -> Status:
    """Bring the alarms of a store up to date, and put messages for people into the outbox.

    Parameters
    ----------
    config
        Has the rules.
    alarms
        Who is notified of what; from a configuration on this machine.
    now
        Time; None: that of the clock.

    Raises
    ------
    StoreError, UsageError
        If the journal cannot be written, or needs a database.
    """
    time = datetime.now(UTC) if now is None else now
    covered = coverage(reader)
    begin = window(covered)
    on = {record.alarm.subject for record in records(journal)[0] if record.alarm.state.on}
    store = reader.location if "://" in reader.location else str(Path(reader.location).absolute())  # for any folder
    found, unjudged = _judged(reader, config.rules, covered, begin, people(journal).acceptable)
    observed = Observed(
        incidents=store_incidents(reader), covered=covered, begin=begin, reports=rule_reports(found, on),
        timings={rule.name: timing_of(rule) for rule in config.rules}, unjudged=unjudged,
    )  # fmt: skip
    return update(
        journal, observed, _settings(config.rules, alarms), now=time, incident_quality=Quality(alarms.incidents),
        stale_after=_ns(alarms.stale_after),
        queue=lambda connection, notices: outbox.queue(
            connection, with_names(notices, observed.incidents), alarms, time, store=store
        ),
    )  # fmt: skip


def with_names(notices: Iterable[Notice], incidents: Iterable[Incident]) -> list[Notice]:
    """Notices with the part of the detector in words before the reason; alarms are kept without it."""
    notices = list(notices)
    subjects = [item.alarm.subject for notice in notices for item in notice.items]
    named = incident_places(incidents, {one.name for one in subjects if one.kind is Kind.INCIDENT})

    def renamed(item: Item) -> Item:
        place = named.get(item.alarm.subject.name) if item.alarm.subject.kind is Kind.INCIDENT else None
        return item if not place else replace(item, alarm=replace(item.alarm, why=f"{place}: {item.alarm.why}"))

    return [replace(notice, items=tuple(map(renamed, notice.items))) for notice in notices]


def _settings(rules: Sequence[RuleConfig], alarms: AlarmConfig) -> Settings:
    escalate_after = _ns(alarms.escalate_after) / 1e9
    policies = {
        rule.name: Policy(
            group=rule.group, inhibits=rule.inhibits, receivers=rule.receivers, guidance=rule.guidance,
            owner=rule.owner,
            escalate_after=_ns(rule.escalate_after) / 1e9 or escalate_after,
        )
        for rule in rules
    }  # fmt: skip
    return Settings(
        policies=policies, default=Policy(escalate_after=escalate_after), max_age=alarms.max_age,
        group_interval=alarms.group_interval, escalate_to=tuple(alarms.escalate_to),
    )  # fmt: skip


def _ns(length: timedelta | None) -> int:
    return 0 if length is None else int(length.total_seconds() * 1e9)


def _judged(
    reader: Reader, rules: Sequence[RuleConfig], covered: Mapping[str, Coverage], begin: int,
    accepted: Callable[[Flag], bool],
) -> tuple[list[Judged], frozenset[str]]:  # fmt: skip
    """The newest runs by all rules, and the rules that cannot be used: each is a warning, and stops no other."""
    if not rules:
        return [], frozenset()
    runs = {run for of in covered.values() for run, start, _, _ in of.runs if start >= begin}
    try:
        return judged(reader, rules, runs, accepted=accepted), frozenset()
    except OwtrendError:
        found, unjudged = [], set()
        for rule in rules:
            try:
                found += judged(reader, [rule], runs, accepted=accepted)
            except OwtrendError as error:
                _log.warning("%s", error)
                unjudged.add(rule.name)
        return found, frozenset(unjudged)
