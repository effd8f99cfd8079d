from dataclasses import replace

import hist
import numpy as np
import pytest

import owtrend
from dashboards.state.session import Session
from owtrend.compute import compute
from owtrend.errors import NotFoundError, StoreError
from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram
from owtrend.store.repository import Store
from tests import builders
from tests.builders import append, archive_of, filled, histogram, snapshots


def test_runs_are_a_sorted_table(small):
    assert small.runs.index.tolist() == [300000, 300001]
    assert small.runs["subsystems"].tolist() == ["EMC, TPC", "EMC"]
    assert small.runs["snapshots"].tolist() == [8, 2]
    assert str(small.runs["duration"].iloc[0]) == "0 days 00:03:00"
    assert small.subsystems == ("EMC", "TPC")
    assert repr(small).endswith("2 runs, 300000 to 300001>\n  EMC: 2 histograms\n  TPC: 1 histogram")


def test_histograms_are_a_table_of_what_a_run_or_any_run_holds(small, rooted):
    assert small.histograms("EMC").index.tolist() == ["h", "sometimes"]
    assert small.histograms("EMC", run=300001).index.tolist() == ["h"]
    row = rooted.histograms("EMC").loc["profile2d"]
    assert (row["class"], row["dims"], row["bins"], row["kind"]) == ("TProfile2D", 2, 16, "counter")
    assert set(row["reductors"]) == {"entries", "integral", "mean_z", "std_z"} | {
        f"{name}_{axis}"
        for name in ("mean", "std", "skewness", "kurtosis", "median", "underflow", "overflow")
        for axis in "xy"
    }


def test_a_histogram_has_true_edges_labels_and_titles(rooted):
    variable = rooted.histogram("EMC", "variable", run=300000)
    assert variable.x_left.values.tolist() == [0, 1, 2.5, 5]
    assert variable.x_right.values.tolist() == [1, 2.5, 5, 10]
    assert variable.x.attrs["long_name"] == "p_{T} [GeV/c]"
    labelled = rooted.histogram("EMC", "labelled", run=300000, flow=True)
    assert labelled.x_label.values.tolist() == ["", "INT7", "EMC L0", "other", ""]
    assert labelled.x_left.values.tolist() == [-np.inf, 0, 1, 2, 3]


def test_a_histogram_is_lazy_and_indexes_like_numpy(rooted):
    histogram = rooted.histogram("EMC", "TH3S", run=300000)
    assert histogram.contents.dims == ("time", "x", "y", "z")
    whole = histogram.contents.values
    again = rooted.histogram("EMC", "TH3S", run=300000).contents
    np.testing.assert_array_equal(again[1].values, whole[1])
    np.testing.assert_array_equal(again[:, 1, ::2, [0, 3]].values, whole[:, 1, ::2][..., [0, 3]])
    np.testing.assert_array_equal(again.isel(time=[2, 0], z=-1).values, whole[[2, 0], ..., -1])
    assert again.isel(time=0, x=0, y=0, z=0).values.shape == ()


def test_values_know_their_variances_of_every_row(rooted):
    values = owtrend.values(rooted.histogram("EMC", "weighted", run=300000))
    assert values.value.dims == values.variance.dims == ("time", "x")
    assert (values.variance > values.value).any()


@pytest.mark.parametrize("flow", [True, False])
def test_to_hist_keeps_axes_weights_and_flow(rooted, flow):
    piece = owtrend.time_slice(rooted.histogram("EMC", "weighted", run=300000, flow=flow))
    made = owtrend.to_hist(piece)
    np.testing.assert_array_equal(made.values(flow=flow), piece.contents.values)
    np.testing.assert_array_equal(made.variances(flow=flow), piece.sumw2.values)
    assert isinstance(made.axes[0], hist.axis.Regular)
    assert made.axes[0].label == "E [GeV]"
    variable = owtrend.to_hist(owtrend.time_slice(rooted.histogram("EMC", "variable", run=300000)))
    assert variable.axes[0].edges.tolist() == [0, 1, 2.5, 5, 10]
    assert variable.storage_type is hist.storage.Double, "uproot writes no Int64"


def test_a_profile_becomes_mean_storage(rooted):
    piece = owtrend.time_slice(rooted.histogram("EMC", "profile", run=300000, flow=True))
    made = owtrend.to_hist(piece)
    values = owtrend.values(piece)
    np.testing.assert_allclose(made.values(flow=True), values.value.values)
    np.testing.assert_allclose(made.counts(flow=True), piece.bin_entries.values)


@pytest.mark.parametrize("option", ["", "s", "i", "g"])
@pytest.mark.parametrize("weights", [None, np.array([2.0, -0.5, 1.5, 3.0])])
def test_a_slice_of_a_profile_survives_hist(option, weights):
    axis = Axis.spaced(3, 0, 3)
    fills, sampled = np.array([0.5, 0.5, 1.5, 0.5]), np.array([1.0, 3.0, 5.0, 4.0])
    rows = [
        replace(filled([axis], fills[:n], "p", values=sampled[:n], weights=None if weights is None else weights[:n]),
                error_option=option)
        for n in (1, 4)
    ]  # fmt: skip
    archive = archive_of(*snapshots([{"p": one} for one in rows]))
    whole = owtrend.time_slice(archive.histogram("EMC", "p", run=300000, flow=True))
    again = Histogram.from_hist(owtrend.to_hist(whole), "p")
    assert (again.class_name, again.error_option, again.sums) == ("TProfile", option, rows[-1].sums)
    assert again.parts.keys() == rows[-1].parts.keys()
    np.testing.assert_allclose(again.variances(), rows[-1].variances(), atol=1e-12)


