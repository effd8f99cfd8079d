"""Completion in the shell: stores, and the subsystems, runs and histograms of the store that was typed."""

import os
import re
from collections.abc import Callable, Iterable
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from owtrend.store.reader import Reader

__all__ = ["folders", "histograms", "runs", "subsystems"]

_Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_MOST = 500  # candidates; more help nobody


def folders(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="dir")]


def _of_store(candidates: Callable[["Reader", str | None, str], Iterable[str]]) -> _Complete:
    """A completion by names in the store; it offers nothing where the store cannot be read, and never fails."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            from owtrend.store.repository import Store

            # Where the last word is an option without its value, click has left the arguments as they are.
            reader = Store.open(ctx.params.get("store") or ctx.args[0]).reader()
            names = candidates(reader, ctx.params.get("subsystem"), incomplete)
            fitting = [name for name in names if name.isprintable() and name.startswith(incomplete)]
            return [CompletionItem(_quoted(name)) for name in fitting[:_MOST]]
        except Exception:  # in the middle of a line, no message helps
            return []

    return complete


def _quoted(name: str) -> str:
    """A name as bash may insert it: names come from files, and may hold ``;`` or ``$``. Other shells quote it."""
    return quote(name) if os.environ.get("_OWTREND_COMPLETE", "").startswith("bash") else name


def _views(reader: "Reader", subsystem: str | None) -> list[Any]:
    return [reader.subsystem(name) for name in ([subsystem] if subsystem else reader.subsystems)]


def _run_numbers(reader: "Reader", subsystem: str | None, incomplete: str) -> Iterable[str]:
    before = re.sub(r"[^,-]*$", "", incomplete)  # of 300000-3 the last number is completed
    known = {run for view in _views(reader, subsystem) for run in view.run_indices}
    return (f"{before}{run}" for run in sorted(known))


def _histogram_names(reader: "Reader", subsystem: str | None, _: str) -> Iterable[str]:
    return (entry.name for view in _views(reader, subsystem) for entry in view.registry.histograms.values())


runs = _of_store(_run_numbers)
subsystems = _of_store(lambda reader, *_: reader.subsystems)
histograms = _of_store(_histogram_names)
