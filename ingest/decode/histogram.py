"""Objects of ROOT -> histograms: which of them are some, inside what, and where their numbers lie."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ingest.decode.compression import Buffer
from ingest.decode.streamer import Array, RootObject
from owtrend.errors import SnapshotError
from owtrend.model.axis import Axis
from owtrend.model.histogram import ERROR_OPTIONS, Path

__all__ = ["HistogramLayout", "cells", "cells_at_most", "is_container", "is_histogram", "layout", "leaves"]

_HISTOGRAM = re.compile(r"TH[123][CSILFD]|TProfile(2D|3D)?")
_COLLECTIONS = {"TList", "THashList", "TSortedList", "TObjArray", "TMap"}
# Classes that hold histograms in members of theirs. A wrapper adds nothing to the path of what it holds.
_HOLDERS = {
    "AliCDBEntry": ("fObject",),
    "o2::quality_control::core::MonitorObject": ("mObject",),
    "TCanvas": ("fPrimitives",),
    "TPad": ("fPrimitives",),
    "THStack": ("fHists",),
    "TEfficiency": ("fPassedHistogram", "fTotalHistogram"),
}
_PADS = {"TCanvas", "TPad"}
_WRAPPERS = {"o2::quality_control::core::MonitorObject"}
_CONTAINERS = {*_COLLECTIONS, *_HOLDERS, "o2::quality_control::core::MonitorObjectCollection"}
_ITEM_SIZES = {"C": 1, "S": 2, "I": 4, "F": 4}
_IS_AVERAGE = 1 << 18  # TH1::kIsAverage
_SUMS = ("fEntries", "fTsumw", "fTsumw2", "fTsumwx", "fTsumwx2", "fTsumwy", "fTsumwy2", "fTsumwxy",
         "fTsumwz", "fTsumwz2", "fTsumwxz", "fTsumwyz", "fTsumwt", "fTsumwt2")  # fmt: skip


@dataclass(frozen=True, slots=True)
class HistogramLayout:
    """Everything about a histogram but the numbers that accumulate, and where in the object's bytes those lie."""

    path: Path
    class_name: str
    axes: tuple[Axis, ...]
    title: str
    error_option: str
    gauge: bool
    parts: tuple[tuple[str, Array], ...]
    sums: tuple[tuple[str, int], ...]  # name and offset, each a float64


def is_histogram(class_name: str) -> bool:
    return _HISTOGRAM.fullmatch(class_name) is not None


def is_container(class_name: str) -> bool:
    return class_name in _CONTAINERS


def cells_at_most(class_name: str, objlen: int) -> int:
    """How many cells a histogram of ``objlen`` bytes can have."""
    return objlen // _ITEM_SIZES.get(class_name[-1], 8)


def cells(found: RootObject) -> int:
    """How many cells a histogram has by its axes, flow included."""
    count = 1
    for axis in _axes(found):
        count *= max(axis.members["fNbins"], -2) + 2
    return count


def leaves(found: RootObject, path: Path) -> Iterator[tuple[Path, RootObject]]:
    """``(path, object)`` of the object at ``path`` itself, or of everything inside it if it is a container.

    Objects of one name in one container get ``#2``, ``#3``, ... from the second on. Each object comes once.
    """
    yield from _leaves(found, path, set())


def _leaves(found: RootObject, path: Path, seen: set[int]) -> Iterator[tuple[Path, RootObject]]:
    inside = list(_held(found)) if is_container(found.class_name) else []
    if not is_container(found.class_name) or (found.missing and not inside):
        yield path, found
        return
    names: Counter[str] = Counter()
    for held, own_name in inside:
        if id(held) in seen:  # a second pointer to it, or a circle
            continue
        seen.add(id(held))
        name = own_name or held.name
        names[name] += 1
        yield from _leaves(held, (*path, name if names[name] == 1 else f"{name}#{names[name]}"), seen)


