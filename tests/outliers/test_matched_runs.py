"""Runs with other labels or an axis that ROOT extended are compared with each other, and what is wrong is found."""

from itertools import chain

import numpy as np
import pytest

from owtrend.compute import compute
from owtrend.model.axis import Axis
from tests.builders import archive_of, filled, labelled, snapshots

RATE = {"A": 100, "B": 400, "C": 50, "D": 200}
ROWS = 6


def labels_in_another_order(run, rng, faulty):
    order = rng.permutation(list(RATE)).tolist()
    rate = RATE | ({"B": 1600} if faulty else {})
    counts = np.cumsum([rng.poisson([rate[label] for label in order]) for _ in range(ROWS)], axis=0)
    return [filled([labelled(order)], np.repeat(np.arange(4) + 0.5, row)) for row in counts]


def axis_that_root_extended(run, rng, faulty):
    fills = rng.uniform(0, 95, 1000 * ROWS)
    rows = []
    for row in range(1, ROWS + 1):
        x = fills[: 1000 * row]
        x = x[(x < 20) | (x > 40)] if faulty else x
        extended = run % 2 and row > run % ROWS
        rows.append(filled([Axis.spaced(10, 0, 200 if extended else 100)], [*x, 150.0] if extended else x))
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("history", [labels_in_another_order, axis_that_root_extended])
def test_only_the_faulty_run_has_findings(history):
    rng = np.random.default_rng(1)
    runs = [history(run, rng, faulty=run == 5) for run in range(6)]
    rows = [snapshots({"h": one}, 300000 + n, minutes=range(60 * n, 60 * n + ROWS)) for n, one in enumerate(runs)]
    archive = archive_of(*chain(*rows))
    compute.compute(archive.location, workers=0)
    found = archive.latest().findings()
    assert set(found["run"]) == {300005}
    assert not found["certain"].any()
    where = ("x B:", "x D:") if history is labels_in_another_order else "x 20 to 40:"
    assert all(why.startswith(where) and "compared with 5 runs" in why for why in found["why"])
