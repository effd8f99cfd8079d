import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from owtrend.kernels.two_sample.patches import blocks, connected, patch_probability


def test_connected_by_hand():
    pulls = np.array([[9, 9, 0, -9], [0, 9, 0, -9], [5, 0, 9, 9]], dtype=float)
    assert [sorted(patch.tolist()) for patch in connected(pulls, 4)] == [[0, 1, 5], [10, 11], [3, 7], [8]]
    assert connected(np.zeros((3, 3)), 4) == []


@given(values=hnp.arrays(float, hnp.array_shapes(min_dims=1, max_dims=3, max_side=9), elements=st.integers(0, 9)))
def test_sums_of_blocks_are_those_of_their_bins(values):
    bounds, (sums, ones) = blocks(values.shape, values, np.ones(values.shape))
    for (*bound,), total, number in zip(bounds, sums, ones, strict=True):
        inside = tuple(slice(a, b) for a, b in bound)
        assert total == values[inside].sum()
        assert 1 < number == values[inside].size < values.size
    assert len({bound.tobytes() for bound in bounds}) == len(bounds)


def test_blocks_hold_whole_rows_and_columns():
    bounds, _ = blocks((8, 6))
    listed = bounds.tolist()
    assert [[3, 4], [0, 6]] in listed
    assert [[0, 8], [2, 3]] in listed
    assert [[2, 4], [3, 4]] in listed


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_single_bin_costs_the_number_of_bins_and_never_more_than_one(axes):
    assert patch_probability(1e-9, 1, 100, axes) <= 2e-7 * 10
    assert patch_probability(0.5, 3, 100, axes) == 1
    assert patch_probability(0.0, 3, 100, axes) == 0
    assert patch_probability(1e-20, 4, 100, axes) < patch_probability(1e-20, 5, 100, axes)
