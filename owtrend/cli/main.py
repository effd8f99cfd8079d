"""The command ``owtrend``: a group of verbs, each imported when it is asked for."""

import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

import click

from owtrend.errors import OwtrendError

__all__ = ["main", "run"]

# By verb its module in this folder and its name there. Other packages add theirs as entry points `owtrend.commands`.
_OWN = {
    "check": ("storing", "check"),
    "clean": ("storing", "clean"),
    "compute": ("computing", "compute"),
    "export": ("results", "export"),
    "merge": ("storing", "merge"),
    "outliers": ("results", "outliers"),
    "remove": ("storing", "remove"),
    "runs": ("storing", "runs"),
    "slice": ("results", "slice_"),
    "status": ("storing", "status"),
    "trends": ("results", "trends"),
}


class _Verbs(click.Group):
    """Verbs of owtrend and of entry points, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_OWN, *_entry_points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _OWN:
            module, name = _OWN[cmd_name]
            return getattr(import_module(f"owtrend.cli.{module}"), name)
        return _entry_points()[cmd_name].load() if cmd_name in _entry_points() else None


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="owtrend.commands")}


@click.group(cls=_Verbs, context_settings={"max_content_width": 100})
@click.version_option(package_name="owtrend")
def main() -> None:
    """Watch detectors over time: snapshots of histograms -> trends that people can trust.

    Try it: owtrend demo
    """


def run(arguments: Sequence[str] | None = None) -> None:
    """The script: an `OwtrendError` is one line on stderr and exit status 1, Ctrl-C is 130."""
    try:
        status = main.main(args=arguments, prog_name="owtrend", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except OwtrendError as error:
        click.echo(f"owtrend: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("owtrend: interrupted; what was committed is safe, the same command continues from there", err=True)
        sys.exit(130)
