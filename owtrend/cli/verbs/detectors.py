"""owtrend derived | detectors | groups | hot-channels"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from owtrend.cli import completing
from owtrend.cli.options import as_json, store_argument
from owtrend.cli.output import finite, plain, print_table, with_error

__all__ = ["derived", "groups", "hot_channels", "list_detectors"]


def _settings(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{text!r}: expected NAME=VALUE; `owtrend detectors` lists the options")
        found[name.strip()] = value.strip()
    return found


def _interval_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Run and subsystem, an interval, patterns, options of the plug-in."""
    for option in (
        click.option(
            "--option", "options", multiple=True, callback=_settings, metavar="NAME=VALUE",
            help="An option of the plug-in; `owtrend detectors` lists them. Repeatable.",
        ),
        click.option("--select", multiple=True, help="Only histograms with names like this. Repeatable."),
        click.option("--to", "stop", help="End with the snapshot at this time, UTC.  [default: the run's end]"),
        click.option(
            "--from", "start", help="Begin after the snapshot at this time, UTC.  [default: the run's beginning]"
        ),
        click.argument("subsystem", shell_complete=completing.subsystems),
        click.argument("run", type=int, shell_complete=completing.runs),
        store_argument,
    ):  # fmt: skip
        function = option(function)
    return function


@click.command(name="hot-channels")
@_interval_options
@as_json
def hot_channels(
    store: str, run: int, subsystem: str, start: str | None, stop: str | None, select: tuple[str, ...],
    options: dict[str, str], as_json: bool,
) -> None:  # fmt: skip
    """List the channels of SUBSYSTEM with more content per event than a threshold, in an interval of RUN.

    Events are those of the interval. Each histogram has its threshold in the plug-in; the option hot_channel_threshold
    sets another.

    Example: owtrend hot-channels archive.zarr 300000 EMC --from 12:10 --to 12:40
    """
    from owtrend import archive as access
    from owtrend.model.wording import plural

    found = access.open(store).hot_channels(subsystem, run, start, stop, select=select, options=options)
    rows = [{name: finite(plain(value)) for name, value in row.items()} for row in found.to_dict("records")]
    if as_json:
        print_table(rows, True)
        return
    shown = [
        {
            "histogram": row["histogram"], "channel": row["channel"],
            "per event": with_error(row["rate"], row["error"]), "threshold": f"{row['threshold']:g}",
            "place": row["place"],
        }
        for row in rows
    ]  # fmt: skip
    print_table(shown, False, title=f"{plural(len(rows), 'hot channel')} of {subsystem} in run {run}")


