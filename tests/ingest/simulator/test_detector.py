"""The simulated detector has the histograms and bins of Run 2, and fewer of both at smaller scales."""

from collections import Counter

import numpy as np
import pytest

from ingest.simulator.detector import COMPONENTS, EVENTS, component, histograms

USED = {
    "EMC": ["EMCTRQA_histFastORL0", "EMCTRQA_histFastORL0LargeAmp", "EMCTRQA_histAmpEdgePosEMCGAHOffline",
            "EMCTRQA_histMaxEdgePosEMCGAHOffline", "EMCTRQA_histEMCalMedianVsDCalMedianOffline"],
    "TPC": ["TPCQA/h_tpc_clust_0_1_2", "TPCQA/h_tpc_event_recvertex_2", "TPCQA/h_tpc_track_pos_recvertex_3_5_6"],
    "HLT": ["fHistClusterChargeMax", "fHistClusterChargeTot", "fHistTPCTrackPt", "fHistTPCClusterFlags"],
}  # fmt: skip


def test_the_whole_emc_has_264_histograms_of_785826_bins_and_a_counter():
    counter, *others = histograms("EMC", 1)
    assert counter.name == "EMCTRQA_histEvents"
    assert len(others) == 264
    assert sum(histogram.bins for histogram in others) == 785_826
    dims = Counter(
        "profile" if histogram.class_name == "TProfile" else histogram.class_name[:3] for histogram in others
    )
    assert dims == {"TH1": 145, "TH2": 116, "profile": 3}
    fastor = [histogram for histogram in others if "FastOR" in histogram.name and len(histogram.axes) == 1]
    assert [histogram.bins for histogram in fastor] == [5000] * 8


def test_the_whole_tpc_has_26_histograms_of_2205275_bins():
    whole = histograms("TPC", 1)
    assert len(whole) == 26
    assert sum(histogram.bins for histogram in whole) == 2_205_275
    assert max(histogram.bins for histogram in whole) == 259_200
    bins = {histogram.name: [len(axis) for axis in histogram.axes] for histogram in whole}
    assert bins["TPCQA/h_tpc_track_pos_recvertex_3_5_6"] == [30, 30, 144]
    assert bins["TPCQA/h_tpc_track_all_recvertex_0_5_7"] == [160, 30, 50]


def test_the_whole_hlt_has_38_histograms_of_a_third_of_a_million_bins_and_a_counter():
    counter, *others = histograms("HLT", 1)
    assert counter.name == "fHistEvents"
    assert len(others) == 38
    assert sum(histogram.bins for histogram in others) == pytest.approx(332_500, rel=0.02)


@pytest.mark.parametrize("subsystem", COMPONENTS)
def test_names_are_different_and_the_watched_ones_are_there_at_every_scale(subsystem):
    for scale in (0.001, 0.1, 1.0):
        names = [histogram.name for histogram in histograms(subsystem, scale)]
        assert len(set(names)) == len(names)
        assert {*USED[subsystem], EVENTS[subsystem]} <= set(names)


@pytest.mark.parametrize("subsystem", COMPONENTS)
def test_a_smaller_detector_has_some_histograms_of_the_larger_from_the_same_components(subsystem):
    sizes, before = [], []
    for scale in (0.001, 0.01, 0.1, 0.5, 1.0):
        all_histograms = histograms(subsystem, scale)
        names = [histogram.name for histogram in all_histograms]
        assert names[: len(before)] == before  # so each keeps its component
        before = names
        sizes.append(sum(histogram.bins for histogram in all_histograms))
    assert sizes == sorted(sizes)
    assert {component(subsystem, i) for i in range(len(before))} == set(range(COMPONENTS[subsystem]))


def test_scale_is_about_the_fraction_of_all_bins():
    bins = {
        scale: sum(histogram.bins for name in COMPONENTS for histogram in histograms(name, scale))
        for scale in (0.1, 0.3, 1)
    }
    assert 0.03 < bins[0.1] / bins[1] < 0.15
    assert 0.2 < bins[0.3] / bins[1] < 0.45


@pytest.mark.parametrize("scale", [0.001, 0.1, 0.4])
@pytest.mark.parametrize("subsystem", COMPONENTS)
def test_coarser_axes_cover_the_range_and_keep_labels(subsystem, scale):
    whole = {histogram.name: histogram for histogram in histograms(subsystem, 1)}
    for histogram in histograms(subsystem, scale):
        for axis, full in zip(histogram.axes, whole[histogram.name].axes, strict=True):
            assert axis.edges[0] == full.edges[0]
            assert axis.edges[-1] >= full.edges[-1] * (1 - 1e-12)
            assert axis.edges[-2] < full.edges[-1]
            assert len(axis) >= min(10, len(full))
            assert axis.labels == full.labels


@pytest.mark.parametrize("subsystem", COMPONENTS)
def test_every_histogram_is_filled_at_its_rate_in_range(subsystem):
    for histogram in histograms(subsystem, 0.1):
        assert histogram.density.min() >= 0
        assert histogram.density.sum() == pytest.approx(histogram.rate)
        inner = (slice(None), *(slice(1, -1),) * len(histogram.axes))
        assert histogram.density[inner].sum() > 0.5 * histogram.rate, histogram.name
        assert np.count_nonzero(histogram.density[inner]) > 0
