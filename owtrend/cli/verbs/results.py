"""owtrend export | histograms | outliers | slice | trends"""

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from owtrend.cli import completing
from owtrend.cli.options import as_json, file_option, runs_option, store_argument, subsystem_option, trend_options
from owtrend.cli.output import finite, plain, print_table, progress_bar, time_after, with_error
from owtrend.display import printable

if TYPE_CHECKING:
    from owtrend.output.tables import RunTable

__all__ = ["export", "list_histograms", "outliers", "slice_", "trends"]

MOST_TRENDS = 200  # lines that somebody reads


@click.command(name="slice")
@store_argument
@click.argument("run", type=int, shell_complete=completing.runs)
@click.argument("subsystem", shell_complete=completing.subsystems)
@click.option("--from", "start", help="Begin after the snapshot at this time, UTC.  [default: the run's beginning]")
@click.option("--to", "stop", help="End with the snapshot at this time, UTC.  [default: the run's end]")
@click.option(
    "--select", multiple=True, shell_complete=completing.histograms,
    help="Only histograms with names like this, e.g. '*QA*'. Repeatable.",
)  # fmt: skip
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
    from owtrend.model.wording import name_list, plural
    from owtrend.output import slices

    summary = slices.export_slice(store, run, subsystem, output, start, stop, select=select)
    if as_json:
        click.echo(json.dumps(vars(summary)))
        return
    click.echo(
        f"{output}: {plural(summary.histograms, 'histogram')} of {subsystem} in run {run}, "
        f"({summary.start or 'its beginning'}, {summary.stop}] UTC"
    )
    counts = (plural(getattr(summary, f"{noun}s"), noun) for noun in ("snapshot", "restart", "gap"))
    click.echo(f"  {', '.join(counts)}")
    for words in dict.fromkeys(summary.steps.values()):
        names = [name for name, found in summary.steps.items() if found == words]
        click.echo(f"  {name_list(names)}: {', '.join(words)}")
    for name, (before, after) in summary.widened.items():
        click.echo(f"  {name}: written as {after}, its numbers do not fit {before}")
    for name in summary.rebinned:
        since = summary.partial.get(name, vars(summary))["start"]
        gained = f"what it gained since {since}" if since else "with everything it held when it first appeared"
        click.echo(f"  {name}: another binning, {gained}")
    for name, place in summary.renamed.items():
        click.echo(f"  {name}: written as {place}, since a folder has its name")
    if summary.absent:
        click.echo(f"  absent: {plural(len(summary.absent), 'histogram')}")


@click.command()
@store_argument
@trend_options
@click.option("--all", "everything", is_flag=True, help=f"Show more than {MOST_TRENDS} trends, too.")
@as_json
def trends(
    store: str, subsystem: str | None, histograms: tuple[str, ...], reductors: tuple[str, ...],
    runs: list[int] | None, everything: bool, as_json: bool,
) -> None:  # fmt: skip
    """Show the trends in STORE run by run: entries, means and widths of whole runs, each with its error.

    Example: owtrend trends archive.zarr --subsystem EMC --histogram '*Centrality*' --reductor mean
    """
    from owtrend.output import tables

    table = tables.run_table(store, subsystem=subsystem, histograms=histograms, reductors=reductors, runs=runs)
    count = sum(table.counts.values())
    if count > MOST_TRENDS and not (as_json or everything):
        _ask_to_choose(store, table, subsystem, histograms, reductors, runs)
    rows = table.rows()
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


