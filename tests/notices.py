"""Notices of alarms as the engine makes them, a journal in memory, and senders that fail as they are asked to."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count

from owtrend.config.alarms import AlarmConfig
from owtrend.quality.alarms.alarm import Alarm, Kind, State, Subject
from owtrend.quality.alarms.notice import Item, News, Notice
from owtrend.quality.flag import Quality
from owtrend.quality.journal import Journal
from owtrend.quality.notify.message import Answer, Message, Outcome
from owtrend.quality.notify.outbox import queue

NOW = datetime(2026, 11, 28, 18, 10, tzinfo=UTC)
SINCE = int(datetime(2026, 11, 28, 18, 6, tzinfo=UTC).timestamp()) * 10**9
MINUTE = 60 * 10**9
HOSTILE = "*_~<!channel>@all `x`\r\nBcc: you@example.org <script>alert(1)</script> | [a](https://evil.example) \x1b[31m"
_numbers = count()


def item(
    number: int = 0, *, kind: Kind = Kind.RULE, name: str = "too many hot channels", subsystem: str = "EMC",
    histogram: str = "EMCTRQA_histFastORL0Amp", quality: Quality = Quality.ERROR,
    why: str = "24 channels above 5 sigma", minutes: int | None = None, run: int = 300004, **more,
) -> Item:  # fmt: skip
    """One alarm; with ``minutes`` it is resolved after that time."""
    state, stop = (State.FIRING, None) if minutes is None else (State.RESOLVED, SINCE + minutes * MINUTE)
    alarm = Alarm(
        Subject(kind, name, subsystem, histogram), state, SINCE, stop or SINCE + 3 * MINUTE, quality, quality, why,
        fired=SINCE + MINUTE, stop=stop, run=run,
    )  # fmt: skip
    return Item(id=f"{number:012x}", alarm=alarm, **more)


def notice(*items: Item, news: News = News.FIRING, group: str = "EMC", **more) -> Notice:
    return Notice(news=news, group=group, items=items or (item(),), **more)


def config(*names: str, **settings) -> AlarmConfig:
    """Settings with receivers that log, unless others are given."""
    given = {"receivers": {name: {"type": "log"} for name in names or ("shift",)}}
    return AlarmConfig.model_validate(given | settings)


def memory() -> Journal:
    """An empty journal."""
    return Journal(f"memory://notices-{next(_numbers)}")


def queued(journal: Journal, settings: AlarmConfig, *notices: Notice, now: datetime = NOW) -> list[str]:
    with journal.connection(writes=True) as connection:
        return queue(connection, notices, settings, now, store="archive.zarr")


@dataclass
class Inbox:
    """A receiver in memory: what it got; ``answers`` says what each try is to become."""

    answers: Callable[[Message], Answer] = lambda message: Answer(Outcome.SENT, "ok")
    shows_pictures: bool = False
    got: list[Message] = field(default_factory=list)
    tries: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> Answer:
        self.tries.append(message)
        answer = self.answers(message)
        if answer.outcome is Outcome.SENT:
            self.got.append(message)
        return answer

    @property
    def subjects(self) -> list[str]:
        return [message.subject for message in self.got]


def later(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)
