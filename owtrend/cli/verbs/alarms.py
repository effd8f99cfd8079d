"""owtrend alarms | ack | silence | comment | close | deliver"""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

from owtrend.cli.options import as_json, runs_option, store_argument
from owtrend.cli.output import plain, print_table, time_after

__all__ = ["ack", "alarms", "close", "comment", "deliver", "silence"]

_note = click.option("--note", default="", help="Why; kept in the journal.")
_user = click.option("--user", help="Who does it.  [default: the login name]")
_config = click.option(
    "-c", "--config", type=click.Path(dir_okay=False), help="YAML file whose `journal` is a database URL."
)


def _about_an_alarm(verb: Callable[..., None]) -> click.Command:
    """A verb by which a person does something about one alarm, with a note."""
    for decorator in (_config, _user, _note, click.argument("alarm"), store_argument):
        verb = decorator(verb)
    return click.command()(verb)


def _journal(store: str, config: str | None) -> Any:
    """The journal of a store."""
    from owtrend.config import load
    from owtrend.quality.journal import Journal
    from owtrend.store.repository import Store

    return Journal(Store.open(store).location, load(config).journal if config else None)


@click.command()
@store_argument
@click.argument("receiver", required=False)
@click.option("--all", "everything", is_flag=True, help="Also those that are over.")
@click.option("--history", metavar="ALARM", help="What became of one alarm, and what people did about it.")
@_config
@click.option("--backtest", metavar="RULES", help="What the rules of this file would have done, alarm by alarm.")
@click.option("--known", metavar="FILE", help="Known problems for --backtest, JSON.  [default: the incidents]")
@click.option("--diff", nargs=2, metavar="OLD NEW", help="Intervals that two files of rules judge differently.")
@click.option("--load", is_flag=True, help="Alarms a day, standing and chattering ones; with --backtest by its rules.")
@runs_option
@as_json
def alarms(
    store: str, receiver: str | None, everything: bool, history: str | None, config: str | None,
    backtest: str | None, known: str | None,
    diff: tuple[str, str] | None, load: bool, runs: list[int] | None, as_json: bool,
) -> None:  # fmt: skip
    """Show the alarms of STORE that are on: since when, why, who looks after them. Times are UTC.

    Each incident is an alarm, and each rule that has been broken for long enough; `owtrend compute` looks for them. An
    alarm without data stays until data show that it is over.

    Rules are judged before they are switched on by --backtest, --diff and --load: over the archive, or some --runs.

    `owtrend alarms test RECEIVER -c FILE` sends a message to a receiver of a configuration, and prints its answer.

    Example: owtrend alarms archive.zarr --all

    Example: owtrend alarms archive.zarr --backtest rules.yaml
    """
    if receiver is not None:
        from owtrend.cli.notifying import send_test_message

        if store != "test":
            raise click.UsageError("one STORE; or `test RECEIVER`, to send it a message")
        click.echo(send_test_message(receiver, config))
        return
    if backtest or diff or load:
        _judge(store, backtest, known, diff, runs, load=load, as_json=as_json)
        return
    if known is not None or runs is not None:
        raise click.UsageError("--known and --runs belong to --backtest, --diff or --load")
    from owtrend.detectors.plugins import with_places
    from owtrend.model.wording import plural
    from owtrend.quality.alarms import table
    from owtrend.quality.results import store_incidents
    from owtrend.store.repository import Store

    journal = _journal(store, config)
    if history is not None:
        entries = table.history(journal, table.find(journal, history).id)
        rows = [
            {"time": f"{one.time:%F %T}", "who": one.who, "what": one.details.get("state", one.action.value),
             "note": one.note}
            for one in entries
        ]  # fmt: skip
        print_table(rows, as_json, title=f"History of alarm {history}, times in UTC")
        return
    found = table.alarm_table(journal)
    found = with_places(found, store_incidents(Store.open(store).reader()) if len(found) else ())
    if not everything:
        found = found[found["stop"].isna()]
    rows = [{name: plain(value) for name, value in row.items()} for row in found.to_dict("records")]
    if as_json:
        click.echo(json.dumps(rows, indent=1, default=str))
        return
    shown = [
        {
            "id": row["id"], "state": row["state"], "level": row["quality"], "since": row["start"],
            "to": time_after(row["stop"], row["start"]) if row["stop"] else "",
            "run": row["run"], "subsystem": ", ".join(row["subsystems"]),
            "from": row["name"] if row["source"] == "rule" else row["source"], "histogram": row["histogram"],
            "why": f"{row['place']}: {row['why']}" if row["place"] else row["why"],
            "who": f"{row['acknowledged']}{' (silenced)' * row['silenced']}".strip(),
        }
        for row in rows
    ]  # fmt: skip
    which = "" if everything else " on"
    print_table(shown, False, title=f"{plural(len(shown), 'alarm')}{which} in {store}, times in UTC")
    if any(row["state"] in ("firing", "no data", "stale") and not row["acknowledged"] for row in rows):
        click.echo(f"Do you look after one? `owtrend ack {store} ID --note WHAT` lets everybody know.")


def _judge(
    store: str, backtest: str | None, known: str | None, diff: tuple[str, str] | None, runs: list[int] | None, *,
    load: bool, as_json: bool,
) -> None:  # fmt: skip
    """Print what rules would have done."""
    from owtrend.cli.verbs import judging

    if diff:
        if backtest or known or load:
            raise click.UsageError("give --diff alone")
        judging.show_changes(store, *diff, runs, as_json=as_json)
    elif load:
        if known:
            raise click.UsageError("--known belongs to --backtest without --load")
        judging.show_load(store, backtest, runs, as_json=as_json)
    elif backtest:
        judging.show_backtest(store, backtest, known, runs, as_json=as_json)


