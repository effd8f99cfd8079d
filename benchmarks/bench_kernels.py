"""Loops over cells in memory, against NumPy; GB/s count 8 bytes for each cell, whatever its type."""

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import plain
from benchmarks.inputs import Compare, Size
from owtrend.kernels.cells import difference, projections
from tests import oracles

ROWS = 64
SHAPES = {"1-D": (11_998,), "2-D": (102, 102), "3-D": (160, 30, 50)}  # 3, 3 and 69 MB with flow bins, int32


@pytest.fixture(params=SHAPES)
def shape(request: pytest.FixtureRequest, size: Size) -> tuple[int, ...]:
    """Bins per axis, flow excluded; few for the tiny size."""
    whole = SHAPES[request.param]
    return whole if size.warm_up else tuple(n // 10 + 2 for n in whole)


@pytest.fixture
def cells(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.int32]:
    """Cumulative contents (time, cell) as they are stored."""
    return rng.poisson(1, (ROWS, int(np.prod([n + 2 for n in shape])))).cumsum(axis=0).astype(np.int32)


def label(cells: NDArray) -> str:
    return f"{ROWS} x {cells.shape[1]:,} int32"


def test_increments(cells: NDArray, compare: Compare) -> None:
    """`kernels.cells.difference.increments` against the tests' oracle, row by row in NumPy."""
    entries = cells.sum(axis=1, dtype=np.float64)
    previous = oracles.previous_rows(entries)
    np.testing.assert_array_equal(difference.increments(cells, previous), oracles.increments(cells, entries))
    compare(
        "increments", label(cells), lambda: difference.increments(cells, previous), "NumPy",
        lambda: oracles.increments(cells, entries), amount=8e-9 * cells.size, rate_unit="GB/s",
    )  # fmt: skip


def test_lines(cells: NDArray, shape: tuple[int, ...], compare: Compare) -> None:
    """`kernels.cells.projections.lines`, increments and their content along each axis in one pass, against whole-array
    NumPy.
    """
    previous = oracles.previous_rows(cells.sum(axis=1))
    stored = np.asfortranarray(cells)  # as it comes from the store
    sizes = [*shape, *[0] * (3 - len(shape))]
    _, _, along = projections.lines(stored, previous, *sizes)
    bounds = np.cumsum([0, *(n + 2 for n in shape)])
    for first, last, expected in zip(bounds[:-1], bounds[1:], plain.lines(cells, shape), strict=True):
        np.testing.assert_allclose(along[first + 1 : last - 1], expected.T)
    compare(
        "lines", label(cells), lambda: projections.lines(stored, previous, *sizes), "NumPy",
        lambda: plain.lines(cells, shape), amount=8e-9 * cells.size, rate_unit="GB/s",
    )  # fmt: skip
