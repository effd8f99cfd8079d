import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from owtrend.kernels.difference import ZERO, previous_rows
from owtrend.kernels.reduce import BIN_SUMS, bin_sums
from tests import oracles


@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), dtype=st.sampled_from(["i4", "f8"]))
def test_bin_sums_equal_the_slow_twin(data, shape, dtype):
    cells = int(np.prod([n + 2 for n in shape]))
    cumulative = data.draw(hnp.arrays(dtype, (3, cells), elements=st.integers(0, 99)))
    centres = [np.linspace(-1, 2, n) for n in shape]
    entries = cumulative.sum(axis=1).astype(float)
    changed, sums = bin_sums(cumulative, previous_rows(entries, True), *centres, *[np.empty(0)] * (3 - len(shape)))
    gained = oracles.increments(cumulative.astype(float), entries)
    expected = [oracles.bin_sums(row, shape, centres) for row in gained]
    np.testing.assert_allclose(sums, expected, rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(changed, (gained != 0).any(axis=1))


def test_flow_bins_are_a_change_but_not_in_the_sums():
    cells = np.array([[0, 1, 1, 0], [7, 1, 1, 0]], dtype=np.int32)
    changed, sums = bin_sums(cells, np.array([ZERO, 0]), np.array([0.5, 1.5]), np.empty(0), np.empty(0))
    assert changed.tolist() == [True, True]
    assert dict(zip(BIN_SUMS, sums[1], strict=True)) == dict.fromkeys(BIN_SUMS, 0.0)
    assert sums[0].tolist()[:4] == pytest.approx([2, 2, 2, 2.5])
