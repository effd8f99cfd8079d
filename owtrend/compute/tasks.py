"""Blocks of histograms for tasks: how a subsystem is cut into them, how a worker opens one, how results are joined."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.model.registry import COUNTS, WEIGHTS, HistogramEntry
from owtrend.store.reader import Reader, SubsystemReader
from owtrend.store.repository import Store

__all__ = ["HistogramBlock", "bin_count", "blocks", "join"]

_HISTOGRAM_FIRST = {"run_value", "run_error", "null"}  # their first dim is the histogram; of others the second


@dataclass(frozen=True)
class HistogramBlock:
    """Some neighbouring histograms of one subsystem, at one version of a store: small enough to be sent to a worker.

    They are those from ``first`` to before ``last``, in the registry's order.
    """

    location: str
    version: str
    subsystem: str
    first: int
    last: int

    def open(self) -> tuple[SubsystemReader, list[HistogramEntry]]:
        """The subsystem and the histograms. A worker keeps the store open for its next tasks."""
        view = _reader(self.location, self.version).subsystem(self.subsystem)
        return view, list(view.registry.histograms.values())[self.first : self.last]


@lru_cache(maxsize=4)
def _reader(location: str, version: str) -> Reader:
    return Store.open(location).reader(version)


def blocks(reader: Reader, address: str, subsystem: str, sizes: Iterable[int], limit: int) -> Iterator[HistogramBlock]:
    """Cut all histograms of a subsystem into blocks.

    Parameters
    ----------
    address
        Where workers open the store.
    sizes
        Size of each histogram, in the registry's order, in the unit of ``limit``.
    limit
        Size of a block at most; a single histogram may be larger.
    """
    bounds, held, count = [0], 0, 0
    for number, size in enumerate(sizes):
        if held and held + size > limit:
            bounds.append(number)
            held = 0
        held += size
        count = number + 1
    for first, last in pairwise([*bounds, count]):
        yield HistogramBlock(address, reader.version, subsystem, first, last)


def join(arrays: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Results of neighbouring blocks, in order, concatenated along the histogram dim."""
    return {
        name: np.concatenate([block[name] for block in arrays], axis=0 if name in _HISTOGRAM_FIRST else 1)
        for name in arrays[0]
    }


def bin_count(entry: HistogramEntry) -> int:
    """Number of bins of a histogram, flow included; of several binnings the most."""
    return max((segment.length for _, segment in entry.segments if segment.array in (COUNTS, WEIGHTS)), default=0)
