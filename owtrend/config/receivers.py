"""Receivers of messages: how each is reached. Secrets are named here (a variable, a file), never written."""

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from owtrend.config.strict import Strict

__all__ = [
    "AppriseReceiver",
    "LogReceiver",
    "MattermostReceiver",
    "Receiver",
    "SlackReceiver",
    "SmtpReceiver",
    "WebhookReceiver",
    "checked_url",
]

_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII
)
_HOST = re.compile(r"[A-Za-z0-9:]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?", re.ASCII)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _mail_address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError("not a plain mail address; expected name@host")
    return text


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("not the name of a host")
    return text


def checked_url(url: str, *, encrypted: bool = True) -> str:
    """A web address that a secret may be sent to; if it need not be ``encrypted``, any.

    Raises
    ------
    ValueError
        If it is none, has a password in it, or is not encrypted although it leaves this machine. The text never
        repeats the address, which may be a secret.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("not a web address")
    if parts.username or parts.password:
        raise ValueError("a web address with a user or a password in it; name a secret by `*_env` or `*_file`")
    if parts.scheme != "https" and not (parts.scheme == "http" and (host in _LOOPBACK or not encrypted)):
        raise ValueError("expected an address that begins with https:// (http:// only for this machine)")
    return url


def _file(text: str) -> str:
    if not text.startswith("/") or not text.isprintable():
        raise ValueError("not the whole path of a file; it begins with /")
    return text


# Whoever writes the secret itself in place of its name gets an error that does not repeat it.
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
File = Annotated[str, AfterValidator(_file)]
MailAddress = Annotated[str, AfterValidator(_mail_address)]
Host = Annotated[str, AfterValidator(_host)]


def _proxy(url: str) -> str:
    return checked_url(url, encrypted=False)


Url = Annotated[str, AfterValidator(checked_url)]
Timeout = Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)]


def _one_of(receiver: Strict, *names: str, required: bool = True) -> None:
    given = [name for name in names if getattr(receiver, name) is not None]
    if len(given) > 1 or (required and not given):
        raise ValueError(f"give {'one' if required else 'at most one'} of {', '.join(names)}")


class SmtpReceiver(Strict):
    """Mail: plain text and HTML, with the picture."""

    type: Literal["smtp"]
    host: Host
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="none: only for a relay that wants no password."
    )
    user: str | None = None
    password_env: Variable | None = Field(default=None, description="Environment variable with the password.")
    password_file: File | None = Field(default=None, description="File with the password.")
    sender: MailAddress
    to: list[MailAddress] = Field(min_length=1, max_length=50)
    ca_file: File | None = Field(default=None, description="Further certificates to trust, PEM.")
    timeout: Timeout = Field(default=10.0, description="For each answer of the server [s].")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _one_of(self, "password_env", "password_file", required=self.user is not None)
        if self.user is None and (self.password_env or self.password_file):
            raise ValueError("a password without a user")
        if self.user is not None and self.security == "none":
            raise ValueError("a password is never sent unencrypted: set security to starttls or tls")
        return self


class _Web(Strict):
    ca_file: File | None = Field(default=None, description="Further certificates to trust, PEM.")
    proxy: Annotated[str, AfterValidator(_proxy)] | None = Field(
        default=None, description="Proxy; those of the environment are not used."
    )
    timeout: Timeout = Field(default=10.0, description="For each step of a request [s].")


class _IncomingWebhook(_Web):
    url_env: Variable | None = Field(default=None, description="Environment variable with the address.")
    url_file: File | None = Field(default=None, description="File with the address.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _one_of(self, "url_env", "url_file")
        return self


class SlackReceiver(_IncomingWebhook):
    """A channel of Slack, by an incoming webhook."""

    type: Literal["slack"]


class MattermostReceiver(_IncomingWebhook):
    """A channel of Mattermost, by an incoming webhook."""

    type: Literal["mattermost"]
    channel: str | None = Field(default=None, pattern=r"^[@a-z0-9][a-z0-9._-]*$", description="Other than its own.")


class WebhookReceiver(_Web):
    """Any program that takes JSON; signed."""

    type: Literal["webhook"]
    url: Url | None = Field(default=None, description="Address, if it is no secret.")
    url_env: Variable | None = None
    url_file: File | None = None
    key_env: Variable | None = Field(default=None, description="Environment variable with the key of the signature.")
    key_file: File | None = Field(default=None, description="File with the key of the signature.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _one_of(self, "url", "url_env", "url_file")
        _one_of(self, "key_env", "key_file")
        return self


class LogReceiver(Strict):
    """A line of JSON in the log of the process."""

    type: Literal["log"]
    logger: str = Field(default="owtrend.alarms", min_length=1, description="Name of the logger.")


class AppriseReceiver(Strict):
    """Anything that apprise reaches; needs the extra `apprise`."""

    type: Literal["apprise"]
    url_env: Variable | None = Field(default=None, description="Environment variable with apprise's address.")
    url_file: File | None = Field(default=None, description="File with apprise's address.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _one_of(self, "url_env", "url_file")
        return self


Receiver = Annotated[
    SmtpReceiver | SlackReceiver | MattermostReceiver | WebhookReceiver | LogReceiver | AppriseReceiver,
    Field(discriminator="type"),
]
