"""ROOT objects -> histograms: which objects are histograms, in which containers, and where their numbers lie."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ingest.decode.compression import Buffer
from ingest.decode.streamer import Array, RootObject
from ingest.limits import Budget
from owtrend.errors import SnapshotError
from owtrend.model.axis import Axis
from owtrend.model.histogram import ERROR_OPTIONS, Path, display_name

__all__ = [
    "HistogramLayout", "cells", "cells_at_most", "is_container", "is_histogram", "layout", "leaves", "listed", "reason",
    "require_short",
]  # fmt: skip

_HISTOGRAM = re.compile(r"TH[123][CSILFD]|TProfile(2D|3D)?")
_COLLECTIONS = {"TList", "THashList", "TSortedList", "TObjArray", "TMap"}
# Classes with histograms in their members. A wrapper adds nothing to the path of its histogram.
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
_LONGEST = 200  # [characters] of a reason: names in damaged bytes may be anything
_LONGEST_NAME = 2000  # [characters] of a histogram's, with all its folders
_PER_HISTOGRAM = 4096  # [bytes] of the objects that describe it
_IS_AVERAGE = 1 << 18  # TH1::kIsAverage
_SUMS = ("fEntries", "fTsumw", "fTsumw2", "fTsumwx", "fTsumwx2", "fTsumwy", "fTsumwy2", "fTsumwxy",
         "fTsumwz", "fTsumwz2", "fTsumwxz", "fTsumwyz", "fTsumwt", "fTsumwt2")  # fmt: skip


@dataclass(frozen=True, slots=True)
class HistogramLayout:
    """A histogram without its accumulating numbers, and the positions of these in the object's bytes."""

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
    """Largest number of cells in a histogram of ``objlen`` bytes."""
    return objlen // _ITEM_SIZES.get(class_name[-1], 8)


def cells(histogram: RootObject) -> int:
    """Number of cells by the axes, flow included."""
    count = 1
    for axis in _axes(histogram):
        count *= max(axis.members["fNbins"], -2) + 2
    return count


def leaves(root_object: RootObject, path: Path) -> Iterator[tuple[Path, RootObject]]:
    """Yields (path, object) of the object itself, or of everything in it if it is a container.

    Objects of one name in one container get ``#2``, ``#3``, ... from the second on. Each object comes once.
    """
    yield from _leaves(root_object, path, set())


def _leaves(root_object: RootObject, path: Path, seen: set[int]) -> Iterator[tuple[Path, RootObject]]:
    items = list(_items(root_object)) if is_container(root_object.class_name) else []
    if not is_container(root_object.class_name) or (root_object.missing and not items):
        yield path, root_object
        return
    names: Counter[str] = Counter()
    for item, given_name in items:
        if id(item) in seen:  # a second pointer to it, or a circle
            continue
        seen.add(id(item))
        name = given_name or item.name
        names[name] += 1
        yield from _leaves(item, (*path, name if names[name] == 1 else f"{name}#{names[name]}"), seen)


def _items(container: RootObject) -> Iterator[tuple[RootObject, str]]:
    """Yields the items of a container without their wrappers, each with its key in a map, else an empty name."""
    if container.class_name == "TMap":
        items = container.items or []
        for key, value in zip(items[::2], items[1::2], strict=True):
            if value is not None:
                yield _unwrapped(value), key.name if key is not None else ""
        return
    for item in container.items or []:
        if item is not None:
            yield _unwrapped(item), ""
    for member in _HOLDERS.get(container.class_name, ()):
        value = container.members.get(member)
        if not isinstance(value, RootObject):
            continue
        if value.items is None or is_histogram(value.class_name) or value.class_name in _HOLDERS:
            yield _unwrapped(value), ""
        else:  # the only collection of an entry or a canvas adds no level
            is_pad = container.class_name in _PADS  # a pad also has a list of colours
            yield from (pair for pair in _items(value) if not (is_pad and pair[0].class_name == "TObjArray"))


def _unwrapped(item: RootObject) -> RootObject:
    inside, seen = item, {id(item)}
    while inside.class_name in _WRAPPERS and not inside.missing:
        (member,) = _HOLDERS[inside.class_name]
        deeper = inside.members.get(member)
        if not isinstance(deeper, RootObject) or id(deeper) in seen:  # a circle
            break
        inside = deeper
        seen.add(id(inside))
    return inside


