"""Messages: what one receiver is to read, in plain text; senders write it as mail, chat or JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, Self

from owtrend.errors import StoreError

__all__ = ["Answer", "Drawing", "Message", "Outcome", "Sender"]


class Drawing(NamedTuple):
    """What the picture of a message shows: a histogram in ``[start, stop]`` of a run, ns UTC."""

    subsystem: str
    run: int
    histogram: str
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message to one receiver. All texts are plain: whoever sends it escapes them.

    Parameters
    ----------
    id
        The same at every try; receivers can use it to drop what they got before.
    news
        Kind of news, such as ``firing`` or ``resolved``; ``summary`` of messages that were held back; ``test``.
    level
        ``warning`` or ``error``.
    facts
        Names and values, in the order in which they are read.
    lines
        One for each alarm, or message of a summary; ``more`` are left out.
    thread
        The same for all messages on one alarm, so that mail programs show them together.
    link
        To the page; empty: none is configured.
    created
        When it was queued [ns UTC].
    picture
        PNG; drawn when it is sent, never kept.
    """

    id: str
    news: str
    level: str
    subject: str
    facts: tuple[tuple[str, str], ...] = ()
    title: str = ""
    lines: tuple[str, ...] = ()
    more: int = 0
    alarms: tuple[str, ...] = ()
    thread: str = ""
    link: str = ""
    created: int = 0
    drawing: Drawing | None = None
    picture: bytes | None = field(default=None, repr=False)

    def to_json(self) -> str:
        """As the outbox keeps it: all but the picture."""
        fields = {name: value for name, value in asdict(self).items() if name != "picture"}
        return json.dumps(fields | {"drawing": self.drawing})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The message written by `to_json`.

        Raises
        ------
        StoreError
            If a newer owtrend wrote it.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            drawing = fields.pop("drawing")
            several: dict[str, Any] = {name: tuple(fields.pop(name)) for name in ("lines", "alarms")}
            facts = tuple((str(name), str(value)) for name, value in fields.pop("facts"))
            return cls(**fields, **several, facts=facts, drawing=None if drawing is None else Drawing(*drawing))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"a message of a newer owtrend waits in the journal ({error}); update owtrend") from error

    def text(self, names: Sequence[str] | None = None) -> str:
        """All but the subject, as plain text; ``names`` chooses facts."""
        width = max((len(name) for name, _ in self.facts), default=0) + 2
        found = [
            f"{name + ':':<{width}}{value}" for name, value in self.facts if names is None or name in names
        ]  # fmt: skip
        if self.lines:
            found += ["", *([f"{self.title}:"] if self.title else []), *(f"- {line}" for line in self.lines)]
            found += [f"- and {self.more} more"] if self.more else []
        return "\n".join(found).strip("\n")


class Outcome(StrEnum):
    """What became of a try."""

    SENT = "sent"
    RETRY = "retry"
    REFUSED = "refused"  # the same again would be refused again, until a person changes something


class Answer(NamedTuple):
    """What a receiver answered.

    Parameters
    ----------
    text
        Short, and without any secret.
    retry_after
        What the server asks for [s].
    """

    outcome: Outcome
    text: str
    retry_after: float | None = None


class Sender(Protocol):
    """A way to one receiver."""

    @property
    def shows_pictures(self) -> bool:
        """Whether it sends the picture of a message."""

    def send(self, message: Message) -> Answer:
        """Try once; every failure that can be foreseen is an answer, not an exception."""
