import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from owtrend.histograms import steps
from owtrend.kernels.cells.difference import ZERO, coefficients, gaps, increments, plain_increments
from owtrend.model.rows import State
from tests import oracles
from tests.oracles import previous_rows

COUNTS = hnp.arrays(np.int64, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.integers(0, 999))


@given(gained=COUNTS)
def test_increments_undo_a_running_sum(gained):
    cumulative = gained.cumsum(axis=0)
    previous = previous_rows(cumulative.sum(axis=1))
    np.testing.assert_array_equal(increments(cumulative, previous), gained)


@given(cumulative=COUNTS)
def test_increments_equal_the_slow_twin_also_where_entries_fall(cumulative):
    entries = cumulative.sum(axis=1).astype(float)
    previous = previous_rows(entries)
    np.testing.assert_array_equal(increments(cumulative, previous), oracles.increments(cumulative, entries))
    np.testing.assert_array_equal(
        plain_increments(cumulative.astype(float), previous), increments(cumulative, previous)
    )


@given(cumulative=COUNTS, data=st.data())
def test_a_slice_by_coefficients_is_the_sum_of_its_increments(cumulative, data):
    previous = previous_rows(cumulative.sum(axis=1))
    first = data.draw(st.integers(0, len(cumulative) - 1))
    last = data.draw(st.integers(first, len(cumulative) - 1))
    rows, signs = coefficients(previous, first, last)
    from_rows = (cumulative[rows] * signs[:, None]).sum(axis=0)
    np.testing.assert_array_equal(from_rows, increments(cumulative, previous)[first : last + 1].sum(axis=0))


def test_a_slice_without_restart_needs_two_rows_however_long():
    previous = previous_rows(np.arange(1000.0))
    rows, signs = coefficients(previous, 10, 900)
    assert rows.tolist() == [9, 900]
    assert signs.tolist() == [-1, 1]


@pytest.mark.parametrize(
    ("cumulative", "entries", "expected"),
    [
        pytest.param([[5], [9], [2]], [5, 9, 2], [[5], [4], [2]], id="restart-counts-from-zero"),
        pytest.param([[4, 1], [3, 3]], [5, 6], [[4, 1], [-1, 2]], id="moved-entry-stays-negative"),
        pytest.param([[4], [2]], [4, 4], [[4], [-2]], id="equal-entries-are-no-restart"),
        pytest.param([[4], [5]], [4, np.nan], [[4], [1]], id="nan-entries-are-no-restart"),
    ],
)
def test_increments_by_hand(cumulative, entries, expected):
    previous = previous_rows(np.array(entries, dtype=float))
    assert increments(np.array(cumulative), previous).tolist() == expected


def test_nothing_is_subtracted_in_reset_mode():
    assert steps.previous_rows(np.full(3, State.HELD, np.uint8), False).tolist() == [ZERO] * 3


def test_a_gap_is_more_than_half_again_the_usual_spacing():
    seconds = np.array([0, 60, 121, 180, 330, 390])
    times = np.datetime64("2018-06-01") + seconds.astype("timedelta64[s]")
    assert gaps(times.astype("datetime64[ns]")).tolist() == [False, False, False, False, True, False]
    assert not gaps(times[:2]).any()
