"""owtrend compute"""

import json

import click

from owtrend.cli.options import as_json, cluster_options, runs_option, store_argument
from owtrend.cli.output import progress_bar

__all__ = ["compute"]


@click.command()
@store_argument
@runs_option
@click.option("-c", "--config", type=click.Path(dir_okay=False), help="YAML file of settings; STORE keeps them.")
@click.option("--force", is_flag=True, help="Also compute what has not changed.")
@click.option("--trends-only", is_flag=True, help="Do not look for outliers.")
@cluster_options
@as_json
def compute(
    store: str, runs: list[int] | None, config: str | None, force: bool, trends_only: bool, workers: int | None,
    scheduler: str | None, wait_for_workers: float, as_json: bool,
) -> None:  # fmt: skip
    """Compute trends and outliers of what changed in STORE, and keep them next to the data.

    The settings of --config name the event counters, the reductors kept in addition to the default ones, and the
    number of false alarms to expect. What does not exist in STORE is reported and changes nothing. Python modules are
    imported if your --config names them, never because STORE does. `owtrend outliers` shows what was found.

    Example: owtrend compute archive.zarr --config owtrend.yaml
    """
    from owtrend.cli.notifying import pictures_of
    from owtrend.compute import compute
    from owtrend.config import load
    from owtrend.model.wording import plural

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
            wait_for_workers=wait_for_workers,
            progress=progress,
            pictures=pictures_of(store),
        )
    if as_json:
        click.echo(json.dumps(vars(summary)))
    else:
        click.echo(
            f"{store}: {plural(summary.points, 'trend point')} of {summary.runs} run x subsystem computed in "
            f"{summary.seconds:.1f} s ({summary.bytes / 1e6 / max(summary.seconds, 1e-9):,.0f} MB/s of float64 cells), "
            f"{summary.unchanged} unchanged; {summary.scored} scored; {plural(summary.alarms, 'alarm')} on"
            + f", {plural(summary.messages, 'message')} sent"
            * bool(summary.messages)
        )
