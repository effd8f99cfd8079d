"""Objects as people see them at a prompt or in a notebook: a title, a few facts, and in HTML what to type next."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from html import escape
from itertools import islice
from typing import Any

__all__ = ["Display", "Displayed", "DisplayedFields", "few", "printable", "quoted"]

_CELL = "text-align: left; vertical-align: top; padding: 0 1em 0 0"


@dataclass(frozen=True)
class Display:
    """Text of one object; ``next`` are lines of code that go on from it. Nothing in it needs to be escaped yet."""

    title: str
    facts: Mapping[str, object] = field(default_factory=dict)
    next: Sequence[str] = ()


class Displayed:
    """Base of objects that are shown in a few lines; a subclass describes itself in `_display`.

    Names and titles come from files, so control characters are shown as escapes, long texts are cut, and HTML is
    escaped. A dataclass needs ``repr=False``.
    """

    __slots__ = ()

    def _display(self) -> Display:
        raise NotImplementedError

    def __repr__(self) -> str:
        shown = self._display()
        title = f"<{type(self).__module__.partition('.')[0]}.{type(self).__name__}: {printable(shown.title, 200)}>"
        return "\n".join([title, *(f"  {name}: {printable(fact, 200)}" for name, fact in shown.facts.items())])

    def _repr_html_(self) -> str:
        shown = self._display()
        title = f"<strong>{type(self).__name__}</strong> {escape(printable(shown.title, 200))}"
        rows = "".join(
            f'<tr><th style="{_CELL}">{escape(printable(name))}</th>'
            f'<td style="{_CELL}">{escape(printable(fact, 200))}</td></tr>'
            for name, fact in shown.facts.items()
        )
        table = f"<table>{rows}</table>" if rows else ""
        lines = "".join(f"<br><code>{escape(printable(line, 200))}</code>" for line in shown.next)
        return f"<div>{title}{table}{f'<div>Next:{lines}</div>' if lines else ''}</div>"


class DisplayedFields(Displayed):
    """Base of dataclasses that are shown field by field: arrays by their shape, collections by their size."""

    __slots__ = ()

    def _display(self) -> Display:
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.repr}  # type: ignore[arg-type]
        return Display(", ".join(f"{name} {_short(value)}" for name, value in values.items()))


def few(names: Iterable[object], limit: int = 3) -> str:
    """The number of names and the first of them: ``31 (a, b, c, ...)``."""
    names = names if isinstance(names, Collection) else list(names)
    first = [printable(name, 60) for name in islice(names, limit)]
    more = ", ..." if len(names) > limit else ""
    return f"{len(names)} ({', '.join(first)}{more})" if first else "0"


def printable(text: object, limit: int = 80) -> str:
    """A text without control characters, which could move the cursor or hide what follows; cut after ``limit``."""
    shown = str(text)[: limit + 1]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


def quoted(value: object, limit: int = 80) -> str:
    """A value from outside as a message shows it, cut after ``limit``: ``'noon'``, ``300000``."""
    try:
        return printable(repr(value), limit)
    except ValueError:  # an int of more digits than Python writes
        return "a number of thousands of digits"


def _short(value: Any) -> str:
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return f"{value.dtype} {value.shape}" if value.shape else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, Collection) and not isinstance(value, str | bytes):
        return few(value)
    return repr(value) if isinstance(value, str | bytes) else printable(value)
