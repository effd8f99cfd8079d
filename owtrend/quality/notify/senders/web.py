"""One POST to a web address: TLS verified, no redirects, no proxies but the configured one; its answer in words."""

import re
import ssl
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple, Protocol

from owtrend.config.receivers import checked_url
from owtrend.errors import UsageError
from owtrend.quality.notify.message import Answer, Outcome
from owtrend.quality.notify.senders.secret import clean, quiet, read_secret

__all__ = ["Web", "post", "secret_url", "tls"]

_READ = 2048  # bytes of an answer
_AGAIN = frozenset((408, 425, 429))  # and all 5xx


class Web(Protocol):
    """How to reach a web address; the settings of a receiver have it."""

    @property
    def ca_file(self) -> str | None: ...
    @property
    def proxy(self) -> str | None: ...
    @property
    def timeout(self) -> float: ...


class Request(NamedTuple):
    """What is sent."""

    url: str
    content: bytes
    headers: Mapping[str, str]


def secret_url(variable: str | None, file: str | None) -> str:
    """An address that is a secret.

    Raises
    ------
    UsageError
        If it cannot be read, or is no address that a secret may be sent to.
    """
    url = read_secret(variable, file)
    try:
        return checked_url(url)
    except ValueError as error:
        raise UsageError(f"{variable or file}: {error}") from None


@lru_cache(maxsize=8)
def tls(ca_file: str | None) -> ssl.SSLContext:
    """Verifies servers by the certificates of this machine, those that come with httpx, and those in a file.

    Raises
    ------
    UsageError
        If the file cannot be read.
    """
    import httpx

    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise UsageError(f"{ca_file}: no certificates there ({error.strerror or 'not PEM'})") from error
    return context


def post(request: Request, web: Web, secrets: Sequence[str]) -> Answer:
    """POST once; an answer of 2xx is a success, however the rest of it reads."""
    import httpx

    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **request.headers}
    status: int | None = None
    text = b""
    try:
        with (
            quiet(),
            httpx.Client(verify=tls(web.ca_file), trust_env=False, timeout=web.timeout, proxy=web.proxy) as client,
            client.stream("POST", request.url[:], content=request.content, headers=headers) as response,
        ):
            status, answered = response.status_code, response.headers
            text = _first_bytes(response, web.timeout)
    except httpx.TimeoutException:
        if status is None:
            return Answer(Outcome.RETRY, f"no answer in {web.timeout:g} s")
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        if status is None:
            words = clean(f"{type(error).__name__}: {error}", secrets)
            untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
            return Answer(Outcome.REFUSED if untrusted else Outcome.RETRY, words)
    assert status is not None
    words = clean(f"{status} {text.decode('utf-8', 'replace')}".strip(), secrets)
    if 200 <= status < 300:
        return Answer(Outcome.SENT, words)
    if 300 <= status < 400:
        return Answer(Outcome.REFUSED, f"{status}: a redirect, which is not followed; name the address it leads to")
    if status in _AGAIN or status >= 500:
        return Answer(Outcome.RETRY, words, _retry_after(answered.get("Retry-After", "")))
    return Answer(Outcome.REFUSED, words)


def _first_bytes(response: object, seconds: float) -> bytes:
    import httpx

    assert isinstance(response, httpx.Response)
    found, until = b"", time.monotonic() + seconds
    for chunk in response.iter_raw(_READ):
        found += chunk
        if len(found) >= _READ or time.monotonic() > until:
            break
    return found[:_READ]


def _retry_after(text: str) -> float | None:
    """Seconds from the header, which gives them or a time; None where it means nothing."""
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        return float(text)
    try:
        asked = parsedate_to_datetime(text)
        seconds = (asked - datetime.now(asked.tzinfo and UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return seconds if seconds > 0 else None
