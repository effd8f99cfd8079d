"""Flags: the quality of what a rule watches, interval by interval."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Flag", "Quality"]


class Quality(StrEnum):
    """How good data are, as stored and shown; missing data are unknown, never ok."""

    OK = "ok"
    ACCEPTABLE = "acceptable"  # a warning that a person accepted
    UNKNOWN = "unknown"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True, order=True)
class Flag:
    """The quality of one histogram, or of a whole subsystem, by one rule in ``(start, stop]``, ns UTC.

    Parameters
    ----------
    histogram
        Displayed name; empty: the whole subsystem.
    rule
        Name of the rule.
    why
        The values that decided, in words.
    recovered
        Whether it is good enough for an alarm to end: beyond the recovery threshold, where the rule has one.
    """

    subsystem: str
    run: int
    start: int
    stop: int
    histogram: str
    rule: str
    quality: Quality
    why: str = ""
    recovered: bool = False
