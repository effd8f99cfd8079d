"""Runs with other labels or an axis that ROOT extended, side by side in one session."""

import numpy as np
import pytest

from dashboards.state import slices
from dashboards.state.reference import compared, slice_reference
from dashboards.state.session import Session
from owtrend.model.axis import Axis
from tests.builders import archive_of, histogram, labelled, snapshots, table


def of_runs(*histograms):
    return archive_of(*(one for run, each in enumerate(histograms) for one in snapshots({"h": [each]}, run)))


@pytest.mark.slow
def test_a_change_within_a_run_is_a_note():
    rows = [histogram([0, n, 0, 0], axes=[Axis.spaced(2, 0, 2 if n < 3 else 4)]) for n in range(1, 5)]
    session = Session(archive_of(*snapshots({"h": rows})))
    assert session.notes == ["h in run 300000, 2018-06-01 12:02:00 UTC: x goes from 0 to 4, before from 0 to 2."]


@pytest.mark.slow
@pytest.mark.parametrize("run", [0, 1, 2])
def test_runs_whose_axes_root_extended_are_drawn_in_common_bins(run):
    archive = of_runs(
        histogram([0, 1, 2, 3, 4, 0]),
        histogram([0, 3, 7, 1, 1, 0], axes=[Axis.spaced(4, 0, 8)]),
        histogram([0, 1, 2, 3, 0]),  # other bins
    )
    session = Session(archive, run=run, others=",".join(str(other) for other in range(3) if other != run))
    for made in (slices.whole_runs(session), slices.time_slices(session)):
        each = {**made.others, run: made.shown}
        contents = {number: one["contents"].values.tolist() for number, one in each.items()}
        alone = run == 2
        assert contents == {0: [1, 2, 3, 4] if alone else [3, 7, 0, 0], 1: [3, 7, 1, 1], 2: [1, 2, 3]}
        assert each[1]["x_right"].values.tolist() == [2, 4, 6, 8]
        assert made.content["contents"].values.tolist() == {0: [1, 2, 3, 4], 1: [3, 7, 1, 1], 2: [1, 2, 3]}[run]


@pytest.mark.slow
def test_pulls_are_by_label():
    run = archive_of(*snapshots({"h": [histogram([0, 400, 50, 100, 0], axes=[labelled("BCA")])]}))
    cumulative = run.histogram("EMC", "h", run=300000)
    known = slice_reference(run, cumulative)
    other = table([[10, 40, 5, 45]], labels="ABCD", flow=False).isel(time=0)
    (shown,) = (slices.whole_runs(Session(run)).shown,)
    found = compared(shown, shown, type(known)(other, "run 7", False, cumulative), "", {})
    assert found.words == "against run 7"
    assert found.shown["x_label"].values.tolist() == ["B", "C", "A", "D"]
    expected = found.shown["expected"].values
    np.testing.assert_allclose(expected / expected[1], [8, 1, 2, 9])