def layout(histogram: RootObject, path: Path, data: Buffer, budget: Budget) -> HistogramLayout:
    """Layout of a histogram in the bytes ``data`` of its object.

    Raises
    ------
    SnapshotError
        If it has more cells than the limits allow, its arrays do not fit its axes, or a profile lacks one.
    OverBudget
        If the histograms of its file take too much memory.
    """
    members, name = histogram.members, histogram.class_name
    if histogram.missing:
        raise SnapshotError(histogram.missing)
    profile = name.startswith("TProfile")
    if (size := cells(histogram)) > budget.limits.cells:
        raise SnapshotError(f"{size:,} cells, more than max_cells={budget.limits.cells:,}")
    parts = [("sumwy" if profile else "contents", members["TArray"])]
    if profile:  # class versions before 2010 have no fBinSumw2
        others = [("sumwy2", "fSumw2"), ("bin_entries", "fBinEntries"), ("bin_sumw2", "fBinSumw2")]
    else:
        others = [("sumw2", "fSumw2")]
    parts += [(part, members[member]) for part, member in others if member in members and members[member].count]
    for part, array in parts:
        if array.count != size or min(axis.members["fNbins"] for axis in _axes(histogram)) < 1:
            raise SnapshotError(f"{part} has {array.count:,} cells, but the axes have {size:,}")
    if profile and (lacking := {"sumwy2", "bin_entries"} - {part for part, _ in parts}):
        raise SnapshotError(f"damaged: a profile without {' and '.join(sorted(lacking))}")
    bins = [axis.members["fNbins"] for axis in _axes(histogram)]
    budget.keep(_PER_HISTOGRAM + 8 * (size * len(parts) + sum(bins)), len(data))
    mode = members["fErrorMode"] if profile else 0
    if not 0 <= mode < len(ERROR_OPTIONS):
        raise SnapshotError(f"error mode {mode}; TProfile has 0 to {len(ERROR_OPTIONS) - 1}")
    return HistogramLayout(
        path=path,
        class_name=name,
        axes=tuple(_axis(axis, data) for axis in _axes(histogram)),
        title=members["fTitle"],
        error_option=ERROR_OPTIONS[mode],
        gauge=bool(members["fBits"] & _IS_AVERAGE),
        parts=tuple(parts),
        sums=tuple((member[1:].lower(), histogram.places[member]) for member in _SUMS if member in histogram.places),
    )


def _axes(histogram: RootObject) -> list[RootObject]:
    dimension = int((re.findall(r"\d", histogram.class_name) or ["1"])[0])
    return [histogram.members[f"f{letter}axis"] for letter in "XYZ"[:dimension]]


def _axis(axis: RootObject, data: Buffer) -> Axis:
    members = axis.members
    label_list = members.get("fLabels")  # Geant4's writer leaves the list out
    items = label_list.items if isinstance(label_list, RootObject) and label_list.items else []
    labels = {label.members["fUniqueID"]: label.name for label in items if label is not None}
    if members["fXbins"].count:
        edges = members["fXbins"].values(data)
        if len(edges) != members["fNbins"] + 1:
            raise SnapshotError(
                f"an axis of {members['fNbins']} bins has {len(edges)} edges, not {members['fNbins'] + 1}"
            )
        return Axis(edges, regular=False, title=members["fTitle"], labels=labels)
    if not math.isfinite(members["fXmax"] - members["fXmin"]):
        raise SnapshotError(f"damaged: an axis from {members['fXmin']} to {members['fXmax']}")
    spaced = Axis.spaced(members["fNbins"], members["fXmin"], members["fXmax"])
    return Axis(spaced.edges, title=members["fTitle"], labels=labels)


def listed(path: Path) -> str:
    """The displayed name for a list; the beginning of one that is too long to be a name."""
    name = display_name(path)
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST]}..."


def require_short(path: Path) -> None:
    """Raise a SnapshotError if a path is too long to be a name."""
    if (length := sum(map(len, path))) > _LONGEST_NAME:
        raise SnapshotError(f"a name of {length:,} characters; expected up to {_LONGEST_NAME:,}")


def reason(error: Exception) -> str:
    """First line of an error's text, with the class of errors that are not ours."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    line = line if len(line) < _LONGEST else f"{line[:_LONGEST]}..."
    return line if isinstance(error, SnapshotError) else f"{line} ({type(error).__name__})"
