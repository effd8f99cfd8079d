"""A notice as a message: subject, reasons, times, link, what to do. A pure function of the notice and the settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from owtrend.display import printable
from owtrend.model.wording import plural
from owtrend.quality.alarms.alarm import Kind, State
from owtrend.quality.alarms.notice import Item, News
from owtrend.quality.flag import Quality
from owtrend.quality.notify.message import Drawing, Message

__all__ = ["Place", "lasted", "notice_message", "summary_message"]

_FIRST = 10  # alarms that a message lists
_SUMMARY = 40  # messages that a summary lists
_NAME, _WHY, _GUIDANCE = 120, 600, 2000  # characters
_HEADS = {
    News.FIRING: "", News.WORSE: "Worse: ", News.STILL: "Still there: ", News.ESCALATED: "Nobody acknowledged: ",
}  # fmt: skip
_ENDS = {
    State.RESOLVED: "Resolved", State.WITHDRAWN: "Withdrawn, other data or rules now",
    State.CLOSED: "Closed by a person",
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a message comes from.

    Parameters
    ----------
    store
        Its location, as a command takes it.
    address
        Of the page; None: there is none.
    timezone
        Of the detector.
    """

    store: str = ""
    address: str | None = None
    timezone: str = "UTC"


def notice_message(
    identity: str, news: News, group: str, items: Sequence[Item], place: Place, now: datetime
) -> Message:  # fmt: skip
    """The message on these items of a notice, for one receiver."""
    first = items[0]
    start = min(item.alarm.start for item in items)
    error = any(item.alarm.worst is Quality.ERROR for item in items)
    level = "error" if error else "warning"
    what = _what(first) if len(items) == 1 else _together(group, items)
    runs = {item.alarm.run for item in items if item.alarm.run}
    run = f", run {runs.pop()}" if len(runs) == 1 else ""
    if news is News.RESOLVED:
        stop = max(item.alarm.stop or item.alarm.latest for item in items)
        end = _ENDS.get(first.alarm.state, "Resolved")
        subject = f"{end} after {lasted(stop - start)}: {what}{run}"
    else:
        subject = f"{_HEADS[news]}{what} since {_clock(start, now)} UTC{run} ({level})"
    return Message(
        id=identity, news=news.value, level=level, subject=subject, facts=tuple(_facts(news, items, place)),
        title=plural(len(items), "alarm") if len(items) > 1 else "",
        lines=tuple(_line(item, now) for item in items[:_FIRST]) if len(items) > 1 else (),
        more=max(0, len(items) - _FIRST), alarms=tuple(item.id for item in items), thread=first.id,
        link=_link(first, place), created=_ns(now), drawing=_drawing(first),
    )  # fmt: skip


def summary_message(identity: str, held: Sequence[Message], rate: str, place: Place, now: datetime) -> Message:
    """One message in place of several that a receiver would have got too fast."""
    ordered = sorted(held, key=_urgency)
    errors, warnings, over = (sum(_urgency(one) == urgency for one in held) for urgency in range(3))
    counts = [plural(errors, "error"), plural(warnings, "warning"), f"{over} resolved"]
    found = ", ".join(words for words in counts if not words.startswith("0 "))
    subject = f"{plural(len(held), 'message')} held back: {found}"
    alarms = [name for one in ordered for name in one.alarms]
    return Message(
        id=identity, news="summary", level="error" if errors else "warning", subject=subject,
        facts=(("Why one message", f"this receiver gets {rate} at most"), ("Store", printable(place.store, 300))),
        title="Held back", lines=tuple(one.subject for one in ordered[:_SUMMARY]), more=max(0, len(held) - _SUMMARY),
        alarms=tuple(dict.fromkeys(alarms)), thread=identity, link=place.address or "", created=_ns(now),
    )  # fmt: skip


def _urgency(message: Message) -> int:
    """0 for an error, 1 for a warning, 2 for what is resolved."""
    return 2 if message.news == News.RESOLVED else 0 if message.level == "error" else 1


def lasted(ns: int) -> str:
    """A length of time [ns] in words: ``45 s``, ``32 min``, ``3 h 5 min``, ``2 d 4 h``."""
    seconds = max(0, round(ns / 1e9))
    if seconds < 120:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def _what(item: Item) -> str:
    """An alarm in words."""
    kind, name, subsystem, _ = item.alarm.subject
    histogram = printable(_histogram(item), _NAME)
    where = printable(subsystem, 40)
    if kind is Kind.SOURCE:
        return f"{where}: no data"
    if kind is Kind.RULE:
        return f"{where}: {printable(name, _NAME)}{f': {histogram}' if histogram else ''}"
    why = printable(item.alarm.why.partition(" (")[0], 100)  # in brackets: what it was compared with
    return ": ".join(part for part in (where, "" if why.startswith(histogram) else histogram, why) if part)