def test_a_slice_that_its_class_cannot_hold_comes_back_as_a_wider_one():
    full = [histogram([0, count, 0], dtype="i1") for count in (100, 20, 120)]
    archive = archive_of(*snapshots({"h": full}))
    found = Histogram.from_hist(owtrend.to_hist(owtrend.time_slice(archive.histogram("EMC", "h", run=300000))), "h")
    assert (found.class_name, found.values().tolist()) == ("TH1D", [220])


def test_a_trend_is_the_same_stored_or_computed_now(small, small_store):
    from owtrend.compute import compute

    before = small.trend("EMC", "h", "mean", run=300000)
    compute.compute(small_store, workers=0)
    stored = small.latest().trend("EMC", "h", "mean", run=300000)
    assert stored.identical(before)
    assert stored.value.values == pytest.approx([0.5, 1.5, 0.5, 0.75])
    assert stored.exposure.values[1:].tolist() == [60, 60, 60]
    assert np.isnan(stored.exposure.values[0])
    every = small.trend("EMC", "h", "entries")
    assert every.run.values.tolist() == [300000] * 4 + [300001] * 2
    assert small.trend("EMC", "h", "entries", runs=slice(300001, None)).sizes == {"snapshot": 2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("MUON", "h", "mean"), "no subsystem 'MUON'; it has EMC, TPC"),
        (("EMC", "hh", "mean"), "no histogram 'hh'; did you mean 'h'"),
        (("EMC", "h", "mean_y"), "no reductor 'mean_y' for it; it has entries, integral, mean_x, std_x"),
    ],
)
def test_what_is_not_there_is_an_error_that_says_what_is(small, arguments, message):
    with pytest.raises(NotFoundError, match=message):
        small.trend(*arguments, run=300000)


def test_a_missing_store_is_an_error_that_says_how_to_make_one(tmp_path):
    with pytest.raises(StoreError, match="no such store; make one with `owtrend ingest FOLDER"):
        owtrend.open(tmp_path / "nothing")
    (tmp_path / "other").mkdir()
    with pytest.raises(StoreError, match="not an owtrend store"):
        owtrend.open(tmp_path / "other")


@pytest.mark.slow
def test_an_archive_stays_as_it_was_and_latest_opens_the_newest():
    archive = archive_of(*snapshots({"h": [[0, 1, 0]]}))
    version = archive.version
    append(archive.location, snapshots({"h": [[0, 2, 0]]}, 300001))
    assert archive.runs.index.tolist() == [300000]
    newest = archive.latest()
    assert newest.runs.index.tolist() == [300000, 300001]
    assert newest.latest() is newest
    assert archive.runs.index.tolist() == [300000]
    assert owtrend.open(archive.location, as_of=version).runs.index.tolist() == [300000]
    with pytest.raises(NotFoundError, match="no version 'yesterday'"):
        owtrend.open(archive.location, as_of="yesterday")


def test_plain_xarray_opens_the_store(small_store):
    import icechunk
    import xarray as xr

    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(small_store)))
    session = repository.readonly_session("main")
    plain = xr.open_zarr(session.store, group="raw/EMC", consolidated=False, chunks=None)
    assert plain.counts.dims == ("run", "time", "cell")
    assert plain.run.values[:2].tolist() == [300000, 300001]
    assert str(plain.time.values[0, 0]) == "2018-06-01T12:00:00.000000000"


def test_a_store_can_be_moved(small_store, tmp_path):
    import shutil

    shutil.copytree(small_store, tmp_path / "moved")
    moved = owtrend.open(tmp_path / "moved")
    assert moved.histogram("EMC", "h", run=300001).contents.values.tolist() == [[1, 0], [1, 4]]
    assert Store.open(tmp_path / "moved").reader().subsystems == ("EMC", "TPC")


@pytest.mark.slow
def test_a_run_of_unreadable_files_is_listed_with_no_snapshots(tmp_path):
    for run in (300000, 300001):
        builders.write_run(tmp_path / "files", {"h": [[0, 1, 0], [0, 2, 0]]}, run)
    for file in (tmp_path / "files").rglob("*300001*/**/*.root"):
        file.write_bytes(file.read_bytes()[:200])
    builders.ingest(tmp_path / "files", tmp_path / "store")
    compute.compute(tmp_path / "store", workers=0)
    archive = owtrend.open(tmp_path / "store")
    runs = archive.runs[["snapshots", "unreadable", "subsystems"]]
    assert runs.loc[300001].tolist() == [0, 2, ""]
    assert runs.loc[300000].tolist() == [2, 0, "EMC"]
    assert str(archive.runs.loc[300001, "start"]) == str(archive.runs.loc[300000, "start"])
    (incident,) = archive.incidents().to_dict("records")
    assert (incident["runs"], incident["score"], incident["findings"]) == ((300001,), "unreadable", 2)
    session = Session(archive)
    session.choose(run=300001)
    assert session.view.run == 300000, "the page shows runs with snapshots"
