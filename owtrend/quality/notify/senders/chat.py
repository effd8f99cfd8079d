"""Messages in Slack and Mattermost, by incoming webhooks. Neither takes pictures that way: the link leads to them."""

import json
import re
from typing import Any

from owtrend.config.receivers import MattermostReceiver, SlackReceiver
from owtrend.quality.notify.message import Answer, Message
from owtrend.quality.notify.senders.secret import parts_of_url
from owtrend.quality.notify.senders.web import Request, post, secret_url

__all__ = ["MattermostSender", "SlackSender", "mattermost_text", "slack_payload"]

_SLACK = 2900  # characters of a block; Slack refuses more than 3000
_MATTERMOST = 7000  # characters of the text; a post has 16,383, and each may need a backslash
_SIGNS = {"error": "\N{LARGE RED CIRCLE}", "warning": "\N{LARGE YELLOW CIRCLE}", "resolved": "\N{LARGE GREEN CIRCLE}"}
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>$&:])")


class SlackSender:
    """A channel of Slack."""

    shows_pictures = False

    def __init__(self, receiver: SlackReceiver) -> None:
        self._receiver, self._url = receiver, secret_url(receiver.url_env, receiver.url_file)

    def send(self, message: Message) -> Answer:
        content = json.dumps(slack_payload(message)).encode()
        return post(Request(self._url, content, {}), self._receiver, parts_of_url(self._url[:]))


class MattermostSender:
    """A channel of Mattermost."""

    shows_pictures = False

    def __init__(self, receiver: MattermostReceiver) -> None:
        self._receiver, self._url = receiver, secret_url(receiver.url_env, receiver.url_file)

    def send(self, message: Message) -> Answer:
        payload = {"text": mattermost_text(message)}
        if self._receiver.channel is not None:
            payload["channel"] = self._receiver.channel
        content = json.dumps(payload).encode()
        return post(Request(self._url, content, {}), self._receiver, parts_of_url(self._url[:]))


def slack_payload(message: Message) -> dict[str, Any]:
    """Blocks of plain text, in which nothing is markup, and a link of our own.

    ``text`` is what notifications show; without &, < and > nothing in it can mention anybody.
    """
    subject = _signed(message)
    escaped = subject.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    blocks = [_plain(subject)]
    if body := message.text():
        blocks.append(_plain(body))
    if message.link:
        link = message.link.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": f"<{link}|Open the page>"}})
    return {"text": _cut(escaped, _SLACK), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def mattermost_text(message: Message) -> str:
    """Markdown: the subject with all markup escaped, the rest as code, in which nothing is markup or a mention."""
    lines = [f"**{_no_markup(_signed(message))}**"]
    if body := _cut(message.text(), _MATTERMOST).replace("```", "'''"):
        lines += ["```text", body, "```"]
    if message.link:
        link = message.link.replace("(", "%28").replace(")", "%29").replace("<", "%3C").replace(">", "%3E")
        lines.append(f"[Open the page]({link})")
    return "\n".join(lines)


def _signed(message: Message) -> str:
    return f"{_SIGNS.get(message.news, _SIGNS[message.level])} {message.subject}"


def _plain(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "plain_text", "text": _cut(text, _SLACK), "emoji": False}}


def _no_markup(text: str) -> str:
    """Markdown that shows this text: a character of no width after @ and in :// makes neither mention nor link."""
    return _MARKUP.sub(r"\\\1", text).replace("@", "@\N{ZERO WIDTH SPACE}").replace("//", "/\N{ZERO WIDTH SPACE}/")


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 20].rstrip()}\n... (cut)"
