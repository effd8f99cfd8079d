import pickle

import numpy as np
import pytest
import xarray as xr

import owtrend
from ingest.archive.ingest import FoundFiles, IngestSummary
from owtrend.compute.compute import ComputeSummary
from owtrend.display import few, printable
from owtrend.learned.shape_models import MODELS
from owtrend.model.snapshot import Snapshot

HOSTILE = "<script>alert(1)</script>\x1b[2J\nnext\u202e" + "x" * 1000


@pytest.fixture(scope="module")
def held(small_store):
    """Objects that people hold, by class."""
    small = owtrend.open(small_store)
    time_slice = small.time_slice("EMC", 300000)
    reference = small.reference("EMC", runs=[300000, 300001])
    histogram = time_slice["h"]
    snapshot = Snapshot(histograms={("h",): histogram}, source="a.root", problems={"bad": "why"})
    objects = [
        small, time_slice, time_slice.interval, histogram, histogram.axes[0], snapshot, reference,
        reference.template("h"), ComputeSummary(points=12345), small.stored("EMC"), MODELS["pca"](),
        IngestSummary(store="s", quarantine=["{}"] * 5000), FoundFiles(files=list(range(5000))),
    ]  # fmt: skip
    return {type(one).__name__: one for one in objects}


def test_every_object_is_shown_in_a_few_lines_of_text_and_a_small_table(held):
    for name, one in held.items():
        text, html = repr(one), one._repr_html_()
        assert name in text.splitlines()[0]
        assert len(text) < 900, text
        assert text.count("\n") < 7, text
        assert len(html) < 3000, html


def test_an_interval_is_shown_as_it_is_typed(held):
    shown = "(the beginning, 2018-06-01 12:03:00] UTC; 4 snapshots, 1 restart, 0 gaps, 4 reported"
    assert repr(held["Interval"]) == f"<owtrend.Interval: {shown}>"


def test_what_to_type_next_can_be_typed(held):
    names = {
        "archive": held["Archive"], "time_slice": held["TimeSlice"], "snapshot": held["Snapshot"],
        "histogram": held["Histogram"], "axis": held["Axis"], "reference": held["Reference"], "owtrend": owtrend,
    }  # fmt: skip
    lines = 0
    for one in held.values():
        for line in one._display().next:
            if "..." not in line and "like=" not in line:  # the small store has no comparable runs
                eval(line, names)
                lines += 1
    assert lines > 10


def test_names_and_titles_in_a_notebook_are_escaped_and_cut():
    axis = owtrend.Axis.spaced(1, 0, 1, title=HOSTILE)
    parts = {"contents": np.zeros(3)}
    one = owtrend.Histogram(path=(HOSTILE,), class_name="TH1D", axes=(axis,), parts=parts, sums={}, title=HOSTILE)
    for shown in (one, Snapshot(histograms={(HOSTILE,): one}, source=HOSTILE, subsystem=HOSTILE)):
        html, text = shown._repr_html_(), repr(shown)
        assert "<script" not in html
        assert "&lt;script" in html
        assert not {"\x1b", "\u202e"} & {*html, *text}
        assert len(text) < 1000


def test_a_list_of_names_is_cut():
    assert few(["a", "b"]) == "2 (a, b)"
    assert few(map(str, range(31))) == "31 (0, 1, 2, ...)"
    assert few([]) == "0"
    assert printable("a\nb\x1b") == "a\\nb\\x1b"
    assert printable("y" * 100, 10) == "yyyyyyy..."


def test_arrays_keep_the_form_that_xarray_gives_them(small):
    histogram = small.histogram("EMC", "h")
    assert repr(histogram) == xr.Dataset.__repr__(histogram)


def test_an_object_that_is_shown_can_be_pickled(held):
    again = pickle.loads(pickle.dumps(held["Histogram"]))
    assert again == held["Histogram"]
    assert np.isnat(pickle.loads(pickle.dumps(held["Interval"])).start)
