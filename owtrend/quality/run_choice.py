"""Runs chosen by their conditions, for ``--where``: ``period=LHC18b``, or an expression as rules have it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.conditions.selection import Filter, fitting
from owtrend.conditions.stored import Conditions
from owtrend.display import quoted
from owtrend.errors import NotFoundError, UsageError

__all__ = ["fitting_runs"]

Spans = Mapping[int, tuple[int, int]]


def fitting_runs(conditions: Conditions, spans: Spans, filters: Sequence[str]) -> list[int]:
    """The runs that pass all filters; one without a value passes none.

    Parameters
    ----------
    spans
        Begin and end of each run [ns UTC].
    filters
        A condition, one of ``= != < <= > >=``, and a value; or an expression over conditions, such as
        ``condition("beam") == "pp" or condition("energy") > 6000``, see `owtrend.quality.rules.expression`.

    Raises
    ------
    UsageError
        If a filter is none, or its value is of another kind than the condition.
    NotFoundError, AmbiguousNameError
        If there is no such condition, or no run passes.
    """
    runs = dict(spans)
    for text in filters:
        simple = Filter.parsed(text)
        passing = {*(fitting(conditions, runs, simple) if simple else _by_expression(conditions, runs, text))}
        runs = {run: span for run, span in runs.items() if run in passing}
    if not runs:
        raise NotFoundError(
            f"no run with {quoted(' and '.join(filters), 200)}; `owtrend runs --conditions` lists values"
        )
    return sorted(runs)


def _by_expression(conditions: Conditions, runs: Spans, text: str) -> list[int]:
    from owtrend.quality.rules.expression import compile_condition
    from owtrend.quality.rules.windows import TRUE, Reports

    try:
        expression = compile_condition(text)
    except UsageError as error:
        raise UsageError(
            f"--where {quoted(text)}: {error}; or a condition and a value, such as period=LHC18b"
        ) from error
    if other := sorted(name for what, name in expression.inputs if what != "condition"):
        raise UsageError(
            f"--where {quoted(text)}: {other[0]} is no condition; write condition({quoted(other[0])}) for one"
        )
    inputs: dict[tuple[str, str], NDArray[Any]] = {}
    for what, name in expression.inputs:
        values = np.empty(len(runs), dtype=object)
        values[:] = [_plain(value) for value in conditions.of_runs(name, runs).values()]
        inputs[what, name] = values
    every = np.arange(len(runs))
    truth = expression.truth(Reports(every, inputs, np.ones(len(runs), dtype=bool)))
    return np.array(list(runs))[truth == TRUE].tolist()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
