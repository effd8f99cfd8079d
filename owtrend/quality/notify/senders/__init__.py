"""Ways to receivers, all behind one protocol: `owtrend.quality.notify.message.Sender`."""

from owtrend.config.receivers import LogReceiver, Receiver
from owtrend.quality.notify.message import Sender

__all__ = ["open_sender"]


def open_sender(receiver: Receiver) -> Sender:
    """The sender to a receiver, with its secrets read.

    Raises
    ------
    UsageError
        If a secret cannot be read; the text names the variable or file, never the value.
    """
    from owtrend.quality.notify.senders.log import LogSender

    assert isinstance(receiver, LogReceiver)
    return LogSender(receiver)
