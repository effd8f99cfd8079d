"""owtrend ingest | simulate | demo"""

import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from ingest.archive import naming
from owtrend.cli.main import main
from owtrend.cli.options import as_json
from owtrend.cli.output import print_quarantine, print_table, progress_bar, store_size

__all__ = ["demo", "ingest", "simulate"]


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--store", required=True, help="Folder or URL of the store; made if it is missing.")
@click.option("--timezone", default=naming.CERN, show_default=True, help="Zone of the times in names and headers.")
@click.option(
    "--pattern", "patterns", multiple=True, help="How names tell, e.g. '{subsystem}/{run}/*_{time}.root'. Repeatable."
)
@click.option("--run", type=click.IntRange(1), help="Run number where the name does not tell.")
@click.option("--subsystem", help="Subsystem where the name does not tell.")
@click.option(
    "--accumulation", type=click.Choice(["cumulative", "reset"]), default="cumulative", show_default=True,
    help="Whether a file holds everything since its run began, or only what is new.",
)  # fmt: skip
@click.option("--select", multiple=True, help="Only histograms like this, e.g. 'EMC/*'. Repeatable.")
@click.option("--exclude", multiple=True, help="No histograms like this, e.g. '*/QA/*'. Repeatable.")
@click.option("--max-cells", default=2**24, show_default=True, help="Refuse a histogram with more bins than this.")
@click.option("--workers", type=click.IntRange(0), help="Local worker processes; 0 for threads.  [default: all cores]")
@click.option("--scheduler", help="Address of an existing Dask scheduler.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be taken in.")
@click.option("--strict", is_flag=True, help="Exit status 1 if anything was put in quarantine.")
@as_json
def ingest(
    sources: tuple[Path, ...], store: str, timezone: str, patterns: tuple[str, ...], run: int | None,
    subsystem: str | None, accumulation: str, select: tuple[str, ...], exclude: tuple[str, ...], max_cells: int,
    workers: int | None, scheduler: str | None, dry_run: bool, strict: bool, as_json: bool,
) -> None:  # fmt: skip
    """Take ROOT snapshots from SOURCES (folders or files) into a store.

    Knows the names of Overwatch: Run300000/EMC/EMChists.2018_06_01_12_00_00.root and
    EMChistos_300000_C_2018_6_1_12_0_0.root. Other names are told by --pattern with {subsystem}, {run}, {time}, {mode}
    and *; a time that no name tells is taken from the file's header. What was taken in before is not read again.

    Example: owtrend ingest data --store archive.zarr
    """
    from ingest.archive import ingest

    found = ingest.find_files(sources, patterns=patterns, timezone=timezone, run=run, subsystem=subsystem)
    if dry_run:
        rows = [{"subsystem": f.subsystem, "run": f.run, "file": f.source} for f in found.files]
        print_table(rows, as_json, title="Would be taken in")
        _print_skipped(dict(found.skipped))
        return
    if not found.files and not found.quarantine:
        _print_skipped(dict(found.skipped))
        raise click.UsageError("no snapshot files found; other names than Overwatch's are told by --pattern")
    with progress_bar() as progress:
        summary = ingest.ingest(
            found, store, workers=workers, scheduler=scheduler, max_cells=max_cells, timezone=timezone,
            accumulation=accumulation, select=select, exclude=exclude, progress=progress,
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps({**vars(summary), "quarantine": [json.loads(line) for line in summary.quarantine]}))
    else:
        _print_summary(summary)
    if strict and summary.quarantined:
        sys.exit(1)


