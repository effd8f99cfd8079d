"""The alarms of ALICE OVERWATCH by its names, with its parameters, defaults and formulas.

Each looks at the values of a trend up to the present report. With too few of them OVERWATCH raises no alarm, and here
the answer is unknown, as it is where the present value is missing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.quality.rules.windows import Reports, compared

__all__ = ["AGGREGATES", "ALARMS", "Alarm"]

Numbers = NDArray[np.float64]
Truth = NDArray[np.int8]
AGGREGATES = {"AndAlarm": np.minimum, "OrAlarm": np.maximum}


@dataclass(frozen=True)
class Alarm:
    """An alarm: its parameters with their defaults, and in which reports it is raised.

    Parameters
    ----------
    values
        That it needs, unless a parameter ``N`` says how many.
    """

    raised: Callable[..., Truth]
    parameters: Mapping[str, float | None]
    values: int = 1


def between_values(
    _: Reports,
    x: Numbers,
    centerValue: float,
    maxDistance: float,
    minVal: float | None,
    maxVal: float | None,
) -> Truth:
    """Raised outside of ``minVal <= x <= maxVal``; without these within ``maxDistance`` of ``centerValue``."""
    low = centerValue - maxDistance if minVal is None else minVal
    high = centerValue + maxDistance if maxVal is None else maxVal
    return compared(~((low <= x) & (x <= high)), x)


def absolute_previous_value(reports: Reports, x: Numbers, maxDelta: float) -> Truth:
    """Raised where the value differs from the one before by more than ``maxDelta``."""
    before = reports.previous(x)
    return compared(np.abs(before - x) > maxDelta, x, before)


def relative_previous_value(reports: Reports, x: Numbers, ratio: float) -> Truth:
    """Raised where the value is not within a factor ``ratio`` of the one before; of another sign it never is."""
    before = reports.previous(x)
    same_way = np.where(before < 0, -x, x)
    return compared(~((np.abs(before / ratio) <= same_way) & (same_way <= np.abs(before * ratio))), x, before)


def mean_in_range(reports: Reports, x: Numbers, minVal: float, maxVal: float, N: int) -> Truth:
    """Raised where the mean of the last ``N`` values is not between the limits, these excluded."""
    mean = reports.windowed("mean", x, N)
    return compared(~((minVal < mean) & (mean < maxVal)), mean)


def check_last_n(reports: Reports, x: Numbers, minVal: float, maxVal: float, ratio: float, N: int) -> Truth:
    """Raised where fewer than ``ratio * N`` of the last ``N`` values are between the limits, these excluded."""
    inside = reports.count(compared((minVal < x) & (x < maxVal), x), N)
    return compared(inside < ratio * N, inside)


ALARMS: dict[str, Alarm] = {
    "BetweenValuesAlarm": Alarm(
        between_values, {"centerValue": 50.0, "maxDistance": 50.0, "minVal": None, "maxVal": None}
    ),
    "AbsolutePreviousValueAlarm": Alarm(absolute_previous_value, {"maxDelta": 1.0}, values=2),
    "RelativePreviousValueAlarm": Alarm(relative_previous_value, {"ratio": 2.0}, values=2),
    "MeanInRangeAlarm": Alarm(mean_in_range, {"minVal": 0.0, "maxVal": 100.0, "N": 5}),
    "CheckLastNAlarm": Alarm(check_last_n, {"minVal": 0.0, "maxVal": 100.0, "ratio": 0.6, "N": 5}),
}


def require_sensible(name: str, given: Mapping[str, Any]) -> str:
    """What is wrong with the arguments of an alarm, in words; empty if nothing is."""
    if name == "RelativePreviousValueAlarm" and given["ratio"] <= 1:
        return f"ratio {given['ratio']:g}, expected more than 1"
    low, high = given.get("minVal"), given.get("maxVal")
    if low is not None and high is not None and low > high:
        return f"minVal {low:g} is above maxVal {high:g}"
    return ""
