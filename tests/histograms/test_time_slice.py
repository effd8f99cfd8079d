from itertools import count

import numpy as np
import pytest
import xarray as xr

import owtrend
from owtrend.errors import DimsError, NotFoundError
from tests.builders import archive_of, histogram, snapshots


def test_increments_count_from_zero_at_the_start_and_after_a_restart(small):
    gained = owtrend.increments(small.histogram("EMC", "h", run=300000, flow=True))
    assert gained.contents.values.tolist() == [[0, 1, 0, 1], [1, 0, 4, 0], [0, 2, 0, 0], [0, 3, 1, 0]]
    assert gained.contents.dtype == np.int64
    assert np.isnat(gained.start.values).tolist() == [True, False, False, False]
    assert gained.restart.values.tolist() == [False, False, True, False]
    assert gained.reported.values.all()
    assert gained.start.values[1] == gained.time.values[0]


def test_increments_of_several_runs_begin_anew_with_each(small):
    gained = owtrend.increments(small.histogram("EMC", "h"))
    assert gained.contents.values.tolist() == [[1, 0], [0, 4], [2, 0], [3, 1], [1, 0], [0, 4]]
    assert gained.restart.values.tolist() == [False, False, True, False, False, False]
    assert np.isnat(gained.start.values).tolist() == [True, False, False, False, True, False]


@pytest.mark.slow
def test_increments_in_dask_chunks_equal_those_of_the_whole(small):
    whole = owtrend.increments(small.histogram("EMC", "h", run=300000))
    pieces = owtrend.increments(small.histogram("EMC", "h", run=300000, chunks={"time": 1, "x": 1}))
    assert pieces.contents.chunks is not None
    xr.testing.assert_identical(pieces.compute(), whole)


def test_a_row_without_the_histogram_is_absent_not_zero(small):
    gained = owtrend.increments(small.histogram("EMC", "sometimes", run=300000))
    assert gained.sizes["time"] == 2
    assert (gained.time.values[1] - gained.start.values[1]) / np.timedelta64(1, "s") == 120


@pytest.mark.parametrize(
    ("start", "stop", "contents", "snapshots", "restarts"),
    [
        (None, None, [6, 5], 4, 1),
        ("12:00", "12:01", [0, 4], 1, 0),
        ("12:00", "12:03", [5, 5], 3, 1),
        ("11:00", "12:00:30", [1, 0], 1, 0),
        ("12:02", None, [3, 1], 1, 0),
    ],
)
def test_time_slices_by_hand(small, start, stop, contents, snapshots, restarts):
    piece = owtrend.time_slice(small.histogram("EMC", "h", run=300000), start, stop)
    assert piece.contents.values.tolist() == contents
    assert (piece.snapshots, piece.restarts, piece.gaps) == (snapshots, restarts, 0)


def test_a_slice_tells_where_it_truly_begins_and_ends(small):
    piece = owtrend.time_slice(small.histogram("EMC", "h", run=300000), "12:00:30", "12:01:30")
    assert [str(t.values)[11:19] for t in (piece.start, piece.stop)] == ["12:00:00", "12:01:00"]
    whole = owtrend.time_slice(small.histogram("EMC", "h", run=300000))
    assert np.isnat(whole.start)


def test_slices_add_up(small):
    histogram = small.histogram("EMC", "h", run=300000, flow=True)
    parts = [owtrend.time_slice(histogram, a, b) for a, b in ((None, "12:01"), ("12:01", "12:02"), ("12:02", None))]
    total = sum(piece.contents.values for piece in parts)
    np.testing.assert_array_equal(total, owtrend.time_slice(histogram).contents.values)


def test_a_slice_reads_two_rows_once_the_steps_of_a_run_are_known(small, monkeypatch):
    from owtrend.histograms.run_histogram import RunHistogram

    rows = []
    read = RunHistogram.read

    def counting(self, part, which=None):
        if part == "contents":
            rows.append(len(which))
        return read(self, part, which)

    histogram = small.histogram("TPC", "t", run=300000)
    assert histogram.state.values.tolist() == [1, 1, 5, 1]
    monkeypatch.setattr(RunHistogram, "read", counting)
    owtrend.time_slice(histogram, "12:00", "12:01")
    assert rows == [2]


