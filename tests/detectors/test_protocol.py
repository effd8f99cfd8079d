from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import owtrend
from owtrend.compute.compute import compute
from owtrend.detectors import (
    Detector,
    Display,
    Group,
    Host,
    Option,
    Overlay,
    Projection,
    Style,
    detector,
    plugins,
)
from owtrend.detectors.listing import derived_histograms
from owtrend.errors import NotFoundError, UsageError
from owtrend.model.finding import BinRange
from tests.builders import append, archive_of, histogram, snapshot

OPTIONS = Detector(
    "EMC",
    options=(
        Option("flag", True, ""), Option("count", 3, "", low=0, high=9), Option("share", 0.5, "", high=1),
        Option("side", "A", "", choices=("A", "C")),
    ),
)  # fmt: skip


def test_options_take_texts_of_their_type():
    given = {"flag": "no", "count": "7", "share": "1e-3", "side": "C"}
    assert OPTIONS.settings(given) == {"flag": False, "count": 7, "share": 0.001, "side": "C"}
    assert OPTIONS.settings() == {"flag": True, "count": 3, "share": 0.5, "side": "A"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"flag": "maybe"}, "expected yes or no"),
        ({"flag": 2}, "expected yes or no"),
        ({"count": "3.5"}, "expected a whole number from 0 to 9"),
        ({"count": 10}, "expected a whole number from 0 to 9"),
        ({"count": True}, "expected a whole number"),
        ({"share": "nan"}, "expected a number up to 1"),
        ({"share": "1e999"}, "expected a number up to 1"),
        ({"side": "B"}, "expected one of A, C"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_expected(given, words):
    with pytest.raises(UsageError, match=words):
        OPTIONS.settings(given)


def test_a_key_is_that_of_the_values_however_they_were_given():
    """Overwatch mixed up slices with different options: on, off, on gave the first result twice."""
    assert OPTIONS.key({"flag": "off", "count": "3"}) == OPTIONS.key({"flag": False}) == '{"flag": false}'
    assert OPTIONS.key({"flag": "yes"}) == OPTIONS.key() == ""
    assert OPTIONS.key({"share": 0.1}) != OPTIONS.key({"share": 0.2})


def test_histograms_are_in_the_first_group_that_fits_and_have_titles():
    emc = detector("EMC")
    names = {
        "EMCTRQA_histFEEvsTRU_SM3": ("FEE vs TRU", "SM 3"),
        "EMCTRQA_histFastORL0Amp_SM12": ("FastOR L0 amplitude", "SM 12"),
        "EMCTRQA_histFastORL0Amp": ("FastOR", "FastORL0Amp"),
        "EMCTRQA_histAmpEdgePosEMCGAHOffline": ("Gamma, high threshold", "AmpEdgePosEMCGAHOffline"),
        "EMCTRQA_hClusterM02": ("Clusters", "Long axis of clusters, M02"),
        "EMCTRQA_histEvents": ("Other EMC", "Events"),
        "somebody's": ("Other detectors", "somebody's"),
    }
    found = {name: (emc.group(name), emc.title(name)) for name in names}
    assert {name: (group.title, title) for name, (group, title) in found.items()} == names
    assert emc.display("EMCTRQA_histFEEvsTRU_SM3") == Display(
        log="z", x=(0, 250), y=(0, 20), draw="colz", per_event=True
    )
    assert len(emc.display("EMCTRQA_histAmpEdgePosEMCGAHOffline").lines) > 20
    assert detector("nobody's") == Detector("nobody's")


def test_sides_of_the_tpc_are_named_by_eta_and_phi():
    place = detector("TPC").place
    name = "TPCQA/h_tpc_track_pos_recvertex_3_5_6"
    where = [BinRange("y", 16, 16, 0.0, 0.1), BinRange("z", 1, 1, 4.2, 4.5)]
    assert place(name, where) == "side A, sector 12"
    assert place(name, [BinRange("y", 1, 15, -1.5, 0.0)]) == "side C"
    assert place("TPCQA/h_tpc_clust_0_1_2", [BinRange("z", 2, 2, 1.0, 2.0)]) == "side C"
    assert place("TPCQA/h_tpc_event_6", where) == ""


def test_derived_histograms_need_all_of_their_sources():
    made = Detector("X", derived=(Overlay("{}", ("a{}", "b{}")), Projection("px of {}", "{} map", "x")))
    names = ["a1", "b1", "a2", "b3", "the map"]
    found = derived_histograms(made, names)
    assert {name: one.sources for name, one in found.items()} == {"1": ("a1", "b1"), "px of the": ("the map",)}
    assert "1" not in derived_histograms(made, [*names, "1"])  # what is stored is not derived


@pytest.mark.parametrize("wrong", [{"groups": [Group("a", "*")]}, {"styles": ("*",)}, {"host": "HLT"}, {"name": 7}])
def test_what_is_no_declaration_is_refused(wrong):
    with pytest.raises(UsageError):
        Detector(**{"name": "X", **wrong})
    with pytest.raises(UsageError, match=r"expected \{name\} and \{number\} only"):
        Style("*", "{no}")


class Package:
    """A distribution that offers a plug-in."""

    def __init__(self, name):
        self.name = name


def offered(monkeypatch, *points):
    """Only these plug-ins: name, package, and what it is, or the error of its import."""

    class Point(EntryPoint):
        def load(self):
            found = next(what for name, _, what in points if name == self.name)
            if isinstance(found, BaseException):
                raise found
            return found

    made = [
        Point(name, "somewhere:X", plugins.ENTRY_POINTS)._for(Package(package))  # type: ignore[attr-defined]
        for name, package, _ in points
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: made)
    plugins.installed.cache_clear()


@pytest.fixture(autouse=True)
def as_before():
    yield
    plugins.installed.cache_clear()


def test_a_broken_plug_in_is_named_and_stops_nothing(monkeypatch, caplog):
    good = Detector("GOOD")
    offered(
        monkeypatch, ("A", "broken", ImportError("no module named scipy9")), ("B", "wrong", 7),
        ("C", "leaves", SystemExit(3)), ("D", "good", good), ("E", "nameless", Detector("")),
    )  # fmt: skip
    assert plugins.detectors() == {"GOOD": good}
    assert set(plugins.installed().problems) == {"A of broken", "B of wrong", "C of leaves", "E of nameless"}
    assert "A of broken cannot be used: ImportError: no module named scipy9" in caplog.text
    assert archive_of(snapshot(1, histogram([0, 1, 0], "h"))).groups("EMC")["group"].tolist() == ["Other histograms"]


def test_another_package_replaces_a_detector_of_owtrend_but_not_of_a_third(monkeypatch):
    own, first, second = (Detector("EMC", prefix=prefix) for prefix in "abc")
    offered(monkeypatch, ("EMC", "owtrend", own), ("one", "package a", first), ("two", "package b", second))
    assert plugins.detector("EMC") is first
    assert list(plugins.installed().problems) == ["two of package b"]


def test_names_of_channels_that_cannot_be_made_are_missing_and_nothing_else(monkeypatch, caplog):
    def place(histogram, bins):
        raise KeyError(histogram)

    known = Detector("EMC", place=place)
    assert plugins.place_words(known, "h", []) == ""
    assert plugins.place_words(known, "h", []) == ""
    assert caplog.text.count("names of its channels are missing") == 1


def test_histograms_of_a_hosted_subsystem_are_those_in_its_host(monkeypatch):
    hosted = Detector("V0", host=Host("HLT", ("*VZERO*",)), groups=(Group("All", "*VZERO*"), Group("Others", "*")))
    offered(monkeypatch, ("V0", "somebody", hosted))
    rows = [
        snapshot(minute, histogram([0, minute, 0], "VZERO charge"), histogram([0, 5, 0], "other"), subsystem="HLT")
        for minute in (1, 2)
    ]
    archive = archive_of(*rows)
    assert archive.hosted == {"V0": "HLT"}
    assert archive.histograms("V0", run=300000).index.tolist() == ["VZERO charge"]
    assert archive.groups("V0")["group"].tolist() == ["All"]
    assert archive.trend("V0", "VZERO charge", "integral", run=300000)["value"].values.tolist() == [1, 1]
    made = archive.time_slice("V0", 300000)
    assert (made.subsystem, [*made.histograms]) == ("V0", [("VZERO charge",)])
    assert (len(archive.findings("V0")), len(archive.incidents("V0")), archive.not_scored("V0")) == (0, 0, [300000])
    with pytest.raises(NotFoundError, match="is none of the histograms of V0"):
        archive.histogram("V0", "other", run=300000)
    own = archive_of(*rows, snapshot(1, histogram([0, 3, 0], "own"), subsystem="V0", run=300001))
    assert own.histograms("V0", run=300001).index.tolist() == ["own"]
    assert own.histograms("V0", run=300000).index.tolist() == ["VZERO charge"]  # of a run without files of its own


def test_findings_and_alarms_of_one_histogram_have_a_place():
    bins = (BinRange("x", 9, 16, 8.0, 16.0), BinRange("y", 65, 70, 64.0, 70.0))
    name = "EMCTRQA_histAmpEdgePosEMCGAHOffline"
    of = [("EMC", (name,), bins), ("EMC", (name, "other"), bins), ("EMC", (name,), ()), ("nobody's", (name,), bins)]
    assert plugins.places(of) == ["supermodule 12, TRU 33", "", "", ""]
    top = SimpleNamespace(subsystem="EMC", histograms=(name,), bins=bins)
    alarms = pd.DataFrame({"name": ["a", "rule"], "source": ["incident", "rule"], "why": ["hot", "high"], "who": ""})
    incidents: Any = [SimpleNamespace(id="a", top=top), SimpleNamespace(id="b", top=None)]
    made = plugins.with_places(alarms, incidents)
    assert made.columns.tolist() == ["name", "source", "why", "place", "who"]
    assert made["place"].tolist() == ["supermodule 12, TRU 33", ""]


@pytest.mark.slow
def test_findings_and_incidents_of_a_hosted_subsystem_are_those_of_its_histograms(monkeypatch, tmp_path):
    offered(monkeypatch, ("V0", "somebody", Detector("V0", host=Host("HLT", ("*VZERO*",)))))
    rows = [
        snapshot(
            minute, histogram([0, 1000 * minute, 0], "VZERO charge"),
            *([histogram([0, 900 * minute, 0], "other")] if minute != 3 else []), subsystem="HLT",
        )
        for minute in range(1, 6)
    ]  # fmt: skip
    append(tmp_path / "store", rows)
    compute(tmp_path / "store", workers=0)
    archive = owtrend.open(tmp_path / "store")
    assert archive.findings("HLT")["histogram"].tolist() == ["other"]
    assert (len(archive.incidents("HLT")), len(archive.findings("V0")), len(archive.incidents("V0"))) == (1, 0, 0)
