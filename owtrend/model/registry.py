"""Contents of a store as values: segments of the cell axes, histograms, layouts of rows."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from owtrend.errors import NotFoundError, hint
from owtrend.kernels.cells import exact_int
from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram, Path, display_name
from owtrend.model.snapshot import find_path

__all__ = [
    "COUNTS",
    "SAME",
    "SUMS",
    "TWINS",
    "WEIGHTS",
    "HistogramEntry",
    "Layouts",
    "Registry",
    "Segment",
    "like",
    "matching",
    "segments_of",
]

# The arrays that a segment may lie in. SAME owns no cells: its bins equal the contents (sumw2) or entries (bin_sumw2).
COUNTS, WEIGHTS, SUMS, SAME = "counts", "weights", "sums", "same"
TWINS = {"sumw2": "contents", "bin_sumw2": "bin_entries"}


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The cells of one part of one histogram: ``array[..., offset : offset + length]``.

    Parameters
    ----------
    part
        ``contents``, ``sumw2``, ``sumwy``, ``sumwy2``, ``bin_entries``, ``bin_sumw2`` or ``sums``.
    array
        ``counts`` (int32), ``weights`` (float64), ``sums`` (float64) or ``same``.
    names
        Names of the cells of ``sums``: ``entries``, ``tsumw``, ...
    """

    path: Path
    class_name: str
    title: str
    axes: tuple[Axis, ...]
    error_option: str
    gauge: bool
    part: str
    array: str
    offset: int
    length: int
    names: tuple[str, ...] = ()

    @property
    def cells(self) -> slice:
        return slice(self.offset, self.offset + self.length)

    @cached_property
    def binning(self) -> tuple[Any, ...]:
        """Identity of the histogram's bins: path, class, options and axes."""
        return self.path, self.class_name, self.error_option, self.gauge, tuple(a.binning for a in self.axes)

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """Identity of the segment: binning, part, array and names; not title or place."""
        return self.binning, self.part, self.array, self.names

    def to_json(self) -> str:
        """One line of the registry; the axes in the UHI serialisation schema."""
        fields = {
            "path": self.path, "class": self.class_name, "title": self.title,
            "axes": [axis.to_dict() for axis in self.axes], "error_option": self.error_option, "gauge": self.gauge,
            "part": self.part, "array": self.array, "offset": self.offset, "length": self.length, "names": self.names,
        }  # fmt: skip
        return json.dumps(fields)

    @classmethod
    def from_json(cls, line: str) -> "Segment":
        """The segment written by `to_json`."""
        fields = json.loads(line)
        return cls(
            path=tuple(fields["path"]), class_name=fields["class"], title=fields["title"],
            axes=tuple(Axis.from_dict(axis) for axis in fields["axes"]), error_option=fields["error_option"],
            gauge=fields["gauge"], part=fields["part"], array=fields["array"], offset=fields["offset"],
            length=fields["length"], names=tuple(fields["names"]),
        )  # fmt: skip


def number_class(values: NDArray[Any]) -> str:
    """``counts`` if int32 holds every value exactly, else ``weights``: non-integer, non-finite, -0.0, beyond int32."""
    if values.dtype.kind in "iu":
        fits = values.dtype.itemsize <= 4 or (values.min(initial=0) >= -(2**31) and values.max(initial=0) < 2**31)
        return COUNTS if fits else WEIGHTS
    return COUNTS if exact_int.are_int32(values) else WEIGHTS


def segments_of(histogram: Histogram, registry: "Registry") -> Iterator[tuple[Segment, NDArray[Any] | None]]:
    """Segments for one row of ``histogram``, each with its values; None where the values are those of its twin.

    A part goes to ``weights`` if its values need it, or if it was there before: then it stays there. The offset is -1
    where a segment is not registered yet.
    """
    known = registry.segments_for(histogram)
    for part, values in histogram.parts.items():
        if part in TWINS and np.array_equal(values, histogram.parts[TWINS[part]]):
            yield known.segment(part, SAME, 0), None
            continue
        in_weights = known.registered(part, WEIGHTS) is not None
        yield known.segment(part, WEIGHTS if in_weights else number_class(values), len(values)), values
    names = tuple(histogram.sums)
    yield known.segment("sums", SUMS, len(names), names), np.array(list(histogram.sums.values()), dtype=np.float64)


class _HistogramSegments:
    """The segments of one histogram of one binning, looked up once."""

    def __init__(self, histogram: Histogram, registry: "Registry") -> None:
        self._registry = registry
        self._frame = Segment(
            path=histogram.path, class_name=histogram.class_name, title=histogram.title, axes=histogram.axes,
            error_option=histogram.error_option, gauge=histogram.gauge, part="", array="", offset=-1, length=0,
        )  # fmt: skip
        self._found: dict[tuple[Any, ...], Segment | None] = {}

    def has_binning_of(self, histogram: Histogram) -> bool:
        """True if the axes of ``histogram`` are the same objects, so that they need not be compared."""
        frame = self._frame
        return (
            histogram.axes is frame.axes
            and histogram.class_name == frame.class_name
            and histogram.error_option == frame.error_option
            and histogram.gauge == frame.gauge
        )

    def registered(self, part: str, array: str, names: tuple[str, ...] = ()) -> Segment | None:
        key = part, array, names
        if key not in self._found:
            self._found[key] = self._registry.get((self._frame.binning, *key))
        return self._found[key]

    def segment(self, part: str, array: str, length: int, names: tuple[str, ...] = ()) -> Segment:
        """The registered segment, or one like it without an offset."""
        return self.registered(part, array, names) or replace(
            self._frame, part=part, array=array, length=length, names=names
        )


