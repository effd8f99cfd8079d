"""What a detector declares about its histograms: frozen values, found through the entry points `owtrend.detectors`.

Patterns are shell patterns of displayed names, such as ``*FastOR*``; where several fit, the first one counts.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import isfinite
from typing import Any, TypeVar

from owtrend.display import quoted
from owtrend.errors import NotFoundError, UsageError, hint
from owtrend.model.finding import BinRange

__all__ = [
    "Detector", "Display", "EventCount", "Group", "Host", "HotChannels", "Line", "Option", "Overlay", "Projection",
    "Ratio", "Style", "Trends", "first_fitting",
]  # fmt: skip

Range = tuple[float, float]
Value = bool | int | float | str
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Group:
    """Histograms that are shown together.

    Parameters
    ----------
    grid
        Pattern of those that belong side by side, such as one of each supermodule; ``""``: none.
    """

    title: str
    pattern: str
    grid: str = ""


@dataclass(frozen=True)
class Line:
    """A line drawn over a histogram, in the coordinates of its axes."""

    x: Range
    y: Range


@dataclass(frozen=True)
class Display:
    """How a histogram is drawn.

    Parameters
    ----------
    log
        Letters of the axes with a logarithmic scale: ``"y"`` has the contents of one axis, ``"z"`` those of two.
    x, y
        Range of an axis, or of the contents of one axis; None: all.
    draw
        ROOT's drawing option, such as ``colz``.
    per_event
        Whether contents are divided by the events of the interval shown, if the option ``scale_events`` is on.
    """

    log: str = ""
    x: Range | None = None
    y: Range | None = None
    draw: str = ""
    grid: bool = False
    per_event: bool = False
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Style:
    """Title and display of the histograms that a pattern fits.

    Parameters
    ----------
    title
        Python's format of a title: ``{name}`` is the name without the detector's prefix, ``{number}`` the number at the
        end of the name; ``""``: leave it to the next style that fits.
    """

    pattern: str
    title: str = ""
    display: Display | None = None

    def __post_init__(self) -> None:
        """Raise UsageError where the title is no format of these two."""
        try:
            self.title.format(name="", number="")
        except (AttributeError, IndexError, KeyError, ValueError) as error:
            raise UsageError(f"title {quoted(self.title)}: expected {{name}} and {{number}} only ({error})") from error


@dataclass(frozen=True)
class Option:
    """A setting of a detector that people choose: on the command line, in Python, and on the page.

    Its type is that of the default: bool, int, float or str.
    """

    name: str
    default: Value
    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def parse(self, value: Any) -> Value:
        """A value of the option's type, from itself or from a text.

        Raises
        ------
        UsageError
            If it is of another type, or out of range.
        """
        kind = type(self.default)
        found: Any = value
        try:
            if kind is bool:
                found = value if isinstance(value, bool) else _WORDS[str(value).strip().lower()]
            elif kind in (int, float):
                found = kind(value)
                if isinstance(value, bool) or not isfinite(found) or (kind is int and float(value) != found):
                    raise ValueError
            else:
                found = str(value)
        except (KeyError, OverflowError, TypeError, ValueError):
            raise UsageError(f"option {self.name}={quoted(value, 60)}: expected {self.expects}") from None
        low = self.low is not None and kind in (int, float) and found < self.low
        high = self.high is not None and kind in (int, float) and found > self.high
        if low or high or (self.choices and found not in self.choices):
            raise UsageError(f"option {self.name}={quoted(value, 60)}: expected {self.expects}")
        return found

    @property
    def expects(self) -> str:
        """What it takes, in words."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if isinstance(self.default, bool):
            return "yes or no"
        word = {int: "a whole number", float: "a number", str: "a text"}[type(self.default)]
        if self.low is not None and self.high is not None:
            return f"{word} from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"{word} from {self.low:g} on"
        return f"{word} up to {self.high:g}" if self.high is not None else word


@dataclass(frozen=True)
class Projection:
    """A histogram made by summing another one over axes, over all their bins or over a range.

    Parameters
    ----------
    name, source
        Name of the new histogram, displayed name of the source. ``{}`` in both stands for any text, the same in both.
    axes
        Those that remain, such as ``"xz"``.
    ranges
        By letter of an axis that is summed over its range in the axis' own units. Ends move to the nearest edges of
        bins. An axis without a range is summed over all its bins, flow bins too; an infinite end takes in the flow bin.
    """

    name: str
    source: str
    axes: str
    ranges: Mapping[str, Range] = field(default_factory=dict)
    title: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """The histograms that it is made of."""
        return (self.source,)


@dataclass(frozen=True)
class Overlay:
    """Histograms with equal bins that are drawn over each other, such as EMCal and DCal; ``{}`` as in `Projection`."""

    name: str
    sources: tuple[str, ...]
    title: str = ""


@dataclass(frozen=True)
class Ratio:
    """One histogram divided by another, bin by bin, or what fraction of it passed; ``{}`` as in `Projection`."""

    name: str
    sources: tuple[str, str]
    title: str = ""
    efficiency: bool = False


