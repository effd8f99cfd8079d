"""Messages as signed JSON for any program that takes a POST."""

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any

from owtrend.config.receivers import WebhookReceiver
from owtrend.quality.notify.message import Answer, Message
from owtrend.quality.notify.senders.secret import parts_of_url, read_secret
from owtrend.quality.notify.senders.web import Request, post, secret_url

__all__ = ["WebhookSender", "signature", "webhook_payload"]


class WebhookSender:
    """A web address of one's own."""

    shows_pictures = False

    def __init__(self, receiver: WebhookReceiver) -> None:
        self._receiver = receiver
        self._key = read_secret(receiver.key_env, receiver.key_file)
        self._url = receiver.url or secret_url(receiver.url_env, receiver.url_file)

    def send(self, message: Message) -> Answer:
        content, now = json.dumps(webhook_payload(message)).encode(), str(int(time.time()))
        headers = {
            "Idempotency-Key": message.id, "Owtrend-Timestamp": now,
            "Owtrend-Signature": f"v1={signature(self._key[:], now, content)}",
        }  # fmt: skip
        secrets = [self._key[:], *([] if self._receiver.url else parts_of_url(self._url[:]))]
        return post(Request(self._url, content, headers), self._receiver, secrets)


def webhook_payload(message: Message) -> dict[str, Any]:
    """The message as JSON; its fields are documented, and only ever get company."""
    return {
        "version": 1, "id": message.id, "created": datetime.fromtimestamp(message.created / 1e9, UTC).isoformat(),
        "news": message.news, "level": message.level, "subject": message.subject, "facts": dict(message.facts),
        "lines": message.lines, "more": message.more, "alarms": message.alarms, "link": message.link,
    }  # fmt: skip


def signature(key: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 of ``timestamp.body``, in hex."""
    return hmac.new(key.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