class HistogramEntry:
    """One histogram of the registry: all segments of its parts, in order of registration."""

    def __init__(self, path: Path, segments: tuple[tuple[int, Segment], ...]) -> None:
        self.path = path
        self.segments = segments

    @property
    def first(self) -> Segment:
        return self.segments[0][1]

    @property
    def name(self) -> str:
        return display_name(self.path)


class Registry(Sequence[Segment]):
    """The segments of one subsystem; immutable, `extended` returns a larger one. A segment's number is its place."""

    def __init__(self, segments: Iterable[Segment] = ()) -> None:
        self.segments = tuple(segments)
        self._numbers = {segment.key: number for number, segment in enumerate(self.segments)}
        self._by_path: dict[Path, _HistogramSegments] = {}

    def __len__(self) -> int:
        return len(self.segments)

    def __getitem__(self, number: Any) -> Any:
        return self.segments[number]

    def get(self, key: tuple[Any, ...]) -> Segment | None:
        number = self._numbers.get(key)
        return None if number is None else self.segments[number]

    def number(self, segment: Segment) -> int:
        """The place of a registered segment."""
        return self._numbers[segment.key]

    def segments_for(self, histogram: Histogram) -> _HistogramSegments:
        """The segments of a histogram; looked up again only if its axes are other objects than last time."""
        known = self._by_path.get(histogram.path)
        if known is None or not known.has_binning_of(histogram):
            known = self._by_path[histogram.path] = _HistogramSegments(histogram, self)
        return known

    def size(self, array: str) -> int:
        """Cells that ``array`` needs."""
        return max((s.offset + s.length for s in self.segments if s.array == array), default=0)

    def extended(self, wanted: Iterable[Segment]) -> Self:
        """A registry with the new segments of ``wanted`` appended."""
        segments = list(self.segments)
        known = set(self._numbers)
        sizes = {array: self.size(array) for array in (COUNTS, WEIGHTS, SUMS)}
        for segment in wanted:
            if segment.key not in known:
                known.add(segment.key)
                offset = sizes.get(segment.array, 0)
                segments.append(replace(segment, offset=offset))
                if segment.array in sizes:
                    sizes[segment.array] += segment.length
        return type(self)(segments)

    @cached_property
    def histograms(self) -> dict[Path, HistogramEntry]:
        """Histograms by path, in order of registration."""
        by_path: dict[Path, list[tuple[int, Segment]]] = {}
        for number, segment in enumerate(self.segments):
            by_path.setdefault(segment.path, []).append((number, segment))
        return {path: HistogramEntry(path, tuple(segments)) for path, segments in by_path.items()}

    def find(self, name: str | Path, where: str) -> HistogramEntry:
        """The histogram with this path or displayed name; see `owtrend.model.snapshot.find_path` for errors."""
        if isinstance(name, tuple):
            if name not in self.histograms:
                raise NotFoundError(f"{where}: no histogram {name!r}")
            return self.histograms[name]
        return self.histograms[find_path(name, self.histograms, where)]


def like(names: Sequence[str], pattern: str) -> list[bool]:
    """True for each name that is ``pattern``; if there is none, for each that matches it (``*``, ``?``, ``[...]``)."""
    exact = [name == pattern for name in names]
    return exact if any(exact) else [fnmatchcase(name, pattern) for name in names]


def matching(histograms: Iterable[HistogramEntry], patterns: Sequence[str], where: str) -> list[HistogramEntry]:
    """Histograms whose displayed name is `like` one of the patterns; all without patterns.

    Raises NotFoundError if a pattern matches none.
    """
    known = list(histograms)
    names = [entry.name for entry in known]
    chosen = [not patterns] * len(known)
    for pattern in patterns:
        found = like(names, pattern)
        if not any(found):
            near = hint(pattern, names)
            raise NotFoundError(f"{where}: no histogram like {pattern!r} among {len(known)}{near}")
        chosen = [one or other for one, other in zip(chosen, found, strict=True)]
    return [entry for entry, is_chosen in zip(known, chosen, strict=True) if is_chosen]


_MOST_SEGMENTS = 2**24  # of a subsystem


class Layouts:
    """Sets of segments that rows hold, by layout number: absent is not zero."""

    def __init__(self, layouts: Iterable[tuple[int, ...]] = ()) -> None:
        self.layouts = list(layouts)
        self._numbers = {layout: number for number, layout in enumerate(self.layouts)}

    def __len__(self) -> int:
        return len(self.layouts)

    def number(self, segments: Iterable[int]) -> int:
        """The layout of these segments, added if it is new."""
        layout = tuple(sorted(segments))
        if layout not in self._numbers:
            self._numbers[layout] = len(self.layouts)
            self.layouts.append(layout)
        return self._numbers[layout]

    def matrix(self, segments: int) -> NDArray[np.bool_]:
        """True where a layout holds a segment, shape ``(layout, segment)``."""
        holds = np.zeros((len(self.layouts), segments), dtype=bool)
        for number, layout in enumerate(self.layouts):
            holds[number, list(layout)] = True
        return holds

    @staticmethod
    def to_json(layout: tuple[int, ...]) -> str:
        """One line: runs of neighbouring segments as ``[first, last]``."""
        if not layout:
            return "[]"
        numbers = np.array(layout)
        breaks = np.flatnonzero(np.diff(numbers) != 1)
        first, last = numbers[np.r_[0, breaks + 1]], numbers[np.r_[breaks, len(numbers) - 1]]
        return json.dumps(np.stack([first, last], axis=1).tolist())

    @staticmethod
    def from_json(line: str) -> tuple[int, ...]:
        ranges = json.loads(line)
        if ranges and max(last for _, last in ranges) >= _MOST_SEGMENTS:
            raise ValueError(f"a segment with the number {ranges[-1][1]}")
        return tuple(number for first, last in ranges for number in range(first, last + 1))
