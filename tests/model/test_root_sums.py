import numpy as np
import pytest

from owtrend.model import root_sums
from owtrend.model.axis import Axis

AXES = Axis.spaced(3, 0, 3), Axis(np.array([0.0, 1, 4]), regular=False), Axis.spaced(2, -1, 1)


def test_names_are_in_the_order_of_root():
    assert root_sums.names(2) == ["entries", "tsumw", "tsumw2", "tsumwx", "tsumwx2", "tsumwy", "tsumwy2", "tsumwxy"]
    assert root_sums.names(1, profile=True) == ["entries", "tsumw", "tsumw2", "tsumwx", "tsumwx2", "tsumwy", "tsumwy2"]
    assert root_sums.names(3, mixed=False)[-2:] == ["tsumwz", "tsumwz2"]


@pytest.mark.parametrize(("name", "letters"), [("entries", ""), ("tsumw2", ""), ("tsumwx2", "x"), ("tsumwyz", "yz")])
def test_a_name_has_the_letters_of_its_coordinates(name, letters):
    assert root_sums.letters_of(name) == letters


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_bins_and_their_marginals_have_the_statistics_of_fills_at_the_centres(dimension):
    axes = AXES[:dimension]
    contents = np.random.default_rng(1).integers(0, 5, [len(axis) for axis in axes])
    where = np.repeat(np.argwhere(contents >= 0), contents.ravel(), axis=0)
    fills = [axis.centres[number] for axis, number in zip(axes, where.T, strict=True)]
    ones = np.ones(len(where))
    expected = {name: term.sum() for name, term in root_sums.weight_terms(ones, ones, fills).items()}
    found = root_sums.from_bins(axes, {"contents": contents}, entries=7)
    assert found == pytest.approx({"entries": 7, **expected})
    assert set(found) == set(root_sums.names(dimension))
    marginals = root_sums.from_marginals(contents.T, [axis.centres for axis in axes])
    assert marginals == pytest.approx({name: value for name, value in expected.items() if name != "tsumw2"})


def test_statistics_are_lost_where_entries_have_no_weight():
    sums = {"tsumw": np.array([0.0, 0.0, 2.0]), "entries": np.array([0.0, 3.0, 2.0])}
    assert root_sums.are_lost(sums).tolist() == [False, True, False]
