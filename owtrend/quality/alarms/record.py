"""An alarm as the journal keeps it: what it is, and what people were sent about it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from owtrend.quality.alarms.alarm import Alarm
from owtrend.quality.flag import Quality

__all__ = ["Policy", "Record"]


@dataclass(frozen=True, kw_only=True)
class Record:
    """An alarm, and what people were sent about it.

    Parameters
    ----------
    id
        That of the alarm when it was first recorded, however often it is computed anew.
    announced, announced_as
        When people were first sent word of it (UTC), and how bad it was when they last were; None: never.
    escalated
        When it was escalated (UTC); None: it was not.
    silenced
        Id of the silence that keeps it quiet; empty: none does.
    settled
        It is over, and whoever was sent word of it was sent word of that.
    round
        How often people were sent word of it anew, after it was settled or silenced.
    """

    id: str
    alarm: Alarm
    announced: datetime | None = None
    announced_as: Quality | None = None
    escalated: datetime | None = None
    silenced: str = ""
    settled: bool = False
    round: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As in JSON."""
        times = {name: None if (time := getattr(self, name)) is None else time.isoformat() for name in _TIMES}
        rest = {name: getattr(self, name) for name in _REST}
        shown = {"stop": self.alarm.stop if self.settled else None, "over": self.alarm.stop}
        return {**self.alarm.to_dict(), **times, **rest, **shown}

    @classmethod
    def from_dict(cls, identity: str, fields: dict[str, Any]) -> Self:
        """The record written by `to_dict`.

        Raises
        ------
        StoreError
            If a newer owtrend wrote it.
        """
        fields = {**fields, "stop": fields["over"]}
        own = {name: fields.pop(name) for name in (*_TIMES, *_REST, "over")}
        times: dict[str, Any] = {name: (own[name] and datetime.fromisoformat(own[name])) for name in _TIMES}
        known = None if own["announced_as"] is None else Quality(own["announced_as"])
        rest = {name: own[name] for name in _REST} | {"announced_as": known}
        return cls(id=identity, alarm=Alarm.from_dict(fields), **times, **rest)


_TIMES = ("announced", "escalated")
_REST = ("announced_as", "silenced", "settled", "round")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is to become of the alarms of one rule, or of all incidents.

    Parameters
    ----------
    group
        Alarms of one group are announced together; empty: those of one rule, or one incident.
    inhibits
        Names of rules, or ``incident``, that nothing is sent about while an alarm of this one is on in the subsystem.
    escalate_after
        Seconds without an acknowledgement; 0: never.
    receivers
        Only these, by name; none: as the routes say.
    guidance, owner
        What to do, text or an address; whose it is.
    """

    group: str = ""
    inhibits: tuple[str, ...] = ()
    escalate_after: float = 0.0
    receivers: tuple[str, ...] = ()
    guidance: str = ""
    owner: str = ""
