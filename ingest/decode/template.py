"""Templates: the bytes that all objects of one layout share, and the numbers in which they differ.

The first object of a layout is walked member by member. Each following one of the same length is compared with it
byte by byte outside the numbers that accumulate, and these are put into native order in the same pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ingest.decode.compression import Buffer
from ingest.decode.fill_buffer import flushed, is_filled
from ingest.decode.histogram import HistogramLayout, is_histogram, layout, leaves, listed, reason, require_short
from ingest.decode.streamer import DAMAGE, RootObject
from ingest.decode.unpack import take
from ingest.limits import Budget
from owtrend.model.histogram import Histogram, Path

__all__ = ["Contents", "LazyHistograms", "ObjectRead", "Template", "histograms_in", "prepare"]

_OFTEN = 64  # objects between two looks at the clock


@cache
def prepare() -> None:
    """Compile, or load, the kernel that compares objects: no file's time should run meanwhile."""
    Template(b"", []).contents(b"")


class Template:
    """All bytes of an object that has histograms, except the numbers that accumulate."""

    def __init__(self, data: Buffer, layouts: Sequence[HistogramLayout]) -> None:
        self.layouts = layouts
        self.paths = [layout.path for layout in layouts]
        self.length = len(data)
        fields: list[tuple[int, int, int, int]] = []
        self._targets: list[tuple[list[tuple[str, int, int, np.dtype]], int]] = []
        target = 0
        for histogram_layout in layouts:
            parts = []
            for name, array in histogram_layout.parts:
                dtype = np.dtype(array.kind)
                fields.append((array.offset, dtype.itemsize, array.count, target))
                parts.append((name, target, target + array.count * dtype.itemsize, dtype))
                target += -(-array.count * dtype.itemsize // 8) * 8
            self._targets.append((parts, target))
            for _, offset in histogram_layout.sums:
                fields.append((offset, 8, 1, target))
                target += 8
        self.size = target
        fields.sort()
        self._empty = [
            Histogram(
                path=layout.path, class_name=layout.class_name, axes=layout.axes, parts={}, sums=dict(layout.sums),
                title=layout.title, error_option=layout.error_option, gauge=layout.gauge,
            )
            for layout in layouts
        ]  # fmt: skip
        self._fields = np.array(fields, dtype=np.int64).reshape(-1, 4)
        raw = np.frombuffer(data, dtype=np.uint8)
        bounds = [0, *(bound for at, width, count, _ in fields for bound in (at, at + width * count)), len(raw)]
        self._fixed = np.concatenate([raw[a:b] for a, b in zip(bounds[::2], bounds[1::2], strict=True)])

    def contents(self, data: Buffer) -> "Contents | None":
        """The accumulating numbers of another object of this layout; None if it differs in anything else."""
        if len(data) != self.length:
            return None
        out = np.empty(self.size, dtype=np.uint8)
        raw = np.frombuffer(memoryview(data).toreadonly(), dtype=np.uint8)  # always of one type: compiled once
        same = take(raw, self._fixed, self._fields, out)
        return Contents(self, out) if same else None

    def histogram(self, number: int, numbers: NDArray[np.uint8]) -> Histogram:
        """Histogram ``number`` of the object; its parts are views on ``numbers``."""
        layout = self.layouts[number]
        parts, sums = self._targets[number]
        values = numbers[sums : sums + 8 * len(layout.sums)].view(np.float64).tolist()
        return self._empty[number].refilled(
            {name: numbers[start:stop].view(dtype) for name, start, stop, dtype in parts},
            {name: value for (name, _), value in zip(layout.sums, values, strict=True)},
        )


class Contents:
    """The numbers of one object. Its histograms are created on first access."""

    def __init__(self, template: Template, numbers: NDArray[np.uint8]) -> None:
        numbers.flags.writeable = False  # snapshots in which the component did not report share them
        self.template, self.numbers = template, numbers
        self._histograms: dict[int, Histogram] = {}

    def __getitem__(self, number: int) -> Histogram:
        """Histogram ``number`` of the object."""
        if number not in self._histograms:
            self._histograms[number] = self.template.histogram(number, self.numbers)
        return self._histograms[number]


class LazyHistograms(Mapping[Path, Histogram]):
    """Histograms by path. Their numbers are in memory; the objects are created on access."""

    def __init__(self, entries: dict[Path, tuple[Contents, int] | Histogram]) -> None:
        self._entries = entries

    def __getitem__(self, path: Path) -> Histogram:
        entry = self._entries[path]
        if isinstance(entry, Histogram):
            return entry
        contents, number = entry
        histogram = self._entries[path] = contents[number]
        return histogram

    def __iter__(self) -> Iterator[Path]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


@dataclass(frozen=True, slots=True)
class ObjectRead:
    """What one object holds: histograms by path; problems, and classes of other objects, by displayed name."""

    template: Template
    reusable: bool  # the template reads the next object of this layout
    histograms: dict[Path, tuple[Contents, int] | Histogram]
    problems: dict[str, str]
    unsupported: dict[str, str]


def histograms_in(whole: RootObject, path: Path, data: Buffer, budget: Budget) -> ObjectRead:
    """All histograms of an object that was walked member by member, and its template.

    Raises
    ------
    OverBudget
        If they take more than the ``budget`` allows.
    """
    found, problems, unsupported = [], {}, {}
    for number, (leaf_path, leaf) in enumerate(leaves(whole, path)):
        if not number % _OFTEN:
            budget.require_time()
        if not is_histogram(leaf.class_name):
            unsupported[listed(leaf_path)] = leaf.class_name
            continue
        try:
            require_short(leaf_path)
            found.append((leaf, layout(leaf, leaf_path, data, budget)))
        except DAMAGE as error:
            problems[listed(leaf_path)] = reason(error)
    template = Template(data, [histogram_layout for _, histogram_layout in found])
    contents = template.contents(data)
    assert contents is not None, "an object differs from its own template"
    reusable = not problems
    histograms: dict[Path, tuple[Contents, int] | Histogram] = {}
    for number, (leaf, histogram_layout) in enumerate(found):
        histograms[histogram_layout.path] = contents, number
        if is_filled(leaf, data):  # the buffer decides its bins, sometimes its binning: no template
            reusable = False
            try:
                histograms[histogram_layout.path] = flushed(contents[number], leaf, data)
            except DAMAGE as error:
                del histograms[histogram_layout.path]
                problems[listed(histogram_layout.path)] = reason(error)
    return ObjectRead(template, reusable, histograms, problems, unsupported)