def _print_summary(summary: Any) -> None:
    runs = len({run for numbers in summary.runs.values() for run in numbers})
    of_what = f"{runs} run{'s' * (runs != 1)} ({', '.join(summary.runs) or 'nothing new'})"
    rate = summary.bytes / 1e6 / max(summary.seconds, 1e-9)
    took = f"{summary.seconds:.1f} s ({rate:.1f} MB/s), {store_size(summary.store) / 1e6:.1f} MB on disk"
    click.echo(f"{summary.store}: {summary.added} snapshots of {of_what} added in {took}")
    told = {
        "taken in before": summary.known,
        "same time and content as another, dropped": summary.duplicates,
        "unchanged since the snapshot before (kept)": summary.unchanged,
    }
    for what, count in told.items():
        if count:
            click.echo(f"  {count} {what}")
    _print_skipped(summary.skipped)
    print_quarantine([json.loads(line) for line in summary.quarantine], limit=12)


def _print_skipped(skipped: dict[str, int]) -> None:
    for why, count in skipped.items():
        click.echo(f"  {count} skipped: {why}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--runs", default=6, show_default=True, type=click.IntRange(1))
@click.option("--snapshots", default=60, show_default=True, type=click.IntRange(1), help="Per run and subsystem.")
@click.option(
    "--scale", default=0.1, show_default=True, type=click.FloatRange(0, 1, min_open=True),
    help="Size of the detector; 1 is all of it: 330 histograms, 3.3 million bins.",
)  # fmt: skip
@click.option("--statistics", default=1.0, show_default=True, help="Multiplies the fills per minute.")
@click.option(
    "--faults", default="planned", show_default=True,
    help="planned: those of the demo; none; a number, drawn by the seed; or kinds, separated by commas.",
)  # fmt: skip
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@click.option("--first-run", default=300000, show_default=True, type=click.IntRange(1))
@click.option("--workers", type=click.IntRange(0), help="Processes; 0 for this one.  [default: all cores]")
@as_json
def simulate(
    folder: Path, runs: int, snapshots: int, scale: float, statistics: float, faults: str, seed: int, first_run: int,
    workers: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Write the ROOT files of a simulated detector with known faults to FOLDER.

    EMC, TPC and HLT send cumulative histograms each minute, as in Run 2; what is wrong with them, and which component
    sends what, is told in truth.json. The same options give the same contents. Kinds of faults: hot_channel,
    dead_region, hv_trip, drift, rate_step, restart, gap, truncated_file, duplicate_after_end, rebinning.

    Example: owtrend simulate detector --runs 2 --faults hot_channel,gap
    """
    from ingest.simulator import simulate

    wanted: Any = faults
    if faults != "planned":
        wanted = () if faults == "none" else int(faults) if faults.isdecimal() else faults.split(",")
    with progress_bar() as progress:
        made = simulate.simulate(
            folder, runs=runs, snapshots=snapshots, scale=scale, statistics=statistics, faults=wanted, seed=seed,
            first_run=first_run, workers=_cores(workers),
            progress=lambda done, total: progress("simulating", done, total),
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "files": made.files, "runs": made.runs, "faults": _told(made)}))
        return
    click.echo(f"{folder}: {made.files} files of runs {made.runs[0]} to {made.runs[-1]}; the truth is in truth.json")
    _print_faults(made)


def _cores(workers: int | None) -> int:
    return workers if workers is not None else os.cpu_count() or 1


_SHOWN_BY = {"dead_region": "mean_y", "hv_trip": "mean_y", "rate_step": "entries"}  # other than the mean of x


def _first_flag(fault: Any, flags: Any) -> str | None:
    """When a fault was flagged first: the end of that report, UTC; None if it was not."""
    start, stop = (getattr(fault, name).replace(tzinfo=None) for name in ("start", "stop"))
    found = [
        flag.stop
        for flag in flags.itertuples()
        if (flag.run, flag.subsystem) == (fault.run, fault.subsystem) and flag.start < stop and flag.stop > start
        if not (flag.histograms and fault.histograms) or set(flag.histograms) & set(fault.histograms)
    ]
    return f"{min(found):%Y-%m-%dT%H:%M:%S}" if found else None


def _told(made: Any, address: str = "", flags: Any = None) -> list[dict[str, Any]]:
    """The faults of a simulated archive as JSON holds them, each with the address of its page if there is a server.

    With ``flags`` also when each was ``flagged`` first.
    """
    told = []
    for fault in made.faults:
        times = {name: f"{getattr(fault, name):%Y-%m-%dT%H:%M:%S}" for name in ("start", "stop")}
        told.append(asdict(fault) | times)
        if flags is not None:
            told[-1]["flagged"] = _first_flag(fault, flags)
        if address:
            view = {
                "run": fault.run,
                "subsystem": fault.subsystem,
                "histogram": fault.histogram,
                "reductor": _SHOWN_BY.get(fault.kind) if fault.histogram else "entries",
                **times,
                "log": 1 if fault.histogram else None,
            }
            asked = urlencode({name: value for name, value in view.items() if value}, safe="/:")
            told[-1]["address"] = f"{address}?{asked}"
    return told


def _print_faults(made: Any, address: str = "", flags: Any = None) -> None:
    """What there is to see in a simulated archive, and where to see it if its page has an address."""
    told = _told(made, address, flags)
    rows = [
        {
            "where": f"{fault['run']} {fault['subsystem']}",
            "when": f"{fault['start'][11:16]} to {fault['stop'][11:16]}",
            **({} if flags is None else {"flagged": (fault["flagged"] or "not")[-8:][:5]}),
            "what to see": f"{fault['kind']}: " + " ".join(filter(None, (fault["histogram"], fault["details"]))),
        }
        for fault in told
    ]
    print_table(rows, as_json=False, title="What to look for (times in UTC)")
    for fault in told if address else ():
        click.echo(f"{fault['kind']}: {fault['address']}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--no-serve", is_flag=True, help="Stop before serving the page.")
@click.option("--port", default=8850, show_default=True, help="Where the page is served.")
@as_json
@click.pass_context
def demo(ctx: click.Context, folder: Path | None, no_serve: bool, port: int, as_json: bool) -> None:
    """Simulate a detector with faults, ingest it, compute trends, look for outliers and serve the page; takes a minute.

    Six runs of an hour with ten faults. Files go to FOLDER, or to a new temporary one; what is there already is used
    again.

    Example: owtrend demo /tmp/owtrend-demo
    """
    from ingest.archive import ingest
    from ingest.simulator import simulate
    from owtrend import archive as access
    from owtrend.compute import compute

    folder = folder or Path(tempfile.mkdtemp(prefix="owtrend-demo-"))
    data, store = folder / "data", folder / "store"
    with progress_bar() as progress:
        if (data / "truth.json").exists():
            made = simulate.Simulation.load(data)
        else:
            made = simulate.simulate(
                data, workers=_cores(None), progress=lambda done, total: progress("simulating", done, total)
            )
        summary = ingest.ingest(ingest.find_files([data]), store, progress=progress)
        trends = compute.compute(store, workers=0, progress=progress)
    flags = access.open(store).findings()
    address = "" if no_serve else f"http://127.0.0.1:{port}/"
    if as_json:
        taken = {**vars(summary), "quarantine": [json.loads(line) for line in summary.quarantine]}
        told = {"data": str(data), "store": str(store), "ingest": taken, "faults": _told(made, address, flags)}
        click.echo(json.dumps(told | {"trends": {"points": trends.points, "seconds": trends.seconds}}))
    else:
        _print_summary(summary)
        click.echo(
            f"{trends.points:,} trend points, {trends.scored} runs x subsystems scored, in {trends.seconds:.1f} s"
        )
        _print_faults(made, address, flags)
        click.echo(f"what is wrong, and why: owtrend outliers {store}")
        if no_serve:
            click.echo(f"see the page with: owtrend serve {store}")
    if no_serve:
        return
    serve = main.get_command(ctx, "serve")
    assert serve is not None, "the dashboards are part of this distribution"
    ctx.invoke(serve, store=str(store), port=port)
