"""One array of a subsystem as xarray shows it: snapshots by run and time, cells by histogram, part and bin."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from xarray.core import indexing

from owtrend.errors import DimsError, NotFoundError
from owtrend.lazy import LazyArray, by_run
from owtrend.model import schema
from owtrend.model.histogram import display_name
from owtrend.model.registry import COUNTS, SUMS, WEIGHTS, Segment
from owtrend.store.reader import SubsystemReader

__all__ = ["ARRAYS", "CellIndex", "dataset"]

ARRAYS = (COUNTS, WEIGHTS, SUMS)
_CELL = "cell"


def dataset(view: SubsystemReader, array: str, runs: Sequence[int]) -> xr.Dataset:
    """The cells of all snapshots of some runs, read when needed; see `owtrend.archive.Archive.dataset`."""
    if array not in ARRAYS:
        raise NotFoundError(f"{view.where}: no array {array!r}; it has {', '.join(ARRAYS)}")
    view.read_all_rows()
    run_indices = [view.run_index(run) for run in runs]
    times = [view.times(run_index) for run_index in run_indices]
    rows = pd.MultiIndex.from_arrays(
        [np.repeat(np.asarray(runs, dtype=np.int64), [len(one) for one in times]),
         np.concatenate([np.empty(0, dtype="datetime64[ns]"), *times])],
        names=["run", schema.TIME],
    )  # fmt: skip
    segments = _Segments(view, array)
    index = CellIndex(segments, range(segments.size))
    dims = schema.SNAPSHOT, _CELL
    coords = xr.Coordinates.from_pandas_multiindex(rows, schema.SNAPSHOT)
    return xr.Dataset(
        {
            array: (dims, indexing.LazilyIndexedArray(_Cells(segments, run_indices))),
            "held": (dims, indexing.LazilyIndexedArray(_Held(segments, run_indices))),
        },
        coords=coords | xr.Coordinates(index.create_variables(), dict.fromkeys(index.levels, index)),
    )


@dataclass(frozen=True, eq=False)
class _Segments:
    """All cells of one array, segment after segment."""

    view: SubsystemReader
    array: str

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # it never changes, and a view of the store cannot be copied

    @cached_property
    def numbers(self) -> NDArray[np.intp]:
        """The segments' numbers in the registry."""
        return np.flatnonzero([segment.array == self.array for segment in self.view.registry])

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        return tuple(self.view.registry[number] for number in self.numbers)

    @cached_property
    def first(self) -> NDArray[np.intp]:
        """Where each segment begins, and where the last one ends."""
        return np.cumsum([0, *(segment.length for segment in self.segments)])

    @property
    def size(self) -> int:
        return int(self.first[-1])

    def segment_numbers(self, cells: NDArray[np.intp]) -> NDArray[np.intp]:
        """Number of the segment in which each cell lies."""
        return np.searchsorted(self.first, cells, side="right") - 1

    def stored(self, cells: NDArray[np.intp]) -> NDArray[np.intp]:
        """Where in the store each cell is."""
        owner = self.segment_numbers(cells)
        return np.array([segment.offset for segment in self.segments])[owner] + cells - self.first[owner]

    def labels(self, level: str, cells: NDArray[np.intp]) -> NDArray[Any]:
        """The ``histogram``, ``part``, ``bin`` or ``sum`` of each cell."""
        if level == "sum":
            return np.array([name for segment in self.segments for name in segment.names], dtype=object)[cells]
        owner = self.segment_numbers(cells)
        if level == "bin":
            return cells - self.first[owner]
        say: Callable[[Segment], str] = (lambda s: display_name(s.path)) if level == "histogram" else (lambda s: s.part)
        return np.array([say(segment) for segment in self.segments], dtype=object)[owner]

    def chosen(self, labels: Mapping[str, Any]) -> NDArray[np.intp]:
        """The segments with these labels."""
        found = np.arange(len(self.segments))
        if "histogram" in labels:
            own = [self._of_histogram(name) for name in _several(labels["histogram"])]
            found = np.unique(np.concatenate([np.empty(0, dtype=np.intp), *own]))  # in the order of the store
        if "part" in labels:
            parts = _several(labels["part"])
            found = np.array([one for one in found if self.segments[one].part in parts], dtype=np.intp)
        return found

    def _of_histogram(self, name: Any) -> NDArray[np.intp]:
        entry = self.view.registry.find(name, self.view.where)
        found = np.flatnonzero(np.isin(self.numbers, [number for number, _ in entry.segments]))
        if not len(found):
            own = sorted({segment.array for _, segment in entry.segments} & {COUNTS, WEIGHTS})
            raise NotFoundError(
                f"{self.view.where}: {entry.name} has no cell in {self.array!r}; its cells are in "
                f"{' and '.join(map(repr, own))}, see archive.dataset(subsystem, array)"
            )
        return found


