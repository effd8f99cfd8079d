"""Settings of alarms: who receives what, when, how often; only from a file on this machine, never from a store."""

import re
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from owtrend.config.lengths import UNITS, Length
from owtrend.config.receivers import Receiver, checked_url
from owtrend.config.strict import Strict

__all__ = ["AlarmConfig", "Rate", "Route"]

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_BETWEEN = re.compile(r"(\d{2}):(\d{2})-(\d{2}):(\d{2})", re.ASCII)
_RATE = re.compile(r"(\d{1,6}) per (?:(\d{1,6}) ?)?(s|second|min|minute|h|hour|d|day)s?", re.ASCII)
_UNITS = {**UNITS, "second": 1, "minute": 60, "hour": 3600, "day": 86400}


class Rate(NamedTuple):
    """At most so many messages in so much time."""

    messages: int
    time: timedelta

    def __str__(self) -> str:
        return f"{self.messages} per {self.time.total_seconds():.0f} s"


def _parse_rate(given: object) -> object:
    if given is None or isinstance(given, Rate):
        return given
    found = _RATE.fullmatch(given.strip()) if isinstance(given, str) else None
    if not found or not int(found[1]) or found[2] == "0":
        raise ValueError("not a rate; expected for example `20 per hour`")
    return Rate(int(found[1]), timedelta(seconds=int(found[2] or 1) * _UNITS[found[3]]))


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError("no such time zone; expected for example Europe/Zurich") from error
    return name


def _between(text: str) -> str:
    found = _BETWEEN.fullmatch(text)
    ends = [(int(found[1]), int(found[2])), (int(found[3]), int(found[4]))] if found else []
    if not found or any(hour > 24 or minute > 59 or (hour == 24 and minute) for hour, minute in ends):
        raise ValueError('not a time of day; expected for example "08:00-20:00", or "20:00-08:00" over midnight')
    if ends[0] == ends[1]:
        raise ValueError("begins when it ends; leave it out for the whole day")
    return text


Zone = Annotated[str, AfterValidator(_zone)]


class Route(Strict):
    """Which news go to whom; what is left out does not matter. News go to the receivers of all routes that fit."""

    subsystem: str = Field(default="*", description="Shell pattern.")
    level: Literal["warning", "error"] = Field(default="warning", description="This level or worse.")
    owner: str = Field(default="*", description="Shell pattern of the rule's owner.")
    histogram: str = Field(default="*", description="Shell pattern.")
    rule: str = Field(default="*", description="Shell pattern of the rule's name; only rules have one.")
    kinds: list[Literal["rule", "incident", "source"]] = Field(default=["rule", "incident", "source"])
    between: Annotated[str, AfterValidator(_between)] | None = Field(
        default=None, description='Time of day, such as "08:00-20:00"; "20:00-08:00" is over midnight.'
    )
    timezone: Zone | None = Field(default=None, description="Of `between` and `weekdays`; by default that of `alarms`.")
    weekdays: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] = Field(
        default_factory=list, description="Days; a night over midnight belongs to the day on which it begins."
    )
    to: list[str] = Field(min_length=1, description="Names of receivers.")

    def fits(self, *, kind: str, name: str, subsystem: str, histogram: str, owner: str, error: bool) -> bool:
        """Whether an alarm takes this route; ``name`` is that of a rule, for an alarm of a rule."""
        patterns = [(self.subsystem, subsystem), (self.owner, owner), (self.histogram, histogram)]
        patterns.append((self.rule, name if kind == "rule" else ""))
        return (
            kind in self.kinds
            and (error or self.level == "warning")
            and all(text == pattern or fnmatchcase(text, pattern) for pattern, text in patterns)
        )

    def open_at(self, now: datetime, timezone: str) -> bool:
        """Whether it is used at this time; ``timezone`` where the route has none of its own."""
        local = now.astimezone(ZoneInfo(self.timezone or timezone))
        day = local.weekday()
        if self.between is not None:
            start, stop = (_minutes(end) for end in self.between.split("-"))
            at = local.hour * 60 + local.minute
            if start < stop:
                inside = start <= at < stop
            else:
                inside = at >= start or at < stop
                day = (day - (at < stop)) % 7
            if not inside:
                return False
        return not self.weekdays or _DAYS[day] in self.weekdays


def _minutes(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


class AlarmConfig(Strict):
    """Who is notified of what."""

    receivers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")], Receiver] = Field(
        default_factory=dict, description="By name."
    )
    routes: list[Route] = Field(
        default_factory=list, description="Who gets what; without any, every receiver gets everything."
    )
    rate: Annotated[Rate, BeforeValidator(_parse_rate), PlainSerializer(str, str)] = Field(
        default=Rate(20, timedelta(hours=1)),
        description="Most messages to one receiver, such as `20 per hour`; what is above becomes one summary.",
    )
    max_age: Length = Field(
        default=timedelta(hours=12), description="Problems whose data are older are recorded, not sent."
    )
    group_interval: Length = Field(
        default=timedelta(minutes=5), description="Alarms of one group are collected for so long."
    )
    stale_after: Length | None = Field(
        default=None, description="A subsystem without data for so long is an alarm; by default none is."
    )
    escalate_after: Length | None = Field(
        default=None, description="An alarm that nobody acknowledged for so long goes to `escalate_to`."
    )
    escalate_to: list[str] = Field(default_factory=list, description="Names of receivers.")
    address: str | None = Field(
        default=None, description="Of the page, for links, such as https://owtrend.example.org."
    )
    timezone: Zone = Field(default="UTC", description="Of the detector: messages give times in UTC and in it.")
    incidents: Literal["warning", "error"] = Field(default="error", description="Level of incidents.")

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        named = [("escalate_to", self.escalate_to)]
        named += [(f"routes.{number}.to", route.to) for number, route in enumerate(self.routes)]
        for where, names in named:
            if unknown := sorted({*names} - {*self.receivers}):
                there = ", ".join(sorted(self.receivers)) or "none"
                shown = repr(unknown[0]) if re.fullmatch(r"[\w.-]{1,64}", unknown[0]) else "of such a name"
                raise ValueError(f"{where}: no receiver {shown}; there are {there}")
        if self.address is not None:
            checked_url(self.address, encrypted=False)
        return self

    def receivers_of(
        self, *, kind: str, name: str, subsystem: str, histogram: str, owner: str, error: bool, now: datetime
    ) -> tuple[str, ...]:
        """Names of those who get news of an alarm now: of all routes that fit, each once, in the order of the routes.

        Without routes all receivers get everything.
        """
        if not self.routes:
            return tuple(self.receivers)
        fitting = (
            route.to for route in self.routes
            if route.fits(kind=kind, name=name, subsystem=subsystem, histogram=histogram, owner=owner, error=error)
            and route.open_at(now, self.timezone)
        )  # fmt: skip
        return tuple(dict.fromkeys(name for to in fitting for name in to))
