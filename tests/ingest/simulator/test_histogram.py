"""Simulated histograms: coarser axes, and the parts and sums that ROOT keeps."""

import numpy as np
import pytest
import uproot

from ingest import SnapshotReader
from ingest.simulator.histogram import Binning, SimulatedHistogram, filled, labelled, regular, root_object


def histogram(class_name, axes, **more):
    def even(*centres):
        return 1 + 0 * sum(centres)

    return SimulatedHistogram("h", "title", class_name, "other", 100.0, tuple(axes), even, **more)


def read_back(path, model):
    with uproot.recreate(path) as file:
        file["h"] = model
    return SnapshotReader().read(path)["h"]


@pytest.mark.parametrize(
    ("axis", "fraction", "edges"),
    [
        pytest.param(regular("x", 48, 0, 48), 0.5, (24, 48), id="divisor"),
        pytest.param(regular("x", 105, 0, 105), 0.5, (53, 106), id="beyond-the-end-as-no-divisor-is-near"),
        pytest.param(regular("x", 12, 0, 12), 0.1, (12, 12), id="never-fewer-than-ten-if-it-has-no-divisor"),
        pytest.param(regular("x", 100, 0, 1), 0.001, (10, 1), id="ten-are-left"),
        pytest.param(regular("x", 10, 0, 1), 0.1, (10, 1), id="few-bins-stay"),
        pytest.param(labelled("x", *"abcdefghijklm"), 0.1, (13, 13), id="labels-stay"),
        pytest.param(Binning("x", np.geomspace(1, 100, 51)), 0.5, (25, 100), id="edges-of-the-old"),
        pytest.param(regular("x", 48, 0, 48), 1, (48, 48), id="the-whole"),
    ],
)
def test_a_coarser_axis_has_about_the_fraction_of_the_bins(axis, fraction, edges):
    coarser = axis.coarser(fraction)
    assert (len(coarser), coarser.edges[-1]) == (edges[0], pytest.approx(edges[1]))


def test_a_full_short_stops_counting_where_root_does(tmp_path):
    axes = [regular("x", 2, 0, 2), regular("y", 2, 0, 2)]
    counts = np.full((1, 4, 4), 40_000)
    stored = read_back(tmp_path / "h.root", root_object(filled(histogram("TH2S", axes), counts)))
    assert stored.class_name == "TH2S"
    assert (stored.values(flow=True) == 32767).all()
    assert stored.sums["entries"] == 16 * 40_000


@pytest.mark.parametrize("option", ["", "s", "i", "g"])
def test_a_profile_keeps_the_option_of_its_errors(tmp_path, option):
    profile = histogram("TProfile", [regular("x", 1, 0, 1)], values=(1.0, 3.0), option=option)
    stored = read_back(tmp_path / "h.root", root_object(filled(profile, np.array([[0, 5, 0], [0, 15, 0]]))))
    assert stored.error_option == option
    assert stored.values()[0] == 2.5  # 5 of 1 and 15 of 3
    assert stored.parts["sumwy2"][1] == 5 + 15 * 9


def test_weights_are_kept_with_their_squares(tmp_path):
    weighted = histogram("TH1F", [regular("x", 1, 0, 1)], values=(1.0, 3.0), sumw2=True)
    stored = read_back(tmp_path / "h.root", root_object(filled(weighted, np.array([[1, 5, 0], [0, 15, 0]]))))
    assert stored.values(flow=True).tolist() == [1, 50, 0]
    assert stored.variances(flow=True).tolist() == [1, 140, 0]
    assert (stored.sums["entries"], stored.sums["tsumw"], stored.sums["tsumwx"]) == (21, 50, 25)


def test_merged_bins_leave_flow_and_statistics_as_they_were(tmp_path):
    fine, counts = histogram("TH1D", [regular("x", 4, 0, 4)]), np.array([[9, 1, 2, 3, 4, 8]])
    before = read_back(tmp_path / "fine.root", root_object(filled(fine, counts)))
    after = read_back(tmp_path / "coarse.root", root_object(filled(fine, counts, merged=2)))
    assert after.values(flow=True).tolist() == [9, 3, 7, 8]
    assert after.axes[0].edges.tolist() == [0, 2, 4]
    assert after.sums == before.sums
