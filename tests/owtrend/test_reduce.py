"""Trends and slices against ROOT's own numbers: stored answers, and the shared real files."""

import json
from pathlib import Path

import numpy as np
import pytest

import owtrend
from ingest import archive
from owtrend import pipeline
from tests import making

ROOT_FILES = Path(__file__).parents[1] / "data" / "root"


@pytest.fixture(scope="module")
def answers():
    return json.loads((ROOT_FILES / "answers.json").read_text())["alone"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    store = tmp_path_factory.mktemp("root") / "store"
    making.ingest(ROOT_FILES, store)
    return owtrend.open(store)


def test_every_reductor_of_every_increment_equals_roots_for_those_fills_alone(opened, answers):
    for number, histograms in enumerate(answers.values()):
        for name, expected in histograms.items():
            assert set(opened.histograms("EMC").loc[name, "reductors"]) >= set(expected["reductors"])
            for reductor, value_and_error in expected["reductors"].items():
                trend = opened.trend("EMC", name, reductor, run=300000)
                got = trend.value.values[number], trend.error.values[number]
                assert got == pytest.approx(value_and_error, rel=1e-9, abs=1e-9), (name, reductor, number)


def test_every_time_slice_equals_roots_histogram_of_those_fills_alone(opened, answers):
    bounds = [None, "12:00", "12:01:10", "12:02:10"]
    for number, histograms in enumerate(answers.values()):
        for name, expected in histograms.items():
            histogram = opened.histogram("EMC", name, run=300000, flow=True)
            piece = owtrend.time_slice(histogram, bounds[number], bounds[number + 1])
            assert piece.snapshots.item() == 1
            got = owtrend.values(piece)
            got = got.transpose(*reversed(got.value.dims))  # x is fastest in ROOT
            values, errors = np.nan_to_num(got.value.values.ravel()), np.sqrt(got.variance.values.ravel())
            np.testing.assert_allclose(values, expected["values"], rtol=1e-9, atol=1e-12, err_msg=name)
            # A difference of large sums has lost digits where a bin's spread is zero.
            np.testing.assert_allclose(errors, expected["errors"], rtol=1e-6, atol=1e-6, err_msg=name)


def near(expected):
    return pytest.approx(float(expected), rel=1e-9, abs=1e-12, nan_ok=True)


def test_flat_online_files_have_roots_mean_and_std(shared, tmp_path):
    """The first row of a histogram is the file itself: its trend is ROOT's GetMean and GetStdDev of the file."""
    patterns = ("{subsystem}/ShuttleInput/*.root", "alice-aliroot/{subsystem}/*.root", "{subsystem}/TRDgui/*.root")
    found = archive.find_files([shared / "alice-aliroot"], patterns=patterns, run=1)
    summary = archive.ingest(found, tmp_path / "store", workers=0)
    assert summary.added + len({json.loads(line)["source"] for line in summary.quarantine}) == len(found.files)
    pipeline.compute(tmp_path / "store", workers=0)
    opened = owtrend.open(tmp_path / "store")
    oracle = json.loads((shared / "oracle.json").read_text())["histograms"]
    refused = {(row["source"], row["object"]) for row in map(json.loads, summary.quarantine)}
    checked = 0
    for file in found.files:
        for expected in oracle:
            if expected["file"] == f"alice-aliroot/{file.source}" and (file.source, expected["key"]) not in refused:
                check_against_oracle(opened, file, expected)
                checked += 1
    assert checked > 80


def test_generated_runs_have_roots_mean_and_std_in_their_last_snapshot(shared, tmp_path):
    folder = shared / "generated" / "runs" / "Run300102"
    summary = archive.ingest(archive.find_files([folder], timezone="UTC"), tmp_path / "store", workers=0)
    assert summary.added == 60
    opened = owtrend.open(tmp_path / "store")
    checked = 0
    for expected in json.loads((shared / "oracle.json").read_text())["histograms"]:
        if "generated/runs/Run300102" in expected["file"]:
            subsystem = expected["file"].split("/")[3]
            whole = owtrend.time_slice(opened.histogram(subsystem, expected["key"], run=300102))
            assert whole.sums.sel(sum="entries").item() == expected["entries"]
            sums = whole.sums.to_series()
            assert sums["tsumwx"] / sums["tsumw"] == near(expected["mean"][0])
            assert np.sqrt(abs(sums["tsumwx2"] / sums["tsumw"] - expected["mean"][0] ** 2)) == near(
                expected["stddev"][0]
            )
            checked += 1
    assert checked == 18


def check_against_oracle(opened, file, expected):
    subsystem, name = file.subsystem, expected["key"]
    histogram = opened.histogram(subsystem, name, run=1)
    row = histogram.time.values.tolist().index(file.time)
    assert histogram.sums.sel(sum="entries").values[row] == expected["entries"]
    assert histogram.attrs["class"] == expected["class"]
    if expected["class"].startswith("TProfile"):
        return
    assert float(owtrend.values(histogram).value.values[row].sum()) == near(expected["integral"])
    if row > 0:  # two files hold a histogram of this name: its trend is a difference
        return
    for number, axis in enumerate("xyz"[: len(expected["nbins"])]):
        mean = opened.trend(subsystem, name, f"mean_{axis}", run=1).dropna("time").isel(time=slice(1))
        std = opened.trend(subsystem, name, f"std_{axis}", run=1).dropna("time").isel(time=slice(1))
        if expected["effective_entries"] == 0:  # ROOT gives 0 for an empty histogram; owtrend says missing
            assert not mean.sizes["time"]
            continue
        assert mean.value.item() == near(expected["mean"][number]), name
        assert std.value.item() == near(expected["stddev"][number]), name
        assert mean.error.item() == near(expected["mean_error"][number]), name
