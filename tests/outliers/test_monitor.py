"""One histogram watched: what it is compared with, what it learns, and what is usual."""

import numpy as np
import pytest

from owtrend.model.axis import Axis
from owtrend.outliers import monitor
from owtrend.outliers.explain import place, why
from owtrend.outliers.monitor import LOOKS, SCORES, Null, Sample, Watched

SIZES = np.array([22], dtype=np.int64)
SHAPE = np.random.default_rng(0).gamma(3, size=22)
AXES = (Axis.spaced(20, 0, 10, "energy [GeV]"),)


def sample(rng, times=20.0, shape=SHAPE):
    return Sample(rng.poisson(times * shape).astype(float), SIZES)


def test_the_first_report_without_other_runs_has_nothing_beside_it():
    assert Watched().look(sample(np.random.default_rng(1))) is None


def test_each_reference_comes_when_it_is_there():
    rng = np.random.default_rng(2)
    one = Watched(pool=sample(rng, 100))
    seen = []
    for _ in range(6):
        report = sample(rng)
        finding = one.look(report)
        assert finding is not None
        seen.append(np.isfinite(finding.seen).any(axis=1).tolist())
        one.learn(report)
    assert seen[0] == [True, False, False, False]
    assert seen[1] == [True, True, True, False]
    assert seen[5] == [True] * len(LOOKS)


def test_what_was_not_learned_is_no_reference():
    rng = np.random.default_rng(3)
    hot = SHAPE.copy()
    hot[7] += SHAPE.sum()
    one = Watched()
    for _ in range(5):
        one.learn(sample(rng))
    totals = []
    for _ in range(5):
        finding = one.look(sample(rng, shape=hot))
        assert finding is not None
        totals.append(finding.total)
    assert min(totals) > 20
    after = one.look(sample(rng))
    assert after is not None
    assert after.total < 3


def test_few_totals_are_beyond_a_limit_that_chance_should_pass_once_in_a_thousand():
    rng = np.random.default_rng(4)
    totals = []
    for _ in range(300):
        one = Watched(pool=sample(rng, 100))
        for _ in range(6):
            report = sample(rng)
            finding = one.look(report)
            assert finding is not None
            totals.append(finding.total)
            one.learn(report)
    assert np.mean(np.array(totals) > 3.09) < 0.002
    assert np.max(totals) > 2


@pytest.mark.parametrize("bunch", [1, 9])
def test_fills_that_come_in_bunches_are_usual_after_some_runs(bunch):
    rng = np.random.default_rng(5)

    def report(times):
        return Sample(bunch * rng.poisson(times * SHAPE / bunch).astype(float), SIZES)

    nulls, largest = [], []
    for _ in range(12):
        one = Watched(report(100), Null.of(nulls) if len(nulls) >= 3 else None)
        for _ in range(12):
            data = report(20)
            finding = one.look(data)
            assert finding is not None
            largest.append(finding.total)
            one.learn(data)
        nulls.append(monitor.summary(one.seen))
    assert max(largest[72:]) < 4.5
    if bunch > 1:
        assert max(largest[:12]) > 4.5


def test_the_null_is_no_narrower_than_chance():
    quiet = [np.full((len(LOOKS), len(SCORES) + 1), -2.0) + 0.01 * number for number in range(20)]
    made = Null.of_reports(quiet)
    assert (made.location == 0).all()
    assert (made.scale == 1).all()
    np.testing.assert_array_equal(Null.of([monitor.summary(quiet)] * 5).scale, made.scale)


def test_a_run_that_was_wrong_does_not_make_the_null_wide():
    rng = np.random.default_rng(6)
    good = [monitor.summary([rng.normal(size=(len(LOOKS), len(SCORES) + 1)) for _ in range(12)]) for _ in range(6)]
    bad = monitor.summary([rng.normal(80, 10, size=(len(LOOKS), len(SCORES) + 1)) for _ in range(12)])
    assert Null.of([*good, bad]).location.max() < 0.6
    assert Null.of([*good, bad]).scale.max() < 1.6


def reason(data, reference):
    one, report = Watched(pool=Sample(np.asarray(reference, dtype=float), SIZES)), Sample(np.asarray(data), SIZES)
    finding = one.look(report)
    assert finding is not None
    return SCORES[finding.worst[1]], why(finding, one.pair(finding, report), AXES, [7, 8])


def test_reasons_are_told_in_the_words_of_the_axis():
    flat, data = np.full(22, 1000.0), np.full(22, 100.0)
    data[3] = 400
    score, text = reason(data, flat)
    assert score == "bin"
    assert text.startswith("energy [GeV] 1 to 1.5: 400 counts where 114 are expected (beside 2 runs, 7 to 8; ")
    data[3] = 100
    data[10:14] = 40
    score, text = reason(data, flat)
    assert score == "window"
    assert text.startswith("energy [GeV] 4.5 to 6.5: 160 counts where 356 are expected")
    score, text = reason(np.linspace(90, 110, 22), flat)
    assert score == "shift"
    assert text.startswith("moved to larger energy [GeV]: a mean of 5.1")


def test_places_name_flow_bins_and_labels():
    labelled = Axis(np.arange(4.0), title="", labels={2: "edge"})
    assert place((AXES[0], labelled), 0 + 22 * 2) == "energy [GeV] below 0, y edge"
    assert place((AXES[0],), 21) == "energy [GeV] from 10 on"
