import numpy as np
import pytest

import owtrend
from dashboards.pages import text
from dashboards.pages.controls import Controls
from dashboards.pages.histogram import HistogramPage
from dashboards.state.session import Session
from owtrend.model.axis import Axis
from tests.builders import archive_of, histogram, snapshot

NAMES = (
    "EMCTRQA_histEvents", "EMCTRQA_histFastORL0Amp_SM3", "EMCTRQA_histFastORL0Amp_SM4", "EMCTRQA_histAmpEdgePosEMCL0",
    "EMCTRQA_histFastORL0Amp", "EMCTRQA_histEMCalPatchAmpEMCBKG",
)  # fmt: skip
TRACKS = "TPCQA/h_tpc_track_pos_recvertex_0_5_7"


@pytest.fixture(scope="module")
def controls():
    rows = []
    for minute in (1, 2):
        channels = histogram([0, 0, 2 * minute, 0, 0], NAMES[4])
        rows.append(
            snapshot(minute, channels, *(histogram([0, 2 * minute, 0], name) for name in NAMES if name != NAMES[4]))
        )
        axes = [Axis.spaced(16, 0, 160), Axis.spaced(2, -1.5, 1.5), Axis(np.array([0.01, 0.45, 20.0]), regular=False)]
        rows.append(snapshot(minute, histogram(minute * np.ones((18, 4, 4)), TRACKS, axes), subsystem="TPC"))
        rows.append(snapshot(minute, histogram([0, minute, 0], "fHistVZERO_SPDClusters"), subsystem="HLT"))
    return Controls(Session(archive_of(*rows)))


@pytest.fixture(autouse=True)
def emc(controls):
    controls.search.value_input = ""
    controls.session.choose(subsystem="EMC", histogram=NAMES[0])


def test_the_list_has_the_groups_and_titles_of_the_plug_in(controls):
    assert list(controls.group.options) == [
        "All",
        "FastOR L0 amplitude",
        "L0 trigger",
        "Background",
        "FastOR",
        "Other EMC",
    ]
    assert controls.histogram.options == {
        "SM 3": NAMES[1],
        "SM 4": NAMES[2],
        "AmpEdgePosEMCL0": NAMES[3],
        "EMCalPatchAmpEMCBKG": NAMES[5],
        "FastORL0Amp": NAMES[4],
        "Events": NAMES[0],
    }
    controls.group.value = "FastOR L0 amplitude"
    assert [*controls.histogram.options.values()] == [NAMES[1], NAMES[2], NAMES[0]]  # and the chosen one
    controls.session.choose(subsystem="TPC", histogram=None)
    assert controls.group.value == ""


def test_a_search_finds_titles_and_groups(controls):
    controls.search.value_input = "sm amplitude 4"
    assert [*controls.histogram.options] == ["SM 4", "Events"]


def test_a_derived_histogram_is_chosen_like_any_other(controls):
    session = controls.session
    session.choose(subsystem="TPC", histogram="Eta_postracks")
    assert session.notes == []
    assert controls.histogram.value == "Eta_postracks"
    assert session.loaded.cumulative["contents"].values.tolist() == [[9, 9], [18, 18]]  # 9 of 16 bins of clusters
    assert (session.view.reductor, session.loaded.trend["value"].values[-1]) == ("mean_y", 0.0)
    assert text.why(session).startswith(f"<p>Made of {TRACKS} onto y, x=70:160, z=0.01:0.45")


def test_a_hosted_subsystem_can_be_chosen(controls):
    session = controls.session
    assert session.subsystems == ["EMC", "HLT", "TPC", "V0"]
    session.choose(subsystem="V0", histogram=None)
    assert (session.view.histogram, session.notes) == ("fHistVZERO_SPDClusters", [])
    assert session.loaded.trend["value"].values.tolist() == [0.5, 0.5]


def test_options_are_typed_and_kept_in_the_address(controls):
    session = controls.session
    assert not controls.options.visible
    session.choose(histogram=NAMES[4])
    assert controls.options.visible
    assert controls.options.placeholder == "scale_events=yes, hot_channel_threshold=0"
    whole = owtrend.time_slice(session.loaded.cumulative)
    assert text.hot_channels(session, whole) == "<p>No hot channels above 10000 per event.</p>"
    controls.options.value = "hot_channel_threshold=0.50, scale_events=yes"
    assert session.view.options == "hot_channel_threshold=0.5"
    assert "options=hot_channel_threshold=0.5" in session.view.address.replace("%3D", "=")
    assert "<b>1</b> (1, supermodule 0, TRU 0, FastOR 1 (column 0, row 1))" in text.hot_channels(session, whole)
    controls.options.value = "hot_channel_threshold=many"
    assert "expected a number from 0" in session.complaints["options"]
    assert session.view.options == "hot_channel_threshold=0.5"
    session.choose(subsystem="HLT", histogram=None)
    assert session.view.options == ""


def test_an_address_with_options_that_mean_nothing_has_the_defaults(controls):
    session = Session.from_address(controls.session.archive, {"subsystem": "EMC", "options": "scale=no,flag"})
    assert (session.view.options, session.complaints) == ("", {"options": "'flag': expected name=value"})


def test_contents_are_logarithmic_where_the_plug_in_says_so_until_a_user_chooses(controls):
    session = Session(controls.session.archive, subsystem="EMC")
    session.choose(histogram=NAMES[5])
    assert (session.view.log, "log=1" in session.view.address) == (True, True)
    session.choose(histogram=NAMES[0])
    assert not session.view.log
    session.choose(histogram=NAMES[5], log=False)
    assert "log=0" in session.view.address
    again = Session.from_address(session.archive, {"subsystem": "EMC", "histogram": NAMES[5], "log": "0"})
    assert not again.view.log
    assert Session.from_address(session.archive, {"subsystem": "EMC", "histogram": NAMES[5]}).view.log


def test_contents_are_per_event_of_the_slice_unless_the_option_is_off(controls):
    page = HistogramPage(controls.session)
    controls.session.choose(histogram=NAMES[4])
    late = owtrend.time_slice(controls.session.loaded.cumulative, "12:01")
    assert page._events(late) == 2  # of 4 in the run
    controls.session.choose(options="scale_events=no")
    assert page._events(late) is None
    controls.session.choose(options="", histogram=NAMES[0])
    assert page._events(late) is None
