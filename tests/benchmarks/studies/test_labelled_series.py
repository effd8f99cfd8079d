"""Public series with labelled changes, and plain baselines; the tables are in docs/explanation/changepoints.md."""

import pytest

from benchmarks.studies.labelled_series import cover, f1, tcpd

pytestmark = pytest.mark.slow


def test_f1_and_covering_by_hand():
    assert f1([[50]], [53]) == 1
    assert f1([[50]], [60]) == 0.5
    assert f1([[50], []], []) == 2 * 0.75 / 1.75
    assert cover([[50]], [50], 100) == 1
    assert cover([[50]], [], 100) == 0.5


@pytest.mark.study
def test_segments_agree_with_annotators_better_than_with_the_plain_penalty(shared):
    mean = tcpd(shared / "tcpd").mean(numeric_only=True)
    assert mean["owtrend cover"] > mean["plain PELT, 2 log n cover"] + 0.1
    assert mean["owtrend cover"] > mean["none cover"] + 0.1
    assert mean["owtrend F1"] > mean["plain PELT, 2 log n F1"]
