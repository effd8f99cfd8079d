"""owtrend check | clean | kinds | merge | remove | repair | runs | status | upgrade"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from owtrend.cli import completing
from owtrend.cli.options import Number, as_json, runs_option, store_argument, subsystem_option
from owtrend.cli.output import plain, print_quarantine, print_table, progress_bar, time_after
from owtrend.cli.verbs.scheduling import job_table, print_jobs
from owtrend.errors import StoreDamagedWarning

__all__ = ["check", "clean", "kinds", "merge", "remove", "repair", "runs", "status", "upgrade"]

_MOST_CHANGES = 20  # printed


@click.command(name="runs")
@store_argument
@click.option("--last", type=click.IntRange(min=1), help="Only the latest so many runs.")
@runs_option
@click.option("--conditions", is_flag=True, help="With the conditions of each run.")
@as_json
def runs(store: str, last: int | None, runs: list[int] | None, conditions: bool, as_json: bool) -> None:
    """List the runs in STORE.

    Example: owtrend runs archive.zarr --last 20
    """
    from owtrend import archive as access

    archive = access.open(store)
    table = archive.runs.join(archive.conditions.add_prefix("condition: ")) if conditions else archive.runs
    table = (table if runs is None else table[table.index.isin(runs)]).reset_index()
    if last is not None:
        table = table.sort_values("start", kind="stable").tail(last)
    rows = [{name: plain(value) for name, value in row.items()} for row in table.to_dict("records")]
    if not as_json:
        rows = [{**row, "stop": time_after(row["stop"], row["start"])} for row in rows]
    print_table(rows, as_json, title=f"Runs in {store}, times in UTC")


@click.command()
@store_argument
@as_json
def kinds(store: str, as_json: bool) -> None:
    """List the histograms of STORE that are no plain counters, and why: gauges, those reset at each snapshot, restarts.

    Where it is not right, say what a histogram is in the configuration: subsystems: {EMC: {kinds: {NAME: counter}}},
    or gauge, or reset; then `owtrend compute STORE -c CONFIG`.

    Example: owtrend kinds archive.zarr
    """
    from owtrend import archive as access
    from owtrend.model.wording import plural, run_names

    archive = access.open(store)
    table = archive.kinds
    rows = [{name: plain(value) for name, value in row.items()} for row in table.to_dict("records")]
    if not as_json:
        shown = ("subsystem", "histogram", "kind", "why")
        rows = [
            {**{name: row[name] for name in shown}, "runs": run_names(row["runs"]) if row["runs"] else ""}
            for row in rows
        ]
    print_table(rows, as_json, title=f"Kinds of histograms in {store}")
    if not as_json:
        others = sum(len(archive.histograms(name)) for name in archive.subsystems) - len(rows)
        click.echo(f"{plural(others, 'other histogram')}: counters that only gained")


@click.command()
@store_argument
@click.option("--digest", is_flag=True, help="Print only the digest of the contents.")
@click.option("--deep/--quick", default=True, help="Read everything (default), or only which rows there are.")
@as_json
def check(store: str, digest: bool, deep: bool, as_json: bool) -> None:
    """Read all of STORE and verify that it holds what was put in; exit status 1 if not.

    Damage stops nothing: each is a line. `owtrend repair` mends it.

    Restarts and the like are counted as `owtrend compute` saw them. The digest is a hash of the contents, sorted by
    subsystem, run, time and histogram: equal digests mean equal contents, whichever way they were put in.

    Example: owtrend check archive.zarr --digest
    """
    from owtrend import archive as access
    from owtrend.model.wording import plural
    from owtrend.store.repository import Store
    from owtrend.store.upkeep.check import check as verify

    with progress_bar() as progress:
        with warnings.catch_warnings(action="ignore", category=StoreDamagedWarning):
            opened = Store.open(store)
        report = verify(opened, progress, deep=deep or digest)
    problems = [*filter(None, [opened.fallen_back]), *report.problems]
    if as_json:
        recognised = [] if problems else _recognised(access.open(store).kinds)  # damaged trends know nothing
        counts = {name: getattr(report, name) for name in ("rows", "cells", "carried", "digest")}
        click.echo(json.dumps({**counts, "problems": problems, "recognised": recognised}))
    elif digest:
        click.echo(report.digest)
    else:
        cells = f", {plural(report.cells, 'cell')}" if deep else ""
        digest_text = f", digest {report.digest}" if deep else ""
        click.echo(f"{store}: {plural(report.rows, 'row')}{cells} read{digest_text}")
        if deep and not problems:
            archive = access.open(store)
            _print_recognised(archive.kinds, store, indent="  ")
            if unknown := int((archive.stale["what"] == "trends").sum()):
                runs = plural(unknown, "run")
                click.echo(f"  restarts and the like of {runs} are not up to date: run `owtrend compute {store}`")
        if report.carried:
            click.echo(f"  {plural(report.carried, 'row')} not shown: the end of the run before, at the begin of a run")
        for problem in problems:
            click.echo(f"  PROBLEM: {problem}")
        if problems:
            click.echo(
                f"  {plural(len(problems), 'problem')}; `owtrend repair {store} --dry-run` says what can be done"
            )
        else:
            click.echo(
                f"  {'everything as it was put in' if deep else 'the list of rows is whole; they were not read'}"
            )
    if problems:
        sys.exit(1)


@click.command()
@store_argument
@click.option("--dry-run", is_flag=True, help="Only say what would be dropped, and why.")
@as_json
def repair(store: str, dry_run: bool, as_json: bool) -> None:
    """Drop what is damaged in STORE, so that `owtrend ingest` and `owtrend compute` can bring it back.

    The version before gets a tag, and the ledger says what was dropped.

    Example: owtrend repair archive.zarr --dry-run
    """
    from owtrend.store.repository import Store
    from owtrend.store.upkeep import repair as upkeep

    with progress_bar() as progress:
        with warnings.catch_warnings(action="ignore", category=StoreDamagedWarning):
            opened = Store.open(store)
        done = upkeep.repair(opened, dry_run=dry_run, progress=progress)
    if as_json:
        click.echo(json.dumps(vars(done)))
        return
    for problem in done.problems:
        click.echo(f"PROBLEM: {problem}")
    for action in done.actions:
        click.echo(f"{'would ' if dry_run else 'done: '}{action}")
    if not done.problems:
        click.echo(f"{store}: nothing is damaged")
    elif not dry_run:
        click.echo(
            f"Now `owtrend ingest` with the same files brings back snapshots, `owtrend compute {store}` the rest."
        )


@click.command()
@store_argument
@click.argument("run", type=int, shell_complete=completing.runs)
@click.option("--why", required=True, help="The reason, kept in the ledger.")
@subsystem_option
def remove(store: str, run: int, why: str, subsystem: str | None) -> None:
    """Remove RUN from STORE, so that good files can be ingested in its place. Tagged versions keep it.

    Example: owtrend remove archive.zarr 300000 --why "wrong calibration, taken in again"
    """
    from owtrend.store.repository import Store
    from owtrend.store.upkeep import repair

    repair.remove_run(Store.open(store), run, why=why, subsystem=subsystem)
    click.echo(f"{store}: run {run} removed; `owtrend compute {store}` updates the trends")


@click.command()
@store_argument
@click.argument("source", type=str)
@click.option("--why", required=True, help="The reason, kept in the ledger.")
def merge(store: str, source: str, why: str) -> None:
    """Add all rows of the store SOURCE to STORE; rows that STORE has already are skipped.

    Example: owtrend merge archive.zarr laptop.zarr --why "taken while the server was down"
    """
    from owtrend.store.repository import Store
    from owtrend.store.upkeep import repair

    with progress_bar() as progress:
        counts = repair.merge(Store.open_or_create(store), Store.open(source), why=why, progress=progress)
    click.echo(f"{store}: " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))


@click.command()
@store_argument
@click.option("--older-than", default=7.0, show_default=True, type=Number(0, 36_500), help="Days to keep a version.")
@click.option("--force", is_flag=True, help="Allow less than an hour, when nobody reads STORE.")
def clean(store: str, older_than: float, force: bool) -> None:
    """Delete old versions of STORE and free the disk space that only they use. Tagged versions stay.

    Nothing else may write to STORE meanwhile: `owtrend clean` says so and leaves it as it is.

    Example: owtrend clean archive.zarr --older-than 30
    """
    from datetime import timedelta

    from owtrend.store.repository import Store

    freed = Store.open(store).clean(timedelta(days=older_than), force=force)
    click.echo(f"{store}: {freed / 1e6:,.1f} MB freed")


@click.command()
@store_argument
def upgrade(store: str) -> None:
    """Bring STORE to the present format, in which damage is always found. No number changes.

    Example: owtrend upgrade archive.zarr
    """
    from owtrend.store.layout import FORMAT
    from owtrend.store.repository import Store
    from owtrend.store.upkeep import upgrade as upkeep

    with progress_bar() as progress:
        changed = upkeep.upgrade(Store.open(store), progress)
    click.echo(f"{store}: {'upgraded to' if changed else 'it has'} format {FORMAT}")
    if changed:
        click.echo("Versions from before take their space until they are old enough for `owtrend clean`")


@click.command()
@store_argument
@click.option("--spool", type=click.Path(file_okay=False), help="The same as of `owtrend receive`.")
@as_json
def status(store: str, spool: str | None, as_json: bool) -> None:
    """Show what STORE holds, which trends and scores are stale and why, and what could not be taken in or sent.

    Also how its receiver is, if it has one: heartbeat, age of the data, what waits, rates, and runs that are on.

    Example: owtrend status archive.zarr
    """
    from owtrend import archive as access
    from owtrend.cli.notifying import undelivered, undelivered_words
    from owtrend.cli.receiving import receiver_words
    from owtrend.quality.journal import Journal
    from owtrend.store.receiver import folder_of, receiver_state

    archive = access.open(store)
    journal = Journal(archive.location)
    receiver = receiver_state(Path(spool) if spool else folder_of(store))
    waiting = undelivered(journal)
    rows = []
    for name in archive.subsystems:
        histograms = archive.histograms(name)
        rows.append(
            {
                "subsystem": name,
                "runs": archive.runs["subsystems"].map(lambda held, name=name: name in held.split(", ")).sum().item(),
                "histograms": len(histograms),
                "bins": int(histograms["bins"].sum()),
                "last snapshot (UTC)": plain(archive.last_time(name)),
            }
        )
    quarantine, jobs = _plain(archive.quarantine), _jobs(journal)
    if as_json:
        stale = archive.stale.to_dict("records")
        state = {
            "version": archive.version, "subsystems": rows, "stale": stale, "quarantine": quarantine,
            "other_code": archive.other_code, "not_stored": archive.not_stored.to_dict("records"),
            "carried": archive.carried.to_dict("records"), "recognised": _recognised(archive.kinds),
            "changes": _plain(archive.changes), "jobs": job_table(jobs) if jobs else [],
            "undelivered": waiting, "receiver": receiver,
        }  # fmt: skip
        click.echo(json.dumps(state, indent=1, default=str))
        return
    print_table(rows, False, title=f"{store}, version {archive.version}")
    for sentence in receiver_words(receiver) if receiver else ():
        click.echo(sentence)
    for row in archive.carried.to_dict("records"):
        first = "first snapshot is" if row["snapshots"] == 1 else f"first {row['snapshots']} snapshots are"
        click.echo(f"{row['subsystem']} run {row['run']}: its {first} the end of the run before, and not shown")
    _print_recognised(archive.kinds, store)
    for sentence in archive.other_code:
        click.echo(sentence)
    _print_stale(store, archive)
    for message in waiting:
        click.echo(undelivered_words(message))
    if len(archive.not_stored):
        title = "Not stored, since they are no histograms (objects of one file at most)"
        print_table(archive.not_stored.to_dict("records"), False, title=title)
    if changes := _plain(archive.changes):
        title = "Histograms that go on as one after a change within a run"
        print_table(changes[-_MOST_CHANGES:], False, title=title)
        if len(changes) > _MOST_CHANGES:
            click.echo(f"and {len(changes) - _MOST_CHANGES:,} earlier ones; all with --json")
    if jobs:
        print_jobs(jobs, store, as_json=False)
    print_quarantine(quarantine)


def _jobs(journal: Any) -> dict[str, Any]:
    """The jobs of a schedule, if there is one."""
    if not journal.may_hold("jobs"):
        return {}
    from owtrend.compute.schedule.loop import known_jobs

    return known_jobs(journal)


def _plain(table: Any) -> list[dict[str, Any]]:
    return [{name: plain(value) for name, value in row.items()} for row in table.to_dict("records")]


_LASTING = ("gauge", "reset")
_EVENTS = ("restarts", "out_of_order", "unknown", "moved")


def _recognised(kinds: Any) -> list[dict[str, Any]]:
    """Of each subsystem that has any: histograms that do not count, and snapshots of histograms with each event."""
    rows = []
    for name, table in kinds.groupby("subsystem", sort=False):
        counts = {kind: int((table["kind"] == kind).sum()) for kind in _LASTING}
        rows.append({"subsystem": name} | counts | {event: int(table[event].sum()) for event in _EVENTS})
    return rows


def _print_recognised(kinds: Any, store: str, indent: str = "") -> None:
    """Print a line for each subsystem with histograms that are no plain counters."""
    from owtrend.histograms.listing import event_words
    from owtrend.model.wording import plural

    for row in _recognised(kinds):
        gauges = [plural(row["gauge"], "gauge")] if row["gauge"] else []
        resets = [f"{plural(row['reset'], 'histogram')} reset at each snapshot"] if row["reset"] else []
        events = [f"{words} of histograms"] if (words := event_words(row)) else []
        if words := ", ".join([*gauges, *resets, *events]):
            click.echo(f"{indent}{row['subsystem']}: {words}; `owtrend kinds {store}` lists them")


def _print_stale(store: str, archive: Any) -> None:
    """Print how many runs are stale, and why."""
    found = archive.stale
    counts = found.groupby(["subsystem", "what", "reason"], sort=False)["run"].agg(["count", "min", "max"])
    rows = [
        {"subsystem": name, "what": what, "runs": int(row["count"]), "first": int(row["min"]), "last": int(row["max"]),
         "reason": reason}
        for (name, what, reason), row in counts.iterrows()
    ]  # fmt: skip
    if rows:
        print_table(rows, False, title=f"Not up to date; run `owtrend compute {store}`")
