"""owtrend compute | compare-passes"""

import json
import sys
from datetime import UTC, datetime

import click

from owtrend.cli.options import as_json, cluster_options, runs_option, store_argument
from owtrend.cli.output import print_table, progress_bar
from owtrend.display import printable

__all__ = ["compare_passes", "compute"]


@click.command()
@store_argument
@runs_option
@click.option("-c", "--config", type=click.Path(dir_okay=False), help="YAML file of settings; STORE keeps them.")
@click.option("--force", is_flag=True, help="Also compute what has not changed.")
@click.option("--trends-only", is_flag=True, help="Do not look for outliers.")
@click.option("--tag", help="Keep the result for good by this name; %Y-%m-%d stands for today's date, UTC.")
@click.option(
    "--batch", type=click.Choice(["slurm", "htcondor", "factory"]),
    help="Run tasks in jobs of this batch system, as `batch` of --config describes them.",
)  # fmt: skip
@cluster_options
@as_json
def compute(
    store: str, runs: list[int] | None, config: str | None, force: bool, trends_only: bool, tag: str | None,
    batch: str | None, workers: int | None, scheduler: str | None, wait_for_workers: float, as_json: bool,
) -> None:  # fmt: skip
    """Compute trends and outliers of what changed in STORE, and keep them next to the data.

    The settings of --config name the event counters, the reductors kept in addition to the default ones, and the
    number of false alarms to expect. What does not exist in STORE is reported and changes nothing. Python modules are
    imported if your --config names them, never because STORE does. `owtrend outliers` shows what was found.

    Example: owtrend compute archive.zarr --config owtrend.yaml
    """
    from owtrend.cli.notifying import pictures_of
    from owtrend.compute import compute
    from owtrend.compute.batch import Batch, batch_workers
    from owtrend.compute.cluster import Scheduler
    from owtrend.config import Config, load
    from owtrend.model.wording import plural

    settings = load(config) if config else None
    where: Scheduler | None = scheduler
    if batch is not None:
        if scheduler is not None:
            raise click.UsageError("--batch or --scheduler, not both")
        jobs = (settings or Config()).batch
        where, wait_for_workers = batch_workers(Batch(batch), jobs, workers), max(wait_for_workers, jobs.longest_wait)
    with progress_bar() as progress:
        summary = compute.compute(
            store,
            config=settings,
            runs=runs,
            force=force,
            scores=not trends_only,
            tag=datetime.now(UTC).strftime(tag) if tag else None,
            workers=None if batch else workers,
            scheduler=where,
            wait_for_workers=wait_for_workers,
            progress=progress,
            pictures=pictures_of(store),
        )
    if as_json:
        click.echo(json.dumps(vars(summary)))
    else:
        speed = f"{summary.bytes / 1e6 / max(summary.seconds, 1e-9):,.0f} MB/s of float64 cells"
        sent = f"; {plural(summary.messages, 'message')} sent" if summary.messages else ""
        click.echo(
            f"{store}: {plural(summary.points, 'trend point')} of {summary.runs} run x subsystem computed in "
            f"{summary.seconds:.1f} s ({speed}), {summary.unchanged} unchanged; {summary.scored} scored{sent}"
        )
        if summary.alarms:
            click.echo(f"{plural(summary.alarms, 'alarm')} on: `owtrend alarms {store}` shows what is wrong")


@click.command(name="compare-passes")
@store_argument
@click.argument("first")
@click.argument("second")
@click.option("--deep", is_flag=True, help="Also read runs that were made from the same in both passes.")
@as_json
def compare_passes(store: str, first: str, second: str, deep: bool, as_json: bool) -> None:
    """Compare two passes over STORE: tags of `owtrend compute --tag`, or versions; exit status 1 if they differ.

    Trends that differ by more than rounding, scores, reports that only one pass flags, findings and incidents that
    appeared or are gone, by subsystem and run; and what the passes were made from that is another.

    Example: owtrend compare-passes archive.zarr before after --json
    """
    from owtrend.model.wording import run_names
    from owtrend.output import passes
    from owtrend.store.repository import Store

    with progress_bar() as progress:
        found = passes.compare_passes(Store.open(store), first, second, deep=deep, progress=progress)
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=1))
        sys.exit(not found.equal)
    if found.equal:
        click.echo(f"{store}: {first} and {second} have the same trends and scores of {found.compared} run x subsystem")
        return
    rows = [
        {
            "subsystem": one.subsystem, "run": str(one.run), "rows": one.rows, "trends": one.trends,
            "scores": one.scores, "flags": one.flags, "findings": f"+{len(one.appeared)} -{len(one.gone)}",
            "such as": one.where, "other": one.why,
        }
        for one in found.runs
    ]  # fmt: skip
    rows = [
        {name: printable(cell, 120) if isinstance(cell, str) else cell for name, cell in row.items()} for row in rows
    ]
    print_table(rows, False, title=f"{len(rows)} of {found.compared} run x subsystem differ from {first} to {second}")
    for what, incidents in (("appeared", found.appeared), ("is gone", found.gone)):
        for one in incidents:
            click.echo(f"incident {one.id} {what}: {run_names(one.runs)}, {printable(one.top.why, 300)}")
    for text in found.only_in_one:
        click.echo(f"in one of them only: {printable(text, 300)}")
    sys.exit(1)
