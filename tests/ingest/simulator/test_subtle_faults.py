"""Faults that are slow, short, or change no total."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from ingest.simulator.detector import COMPONENTS, histograms
from ingest.simulator.faults import drawn
from ingest.simulator.kinds import Fault
from ingest.simulator.subtle_faults import SUBTLE_FAULTS

SCALE = 0.01
START = datetime(2018, 6, 1, 12, tzinfo=UTC)
TIMES = {(1, name): tuple(START + timedelta(minutes=minute) for minute in range(61)) for name in COMPONENTS}
SAME_TOTAL = set(SUBTLE_FAULTS) - {"every_third_report", "burst", "growing_dead_region", "stuck"}


def one_of(kind: str) -> Fault:
    [fault] = drawn(np.random.default_rng(1), [kind], TIMES, SCALE)
    return fault


@pytest.mark.parametrize("kind", [kind for kind in SUBTLE_FAULTS if SUBTLE_FAULTS[kind].change])
def test_fills_change_and_none_is_negative(kind):
    fault = one_of(kind)
    [histogram] = [one for one in histograms(fault.subsystem, SCALE) if one.name == fault.histogram]
    change = SUBTLE_FAULTS[kind].change
    assert change is not None
    late = change(histogram, fault, 32 / ((fault.stop - fault.start).total_seconds() / 60))
    assert np.abs(late).sum() > 1e-4 * histogram.density.sum()
    assert (histogram.density + late).min() > -1e-9 * histogram.density.max()
    if kind in SAME_TOTAL:
        assert late.sum() == pytest.approx(0, abs=1e-6 * histogram.density.sum())
    else:
        assert (late.sum() > 0) == (kind != "growing_dead_region")


def test_a_drift_goes_on_from_report_to_report():
    fault = one_of("slow_drift")
    [histogram] = [one for one in histograms(fault.subsystem, SCALE) if one.name == fault.histogram]
    change, x = SUBTLE_FAULTS["slow_drift"].change, histogram.axes[0].centres[1:-1]
    assert change is not None

    def mean(progress):
        along = (histogram.density + change(histogram, fault, progress))[0, 1:-1]
        return np.average(x, weights=along)

    minutes = (fault.stop - fault.start).total_seconds() / 60
    low = histogram.axes[0].edges[0]
    assert mean(0.0) == pytest.approx(np.average(x, weights=histogram.density[0, 1:-1]))
    if low == 0:
        assert mean(10 / minutes) / mean(0.0) == pytest.approx(1 + 2 * fault.size, rel=0.3 * fault.size)


def test_a_bin_that_is_hot_in_every_third_report_is_so_for_five_of_fifteen_minutes():
    fault = one_of("every_third_report")
    [histogram] = [one for one in histograms(fault.subsystem, SCALE) if one.name == fault.histogram]
    change = SUBTLE_FAULTS["every_third_report"].change
    assert change is not None
    minutes = (fault.stop - fault.start).total_seconds() / 60
    hot = [bool(change(histogram, fault, minute / minutes).any()) for minute in (2, 7, 12, 17, 22, 27)]
    assert hot == [True, False, False, True, False, False]


def test_every_kind_says_what_it_does():
    assert all(one_of(kind).details for kind in SUBTLE_FAULTS)
