"""Runs chosen by their conditions: ``period=LHC18b``, ``energy>=6500``."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from owtrend.conditions.stored import Conditions
from owtrend.display import quoted
from owtrend.errors import NotFoundError, UsageError

__all__ = ["fitting_runs", "run_spans"]

_FILTER = re.compile(r"\s*([^\W\d][\w.]*)\s*(==|!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
    ">=": operator.ge,
}  # fmt: skip
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def fitting_runs(conditions: Conditions, spans: Mapping[int, tuple[int, int]], filters: Sequence[str]) -> list[int]:
    """The runs that pass all filters; one without a value passes none.

    Parameters
    ----------
    spans
        Begin and end of each run [ns UTC].
    filters
        A condition, one of ``= != < <= > >=``, and a value; quotes around a text may be left out.

    Raises
    ------
    UsageError
        If a filter is none, or its value is of another kind than the condition.
    NotFoundError, AmbiguousNameError
        If there is no such condition, or no run passes.
    """
    runs = dict(spans)
    for text in filters:
        match = _FILTER.fullmatch(text)
        if match is None:
            raise UsageError(f"--where {quoted(text)}: expected a condition and a value, such as period=LHC18b")
        name, comparison, value = match.groups()
        table, column = conditions.find(name)
        wanted = _value(value, table.columns[column].dtype.kind, text)
        compare = _COMPARE[comparison]
        values = conditions.of_runs(name, runs)
        runs = {
            run: span for run, span in runs.items()
            if values[run] is not None and values[run] == values[run] and compare(values[run], wanted)
        }  # fmt: skip
    if not runs:
        raise NotFoundError(
            f"no run with {quoted(' and '.join(filters), 200)}; `owtrend runs --conditions` lists values"
        )
    return sorted(runs)


def run_spans(conditions: Conditions) -> dict[int, tuple[int, int]]:
    """Begin and end of each run [ns UTC], all subsystems together."""
    spans: dict[int, tuple[int, int]] = {}
    for view in map(conditions.reader.subsystem, conditions.reader.subsystems):
        begins, ends = view.per_run["start"].tolist(), view.per_run["stop"].tolist()
        for run, at in view.run_indices.items():
            before = spans.get(run, (begins[at], ends[at]))
            spans[run] = min(before[0], begins[at]), max(before[1], ends[at])
    return spans


def _value(text: str, kind: str, where: str) -> Any:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    if kind == "O":
        return text
    try:
        return _TRUTH[text.casefold()] if kind == "b" else float(text)
    except (KeyError, ValueError) as error:
        what = "true or false" if kind == "b" else "a number"
        raise UsageError(f"--where {quoted(where)}: {quoted(text)} is not {what}, as that condition is") from error
