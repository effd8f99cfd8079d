"""owtrend ingest | simulate | demo"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from shlex import quote
from typing import Any
from urllib.parse import urlencode

import click

from ingest import naming
from owtrend.cli.main import main
from owtrend.cli.options import Number, as_json, cluster_options
from owtrend.cli.output import print_quarantine, print_table, progress_bar, store_size
from owtrend.cli.ports import require_free
from owtrend.display import printable

__all__ = ["demo", "ingest", "simulate"]


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--store", required=True, help="Folder or URL of the store; created if it is missing.")
@click.option("--timezone", default=naming.CERN, show_default=True, help="Zone of the times in names and headers.")
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    help="Pattern of other file names, e.g. '{subsystem}/{run}/*_{time}.root'. Repeatable.",
)
@click.option("--run", type=click.IntRange(1, naming.LARGEST_RUN), help="Run number of files without one in the name.")
@click.option("--subsystem", help="Subsystem of files without one in the name.")
@click.option(
    "--accumulation", type=click.Choice(["cumulative", "reset"]), default="cumulative", show_default=True,
    help="Whether a file has everything since its run began, or only what is new.",
)  # fmt: skip
@click.option("--select", multiple=True, help="Ingest only histograms like 'EMC/*'. Repeatable.")
@click.option("--exclude", multiple=True, help="Leave out histograms like '*/QA/*'. Repeatable.")
@click.option(
    "--rename",
    multiple=True,
    metavar="PATTERN=REPLACEMENT",
    help="Rename histograms by a regular expression, e.g. 'Run [0-9]+/='. Repeatable.",
)
@click.option(
    "-c", "--config", type=click.Path(dir_okay=False), help="YAML file of settings, of which `rename` comes first."
)  # fmt: skip
@click.option(
    "--max-cells",
    default=2**24,
    show_default=True,
    type=click.IntRange(1),
    help="Refuse a histogram with more bins than this.",
)
@click.option("--max-megabytes", type=Number(1), help="Refuse a file that takes more memory.  [default: 300]")
@click.option(
    "--max-objects",
    default=2**17,
    show_default=True,
    type=click.IntRange(1),
    help="Refuse a file with more keys, or more objects in a key.",
)
@click.option(
    "--max-seconds", default=1.5, show_default=True, type=Number(0),
    help="Refuse a file that takes more CPU time, and 2 s more per MB.",
)  # fmt: skip
@cluster_options
@click.option("--dry-run", is_flag=True, help="Only list the files, with subsystem, run and time of each.")
@click.option("--strict", is_flag=True, help="Exit with status 1 if anything is quarantined.")
@as_json
def ingest(
    sources: tuple[Path, ...], store: str, timezone: str, patterns: tuple[str, ...], run: int | None,
    subsystem: str | None, accumulation: str, select: tuple[str, ...], exclude: tuple[str, ...],
    rename: tuple[str, ...], config: str | None, max_cells: int, max_megabytes: float | None,
    max_objects: int, max_seconds: float, workers: int | None, scheduler: str | None, wait_for_workers: float,
    dry_run: bool, strict: bool, as_json: bool,
) -> None:  # fmt: skip
    """Ingest ROOT snapshots from SOURCES (folders or files) into a store.

    Reads the file names of Overwatch: Run300000/EMC/EMChists.2018_06_01_12_00_00.root and
    EMChistos_300000_C_2018_6_1_12_0_0.root. For other names give a --pattern with {subsystem}, {run}, {time}, {mode}
    and *; see with --dry-run what it reads. {time} is six numbers from year to second, or the seconds or milliseconds
    since 1970; {time:%Y%m%d-%H%M%S} gives its format. A time missing from the name is read from the file's header.
    Files ingested before are not read again. If the run is part of the names of histograms, take it out with --rename,
    so that runs can be compared; a group (?P<run>[0-9]+) in its PATTERN gives the run of files without one in the name.

    Example: owtrend ingest data --store archive.zarr
    """
    import numpy as np

    from ingest.archive import ingest
    from ingest.limits import Limits
    from owtrend.config import load

    rules = (*(load(config).rename if config else ()), *rename)
    found = ingest.find_files(sources, patterns=patterns, timezone=timezone, run=run, subsystem=subsystem, rename=rules)
    if dry_run:
        rows = [
            {"subsystem": f.subsystem, "run": f.run, "time": str(np.datetime64(f.time, "ns").astype("datetime64[ms]")),
             "file": f.source}
            for f in found.files
        ]  # fmt: skip
        print_table(rows, as_json, title="Would be ingested, times in UTC")
    if not as_json and (dry_run or not (found.files or found.quarantine)):
        _print_skipped(found.skipped, found.examples)
    if not found.files and not found.quarantine:
        raise click.UsageError(
            "no snapshot files found; if they have other names than Overwatch's, give a --pattern, "
            "and --dry-run to see what it reads"
        )
    if dry_run:
        return
    limits = Limits(max_cells, max_megabytes, max_objects, max_seconds)
    with progress_bar() as progress:
        summary = ingest.ingest(
            found, store, workers=workers, scheduler=scheduler, limits=limits, timezone=timezone,
            accumulation=accumulation, select=select, exclude=exclude, rename=rules,
            wait_for_workers=wait_for_workers, progress=progress,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps({**asdict(summary), "quarantine": [json.loads(line) for line in summary.quarantine]}))
    else:
        _print_summary(summary)
    nothing = not (summary.added or summary.known or summary.duplicates)
    if summary.quarantined and (strict or nothing):
        sys.exit(1)


def _print_summary(summary: Any) -> None:
    from owtrend.model.wording import plural

    runs = len({run for numbers in summary.runs.values() for run in numbers})
    added = f"{plural(runs, 'run')} ({', '.join(summary.runs) or 'nothing new'})"
    rate = summary.bytes / 1e6 / max(summary.seconds, 1e-9)
    took = f"{summary.seconds:.1f} s ({rate:.1f} MB/s), {store_size(summary.store) / 1e6:.1f} MB on disk"
    click.echo(f"{summary.store}: {plural(summary.added, 'snapshot')} of {added} added in {took}")
    counts = {
        "ingested before": summary.known,
        "same time and content as another, dropped": summary.duplicates,
        "unchanged since the snapshot before (kept)": summary.unchanged,
    }
    for label, count in counts.items():
        if count:
            click.echo(f"  {count} {label}")
    _print_skipped(summary.skipped, summary.examples)
    for subsystem, objects in summary.not_stored.items():
        words = (f"{one.objects} {name} ({one.example})" for name, one in objects.items())
        click.echo(f"  not stored of each file of {subsystem}, since they are no histograms: {', '.join(words)}")
    print_quarantine([json.loads(line) for line in summary.quarantine], limit=12)
    if summary.added:
        _print_missing_renames(summary)
        click.echo(f"Next: `owtrend compute {quote(summary.store)}` makes trends and looks for outliers.")


def _print_missing_renames(summary: Any) -> None:
    """Say which names of histograms contain a run that was taken in, and how to take it out."""
    import owtrend
    from ingest.renaming import rule_without_run

    archive = owtrend.open(summary.store)
    for subsystem, runs in summary.runs.items():
        rules = ((name, rule_without_run(name, runs)) for name in archive.histograms(subsystem).index)
        for name, rule in ((name, rule) for name, rule in rules if rule):
            click.echo(
                f"Names of histograms of {subsystem} contain the run ({printable(name, 100)}), so no histogram is in "
                f"two runs. Ingest into a new store with --rename {quote(printable(rule, 100))}."
            )
            break


def _print_skipped(skipped: Mapping[str, int], examples: Mapping[str, str]) -> None:
    for reason, count in skipped.items():
        click.echo(f"  {count} skipped: {reason}\n    {'for example ' * (count > 1)}{examples[reason]}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--runs", default=6, show_default=True, type=click.IntRange(1, 100_000))
@click.option(
    "--snapshots", default=60, show_default=True, type=click.IntRange(1, 100_000), help="Per run and subsystem."
)
@click.option(
    "--scale", default=0.1, show_default=True, type=Number(1e-6, 1),
    help="Size of the detector; 1 is the whole: 330 histograms, 3.3 million bins.",
)  # fmt: skip
@click.option(
    "--statistics", default=1.0, show_default=True, type=Number(0, 1e6), help="Factor on the fills per minute."
)
@click.option(
    "--faults", default="planned", show_default=True,
    help="planned: those of the demo; none; a number, drawn by the seed; or kinds, separated by commas.",
)  # fmt: skip
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@click.option("--first-run", default=300000, show_default=True, type=click.IntRange(1, 10**9))
@click.option("--workers", type=click.IntRange(0), help="Processes; 0 for this one.  [default: all cores]")
@as_json
def simulate(
    folder: Path, runs: int, snapshots: int, scale: float, statistics: float, faults: str, seed: int, first_run: int,
    workers: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Write the ROOT files of a simulated detector with known faults to FOLDER.

    EMC, TPC and HLT send cumulative histograms each minute, as in Run 2. truth.json lists the faults and the histograms
    of each component. The same options give the same contents. Kinds of faults: hot_channel, dead_region, hv_trip,
    drift, rate_step, restart, gap, truncated_file, duplicate_after_end, rebinning. By name only, what else happens to
    counters in mid-run: fast_restart, early_snapshot, late_snapshot, gauge, reset, scaled, full_bin, other_labels,
    new_label, extended_axis, other_class; and what is slow, short or changes no total: slow_drift, double_peak,
    every_third_report, burst, swapped_channels, mirrored_channels, growing_dead_region, saturation, to_overflow,
    changed_weights, profile_spread, common_mode, exchanged_labels, other_contents, stuck.

    Example: owtrend simulate detector --runs 2 --faults hot_channel,gap
    """
    from ingest.simulator import simulate
    from owtrend.model.wording import plural

    wanted: Any = faults
    if faults != "planned":
        wanted = () if faults == "none" else int(faults) if re.fullmatch("[0-9]{1,6}", faults) else faults.split(",")
    with progress_bar() as progress:
        simulation = simulate.simulate(
            folder, runs=runs, snapshots=snapshots, scale=scale, statistics=statistics, faults=wanted, seed=seed,
            first_run=first_run, workers=_cores(workers),
            progress=lambda done, total: progress("simulating", done, total),
        )  # fmt: skip
    files, run_numbers = simulation.files, simulation.runs
    if as_json:
        document = {"folder": str(folder), "files": files, "runs": run_numbers, "faults": _faults_as_json(simulation)}
        click.echo(json.dumps(document))
        return
    click.echo(
        f"{folder}: {plural(files, 'file')} of runs {run_numbers[0]} to {run_numbers[-1]}; the faults are in truth.json"
    )
    _print_faults(simulation)


