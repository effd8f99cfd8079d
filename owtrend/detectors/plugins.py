"""The plug-ins that are installed, by subsystem; a broken one is named and stops nothing."""

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from owtrend.detectors.protocol import Detector
from owtrend.display import printable
from owtrend.model.finding import BinRange

if TYPE_CHECKING:
    import pandas as pd

    from owtrend.quality.incident import Incident

__all__ = [
    "ENTRY_POINTS", "Installed", "detector", "detectors", "incident_places", "installed", "place_words", "places",
    "with_places",
]  # fmt: skip

ENTRY_POINTS = "owtrend.detectors"
_LONGEST = 120  # characters of a place
_OWN = "owtrend"  # the distribution whose plug-ins others may replace

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Installed:
    """All plug-ins: by subsystem the detector and its package, and by entry point why one cannot be used."""

    detectors: dict[str, Detector] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


@cache
def installed() -> Installed:
    """The plug-ins of all installed packages, imported once. One of another package replaces owtrend's own."""
    found = Installed()
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda one: (_package(one) == _OWN, _package(one))):
        package = _package(point)
        where = f"{point.name} of {package}"
        try:
            one = point.load()
            if not isinstance(one, Detector):
                raise TypeError(f"{point.value} is a {type(one).__name__}, expected an owtrend.detectors.Detector")
            if not one.name:
                raise ValueError(f"{point.value} has no name, expected that of a subsystem")
        except (Exception, SystemExit) as error:  # whatever its code raises
            found.problems[where] = printable(f"{type(error).__name__}: {error}", 300)
            _log.warning("detector %s cannot be used: %s", where, found.problems[where])
            continue
        if (other := found.packages.get(one.name)) is None:
            found.detectors[one.name], found.packages[one.name] = one, package
        elif package != _OWN:
            found.problems[where] = f"{other} has a detector {one.name} already; uninstall one of both"
            _log.warning("detector %s is not used: %s", where, found.problems[where])
    return found


def _package(point: EntryPoint) -> str:
    return "" if point.dist is None else str(point.dist.name)


def detectors() -> dict[str, Detector]:
    """The detectors that can be used, by subsystem."""
    return dict(installed().detectors)


def detector(subsystem: str) -> Detector:
    """The detector of a subsystem; one that declares nothing if no plug-in knows it."""
    return installed().detectors.get(subsystem) or Detector(subsystem)


def place_words(known: Detector, histogram: str, bins: Sequence[BinRange]) -> str:
    """The part of a detector that bins of a histogram stand for, in words; nothing if it has no name."""
    if known.place is None:
        return ""
    try:
        return printable(known.place(histogram, tuple(bins)), _LONGEST)
    except Exception as error:  # a plug-in is somebody else's code: names are missing, and nothing else
        _warn_once(known.name, f"{type(error).__name__}: {error}")
        return ""


def places(of: Iterable[tuple[str, Sequence[str], Sequence[BinRange]]]) -> list[str]:
    """`place_words` of subsystem, histograms and bins of each of some findings; of several histograms nothing."""
    return [
        place_words(detector(subsystem), histograms[0], bins) if bins and len(histograms) == 1 else ""
        for subsystem, histograms, bins in of
    ]


def incident_places(incidents: Iterable["Incident"], known: Collection[str]) -> dict[str, str]:
    """By id the place of each of the ``known`` incidents that has one."""
    tops = {one.id: one.top for one in incidents if one.id in known} if known else {}
    words = places((top.subsystem, top.histograms, top.bins) for top in tops.values())
    return {name: place for name, place in zip(tops, words, strict=True) if place}


def with_places(alarms: "pd.DataFrame", incidents: Iterable["Incident"]) -> "pd.DataFrame":
    """A table of alarms with a column ``place`` after ``why``: that of the incident which an alarm comes from."""
    named = incident_places(incidents, {*alarms["name"][alarms["source"] == "incident"]})
    table = alarms.copy()
    table.insert(table.columns.get_loc("why") + 1, "place", [named.get(name, "") for name in table["name"]])
    return table


@cache
def _warn_once(name: str, why: str) -> None:
    _log.warning("detector %s: names of its channels are missing: %s", name, printable(why, 300))
