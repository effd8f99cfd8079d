"""Prints what a verb found: tables, JSON, numbers with their errors, the quarantine; and shows its progress."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import accumulate, zip_longest
from math import floor, isfinite, log10
from pathlib import Path
from typing import Any

import click

from owtrend.display import printable

__all__ = [
    "finite",
    "plain",
    "print_quarantine",
    "print_table",
    "progress_bar",
    "store_size",
    "time_after",
    "with_error",
]

_GAP = 2  # between columns of a narrow table


def progress_bar() -> Any:
    """A context manager that shows a bar with rate and time left on stderr; it yields the callback that moves it.

    Where stderr is no terminal, there are plain lines instead: after 5, 15, 35 s and so on, then once a minute.
    """
    if not sys.stderr.isatty():
        return nullcontext(_plain_lines(time.monotonic))
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    @contextmanager
    def bar() -> Any:
        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
            tasks: dict[str, Any] = {}

            def move(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = shown.add_task(what, total=total, rate="")
                speed = shown.tasks[tasks[what]].speed
                shown.update(tasks[what], completed=done, total=total, rate=f"{speed:.0f}/s" if speed else "")

            yield move

    return bar()


def _plain_lines(clock: Callable[[], float]) -> Callable[[str, int, int], None]:
    """A callback that prints now and then how far the work is."""
    began = clock()
    wait, due = 5.0, began + 5.0

    def move(what: str, done: int, total: int) -> None:
        nonlocal wait, due
        if (now := clock()) >= due:
            click.echo(f"{what}: {done:,} of {total:,}, after {now - began:.0f} s", err=True)
            wait = min(2 * wait, 60.0)
            due = now + wait

    return move


def print_table(rows: Sequence[dict[str, Any]], as_json: bool, title: str = "") -> None:
    """Print rows to stdout as a table, or as JSON."""
    if as_json:
        click.echo(json.dumps(list(rows), indent=1, default=str))
        return
    from rich.console import Console
    from rich.table import Table

    # Into a pipe each row is one line, so that `grep` finds whole rows.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 10_000
    console = Console(markup=False, emoji=False, highlight=False, width=width)
    if not rows:
        console.print(f"{title}: nothing")
        return
    cells = [["\n".join(printable(line, 2000) for line in str(v).splitlines()) for v in row.values()] for row in rows]
    widths = _widths([list(rows[0]), *cells])
    if sum(width + 3 for width in widths) >= console.width:
        _print_narrow(console, title, rows[0], cells, widths)
        return
    numeric = [_is_number(value) for value in rows[0].values()]
    table = Table(title=title or None, title_justify="left")
    for name, is_number in zip(rows[0], numeric, strict=True):
        table.add_column(name, justify="right" if is_number else "left")
    table.add_row(*("x" * width for width in widths))  # Rich lays out this row only: it takes 2 ms for one
    with console.capture() as captured:
        console.print(table)
    *head, last, foot = captured.get().splitlines()
    click.echo("\n".join([*head, *_lines(cells, widths, numeric, last[0]), foot]))


def _lines(rows: Sequence[Sequence[str]], widths: Sequence[int], numeric: Sequence[bool], edge: str) -> Iterator[str]:
    """The lines of a table as Rich prints them."""

    def padded(text: str, width: int, is_number: bool) -> str:
        space = " " * (width - _size(text))
        return space + text if is_number else text + space

    for row in rows:
        for line in zip_longest(*(text.split("\n") for text in row), fillvalue=""):
            yield f"{edge} {f' {edge} '.join(map(padded, line, widths, numeric))} {edge}"


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(_size(line) for text in column for line in text.split("\n")) for column in zip(*rows, strict=True)]


def _size(text: str) -> int:
    """Columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _print_narrow(
    console: Any, title: str, first: dict[str, Any], rows: Sequence[Sequence[str]], widths: Sequence[int]
) -> None:
    """Print the first columns, as many as fit, and below each row the others by name."""
    from rich.cells import cell_len, set_cell_size
    from rich.padding import Padding

    names = list(first)
    fitting = sum(total <= console.width + _GAP for total in accumulate(width + _GAP for width in widths))
    of_lines = (number for number, column in enumerate(zip(*rows, strict=True)) if "\n" in "".join(column))
    fitting = max(1, min(fitting, *of_lines, len(names)))

    def line(texts: Sequence[str]) -> str:
        padded = [
            " " * (width - cell_len(text)) + text if _is_number(first[name]) else set_cell_size(text, width)
            for name, text, width in zip(names, texts[:fitting], widths, strict=False)
        ]
        return (" " * _GAP).join(padded).rstrip()

    if title:
        console.print(title, style="italic")
    console.print(line(names), style="bold underline")
    for row in rows:
        console.print(line(row))
        below = ""
        for name, text in zip(names[fitting:], row[fitting:], strict=True):
            if not text:
                continue
            more = f"{below}{' ' * _GAP if below else ''}{name}: {text}"
            if below and (cell_len(more) > console.width - 4 or "\n" in more):
                console.print(Padding(below, (0, 0, 0, 4), expand=False))
                more = f"{name}: {text}"
            below = more
        if below:
            console.print(Padding(below, (0, 0, 0, 4), expand=False))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def print_quarantine(rows: Sequence[dict[str, Any]], limit: int | None = None) -> None:
    """Print the quarantine: one line per file and reason, at most ``limit`` lines."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        reason = str(row["reason"]).removeprefix(f"{row['source']}: ")
        groups.setdefault((row["source"], reason), []).append(row["object"] or "")
    shown = []
    for (source, reason), names in groups.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        shown.append({"where": source, "object": names[0] + more, "reason": reason})
    if shown:
        print_table(shown[:limit], False, title=f"{len(rows)} in quarantine")
    if limit is not None and len(shown) > limit:
        click.echo(f"  and {len(shown) - limit} more; `owtrend status STORE` lists them all")


def plain(value: Any) -> Any:
    """A table cell as JSON holds it."""
    import pandas as pd

    if isinstance(value, pd.Timestamp):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, pd.Timedelta):
        return str(value).replace("0 days ", "")
    return None if pd.api.types.is_scalar(value) and pd.isna(value) else value


def time_after(stop: str | None, start: str | None) -> str | None:
    """A time without its date where that is the date of ``start``."""
    return stop.split()[-1] if stop and start and stop.split()[0] == start.split()[0] else stop


def finite(value: Any) -> Any:
    """None for NaN and infinity, which JSON lacks: a certain finding has no sigma."""
    return None if isinstance(value, float) and not isfinite(value) else value


def with_error(value: float, error: float) -> str:
    """A value with two digits of its error, if it has one: ``12.34 ± 0.56``."""
    if value != value:
        return "no value"
    if not isfinite(error):
        return f"{value:.6g}"
    if error <= 0:
        return f"{value:.6g} ± {error:.2g}"
    digits = max(1 - floor(log10(error)), 0)
    return f"{value:.{digits}f} ± {error:.{digits}f}" if digits < 12 else f"{value:.12g} ± {error:.2g}"


def store_size(location: str) -> int:
    """Bytes of a local store on disk; 0 elsewhere."""
    folder = Path(location)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
