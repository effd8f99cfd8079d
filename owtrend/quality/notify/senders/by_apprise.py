"""Messages by apprise, which reaches more than a hundred services; it answers only yes or no."""

from owtrend.config.receivers import AppriseReceiver
from owtrend.errors import UsageError
from owtrend.quality.notify.message import Answer, Message, Outcome
from owtrend.quality.notify.senders.secret import quiet, read_secret

__all__ = ["AppriseSender"]


class AppriseSender:
    """One address of apprise.

    apprise has no idempotency key and sometimes reports a message as failed that arrived, so one may come twice.
    """

    shows_pictures = False

    def __init__(self, receiver: AppriseReceiver) -> None:
        try:
            import apprise
        except ImportError as error:
            raise UsageError('this receiver needs apprise: pip install "owtrend[apprise]"') from error

        self._apprise = apprise
        self._to = apprise.Apprise()
        url = read_secret(receiver.url_env, receiver.url_file)
        with quiet():
            if not self._to.add(url[:]):
                raise UsageError(f"{receiver.url_env or receiver.url_file}: apprise does not understand this address")

    def send(self, message: Message) -> Answer:
        resolved, error = message.news == "resolved", message.level == "error"
        kinds = self._apprise.NotifyType
        kind = kinds.SUCCESS if resolved else kinds.FAILURE if error else kinds.WARNING
        page = f"\n\nPage: {message.link}" if message.link else ""
        with quiet():
            done = self._to.notify(
                title=message.subject, body=f"{message.text()}{page}", notify_type=kind,
                body_format=self._apprise.NotifyFormat.TEXT,
            )  # fmt: skip
        return Answer(Outcome.SENT, "apprise: sent") if done else Answer(Outcome.RETRY, "apprise: it failed")