def _cores(workers: int | None) -> int:
    return workers if workers is not None else os.cpu_count() or 1


_SHOWN_BY = {"dead_region": "mean_y", "hv_trip": "mean_y", "rate_step": "entries"}  # all others by the mean of x


def _first_flag(fault: Any, flags: Any) -> str | None:
    """End of the report in which a fault was flagged first, UTC; None if it was not."""
    start, stop = (getattr(fault, name).replace(tzinfo=None) for name in ("start", "stop"))
    reports = [
        flag.stop
        for flag in flags.itertuples()
        if (flag.run, flag.subsystem) == (fault.run, fault.subsystem) and flag.start < stop and flag.stop > start
        if not (flag.histograms and fault.histograms) or set(flag.histograms) & set(fault.histograms)
    ]
    return f"{min(reports):%Y-%m-%dT%H:%M:%S}" if reports else None


def _faults_as_json(simulation: Any, address: str = "", flags: Any = None) -> list[dict[str, Any]]:
    """The faults of a simulated archive for JSON, with the address of each one's page if there is a server.

    With ``flags`` also the time when each was ``flagged`` first.
    """
    faults = []
    for fault in simulation.faults:
        times = {name: f"{getattr(fault, name):%Y-%m-%dT%H:%M:%S}" for name in ("start", "stop")}
        faults.append(asdict(fault) | times)
        if flags is not None:
            faults[-1]["flagged"] = _first_flag(fault, flags)
        if address:
            view = {
                "run": fault.run,
                "subsystem": fault.subsystem,
                "histogram": fault.histogram,
                "reductor": _SHOWN_BY.get(fault.kind) if fault.histogram else "entries",
                **times,
                "log": 1 if fault.histogram else None,
            }
            query = urlencode({name: value for name, value in view.items() if value}, safe="/:")
            faults[-1]["address"] = f"{address}?{query}"
    return faults


