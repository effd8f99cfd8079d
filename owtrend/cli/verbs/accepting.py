"""owtrend accept"""

import json
from typing import Any

import click

from owtrend.cli.options import as_json, store_argument
from owtrend.cli.output import plain, print_table
from owtrend.errors import NotFoundError

__all__ = ["accept"]


def _accept_warning(journal: Any, alarm: str, note: str, user: str | None, undo: bool) -> bool:
    """Accept the warnings of an alarm, or take that back, if there is such an alarm of a rule."""
    from owtrend.quality.alarms import people, table

    try:
        record = table.find(journal, alarm)
    except NotFoundError:
        return False
    if undo:
        people.undo_accept_warning(journal, record, note, user)
    else:
        people.accept_warning(journal, record, note, user)
    return True


def _accepted_warnings(journal: Any) -> list[dict[str, Any]]:
    """Warnings of rules that are accepted, as rows like those of incidents."""
    from owtrend.quality.alarms.engine import people

    rows = []
    for entry in people(journal).accepted_warnings:
        rule, subsystem, histogram = (entry.details[name] for name in ("rule", "subsystem", "histogram"))
        why = f"warnings of rule {rule}: {subsystem} {histogram}"
        when = f"{entry.time:%F %T}"
        rows.append({"id": entry.subject, "runs": [], "why": why, "note": entry.note, "who": entry.who, "when": when})
    return rows


@click.command()
@store_argument
@click.argument("incident", required=False)
@click.option("--note", default="", help="Why; kept in the journal.")
@click.option("--user", help="Who accepts it.  [default: the login name]")
@click.option("--undo", is_flag=True, help="Take the acceptance of INCIDENT back.")
@click.option("-c", "--config", type=click.Path(dir_okay=False), help="YAML file whose `journal` is a database URL.")
@as_json
def accept(
    store: str, incident: str | None, note: str, user: str | None, undo: bool, config: str | None, as_json: bool
) -> None:
    """Accept INCIDENT in STORE as the new normal; without INCIDENT, list what is accepted.

    INCIDENT is an id from `owtrend outliers`, or how it begins; or that of a rule's warning from `owtrend alarms`. From
    its beginning on, its histograms are compared with nothing before it, all others as before; `owtrend compute` then
    scores anew from there. The journal of the store keeps who accepted what, when and why: journal.sqlite in its
    folder, or the database that --config names.

    Example: owtrend accept archive.zarr 0b41a1446430 --note "new alignment since run 1010"
    """
    from owtrend import archive as access
    from owtrend.display import printable
    from owtrend.model.wording import run_names
    from owtrend.quality import acceptance
    from owtrend.quality.journal import Journal

    url = None
    if config:
        from owtrend.config import load

        url = load(config).journal
    archive = access.open(store)
    journal = Journal(archive.location, url)
    of_rule = False
    if incident is not None:
        try:
            archive.accept(incident, note, user=user, undo=undo, journal=url)
        except NotFoundError:
            of_rule = _accept_warning(journal, incident, note, user, undo)
            if not of_rule:
                raise
    elif undo or note:
        raise click.UsageError("name the incident; `owtrend outliers` lists them")
    accepted = acceptance.accepted_table(journal)
    rows = [{name: plain(value) for name, value in row.items()} for row in accepted.to_dict("records")]
    rows += _accepted_warnings(journal)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    elif incident is None:
        shown = [
            {
                name: (run_names(value) if value else "") if name == "runs" else printable(value, 500)
                for name, value in row.items()
            }
            for row in rows
        ]
        print_table(shown, False, title=f"{len(shown)} accepted in {store}, times in UTC")
    else:
        what = "judges its reports anew" if of_rule else "scores anew what it concerns"
        click.echo(f"{incident}: {'no longer ' * undo}accepted; `owtrend compute {store}` {what}")
