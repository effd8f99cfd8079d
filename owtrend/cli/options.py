"""Arguments and options that several verbs share."""

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from owtrend.cli import completing
from owtrend.errors import NotFoundError

__all__ = [
    "Number", "as_json", "cluster_options", "file_option", "modules_option", "runs_option", "store_argument",
    "subsystem_option", "trend_options",
]  # fmt: skip


_WHERE = "owtrend.where"


class Number(click.FloatRange):
    """A finite number: NaN is in every range, and infinity in many."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number that counts", param, ctx)
        return number


as_json = click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")


# Eager, so that other options, such as --runs, can look into it.
store_argument = click.argument("store", type=str, is_eager=True, shell_complete=completing.folders)


def _run_numbers(ctx: click.Context, _: click.Parameter, text: str | None) -> list[int] | None:
    """The runs that are meant. Only a range can be wider than what the store holds: it takes those that there are."""
    filters: Sequence[str] = ctx.meta.get(_WHERE, ())
    if ctx.resilient_parsing or (text is None and not filters):
        return None
    if filters:
        from owtrend.conditions.selection import run_spans
        from owtrend.conditions.stored import Conditions
        from owtrend.quality.run_choice import fitting_runs
        from owtrend.store.repository import Store

        conditions = Conditions(Store.open(ctx.params["store"]).reader())
        fitting = fitting_runs(conditions, run_spans(conditions), filters)
        return fitting if text is None else sorted({*fitting} & {*(_listed_runs(ctx, text))})
    return _listed_runs(ctx, str(text))


def _listed_runs(ctx: click.Context, text: str) -> list[int]:
    ranges = [_run_range(part.strip()) for part in text.split(",")]
    if all(first == last for first, last in ranges):
        return sorted({first for first, _ in ranges})
    from owtrend.store.repository import Store

    reader = Store.open(ctx.params["store"]).reader()
    known = {run for name in reader.subsystems for run in reader.subsystem(name).run_indices}
    chosen = {first for first, last in ranges if first == last}
    for first, last in ranges:
        inside = {run for run in known if first <= run <= last}
        if not inside and first != last:
            there = f"it has {min(known)} to {max(known)}" if known else "it has none"
            raise NotFoundError(f"{reader.location}: no run from {first} to {last}; {there}")
        chosen |= inside
    return sorted(chosen)


def _run_range(text: str) -> tuple[int, int]:
    """First and last run of ``300000`` or ``300000-300002``."""
    match = re.fullmatch(r"(\d{1,18})(?:\s*-\s*(\d{1,18}))?", text, re.ASCII)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise click.BadParameter(f"{text!r}: expected run numbers such as 300000,300005 or 300000-300002")
    return int(match[1]), int(match[2] or match[1])


def _keep_filters(ctx: click.Context, _: click.Parameter, filters: tuple[str, ...]) -> None:
    ctx.meta[_WHERE] = filters  # for the runs, which are chosen when the store is known


def runs_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose runs, by number or by their conditions."""
    where = click.option(
        "--where", multiple=True, is_eager=True, expose_value=False, callback=_keep_filters,
        help="Only runs with such a condition: period=LHC18b, 'energy>=6500'. Repeatable.",
    )  # fmt: skip
    runs = click.option(
        "--runs", callback=_run_numbers, shell_complete=completing.runs,
        help="Only these runs: 300000, 300000,300005, 300000-300002 or a mixture.",
    )  # fmt: skip
    return runs(where(function))


subsystem_option = click.option(
    "--subsystem", shell_complete=completing.subsystems, help="Only this subsystem.  [default: all]"
)


def _import_modules(_: click.Context, __: click.Parameter, path: str | None) -> None:
    if path is not None:
        from owtrend import config, modules

        modules.import_local(config.load(path).modules)


# What a store names is never imported: this is how its reader says which code to trust.
modules_option = click.option(
    "-c", "--config", type=click.Path(dir_okay=False), callback=_import_modules, expose_value=False, is_eager=True,
    help="YAML file whose `modules` have your own reductors.",
)  # fmt: skip


def trend_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose trends."""
    for option in (
        modules_option,
        runs_option,
        click.option("--reductor", "reductors", multiple=True, help="Only this reductor, e.g. mean. Repeatable."),
        click.option(
            "--histogram",
            "histograms",
            multiple=True,
            shell_complete=completing.histograms,
            help="Only histograms with names like this, e.g. '*QA*'. Repeatable.",
        ),
        subsystem_option,
    ):
        function = option(function)
    return function


def cluster_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Options that choose where tasks run."""
    for option in (
        click.option(
            "--wait-for-workers", default=60.0, show_default=True, type=Number(0, 1e6),
            help="Seconds for which a scheduler may have no workers.",
        ),
        click.option("--scheduler", help="Address of an existing Dask scheduler."),
        click.option(
            "--workers", type=click.IntRange(0), help="Local worker processes; 0 for threads.  [default: all cores]"
        ),
    ):  # fmt: skip
        function = option(function)
    return function


def file_option(*endings: str, required: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option for the file to write; the ending of its name is the format."""

    def known(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and path.suffix not in endings:
            raise click.BadParameter(f"{str(path)!r}: expected a name that ends with {' or '.join(endings)}")
        return path

    metavar = f"FILE{'|'.join(endings)}"
    return click.option(
        "-o", "--output", required=required, type=click.Path(dir_okay=False, path_type=Path), callback=known,
        metavar=metavar, help="The file to write; an existing one is replaced.",
    )  # fmt: skip
