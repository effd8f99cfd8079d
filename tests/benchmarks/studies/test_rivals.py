"""The baselines: their formulas by hand and by SciPy, and their findings in an archive of two histograms."""

import json
from itertools import count

import numpy as np
import pytest
from scipy import stats

from benchmarks.studies import rivals
from tests import oracles
from tests.builders import MINUTE, START, append, snapshots

GOOD, BAD = (300000, 300001), 300002
ROWS, HOT = 8, 4


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three runs of ``flat`` and ``steady``; in the last, one bin of ``flat`` gets hot from the fifth report on."""
    folder = tmp_path_factory.mktemp("rivals")
    rng = np.random.default_rng(1)
    for number, run in enumerate((*GOOD, BAD)):
        increments = rng.poisson(1000.0, (2, ROWS, 20))
        if run == BAD:
            increments[0, HOT:, 7] += 4000
        flow = np.pad(increments.cumsum(axis=1), ((0, 0), (0, 0), (1, 1)))
        rows = {"flat": flow[0], "steady": flow[1]}
        append(folder / "store", snapshots(rows, run, minutes=count(60 * number)))
    fault = {"run": BAD, "subsystem": "EMC", "histograms": ["flat"]}
    gap = {"run": GOOD[0], "subsystem": "EMC", "histograms": []}
    (folder / "truth.json").write_text(json.dumps({"runs": [*GOOD, BAD], "faults": [fault, gap]}))
    return folder / "store"


@pytest.mark.slow
def test_a_run_is_good_unless_a_fault_changed_its_histograms(store):
    assert rivals.good_runs(store) == {"EMC": list(GOOD)}


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        pytest.param(3, [1, 2], id="before"),
        pytest.param(9, [2, 4, 5, 6, 8], id="the-last-five-before"),
        pytest.param(1, [2, 4, 5, 6, 8], id="else-the-first-five-after"),
    ],
)
def test_references_are_the_last_good_runs(run, expected):
    assert rivals.references(run, [1, 2, 4, 5, 6, 8]) == expected


@pytest.mark.slow
def test_autodqm_by_report_flags_the_hot_bin_from_its_first_report_on(store):
    findings = rivals.autodqm_by_report(store)
    assert set(zip(findings["run"], findings["histogram"], strict=True)) == {(BAD, "flat")}
    first = START + 120 * MINUTE
    ends = [first + np.timedelta64(60 * row, "s") for row in range(HOT, ROWS)]
    assert findings["stop"].tolist() == ends
    assert findings["start"].tolist() == [end - np.timedelta64(60, "s") for end in ends]
    assert (findings["z"] > rivals.PULL_CUT).all()


@pytest.mark.slow
def test_a_lower_cut_flags_good_reports_too(store):
    findings = rivals.autodqm_by_report(store, pull_cut=0.5)
    assert len(findings) > ROWS - HOT
    assert findings["z"].min() < 5


@pytest.mark.slow
def test_autodqm_by_run_flags_the_run_at_its_end(store):
    findings = rivals.autodqm_by_run(store)
    assert findings[["run", "histogram"]].values.tolist() == [[BAD, "flat"]]
    first = START + 120 * MINUTE
    assert findings["raised"].tolist() == findings["stop"].tolist() == [first + np.timedelta64(60 * (ROWS - 1), "s")]
    assert findings["start"].tolist() == [first - np.timedelta64(60, "s")]


@pytest.mark.slow
def test_o2_flags_the_step_of_mean_and_rate_at_its_first_report(store):
    findings = rivals.o2_tpc(store)
    step = START + (120 + HOT) * MINUTE
    assert set(findings[findings["stop"] == step][["histogram", "score"]].itertuples(index=False, name=None)) >= {
        ("flat", "mean_x"),
        ("flat", "rate"),
    }
    assert not ((findings["run"] == BAD) & (findings["histogram"] == "flat") & (findings["stop"] < step)).any()


def test_several_references_are_averaged_by_their_relative_probabilities():
    rng = np.random.default_rng(2)
    references = rng.poisson(np.linspace(1, 60, 30), (3, 30)).astype(float)
    data = rng.poisson(np.linspace(2, 50, 30), (1, 30)).astype(float)
    pulls = np.array([oracles.beta_binomial_pull(data[0], reference, rivals.TOLERANCE) for reference in references])
    q = stats.chi2.sf(pulls**2, 1).mean(axis=0)
    squares = stats.chi2.isf(q, 1)
    used = np.count_nonzero(data[0] + references.sum(axis=0))
    alone = stats.chi2.sf(squares.max(), 1)
    expected = squares.sum() / used, np.sqrt(stats.chi2.isf(1 - (1 - alone) ** used, 1))
    chi2, pull = rivals.outlying(data, references)
    assert (chi2[0], pull[0]) == pytest.approx(expected, rel=1e-6)


def test_bins_that_are_empty_everywhere_do_not_lower_the_mean():
    data, reference = np.array([[30.0, 10.0]]), np.array([[20.0, 20.0]])
    wide = [np.pad(counts, ((0, 0), (0, 50))) for counts in (data, reference)]
    np.testing.assert_allclose(rivals.outlying(*wide), rivals.outlying(data, reference))


def test_empty_and_negative_rows_are_not_judged():
    chi2, pull = rivals.outlying(np.array([[0.0, 0.0], [-1.0, 5.0], [4.0, 5.0]]), np.array([[4.0, 5.0]]))
    assert np.isnan(chi2).tolist() == np.isnan(pull).tolist() == [True, True, False]
    assert (chi2[2], pull[2]) == pytest.approx((0, 0))


@pytest.mark.parametrize(
    ("value", "error", "points", "expected"),
    [
        pytest.param([10, 12, 11, 30], 0.0, 5, [np.nan, np.nan, np.nan, 19 * 3**0.5], id="error-of-the-mean"),
        pytest.param([99, 10, 12, 14], 0.0, 2, [np.nan, np.nan, -42.5 / 44.5, 3], id="last-points-only"),
        pytest.param([10, 12, 11, 30], 19.0, 5, [np.nan] * 4, id="the-points-own-error"),
        pytest.param([5, 5, 5, 6], 0.0, 5, [np.nan, np.nan, np.nan, np.inf], id="no-error-at-all"),
    ],
)
def test_trend_check_by_hand(value, error, points, expected):
    value = np.array(value, dtype=float)
    off = rivals.trend_check(value, np.full(len(value), error), points, -0.5, 2)
    np.testing.assert_allclose(off, expected)