def _histogram(item: Item) -> str:
    """The histogram that the alarm is about, or in which its incident is most significant; empty: there is none."""
    return item.alarm.subject.histogram or item.alarm.histogram


def _together(group: str, items: Sequence[Item]) -> str:
    """Several alarms in words."""
    subjects = [item.alarm.subject for item in items]
    subsystems = ", ".join(printable(name, 40) for name in sorted({one.subsystem for one in subjects})[:3])
    rules = {one.name for one in subjects if one.kind is Kind.RULE}
    if len(rules) == 1 and all(one.kind is Kind.RULE for one in subjects):
        histograms = len({(one.subsystem, one.histogram) for one in subjects})
        return f"{subsystems}: {printable(rules.pop(), _NAME)}: {plural(histograms, 'histogram')}"
    shown = printable(group, _NAME)
    more = "" if shown in (subsystems, "") else f" of {shown}"
    return f"{subsystems}: {plural(len(items), 'alarm')}{more}"


def _line(item: Item, now: datetime) -> str:
    alarm = item.alarm
    when = f"since {_clock(alarm.start, now)} UTC"
    if alarm.stop is not None:
        when = f"{when}, for {lasted(alarm.stop - alarm.start)}"
    run = f", run {alarm.run}" if alarm.run else ""
    return f"{_what(item)} {when}{run} ({alarm.worst}) [{printable(item.id, 40)}]"


def _facts(news: News, items: Sequence[Item], place: Place) -> list[tuple[str, str]]:
    first = items[0]
    start = min(item.alarm.start for item in items)
    facts = []
    if first.alarm.why:
        facts.append(("Why", printable(first.alarm.why, _WHY)))
    facts.append(("Since", _times(start, place)))
    if news is News.RESOLVED:
        facts.append(("Until", _times(max(item.alarm.stop or item.alarm.latest for item in items), place)))
    if first.alarm.run:
        facts.append(("Run", str(first.alarm.run)))
    if histogram := _histogram(first):
        facts.append(("Histogram", printable(histogram, 300)))
    if news is not News.RESOLVED:
        if first.guidance:
            facts.append(("What to do", printable(first.guidance, _GUIDANCE)))
        facts.append(("Acknowledge", " ".join(["owtrend ack", _shell(place.store or "STORE"), _shell(first.id)])))
    if owners := sorted({item.owner for item in items if item.owner}):
        facts.append(("Owner", ", ".join(printable(owner, 100) for owner in owners[:5])))
    return facts


def _shell(text: str) -> str:
    """A word of a command that can be pasted into a shell as it stands."""
    import shlex

    return shlex.quote(printable(text, 300))


def _time(ns: int) -> datetime:
    return datetime.fromtimestamp(ns // 10**9, UTC)


def _clock(ns: int, now: datetime) -> str:
    """Time of day in UTC, with the day where it is not that of ``now``."""
    time = _time(ns)
    return f"{time:%H:%M}" if time.date() == now.astimezone(UTC).date() else f"{time:%Y-%m-%d %H:%M}"


def _times(ns: int, place: Place) -> str:
    time = _time(ns)
    in_utc = f"{time:%Y-%m-%d %H:%M:%S} UTC"
    if place.timezone == "UTC":
        return in_utc
    return f"{in_utc} ({time.astimezone(ZoneInfo(place.timezone)):%H:%M:%S %Z})"


def _ns(time: datetime) -> int:
    return round(time.timestamp()) * 10**9


def _link(item: Item, place: Place) -> str:
    """Address of the page with this histogram, and the interval of the alarm."""
    if not place.address:
        return ""
    subject, alarm = item.alarm.subject, item.alarm
    chosen = {"run": str(alarm.run or ""), "subsystem": subject.subsystem}
    chosen["histogram"] = _histogram(item)
    if alarm.run:
        chosen["start"], chosen["stop"] = _iso(alarm.start), _iso(alarm.stop or alarm.latest)
        chosen["pulls"] = "1" if chosen["histogram"] else ""
    query = urlencode({name: value for name, value in chosen.items() if value}, safe="/:,()=")
    return f"{place.address.rstrip('/')}/?{query}"


def _iso(ns: int) -> str:
    return f"{_time(ns):%Y-%m-%dT%H:%M:%S}"


def _drawing(item: Item) -> Drawing | None:
    subject, alarm = item.alarm.subject, item.alarm
    histogram = _histogram(item)
    if not alarm.run or not histogram:
        return None
    return Drawing(subject.subsystem, alarm.run, histogram, alarm.start, alarm.stop or alarm.latest)
