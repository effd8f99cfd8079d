"""One axis of a histogram: bin edges, title and labels; and axes brought together, by label or as ROOT extends them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.display import Display, Displayed

__all__ = ["DROPPED", "Axis", "common", "common_axes", "moved", "rearranged", "targets"]

DROPPED = -1  # target of a bin whose content has no place
_NEAR = 1e-6  # of a bin: edges that are computed again differ in the last digits


@dataclass(frozen=True, slots=True)
class Traits:
    """UHI axis traits."""

    circular: bool = False
    discrete: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Axis(Displayed):
    """One axis of a histogram: its bin edges, title and labels.

    Follows the UHI axis protocol: a sequence of ``(lower, upper)`` per bin, flow bins excluded.

    Parameters
    ----------
    edges
        Bin edges, shape ``(bins + 1,)``, increasing.
    regular
        True if ROOT keeps the bins as equally wide (``fXbins`` empty).
    title
        ROOT's axis title.
    labels
        ``{bin number: label}`` with ROOT's numbers (the first bin is 1); a bin may have none.
    """

    edges: NDArray[np.float64]
    regular: bool = True
    title: str = ""
    labels: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def spaced(cls, bins: int, lower: float, upper: float, title: str = "") -> "Axis":
        """An axis of ``bins`` equal bins; edges as ``TAxis::GetBinLowEdge`` computes them."""
        edges = np.arange(bins + 1, dtype=np.float64)  # in place: millions of bins take their memory once
        edges *= (upper - lower) / bins
        edges += lower
        edges[-1] = upper
        return cls(edges, title=title)

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """Bin centres, flow bins excluded."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    def _display(self) -> Display:
        labels = f"; {len(self.labels)} labels" if self.labels else ""
        title = f", {self.title}" if self.title else ""
        return Display(
            f"{self.text}{title}{labels}", next=["axis.edges  # len(axis) + 1 of them", "axis.centres", "axis.labels"]
        )

    @property
    def text(self) -> str:
        """Bins and range: ``48 bins, -1 to 1``."""
        return f"{len(self)} bins, {self.edges[0]:.6g} to {self.edges[-1]:.6g}"

    def __len__(self) -> int:
        return len(self.edges) - 1

    def __getitem__(self, index: int) -> tuple[float, float]:
        return float(self.edges[index]), float(self.edges[index + 1])

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Axis) and self.binning == other.binning

    def __hash__(self) -> int:
        return hash(self.binning)

    @property
    def traits(self) -> Traits:
        return Traits()

    @cached_property
    def binning(self) -> tuple[Any, ...]:
        """Identity of the binning: edges and labels, not the title."""
        return len(self), self.regular, self.edges.tobytes(), tuple(sorted(self.labels.items()))

    @cached_property
    def hashed(self) -> bytes:
        """The binning, as it goes into a digest."""
        return repr((len(self), self.regular, sorted(self.labels.items()))).encode() + self.edges.tobytes()

    def to_dict(self) -> dict[str, Any]:
        """The axis in the UHI serialisation schema; title and labels under ``metadata``."""
        if self.regular:
            axis = {"type": "regular", "lower": self.edges[0].item(), "upper": self.edges[-1].item(), "bins": len(self)}
        else:
            axis = {"type": "variable", "edges": self.edges.tolist()}
        metadata = {"title": self.title, "labels": {str(k): v for k, v in self.labels.items()}}
        return {**axis, "underflow": True, "overflow": True, "circular": False, "metadata": metadata}

    @classmethod
    def from_dict(cls, schema: Mapping[str, Any]) -> "Axis":
        """The axis written by `to_dict`."""
        title = schema["metadata"]["title"]
        labels = {int(k): v for k, v in schema["metadata"]["labels"].items()}
        if schema["type"] == "regular":
            edges = cls.spaced(schema["bins"], schema["lower"], schema["upper"]).edges
            return cls(edges, title=title, labels=labels)
        return cls(np.asarray(schema["edges"], dtype=np.float64), regular=False, title=title, labels=labels)