Derived = Projection | Overlay | Ratio


@dataclass(frozen=True)
class Trends:
    """Reductors that `owtrend compute` keeps of the histograms that patterns fit.

    Parameters
    ----------
    reductors
        Such as ``mean_x``; see `owtrend.trends.reductors`.
    ranges
        By letter the range of an axis in its own units; ends move to the nearest edges of bins.
    """

    patterns: tuple[str, ...]
    reductors: tuple[str, ...]
    ranges: Mapping[str, Range] = field(default_factory=dict)


@dataclass(frozen=True)
class EventCount:
    """Where a subsystem counts events: a histogram, and the reductor of it that is their number."""

    pattern: str
    reductor: str = "integral"


@dataclass(frozen=True)
class HotChannels:
    """Histograms with a channel in each bin, and from which content per event on one is hot."""

    pattern: str
    threshold: float


@dataclass(frozen=True)
class Host:
    """Another subsystem whose files hold histograms of this one, where it has none of its own."""

    subsystem: str
    patterns: tuple[str, ...]


Named = TypeVar("Named", Group, Style, HotChannels)


def first_fitting(declared: Iterable[Named], name: str) -> Named | None:
    """The first of some declarations whose pattern fits a name."""
    return next((one for one in declared if fnmatchcase(name, one.pattern)), None)


Places = Callable[[str, Sequence[BinRange]], str]


@dataclass(frozen=True)
class Detector:
    """What owtrend knows about one subsystem.

    Parameters
    ----------
    name
        Of the subsystem, as in the names of its files.
    prefix
        What displayed names begin with and titles leave out.
    groups
        In order; a histogram is in the first one that fits.
    place
        Called with the displayed name of a histogram and bins of it, returns the part of the detector in words, such as
        ``supermodule 12, TRU 33``; ``""`` where it has no name.
    """

    name: str
    prefix: str = ""
    groups: tuple[Group, ...] = ()
    styles: tuple[Style, ...] = ()
    options: tuple[Option, ...] = ()
    events: EventCount | None = None
    derived: tuple[Derived, ...] = ()
    trends: tuple[Trends, ...] = ()
    hot_channels: tuple[HotChannels, ...] = ()
    host: Host | None = None
    place: Places | None = None

    def __post_init__(self) -> None:
        """Raise UsageError where something is not of its declared type: a plug-in is somebody else's code."""
        kinds: dict[str, Any] = {
            "groups": Group, "styles": Style, "options": Option, "derived": Derived, "trends": Trends,
            "hot_channels": HotChannels,
        }  # fmt: skip
        for name, kind in kinds.items():
            given = getattr(self, name)
            if not isinstance(given, tuple) or not all(isinstance(one, kind) for one in given):
                raise UsageError(
                    f"detector {quoted(self.name)}: {name} is {quoted(given, 80)}; expected a tuple of them"
                )
        for name, one in {"events": EventCount, "host": Host}.items():
            if not isinstance(getattr(self, name), one | None):
                raise UsageError(f"detector {quoted(self.name)}: {name} is no {one.__name__}")
        if not isinstance(self.name, str):
            raise UsageError(f"a detector with the name {quoted(self.name)}; expected that of a subsystem")

    def settings(self, given: Mapping[str, Any] | None = None) -> dict[str, Value]:
        """The value of each option: those that are given, and the defaults of the others.

        Raises
        ------
        NotFoundError
            If there is no such option; the text lists those there are.
        UsageError
            If a value is wrong.
        """
        known = {one.name: one for one in self.options}
        for name in given or {}:
            if name not in known:
                there = f"there are {', '.join(known)}" if known else "it has none"
                raise NotFoundError(f"{self.name} has no option {quoted(name)}{hint(str(name), known)}; {there}")
        return {name: one.parse((given or {}).get(name, one.default)) for name, one in known.items()}

    def key(self, given: Mapping[str, Any] | None = None) -> str:
        """A text that is the same for the same settings, however they were given: for caches and addresses."""
        default = self.settings()
        other = {name: value for name, value in self.settings(given).items() if value != default[name]}
        return json.dumps(other, sort_keys=True) if other else ""

    def group(self, name: str) -> Group | None:
        """The group that a histogram is in."""
        return first_fitting(self.groups, name)

    def short(self, name: str) -> str:
        """A name without the detector's prefix."""
        return name.removeprefix(self.prefix) or name

    def title(self, name: str) -> str:
        """How a histogram is called."""
        titled = first_fitting((one for one in self.styles if one.title), name)
        if titled is None:
            return self.short(name)
        number = name[len(name.rstrip("0123456789")) :]
        return titled.title.format(name=self.short(name), number=number)

    def display(self, name: str) -> Display:
        """How a histogram is drawn."""
        styled = first_fitting((one for one in self.styles if one.display is not None), name)
        return Display() if styled is None or styled.display is None else styled.display
