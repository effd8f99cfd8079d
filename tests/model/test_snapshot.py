import hist
import numpy as np
import pytest

from ingest import SnapshotReader
from owtrend.errors import AmbiguousNameError, DimsError, NotFoundError
from owtrend.model.snapshot import Axis, Histogram, Snapshot


def profile(option):
    entries, sumwy, sumwy2 = np.array([0.0, 2, 4, 0]), np.array([0.0, 6, 20, 0]), np.array([0.0, 20, 100, 0])
    parts = {"sumwy": sumwy, "sumwy2": sumwy2, "bin_entries": entries}
    sums = {"entries": 6.0}
    return Histogram(
        path=("p",), class_name="TProfile", axes=(Axis.spaced(2, 0, 2),), parts=parts, sums=sums, error_option=option
    )


def counts(path=("h",), contents=(1, 2, 3, 4), title=""):
    parts = {"contents": np.array(contents, dtype=np.int32)}
    axes = (Axis.spaced(2, 0, 2),)
    return Histogram(path=path, class_name="TH1I", axes=axes, parts=parts, sums={"entries": 10.0}, title=title)


@pytest.mark.parametrize(
    ("option", "expected"),
    [("", [1 / 2, 0]), ("s", [1, 0]), ("i", [1 / 2, 1 / 48]), ("g", [1 / 2, 1 / 4])],
)
def test_errors_of_a_profile_follow_its_option(option, expected):
    assert profile(option).variances().tolist() == pytest.approx(expected)
    assert profile(option).values().tolist() == [3, 5]
    assert profile(option).kind == "MEAN"


def test_values_are_x_first_and_flow_bins_only_on_request():
    parts = {"contents": np.arange(4 * 5)}
    axes = Axis.spaced(2, 0, 1), Axis.spaced(3, 0, 1)
    histogram = Histogram(path=("h",), class_name="TH2I", axes=axes, parts=parts, sums={"entries": 0.0})
    assert histogram.values(flow=True).shape == (4, 5)
    assert histogram.values(flow=True)[1, 0] == 1  # x is fastest in ROOT
    assert histogram.values().tolist() == [[5, 9, 13], [6, 10, 14]]


def test_error_of_a_negative_content_without_sumw2_is_that_of_its_absolute_value():
    assert counts(contents=(0, -4, 9, 0)).variances().tolist() == [4, 9]


def test_axis_survives_its_schema():
    axis = Axis(np.array([0.0, 1, 10]), regular=False, title="p_{T}", labels={1: "low"})
    again = Axis.from_dict(axis.to_dict())
    assert again == axis
    assert (again.title, again.labels) == (axis.title, axis.labels)
    assert Axis.from_dict(Axis.spaced(3, -0.1, 0.7).to_dict()) == Axis.spaced(3, -0.1, 0.7)


def test_digest_knows_contents_and_binning_but_not_the_title():
    assert counts().digest == counts(title="other").digest
    assert counts().digest != counts(contents=(1, 2, 3, 5)).digest
    assert counts() == counts(title="other")


def test_snapshot_is_found_by_displayed_name_or_by_path():
    snapshot = Snapshot(histograms={("a", "h"): counts(("a", "h"))})
    assert snapshot["a/h"] is snapshot["a", "h"]
    with pytest.raises(NotFoundError, match="did you mean 'a/h'"):
        snapshot["a/hh"]


def test_names_that_display_alike_are_an_error_that_lists_them():
    snapshot = Snapshot(histograms={("a", "h"): counts(("a", "h")), ("a/h",): counts(("a/h",))})
    with pytest.raises(AmbiguousNameError, match=r"\('a', 'h'\).*\('a/h',\)"):
        snapshot["a/h"]
    assert snapshot["a/h",].path == ("a/h",)


def test_snapshot_digest_does_not_depend_on_order():
    one, other = counts(("a",)), counts(("b",), (0, 0, 0, 1))
    assert (
        Snapshot(histograms={("a",): one, ("b",): other}).digest
        == Snapshot(histograms={("b",): other, ("a",): one}).digest
    )


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


def test_a_hist_of_anybody_becomes_a_histogram():
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


def test_a_hist_that_root_has_no_like_of_is_an_error():
    with pytest.raises(DimsError, match="4 axes; histograms here have one to three"):
        Histogram.from_hist(hist.Hist(*[hist.axis.Regular(1, 0, 1)] * 4), "h")


def test_a_snapshot_tells_what_it_holds():
    assert "numbers/h1f" in CLASSES
    assert ("numbers", "h1f") in CLASSES
    assert "no/such" not in CLASSES
    assert CLASSES.get("no/such") is None
    with pytest.raises(NotFoundError, match="no histogram 'numbers/h1'; did you mean 'numbers/h1"):
        CLASSES["numbers/h1"]