def common_axes(each: Sequence[Sequence[Axis]]) -> tuple[Axis, ...] | None:
    """Axes on which several histograms have a place, see `common`; None if there are none."""
    if len({len(axes) for axes in each}) != 1:
        return None
    found = [common(axes) for axes in zip(*each, strict=True)]
    return None if any(axis is None for axis in found) else tuple(filter(None, found))


def common(axes: Sequence[Axis]) -> Axis | None:
    """The axis on which the bins of all have a place, in the order of the first; None if there is none.

    Equal edges are the common ones. Bins of labelled axes are matched by label: the axis has all labels, those that
    the first lacks in further bins. Axes that ROOT extended (``TH1::ExtendAxis``) keep the number of their bins and
    double their range, upwards or downwards, once or more often: each bin of the finer lies in one of the coarser.
    """
    first, *others = axes
    if all(other is first or other == first for other in others):
        return first
    labelled = [axis for axis in axes if axis.labels]
    if labelled:
        fullest = reduce(_with_labels, labelled)
        return fullest if all(axis.labels or _is_begin(axis, fullest) for axis in axes) else None
    if all(np.array_equal(axis.edges, first.edges) for axis in others):
        return first
    joined, *rest = {axis.edges.tobytes(): axis for axis in axes}.values()
    seen = [joined]
    while rest:  # each must be the extension of another, or the other one of it
        found = next((axis for axis in rest if any(_is_extension(axis, other) for other in seen)), None)
        grid = None if found is None else _grid(joined, found)
        if found is None or grid is None:
            return None
        joined = grid
        seen.append(found)
        rest = [axis for axis in rest if axis is not found]
    return joined


def targets(have: Axis, want: Axis) -> NDArray[np.intp]:
    """For each bin of ``have``, flow included, its bin on the `common` axis ``want``.

    What an extended axis had in its flow bins is `DROPPED`, as ROOT drops it: nobody knows where it would lie now.
    """
    numbers = np.arange(len(have) + 2)
    if have is want or (np.array_equal(have.edges, want.edges) and have.labels == want.labels):
        return numbers
    overflow = len(want) + 1
    if have.labels or want.labels:
        known, wanted = _numbered(have), _numbered(want)
        by_label = {label: number for number, label in wanted.items()}
        foreign = set(known.values())
        for number in range(1, len(have) + 1):
            if number in known:
                numbers[number] = by_label.get(known[number], overflow)
            elif number > len(want) or wanted.get(number) in foreign:  # a bin without label is known by its number
                numbers[number] = overflow
        numbers[-1] = overflow
        return numbers
    if np.array_equal(have.edges, want.edges):
        return numbers
    inner = np.searchsorted(want.edges, have.centres, side="right")
    return np.concatenate([[DROPPED], inner, [DROPPED]])


def rearranged(cells: NDArray[Any], have: Sequence[Axis], want: Sequence[Axis]) -> NDArray[Any]:
    """Flat cells of rows ``(row, cell)``, x fastest, flow included, on the `common_axes` ``want``.

    Integers become int64, for bins are added.
    """
    if all(a is b or a == b for a, b in zip(have, want, strict=True)):
        return cells
    kind = np.dtype(np.int64) if cells.dtype.kind in "iu" else cells.dtype
    block = cells.astype(kind).reshape(len(cells), *(len(axis) + 2 for axis in reversed(have)))
    for dim, (old, new) in enumerate(zip(reversed(have), reversed(want), strict=True), start=1):
        block = moved(block, dim, targets(old, new), len(new) + 2)
    return block.reshape(len(cells), -1)


