"""Arguments and options that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["as_json", "file_option", "modules_option", "runs_option", "store_argument", "trend_options"]

as_json = click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")


def store_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("store", type=str)(function)


def _run_numbers(_: click.Context, __: click.Parameter, text: str | None) -> list[int] | None:
    try:
        return [int(run) for run in text.split(",")] if text else None
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: expected run numbers such as 300000,300001") from error


runs_option = click.option("--runs", callback=_run_numbers, help="Only these run numbers, separated by commas.")


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
            help="Only histograms with names like this, e.g. '*QA*'. Repeatable.",
        ),
        click.option("--subsystem", help="Only this subsystem.  [default: all]"),
    ):
        function = option(function)
    return function


def file_option(*endings: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option for the file to write; the ending of its name is the format."""

    def known(_: click.Context, __: click.Parameter, path: Path) -> Path:
        if path.suffix not in endings:
            raise click.BadParameter(f"{str(path)!r}: expected a name that ends with {' or '.join(endings)}")
        return path

    metavar = f"FILE{'|'.join(endings)}"
    return click.option(
        "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), callback=known,
        metavar=metavar, help="The file to write; an existing one is replaced.",
    )  # fmt: skip
