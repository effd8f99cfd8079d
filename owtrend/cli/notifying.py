"""What verbs need of notifications: pictures for messages, a test message, and receivers that are not reached."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from owtrend.display import printable
from owtrend.errors import UsageError
from owtrend.model.wording import plural

if TYPE_CHECKING:
    from owtrend.quality.journal import Journal
    from owtrend.quality.notify.message import Drawing

__all__ = ["pictures_of", "send_test_message", "undelivered", "undelivered_words"]


def pictures_of(store: str) -> "Callable[[Drawing], bytes | None]":
    """A function that draws pictures of a store, which is opened for the first of them."""
    kept: list[Any] = []

    def picture(drawing: "Drawing") -> bytes:
        if not kept:
            from owtrend import archive
            from owtrend.output.picture import picture_maker

            kept.append(picture_maker(archive.open(store)))
        return kept[0](drawing)

    return picture


def send_test_message(receiver: str, config: str | None) -> str:
    """Send a message to a receiver of a configuration, and say what it answered.

    Raises
    ------
    UsageError
        If there is no configuration or no such receiver, or if the message was not sent.
    """
    from owtrend.config import load
    from owtrend.quality.journal import login_name
    from owtrend.quality.notify.message import Outcome
    from owtrend.quality.notify.trial import send_test

    if config is None:
        raise UsageError("a test message: name the configuration that has the receiver with -c FILE")
    answer = send_test(load(config).alarms, receiver, who=login_name())
    if answer.outcome is not Outcome.SENT:
        raise UsageError(f"receiver {printable(receiver)}: not sent: {answer.text}")
    return f"{receiver}: sent ({answer.text})"


def undelivered(journal: "Journal") -> list[dict[str, Any]]:
    """Receivers with messages that wait: how many, how many are refused, since when (UTC), tries, the last answer."""
    if not journal.may_hold("outbox"):
        return []
    from owtrend.config.alarms import AlarmConfig
    from owtrend.quality.notify.deliver import status

    names = ("receiver", "waiting", "refused", "oldest", "tries", "answer")
    return [{name: row[name] for name in names} for row in status(journal, AlarmConfig()) if row["waiting"]]


def undelivered_words(row: dict[str, Any]) -> str:
    """One line on a receiver with messages that wait."""
    refused = f", {row['refused']} refused" if row["refused"] else ""
    answer = f"; it answered: {printable(row['answer'], 200)}" if row["answer"] else ""
    waits = plural(row["waiting"], "message")
    since = f"{row['oldest']:%Y-%m-%d %H:%M} UTC"
    return f"Receiver {printable(row['receiver'])}: {waits} not delivered{refused}, the oldest since {since}{answer}"
