"""Rates of components that report at times of their own: steps are found, jitter is not."""

import numpy as np
import pytest

from owtrend.kernels.components.rate_deviation import RateSeries, deviations
from tests.studies import cases, sizes

SPACING = 60.0


def scored(reports, ratios, ratio_error):
    """`deviations` of the times, counts and blur of all reports of some components."""
    series = [
        RateSeries(at, counts, blur, blur > 1.5 * SPACING, at + 900, np.full(len(at), ratio_error))
        for at, counts, blur in zip(*reports, strict=True)
    ]
    return deviations(series, ratios, [0] * len(series))


def reports(rng, components=5, minutes=80, steps=None, rate=100.0):
    """Times of the snapshots in which each component's reports came, and its counts up to them."""
    at, counted, blur = [], [], []
    for number in range(components):
        when = np.cumsum(rng.normal(300, 42, minutes // 4)) - 300 * rng.random()
        when = when[(when > 0) & (when < 60 * minutes)]
        seen = np.ceil(when / SPACING) * SPACING
        total = rate * (number + 1) * when
        if steps and number in steps:
            start, size = steps[number]
            total = total + size * rate * (number + 1) * np.maximum(when - start, 0)
        at.append(seen - SPACING / 2)
        counted.append(np.cumsum(rng.poisson(np.diff(total, prepend=0))))
        blur.append(np.full(len(when), SPACING))
    return at, [counts.astype(float) for counts in counted], blur


def log_ratios(components=5):
    rates = np.log(np.arange(1.0, components + 1))
    return rates[:, None] - rates[None, :]


@pytest.mark.slow
@pytest.mark.parametrize("known", cases([True, False], [True]))
def test_jitter_alone_is_not_significant(known):
    rng = np.random.default_rng(1)
    expected = log_ratios() if known else np.full((5, 5), np.nan)
    found = [np.nanmax(z) for _ in range(50) for z in scored(reports(rng), expected, 0.015)[0]]
    assert np.mean(np.array(found) > 3.7) < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("size", [0.25, -0.25])
@pytest.mark.parametrize("trials", sizes(5, 20))
def test_a_step_is_found_within_five_reports_in_the_component_that_has_it(known, size, trials):
    rng = np.random.default_rng(2)
    expected = log_ratios() if known else np.full((5, 5), np.nan)
    soon = 0
    for _ in range(trials):
        at, counted, blur = reports(rng, steps={2: (1500.0, size)})
        z, sizes, pool = scored((at, counted, blur), expected, 0.015)
        first = int(np.argmax(z[2] > 3.7))
        assert z[2][first] > 3.7
        soon += first < np.searchsorted(at[2], 1500) + 5
        assert np.sign(sizes[2][first]) == np.sign(size)
        assert known or not pool[2].any()
        assert all((np.nan_to_num(z[n]) < 3.7).all() for n in (0, 1, 3, 4))
    assert soon >= trials - (1 if known else max(1, 3 * trials // 20))


def test_a_deviation_from_the_beginning_is_seen_only_against_other_runs():
    at, counted, blur = reports(np.random.default_rng(3), steps={1: (0.0, 0.4)})
    against_runs, sizes, pool = scored((at, counted, blur), log_ratios(), 0.015)
    alone, _, _ = scored((at, counted, blur), np.full((5, 5), np.nan), 0.0)
    assert np.nanmax(against_runs[1]) > 20
    assert pool[1][np.nanargmax(against_runs[1])]
    assert np.nanmax(sizes[1]) == pytest.approx(0.4, abs=0.25)
    assert np.nanmax(alone[1]) < 3.7


def test_a_report_after_missing_snapshots_may_be_much_older():
    at, counted, blur = reports(np.random.default_rng(4))
    late = int(np.argmax(at[0] > 2000))
    at[0][late] += 240  # it was sent four snapshots before the one that came
    shown, _, _ = scored((at, counted, blur), log_ratios(), 0.015)
    blur[0][late] = 300
    at[0][late] -= 120  # the middle of what is possible
    known, _, _ = scored((at, counted, blur), log_ratios(), 0.015)
    assert np.nanmax(shown[0]) > 3.7
    assert np.nanmax(known[0]) < 3.7


def test_two_components_cannot_tell_which_of_them_is_off():
    at, counted, blur = reports(np.random.default_rng(5), components=2, steps={1: (1500.0, 1.0)})
    z, _, _ = scored((at, counted, blur), log_ratios(2), 0.015)
    assert np.isnan(np.concatenate(z)).all()


def test_a_report_is_final_when_the_others_have_reported_or_its_deadline_is_over():
    at, counted, blur = reports(np.random.default_rng(6), steps={2: (1500.0, 0.3)})
    whole = scored((at, counted, blur), log_ratios(), 0.015)[0]
    for end in (1200.0, 2400.0, 3600.0):
        until = [int(np.searchsorted(times, end, side="right")) for times in at]
        cut = [[values[:count] for values, count in zip(part, until, strict=True)] for part in (at, counted, blur)]
        before = scored(cut, log_ratios(), 0.015)[0]
        final = min(times[-1] for times in cut[0])
        for now, then, times in zip(whole, before, cut[0], strict=True):
            settled = times <= final
            np.testing.assert_array_equal(then[settled], now[: len(times)][settled])
            assert settled.sum() > 2
