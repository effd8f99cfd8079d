"""The simulated detector has the histograms and bins of Run 2, and fewer of both at smaller scales."""

from collections import Counter

import numpy as np
import pytest

from ingest.simulator.detector import COMPONENTS, EVENTS, component, plans

USED = {
    "EMC": ["EMCTRQA_histFastORL0", "EMCTRQA_histFastORL0LargeAmp", "EMCTRQA_histAmpEdgePosEMCGAHOffline",
            "EMCTRQA_histMaxEdgePosEMCGAHOffline", "EMCTRQA_histEMCalMedianVsDCalMedianOffline"],
    "TPC": ["TPCQA/h_tpc_clust_0_1_2", "TPCQA/h_tpc_event_recvertex_2", "TPCQA/h_tpc_track_pos_recvertex_3_5_6"],
    "HLT": ["fHistClusterChargeMax", "fHistClusterChargeTot", "fHistTPCTrackPt", "fHistTPCClusterFlags"],
}  # fmt: skip


def test_the_whole_emc_has_264_histograms_of_785826_bins_and_a_counter():
    counter, *others = plans("EMC", 1)
    assert counter.name == "EMCTRQA_histEvents"
    assert len(others) == 264
    assert sum(plan.bins for plan in others) == 785_826
    dims = Counter("profile" if plan.class_name == "TProfile" else plan.class_name[:3] for plan in others)
    assert dims == {"TH1": 145, "TH2": 116, "profile": 3}
    fastor = [plan for plan in others if "FastOR" in plan.name and len(plan.axes) == 1]
    assert [plan.bins for plan in fastor] == [5000] * 8


def test_the_whole_tpc_has_26_histograms_of_2205275_bins():
    whole = plans("TPC", 1)
    assert len(whole) == 26
    assert sum(plan.bins for plan in whole) == 2_205_275
    assert max(plan.bins for plan in whole) == 259_200
    bins = {plan.name: [len(axis) for axis in plan.axes] for plan in whole}
    assert bins["TPCQA/h_tpc_track_pos_recvertex_3_5_6"] == [30, 30, 144]
    assert bins["TPCQA/h_tpc_track_all_recvertex_0_5_7"] == [160, 30, 50]


def test_the_whole_hlt_has_38_histograms_of_a_third_of_a_million_bins_and_a_counter():
    counter, *others = plans("HLT", 1)
    assert counter.name == "fHistEvents"
    assert len(others) == 38
    assert sum(plan.bins for plan in others) == pytest.approx(332_500, rel=0.02)


@pytest.mark.parametrize("subsystem", COMPONENTS)
def test_names_are_different_and_the_watched_ones_are_there_at_every_scale(subsystem):
    for scale in (0.001, 0.1, 1.0):
        names = [plan.name for plan in plans(subsystem, scale)]
        assert len(set(names)) == len(names)
        assert {*USED[subsystem], EVENTS[subsystem]} <= set(names)


@pytest.mark.parametrize("subsystem", COMPONENTS)
def test_a_smaller_detector_has_some_histograms_of_the_larger_from_the_same_components(subsystem):
    sizes, before = [], []
    for scale in (0.001, 0.01, 0.1, 0.5, 1.0):
        hung = plans(subsystem, scale)
        names = [plan.name for plan in hung]
        assert names[: len(before)] == before  # so that each has the component it had
        before = names
        sizes.append(sum(plan.bins for plan in hung))
    assert sizes == sorted(sizes)
    assert {component(subsystem, i) for i in range(len(before))} == set(range(COMPONENTS[subsystem]))


def test_scale_is_about_the_share_of_all_bins():
    bins = {scale: sum(plan.bins for name in COMPONENTS for plan in plans(name, scale)) for scale in (0.1, 0.3, 1)}
    assert 0.03 < bins[0.1] / bins[1] < 0.15
    assert 0.2 < bins[0.3] / bins[1] < 0.45


@pytest.mark.parametrize("scale", [0.001, 0.1, 0.4])
@pytest.mark.parametrize("subsystem", COMPONENTS)
def test_coarser_axes_cover_the_range_and_keep_what_has_a_meaning(subsystem, scale):
    whole = {plan.name: plan for plan in plans(subsystem, 1)}
    for plan in plans(subsystem, scale):
        for axis, full in zip(plan.axes, whole[plan.name].axes, strict=True):
            assert axis.edges[0] == full.edges[0]
            assert axis.edges[-1] >= full.edges[-1] * (1 - 1e-12)
            assert axis.edges[-2] < full.edges[-1]
            assert len(axis) >= min(10, len(full))
            assert axis.labels == full.labels


@pytest.mark.parametrize("subsystem", COMPONENTS)
def test_every_histogram_is_filled_at_its_rate_in_range(subsystem):
    for plan in plans(subsystem, 0.1):
        assert plan.density.min() >= 0
        assert plan.density.sum() == pytest.approx(plan.rate)
        inner = (slice(None), *(slice(1, -1),) * len(plan.axes))
        assert plan.density[inner].sum() > 0.5 * plan.rate, plan.name
        assert np.count_nonzero(plan.density[inner]) > 0