def _held(found: RootObject) -> Iterator[tuple[RootObject, str]]:
    """What a container holds, with the name that a map gives it; wrappers taken off."""
    if found.class_name == "TMap":
        items = found.items or []
        for key, value in zip(items[::2], items[1::2], strict=True):
            if value is not None:
                yield _unwrapped(value), key.name if key is not None else ""
        return
    for item in found.items or []:
        if item is not None:
            yield _unwrapped(item), ""
    for member in _HOLDERS.get(found.class_name, ()):
        held = found.members.get(member)
        if not isinstance(held, RootObject):
            continue
        if held.items is None or is_histogram(held.class_name):
            yield _unwrapped(held), ""
        else:  # the one collection of an entry or a canvas is not a level of its own
            drawn = found.class_name in _PADS  # which also keep a list of colours
            yield from (one for one in _held(held) if not (drawn and one[0].class_name == "TObjArray"))


def _unwrapped(held: RootObject) -> RootObject:
    inside = held
    while inside.class_name in _WRAPPERS and not inside.missing:
        (member,) = _HOLDERS[inside.class_name]
        deeper = inside.members.get(member)
        if not isinstance(deeper, RootObject):
            break
        inside = deeper
    return inside


def layout(found: RootObject, path: Path, data: Buffer, max_cells: int) -> HistogramLayout:
    """Where the numbers of a histogram lie.

    Raises
    ------
    SnapshotError
        If it has more cells than ``max_cells``, or its arrays are not as long as its axes tell.
    """
    members, name = found.members, found.class_name
    if found.missing:
        raise SnapshotError(found.missing)
    profile = name.startswith("TProfile")
    if (size := cells(found)) > max_cells:
        raise SnapshotError(f"{size:,} cells, more than max_cells={max_cells:,}")
    parts = [("sumwy" if profile else "contents", members["TArray"])]
    if profile:  # class versions before 2010 have no fBinSumw2
        others = [("sumwy2", "fSumw2"), ("bin_entries", "fBinEntries"), ("bin_sumw2", "fBinSumw2")]
    else:
        others = [("sumw2", "fSumw2")]
    parts += [(part, members[member]) for part, member in others if member in members and members[member].count]
    for part, array in parts:
        if array.count != size or min(axis.members["fNbins"] for axis in _axes(found)) < 1:
            raise SnapshotError(f"{part} has {array.count:,} cells where the axes have {size:,}")
    mode = members["fErrorMode"] if profile else 0
    if not 0 <= mode < len(ERROR_OPTIONS):
        raise SnapshotError(f"error mode {mode}; TProfile knows 0 to {len(ERROR_OPTIONS) - 1}")
    return HistogramLayout(
        path=path,
        class_name=name,
        axes=tuple(_axis(axis, data) for axis in _axes(found)),
        title=members["fTitle"],
        error_option=ERROR_OPTIONS[mode],
        gauge=bool(members["fBits"] & _IS_AVERAGE),
        parts=tuple(parts),
        sums=tuple((one[1:].lower(), found.places[one]) for one in _SUMS if one in found.places),
    )


def _axes(found: RootObject) -> list[RootObject]:
    dimension = int((re.findall(r"\d", found.class_name) or ["1"])[0])
    return [found.members[f"f{letter}axis"] for letter in "XYZ"[:dimension]]


def _axis(found: RootObject, data: Buffer) -> Axis:
    members = found.members
    named = members.get("fLabels")  # Geant4's own writer leaves the list out
    items = named.items if isinstance(named, RootObject) and named.items else []
    labels = {label.members["fUniqueID"]: label.name for label in items if label is not None}
    if members["fXbins"].count:
        edges = members["fXbins"].values(data)
        if len(edges) != members["fNbins"] + 1:
            raise SnapshotError(f"an axis of {members['fNbins']} bins has {len(edges)} edges")
        return Axis(edges, regular=False, title=members["fTitle"], labels=labels)
    spaced = Axis.spaced(members["fNbins"], members["fXmin"], members["fXmax"])
    return Axis(spaced.edges, title=members["fTitle"], labels=labels)