def moved(block: NDArray[Any], dim: int, to: NDArray[np.intp], size: int) -> NDArray[Any]:
    """A block whose bins along ``dim`` are added to bins ``to`` of ``size``, one after the other."""
    if len(to) == size and (to == np.arange(size)).all():
        return block
    source = np.moveaxis(block, dim, 0)
    target = np.zeros((size, *source.shape[1:]), dtype=block.dtype)
    for number in np.flatnonzero(to != DROPPED).tolist():
        target[to[number]] += source[number]
    return np.moveaxis(target, 0, dim)


def _numbered(axis: Axis) -> dict[int, tuple[str, int]]:
    """The labels of an axis by bin; of equal labels the first is the first, and so on."""
    seen: dict[str, int] = {}
    found: dict[int, tuple[str, int]] = {}
    for number, label in sorted(axis.labels.items()):
        seen[label] = seen.get(label, 0) + 1
        found[number] = (label, seen[label])
    return found


def _with_labels(axis: Axis, other: Axis) -> Axis:
    """A labelled axis with further bins for the labels that only another has."""
    known = set(_numbered(axis).values())
    missing = [label for label in _numbered(other).values() if label not in known]
    if not missing:
        return axis
    count = len(axis)
    labels = dict(axis.labels) | {count + n: label for n, (label, _) in enumerate(missing, start=1)}
    return replace(_longer(axis, count + len(missing)), labels=labels)


def _longer(axis: Axis, bins: int) -> Axis:
    """An axis with further bins, as wide as its last one."""
    width = axis.edges[-1] - axis.edges[-2]
    if axis.regular:
        return replace(axis, edges=Axis.spaced(bins, axis.edges[0], axis.edges[0] + bins * width).edges)
    more = axis.edges[-1] + width * np.arange(1, bins - len(axis) + 1)
    return replace(axis, edges=np.concatenate([axis.edges, more]))


def _is_begin(axis: Axis, longer: Axis) -> bool:
    """True if the edges of an axis are the first of a longer one, as before its first label came."""
    return len(axis) <= len(longer) and np.allclose(axis.edges, longer.edges[: len(axis) + 1], rtol=1e-9, atol=0)


def _width(axis: Axis) -> float:
    return float(axis.edges[-1] - axis.edges[0]) / len(axis)


def _is_extension(axis: Axis, other: Axis) -> bool:
    """True if one of two axes is the other with its range doubled, any number of times, to either side."""
    if len(axis) != len(other) or not (axis.regular and other.regular):
        return False
    fine, coarse = sorted((axis, other), key=_width)
    if not 0 < _width(fine) < _width(coarse) < np.inf:
        return False
    ranges = _width(coarse) / _width(fine)  # of the finer axis that the coarser has, and that begin below it
    below = (fine.edges[0] - coarse.edges[0]) / (len(fine) * _width(fine))
    doubled, whole = round(np.log2(ranges)), round(below)
    return doubled > 0 and abs(ranges / 2**doubled - 1) < _NEAR and abs(below - whole) < _NEAR and 0 <= whole < ranges


def _fit(fine: Axis, coarse: Axis) -> bool:
    """True if each bin of a finer axis lies in one bin of the coarser, if that went on."""
    steps = (coarse.edges[0] - fine.edges[0]) / _width(fine)
    return bool(abs(steps - round(steps)) < _NEAR)


def _grid(axis: Axis, other: Axis) -> Axis | None:
    """The coarser of two axes, with further bins where only the finer reaches; None if bins do not fit."""
    fine, coarse = sorted((axis, other), key=_width)
    if not _fit(fine, coarse):
        return None
    width = _width(coarse)
    below = int(np.ceil((coarse.edges[0] - fine.edges[0]) / width - _NEAR))
    above = int(np.ceil((fine.edges[-1] - coarse.edges[-1]) / width - _NEAR))
    below, above = max(below, 0), max(above, 0)
    if not below and not above:
        return coarse
    lower, upper = coarse.edges[0] - below * width, coarse.edges[-1] + above * width
    return replace(coarse, edges=Axis.spaced(len(coarse) + below + above, lower, upper).edges)
