"""Rules, compiled: the quality of each report, and which values decided."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.config import RuleConfig
from owtrend.errors import UsageError
from owtrend.quality.flag import Quality
from owtrend.quality.rules.expression import Expression, ExpressionError, compile_condition
from owtrend.quality.rules.windows import FALSE, TRUE, UNKNOWN, Reports

__all__ = ["QUALITIES", "Rule", "compile_rule", "compile_rules"]

QUALITIES = tuple(Quality)  # by number: the larger, the worse
_NUMBER = {quality: np.int8(number) for number, quality in enumerate(QUALITIES)}


@dataclass(frozen=True, eq=False)
class Rule:
    """A rule whose expressions are compiled."""

    settings: RuleConfig
    error: Expression | None
    warning: Expression | None
    unknown: Expression | None
    recovery: Expression | None

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def expressions(self) -> dict[str, Expression]:
        """The expressions that there are, by what they decide."""
        every = {"unknown": self.unknown, "error": self.error, "warning": self.warning, "recovery": self.recovery}
        return {name: expression for name, expression in every.items() if expression is not None}

    @property
    def inputs(self) -> frozenset[tuple[str, str]]:
        """What the rule depends on, as `Expression.inputs`."""
        return frozenset().union(*(one.inputs for one in self.expressions.values()))

    @property
    def reach(self) -> int:
        """Reports that it looks back, at most."""
        return max(one.reach for one in self.expressions.values())

    def judge(self, reports: Reports) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
        """Quality of each report by its number in `QUALITIES`, and whether an alarm may end there.

        Where ``unknown`` is true, or undecided, so is the report. An error comes before a warning; a report that is at
        least a warning is one; what else is undecided is unknown.
        """
        nothing = np.full(len(reports), FALSE, dtype=np.int8)
        truth = {name: one.truth(reports) for name, one in self.expressions.items()}
        error, warning = truth.get("error", nothing), truth.get("warning", nothing)
        quality = np.select(
            [truth.get("unknown", nothing) != FALSE, error == TRUE, warning == TRUE,
             (error == UNKNOWN) | (warning == UNKNOWN)],
            [_NUMBER[one] for one in (Quality.UNKNOWN, Quality.ERROR, Quality.WARNING, Quality.UNKNOWN)],
            _NUMBER[Quality.OK],
        )  # fmt: skip
        recovered = (quality == _NUMBER[Quality.OK]) & (truth.get("recovery", nothing + np.int8(TRUE)) == TRUE)
        return quality.astype(np.int8), recovered

    def reasons(self, reports: Reports) -> "Reasons":
        """The values that decided."""
        return Reasons(self, reports)


@dataclass(frozen=True, eq=False)
class Reasons:
    """The values that decide about reports."""

    rule: Rule
    reports: Reports

    @cached_property
    def values(self) -> dict[str, dict[str, NDArray[Any]]]:
        """By expression and name."""
        return {name: one.deciding(self.reports) for name, one in self.rule.expressions.items()}

    def why(self, report: int, quality: Quality) -> str:
        """The values that decided about one report, in words; empty if it is ok."""
        if quality is Quality.OK:
            return ""
        name = str(quality)
        if quality is Quality.UNKNOWN:
            missing = [text for of in self.values.values() for text, values in of.items() if _missing(values[report])]
            if missing:
                return f"no value of {', '.join(dict.fromkeys(missing))}"
        shown = ", ".join(f"{text} {_shown(values[report])}" for text, values in self.values.get(name, {}).items())
        expression = self.rule.expressions.get(name)
        return f"{shown}; {name}: {expression.text}" if expression else "not enough is known to decide"


def _missing(value: Any) -> bool:
    return value is None or bool(value != value)


def _shown(value: Any) -> str:
    if _missing(value):
        return "missing"
    return value if isinstance(value, str) else f"{value:.5g}"


def compile_rule(settings: RuleConfig, own: Collection[str] = ()) -> Rule:
    """Compile a rule; ``own`` are reductors that a store has recorded.

    Raises
    ------
    UsageError
        If one of its expressions means nothing; the text names the rule, the expression and the column.
    """
    compiled: dict[str, Expression | None] = {}
    for name in ("error", "warning", "unknown", "recovery"):
        text = getattr(settings, name)
        try:
            compiled[name] = None if text is None else compile_condition(text, own)
        except ExpressionError as error:
            raise UsageError(f"rule {settings.name!r}, {name}, {error}") from error
    return Rule(settings, **compiled)


def compile_rules(rules: Sequence[RuleConfig | Rule], own: Collection[str] = ()) -> list[Rule]:
    """Compile rules that are not yet; see `compile_rule`."""
    return [one if isinstance(one, Rule) else compile_rule(one, own) for one in rules]
