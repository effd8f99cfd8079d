"""owtrend schedule"""

import logging
import signal
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import click

from owtrend.cli.options import as_json, store_argument
from owtrend.cli.output import print_table
from owtrend.display import printable

__all__ = ["job_table", "print_jobs", "schedule"]


@click.command()
@store_argument
@click.option("-c", "--config", type=click.Path(dir_okay=False), help="YAML file whose `jobs` are to be run.")
@click.option("--list", "listing", is_flag=True, help="Only show the jobs: last run, result, next; run none.")
@as_json
def schedule(store: str, config: str | None, listing: bool, as_json: bool) -> None:
    """Run verbs of owtrend on STORE when they are due, until SIGTERM or Ctrl-C.

    Jobs are in the configuration: jobs: {tidy: {run: [clean], at: "30 3 * * *", zone: Europe/Zurich}}, or with
    on: [run ended]. A job never overlaps itself. What was missed while the schedule was stopped is done once.
    `owtrend status STORE` shows how they are.

    Example: owtrend schedule archive.zarr -c owtrend.yaml
    """
    from owtrend.compute.schedule.due import updated
    from owtrend.compute.schedule.loop import Schedule, known_jobs
    from owtrend.config import load
    from owtrend.errors import UsageError
    from owtrend.quality.journal import Journal
    from owtrend.store.disk import locks
    from owtrend.store.repository import Store

    settings = load(config) if config else None
    opened = Store.open(store)
    journal = Journal(opened.location, settings.journal if settings else None)
    if settings is not None:
        _require_verbs({name: job.run[0] for name, job in settings.jobs.items()})
    if listing:
        now, jobs = datetime.now(UTC), known_jobs(journal)
        print_jobs(updated(jobs, settings.jobs, now) if settings else jobs, store, as_json)
        return
    if settings is None or not settings.jobs:
        raise UsageError("no jobs; name a YAML file that has some with --config")
    log = logging.getLogger("owtrend.compute.schedule")
    log.setLevel(logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with locks.role(opened.location, "schedule"):
            running = Schedule(opened, settings.jobs, journal)
            click.echo(f"{store}: {len(running.jobs)} jobs; `owtrend schedule {store} --list` shows how they are")
            running.run(stop)
    finally:
        log.removeHandler(handler)
        for number, function in before.items():
            signal.signal(number, function)


def job_table(jobs: Any) -> list[dict[str, Any]]:
    """A row for each job, as it is now."""
    from owtrend.compute.schedule.loop import job_rows

    return job_rows(jobs, datetime.now(UTC))


def print_jobs(jobs: Any, store: str, as_json: bool) -> None:
    """Print a row for each job."""
    from owtrend.model.wording import plural

    rows = job_table(jobs)
    if not as_json:
        rows = [
            {
                name: printable("" if value is None else f"{value:.1f}" if name == "seconds" else value, 200)
                for name, value in row.items()
            }
            | {"said": printable(next(iter(row["said"].splitlines()[-1:]), ""), 200)}
            for row in rows
        ]
    print_table(rows, as_json, title=f"{plural(len(rows), 'job')} of {store}, times in UTC")


def _require_verbs(verbs: dict[str, str]) -> None:
    from owtrend.cli.main import main
    from owtrend.errors import UsageError, hint

    known = main.list_commands(click.Context(main))
    for job, verb in verbs.items():
        if verb not in known:
            raise UsageError(f"job {job}: no verb {verb!r}{hint(verb, known) or '; `owtrend --help` lists them'}")
