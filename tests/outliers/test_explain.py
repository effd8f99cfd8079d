"""Reasons: one sentence on the score that says most."""

import math

import numpy as np

from owtrend.model.axis import Axis
from owtrend.model.finding import BinRange
from owtrend.outliers import explain
from owtrend.outliers.explain import reason
from owtrend.outliers.monitor import SCORES, Counts, HistogramMonitor
from tests.builders import independent_fills

AXES = (Axis.spaced(20, 0, 10, "energy [GeV]"),)


def found(data, reference):
    """Score and reason of a report compared with runs 7 and 8."""
    sizes = np.array([22], dtype=np.int64)
    monitor = HistogramMonitor(Counts(np.asarray(reference, dtype=float), sizes), independent_fills())
    report = Counts(np.asarray(data, dtype=float), sizes)
    scores = monitor.test(report)
    assert scores is not None
    return SCORES[scores.worst[1]], reason(scores, monitor.compared(scores, report), AXES, [7, 8])


def test_reasons_name_bins_by_their_axis():
    flat, data = np.full(22, 1000.0), np.full(22, 100.0)
    data[3] = 400
    score, why = found(data, flat)
    assert score == "bin"
    assert why.words.startswith(
        "energy [GeV] 1 to 1.5: 400 counts where 114 are expected (compared with 2 runs, 7 to 8; "
    )
    assert (why.bins, why.side) == ((BinRange("x", 3, 3, 1.0, 1.5),), 1)
    data[3] = 100
    data[9:13] = 40
    score, why = found(data, flat)
    assert score == "window"
    assert why.words.startswith("energy [GeV] 4 to 6: 160 counts where 356 are expected")
    assert (why.bins, why.side) == ((BinRange("x", 9, 12, 4.0, 6.0),), -1)
    score, why = found(np.linspace(90, 110, 22), flat)
    assert score == "shift"
    assert why.words.startswith("shifted to larger energy [GeV]: a mean of 5.1")
    assert (why.bins, why.side) == ((BinRange("x", 0, 21, -math.inf, math.inf),), 1)


def test_every_score_has_its_words():
    assert {score.value for score in explain._REASONS} == set(SCORES)