@_about_an_alarm
def ack(store: str, alarm: str, note: str, user: str | None, config: str | None) -> None:
    """Acknowledge ALARM in STORE: you look after it. It is not escalated then; that ends with the alarm.

    ALARM is an id from `owtrend alarms`, or how it begins.

    Example: owtrend ack archive.zarr 0b41a144 --note "called the expert"
    """
    from owtrend.quality.alarms import people, table

    journal = _journal(store, config)
    found = table.find_on(journal, alarm)
    people.acknowledge(journal, found.id, note, user)
    click.echo(f"{found.id}: acknowledged")


@_about_an_alarm
def comment(store: str, alarm: str, note: str, user: str | None, config: str | None) -> None:
    """Add a comment to ALARM in STORE; `owtrend alarms STORE --history ALARM` shows it.

    Example: owtrend comment archive.zarr 0b41a144 --note "high voltage was off"
    """
    from owtrend.quality.alarms import people, table

    journal = _journal(store, config)
    found = table.find(journal, alarm)
    people.comment(journal, found.id, note, user)
    click.echo(f"{found.id}: noted")


@_about_an_alarm
def close(store: str, alarm: str, note: str, user: str | None, config: str | None) -> None:
    """Close ALARM in STORE: end one that no data will end, such as that of a histogram that is gone for good.

    It comes back when its problem begins anew.

    Example: owtrend close archive.zarr 0b41a144 --note "this histogram was removed"
    """
    from owtrend.quality.alarms import people, table

    journal = _journal(store, config)
    found = table.find_on(journal, alarm)
    people.close(journal, found.id, note, user)
    click.echo(f"{found.id}: over at the next `owtrend compute {store}`")


@click.command()
@store_argument
@click.argument("alarm", required=False)
@click.option("--for", "lasting", metavar="TIME", help="How long, such as 2h.  [default: until ALARM is over]")
@click.option("--subsystem", default="*", help="Without ALARM: shell pattern of subsystems.  [default: all]")
@click.option("--rule", default="*", help="Shell pattern of rules; `incident` for incidents.  [default: all]")
@click.option("--histogram", default="*", help="Shell pattern of histograms.  [default: all]")
@click.option("--end", metavar="SILENCE", help="End this silence now.")
@_note
@_user
@_config
@as_json
def silence(
    store: str, alarm: str | None, lasting: str | None, subsystem: str, rule: str, histogram: str, end: str | None,
    note: str, user: str | None, config: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Send nothing about ALARM in STORE, or about alarms that fit; without anything, list the silences.

    A silence has an end: a time, or that of its alarm. What is still there then is announced.

    Example: owtrend silence archive.zarr --subsystem EMC --for 2h --note "calibration"
    """
    from owtrend.quality.alarms import people, table
    from owtrend.times import parse_interval

    journal = _journal(store, config)
    known = people.People(journal.entries(people.ACTIONS)).silences()
    if end is not None:
        same = [one for one in known if end and one.id.startswith(end.lower())]
        if len(same) != 1:
            raise click.UsageError(f"{len(same)} silences fit {end!r}; `owtrend silence {store}` lists them")
        people.end_silence(journal, same[0].id, note, user)
        click.echo(f"{same[0].id}: ended")
        return
    if alarm is None and not note and lasting is None:
        rows = [
            {"id": one.id, "until": "its alarm is over" if one.until is None else f"{one.until:%F %T}",
             "alarm": one.alarm, "subsystem": one.subsystem, "rule": one.name, "histogram": one.histogram,
             "who": one.entry.who, "why": one.entry.note}
            for one in known
        ]  # fmt: skip
        print_table(rows, as_json, title=f"Silences in {store}, times in UTC")
        return
    if alarm is not None and (subsystem, rule, histogram) != ("*", "*", "*"):
        raise click.UsageError("give ALARM, or patterns of several")
    length = None if lasting is None else timedelta(microseconds=int(parse_interval(lasting).astype(int)) // 1000)
    found = "" if alarm is None else table.find_on(journal, alarm).id
    made = people.silence(
        journal, note, lasting=length, alarm=found, subsystem=subsystem, name=rule, histogram=histogram, who=user
    )
    until = f"until {made.until:%F %T} UTC" if made.until else f"until alarm {found} is over"
    click.echo(f"{made.id}: silent {until}; `owtrend silence {store} --end {made.id}` ends it")


@click.command()
@store_argument
@click.option("-c", "--config", required=True, type=click.Path(dir_okay=False), help="YAML file with the receivers.")
@as_json
@click.pass_context
def deliver(ctx: click.Context, store: str, config: str, as_json: bool) -> None:
    """Try each message of STORE that is due once. `owtrend compute` does so at its end; this is for the time between.

    As a job of `owtrend schedule` each minute, messages that failed are tried again when they should be. Several
    processes may deliver at once. The exit status is 1 if a receiver refuses a message.

    Example: owtrend deliver archive.zarr -c owtrend.yaml
    """
    from owtrend.cli.notifying import pictures_of
    from owtrend.config import load
    from owtrend.display import printable
    from owtrend.quality.notify.deliver import deliver as try_all

    done = try_all(_journal(store, config), load(config).alarms, pictures=pictures_of(store))
    due = None if done.next_due is None else f"{done.next_due:%F %T}"
    if as_json:
        click.echo(json.dumps({**vars(done), "next_due": due}))
    else:
        waits = "nothing waits" if due is None else f"the next is due at {due} UTC"
        click.echo(f"{store}: {done.sent} sent, {done.failed} failed, {done.refused} refused; {waits}")
        for name, problem in done.problems.items():
            click.echo(f"Receiver {name}: {printable(problem, 300)}")
    ctx.exit(1 if done.refused else 0)
