"""Findings: what is wrong, where, since when, how significant, and why."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple, Self

import pandas as pd

from owtrend.errors import StoreError
from owtrend.model.axis import Axis
from owtrend.model.rows import Bits

__all__ = [
    "COLUMNS",
    "EARLIER_NAMES",
    "Aspect",
    "BinRange",
    "Concerned",
    "Deviation",
    "Finding",
    "Flagged",
    "Score",
    "in_time",
    "table",
]

COLUMNS = (
    "id", "subsystem", "run", "histogram", "start", "stop", "score", "z", "certain", "size", "size_error", "why",
    "histograms",
)  # fmt: skip


class Aspect(StrEnum):
    """Sides from which a histogram is looked at; each has a reference of its own."""

    BINS = "bins"
    FRACTION = "fraction"  # of the histogram in its component
    RATE = "rate"  # of the component
    EVENT = "event"  # certain, over when it is over: it has no reference


class Score(StrEnum):
    """Names of the scores, and of certain findings, as stored."""

    CHI2 = "chi2"
    BIN = "bin"
    WINDOW = "window"
    SHIFT = "shift"
    PROFILE_CHI2 = "profile_chi2"
    PROFILE_BIN = "profile_bin"
    FRACTION = "fraction"
    RATE = "rate"
    # certain
    RESTART = "restart"
    OUT_OF_ORDER = "out_of_order"
    LOST = "lost"
    GAP = "gap"
    ABSENT = "absent"
    SILENT = "silent"
    BINNING = "binning"
    AFTER_END = "after_end"
    UNREADABLE = "unreadable"
    STUCK = "stuck"  # the same increment again
    GONE = "gone"  # in this run; comparable runs before had it
    NEW = "new"  # worth a word, but nothing is wrong: it is no incident

    @property
    def aspect(self) -> Aspect:
        """The side of a histogram that the score looks at."""
        return _ASPECTS.get(self, Aspect.EVENT)

    @property
    def quantity(self) -> str | None:
        """What a deviation of this score has a side in, ``counts``, ``place`` or ``mean``; None: it has none."""
        return _QUANTITIES.get(self)


_ASPECTS = {
    **dict.fromkeys(("chi2", "bin", "window", "shift", "profile_chi2", "profile_bin"), Aspect.BINS),
    Score.FRACTION: Aspect.FRACTION,
    Score.RATE: Aspect.RATE,
}
_QUANTITIES = {
    **dict.fromkeys(("bin", "window", "fraction", "rate"), "counts"), Score.SHIFT: "place", Score.PROFILE_BIN: "mean",
}  # fmt: skip

EARLIER_NAMES = {  # of scores, in stores of before version 2
    "shape": Score.CHI2.value,
    "strip": Score.WINDOW.value,
    "means": Score.PROFILE_CHI2.value,
    "mean": Score.PROFILE_BIN.value,
    "share": Score.FRACTION.value,
}


class Flagged(Bits):
    """Bits of the stored ``flagged``."""

    BINS = 1
    FRACTION = 2  # its fraction in its component, or that of another histogram of the component
    RATE = 4  # the rate of its component
    CONTRIBUTES = 8  # it is the histogram that makes the fraction wrong


class Concerned(NamedTuple):
    """A histogram of an incident, from which side it deviates, and since when [ns UTC]."""

    subsystem: str
    histogram: str
    aspect: Aspect
    start: int

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self)

    @classmethod
    def from_list(cls, fields: Sequence[Any]) -> Self:
        """From the list that JSON makes of it."""
        subsystem, histogram, aspect, start = fields
        return cls(str(subsystem), str(histogram), Aspect(aspect), int(start))


@dataclass(frozen=True)
class BinRange:
    """Neighbouring bins along one axis.

    Parameters
    ----------
    axis
        x, y or z.
    first, last
        Numbers of the first and last bin in ROOT's counting: 0 is the underflow.
    low, high
        Their edges; infinite where flow is included.
    label
        Of a single bin, if it has one.
    """

    axis: str
    first: int
    last: int
    low: float
    high: float
    label: str = ""

    @classmethod
    def from_axes(cls, axes: Sequence[Axis], number: int, first: int, last: int) -> Self:
        """Bins ``first`` to ``last`` of axis ``number``."""
        axis = axes[number]
        low = -math.inf if first == 0 else float(axis.edges[first - 1])
        high = math.inf if last > len(axis) else float(axis.edges[last])
        return cls("xyz"[number], first, last, low, high, axis.labels.get(first, "") if first == last else "")

    def overlaps(self, other: Self) -> bool:
        """True if both have a bin in common: of the same label, else at the same coordinates."""
        if self.label and other.label:
            return self.label == other.label
        return self.low < other.high and other.low < self.high

    def to_dict(self) -> dict[str, Any]:
        """As in JSON: an open end is None, no label is left out."""
        fields = {name: None if value in (math.inf, -math.inf) else value for name, value in vars(self).items()}
        return fields if self.label else {name: value for name, value in fields.items() if name != "label"}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """The bins written by `to_dict`."""
        low, high = (open_end if fields[end] is None else fields[end] for end, open_end in _OPEN_ENDS)
        return cls(**{**fields, "low": low, "high": high})


_OPEN_ENDS = (("low", -math.inf), ("high", math.inf))


@dataclass(frozen=True)
class Deviation:
    """How a histogram deviates: which score found it, in which bins, to which side; see `Finding`."""

    subsystem: str
    histogram: str
    score: Score
    side: int
    bins: tuple[BinRange, ...]

    def same_way(self, other: Self) -> bool:
        """True if a histogram deviates in the same way: not in other bins, nor to the other side.

        A score that names no bins or no side, such as chi2, contradicts none that does.
        """
        if (self.subsystem, self.histogram) != (other.subsystem, other.histogram):
            return False
        if self.score.aspect != other.score.aspect:
            return False
        if self.score.quantity == other.score.quantity and self.side * other.side < 0:
            return False
        places = {place.axis: place for place in other.bins}
        return all(place.overlaps(places[place.axis]) for place in self.bins if place.axis in places)

    def to_dict(self) -> dict[str, Any]:
        """As in JSON."""
        return {**vars(self), "bins": [place.to_dict() for place in self.bins]}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """The deviation written by `to_dict`."""
        bins = tuple(BinRange.from_dict(place) for place in fields["bins"])
        return cls(**{**fields, "score": Score(fields["score"]), "bins": bins})


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something wrong in ``(start, stop]``, ns UTC.

    Parameters
    ----------
    histograms
        Displayed names of the histograms concerned; none: the whole snapshot.
    score
        The score that found it.
    z
        Significance, corrected for all comparisons of that report [normal standard deviations]; NaN if certain.
    why
        Reason in words.
    report
        Typical time between two reports there [ns].
    certain
        True for what is no statistical statement, such as a restart.
    bins
        Where, a range per axis; none: everywhere, or a score that names no place.
    side
        1 if there are more counts, or the mean is larger, than expected; -1 if fewer or smaller; 0: neither.
    size, size_error
        How large the deviation is, and its statistical error. Relative change of the counts in ``bins``, of a fraction
        or of a rate; root mean square of the relative changes of all bins (`Score.CHI2`); change of a mean along an
        axis, or of y of a profile, in their units. NaN where there is none.
    """

    subsystem: str
    run: int
    histograms: tuple[str, ...]
    start: int
    stop: int
    score: Score
    z: float = math.nan
    why: str
    report: int
    certain: bool = False
    bins: tuple[BinRange, ...] = ()
    side: int = 0
    size: float = math.nan
    size_error: float = math.nan

    @cached_property
    def id(self) -> str:
        """Identity: a hash of what is found where and since when; the same however often it is found again."""
        what = [self.subsystem, self.run, list(self.histograms), self.start, self.score]
        return hashlib.blake2b(json.dumps(what).encode(), digest_size=6).hexdigest()

    @property
    def deviations(self) -> tuple[Deviation, ...]:
        """How each histogram deviates; none for an event."""
        if self.score.aspect is Aspect.EVENT:
            return ()
        return tuple(Deviation(self.subsystem, name, self.score, self.side, self.bins) for name in self.histograms)

    def to_json(self) -> str:
        """One line of JSON, with the id; a certain finding has an infinite z there."""
        fields = {"id": self.id, **asdict(self), "bins": [place.to_dict() for place in self.bins]}
        if fields.pop("certain"):
            fields["z"] = math.inf
        sizes = {name: fields.pop(name) for name in _SIZES}
        fields |= {name: float(f"{size:.4g}") for name, size in sizes.items() if math.isfinite(size)}
        return json.dumps(fields)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The finding written by `to_json`; without z (null) it is certain, too. Older ones have no sizes.

        Raises
        ------
        StoreError
            If a newer owtrend wrote it.
        """
        fields = json.loads(line)
        fields.pop("id", None)
        certain = fields["z"] is None or math.isinf(fields["z"])
        fields |= {"z": math.nan if certain else fields["z"], "certain": certain}
        fields["histograms"] = tuple(fields["histograms"])
        fields["bins"] = tuple(BinRange.from_dict(place) for place in fields.get("bins", ()))
        try:
            fields["score"] = Score(EARLIER_NAMES.get(fields["score"], fields["score"]))
            return cls(**fields)
        except (TypeError, ValueError) as error:
            raise StoreError(f"a finding of a newer owtrend ({error}); update owtrend") from error


_SIZES = ("size", "size_error")


def in_time(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in order of time, and in an order that does not depend on that in which they were made."""
    return sorted(findings, key=lambda one: (one.start, one.stop, one.subsystem, one.histograms, one.score))


def table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Findings in order of time: `COLUMNS`, and ``report``, the typical time between reports; times are UTC.

    ``histogram`` is the name where one histogram is concerned, else None; ``histograms`` has all names. ``bins`` are
    `BinRange`.
    """
    ordered = in_time(findings)
    records = [{**vars(one), "id": one.id, "score": one.score.value} for one in ordered]
    rows = pd.DataFrame(records, columns=["id", *Finding.__dataclass_fields__])
    names = [one.histograms[0] if len(one.histograms) == 1 else None for one in ordered]
    rows["histogram"] = pd.Series(names, index=rows.index, dtype=object)
    for column in ("start", "stop"):
        rows[column] = pd.to_datetime(rows[column].astype("int64"), unit="ns")
    rows["report"] = pd.to_timedelta(rows["report"].astype("int64"), unit="ns")
    rows["certain"] = rows["certain"].astype(bool)
    return rows[[*COLUMNS, "bins", "side", "report"]]
