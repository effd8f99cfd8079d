"""Bins that are merged because a screen has fewer pixels."""

from itertools import pairwise

import numpy as np
import pytest

from dashboards.pictures import coarse as module
from dashboards.pictures.coarse import coarse
from tests import builders


def sliced(counts, **options):
    return builders.table(np.asarray(counts)[None], flow=False, **options).isel(time=0)


@pytest.mark.parametrize(("bins", "most", "edges"), [(12, 5, [0, 3, 6, 9, 12]), (7, 3, [0, 3, 6, 7]), (4, 4, range(5))])
def test_neighbouring_bins_are_added_until_they_are_few_enough(monkeypatch, bins, most, edges):
    monkeypatch.setitem(module._MOST, 1, most)
    counts = np.arange(bins) ** 2
    found = coarse(sliced(counts))
    assert [*found.x_left.values, found.x_right.values[-1]] == [*edges]
    expected = [counts[low:high].sum() for low, high in pairwise(edges)]
    assert found.contents.values.tolist() == expected
    assert found.x.values.tolist() == [(low + high) / 2 for low, high in pairwise(edges)]
    assert ("x" in found.attrs["variable_axes"]) == (bins == 7)


def test_maps_are_merged_along_both_axes_and_labels_stay(monkeypatch):
    monkeypatch.setitem(module._MOST, 2, 2)
    monkeypatch.setitem(module._MOST, 1, 2)
    counts = np.arange(24).reshape(4, 6)
    found = coarse(sliced(counts))
    assert found.contents.transpose("x", "y").values.tolist() == counts.reshape(2, 2, 2, 3).sum(axis=(1, 3)).tolist()
    assert found.attrs["merged"] == {"x": 2, "y": 3}
    assert coarse(sliced([1, 2, 3], labels="abc")).sizes["x"] == 3
