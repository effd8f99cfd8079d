import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from owtrend.kernels.cells.exact_int import are_int32


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, True), (-0.0, False), (-7.0, True), (0.5, False), (np.nan, False), (np.inf, False), (-np.inf, False),
     (2.0**31, False), (-(2.0**31), True), (2.0**24, True), (1e30, False), (1e-30, False)],
)  # fmt: skip
def test_numbers_by_hand(dtype, value, expected):
    assert are_int32(np.array([1, value, 2], dtype=dtype)) == expected


def test_the_ends_of_int32_in_double_precision():
    assert are_int32(np.array([2.0**31 - 1, -(2.0**31)]))
    assert not are_int32(np.array([-(2.0**31) - 1]))
    assert not are_int32(np.array([-(2.0**31) - 1, 0, 0, 0, 0, 0, 0]))  # as many as the compiler takes at once
    assert not are_int32(np.array([0, 0, 0, 0, 0, 0, 0, 2.0**31]))
    assert are_int32(np.array([]))


@given(values=hnp.arrays(st.sampled_from([np.float32, np.float64]), 7))
def test_numbers_that_survive_int32_bit_by_bit_are_int32(values):
    with np.errstate(invalid="ignore"):
        there_and_back = values.astype(np.int64).astype(values.dtype)
    inside = np.all((values >= -(2.0**31)) & (values < 2.0**31))
    assert are_int32(values) == bool(inside and there_and_back.tobytes() == values.tobytes())
