"""Functions that an expression may call: their arguments, and what they are of reports.

Arguments have names and may have defaults, as in Python: ``mean(mean_x, n=10)``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.model.finding import Aspect, Score
from owtrend.quality.rules import overwatch
from owtrend.quality.rules.windows import WINDOWS, Reports, finite

__all__ = ["FUNCTIONS", "INPUTS", "LONGEST_WINDOW", "SCORES", "WINDOW", "Argument", "Function", "Kind"]

WINDOW = 20  # reports, where nobody says how many
LONGEST_WINDOW = 1000


class Kind(Enum):
    """What an argument or a part of an expression is."""

    NUMBER = "a number"
    CONDITION = "a condition"
    TEXT = "a text in quotes"
    WHOLE = "a whole number of reports"
    CONSTANT = "a plain number"
    REDUCTOR = "a reductor"


@dataclass(frozen=True)
class Argument:
    """One argument; without a default it is needed."""

    name: str
    kind: Kind
    default: Any = ...  # None: left open


@dataclass(frozen=True)
class Function:
    """A function of reports.

    Parameters
    ----------
    call
        It gets the reports, and each argument: numbers and truth values as arrays, all else as it is typed.
    gives
        A number, a condition or a text.
    reach
        Reports that it looks back, given its arguments by name.
    """

    arguments: tuple[Argument, ...]
    call: Callable[..., NDArray[Any]]
    gives: Kind = Kind.NUMBER
    reach: Callable[[Mapping[str, Any]], int] = lambda _: 0
    more: bool = False  # whether the last argument may be repeated

    @property
    def decides(self) -> bool:
        """Whether its value is shown as one of those that decided, in place of the values in it."""
        return self.gives is Kind.NUMBER and (self.reach({"n": 2, "N": 2}) > 0 or self.arguments[0].kind in _NAMED)


_NAMED = (Kind.TEXT, Kind.REDUCTOR)
_X = Argument("x", Kind.NUMBER)
_N = Argument("n", Kind.WHOLE, WINDOW)


def _plain(function: Callable[[NDArray[Any]], NDArray[Any]]) -> Function:
    def call(_: Reports, x: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(all="ignore"):
            return finite(function(x))

    return Function((_X,), call)


def _window(name: str) -> Function:
    def call(reports: Reports, x: NDArray[Any], n: int) -> NDArray[Any]:
        return reports.windowed(name, x, n)

    return Function((_X, _N), call, reach=lambda given: int(given["n"]))


def _input(what: str, argument: Argument) -> Function:
    return Function((argument,), lambda reports, name: reports.get(what, name))


FUNCTIONS: dict[str, Function] = {
    "abs": _plain(np.abs),
    "sqrt": _plain(np.sqrt),
    "log": _plain(np.log),
    "exp": _plain(np.exp),
    "previous": Function((_X,), lambda reports, x: reports.previous(x), reach=lambda _: 1),
    **{name: _window(name) for name in WINDOWS if name != "sum"},
    "count": Function(
        (Argument("condition", Kind.CONDITION), _N),
        lambda reports, condition, n: reports.count(condition, n),
        reach=lambda given: int(given["n"]),
    ),
    "error": _input("error", Argument("x", Kind.REDUCTOR)),
    "reference": _input("reference", Argument("x", Kind.REDUCTOR)),
    "score": _input("score", Argument("name", Kind.TEXT, "total")),
    "condition": _input("condition", Argument("name", Kind.TEXT)),
}  # fmt: skip


def _alarm(alarm: overwatch.Alarm) -> Function:
    arguments = [_X]
    for name, default in alarm.parameters.items():
        arguments.append(Argument(name, Kind.WHOLE if name == "N" else Kind.CONSTANT, default))
    return Function(tuple(arguments), alarm.raised, Kind.CONDITION, lambda given: int(given.get("N", alarm.values)))


_CHILD = Argument("alarm", Kind.CONDITION)
FUNCTIONS |= {name: _alarm(alarm) for name, alarm in overwatch.ALARMS.items()}
FUNCTIONS |= {
    name: Function((_CHILD,), lambda _, *alarms, join=join: join.reduce(alarms), Kind.CONDITION, more=True)
    for name, join in overwatch.AGGREGATES.items()
}

SCORES = ("total", "threshold", *(score.value for score in Score if score.aspect is not Aspect.EVENT))
INPUTS = {"score": ("score", "total"), "z": ("score", "total"), "threshold": ("score", "threshold")}
