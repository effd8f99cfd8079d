"""Messages as lines of a log."""

import json
import logging

from owtrend.config.receivers import LogReceiver
from owtrend.quality.notify.message import Answer, Message, Outcome

__all__ = ["LogSender"]

_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING}


class LogSender:
    """One line of JSON for each message; ASCII, so that nothing in a name can begin another line.

    What is resolved has the level INFO, everything else that of its alarm.
    """

    shows_pictures = False

    def __init__(self, receiver: LogReceiver) -> None:
        self._logger = logging.getLogger(receiver.logger)

    def send(self, message: Message) -> Answer:
        fields = {
            "id": message.id, "news": message.news, "level": message.level, "subject": message.subject,
            "alarms": message.alarms, "link": message.link, **dict(message.facts), "lines": message.lines,
            "more": message.more,
        }  # fmt: skip
        level = logging.INFO if message.news == "resolved" else _LEVELS[message.level]
        self._logger.log(level, "%s", json.dumps(fields))
        return Answer(Outcome.SENT, "logged")