class CellIndex(xr.Index):
    """Finds cells by histogram, part and bin: by offsets of segments, where a MultiIndex would spell out each cell."""

    def __init__(self, segments: _Segments, cells: range | NDArray[np.intp]) -> None:
        self.segments, self.cells = segments, cells

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the coords by which a cell is found."""
        return ("histogram", "sum") if self.segments.array == SUMS else ("histogram", "part", "bin")

    def create_variables(self, variables: Mapping[Any, xr.Variable] | None = None) -> dict[Any, xr.Variable]:
        """The coords, each of which is made only when looked at."""
        return {
            level: xr.Variable(_CELL, indexing.LazilyIndexedArray(_Labels(self, level)), _ATTRIBUTES.get(level))
            for level in self.levels
        }

    def equals(self, other: xr.Index, **kwargs: Any) -> bool:
        """True for the same cells of the same state of the store."""
        return (
            isinstance(other, CellIndex)
            and self.segments.view.where == other.segments.view.where
            and self.segments.array == other.segments.array
            and self.segments.size == other.segments.size
            and np.array_equal(self.cells, other.cells)
        )

    def rename(self, name_dict: Mapping[Any, Any], dims_dict: Mapping[Any, Any]) -> Self:
        """Itself, where its coords and dim keep their names.

        Raises
        ------
        DimsError
            If they do not: cells are found by these names.
        """
        if renamed := ({*self.levels} & name_dict.keys()) | ({_CELL} & dims_dict.keys()):
            raise DimsError(f"{', '.join(sorted(renamed))} cannot be renamed as an index; call drop_indexes before")
        return self

    def isel(self, indexers: Mapping[Any, Any]) -> "CellIndex | None":
        """The index of some of the cells; none is left of a single cell."""
        wanted = indexers[_CELL]
        if isinstance(wanted, xr.Variable) and wanted.dims != (_CELL,):
            return None
        if isinstance(wanted, slice) and wanted.step in (None, 1):
            return CellIndex(self.segments, self.cells[wanted])
        cells = np.asarray(self.cells)[wanted.values if isinstance(wanted, xr.Variable) else wanted]
        return CellIndex(self.segments, cells) if cells.ndim == 1 else None

    def sel(self, labels: dict[Any, Any], method: Any = None, tolerance: Any = None) -> Any:
        """The cells that have all these labels; a slice of bins holds both its ends.

        Raises
        ------
        NotFoundError, AmbiguousNameError
            If there is no such histogram or cell, or several histograms by that name.
        """
        where = self.segments.view.where
        if unknown := labels.keys() - set(self.levels):
            raise NotFoundError(f"{where}: cells have no {', '.join(map(str, unknown))}; they have {self.levels}")
        if method is not None or tolerance is not None:
            raise NotFoundError(f"{where}: cells are found by exact labels; leave out method and tolerance")
        found = self._in_segments(self.segments.chosen(labels))
        for level, is_wanted in (("bin", _in_bins), ("sum", np.isin)):
            if level in labels:
                cells = np.asarray(self.cells)[found]
                found = found[is_wanted(self.segments.labels(level, cells), labels[level])]
        if not len(found):
            raise NotFoundError(f"{where}: no cell in {self.segments.array!r} with {labels}")
        whole = (np.diff(found) == 1).all()
        return indexing.IndexSelResult({_CELL: slice(int(found[0]), int(found[-1]) + 1) if whole else found})

    def _in_segments(self, chosen: NDArray[np.intp]) -> NDArray[np.intp]:
        """Positions of the cells that lie in these segments."""
        if not isinstance(self.cells, range):
            return np.flatnonzero(np.isin(self.segments.segment_numbers(self.cells), chosen))
        first = self.segments.first
        cells = np.concatenate([np.empty(0, np.intp), *(np.arange(first[one], first[one + 1]) for one in chosen)])
        return cells[(cells >= self.cells.start) & (cells < self.cells.stop)] - self.cells.start


_ATTRIBUTES = {"bin": {"long_name": "x fastest, flow included: 0 is the underflow"}}


class _Labels(LazyArray):
    """One coord of the cells."""

    def __init__(self, index: CellIndex, level: str) -> None:
        self.index, self.level = index, level
        self.shape = (len(index.cells),)
        self.dtype = np.dtype(np.int64 if level == "bin" else object)

    def read(self, *wanted: NDArray[np.intp]) -> NDArray[Any]:
        return self.index.segments.labels(self.level, np.asarray(self.index.cells)[wanted[0]])


class _Rows(LazyArray):
    """One number per cell of each snapshot of some runs."""

    def __init__(self, segments: _Segments, run_indices: Sequence[int]) -> None:
        self.segments, self.view, self.run_indices = segments, segments.view, run_indices
        self.starts = np.cumsum([0, *(len(self.view.times(run_index)) for run_index in run_indices)])
        self.shape = int(self.starts[-1]), segments.size

    def read(self, *wanted: NDArray[np.intp]) -> NDArray[Any]:
        snapshots, cells = wanted
        out = np.zeros((len(snapshots), len(cells)), dtype=self.dtype)
        for number, mine, own in by_run(self.starts, snapshots) if len(cells) else ():
            out[mine] = self.of_run(self.run_indices[number], own, cells)
        return out

    @abstractmethod
    def of_run(self, run_index: int, rows: NDArray[np.intp], cells: NDArray[np.intp]) -> NDArray[Any]:
        """The same of one run."""


class _Cells(_Rows):
    """Their values."""

    def __init__(self, segments: _Segments, run_indices: Sequence[int]) -> None:
        super().__init__(segments, run_indices)
        self.dtype = np.dtype(np.int64 if segments.array == COUNTS else np.float64)

    def of_run(self, run_index: int, rows: NDArray[np.intp], cells: NDArray[np.intp]) -> NDArray[Any]:
        stored = self.segments.stored(cells)
        first, last = int(stored.min()), int(stored.max())
        block = self.view.cells(self.segments.array, run_index, rows, slice(first, last + 1))
        if block.shape[1] != len(stored) or (np.diff(stored) != 1).any():
            block = block[:, stored - first]
        layouts, owners = (
            self.view.layout(run_index)[rows],
            self.segments.numbers[np.unique(self.segments.segment_numbers(cells))],
        )
        if self.view.holds[layouts][:, owners].all():
            return block
        return np.where(_held(self.segments, run_index, rows, cells), block, 0)  # a slot may keep what was there before


class _Held(_Rows):
    """True where a snapshot holds the cell: absent is not zero."""

    dtype = np.dtype(bool)

    def of_run(self, run_index: int, rows: NDArray[np.intp], cells: NDArray[np.intp]) -> NDArray[Any]:
        return _held(self.segments, run_index, rows, cells)


def _held(segments: _Segments, run_index: int, rows: NDArray[np.intp], cells: NDArray[np.intp]) -> NDArray[np.bool_]:
    held = segments.view.holds[segments.view.layout(run_index)[rows]]
    return held[:, segments.numbers[segments.segment_numbers(cells)]]


def _several(wanted: Any) -> list[Any]:
    """The labels asked for; a tuple is one path."""
    return list(wanted) if isinstance(wanted, list | np.ndarray | pd.Index) else [wanted]


def _in_bins(bins: NDArray[Any], wanted: Any) -> NDArray[np.bool_]:
    if isinstance(wanted, slice):
        first = 0 if wanted.start is None else wanted.start
        last = np.iinfo(np.int64).max if wanted.stop is None else wanted.stop
        return (bins >= first) & (bins <= last)
    return np.isin(bins, wanted)
