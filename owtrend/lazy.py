"""Arrays that xarray reads only when they are indexed."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

__all__ = ["LazyArray", "by_run"]


class LazyArray(BackendArray, ABC):
    """An array that is read when indexed, along each dim on its own."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._outer)

    def _outer(self, key: tuple[Any, ...]) -> Any:
        wanted = [np.arange(size)[one] for size, one in zip(self.shape, key, strict=True)]
        found = self.read(*(np.atleast_1d(one) for one in wanted))
        return found.squeeze(tuple(axis for axis, one in enumerate(wanted) if not np.ndim(one)))

    @abstractmethod
    def read(self, *wanted: NDArray[np.intp]) -> NDArray[Any]:
        """Values at these positions along each dim."""


def by_run(
    starts: NDArray[np.intp], rows: NDArray[np.intp]
) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.intp]]]:
    """Split global row numbers by run: yields (run number, positions in ``rows``, row numbers within that run).

    ``starts`` are the row numbers at which the runs begin, and the one at which the last one ends.
    """
    owner = np.searchsorted(starts, rows, side="right") - 1
    order = np.argsort(owner, kind="stable")
    numbers, bounds = np.unique(owner[order], return_index=True)
    for number, mine in zip(numbers.tolist(), np.split(order, bounds[1:]), strict=False):
        yield number, mine, rows[mine] - starts[number]
