"""A test message to one receiver, so that a person sees whether news would arrive, and how they look."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from owtrend.config.alarms import AlarmConfig
from owtrend.config.receivers import Receiver
from owtrend.display import printable, quoted
from owtrend.errors import UsageError, hint
from owtrend.quality.notify.message import Answer, Message, Sender
from owtrend.quality.notify.outbox import nanoseconds
from owtrend.quality.notify.senders import open_sender

__all__ = ["send_test"]


def send_test(
    settings: AlarmConfig, receiver: str, *, store: str = "", who: str = "", now: datetime | None = None,
    senders: Callable[[Receiver], Sender] = open_sender,
) -> Answer:  # fmt: skip
    """Send one message at once: it does not go through the outbox, counts for no rate, and is tried once.

    Raises
    ------
    UsageError
        If there is no such receiver, or a secret of it cannot be read.
    """
    if receiver not in settings.receivers:
        there = ", ".join(sorted(settings.receivers)) or "none"
        raise UsageError(f"no receiver {quoted(receiver)}{hint(receiver, settings.receivers)}; there are {there}")
    time = now or datetime.now(UTC)
    identity = secrets.token_hex(12)
    facts = [("What to do", "nothing: this is a test, no alarm"), ("Time", f"{time:%Y-%m-%d %H:%M:%S} UTC")]
    facts += [("Store", printable(store, 300))] if store else []
    facts += [("Sent by", printable(who, 100))] if who else []
    message = Message(
        id=identity, news="test", level="warning", subject=f"Test of receiver {receiver}: messages of owtrend arrive",
        facts=tuple(facts), thread=identity, link=settings.address or "", created=nanoseconds(time),
    )  # fmt: skip
    return senders(settings.receivers[receiver]).send(message)
