import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from owtrend.kernels.cells.difference import ZERO
from owtrend.kernels.cells.projections import fullest, lines, moments, quantiles
from tests import oracles


@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=1, max_size=3), dtype=st.sampled_from(["i4", "f8"]))
def test_lines_equal_the_slow_twin(data, shape, dtype):
    cells = int(np.prod([n + 2 for n in shape]))
    cumulative = data.draw(hnp.arrays(dtype, (3, cells), elements=st.integers(0, 99)))
    entries = cumulative.sum(axis=1).astype(float)
    changed, whole, along = lines(cumulative, oracles.previous_rows(entries), *shape, *[0] * (3 - len(shape)))
    gained = oracles.increments(cumulative.astype(float), entries)
    for row, gain in enumerate(gained):
        np.testing.assert_array_equal(along[:, row], np.concatenate(oracles.lines(gain, shape)))
        inner = gain.reshape([n + 2 for n in reversed(shape)])[(slice(1, -1),) * len(shape)]
        assert whole[:, row].tolist() == [gain.sum(), np.abs(inner).sum()]
    np.testing.assert_array_equal(changed, (gained != 0).any(axis=1))


def test_flow_bins_are_a_change_but_not_in_range():
    cells = np.array([[0, 1, 1, 0], [7, 1, 1, 0]], dtype=np.int32)
    changed, whole, along = lines(cells, np.array([ZERO, 0]), 2, 0, 0)
    assert changed.tolist() == [True, True]
    assert whole.tolist() == [[2, 7], [2, 0]]
    assert along.T.tolist() == [[0, 1, 1, 0], [7, 0, 0, 0]]


@given(hnp.arrays("f8", (6, 2), elements=st.integers(0, 50)))
def test_moments_are_those_of_the_bins(content):
    assume((np.count_nonzero(content, axis=0) > 1).all())
    x = np.linspace(-2, 3, 6)
    mean = (content * x[:, None]).sum(axis=0) / content.sum(axis=0)
    std = np.sqrt((content * (x[:, None] - mean) ** 2).sum(axis=0) / content.sum(axis=0))
    found = moments(content, x, mean, std)
    z = (x[:, None] - mean) / std
    for power, got in ((3, found[0]), (4, found[1])):
        np.testing.assert_allclose(got, (content * z**power).sum(axis=0) / content.sum(axis=0), rtol=1e-9, atol=1e-12)


def test_for_a_normal_distribution_the_variances_of_the_moments_are_6_and_24():
    x = np.linspace(-9, 9, 4001)
    normal = np.exp(-(x**2) / 2)[:, None]
    assert moments(normal, x, np.zeros(1), np.ones(1))[:, 0] == pytest.approx([0, 3, 6, 24], abs=1e-6)


@given(
    content=hnp.arrays("f8", (7, 1), elements=st.integers(0, 30)),
    probability=st.floats(0.01, 0.99),
)
def test_quantiles_interpolate_within_a_bin(content, probability):
    assume(content.sum() > 0)
    cumulated = np.cumsum(content) / content.sum()
    assume(np.abs(cumulated - probability).min() > 1e-9)  # at the end of a bin ROOT does something else, see below
    edges = np.array([-3.0, -2, 0, 1, 1.5, 2, 4, 10])
    total = float(content.sum())
    value, error = quantiles(content, edges, probability, np.array([total]))
    assert value[0] == pytest.approx(oracles.quantile(content[:, 0], edges, probability))
    off = np.sqrt(probability * (1 - probability) / total)
    cumulated = np.concatenate([[0], cumulated])
    filled = np.flatnonzero(content[:, 0])
    ends = edges[filled[0]], edges[filled[-1] + 1]
    levels = probability - off, probability + off
    assume(all(np.abs(cumulated - level).min() > 1e-9 for level in levels))  # flat there: any place would do
    lower, upper = (
        oracles.quantile(content[:, 0], edges, level) if 0 < level < 1 else ends[int(level > 0)] for level in levels
    )
    assert error[0] == pytest.approx((upper - lower) / 2)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param([1, 1, 1, 1], 1.5, id="at-the-end-of-a-bin-its-centre"),
        pytest.param([2, 0, 0, 2], 2.0, id="the-middle-of-the-empty-bins-behind-it"),
        pytest.param([0, 0, 0, 0], np.nan, id="empty"),
        pytest.param([5, -1, 5, 0], np.nan, id="a-negative-bin"),
    ],
)
def test_the_median_where_root_does_not_interpolate(content, expected):
    line = np.array(content, dtype=float)[:, None]
    value, _ = quantiles(line, np.arange(5.0), 0.5, line.sum(axis=0))
    np.testing.assert_equal(value[0], expected)


def test_the_fullest_bin_varies_as_the_greatest_of_normal_numbers_does():
    rng, content = np.random.default_rng(2), np.array([90.0, 100, 95, 20, 0])
    drawn = rng.normal(content, np.sqrt(content), (200_000, 5))
    centres = np.array([0.0, 1, 3, 5, 9])
    height, place = fullest(content[:, None], content[:, None], centres)
    assert height[0] == pytest.approx(drawn.max(axis=1).std(), rel=0.01)
    assert place[0] == pytest.approx(centres[drawn.argmax(axis=1)].std(), rel=0.01)


@pytest.mark.parametrize(("content", "expected"), [([0, 0, 0], [np.nan, np.nan]), ([0, 100, 0], [10, 0])])
def test_a_bin_that_stands_alone_varies_by_itself(content, expected):
    line = np.array(content, dtype=float)[:, None]
    np.testing.assert_allclose(np.ravel(fullest(line, line, np.arange(3.0))), expected, rtol=1e-3)