def _ask_to_choose(
    store: str, table: "RunTable", subsystem: str | None, histograms: tuple[str, ...], reductors: tuple[str, ...],
    runs: list[int] | None,
) -> NoReturn:  # fmt: skip
    """Print how many trends there are, and the commands that choose fewer; ends with status 2."""

    def command(**chosen: Any) -> str:
        words = ["owtrend", "trends", store, *(("--subsystem", name) if (name := chosen.get("subsystem")) else ())]
        words += [word for name in chosen.get("histograms", histograms) for word in ("--histogram", name)]
        words += [word for name in chosen.get("reductors", reductors) for word in ("--reductor", name)]
        of_runs = chosen.get("runs", runs)
        return printable(shlex.join([*words, *(("--runs", ",".join(map(str, of_runs))) if of_runs else ())]), 400)

    counts = table.counts
    click.echo(f"{sum(counts.values()):,} trends in {store} are too many to read; choose some:", err=True)
    largest = max(table.chosen, key=lambda one: counts[one.subsystem])
    name, entry, run = largest.subsystem, largest.entries[0], largest.runs[-1]
    suggestions = [] if subsystem else [(command(subsystem=name), f"{count:,}") for name, count in counts.items()]
    if not histograms:
        suggestions.append((command(subsystem=name, histograms=[entry.name]), "one histogram"))
    fewer: dict[str, Any] = {"runs": [run]} if len(largest.runs) > 1 else {}
    fewer |= {} if reductors else {"reductors": [largest.reductors[0].name]}
    if fewer:
        what = " and ".join({"runs": "the last run", "reductors": "one reductor"}[key] for key in fewer)
        suggestions.append((command(subsystem=name, **fewer), what))
    width = max(len(text) for text, _ in suggestions) if suggestions else 0
    for text, what in suggestions:
        click.echo(f"  {text:{width}}  # {what}", err=True)
    quoted = shlex.quote(store)
    click.echo(
        f"Names: owtrend histograms {quoted}. All: --all, --json, or owtrend export {quoted} -o trends.csv", err=True
    )
    sys.exit(2)


@click.command(name="histograms")
@store_argument
@click.argument("patterns", nargs=-1, shell_complete=completing.histograms)
@subsystem_option
@runs_option
@as_json
def list_histograms(
    store: str, patterns: tuple[str, ...], subsystem: str | None, runs: list[int] | None, as_json: bool
) -> None:
    """List the histograms in STORE, or those whose names are like PATTERNS: class, bins, and the runs that have it.

    A name alone is a pattern, too; * is any text, ? any character.

    Example: owtrend histograms archive.zarr '*Amp*' --subsystem EMC
    """
    from owtrend.detectors.listing import home
    from owtrend.histograms.listing import histogram_rows
    from owtrend.model.registry import matching
    from owtrend.model.wording import plural, run_names
    from owtrend.store.repository import Store

    reader = Store.open(store).reader()
    homes = [home(reader, name) for name in (reader.subsystems if subsystem is None else (subsystem,))]
    every = [entry for of in homes for entry in of.entries]
    asked = set(matching(every, patterns, reader.location))
    rows = [{**row, "subsystem": of.name} for of in homes for row in histogram_rows(of.view, asked, runs)]
    if as_json:
        print_table(rows, True)
        return
    shown = [{**row, "bins": f"{row['bins']:,}", "runs": run_names(row["runs"])} for row in rows]
    print_table(shown, False, title=f"{plural(len(rows), 'histogram')} in {store}")


@click.command()
@store_argument
@subsystem_option
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
    from owtrend.model.wording import plural

    archive = access.open(store)
    found = (archive.findings if everything else archive.incidents)(subsystem, runs=runs)
    rows = [{name: plain(value) for name, value in row.items()} for row in found.to_dict("records")]
    if as_json:
        print_table([{name: _as_json(value) for name, value in row.items()} for row in rows], True)
        return
    shown = []
    joint = [] if everything else [row for row in rows if len(row["subsystems"]) > 1]
    of_others = _findings_of_others(archive, joint)
    for row in rows:
        first = row["histograms"][0] if everything and row["histograms"] else row["histogram"]
        count = len(row["histograms"]) if everything else row["histograms"]
        what = first + (f" and {count - 1} more" if count > 1 else "") if first else "whole snapshots"
        runs_shown = (row["run"],) if everything else row["runs"]
        where = row["subsystem"] if everything else ", ".join(row["subsystems"])
        sigma = "certain" if row["certain"] else f"{row['z']:.1f}"
        shown.append(
            {
                "id": row["id"], "from": row["start"], "to": time_after(row["stop"], row["start"]),
                "run": f"since {runs_shown[0]}, {len(runs_shown)} runs" if len(runs_shown) > 1 else str(runs_shown[0]),
                "subsystem": where, "histogram": what, "sigma": sigma, "why": _named(row),
            }
        )  # fmt: skip
        if not everything and len(row["subsystems"]) > 1:
            shown[-1]["why"] += _other_reasons(of_others, row)
    what = "finding" if everything else "incident"
    print_table(shown, False, title=f"{plural(len(shown), what)} in {store}, times in UTC")
    if not_scored := archive.not_scored(subsystem, runs=runs):
        names = ", ".join(map(str, not_scored[:5])) + (", ..." if len(not_scored) > 5 else "")
        click.echo(f"Not scored yet: {names}; `owtrend compute {store}` looks for outliers there.")
    if not everything and rows:
        accepted = [row["id"] for row in archive.accepted.to_dict("records") if row["id"] in found["id"].values]
        if accepted:
            click.echo(f"Accepted since they were found: {', '.join(accepted)}; `owtrend compute {store}` scores anew.")
        click.echo(f"Is a new level right? `owtrend accept {store} ID --note WHY` makes it the new normal.")


