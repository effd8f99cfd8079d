"""The command ``owtrend``: a group of verbs, each imported when it is asked for."""

import atexit
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

import click

from owtrend.display import printable
from owtrend.errors import OwtrendError

__all__ = ["leave", "main", "run", "status"]

# By verb its module in `verbs` and its name there. Other packages add theirs as entry points `owtrend.commands`.
_OWN = {
    "accept": ("accepting", "accept"),
    "ack": ("alarms", "ack"),
    "alarms": ("alarms", "alarms"),
    "check": ("storing", "check"),
    "clean": ("storing", "clean"),
    "close": ("alarms", "close"),
    "comment": ("alarms", "comment"),
    "compare-passes": ("computing", "compare_passes"),
    "compute": ("computing", "compute"),
    "conditions": ("conditions", "conditions"),
    "deliver": ("alarms", "deliver"),
    "derived": ("detectors", "derived"),
    "detectors": ("detectors", "list_detectors"),
    "export": ("results", "export"),
    "flag": ("flagging", "flag"),
    "good-runs": ("flagging", "good_runs"),
    "groups": ("detectors", "groups"),
    "histograms": ("results", "list_histograms"),
    "hot-channels": ("detectors", "hot_channels"),
    "kinds": ("storing", "kinds"),
    "merge": ("storing", "merge"),
    "outliers": ("results", "outliers"),
    "remove": ("storing", "remove"),
    "repair": ("storing", "repair"),
    "runs": ("storing", "runs"),
    "schedule": ("scheduling", "schedule"),
    "sign-off": ("flagging", "sign_off"),
    "silence": ("alarms", "silence"),
    "slice": ("results", "slice_"),
    "status": ("storing", "status"),
    "trends": ("results", "trends"),
    "upgrade": ("storing", "upgrade"),
}


class _Verbs(click.Group):
    """Verbs of owtrend and of entry points, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_OWN, *_entry_points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _OWN:
            module, name = _OWN[cmd_name]
            return getattr(import_module(f"owtrend.cli.verbs.{module}"), name)
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


def run() -> NoReturn:
    """The script: run the command that was typed, and end the process with its exit status."""
    result = status()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C: the end has begun
    leave(result)


def status(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: any error is one line on stderr and 1, Ctrl-C is 130.

    ``arguments`` are those of the command line, if none are given.
    """
    warned: set[str] = set()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: _show_warning(message, warned)
            result = main.main(args=arguments, prog_name="owtrend", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except OwtrendError as error:
        if str(error) not in warned:
            click.echo("\n".join(printable(line, 2000) for line in f"owtrend: {error}".splitlines()), err=True)
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("owtrend: interrupted; what was committed is safe, the same command continues from there", err=True)
        return 130
    except BrokenPipeError:  # as in `owtrend runs STORE | head -1`
        return 1
    except Exception as error:  # a fault of owtrend: one line, and a file with its traceback
        from owtrend.cli.unexpected import explain

        click.echo(f"owtrend: {explain(error, sys.argv[1:] if arguments is None else arguments)}", err=True)
        return 1


def _show_warning(message: Warning | str, warned: set[str]) -> None:
    """Print a warning as one line, like an error, and note it."""
    warned.add(str(message))
    click.echo(f"owtrend: {printable(str(message), 2000)}", err=True)


def leave(status: int) -> NoReturn:
    """End the process: run what was registered by `atexit`, flush, and leave the interpreter standing.

    Threads of Icechunk ask for the interpreter's lock whenever they finish something. If Python is being torn down just
    then, the process dies of SIGABRT or SIGBUS: without this, one failing command of thirty did.
    """
    try:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):  # closed, or nobody reads any more
                status = status or 1
    finally:
        os._exit(status)
