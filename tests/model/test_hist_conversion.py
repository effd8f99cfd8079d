import hist
import numpy as np
import pytest

from ingest import SnapshotReader
from owtrend.errors import DimsError
from owtrend.model.histogram import Histogram

CLASSES = SnapshotReader().read("tests/data/root/classes.root")


@pytest.mark.parametrize("path", list(CLASSES), ids="/".join)
def test_a_histogram_survives_hist(path):
    one = CLASSES[path]
    again = Histogram.from_hist(one.to_hist(), path)
    if one.kind == "COUNT":
        assert again == one
    assert (again.class_name, again.axes, again.sums) == (one.class_name, one.axes, one.sums) or path[0] == "contents"
    for part, values in one.parts.items():
        np.testing.assert_allclose(again.parts[part], values, rtol=1e-12, atol=1e-9)


def test_a_hist_shows_the_values_and_variances_of_its_histogram():
    for path in ("contents/weighted", "numbers/h2f", "profiles/weighted", "axes/variable"):
        one, made = CLASSES[path], CLASSES[path].to_hist()
        filled = one.part("bin_entries", True) > 0 if one.kind == "MEAN" else slice(None)
        np.testing.assert_allclose(made.values(flow=True)[filled], one.values(flow=True)[filled])
        if one.kind == "COUNT" and "sumw2" in one.parts:
            np.testing.assert_allclose(made.variances(flow=True), one.variances(flow=True))
        assert [axis.title for axis in Histogram.from_hist(made, path).axes] == [axis.title for axis in one.axes]


def test_any_hist_becomes_a_histogram():
    made = hist.Hist.new.Reg(3, 0, 3, name="a", label="A", flow=False).StrCat(["INT7", "EMC"]).Double()
    made.fill([0.5, 1.5, 1.5, 7], ["INT7", "EMC", "EMC", "EMC"])
    found = Histogram.from_hist(made, "dir")
    assert (found.class_name, found.path, found.axes[0].title) == ("TH2D", ("dir",), "A")
    assert found.axes[1].labels == {1: "INT7", 2: "EMC"}
    assert found.values().tolist() == [[1, 0], [0, 2], [0, 0]]
    assert found.values(flow=True).shape == (5, 4)
    assert {name: found.sums[name] for name in ("entries", "tsumw", "tsumwx", "tsumwx2")} == {
        "entries": 3, "tsumw": 3, "tsumwx": 3.5, "tsumwx2": 4.75,
    }  # fmt: skip
    profile = Histogram.from_hist(hist.Hist.new.Reg(2, 0, 2).Mean().fill([0.5, 0.5, 1.5], sample=[1, 3, 5]), ("a", "p"))
    assert (profile.class_name, profile.values().tolist(), profile.sums["tsumwy"]) == ("TProfile", [2, 5], 9)
    assert profile.variances()[0] == pytest.approx(0.5)


def test_a_hist_that_root_cannot_hold_is_an_error():
    with pytest.raises(DimsError, match="4 axes; histograms here have one to three"):
        Histogram.from_hist(hist.Hist(*[hist.axis.Regular(1, 0, 1)] * 4), "h")
