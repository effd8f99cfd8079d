"""From notices to messages in the outbox: who gets them, each piece of news of each alarm once."""

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from owtrend.config.alarms import AlarmConfig
from owtrend.quality.alarms.alarm import Kind
from owtrend.quality.alarms.notice import Item, News, Notice
from owtrend.quality.flag import Quality
from owtrend.quality.journal import outbox
from owtrend.quality.notify.wording import Place, notice_message

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["nanoseconds", "queue"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger(__name__)


def queue(
    connection: "Connection", notices: Iterable[Notice], settings: AlarmConfig, now: datetime, *, store: str = ""
) -> list[str]:  # fmt: skip
    """Put messages into the outbox; they are there if and only if the transaction of ``connection`` is.

    - News of an alarm goes to the receivers that its notice names, or else to those of all routes that fit now.
    - That it is resolved goes to everybody who was to learn that it is on, at any time of day, and to nobody else.
    - The same news of the same alarm in the same round is queued once for each receiver.

    Parameters
    ----------
    connection
        Of `Database.connection`, writing.
    now
        Of the clock on the wall, with its zone.
    store
        Location of the store, for commands in messages.

    Returns
    -------
    :
        Ids of the messages that are new.
    """
    notices = [notice for notice in notices if notice.items]
    if not notices or not settings.receivers:
        return []
    outbox.create(connection)
    said: dict[str, set[outbox.Said]] = {item.id: set() for notice in notices for item in notice.items}
    for one in outbox.said(connection, said):
        said[one.alarm].add(one)
    place = Place(store, settings.address, settings.timezone)
    ids = []
    for notice in notices:
        known = _knowing(one for item in notice.items for one in said[item.id])
        for receiver, items in _by_receiver(notice, settings, known, now).items():
            news = {item.id: outbox.Said(receiver, item.id, notice.news.value, item.round) for item in items}
            new = [item for item in items if news[item.id] not in said[item.id]]
            if not new:
                continue
            identity = message_id(receiver, notice.news, [(item.id, item.round) for item in new])
            message = notice_message(identity, notice.news, notice.group, new, place, now)
            row = outbox.Row(
                0, identity, receiver, message.level == "error" and notice.news is not News.RESOLVED,
                nanoseconds(now), message.to_json(),
            )  # fmt: skip
            outbox.add(connection, row, [news[item.id] for item in new])
            for item in new:
                said[item.id].add(news[item.id])
            ids.append(identity)
    return ids


def message_id(receiver: str, news: str, alarms: Collection[tuple[str, int]]) -> str:
    """Identity of a message: the same for the same news of the same alarms, each with its round, to one receiver."""
    text = json.dumps([receiver, news, sorted(alarms)])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def nanoseconds(time: datetime) -> int:
    """A time with its zone in ns UTC.

    Raises
    ------
    ValueError
        If it has no zone.
    """
    if time.tzinfo is None:
        raise ValueError("a time without a zone")
    return (time - _EPOCH) // timedelta(microseconds=1) * 1000


def _knowing(said: Iterable[outbox.Said]) -> dict[str, set[str]]:
    """By alarm the receivers that were to learn that it is on, and not yet, in that round or later, that it is over."""
    on: dict[tuple[str, str], int] = {}
    over: dict[tuple[str, str], int] = {}
    for one in said:
        rounds, key = over if one.news == News.RESOLVED else on, (one.alarm, one.receiver)
        rounds[key] = max(one.round, rounds.get(key, -1))
    found: dict[str, set[str]] = {}
    for (alarm, receiver), last in on.items():
        if last > over.get((alarm, receiver), -1):
            found.setdefault(alarm, set()).add(receiver)
    return found


def _by_receiver(
    notice: Notice, settings: AlarmConfig, known: Mapping[str, Collection[str]], now: datetime
) -> dict[str, list[Item]]:  # fmt: skip
    """By receiver, in the order of the configuration, what it gets of a notice."""
    named = [name for name in notice.receivers if name in settings.receivers]
    if len(named) < len(notice.receivers):
        missing = ", ".join(sorted({*notice.receivers} - {*named}))
        _log.warning("no such receivers of alarms, so the routes decide if none is left: %s", missing)
    found: dict[str, list[Item]] = {name: [] for name in settings.receivers}
    for item in notice.items:
        subject = item.alarm.subject
        if notice.news is News.RESOLVED:
            names: Collection[str] = [name for name in settings.receivers if name in known.get(item.id, ())]
        else:
            names = named or settings.receivers_of(
                kind=subject.kind.value, name=subject.name if subject.kind is Kind.RULE else "",
                subsystem=subject.subsystem, histogram=subject.histogram, owner=item.owner,
                error=item.alarm.worst is Quality.ERROR, now=now,
            )  # fmt: skip
        for name in names:
            found[name].append(item)
    return {name: items for name, items in found.items() if items}
