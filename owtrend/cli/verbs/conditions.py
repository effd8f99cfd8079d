"""owtrend conditions"""

import json
from pathlib import Path

import click

from owtrend.cli.options import as_json, store_argument
from owtrend.cli.output import print_table
from owtrend.display import printable

__all__ = ["conditions"]


class _Listing(click.Group):
    """A group whose first argument may be a store, too: `owtrend conditions STORE` lists what it has."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words = [one for one in args if not one.startswith("-")]
        if words and words[0] not in self.commands:
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Listing)
def conditions() -> None:
    """Conditions of runs that come from elsewhere: period, beam, energy, interaction rate, good-run flags.

    `owtrend conditions STORE` lists what STORE has. Tables come from CSV, Parquet, SQLite or a ROOT tree, and are
    joined on the run, on first and last run, or on the time from which on a value holds. A condition is a column: for
    --where, in exports, in rules, and as the rate of references.

    Example: owtrend conditions add archive.zarr logbook.csv --columns period,beam,energy
    """


@conditions.command(name="list")
@store_argument
@as_json
def list_(store: str, as_json: bool) -> None:
    """List the conditions in STORE, and where they come from.

    Example: owtrend conditions list archive.zarr
    """
    from owtrend import archive

    rows = archive.open(store).condition_tables.to_dict("records")
    if not as_json:
        rows = [{name: printable(value, 200) for name, value in row.items()} for row in rows]
    print_table(rows, as_json, title=f"{len(rows)} conditions in {store}, times in UTC")


@conditions.command()
@store_argument
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--name", help="Name of the table; one by that name is replaced.  [default: that of FILE]")
@click.option("--table", help="Table of SQLite, or tree of a ROOT file.  [default: the only one]")
@click.option("--run-column", help="Column of the run, or FIRST:LAST for two.  [default: run, or first_run:last_run]")
@click.option("--time-column", help="Column of the time from which on a row holds, UTC.  [default: time, if there is]")
@click.option("--columns", default="", help="Columns to keep, separated by commas.  [default: all]")
@click.option("--user", help="Who adds it.  [default: the login name]")
@as_json
def add(
    store: str, file: Path, name: str | None, table: str | None, run_column: str | None, time_column: str | None,
    columns: str, user: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Add the table in FILE to the conditions of STORE. Each run, or each time, has one row at most.

    Names of columns become names as expressions have them: "Beam energy [GeV]" is Beam_energy_GeV.

    Example: owtrend conditions add archive.zarr rates.parquet --time-column timestamp --columns interaction_rate
    """
    from owtrend.conditions.stored import Source
    from owtrend.conditions.stored import add as add_table
    from owtrend.quality.journal import login_name
    from owtrend.store.repository import Store

    chosen = [one.strip() for one in columns.split(",") if one.strip()]
    source = Source(path=file, table=table, run_column=run_column, time_column=time_column, columns=chosen)
    made = source.read(name, user or login_name())
    replaced = add_table(Store.open(store), made)
    facts = {"name": made.name, "joined_on": [*made.keys], "rows": len(made), "conditions": [*made.columns]}
    if as_json:
        click.echo(json.dumps(facts | {"replaced": replaced}))
        return
    names = printable(", ".join(made.columns), 300)
    what = "replaced" if replaced else "added"
    click.echo(f"{store}: {what} {made.name}, {len(made):,} rows by {' and '.join(made.keys)}: {names}")


@conditions.command()
@store_argument
@click.argument("name")
def remove(store: str, name: str) -> None:
    """Remove the table NAME from the conditions of STORE. Earlier versions of STORE keep it.

    Example: owtrend conditions remove archive.zarr logbook
    """
    from owtrend.conditions.stored import remove as remove_table
    from owtrend.store.repository import Store

    remove_table(Store.open(store), name)
    click.echo(f"{store}: conditions {name} removed")
