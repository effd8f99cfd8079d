"""Reductors by the names that people type, their own functions too.

``entries``, ``mean_x``, ``quantile_x(0.9)``, ``mean_x(y=2:5)``: a reductor with a range ``axis=from:to`` sees only the
bins in it, which must begin and end where bins do; ``entries(x="B")`` only the bin with the label B, wherever it
stands. Without an axis it is of x. `owtrend.trends.reductions` has the
formulas.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from owtrend import modules
from owtrend.display import quoted
from owtrend.errors import NotFoundError, UsageError, hint
from owtrend.model.axis import Axis
from owtrend.model.registry import Segment
from owtrend.trends import reductions
from owtrend.trends.increments import Increments, Ranges

__all__ = ["DEFAULT", "REDUCTORS", "Kind", "Reductor", "applicable", "axis_words", "parse", "reductor"]


@dataclass(frozen=True)
class Kind:
    """A family of reductors: how to call it, and whether `compute` keeps it of every histogram.

    ``numbers`` are how many it takes in brackets, ``of_profiled`` whether it has a meaning for a profiled quantity,
    ``of_cells`` whether it needs every bin of two or three axes.
    """

    function: Callable[..., reductions.Estimate]
    per_axis: bool = True
    stored: bool = False
    of_profiled: bool = False
    numbers: tuple[int, ...] = (0,)
    other: bool = False
    custom: bool = False
    of_cells: bool = False


REDUCTORS: dict[str, Kind] = {
    "entries": Kind(reductions.entries, per_axis=False, stored=True),
    "integral": Kind(reductions.integral, per_axis=False, stored=True),
    "rate": Kind(reductions.rate, per_axis=False),
    "events": Kind(reductions.events, per_axis=False),
    "per_event": Kind(reductions.per_event, per_axis=False),
    "maximum": Kind(reductions.maximum, per_axis=False),
    "highest": Kind(reductions.highest, per_axis=False, of_cells=True),
    "mean": Kind(reductions.mean, stored=True, of_profiled=True),
    "std": Kind(reductions.std, stored=True, of_profiled=True),
    "skewness": Kind(reductions.skewness, stored=True),
    "kurtosis": Kind(reductions.kurtosis, stored=True),
    "median": Kind(reductions.median, stored=True),
    "quantile": Kind(reductions.quantile, numbers=(1,)),
    "underflow": Kind(reductions.underflow, stored=True),
    "overflow": Kind(reductions.overflow, stored=True),
    "fraction": Kind(reductions.fraction, numbers=(2,)),
    "peak": Kind(reductions.peak),
    "gauss": Kind(reductions.gauss, numbers=(0, 2)),
    "gauss_width": Kind(reductions.gauss_width, numbers=(0, 2)),
    "mpv": Kind(reductions.mpv, numbers=(0, 2)),
    "ratio": Kind(reductions.ratio, per_axis=False, other=True),
    "efficiency": Kind(reductions.efficiency, per_axis=False, other=True),
}


def _stored() -> tuple[str, ...]:
    plain = [name for name, kind in REDUCTORS.items() if kind.stored and not kind.per_axis]
    along = [name for name, kind in REDUCTORS.items() if kind.stored and kind.per_axis]
    profiled = [f"{name}_t" for name in along if REDUCTORS[name].of_profiled]
    return (*plain, *(f"{name}_{axis}" for axis in "xyz" for name in along), *profiled)


DEFAULT = _stored()  # what `compute` keeps of every histogram that they have a meaning for


@dataclass(frozen=True)
class Reductor:
    """One reductor as somebody named it."""

    name: str
    kind: Kind
    axis: str = ""
    numbers: tuple[float, ...] = ()
    ranges: Mapping[str, tuple[float, float] | str] = field(default_factory=dict)
    other: str = ""

    def __call__(self, increments: Increments, other: Increments | None = None) -> reductions.Estimate:
        """Value and error of each increment, NaN where it has no meaning or the gain is not known."""
        extra: tuple[Any, ...] = (self.axis,) if self.kind.per_axis else ()
        value, error = self.kind.function(increments, *extra, *self.numbers, *(() if other is None else (other,)))
        missing = increments.missing if other is None else increments.missing | other.missing
        if missing.any():
            value, error = np.where(missing, np.nan, value), np.where(missing, np.nan, error)
        return value, error

    @property
    def plain(self) -> bool:
        """True if it needs nothing but the increments of all bins."""
        return not (self.ranges or self.kind.custom or self.other)

    def bins(self, axes: Sequence[Axis]) -> Ranges:
        """Its ranges in bins."""
        found = {}
        for letter, wanted in self.ranges.items():
            axis = axes["xyz".index(letter)]
            if isinstance(wanted, str):
                found[letter] = reductions.labelled_bin(axis, wanted)
            else:
                found[letter] = reductions.bin_range(axis, *wanted)
        return found

    def require_bins(self, axes: Sequence[Axis]) -> None:
        """Raise UsageError if its ranges, or its window, do not begin and end where bins of these axes do.

        NotFoundError if they lack a label.
        """
        self.bins(axes)
        if self.axis and len(self.numbers) == 2:
            reductions.bin_range(axes["xyz".index(self.axis)], *self.numbers)

    def fits(self, segment: Segment) -> bool:
        """True if it has a meaning for a histogram."""
        profile, dims = segment.class_name.startswith("TProfile"), len(segment.axes)
        if self.ranges and any("xyz".index(letter) >= dims for letter in self.ranges):
            return False
        if not self.kind.per_axis:
            return True
        letters = "xyzt"[: dims + (profile and self.kind.of_profiled)]
        return self.axis in letters


_LONGEST = 200  # characters of a label
_LONGEST_INSIDE = 1000  # characters in brackets: three labels and more
_WHOLE = 1e16  # from here on float64 does not hold every whole number
_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_LABEL = r'"(?:[^"\\]|\\.)*"|[A-Za-z_][\w.-]*'
_PARTS = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,"]|")+')  # between commas, but for those in quotes
_SPEC = re.compile(r"(?P<name>\w+?)(?:_(?P<axis>[xyzt]))?(?:\((?P<inside>.*)\))?")


@lru_cache(maxsize=4096)
def parse(spec: str) -> Reductor:
    """The reductor of a name such as ``mean``, ``quantile_x(0.9)``, ``mean_x(y=2:5)`` or ``ratio(other histogram)``.

    Raises
    ------
    NotFoundError
        If there is no such reductor; the text lists those there are.
    UsageError
        If what stands in the brackets is not what it takes.
    """
    if spec in REDUCTORS and not REDUCTORS[spec].per_axis and not REDUCTORS[spec].other:
        return Reductor(spec, REDUCTORS[spec])
    match = _SPEC.fullmatch(spec.strip())
    name, axis, inside = match.group("name", "axis", "inside") if match else (spec, None, None)
    if name not in REDUCTORS:
        modules.import_installed()
    if name not in REDUCTORS or (axis and not REDUCTORS[name].per_axis):
        near = hint(name, REDUCTORS, limit=1).removesuffix("?")
        raise NotFoundError(
            f"no reductor {quoted(spec)}{near}; there are {', '.join(REDUCTORS)}, with an axis such as mean_x"
        )
    kind = REDUCTORS[name]
    axis = axis or ("x" if kind.per_axis else "")
    if kind.other:
        if not inside:
            raise UsageError(f"{spec!r}: expected the name of another histogram, such as {name}(all clusters)")
        return Reductor(spec, kind, other=inside)
    numbers: list[float] = []
    ranges: dict[str, tuple[float, float] | str] = {}
    if len(inside or "") > _LONGEST_INSIDE:
        raise UsageError(f"{quoted(spec)}: {len(inside or ''):,} characters in brackets, expected {_LONGEST_INSIDE:,}")
    for part in filter(None, (piece.strip() for piece in _PARTS.findall(inside or ""))):
        if re.fullmatch(_NUMBER, part):
            numbers.append(_number(spec, part))
        elif part[0] in ranges and part[1:2] == "=":
            raise UsageError(f"{quoted(spec)}: two ranges of {part[0]}; give one")
        elif found := re.fullmatch(rf"([xyz])=({_NUMBER}):({_NUMBER})", part):
            ranges[found[1]] = (_number(spec, found[2]), _number(spec, found[3]))
        elif found := re.fullmatch(rf"([xyz])=({_LABEL})", part):
            ranges[found[1]] = _label(spec, found[2])
        else:
            raise UsageError(
                f'{quoted(spec)}: {quoted(part)} is neither a number nor a range such as y=2:5 or x="label"'
            )
    if len(numbers) not in kind.numbers:
        wanted = " or ".join(map(str, kind.numbers))
        raise UsageError(f"{quoted(spec)}: {name} takes {wanted} numbers in brackets, not {len(numbers)}")
    if name == "quantile" and not 0 <= numbers[0] <= 1:
        raise UsageError(f"{quoted(spec)}: expected a share from 0 to 1, not {numbers[0]:g}")
    if kind.custom and ranges:
        raise UsageError(f"{spec!r}: a function of your own takes no range; it can choose bins by owtrend.project")
    arguments = [_text(number) for number in numbers]
    arguments += [f"{letter}={_range_text(wanted)}" for letter, wanted in sorted(ranges.items())]
    whole = f"{name}_{axis}" if axis else name
    return Reductor(whole + (f"({','.join(arguments)})" if arguments else ""), kind, axis, tuple(numbers), ranges)


def _number(spec: str, text: str) -> float:
    number = float(text)
    if not np.isfinite(number):
        raise UsageError(f"{quoted(spec)}: {quoted(text, 30)} is too large for a number; give edges of bins")
    return number


def _label(spec: str, text: str) -> str:
    """A label as people type it: in quotes, as in JSON, or a bare word."""
    try:
        label = str(json.loads(text)) if text.startswith('"') else text
    except ValueError as error:
        raise UsageError(f"{quoted(spec)}: {quoted(text)} is no label in quotes: {error}") from None
    if len(label) > _LONGEST:
        raise UsageError(f"a label of {len(label)} characters; expected at most {_LONGEST}")
    return label


def _range_text(wanted: tuple[float, float] | str) -> str:
    if isinstance(wanted, str):
        return json.dumps(wanted, ensure_ascii=False)
    return ":".join(map(_text, wanted))


def _text(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < _WHOLE else repr(number)


def reductor(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of a histogram a reductor, by its name.

    The function gets what one histogram gained in one interval, as `owtrend.time_slice` gives it, and gives a value or
    ``(value, error)``. It is not called where nothing was gained, which is missing. Its module is imported if it is
    named in a configuration that you give (``modules:``) or an entry point `owtrend.reductors` of an installed package,
    and then on workers, too; never because a store names it.

    Raises
    ------
    UsageError
        If owtrend has one of this name.
    """
    name = getattr(function, "__name__", "")
    if name in REDUCTORS and not REDUCTORS[name].custom:
        raise UsageError(f"owtrend has a reductor {name!r} already; give yours another name")
    REDUCTORS[name] = Kind(function, per_axis=False, custom=True)
    parse.cache_clear()
    return function


def axis_words(spec: str, segments: Iterable[Segment]) -> str:
    """What a name without an axis means for the profiles among some histograms, in words; empty if it is clear.

    As in ROOT it is of the first axis, although a profile also has a mean of the profiled quantity.
    """
    dims = {len(segment.axes) for segment in segments if segment.class_name.startswith("TProfile")}
    match = _SPEC.fullmatch(spec.strip())
    if not dims or not match or match["axis"] or match["name"] not in REDUCTORS or not parse(spec).kind.of_profiled:
        return ""
    name = match["name"]
    profiled = " or ".join(f"{name}_{'xyzt'[number]}" for number in sorted(dims))
    return f"{name} of a profile is {name}_x, of its x axis; of the profiled quantity it is {profiled}"


def applicable(segment: Segment) -> list[str]:
    """The reductors kept by `compute` that have a meaning for a histogram."""
    return [name for name in DEFAULT if parse(name).fits(segment)]
