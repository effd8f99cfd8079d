"""What two objects of one layout share, and the numbers in which they differ.

The first object of a layout is walked member by member. Each following one of the same length is compared with it
byte by byte, outside the numbers that accumulate, and those are put into native order in the same pass.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.decode.compression import Buffer
from ingest.decode.histogram import HistogramLayout
from ingest.decode.unpack import take
from owtrend.model.histogram import Histogram

__all__ = ["Contents", "Template"]


class Template:
    """All bytes of an object that holds histograms, but for what accumulates in them."""

    def __init__(self, data: Buffer, layouts: Sequence[HistogramLayout]) -> None:
        self.layouts = layouts
        self.paths = [one.path for one in layouts]
        self.length = len(data)
        fields: list[tuple[int, int, int, int]] = []
        self._targets: list[tuple[list[tuple[str, int, int, np.dtype]], int]] = []
        target = 0
        for one in layouts:
            parts = []
            for name, array in one.parts:
                dtype = np.dtype(array.kind)
                fields.append((array.offset, dtype.itemsize, array.count, target))
                parts.append((name, target, target + array.count * dtype.itemsize, dtype))
                target += -(-array.count * dtype.itemsize // 8) * 8
            self._targets.append((parts, target))
            for _, offset in one.sums:
                fields.append((offset, 8, 1, target))
                target += 8
        self.size = target
        fields.sort()
        self._empty = [
            Histogram(
                path=one.path, class_name=one.class_name, axes=one.axes, parts={}, sums=dict(one.sums),
                title=one.title, error_option=one.error_option, gauge=one.gauge,
            )
            for one in layouts
        ]  # fmt: skip
        self._fields = np.array(fields, dtype=np.int64).reshape(-1, 4)
        raw = np.frombuffer(data, dtype=np.uint8)
        bounds = [0, *(bound for at, width, count, _ in fields for bound in (at, at + width * count)), len(raw)]
        self._fixed = np.concatenate([raw[a:b] for a, b in zip(bounds[::2], bounds[1::2], strict=True)])

    def contents(self, data: Buffer) -> "Contents | None":
        """What accumulates in another object of this layout; None if it differs in anything else."""
        if len(data) != self.length:
            return None
        out = np.empty(self.size, dtype=np.uint8)
        same = take(np.frombuffer(data, dtype=np.uint8), self._fixed, self._fields, out)
        return Contents(self, out) if same else None

    def histogram(self, number: int, numbers: NDArray[np.uint8]) -> Histogram:
        """One of the histograms of the layout, of views on ``numbers``."""
        one = self.layouts[number]
        parts, sums = self._targets[number]
        values = numbers[sums : sums + 8 * len(one.sums)].view(np.float64).tolist()
        return self._empty[number].refilled(
            {name: numbers[start:stop].view(dtype) for name, start, stop, dtype in parts},
            {name: value for (name, _), value in zip(one.sums, values, strict=True)},
        )


class Contents:
    """The numbers of one object; its histograms are made when asked for, and never twice."""

    def __init__(self, template: Template, numbers: NDArray[np.uint8]) -> None:
        numbers.flags.writeable = False  # the snapshots of a component that did not report share them
        self.template, self.numbers = template, numbers
        self._made: dict[int, Histogram] = {}

    def __getitem__(self, number: int) -> Histogram:
        """The histogram of the layout with this number."""
        if number not in self._made:
            self._made[number] = self.template.histogram(number, self.numbers)
        return self._made[number]
