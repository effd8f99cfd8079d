"""Ways to receivers, all behind one protocol: `owtrend.quality.notify.message.Sender`."""

from owtrend.config.receivers import (
    AppriseReceiver,
    LogReceiver,
    MattermostReceiver,
    Receiver,
    SlackReceiver,
    SmtpReceiver,
    WebhookReceiver,
)
from owtrend.quality.notify.message import Sender

__all__ = ["open_sender"]


def open_sender(receiver: Receiver) -> Sender:
    """The sender to a receiver, with its secrets read.

    Raises
    ------
    UsageError
        If a secret cannot be read; the text names the variable or file, never the value.
    """
    # Each is imported when it is needed: httpx takes as long as NumPy.
    if isinstance(receiver, SmtpReceiver):
        from owtrend.quality.notify.senders.mail import MailSender

        return MailSender(receiver)
    if isinstance(receiver, SlackReceiver | MattermostReceiver):
        from owtrend.quality.notify.senders.chat import MattermostSender, SlackSender

        return SlackSender(receiver) if isinstance(receiver, SlackReceiver) else MattermostSender(receiver)
    if isinstance(receiver, WebhookReceiver):
        from owtrend.quality.notify.senders.webhook import WebhookSender

        return WebhookSender(receiver)
    if isinstance(receiver, AppriseReceiver):
        from owtrend.quality.notify.senders.by_apprise import AppriseSender

        return AppriseSender(receiver)
    assert isinstance(receiver, LogReceiver)
    from owtrend.quality.notify.senders.log import LogSender

    return LogSender(receiver)
