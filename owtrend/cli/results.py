"""owtrend export | outliers | slice | trends"""

import json
from pathlib import Path
from typing import Any

import click

from owtrend.cli.options import as_json, file_option, runs_option, store_argument, trend_options
from owtrend.cli.output import finite, plain, print_table, progress_bar, with_error

__all__ = ["export", "outliers", "slice_", "trends"]

_CERTAIN = 37.0  # sigma; the probability of more is below the smallest float


@click.command(name="slice")
@store_argument
@click.argument("run", type=int)
@click.argument("subsystem")
@click.option("--from", "start", help="Begin after the snapshot at this time, UTC.  [default: the run's beginning]")
@click.option("--to", "stop", help="End with the snapshot at this time, UTC.  [default: the run's end]")
@click.option("--select", multiple=True, help="Only histograms with names like this, e.g. '*QA*'. Repeatable.")
@file_option(".root")
@as_json
def slice_(
    store: str, run: int, subsystem: str, start: str | None, stop: str | None, select: tuple[str, ...], output: Path,
    as_json: bool,
) -> None:  # fmt: skip
    """Write what the histograms of SUBSYSTEM gained in an interval of RUN as a ROOT file.

    The file holds ROOT's own histograms, of the class in which they were received. A histogram whose numbers do not fit
    its class (a weighted TH1F, a difference of full bins) gets the next wider class, and is listed.

    Example: owtrend slice archive.zarr 300000 EMC --from 10:00 --to 10:30 -o late.root
    """
    from owtrend.output import slices

    summary = slices.export_slice(store, run, subsystem, output, start, stop, select=select)
    if as_json:
        click.echo(json.dumps(vars(summary)))
        return
    click.echo(
        f"{output}: {summary.histograms} histograms of {subsystem} in run {run}, "
        f"({summary.start or 'its beginning'}, {summary.stop}] UTC"
    )
    click.echo(f"  {summary.snapshots} snapshots, {summary.restarts} restarts, {summary.gaps} gaps")
    for name, (before, after) in summary.widened.items():
        click.echo(f"  {name}: written as {after}, its numbers do not fit {before}")
    for name in summary.rebinned:
        since = summary.partial.get(name, vars(summary))["start"]
        gained = f"what it gained since {since}" if since else "with everything it held when it first appeared"
        click.echo(f"  {name}: another binning, {gained}")
    for name, place in summary.renamed.items():
        click.echo(f"  {name}: written as {place}, since a folder has its name")
    if summary.absent:
        click.echo(f"  {len(summary.absent)} histograms were absent")


@click.command()
@store_argument
@trend_options
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
         "value": with_error(row["value"], row["error"])}
        for row in rows
    ]  # fmt: skip
    print_table(shown, False, title=f"Trends of whole runs in {store}")


@click.command()
@store_argument
@click.option("--subsystem", help="Only this subsystem.  [default: all]")
@runs_option
@click.option("--all", "everything", is_flag=True, help="Show each report of each histogram instead of incidents.")
@as_json
def outliers(store: str, subsystem: str | None, runs: list[int] | None, everything: bool, as_json: bool) -> None:
    """Show what is wrong in STORE, since when and why: incidents, each with its most certain reason.

    Findings of one subsystem at most two reports apart are one incident; overlapping ones of several subsystems are
    joined, and what goes on in the next run. Times are UTC. `owtrend compute` looks for them; the configuration sets
    the expected number of false alarms.

    Example: owtrend outliers archive.zarr --runs 300001,300002
    """
    from owtrend import archive as access

    archive = access.open(store)
    found = (archive.findings if everything else archive.incidents)(subsystem, runs=runs)
    rows = [{name: plain(value) for name, value in row.items()} for row in found.to_dict("records")]
    if as_json:
        print_table([{name: _as_json(value) for name, value in row.items()} for row in rows], True)
        return
    shown = []
    for row in rows:
        first = row["histograms"][0] if everything and row["histograms"] else row["histogram"]
        count = len(row["histograms"]) if everything else row["histograms"]
        what = first + (f" and {count - 1} more" if count > 1 else "") if first else "whole snapshots"
        runs_shown = (row["run"],) if everything else row["runs"]
        where = row["subsystem"] if everything else ", ".join(row["subsystems"])
        sigma = "certain" if row["certain"] or row["z"] > _CERTAIN else f"{row['z']:.1f}"
        same_day = row["start"].split()[0] == row["stop"].split()[0]
        shown.append(
            {
                "id": row["id"], "from": row["start"], "to": row["stop"].split()[-1] if same_day else row["stop"],
                "run": f"since {runs_shown[0]}, {len(runs_shown)} runs" if len(runs_shown) > 1 else str(runs_shown[0]),
                "subsystem": where, "histogram": what, "sigma": sigma, "why": row["why"],
            }
        )  # fmt: skip
    what = "findings" if everything else "incidents"
    print_table(shown, False, title=f"{len(shown)} {what} in {store}, times in UTC")


def _as_json(value: Any) -> Any:
    """A cell of the table as JSON holds it: parts of incidents and bins as objects, None for NaN."""
    if isinstance(value, tuple):
        return [_as_json(part) for part in value] if not hasattr(value, "_asdict") else value._asdict()
    return value.to_dict() if hasattr(value, "to_dict") else finite(value)


@click.command(name="export")
@store_argument
@trend_options
@file_option(".parquet", ".csv", ".ndjson")
@as_json
def export(
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
