"""owtrend alarms --backtest | --diff | --load: rules are judged before they are switched on"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from owtrend.cli.output import finite, print_table

if TYPE_CHECKING:
    from owtrend.config import RuleConfig
    from owtrend.quality.alarms.alarm import Alarm
    from owtrend.quality.judging.backtest import Backtest, RuleResult
    from owtrend.quality.judging.load import Load
    from owtrend.store.reader import Reader

__all__ = ["show_backtest", "show_changes", "show_load"]

_MOST_CHANGES = 200  # lines of a table that people read


def _reader(store: str) -> "Reader":
    from owtrend.store.repository import Store

    return Store.open(store).reader()


def _rules(path: str) -> "tuple[RuleConfig, ...]":
    """The rules in a file; modules with reductors of people's own that it names are imported."""
    from owtrend import config, modules
    from owtrend.errors import UsageError

    settings = config.load(path)
    modules.import_local(settings.modules)
    rules = settings.rules
    if not rules:
        raise UsageError(f"{path}: no rules; expected a list `rules`, each with name, subsystem, histogram and error")
    return rules


def show_backtest(store: str, rules: str, known: str | None, runs: Sequence[int] | None, *, as_json: bool) -> None:
    """Print what the rules of a file would have done, and which known problems they catch."""
    from owtrend.quality.judging import problems
    from owtrend.quality.judging.backtest import backtest
    from owtrend.quality.rules.flags import judged

    reader, of = _reader(store), _rules(rules)
    listed = problems.from_incidents(reader) if known is None else problems.from_file(known)
    listed = [one for one in listed if runs is None or one.run in runs]
    found = backtest(reader, of, judged(reader, of, runs), listed, runs)
    alone = [
        None if at is None else at - one.start for one, at in zip(listed, problems.noticed(reader, listed), strict=True)
    ]
    rows = [_problem_row(found, number, alone[number], plain=as_json) for number in range(len(listed))]
    if as_json:
        click.echo(json.dumps({"rules": [_rule_values(one) for one in found.rules], "problems": rows}, indent=1))
        return
    shown = [
        {
            "rule": values["rule"], "histograms": values["histograms"], "reports": values["reports"],
            "unknown": values["unknown"], "alarms": values["alarms"], "a shift": _number(values["per_shift"]),
            "caught": f"{values['caught']} of {values['caught'] + values['missed']}",
            "after": _minutes(values["delay"]), "unexplained": values["unexplained"],
        }
        for values in map(_rule_values, found.rules)
    ]  # fmt: skip
    shifts = max((one.shifts for one in found.rules), default=0.0)
    print_table(shown, False, title=f"{rules} over {store}, {shifts:.3g} shifts of eight hours of data")
    print_table(rows, False, title="Known problems, times in UTC; `found alone`: without any rule, as an incident")


def _rule_values(one: "RuleResult") -> dict[str, Any]:
    return {
        "rule": one.rule.name, "subsystem": one.rule.subsystem, "histograms": one.histograms, "reports": one.reports,
        "unknown": one.unknown, "alarms": len(one.alarms), "per_shift": finite(one.per_shift),
        "caught": len(one.caught), "missed": len(one.missed), "delay": finite(one.delay / 1e9),
        "unexplained": one.unexplained,
    }  # fmt: skip


def _problem_row(found: "Backtest", number: int, alone: int | None, *, plain: bool) -> dict[str, Any]:
    problem = found.problems[number]
    by = found.caught[problem]
    if plain:
        return {
            "subsystem": problem.subsystem, "run": problem.run, "start": _time(problem.start),
            "stop": _time(problem.stop), "what": problem.what, "histograms": sorted(problem.histograms),
            "caught": {rule: delay / 1e9 for rule, delay in by}, "alone": None if alone is None else alone / 1e9,
        }  # fmt: skip
    more = f" and {len(by) - 1} more" if len(by) > 1 else ""
    return {
        "since": _time(problem.start), "run": problem.run, "subsystem": problem.subsystem,
        "caught by": f"{by[0][0]}{more}" if by else "no rule", "after": _minutes(by[0][1] / 1e9) if by else "",
        "found alone": "not" if alone is None else _minutes(alone / 1e9), "what": problem.what[:100],
    }  # fmt: skip


