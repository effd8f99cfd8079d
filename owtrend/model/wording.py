"""Words that findings are made of: runs, names, numbers of things, bins and ranges of axes."""

import math
from collections.abc import Sequence

from owtrend.model.axis import Axis

__all__ = ["axis_title", "bin_place", "bin_range", "counted", "measured", "minutes", "name_list",
           "percentage", "plural", "run_names"]  # fmt: skip

_TIMES = 10.0  # relative change from which on it is given as a factor


def run_names(runs: Sequence[int]) -> str:
    """A few runs in short: ``run 7``, or ``3 runs, 7 to 11``."""
    if len(runs) == 1:
        return f"run {runs[0]}"
    return f"{len(runs)} runs, {min(runs)} to {max(runs)}" if runs else "no other run"


def name_list(names: Sequence[str]) -> str:
    """The first name, and how many others there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def plural(number: int, noun: str) -> str:
    """A number of things: ``1 snapshot``, ``1,440 snapshots``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def minutes(ns: float) -> str:
    """A length of time [ns] in minutes."""
    return f"{ns / 60e9:.1f} min"


def counted(seen: float, expected: float) -> str:
    """Counts, and how many were expected."""
    return f"{seen:,.0f} counts where {expected:,.{0 if expected >= 20 else 1}f} are expected"


def measured(size: float, error: float, *, signed: bool = True) -> str:
    """A number with its error, both to two digits of the error: ``+0.312 ± 0.021``."""
    if not math.isfinite(size) or not error > 0:
        return f"{size:{'+' * signed}.3g}"
    digits = min(max(1 - math.floor(math.log10(error)), 0), 9)
    return f"{size:{'+' * signed},.{digits}f} ± {error:,.{digits}f}"


def percentage(size: float, error: float, *, signed: bool = True) -> str:
    """A relative change with its error: ``-12.1 ± 2.3 %``, ``42 times as many`` where it is large."""
    if size >= _TIMES:
        return f"{1 + size:,.0f} times as many"
    return f"{measured(100 * size, 100 * error, signed=signed)} %"


def bin_place(axes: Sequence[Axis], cell: int) -> str:
    """Coordinates of a cell, flat in ROOT's order with flow bins."""
    words = []
    for number, axis in enumerate(axes):
        cell, at = divmod(cell, len(axis) + 2)
        words.append(bin_range(axes, number, at, at))
    return ", ".join(words)


def bin_range(axes: Sequence[Axis], number: int, first: int, last: int) -> str:
    """Range of an axis from its bin ``first`` to ``last``; 0 is the underflow."""
    axis, title = axes[number], axis_title(axes, number)
    if first == last and (label := axis.labels.get(first)):
        return f"{title} {label}".strip()
    if last == 0:
        return f"{title} below {axis.edges[0]:.6g}"
    if first > len(axis):
        return f"{title} from {axis.edges[-1]:.6g} on"
    low, high = axis.edges[max(first - 1, 0)], axis.edges[min(last, len(axis))]
    return f"{title} {low:.6g} to {high:.6g}"


def axis_title(axes: Sequence[Axis], number: int) -> str:
    """Title of an axis, or x, y, z where it has none."""
    return axes[number].title.strip() or "xyz"[number]
