"""The command ``owtrend``: its own verbs, and those that other packages add by entry points."""

import json
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from math import floor, isfinite, log10
from pathlib import Path
from typing import Any

import click

from owtrend.errors import OwtrendError

__all__ = ["as_json", "main", "print_quarantine", "print_table", "progress_bar", "run", "store_size"]


class _Verbs(click.Group):
    """Verbs from entry points, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_entry_points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is None and cmd_name in _entry_points():
            own = _entry_points()[cmd_name].load()
        return own


def _entry_points() -> dict[str, Any]:
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
        click.echo("owtrend: interrupted; what was committed is safe, and the same call goes on from there", err=True)
        sys.exit(130)


as_json = click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")


def progress_bar() -> Any:
    """A context manager that shows a bar with rate and time left on stderr, and gives the callback that moves it."""
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
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
            tasks: dict[str, Any] = {}

            def move(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = shown.add_task(what, total=total, rate="")
                speed = shown.tasks[tasks[what]].speed
                shown.update(tasks[what], completed=done, total=total, rate=f"{speed:.0f}/s" if speed else "")

            yield move

    return bar()


def print_table(rows: Sequence[dict[str, Any]], as_json: bool, title: str = "") -> None:
    """Rows as a table for people, or as JSON; to stdout."""
    if as_json:
        click.echo(json.dumps(list(rows), indent=1, default=str))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left")
    for name in rows[0] if rows else ():
        numeric = isinstance(rows[0][name], int | float)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console(markup=False, emoji=False).print(table if rows else f"{title}: nothing")


def _store_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    return click.argument("store", type=str)(function)


def _run_numbers(_: click.Context, __: click.Parameter, text: str | None) -> list[int] | None:
    try:
        return [int(run) for run in text.split(",")] if text else None
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: expected run numbers such as 300000,300001") from error


_runs_option = click.option("--runs", callback=_run_numbers, help="Only these run numbers, separated by commas.")


def _trend_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Which trends."""
    for option in (
        _runs_option,
        click.option("--reductor", "reductors", multiple=True, help="Only this one, e.g. mean. Repeatable."),
        click.option("--histogram", "histograms", multiple=True, help="Only names like this, e.g. '*QA*'. Repeatable."),
        click.option("--subsystem", help="Only of this one.  [default: all]"),
    ):
        function = option(function)
    return function


