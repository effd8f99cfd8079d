"""Quoted errors against the spread of many Poisson variations of a known histogram."""

from functools import cache

import numpy as np
import pytest
from scipy import stats

from owtrend.model.axis import Axis
from owtrend.trends.increments import Increments
from owtrend.trends.reductors import parse

pytestmark = pytest.mark.slow

REPLICAS = 600  # the spread is known to 3 %
SHAPES = {
    "normal": (stats.norm(3, 10), Axis.spaced(60, -27, 33), 3000),
    "skewed": (stats.gamma(2, scale=4), Axis.spaced(60, 1, 31), 3000),
    "long tail": (stats.landau(20, 3), Axis.spaced(50, 0, 100), 1000),
    "sparse": (stats.gamma(2, scale=400), Axis.spaced(3000, 0, 3000), 150),
}


def replicas(axis, rows, **more):
    """Increments of independent rows of counts at bin centres, shape ``(row, bin)``, flow included."""
    cells = np.asarray(rows, dtype=float)
    inside, centres = cells[:, 1:-1], axis.centres
    end = np.datetime64("2018-06-01T12:00", "ns") + np.arange(len(cells)) * np.timedelta64(60, "s")
    sums = {"entries": cells.sum(axis=1), "tsumw": inside.sum(axis=1), "tsumw2": inside.sum(axis=1)}
    sums |= {"tsumwx": inside @ centres, "tsumwx2": inside @ centres**2}
    return Increments(
        axes=(axis,), class_name="TH1D", error_option="", gauge=False,
        stats=sums, along=(cells.T.copy(),), whole=cells.sum(axis=1), reported=np.ones(len(cells), bool),
        steps=np.zeros(len(cells), np.uint8),
        begin=end - np.timedelta64(60, "s"), end=end, restart=np.zeros(len(cells), bool),
        since=end - np.timedelta64(60, "s"), lasting=np.full(len(cells), 60.0), timed=cells.sum(axis=1), **more,
    )  # fmt: skip


@cache
def varied(name):
    """Variations of a shape, those of a histogram that counts other entries of it, too, and both together."""
    rng = np.random.default_rng(8)
    shape, axis, total = SHAPES[name]
    expected = total * np.diff(shape.cdf(np.concatenate([[-np.inf], axis.edges, [np.inf]])))
    rows, others = (rng.poisson(share * expected, (REPLICAS, len(expected))) for share in (1.0, 0.6))
    events = rng.poisson(max(total / 7, 200), REPLICAS).astype(float)
    return replicas(axis, rows, events=events), replicas(axis, others), replicas(axis, rows + others)


ALL, FULL = tuple(SHAPES), ("normal", "skewed", "long tail")
CASES = [  # reductor, the shapes that it has something to tell of, tolerance
    ("entries", ALL, 0.1),
    ("integral", ALL, 0.1),
    ("rate", ALL, 0.1),
    ("per_event", ALL, 0.12),
    ("ratio(other)", ALL, 0.12),
    ("efficiency(all)", ALL, 0.1),
    ("mean", ALL, 0.1),
    ("std", ("normal",), 0.1),  # as ROOT has it, that of a normal distribution
    ("skewness", ALL, 0.15),
    ("kurtosis", ALL, 0.2),
    ("median", ALL, 0.15),
    ("quantile(0.9)", ALL, 0.15),
    ("underflow", ("skewed",), 0.15),
    ("overflow", ("skewed", "long tail"), 0.15),
    ("fraction(3,11)", ("normal", "skewed"), 0.1),
    ("maximum", FULL, 0.25),  # too large rather than too small, where many bins are about as full
    ("peak", FULL, 0.2),
    ("gauss", ("normal", "skewed"), 0.2),
    ("gauss_width", ("normal",), 0.15),  # 25 % too small for the skewed shape, which it does not fit
    ("gauss(-9,15)", ("normal",), 0.2),
    ("mpv", ("skewed", "long tail"), 0.15),  # of a shape like a Landau distribution
]


@pytest.mark.parametrize(
    ("spec", "shape", "tolerance"), [(spec, shape, tolerance) for spec, shapes, tolerance in CASES for shape in shapes]
)
def test_the_error_is_the_spread_of_poisson_variations(spec, shape, tolerance):
    increments, other, both = varied(shape)
    if "gauss" in spec or spec == "mpv":
        increments = first_rows(increments, 200)
    single = parse(spec)
    value, error = single(increments, {"other": other, "all": both}.get(single.other))
    known = np.isfinite(value)
    assert known.mean() > 0.95
    spread = value[known].std()
    if spec == "peak":  # the width of a bin is in the error, for it hides where in it the peak is
        spread = np.hypot(spread, np.diff(increments.axes[0].edges)[0] / np.sqrt(12))
    quoted = np.median(error[known])
    assert quoted == pytest.approx(spread, rel=tolerance)


def first_rows(increments, rows):
    return replicas(increments.axes[0], increments.along[0].T[:rows])


@pytest.mark.parametrize("spec", ["underflow", "efficiency(all)"])
def test_the_interval_of_a_share_holds_the_truth_also_where_nothing_was_counted(spec):
    """Of 200 so few are expected that often none is counted: two in three cover, averaged over the truth."""
    rng, total, axis = np.random.default_rng(3), 200, Axis.spaced(2, 0, 2)
    covered = []
    for expected in np.linspace(0.1, 4, 40):
        passed = rng.binomial(total, expected / total, 2000)
        below = replicas(axis, np.stack([passed, total - passed, 0 * passed, 0 * passed], axis=1))
        few = replicas(axis, np.stack([0 * passed, passed, 0 * passed, 0 * passed], axis=1))
        every = replicas(axis, np.stack([0 * passed, 0 * passed + total, 0 * passed, 0 * passed], axis=1))
        value, error = parse(spec)(below) if spec == "underflow" else parse(spec)(few, every)
        assert (error > 0).all()
        covered.append(np.mean(abs(value - expected / total) <= error))
    assert 0.6 < np.mean(covered) < 0.8


def test_of_no_counts_the_error_is_half_the_interval_of_wilson():
    none = replicas(Axis.spaced(2, 0, 2), [[0, 9, 0, 0]])
    value, error = parse("underflow")(none)
    assert (value[0], error[0]) == (0, pytest.approx(0.5 / 10))


def test_a_share_of_nothing_but_flow_is_whole_and_has_an_error():
    value, error = parse("overflow")(replicas(Axis.spaced(2, 0, 2), [[0, 0, 0, 4]]))
    assert (value[0], error[0]) == (1, pytest.approx(0.5 / 5))


@pytest.mark.parametrize(
    "spec", ["mean", "std", "skewness", "median", "peak", "gauss", "mpv", "underflow", "fraction(0,1)"]
)
def test_nothing_filled_is_missing_and_not_zero(spec):
    value, error = parse(spec)(replicas(Axis.spaced(8, 0, 8), np.zeros((2, 10))))
    assert np.isnan(value).all()
    assert np.isnan(error).all()


def test_a_fit_of_weights_knows_effective_entries():
    axis = Axis.spaced(40, -4, 4)
    counts = np.random.default_rng(1).poisson(400 * stats.norm.pdf(axis.centres))
    plain = replicas(axis, [[0, *counts, 0]])
    weighted = replicas(axis, [[0, *(0.01 * counts), 0]])
    weighted.stats["tsumw2"][:] *= 0.01
    for spec in ("gauss", "gauss_width"):
        assert np.concatenate(parse(spec)(weighted)) == pytest.approx(np.concatenate(parse(spec)(plain)), rel=1e-3)