def test_a_slice_without_snapshots_is_an_error_that_tells_the_runs_times(small):
    with pytest.raises(NotFoundError, match=r"no snapshot in .* the run has 4 from 2018-06-01T12:00:00 to"):
        owtrend.time_slice(small.histogram("EMC", "h", run=300000), "15:00", "16:00")


def test_only_a_histogram_of_one_run_has_slices(small):
    with pytest.raises(DimsError, match="choose it by run="):
        owtrend.time_slice(small.histogram("EMC", "h"))
    with pytest.raises(DimsError, match="found Dataset with a"):
        owtrend.increments(xr.Dataset({"a": 1}))
    shuffled = small.histogram("EMC", "h", run=300000).isel(time=[2, 1])
    with pytest.raises(DimsError, match="time does not strictly increase"):
        owtrend.increments(shuffled)


@pytest.mark.slow
def test_reset_mode_gives_the_increments_of_the_same_data_cumulative():
    gained = np.array([[0, 1, 0], [0, 3, 1], [1, 2, 0]])
    found = {}
    for mode, rows in (("cumulative", gained.cumsum(axis=0)), ("reset", gained)):
        archive = archive_of(*snapshots({"h": rows}), reset=mode == "reset")
        histogram = archive.histogram("EMC", "h", run=300000, flow=True)
        assert owtrend.time_slice(histogram, "12:00", None).start == np.datetime64("2018-06-01T12:00")
        assert np.isnat(owtrend.increments(histogram).start.values).tolist() == [True, False, False]
        found[mode] = (
            owtrend.increments(histogram).contents.values.tolist(),
            owtrend.time_slice(histogram, "12:00", None).contents.values.tolist(),
        )
    assert found["reset"] == found["cumulative"] == (gained.tolist(), [1, 5, 1])


def test_a_bin_that_is_not_a_number_gives_no_number():
    archive = archive_of(*snapshots({"h": [[0, 5.5, 0], [0, 6.0, 0], [0, float("nan"), 0]]}))
    piece = owtrend.time_slice(archive.histogram("EMC", "h", run=300000), "12:01")
    assert np.isnan(piece.contents.values).all()


@pytest.mark.slow
def test_bare_times_reach_over_midnight():
    rows = [[0, n, 0] for n in range(1, 21)]
    archive = archive_of(*snapshots({"h": rows}, minutes=count(-60, 60)))
    histogram = archive.histogram("EMC", "h", run=300000)
    piece = owtrend.time_slice(histogram, "23:00", "01:00")
    assert [str(t.values)[5:16] for t in (piece.start, piece.stop)] == ["06-01T23:00", "06-02T01:00"]
    assert piece.snapshots == 2


@pytest.mark.slow
def test_a_gauge_is_not_differenced_and_reports_only_what_is_new():
    states = [histogram([0, value, 0], gauge=True) for value in (4, 4, 6)]
    opened = archive_of(*snapshots({"g": states, "clock": [[0, 1, 0], [0, 2, 0], [0, 3, 0]]}))
    gauge = opened.histogram("EMC", "g", run=300000)
    assert opened.histograms("EMC").loc["g", "kind"] == "gauge"
    gained = owtrend.increments(gauge)
    assert gained.contents.values.tolist() == [[4], [4], [6]]
    assert gained.reported.values.tolist() == [True, False, True]
    piece = owtrend.time_slice(gauge)
    assert (piece.contents.values.tolist(), piece.reported) == ([6], 2)
    assert opened.trend("EMC", "g", "entries", run=300000).reported.values.tolist() == [True, False, True]


def test_rows_that_were_all_taken_away_are_an_error(small):
    with pytest.raises(DimsError, match="no rows are left"):
        owtrend.increments(small.histogram("EMC", "h", run=300000).isel(time=slice(0, 0)))
