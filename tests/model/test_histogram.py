import numpy as np
import pytest

from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram


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


def test_a_negative_content_without_sumw2_has_the_error_of_its_absolute_value():
    assert counts(contents=(0, -4, 9, 0)).variances().tolist() == [4, 9]


def test_the_digest_covers_contents_and_binning_but_not_the_title():
    assert counts().digest == counts(title="other").digest
    assert counts().digest != counts(contents=(1, 2, 3, 5)).digest
    assert counts() == counts(title="other")