def _named(row: Mapping[str, Any]) -> str:
    """The reason, after the name of the part of the detector if it has one."""
    return f"{row['place']}: {row['why']}" if row["place"] else str(row["why"])


def _findings_of_others(
    archive: Any, incidents: Sequence[dict[str, Any]]
) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Findings of the further subsystems of incidents, by subsystem and run; each subsystem is read once."""
    runs: dict[str, set[int]] = {}
    for incident in incidents:
        for part in incident["parts"]:
            if part.subsystem != incident["subsystem"]:
                runs.setdefault(part.subsystem, set()).add(part.run)
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for name, of_name in runs.items():
        for row in archive.findings(name, runs=sorted(of_name)).to_dict("records"):
            found.setdefault((name, row["run"]), []).append(row)
    return found


def _other_reasons(findings: Mapping[tuple[str, int], list[dict[str, Any]]], incident: dict[str, Any]) -> str:
    """The most certain reason of each further subsystem of an incident, a line each."""
    lines = ""
    for name in sorted({part.subsystem for part in incident["parts"]} - {incident["subsystem"]}):
        found = [
            row for part in incident["parts"] if part.subsystem == name for row in findings.get((name, part.run), ())
            if row["start"].value >= part.start and row["stop"].value <= part.stop
        ]  # fmt: skip
        if found:
            strongest = max(found, key=lambda row: (row["certain"], -1.0 if row["certain"] else row["z"]))
            first = next(iter(strongest["histograms"]), "")
            named = not first or strongest["why"].startswith((f"{first}:", f"{first} "))
            where = [name] if named else [name, first]
            lines += f"\n{': '.join([*where, _named(strongest)])}"
    return lines


def _as_json(value: Any) -> Any:
    """A cell of the table as JSON holds it: parts of incidents and bins as objects, None for NaN."""
    if isinstance(value, tuple):
        return [_as_json(part) for part in value] if not hasattr(value, "_asdict") else value._asdict()
    return value.to_dict() if hasattr(value, "to_dict") else finite(value)


@click.command(name="export")
@store_argument
@trend_options
@click.option("--conditions", default="", help="Also these conditions of runs, separated by commas; '*': all.")
@file_option(".parquet", ".csv", ".ndjson")
@as_json
def export(
    store: str, subsystem: str | None, histograms: tuple[str, ...], reductors: tuple[str, ...],
    runs: list[int] | None, conditions: str, output: Path, as_json: bool,
) -> None:  # fmt: skip
    """Write the trends in STORE as a table: a row per run, subsystem and snapshot, two columns per trend.

    Columns are run, subsystem, time (UTC); <histogram>:<reductor> and <histogram>:<reductor>:error;
    <histogram>:exposure in seconds and <histogram>:reported.

    Example: owtrend export archive.zarr --subsystem EMC --reductor mean -o trends.parquet
    """
    from owtrend.model.wording import plural
    from owtrend.output import tables

    with progress_bar() as progress:
        summary = tables.export_trends(
            store, output, subsystem=subsystem, histograms=histograms, reductors=reductors, runs=runs,
            conditions=[one.strip() for one in conditions.split(",") if one.strip()], progress=progress,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(vars(summary)))
    else:
        click.echo(
            f"{output}: {plural(summary.rows, 'row')} of {plural(summary.runs, 'run')}, "
            f"{plural(summary.trends, 'trend')}, {summary.bytes / 1e6:,.1f} MB"
        )
