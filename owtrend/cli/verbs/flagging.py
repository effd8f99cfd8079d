"""owtrend flag | sign-off | good-runs"""

import json
from pathlib import Path
from typing import Any

import click

from owtrend.cli import completing
from owtrend.cli.options import as_json, file_option, runs_option, store_argument
from owtrend.cli.output import finite, print_table
from owtrend.display import printable

__all__ = ["flag", "good_runs", "sign_off"]

_user = click.option("--user", help="Who does it.  [default: the login name]")
_config = click.option("-c", "--config", type=click.Path(dir_okay=False), help="YAML file with `journal` and `events`.")


def _opened(store: str, config: str | None) -> tuple[Any, Any, Any]:
    """A reader, the journal, and the configuration: that of a file, or else the one that the store keeps."""
    from owtrend.config import load
    from owtrend.quality.journal import Journal
    from owtrend.store.repository import Store

    reader = Store.open(store).reader()
    settings = load(config) if config else None
    return reader, Journal(reader.location, settings.journal if settings else None), settings or reader.config


@click.command()
@store_argument
@click.argument("run", type=int, required=False, shell_complete=completing.runs)
@click.argument("subsystem", required=False, shell_complete=completing.subsystems)
@click.option("--from", "start", help="After this time, UTC.  [default: the run's beginning]")
@click.option("--to", "stop", help="Up to this time, UTC.  [default: the run's end]")
@click.option(
    "--quality", "judgement", type=click.Choice(["good", "limited", "bad"]), default="bad", show_default=True,
    help="What the data are; bad ones are in no good-run list.",
)  # fmt: skip
@click.option(
    "--name", default="", help="A word that many flags share, such as tpc-hole.  [default: that of --quality]"
)
@click.option("--note", default="", help="Why; kept in the journal.")
@click.option("--undo", type=int, metavar="FLAG", help="Take this flag back; without RUN.")
@_user
@_config
@as_json
def flag(
    store: str, run: int | None, subsystem: str | None, start: str | None, stop: str | None, judgement: str, name: str,
    note: str, undo: int | None, user: str | None, config: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Flag data of RUN in STORE, all or those of SUBSYSTEM, with a reason; without RUN, list all flags.

    Example: owtrend flag archive.zarr 300000 EMC --from 10:00 --to 10:30 --quality bad --note "high voltage off"
    """
    from owtrend.model.wording import plural
    from owtrend.quality import run_flags

    reader, journal, _ = _opened(store, config)
    if undo is not None:
        run_flags.unflag(journal, undo, note=note, user=user)
        click.echo(f"flag {undo} is taken back")
        return
    if run is None and (note or name):
        raise click.UsageError("which run? `owtrend runs` lists them")
    if run is not None:
        made = run_flags.flag_run(
            reader, journal, run, subsystem, start=start, stop=stop, judgement=run_flags.Judgement(judgement),
            name=name, note=note, user=user,
        )  # fmt: skip
        if as_json:
            click.echo(json.dumps(_row(made)))
        else:
            where = f"{subsystem} of run {run}" if subsystem else f"run {run}"
            click.echo(f"flag {made.number}: {where} is {judgement}; sign-off of it begins anew")
        return
    rows = [_row(one) for one in run_flags.flags_of(journal.entries(run_flags.ACTIONS))]
    if not as_json:
        rows = [{column: printable("" if cell is None else cell, 300) for column, cell in row.items()} for row in rows]
    print_table(rows, as_json, title=f"{plural(len(rows), 'flag')} in {store}, times in UTC")


def _row(one: Any) -> dict[str, Any]:
    import numpy as np

    times = (
        None if time is None else str(np.datetime64(time, "ns").astype("datetime64[s]"))
        for time in (one.start, one.stop)
    )
    first, last = times
    return {
        "flag": one.number, "run": one.run, "subsystem": one.subsystem, "from": first, "to": last,
        "quality": one.judgement.value, "name": one.name, "note": one.note, "who": one.who,
    }  # fmt: skip


@click.command(name="sign-off")
@store_argument
@click.argument("run", type=int, required=False, shell_complete=completing.runs)
@click.option("--note", default="", help="For the journal.")
@click.option("--undo", is_flag=True, help="Take your signature of RUN back.")
@_user
@_config
@as_json
def sign_off(
    store: str, run: int | None, note: str, undo: bool, user: str | None, config: str | None, as_json: bool
) -> None:
    """Sign RUN in STORE off: its data and flags are as they should be. It takes two people; without RUN, list all.

    When the data or the flags of a run change, its signatures lapse.

    Example: owtrend sign-off archive.zarr 300000 --note "checked with the TPC expert"
    """
    from owtrend.quality import run_flags

    reader, journal, _ = _opened(store, config)
    if run is None:
        if undo or note:
            raise click.UsageError("which run? `owtrend runs` lists them")
        known = sorted({number for name in reader.subsystems for number in reader.subsystem(name).run_indices})
        found = run_flags.sign_offs(reader, journal.entries(run_flags.ACTIONS), known).values()
        rows = [
            {"run": one.run, "state": _state(one), "signed by": ", ".join(one.people), "lapsed": ", ".join(one.lapsed)}
            for one in found
        ]  # fmt: skip
        if not as_json:
            rows = [{column: printable(cell, 200) for column, cell in row.items()} for row in rows]
        print_table(rows, as_json, title=f"Sign-off of runs in {store}")
        return
    if undo:
        run_flags.withdraw(journal, run, note=note, user=user)
        signed = run_flags.sign_offs(reader, journal.entries(run_flags.ACTIONS), [run])[run]
    else:
        signed = run_flags.sign_off(reader, journal, run, note=note, user=user)
    if as_json:
        click.echo(json.dumps({"run": run, "state": _state(signed), "signed_by": signed.people}))
    else:
        by = f", by {printable(', '.join(signed.people), 200)}" if signed.people else ""
        click.echo(f"run {run}: {_state(signed)}{by}")


def _state(one: Any) -> str:
    if one.complete:
        return "signed off"
    if one.people:
        return "signed once, one more person must sign"
    return "lapsed: it changed since" if one.lapsed else "not signed"


@click.command(name="good-runs")
@store_argument
@click.option("--subsystem", "subsystems", multiple=True, help="One that must be good. Repeatable.  [default: all]")
@click.option(
    "--without", multiple=True, help="Leave out intervals with this flag. Repeatable.  [default: all bad ones]"
)
@click.option("--with", "having", multiple=True, help="Only runs that have this flag. Repeatable.")
@click.option("--signed", is_flag=True, help="Only runs that two people signed off.")
@click.option("--whole", is_flag=True, help="Only runs of which nothing is left out.")
@click.option("--lost", is_flag=True, help="Show instead what each flag costs: time, events, a condition.")
@click.option("--in", "condition", help="With --lost: also this condition, times the seconds for which it holds.")
@runs_option
@file_option(".json", ".csv", required=False)
@_config
@as_json
def good_runs(
    store: str, subsystems: tuple[str, ...], without: tuple[str, ...], having: tuple[str, ...], signed: bool,
    whole: bool, lost: bool, condition: str | None, runs: list[int] | None, output: Path | None, config: str | None,
    as_json: bool,
) -> None:  # fmt: skip
    """List the good runs in STORE, and the intervals of each that no flag leaves out; or what is lost by flags.

    Example: owtrend good-runs archive.zarr --without tpc-hole --signed -o good.json
    """
    from owtrend.quality import good_runs as making

    reader, journal, settings = _opened(store, config)
    if lost:
        table = making.lost_data(reader, journal, settings, condition=condition, runs=runs)
        rows = [{name: finite(value) for name, value in row.items()} for row in table.to_dict("records")]
        if not as_json:
            rows = [{name: _shown(name, value) for name, value in row.items()} for row in rows]
        print_table(rows, as_json, title=f"Lost by flags in {store}")
        return
    choice = making.Choice(subsystems=subsystems, without=without, having=having, signed=signed, whole=whole, runs=runs)
    found = making.good_runs(reader, journal, choice)
    if output is not None:
        from owtrend.model.wording import plural
        from owtrend.output.whole_file import whole_file

        text = making.as_csv(found) if output.suffix == ".csv" else making.as_json(found, reader, choice)
        with whole_file(output) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
        hours = sum(one.seconds for one in found) / 3600
        click.echo(f"{output}: {plural(len(found), 'run')}, {hours:,.1f} h of good data")
        return
    if as_json:
        click.echo(making.as_json(found, reader, choice))
        return
    shown = [
        {"run": str(row["run"]), "from": f"{row['start']:%F %T}", "to": f"{row['stop']:%F %T}",
         "minutes": f"{row['seconds'] / 60:,.1f}", "signed by": printable(row["signed_by"], 200)}
        for row in making.good_table(found).to_dict("records")
    ]  # fmt: skip
    print_table(shown, False, title=f"Good data in {store}, times in UTC")


def _shown(name: str, value: Any) -> str:
    if name == "fraction" and value is not None:
        return f"{value:.2%}"
    return "" if value is None else f"{value:,.6g}" if isinstance(value, float) else printable(value, 200)
