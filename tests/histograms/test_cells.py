import numpy as np
import pytest
import xarray as xr

import owtrend
from owtrend.errors import DimsError, NotFoundError
from owtrend.store.append import appender
from owtrend.store.repository import Store
from tests.builders import histogram, snapshot
from tests.small_stores import ROWS


def test_cells_are_found_by_run_time_histogram_and_bin(small):
    counts = small.dataset("EMC").counts
    chosen = counts.sel(run=300000, histogram="h", bin=slice(1, 2))
    assert chosen.dims == ("time", "cell")
    np.testing.assert_array_equal(chosen, np.array(ROWS)[:, 1:3])
    later = chosen.sel(time=slice("2018-06-01 12:01:30", None))
    np.testing.assert_array_equal(later, np.array(ROWS)[2:, 1:3])
    assert counts.sel(run=300001, histogram="h", bin=3).values.tolist() == [[1], [1]]


def test_cells_absent_from_a_snapshot_are_not_held(small):
    sometimes = small.dataset("EMC").sel(run=300000, histogram="sometimes")
    assert sometimes.held.values.all(axis=1).tolist() == [True, False, True, False]
    assert sometimes.held.values.any(axis=1).tolist() == [True, False, True, False]
    np.testing.assert_array_equal(sometimes.counts, [ROWS[0], [0] * 4, ROWS[1], [0] * 4])


@pytest.mark.parametrize("array", ["counts", "weights", "sums"])
def test_a_dataset_has_what_the_histograms_have_one_by_one(rooted, array):
    whole = rooted.dataset("EMC", array)
    assert whole.sizes["cell"] > 0
    for name in np.unique(whole.histogram.values):
        alone = rooted.histogram("EMC", name, run=300000, flow=True)
        mine = whole.sel(run=300000, histogram=name)
        if array == "sums":
            np.testing.assert_array_equal(mine.sums, alone.sums)
            assert mine["sum"].values.tolist() == alone["sum"].values.tolist()
            continue
        for part in np.unique(mine.part.values):
            values = alone[part].transpose("time", ..., *sorted(set(alone[part].dims) - {"time"}, reverse=True)).values
            np.testing.assert_array_equal(mine.sel(part=part)[array], values.reshape(len(values), -1))


def test_a_choice_can_be_chosen_from_again(small):
    both = small.dataset("EMC").sel(histogram=["sometimes", "h"])
    np.testing.assert_array_equal(both.histogram, ["h"] * 4 + ["sometimes"] * 4)
    np.testing.assert_array_equal(both.sel(histogram="h").bin, [0, 1, 2, 3])
    np.testing.assert_array_equal(both.sel(bin=[1, 3]).sel(histogram="h").counts.values[:4], np.array(ROWS)[:, [1, 3]])
    np.testing.assert_array_equal(both.isel(cell=slice(2, 6)).bin, [2, 3, 0, 1])
    assert both.isel(cell=5, snapshot=0).counts.item() == ROWS[0][1]


def test_a_dataset_indexes_like_numpy_and_chunks(small):
    counts = small.dataset("EMC").counts
    whole = counts.values
    np.testing.assert_array_equal(counts[[4, 0], ::3], whole[[4, 0], ::3])
    np.testing.assert_array_equal(counts[-1, [5, 2]], whole[-1, [5, 2]])
    np.testing.assert_array_equal(counts.chunk(snapshot=4, cell=3).compute(), whole)
    assert (counts - counts.copy(deep=True)).values.any() == np.False_


def test_runs_choose_and_sort(small):
    dataset = small.dataset("EMC", runs=slice(300001, None))
    assert np.unique(dataset.run).tolist() == [300001]
    assert small.dataset("EMC", runs=[300001, 300000]).run.values.tolist() == [300001] * 2 + [300000] * 4
    assert small.dataset("EMC", runs=[]).counts.shape == (0, 8)


@pytest.mark.slow
def test_a_dataset_shows_the_tail_too(tmp_path):
    with appender(Store.create(tmp_path / "store")) as live:
        live.append([snapshot(minute) for minute in (1, 2)])
        live.fold(everything=True)
        live.append([snapshot(4), snapshot(3)])
    archive = owtrend.open(tmp_path / "store")
    counts = archive.dataset("EMC").counts.sel(run=300000, histogram="h")
    alone = archive.histogram("EMC", "h", run=300000, flow=True)
    assert len(counts) == 4
    np.testing.assert_array_equal(counts.time, alone.time)
    np.testing.assert_array_equal(counts, alone.contents.values.reshape(4, -1))


def test_what_is_not_there_is_named(small, rooted):
    counts = small.dataset("EMC")
    with pytest.raises(NotFoundError, match=r"h has no cell in 'weights'; its cells are in 'counts'"):
        small.dataset("EMC", "weights").sel(histogram="h")
    with pytest.raises(NotFoundError, match="no histogram 'g'"):
        counts.sel(histogram="g")
    with pytest.raises(NotFoundError, match=r"no cell in 'counts' with .*99"):
        counts.sel(histogram="h", bin=99)
    with pytest.raises(NotFoundError, match="exact labels"):
        counts.sel(bin=1, method="nearest")
    with pytest.raises(NotFoundError, match="it has counts, weights, sums"):
        small.dataset("EMC", "tail")


def test_rows_asked_for_twice_come_twice(small):
    counts = small.dataset("EMC").counts
    whole = counts.values
    np.testing.assert_array_equal(counts.isel(snapshot=[0, 0, 2]), whole[[0, 0, 2]])
    contents = small.histogram("EMC", "h", run=300000).contents
    np.testing.assert_array_equal(contents.isel(time=[0, 2, 2]), contents.values[[0, 2, 2]])


def test_a_cell_that_is_not_held_is_zero_also_where_another_snapshot_was(tmp_path):
    weighted = histogram([0, 0.5, 0.5, 0], "g")
    with appender(Store.create(tmp_path / "store")) as live:
        live.append([snapshot(1, histogram([0, 1, 1, 0]), weighted)])
        live.append([snapshot(1, histogram([0, 9, 9, 0]))])
    weights = owtrend.open(tmp_path / "store").dataset("EMC", "weights")
    assert not weights.held.any()
    assert not weights.weights.any()


def test_labels_come_once_and_in_the_order_of_the_store(small):
    counts = small.dataset("EMC").counts
    for chosen in (counts, counts.isel(cell=[0, 5, 6])):
        found = chosen.sel(histogram=["sometimes", "h", "h"])
        np.testing.assert_array_equal(found.histogram, np.sort(found.histogram))
    assert counts.sel(histogram=["sometimes", "h", "h"]).sizes["cell"] == 8
    with pytest.raises(NotFoundError, match="no cell"):
        counts.sel(histogram=[])


def test_points_and_renamed_cells_have_no_index(small):
    counts = small.dataset("EMC").counts
    points = counts.isel(cell=xr.DataArray([1, 5], dims="points"))
    assert points.bin.dims == ("points",)
    np.testing.assert_array_equal(points, counts.values[:, [1, 5]])
    with pytest.raises(DimsError, match="histogram cannot be renamed"):
        counts.rename(histogram="name")
    assert counts.rename(snapshot="row").dims == ("row", "cell")


def test_datasets_of_one_store_are_added_also_when_it_was_opened_twice(small, small_store):
    first, second = small.dataset("EMC").counts, owtrend.open(small_store).dataset("EMC").counts
    np.testing.assert_array_equal(first + second, 2 * first.values)
