"""Lengths of time as people type them in settings."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

__all__ = ["UNITS", "Length", "parse_length", "shown"]

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_LENGTH = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?(s|min|h|d)", re.ASCII)
_LONGEST = timedelta(days=3660)


def parse_length(given: object) -> object:
    """A length of time of a text such as ``10min``; a length of time and None as they are.

    Raises
    ------
    ValueError
        If it is none.
    """
    if given is None or isinstance(given, timedelta):
        return given
    found = _LENGTH.fullmatch(given.strip()) if isinstance(given, str) else None
    length = timedelta(seconds=float(found[1]) * UNITS[found[2]]) if found else None
    if length is None or length > _LONGEST:
        raise ValueError("not a length of time; expected for example `5min`, `12h` or `0s`, ten years at most")
    return length


def shown(length: timedelta) -> str:
    """A length of time as `parse_length` reads it."""
    return f"{length.total_seconds():.3f}".rstrip("0").rstrip(".") + "s"


Length = Annotated[timedelta, BeforeValidator(parse_length), PlainSerializer(shown, str)]