def _file_option(*endings: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Where to write to; the ending of the name is the format."""

    def known(_: click.Context, __: click.Parameter, path: Path) -> Path:
        if path.suffix not in endings:
            raise click.BadParameter(f"{str(path)!r}: expected a name that ends with {' or '.join(endings)}")
        return path

    metavar = f"FILE{'|'.join(endings)}"
    return click.option(
        "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), callback=known,
        metavar=metavar, help="The file to write; one that is there is replaced.",
    )  # fmt: skip


@main.command()
@_store_argument
@_runs_option
@click.option("--config", type=click.Path(dir_okay=False), help="YAML file of settings; STORE keeps them.")
@click.option("--force", is_flag=True, help="Compute again what has not changed, too.")
@click.option("--trends-only", is_flag=True, help="Do not look for outliers.")
@click.option("--workers", type=click.IntRange(0), help="Local worker processes; 0 for threads.  [default: all cores]")
@click.option("--scheduler", help="Address of an existing Dask scheduler.")
@as_json
def compute(
    store: str, runs: list[int] | None, config: str | None, force: bool, trends_only: bool, workers: int | None,
    scheduler: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Compute the trends of what changed in STORE, look for outliers, and keep both beside the data.

    The settings of --config say where events are counted, which reductors are kept beside the default ones, and how
    many false alarms there may be. `owtrend outliers` shows what was found.

    Example: owtrend compute archive.zarr --config owtrend.yaml
    """
    from owtrend.compute import compute
    from owtrend.config import load

    settings = load(config) if config else None
    with progress_bar() as progress:
        summary = compute.compute(
            store,
            config=settings,
            runs=runs,
            force=force,
            scores=not trends_only,
            workers=workers,
            scheduler=scheduler,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(vars(summary)))
    else:
        click.echo(
            f"{store}: {summary.points:,} trend points of {summary.runs} run x subsystem computed in "
            f"{summary.seconds:.1f} s ({summary.bytes / 1e6 / max(summary.seconds, 1e-9):,.0f} MB/s of float64 cells), "
            f"{summary.unchanged} unchanged; {summary.scored} scored"
        )


@main.command(name="runs")
@_store_argument
@as_json
def runs_(store: str, as_json: bool) -> None:
    """List the runs in STORE.

    Example: owtrend runs archive.zarr --json
    """
    from owtrend import archive

    table = archive.open(store).runs.reset_index()
    rows = [{name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")]
    print_table(rows, as_json, title=f"Runs in {store}, times in UTC")


@main.command()
@_store_argument
@click.option("--digest", is_flag=True, help="Print nothing but the digest of the contents.")
@as_json
def check(store: str, digest: bool, as_json: bool) -> None:
    """Read all of STORE and verify that it holds what was put in; exit status 1 if it does not.

    The digest is that of the contents, sorted by subsystem, run, time and histogram: equal digests mean equal
    contents, however they got there.

    Example: owtrend check archive.zarr --digest
    """
    from owtrend.store.check import check as verify
    from owtrend.store.repository import Store

    with progress_bar() as progress:
        report = verify(Store.open(store).reader(), progress)
    if as_json:
        click.echo(json.dumps(vars(report)))
    elif digest:
        click.echo(report.digest)
    else:
        click.echo(f"{store}: {report.rows:,} rows, {report.cells:,} cells read, digest {report.digest}")
        click.echo(
            f"  {report.restarts:,} restarts of histograms, {report.moved:,} times that entries moved between bins"
        )
        for problem in report.problems:
            click.echo(f"  PROBLEM: {problem}")
        click.echo("  everything as it was put in" if not report.problems else f"  {len(report.problems)} problems")
    if report.problems:
        sys.exit(1)


@main.command()
@_store_argument
@click.argument("run", type=int)
@click.option("--why", required=True, help="The reason, which the ledger keeps.")
@click.option("--subsystem", help="Only of this one.  [default: of all]")
def remove(store: str, run: int, why: str, subsystem: str | None) -> None:
    """Take RUN out of STORE, for good files to be ingested in its place. Tags keep what they have.

    Example: owtrend remove archive.zarr 300000 --why "wrong calibration, taken in again"
    """
    from owtrend.store import repair
    from owtrend.store.repository import Store

    repair.remove_run(Store.open(store), run, why=why, subsystem=subsystem)
    click.echo(f"{store}: run {run} is out; `owtrend compute {store}` brings the trends up to date")


@main.command()
@_store_argument
@click.argument("source", type=str)
@click.option("--why", required=True, help="The reason, which the ledger keeps.")
def merge(store: str, source: str, why: str) -> None:
    """Add all rows of the store SOURCE to STORE; what is there already is not added again.

    Example: owtrend merge archive.zarr laptop.zarr --why "taken while the server was down"
    """
    from owtrend.store import repair
    from owtrend.store.repository import Store

    with progress_bar() as progress:
        counts = repair.merge(Store.open_or_create(store), Store.open(source), why=why, progress=progress)
    click.echo(f"{store}: " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))


@main.command()
@_store_argument
@click.option("--older-than", default=7.0, show_default=True, help="Days that versions are kept.")
def clean(store: str, older_than: float) -> None:
    """Give up versions of STORE that are older, and the disk space that only they use. Tagged versions stay.

    Example: owtrend clean archive.zarr --older-than 30
    """
    from datetime import timedelta

    from owtrend.store.repository import Store

    freed = Store.open(store).clean(timedelta(days=older_than))
    click.echo(f"{store}: {freed / 1e6:,.1f} MB freed")


@main.command()
@_store_argument
@as_json
def status(store: str, as_json: bool) -> None:
    """Show what STORE holds, which trends and scores are stale and why, and what could not be taken in.

    Example: owtrend status archive.zarr
    """
    from owtrend import archive as access

    archive = access.open(store)
    rows = []
    for name in archive.subsystems:
        histograms = archive.histograms(name)
        rows.append(
            {
                "subsystem": name,
                "runs": archive.runs["subsystems"].map(lambda held, name=name: name in held.split(", ")).sum().item(),
                "histograms": len(histograms),
                "bins": int(histograms["bins"].sum()),
                "last snapshot (UTC)": _plain(archive.last_time(name)),
            }
        )
    quarantine = [{k: _plain(v) for k, v in row.items()} for row in archive.quarantine.to_dict("records")]
    if as_json:
        stale = archive.stale.to_dict("records")
        told = {"version": archive.version, "subsystems": rows, "stale": stale, "quarantine": quarantine}
        click.echo(json.dumps(told, indent=1))
        return
    print_table(rows, False, title=f"{store}, version {archive.version}")
    _print_stale(store, archive)
    print_quarantine(quarantine)


def _print_stale(store: str, archive: Any) -> None:
    """How much is stale, and why."""
    found = archive.stale
    counts = found.groupby(["subsystem", "what", "reason"], sort=False)["run"].agg(["count", "min", "max"])
    rows = [
        {"subsystem": name, "what": what, "runs": int(row["count"]), "first": int(row["min"]), "last": int(row["max"]),
         "reason": reason}
        for (name, what, reason), row in counts.iterrows()
    ]  # fmt: skip
    if rows:
        print_table(rows, False, title=f"Not up to date; `owtrend compute {store}` makes it so")


@main.command(name="slice")
@_store_argument
@click.argument("run", type=int)
@click.argument("subsystem")
@click.option("--from", "start", help="Begin after the snapshot at this time, UTC.  [default: the run's beginning]")
@click.option("--to", "stop", help="End with the snapshot at this time, UTC.  [default: the run's end]")
@click.option("--select", multiple=True, help="Only histograms like this, e.g. '*QA*'. Repeatable.")
@_file_option(".root")
@as_json
def slice_(
    store: str, run: int, subsystem: str, start: str | None, stop: str | None, select: tuple[str, ...], output: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Write what the histograms of SUBSYSTEM gained in a part of RUN as a ROOT file.

    It holds genuine histograms, of the class that they came in. What does not fit the type of its class any more (a
    weighted TH1F, a difference of full bins) gets the next wider class, and is listed.

    Example: owtrend slice archive.zarr 300000 EMC --from 10:00 --to 10:30 -o late.root
    """
    from owtrend.output import tables

    summary = tables.export_slice(store, run, subsystem, output, start, stop, select=select)
    if as_json:
        click.echo(json.dumps(vars(summary)))
        return
    click.echo(
        f"{output}: {summary.histograms} histograms of {subsystem} in run {run}, "
        f"({summary.start or 'its beginning'}, {summary.stop}] UTC"
    )
    click.echo(f"  {summary.snapshots} snapshots, {summary.restarts} restarts, {summary.gaps} gaps")
    for name, (before, after) in summary.widened.items():
        click.echo(f"  {name}: {after}, for its numbers do not fit {before}")
    for name in summary.rebinned:
        since = summary.partial.get(name, vars(summary))["start"]
        gained = f"what it gained since {since}" if since else "with all that it held when it first came"
        click.echo(f"  {name}: a further binning, {gained}")
    for name, place in summary.renamed.items():
        click.echo(f"  {name}: is {place} in the file, where a folder has its name")
    if summary.absent:
        click.echo(f"  {len(summary.absent)} histograms were not there")


@main.command()
@_store_argument
@_trend_options
@as_json
def trends(
    store: str, subsystem: str | None, histograms: tuple[str, ...], reductors: tuple[str, ...],
    runs: list[int] | None, as_json: bool,
) -> None:  # fmt: skip
    """Show the trends in STORE run by run: entries, means and widths of whole runs, each with its error.

    Example: owtrend trends archive.zarr --subsystem EMC --histogram '*Centrality*' --reductor mean
    """
    from owtrend.output import tables

    rows = tables.run_table(store, subsystem=subsystem, histograms=histograms, reductors=reductors, runs=runs)
    if as_json:
        finite = [{name: None if value != value else value for name, value in row.items()} for row in rows]
        print_table(finite, True)
        return
    shown = [
        {**{name: row[name] for name in ("run", "subsystem", "histogram", "reductor")},
         "value": _with_error(row["value"], row["error"])}
        for row in rows
    ]  # fmt: skip
    print_table(shown, False, title=f"Trends of whole runs in {store}")


@main.command()
@_store_argument
@click.option("--subsystem", help="Only of this one.  [default: all]")
@_runs_option
@click.option("--all", "everything", is_flag=True, help="Each report of each histogram, not joined to incidents.")
@as_json
def outliers(store: str, subsystem: str | None, runs: list[int] | None, everything: bool, as_json: bool) -> None:
    """Show what is wrong in STORE, since when and why: incidents, the surest reason of each.

    Flags of one subsystem that are at most two reports apart are one incident, and those of several subsystems that
    overlap. Times are UTC. `owtrend compute` looks for them; the configuration tells how many may come by chance.

    Example: owtrend outliers archive.zarr --runs 300001,300002
    """
    from owtrend import archive as access

    archive = access.open(store)
    found = (archive.findings if everything else archive.incidents)(subsystem, runs=runs)
    rows = [{name: _plain(value) for name, value in row.items()} for row in found.to_dict("records")]
    if as_json:
        print_table([{name: _finite(value) for name, value in row.items()} for row in rows], True)
        return
    shown = []
    for row in rows:
        first = row["histograms"][0] if everything and row["histograms"] else row["histogram"]
        count = len(row["histograms"]) if everything else row["histograms"]
        what = first + (f" and {count - 1} more" if count > 1 else "") if first else "whole snapshots"
        numbers = [row["run"]] if everything else row["runs"]
        where = row["subsystem"] if everything else ", ".join(row["subsystems"])
        shown.append(
            {
                "from": row["start"], "to": row["stop"].split()[-1], "run": ", ".join(map(str, numbers)),
                "subsystem": where, "histogram": what, "sigma": "sure" if row["z"] > _SURE else f"{row['z']:.1f}",
                "why": row["why"],
            }
        )  # fmt: skip
    what = "flags" if everything else "incidents"
    print_table(shown, False, title=f"{len(shown)} {what} in {store}, times in UTC")


@main.command(name="export")
@_store_argument
@_trend_options
@_file_option(".parquet", ".csv", ".ndjson")
@as_json
def export_(
    store: str, subsystem: str | None, histograms: tuple[str, ...], reductors: tuple[str, ...],
    runs: list[int] | None, output: Path, as_json: bool,
) -> None:  # fmt: skip
    """Write the trends in STORE as a table: a row per run, subsystem and snapshot, two columns per trend.

    Columns are run, subsystem, time (UTC); <histogram>:<reductor> and <histogram>:<reductor>:error;
    <histogram>:exposure in seconds and <histogram>:reported.

    Example: owtrend export archive.zarr --subsystem EMC --reductor mean -o trends.parquet
    """
    from owtrend.output import tables

    with progress_bar() as progress:
        summary = tables.export_trends(
            store, output, subsystem=subsystem, histograms=histograms, reductors=reductors, runs=runs,
            progress=progress,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(vars(summary)))
    else:
        click.echo(
            f"{output}: {summary.rows:,} rows of {summary.runs} runs, {summary.trends} trends, "
            f"{summary.bytes / 1e6:,.1f} MB"
        )


_SURE = 37.0  # sigma, beyond which a probability is no number any more


def _finite(value: Any) -> Any:
    """JSON knows no infinity: what is no matter of chance has no sigma."""
    return None if isinstance(value, float) and not isfinite(value) else value


def _with_error(value: float, error: float) -> str:
    """``12.34 ± 0.56``: as many digits as the error has two of."""
    if value != value:
        return "nothing gained"
    if not (isfinite(error) and error > 0):
        return f"{value:.6g} ± {error:.2g}"
    digits = max(1 - floor(log10(error)), 0)
    return f"{value:.{digits}f} ± {error:.{digits}f}" if digits < 12 else f"{value:.12g} ± {error:.2g}"


def print_quarantine(rows: Sequence[dict[str, Any]], limit: int | None = None) -> None:
    """What could not be taken in: one line per file and reason, however many objects it is; at most ``limit``."""
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


def _plain(value: Any) -> Any:
    """A table cell as JSON has it."""
    import pandas as pd

    if isinstance(value, pd.Timestamp):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, pd.Timedelta):
        return str(value).replace("0 days ", "")
    return None if pd.api.types.is_scalar(value) and pd.isna(value) else value


def store_size(location: str) -> int:
    """Bytes of a local store on disk; 0 elsewhere."""
    folder = Path(location)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