@click.command()
@_interval_options
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.root",
    help="Write the projections as ROOT histograms; an existing file is replaced.",
)  # fmt: skip
@as_json
def derived(
    store: str, run: int, subsystem: str, start: str | None, stop: str | None, select: tuple[str, ...],
    options: dict[str, str], output: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Make the derived histograms of SUBSYSTEM for an interval of RUN: projections, overlays and ratios.

    Without -o they are listed with their sums.

    Example: owtrend derived archive.zarr 300000 TPC --select 'DCAr*' -o sides.root
    """
    from owtrend import archive as access
    from owtrend.model.wording import plural

    found = access.open(store).derived(subsystem, run, start, stop, select=select, options=options)
    if output is not None:
        from owtrend.output.slices import write_histograms

        count = write_histograms(output, [one for one in found.values() if "contents" in one])
        click.echo(f"{output}: {plural(count, 'projection')} of {subsystem} in run {run}")
        return
    rows = [
        {
            "name": name, "title": str(one.attrs.get("title", "")), "made of": str(one.attrs.get("derived_from", "")),
            "sum": float((one["contents"] if "contents" in one else one["value"]).sum()),
        }
        for name, one in found.items()
    ]  # fmt: skip
    if as_json:
        print_table([{**row, "sum": finite(row["sum"])} for row in rows], True)
        return
    shown = [{**row, "sum": f"{row['sum']:.6g}"} for row in rows]
    print_table(shown, False, title=f"{plural(len(rows), 'derived histogram')} of {subsystem} in run {run}")


@click.command()
@store_argument
@click.argument("subsystem", shell_complete=completing.subsystems)
@click.option("--run", type=int, shell_complete=completing.runs, help="Only histograms of this run.")
@click.option("--group", help="Only groups with names like this, such as 'Gamma*'.")
@as_json
def groups(store: str, subsystem: str, run: int | None, group: str | None, as_json: bool) -> None:
    """List the histograms of SUBSYSTEM in the groups of its plug-in, with their titles, and what is derived from them.

    SUBSYSTEM may be one whose histograms lie in the files of another, such as V0 in those of HLT.

    Example: owtrend groups archive.zarr EMC --group 'FastOR*'
    """
    from fnmatch import fnmatchcase

    from owtrend import archive as access
    from owtrend.errors import NotFoundError, hint
    from owtrend.model.wording import plural

    found = access.open(store).groups(subsystem, run).reset_index()
    rows = found.to_dict("records")
    known = list(dict.fromkeys(str(row["group"]) for row in rows))
    if group is not None:
        rows = [row for row in rows if fnmatchcase(str(row["group"]).lower(), group.lower())]
        if not rows:
            raise NotFoundError(f"{subsystem} has no group like {group!r}{hint(group, known)}; {', '.join(known)}")
    rows = [{**row, "sources": list(row["sources"])} for row in rows]
    if as_json:
        print_table(rows, True)
        return
    shown = [
        {
            "group": row["group"], "title": row["title"], "histogram": row["name"],
            "made of": f"{row['kind']} of {', '.join(row['sources'])}" if row["sources"] else "",
        }
        for row in rows
    ]  # fmt: skip
    number = len({row["group"] for row in rows})
    print_table(shown, False, title=f"{plural(number, 'group')} of {subsystem} in {store}")


@click.command(name="detectors")
@click.argument("subsystems", nargs=-1)
@as_json
def list_detectors(subsystems: tuple[str, ...], as_json: bool) -> None:
    """List the installed plug-ins with the package of each and its options, or those of SUBSYSTEMS.

    A plug-in is an `owtrend.detectors.Detector` that a package names as an entry point `owtrend.detectors`. One that
    cannot be used is listed with the reason.

    Example: owtrend detectors EMC
    """
    from owtrend.detectors.plugins import installed
    from owtrend.errors import NotFoundError, hint

    found = installed()
    for name in subsystems:
        if name not in found.detectors:
            there = ", ".join(sorted(found.detectors)) or "none"
            raise NotFoundError(f"no plug-in for {name!r}{hint(name, found.detectors)}; there are {there}")
    rows: list[dict[str, Any]] = [
        {
            "subsystem": name, "package": found.packages[name], "groups": len(one.groups), "derived": len(one.derived),
            "host": "" if one.host is None else one.host.subsystem,
            "options": [
                {"name": option.name, "default": option.default, "expects": option.expects, "help": option.help}
                for option in one.options
            ],
        }
        for name, one in sorted(found.detectors.items()) if not subsystems or name in subsystems
    ]  # fmt: skip
    problems = [] if subsystems else [{"plug-in": name, "problem": why} for name, why in found.problems.items()]
    if as_json:
        print_table([*rows, *problems], True)
        return
    shown = [{**row, "options": "\n".join(map(_option_words, row["options"]))} for row in rows]
    print_table(shown, False, title="Detectors")
    if problems:
        print_table(problems, False, title="Cannot be used")


def _option_words(option: dict[str, Any]) -> str:
    default = {True: "yes", False: "no"}.get(option["default"]) if isinstance(option["default"], bool) else None
    shown = option["default"] if default is None else default
    return f"{option['name']}={shown}: {option['help']} ({option['expects']})"
