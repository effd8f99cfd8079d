"""Secrets: read from a variable or a file, and kept out of answers, errors and logs."""

import base64
import logging
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from owtrend.display import printable, quoted
from owtrend.errors import UsageError

__all__ = ["Secret", "clean", "parts_of_url", "quiet", "read_secret"]

_MOST = 8192  # characters of a secret
_ANSWER = 200  # characters of an answer that are kept
_LOUD = ("httpx", "httpcore", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy", "apprise",
         "requests", "urllib3", "urllib3.connectionpool", "urllib3.util.retry")  # fmt: skip
_thread = threading.local()


class Secret(str):
    """A text that shows itself nowhere by accident; `reveal` gives it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    __str__ = __repr__

    def __format__(self, form: str) -> str:
        return "***"

    def reveal(self) -> str:
        return self[:]


def read_secret(variable: str | None, file: str | None) -> Secret:
    """A secret, from an environment variable or from the first line of a file.

    Raises
    ------
    UsageError
        If it is missing, or others may read the file; the text names the variable or file, never what is in it.
    """
    if variable is not None:
        where = f"environment variable {quoted(variable)}"
        text = os.environ.get(variable, "")
    else:
        where = f"file {quoted(file, 300)}"
        text = _in_file(Path(str(file)), where)
    if not (text := text.strip()):
        raise UsageError(f"{where}: no secret there; put it in, on one line")
    if len(text) > _MOST or not text.isprintable():
        raise UsageError(f"{where}: more than one line, or control characters; expected a secret alone")
    return Secret(text)


def _in_file(path: Path, where: str) -> str:
    try:
        with path.open("rb") as stream:
            state = os.fstat(stream.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise UsageError(f"{where}: not a file")
            if state.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
                mode = f"{stat.S_IMODE(state.st_mode):o}"
                raise UsageError(f"{where}: others may read or change it (mode {mode}); `chmod 600` it")
            return stream.read(4 * _MOST).decode()
    except OSError as error:
        raise UsageError(f"{where}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise UsageError(f"{where}: not a text") from None


def parts_of_url(url: str) -> list[str]:
    """What must not be seen of an address that is a secret: all of it, and the parts that can be used alone."""
    address = urlsplit(url)
    pieces = [*address.path.split("/"), *address.query.replace("&", "=").split("=")]
    found = [url, f"{address.path}?{address.query}", address.path, address.netloc if "@" in address.netloc else ""]
    found += [address.password or "", *(piece for piece in pieces if len(piece) >= 8)]
    return [one for one in found if len(one) > 1]


def clean(text: object, secrets: Iterable[str] = ()) -> str:
    """An answer as it is kept: without the secrets in any usual spelling, without control characters, cut."""
    shown = str(text)[:20_000]
    plain = {one[:] for one in secrets if one}
    spellings = plain | {quote(one, safe="") for one in plain} | {unquote(one) for one in plain}
    spellings |= {base64.b64encode(one.encode()).decode().rstrip("=") for one in plain if len(one) > 2}
    for one in sorted(spellings, key=len, reverse=True):
        shown = shown.replace(one, "***")
    return printable(" ".join(shown.split()), _ANSWER)


@contextmanager
def quiet() -> Iterator[None]:
    """While it lasts, libraries log nothing from this thread: httpx logs whole addresses at level INFO."""
    for name in _LOUD:
        logger = logging.getLogger(name)
        if _loud_enough not in logger.filters:
            logger.addFilter(_loud_enough)
    before = getattr(_thread, "quiet", False)
    _thread.quiet = True
    try:
        yield
    finally:
        _thread.quiet = before


def _loud_enough(record: logging.LogRecord) -> bool:
    return not getattr(_thread, "quiet", False)
