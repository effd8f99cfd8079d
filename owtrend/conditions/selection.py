"""Runs chosen by one condition: ``period=LHC18b``, ``energy>=6500``."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from owtrend.conditions.stored import Conditions
from owtrend.display import quoted
from owtrend.errors import UsageError

__all__ = ["Filter", "fitting", "run_spans"]

_FILTER = re.compile(
    r"""\s*([^\W\d][\w.]*)\s*(==|!=|<=|>=|=|<|>)\s*("[^"]*"|'[^']*'|[^'"<>=&|()!\s][^'"<>=&|()!]*?)\s*"""
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
}  # fmt: skip
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Filter:
    """A condition, how it is compared, and with what; quotes around a text may be left out."""

    name: str
    comparison: str
    value: str

    @classmethod
    def parsed(cls, text: str) -> "Filter | None":
        """A filter as people type it; None if it is something else."""
        match = _FILTER.fullmatch(text)
        if match is None:
            return None
        name, comparison, value = match.groups()
        return cls(name, comparison, value[1:-1] if value[0] in "'\"" else value)


def fitting(conditions: Conditions, spans: Mapping[int, tuple[int, int]], one: Filter) -> list[int]:
    """The runs that pass a filter; one without a value does not.

    Parameters
    ----------
    spans
        Begin and end of each run [ns UTC].

    Raises
    ------
    UsageError
        If the value is of another kind than the condition.
    NotFoundError, AmbiguousNameError
        If there is no such condition, or several have that name.
    """
    table, column = conditions.find(one.name)
    wanted, compare = _value(one, table.columns[column].dtype.kind), _COMPARE[one.comparison]
    values = conditions.of_runs(one.name, spans)
    return [run for run, value in values.items() if value is not None and value == value and compare(value, wanted)]


def run_spans(conditions: Conditions) -> dict[int, tuple[int, int]]:
    """Begin and end of each run [ns UTC], all subsystems together."""
    spans: dict[int, tuple[int, int]] = {}
    for view in map(conditions.reader.subsystem, conditions.reader.subsystems):
        begins, ends = view.per_run["start"].tolist(), view.per_run["stop"].tolist()
        for run, at in view.run_indices.items():
            before = spans.get(run, (begins[at], ends[at]))
            spans[run] = min(before[0], begins[at]), max(before[1], ends[at])
    return spans


def _value(one: Filter, kind: str) -> Any:
    if kind == "O":
        return one.value
    try:
        return _TRUTH[one.value.casefold()] if kind == "b" else float(one.value)
    except (KeyError, ValueError) as error:
        what = "true or false" if kind == "b" else "a number"
        raise UsageError(f"--where: {quoted(one.value)} is not {what}, as {quoted(one.name)} is") from error