def _print_faults(simulation: Any, address: str = "", flags: Any = None) -> None:
    """Print the faults of a simulated archive, with the addresses of their pages if there is a server."""
    faults = _faults_as_json(simulation, address, flags)
    rows = [
        {
            "where": f"{fault['run']} {fault['subsystem']}",
            "when": f"{fault['start'][11:16]} to {fault['stop'][11:16]}",
            **({} if flags is None else {"flagged": (fault["flagged"] or "not")[-8:][:5]}),
            "what to see": f"{fault['kind']}: " + " ".join(filter(None, (fault["histogram"], fault["details"]))),
        }
        for fault in faults
    ]
    print_table(rows, as_json=False, title="What to look for (times in UTC)")
    for fault in faults if address else ():
        click.echo(f"{fault['kind']}: {fault['address']}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), required=False)
@click.option("--no-serve", is_flag=True, help="Stop before serving the page.")
@click.option("--port", default=8850, show_default=True, type=click.IntRange(1, 65535), help="Port of the page.")
@as_json
@click.pass_context
def demo(ctx: click.Context, folder: Path | None, no_serve: bool, port: int, as_json: bool) -> None:
    """Simulate a detector with faults, ingest it, compute trends, look for outliers and serve the page.

    Six runs of an hour with ten faults. Files go to FOLDER, or to a new temporary one; what is there already is used
    again.

    Example: owtrend demo /tmp/owtrend-demo
    """
    import owtrend
    from ingest.archive import ingest
    from ingest.simulator import simulate
    from owtrend.compute import compute
    from owtrend.model.wording import plural

    if not no_serve:
        require_free("127.0.0.1", port)  # now, not after minutes of work
    folder = folder or Path(tempfile.mkdtemp(prefix="owtrend-demo-"))
    data, store = folder / "data", folder / "store"
    with progress_bar() as progress:
        if (data / "truth.json").exists():
            simulation = simulate.Simulation.load(data)
        else:
            simulation = simulate.simulate(
                data, workers=_cores(None), progress=lambda done, total: progress("simulating", done, total)
            )
        summary = ingest.ingest(ingest.find_files([data]), store, progress=progress)
        trends = compute.compute(store, workers=0, progress=progress)
    flags = owtrend.open(store).findings()
    address = "" if no_serve else f"http://127.0.0.1:{port}/"
    if as_json:
        ingested = {**asdict(summary), "quarantine": [json.loads(line) for line in summary.quarantine]}
        faults = _faults_as_json(simulation, address, flags)
        document = {"data": str(data), "store": str(store), "ingest": ingested, "faults": faults}
        click.echo(json.dumps(document | {"trends": {"points": trends.points, "seconds": trends.seconds}}))
    else:
        _print_summary(summary)
        computed = plural(trends.points, "trend point")
        click.echo(f"{computed}, {trends.scored} runs x subsystems scored, in {trends.seconds:.1f} s")
        _print_faults(simulation, address, flags)
        click.echo(f"What is wrong, since when and why:  owtrend outliers {quote(str(store))}")
        if no_serve:
            click.echo(f"See it, in a browser:               owtrend serve {quote(str(store))}")
        else:
            click.echo(f"See it, in a browser:               {address}")
        click.echo("Your own files:                     owtrend ingest FOLDER --store archive.zarr")
    if no_serve:
        return
    serve = main.get_command(ctx, "serve")
    assert serve is not None, "the dashboards are part of this distribution"
    ctx.invoke(serve, store=str(store), port=port)
