"""Notices: what people are to learn of alarms, before it is decided who learns it and by which way."""

from dataclasses import dataclass
from enum import StrEnum

from owtrend.quality.alarms.alarm import Alarm
from owtrend.quality.flag import Quality

__all__ = ["Item", "News", "Notice"]


class News(StrEnum):
    """What is new, as stored and said."""

    FIRING = "firing"
    WORSE = "worse"  # a warning became an error
    STILL = "still there"  # a silence ended and the problem is there
    ESCALATED = "escalated"  # nobody acknowledged it for too long
    RESOLVED = "resolved"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One alarm of a notice, as it is now.

    Parameters
    ----------
    id
        Under which the journal keeps the alarm; that of its first record, however often it was computed anew.
    round
        How often people were sent word of it anew: two messages of the same news and round are one.
    guidance, owner
        Of its rule: what to do (text or an address), and whose it is.
    """

    id: str
    alarm: Alarm
    round: int = 0
    guidance: str = ""
    owner: str = ""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One piece of news on alarms that belong together.

    Parameters
    ----------
    group
        What they have in common, for a person: the name of the group, or of the rule, or the subsystem.
    receivers
        Only these, by name; none: as the routes say.
    """

    news: News
    group: str
    items: tuple[Item, ...]
    receivers: tuple[str, ...] = ()

    @property
    def quality(self) -> Quality:
        """The worst of its alarms."""
        errors = any(item.alarm.worst is Quality.ERROR for item in self.items)
        return Quality.ERROR if errors else Quality.WARNING
