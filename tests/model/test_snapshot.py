import numpy as np
import pytest

from owtrend.errors import AmbiguousNameError, NotFoundError
from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram
from owtrend.model.snapshot import Snapshot


def counts(path, contents=(1, 2, 3, 4)):
    parts = {"contents": np.array(contents, dtype=np.int32)}
    axes = (Axis.spaced(2, 0, 2),)
    return Histogram(path=path, class_name="TH1I", axes=axes, parts=parts, sums={"entries": 10.0})


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


def test_a_snapshot_contains_its_histograms_by_name_and_by_path():
    snapshot = Snapshot(histograms={("a", "h"): counts(("a", "h"))})
    assert "a/h" in snapshot
    assert ("a", "h") in snapshot
    assert "no/such" not in snapshot
    assert snapshot.get("no/such") is None
