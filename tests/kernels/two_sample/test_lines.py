"""Sums along axes, windows and shifts, compared with NumPy and SciPy."""

import numpy as np
import pytest
from scipy import stats

from owtrend.kernels.two_sample import lines


def along_axes(data, reference):
    """Line sums of both, bounds, and the fraction of the data in all counts, of arrays with dims ([y,] x)."""
    sizes = data.shape[::-1]
    sums = [lines.line_sums(counts.ravel(), np.array(sizes)) for counts in (data, reference)]
    return *sums, lines.line_bounds(sizes), data.sum() / (data.sum() + reference.sum())


def test_line_sums_are_cumulative_sums_along_each_axis():
    cells = np.random.default_rng(2).poisson(3, (4, 5, 6)).astype(float)
    along = [cells.sum(axis=axes) for axes in ((0, 1), (0, 2), (1, 2))]
    expected = np.concatenate([np.concatenate([[0], line.cumsum()]) for line in along])
    np.testing.assert_array_equal(lines.line_sums(cells.ravel(), np.array([6, 5, 4])), expected)
    assert lines.line_bounds((6, 5, 4)).tolist() == [0, 7, 13, 18]


@pytest.mark.parametrize("channels", [8, 16])
def test_a_dead_module_is_a_window_though_cells_begin_with_the_underflow(channels):
    rng = np.random.default_rng(3)
    reference, data = rng.poisson(20, (40, 66)).astype(float), rng.poisson(2, (40, 66)).astype(float)
    module = slice(1 + 2 * channels, 1 + 3 * channels)
    data[:, module] = 0
    window = lines.worst_window(*along_axes(data, reference), 1.0, 0.0)
    assert (window.axis, window.first, window.last, window.sign) == (0, module.start, module.stop - 1, -1)
    assert window.log_p < -400


def test_a_flow_cell_is_a_window_by_itself():
    reference, data = np.full((40, 66), 20.0), np.full((40, 66), 2.0)
    data[:, 65] = 20
    window = lines.worst_window(*along_axes(data, reference), 1.0, 0.0)
    assert (window.axis, window.first, window.last, window.sign) == (0, 65, 65, 1)


def test_a_shift_is_the_rank_sum_of_mann_and_whitney():
    rng = np.random.default_rng(4)
    reference, data = rng.poisson(9, 30).astype(float), rng.poisson(np.linspace(3, 4, 30)).astype(float)
    shift = lines.worst_shift(*along_axes(data, reference)[:3], 1.0, 0.0)
    filled = [np.repeat(np.arange(30), counts.astype(int)) for counts in (data, reference)]
    u = stats.mannwhitneyu(*filled, method="asymptotic", use_continuity=False)
    n, m = map(len, filled)
    assert stats.norm.isf(np.exp(shift.log_p) / 2) == pytest.approx(stats.norm.isf(u.pvalue / 2), rel=2 / (n + m))
    assert shift.sign == 1


def test_no_window_and_no_shift_without_counts():
    data, reference = np.zeros(12), np.zeros(12)
    data[0] = reference[0] = 3
    sums = along_axes(data, reference)
    assert lines.worst_window(*sums, 1.0, 0.0).axis == -1
    assert lines.worst_shift(*sums[:3], 1.0, 0.0).trials == 0
