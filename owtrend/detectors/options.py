"""Options of a detector as users type them: ``scale_events=no, hot_channel_threshold=0.02``."""

from owtrend.detectors.protocol import Detector
from owtrend.errors import UsageError

__all__ = ["option_text", "options", "possible"]


def options(text: str) -> dict[str, str]:
    """Names and values in a text.

    >>> options("a=1, b=no")
    {'a': '1', 'b': 'no'}

    Raises
    ------
    UsageError
        If a part of it is no ``name=value``.
    """
    found = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, equals, value = part.partition("=")
        if not (name and equals):
            raise UsageError(f"{part[:60]!r}: expected name=value")
        found[name.strip()] = value.strip()
    return found


def option_text(known: Detector, text: str) -> str:
    """The options in a text that differ from the defaults, in the order of the plug-in: what an address has.

    Raises
    ------
    UsageError, NotFoundError
        If it means nothing.
    """
    default, chosen = known.settings(), known.settings(options(text))
    return ",".join(f"{name}={_word(value)}" for name, value in chosen.items() if value != default[name])


def possible(known: Detector) -> str:
    """All options with their defaults."""
    return ", ".join(f"{name}={_word(value)}" for name, value in known.settings().items())


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
