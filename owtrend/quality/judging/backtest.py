"""Backtest of rules: the alarms they would have raised over an archive, and the known problems they catch and miss."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from owtrend.config import RuleConfig
from owtrend.quality.alarms.alarm import Alarm, lives
from owtrend.quality.alarms.sources import rule_reports, timing_of
from owtrend.quality.flag import Quality
from owtrend.quality.judging.problems import Problem
from owtrend.quality.rules.flags import Judged
from owtrend.quality.rules.rule import QUALITIES
from owtrend.store.reader import Reader

__all__ = ["SHIFT", "Backtest", "Caught", "RuleResult", "backtest", "rule_lives", "watched_time"]

SHIFT = 8 * 3600 * 10**9  # [ns]
_UNKNOWN = QUALITIES.index(Quality.UNKNOWN)


@dataclass(frozen=True)
class Caught:
    """A problem that a rule caught: the alarm that fired first, and how long after the problem began [ns]."""

    problem: Problem
    alarm: Alarm
    delay: int


@dataclass(frozen=True)
class RuleResult:
    """What a rule would have done.

    Parameters
    ----------
    histograms, reports
        How many it judged.
    unknown
        Reports that it could not judge.
    alarms
        That fired, in order of time.
    shifts
        Eight hours of data each.
    caught, missed
        Known problems in histograms that it watches.
    unexplained
        Alarms during which no problem is known.
    """

    rule: RuleConfig
    histograms: int
    reports: int
    unknown: int
    alarms: tuple[Alarm, ...]
    shifts: float
    caught: tuple[Caught, ...]
    missed: tuple[Problem, ...]
    unexplained: int

    @property
    def per_shift(self) -> float:
        """Alarms in eight hours of data; NaN without data."""
        return len(self.alarms) / self.shifts if self.shifts else float("nan")

    @property
    def delay(self) -> float:
        """Median time from the beginning of a problem to its alarm [ns]; NaN if none was caught."""
        return float(np.median([one.delay for one in self.caught])) if self.caught else float("nan")


@dataclass(frozen=True)
class Backtest:
    """Results of all rules, and the problems that were known."""

    rules: tuple[RuleResult, ...]
    problems: tuple[Problem, ...]

    @cached_property
    def caught(self) -> dict[Problem, list[tuple[str, int]]]:
        """By problem the rules that caught it, each with its delay [ns], the quickest first."""
        found: dict[Problem, list[tuple[str, int]]] = {problem: [] for problem in self.problems}
        for result in self.rules:
            for one in result.caught:
                found[one.problem].append((result.rule.name, one.delay))
        return {problem: sorted(rules, key=lambda rule: (rule[1], rule[0])) for problem, rules in found.items()}


def backtest(
    reader: Reader, rules: Sequence[RuleConfig], judged: Iterable[Judged], problems: Sequence[Problem],
    runs: Iterable[int] | None = None,
) -> Backtest:  # fmt: skip
    """What rules would have done, given what they say of each report of ``runs``, or all, and the known problems."""
    by_rule: dict[str, list[Judged]] = {rule.name: [] for rule in rules}
    for one in judged:
        by_rule[one.rule.name].append(one)
    time = watched_time(reader, runs)
    return Backtest(
        tuple(_result(rule, by_rule[rule.name], problems, time.get(rule.subsystem, 0)) for rule in rules),
        tuple(problems),
    )


def _result(rule: RuleConfig, judged: Sequence[Judged], problems: Sequence[Problem], time: int) -> RuleResult:
    alarms = sorted((alarm for one in judged for alarm in rule_lives(one)), key=lambda alarm: (alarm.start, alarm.id))
    names = {one.histogram for one in judged}
    seen = [
        problem for problem in problems
        if problem.subsystem == rule.subsystem and (not problem.histograms or problem.histograms & names)
    ]  # fmt: skip
    caught: list[Caught] = []
    for problem in seen:
        first = min(
            (alarm for alarm in alarms if _catches(alarm, problem)), key=lambda alarm: alarm.fired or 0, default=None
        )
        if first is not None and first.fired is not None:
            caught.append(Caught(problem, first, first.fired - problem.start))
    known = {one.problem for one in caught}
    return RuleResult(
        rule, len(names), sum(map(len, judged)), sum(int((one.quality == _UNKNOWN).sum()) for one in judged),
        tuple(alarms), time / SHIFT, tuple(caught), tuple(problem for problem in seen if problem not in known),
        sum(not any(_during(alarm, problem) for problem in problems) for alarm in alarms),
    )  # fmt: skip


def _catches(alarm: Alarm, problem: Problem) -> bool:
    """True if an alarm begins with a problem: it fired after the problem had begun, for a report that saw it."""
    return _during(alarm, problem) and alarm.fired is not None and alarm.fired > problem.start


def _during(alarm: Alarm, problem: Problem) -> bool:
    end = alarm.latest if alarm.stop is None else alarm.stop
    return (
        problem.concerns(alarm.subject.subsystem, alarm.subject.histogram)
        and alarm.start < problem.stop
        and end > problem.start
    )


def rule_lives(one: Judged) -> list[Alarm]:
    """Alarms of a rule on one histogram, as the alarm engine makes them; pending ones that came to nothing left out."""
    made = (lives(of, subject, timing_of(one.rule)) for subject, of in rule_reports([one], ()).items())
    return [alarm for alarms in made for alarm in alarms if alarm.fired is not None]


def watched_time(reader: Reader, runs: Iterable[int] | None = None) -> dict[str, int]:
    """By subsystem the time [ns] in which it has data, in ``runs`` or all; that of parallel runs counts once."""
    found: dict[str, int] = {}
    chosen = None if runs is None else np.array(sorted(set(runs)), dtype=np.int64)
    for name in reader.subsystems:
        per_run, total, until = reader.subsystem(name).per_run, 0, 0
        shown = per_run["n_snapshots"] > 0
        if chosen is not None:
            shown &= np.isin(per_run["run"], chosen)
        for start, stop in sorted(zip(per_run["start"][shown].tolist(), per_run["stop"][shown].tolist(), strict=True)):
            total += max(0, stop - max(start, until))
            until = max(until, stop)
        found[name] = total
    return found