def show_changes(store: str, old: str, new: str, runs: Sequence[int] | None, *, as_json: bool) -> None:
    """Print the intervals whose quality differs between two versions of rules."""
    from owtrend.model.wording import plural
    from owtrend.quality.judging.changes import changes
    from owtrend.quality.rules.flags import judged

    reader = _reader(store)
    before, after = (judged(reader, _rules(path), runs) for path in (old, new))
    found = changes(reader, before, after, runs)
    rows = [
        {
            "start": _time(one.start), "stop": _time(one.stop), "run": one.run, "subsystem": one.subsystem,
            "histogram": one.histogram, "rule": one.rule, "old": one.old, "new": one.new, "why": one.why,
        }
        for one in found
    ]  # fmt: skip
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    hours = sum(one.stop - one.start for one in found) / 3600e9
    title = f"{new} against {old}: {plural(len(found), 'interval')} of another quality, {hours:.3g} h; times in UTC"
    print_table(rows[:_MOST_CHANGES], False, title=title)
    if len(rows) > _MOST_CHANGES:
        click.echo(f"and {len(rows) - _MOST_CHANGES:,} more; --json prints all of them")


def show_load(store: str, rules: str | None, runs: Sequence[int] | None, *, as_json: bool) -> None:
    """Print how many alarms incidents and rules raise: those of a file, or of the configuration in the store."""
    from owtrend.quality.alarms.sources import coverage, incident_alarms
    from owtrend.quality.flag import Quality
    from owtrend.quality.judging.backtest import rule_lives, watched_time
    from owtrend.quality.judging.load import MOST_A_DAY, load_of
    from owtrend.quality.results import store_incidents
    from owtrend.quality.rules.flags import judged

    reader = _reader(store)
    incidents = [one for one in store_incidents(reader) if runs is None or any(part.run in runs for part in one.parts)]
    alarms = incident_alarms(incidents, coverage(reader), Quality.WARNING)
    of = reader.config.rules if rules is None else _rules(rules)
    alarms += [alarm for one in judged(reader, of, runs) for alarm in rule_lives(one)]
    load = load_of(alarms, max(watched_time(reader, runs).values(), default=0))
    if as_json:
        click.echo(json.dumps(_load_values(load), indent=1))
        return
    if not load.days:
        click.echo(f"{store}: no data, so there is no load of alarms to give")
        return
    click.echo(
        f"{store}: {load.alarms:,} alarms in {load.days:.3g} days of data, {_number(load.per_day)} a day; at most "
        f"{load.most:,} within 24 hours. People can act on {MOST_A_DAY} a day: "
        f"{'this is bearable' if load.bearable else 'this is too much'}."
    )
    print_table([{"rule": name, "alarms": count} for name, count in load.busiest], False, title="Busiest rules")
    chattering = [
        {"rule": rule, "subsystem": subsystem, "histogram": histogram, "alarms": count}
        for rule, subsystem, histogram, count in load.chattering
    ]
    print_table(chattering, False, title="Chattering: three times and more within an hour")
    print_table([_standing(one) for one in load.standing], False, title="Standing: on for more than a day")


def _load_values(load: "Load") -> dict[str, Any]:
    names = ("rule", "subsystem", "histogram", "alarms")
    return {
        "alarms": load.alarms, "days": load.days, "per_day": finite(load.per_day), "most_in_a_day": load.most,
        "bearable": load.bearable, "busiest": [{"rule": name, "alarms": count} for name, count in load.busiest],
        "chattering": [dict(zip(names, one, strict=True)) for one in load.chattering],
        "standing": [_standing(one) for one in load.standing],
    }  # fmt: skip


def _standing(alarm: "Alarm") -> dict[str, Any]:
    return {
        "rule": alarm.subject.source, "subsystem": alarm.subject.subsystem, "histogram": alarm.subject.histogram,
        "since": _time(alarm.fired or alarm.start), "until": "" if alarm.stop is None else _time(alarm.stop),
    }  # fmt: skip


def _time(ns: int) -> str:
    import numpy as np

    return str(np.datetime64(ns, "ns").astype("datetime64[s]")).replace("T", " ")


def _minutes(seconds: float | None) -> str:
    from owtrend.model.wording import minutes

    return "" if seconds is None else minutes(seconds * 1e9)


def _number(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.3g}"
