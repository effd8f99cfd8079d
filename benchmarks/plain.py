"""The peers: the same jobs by uproot and NumPy as a careful user would write them, without owtrend's store or kernels.

uproot's caches are off: they would answer from memory where owtrend reads a file.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import uproot
from numpy.typing import NDArray

from ingest.archive.source_file import SourceFile
from owtrend.model.registry import COUNTS, WEIGHTS
from owtrend.store.repository import Store

_HISTOGRAMS = ["TH*", "TProfile*"]


def uproot_histograms(path: str) -> dict[str, tuple[NDArray, NDArray]]:
    """Values and variances, flow included, of all histograms in a file."""
    with uproot.open(path, array_cache=None, object_cache=None) as file:
        objects = file.iteritems(cycle=False, filter_classname=_HISTOGRAMS)
        return {name: (one.values(flow=True), one.variances(flow=True)) for name, one in objects}


class UprootMessages:
    """Plain messages of ROOT objects read by uproot, with the class layouts that it finds in a file."""

    def __init__(self, path: str) -> None:
        self._file = uproot.open(path).file

    def histograms(self, messages: Iterable[bytes]) -> dict[str, tuple[NDArray, NDArray]]:
        """Values and variances of the histogram in each."""
        found = {}
        for message in messages:
            chunk = uproot.source.chunk.Chunk.wrap(None, np.frombuffer(message, np.uint8))
            cursor = uproot.source.cursor.Cursor(8, origin=0)
            one = uproot.deserialization.read_object_any(chunk, cursor, {}, self._file, self._file, None)
            found[one.name] = one.values(flow=True), one.variances(flow=True)
        return found


def uproot_values(path: str, name: str) -> NDArray:
    """Values, flow included, of one histogram in a file; ``file[name]`` fails for names with ``/``."""
    with uproot.open(path, array_cache=None, object_cache=None) as file:
        ((_, histogram),) = file.iteritems(cycle=False, filter_name=name)
        return histogram.values(flow=True)


def uproot_to_npz(files: Iterable[SourceFile], folder: Path, compressed: bool) -> None:
    """One ``.npz`` per subsystem and run: (time, bins) values of each histogram, and variances where they differ."""
    runs: dict[tuple[str, int], list[str]] = {}
    for file in files:
        runs.setdefault((file.subsystem, file.run), []).append(file.path)
    folder.mkdir(parents=True, exist_ok=True)
    for (subsystem, run), paths in runs.items():
        columns: dict[str, list[NDArray]] = {}
        for path in paths:
            for name, (values, variances) in uproot_histograms(path).items():
                columns.setdefault(name, []).append(values)
                if not np.array_equal(values, variances):
                    columns.setdefault(f"{name} variances", []).append(variances)
        arrays = {name.replace("/", "_"): np.array(rows) for name, rows in columns.items()}
        write = np.savez_compressed if compressed else np.savez
        write(folder / f"{subsystem}{run}.npz", **arrays)


def numpy_trends(location: Path) -> Iterator[tuple[str, int, str, list[tuple[NDArray, NDArray]]]]:
    """Subsystem, run, histogram, and mean and standard deviation of the increments along each axis, from the bins.

    The cells are read from the same store, a run at once, as owtrend does; nothing is written. Restarts are not
    handled, profiles and sums are left out.
    """
    reader = Store.open(location).reader()
    for subsystem in reader.subsystems:
        view = reader.subsystem(subsystem)
        for run, run_index in view.run_indices.items():
            rows = np.arange(len(view.times(run_index)))
            for array in (COUNTS, WEIGHTS):
                block = view.cells(array, run_index, rows, slice(0, view.registry.size(array)))
                for segment in view.registry:
                    if (segment.array, segment.part) == (array, "contents"):
                        shape = [len(axis) for axis in segment.axes]
                        centres = [axis.centres for axis in segment.axes]
                        along = lines(block[:, segment.cells], shape)
                        moments = [_mean_and_std(line, x) for line, x in zip(along, centres, strict=True)]
                        yield subsystem, run, "/".join(segment.path), moments


def lines(cumulative: NDArray, shape: Sequence[int]) -> list[NDArray]:
    """Increments in range along each axis, shape ``(time, bin)``, by whole-array NumPy, without restarts."""
    increments = np.diff(cumulative.astype(np.float64), axis=0, prepend=0)
    folded = increments.reshape(-1, *(n + 2 for n in reversed(shape)))[(slice(None), *(slice(1, -1),) * len(shape))]
    axes = tuple(range(1, folded.ndim))
    return [
        folded.sum(axis=tuple(axis for axis in axes if axis != folded.ndim - 1 - number))
        for number in range(len(shape))
    ]  # fmt: skip


def _mean_and_std(line: NDArray, centres: NDArray) -> tuple[NDArray, NDArray]:
    total = line.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, square = line @ centres / total, line @ centres**2 / total
        return mean, np.sqrt(np.abs(square - mean**2))
