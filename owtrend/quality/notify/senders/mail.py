"""Messages as mail: plain text, HTML, and the picture inline."""

import base64
import contextlib
import logging
import smtplib
import socket
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from html import escape

from owtrend.config.receivers import SmtpReceiver
from owtrend.display import printable
from owtrend.quality.notify.message import Answer, Message, Outcome
from owtrend.quality.notify.senders.secret import Secret, clean, read_secret
from owtrend.quality.notify.senders.web import tls

__all__ = ["MailSender", "mail"]

_log = logging.getLogger(__name__)
_COLOURS = {"error": "#b00020", "warning": "#9a6700", "resolved": "#1a7f37"}
_CELL = "text-align:left;vertical-align:top;padding:2px 12px 2px 0"


class MailSender:
    """Mail addresses, by a server."""

    shows_pictures = True

    def __init__(self, receiver: SmtpReceiver) -> None:
        self._receiver = receiver
        self._password: Secret | None = None
        if receiver.user is not None:
            self._password = read_secret(receiver.password_env, receiver.password_file)
        self._tls = None if receiver.security == "none" else tls(receiver.ca_file)

    def send(self, message: Message) -> Answer:
        letter = mail(message, self._receiver)
        refused = Outcome.REFUSED
        try:
            return self._sent(letter)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            words = "; ".join(f"{to}: {code} {_text(text)}" for to, (code, text) in error.recipients.items())
            return Answer(refused if min(codes, default=0) >= 500 else Outcome.RETRY, self._clean(words))
        except smtplib.SMTPResponseException as error:
            words = f"{error.smtp_code} {_text(error.smtp_error)}"
            return Answer(refused if error.smtp_code >= 500 else Outcome.RETRY, self._clean(words))
        except smtplib.SMTPNotSupportedError as error:  # no STARTTLS, no login
            return Answer(refused, self._clean(error))
        except ssl.SSLCertVerificationError as error:
            return Answer(refused, self._clean(f"its certificate cannot be trusted: {error.verify_message}"))
        except TimeoutError:
            return Answer(Outcome.RETRY, f"no answer in {self._receiver.timeout:g} s")
        except (smtplib.SMTPException, OSError) as error:
            return Answer(Outcome.RETRY, self._clean(f"{type(error).__name__}: {error}"))

    def _sent(self, letter: EmailMessage) -> Answer:
        receiver = self._receiver
        where, name = (receiver.host, receiver.port), socket.gethostname()
        if receiver.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(*where, name, context=self._tls, timeout=receiver.timeout)
        else:
            server = smtplib.SMTP(*where, name, timeout=receiver.timeout)
        try:
            if receiver.security == "starttls":
                server.starttls(context=self._tls)
            if receiver.user is not None and self._password is not None:
                server.login(receiver.user, self._password.reveal())
            left = server.send_message(letter, receiver.sender, receiver.to)
            with contextlib.suppress(smtplib.SMTPException, OSError):  # it is accepted, whatever comes now
                server.quit()
        finally:
            server.close()
        words = "; ".join(f"{to}: {code} {_text(text)}" for to, (code, text) in left.items())
        if left:  # the others have it: another try would send it to them again
            _log.warning("mail was accepted, but not for %s", self._clean(words))
        return Answer(Outcome.SENT, self._clean(f"accepted, but not for {words}" if left else "accepted"))

    def _clean(self, words: object) -> str:
        if self._password is None:
            return clean(words)
        password = self._password.reveal()
        pair = base64.b64encode(f"\0{self._receiver.user}\0{password}".encode()).decode()
        return clean(words, [password, pair.rstrip("=")])


def mail(message: Message, receiver: SmtpReceiver) -> EmailMessage:
    """The letter; the same at every try, but for the picture."""
    domain = receiver.sender.rpartition("@")[2]
    letter = EmailMessage(policy=POLICY)
    letter["From"], letter["To"] = receiver.sender, ", ".join(receiver.to)
    letter["Subject"] = printable(message.subject, 300)
    letter["Date"] = datetime.fromtimestamp(message.created / 1e9, UTC)
    letter["Message-ID"] = f"<{_token(message.id)}@{domain}>"
    if message.thread:
        letter["References"] = f"<{_token(message.thread)}.alarm@{domain}>"
    letter["Auto-Submitted"] = "auto-generated"
    if message.level == "error" and message.news != "resolved":
        letter["Importance"] = "high"
    page = f"\n\nPage: {message.link}" if message.link else ""
    letter.set_content(f"{message.subject}\n\n{message.text()}{page}\n")
    picture = f"{_token(message.id)}.picture@{domain}" if message.picture else ""
    letter.add_alternative(_html(message, picture), subtype="html")
    if message.picture:
        html = letter.get_body(("html",))
        assert html is not None
        html.add_related(
            message.picture, "image", "png", cid=f"<{picture}>", disposition="inline", filename="histogram.png"
        )  # fmt: skip
    return letter


def _html(message: Message, picture: str) -> str:
    colour = _COLOURS.get(message.news, _COLOURS[message.level])
    rows = "".join(
        f'<tr><th style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{_linked(value)}</td></tr>'
        for name, value in message.facts
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in message.lines)
    lines += f"<li>and {message.more} more</li>" if message.more else ""
    title = f"<p>{escape(message.title)}:</p>" if message.title else ""
    parts = [
        f'<p style="border-left:6px solid {colour};padding-left:10px"><b>{escape(message.subject)}</b></p>',
        f"<table>{rows}</table>" if rows else "",
        f"{title}<ul>{lines}</ul>" if lines else "",
        f'<p><a href="{escape(message.link)}">Open the page</a></p>' if message.link else "",
        f'<p><img src="cid:{escape(picture)}" alt="The histogram and its reference" style="max-width:100%"></p>'
        if picture
        else "",
    ]
    return f'<html><body style="font-family:sans-serif">{"".join(parts)}</body></html>\n'


def _linked(value: str) -> str:
    """A text in HTML; one that is a web address, such as guidance, is a link."""
    text = escape(value)
    if value.startswith(("https://", "http://")) and value.isascii() and " " not in value:
        return f'<a href="{text}">{text}</a>'
    return text


def _token(text: str) -> str:
    """Part of a Message-ID: what is no letter or digit is left out."""
    return "".join(letter for letter in text if letter.isascii() and (letter.isalnum() or letter in "-_.")) or "none"


def _text(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text
