"""Simulated reports straight into the scores of histograms."""

import numpy as np
import pytest

from benchmarks.studies import scatter
from ingest.simulator.conditions import CONDITIONS
from ingest.simulator.detector import histograms


@pytest.mark.study  # scores on whole archives are tested every time
@pytest.mark.parametrize("conditions", CONDITIONS)
def test_good_runs_have_hardly_any_findings_and_a_hot_channel_has(conditions):
    one = scatter.outcome(40, conditions, runs=6, scale=0.003, kinds=["hot_channel", "dead_region"])
    assert one.reports > 1000
    assert len(one.findings) <= 2
    assert [trial.delay for trial in one.trials if trial.fault.kind == "hot_channel"] == [1]
    assert "| hot_channel | 1/1 " in scatter.by_kind({conditions: [one]})
    assert scatter.overview({conditions: [one]}).splitlines()[-1].startswith(f"| {conditions} | 1 | {one.reports} |")


def test_fills_are_counted_as_the_pass_reads_them():
    by_class = {one.class_name: one for name in ("EMC", "HLT") for one in histograms(name, 0.003)}
    profile = by_class["TProfile"]
    fills = np.random.default_rng(1).poisson(3, profile.density.shape)
    counts = scatter.fills_as_counts(profile, fills)
    values = np.array(profile.values)[:, None]
    np.testing.assert_array_equal(counts.counts, fills.sum(axis=0))
    assert counts.moments is not None
    np.testing.assert_array_equal(counts.moments[1], (values * fills).sum(axis=0))
    np.testing.assert_array_equal(counts.moments[2], (values**2 * fills).sum(axis=0))
