"""Trends and slices against ROOT's own numbers: stored answers, and the shared real files."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import owtrend
from ingest.archive import ingest
from ingest.archive.source_file import SourceFile
from owtrend.histograms import run_histogram
from owtrend.trends.increments import Increments
from owtrend.trends.reductors import parse
from tests import builders
from tests.studies import sizes

ROOT_FILES = Path(__file__).parents[1] / "data" / "root"


@pytest.fixture(scope="module")
def answers():
    return json.loads((ROOT_FILES / "answers.json").read_text())["alone"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    store = tmp_path_factory.mktemp("root") / "store"
    builders.ingest(ROOT_FILES, store)
    return owtrend.open(store)


@pytest.mark.slow
def test_every_reductor_of_every_increment_equals_roots_for_those_fills_alone(opened, answers):
    @cache
    def trends_of(name, *reductors):
        return opened.trends("EMC", [name], list(reductors), run=300000).load()

    for number, histograms in enumerate(answers.values()):
        for name, expected in histograms.items():
            kept = set(opened.histograms("EMC").loc[name, "reductors"])
            assert kept >= {reductor for reductor in expected["reductors"] if "quantile" not in reductor}
            trends = trends_of(name, *expected["reductors"]).isel(histogram=0, time=number)
            for reductor, (value, error) in expected["reductors"].items():
                one = trends.sel(reductor=reductor)
                assert near(value) == one.value.item(), (name, reductor, number)
                # A difference of large sums has lost digits where all fills of a bin are one.
                rounding = 1e-6 if name.startswith("profile") and reductor == "integral" else 1e-9
                assert error is None or one.error.item() == pytest.approx(error, rel=1e-9, abs=rounding, nan_ok=True)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("chosen", sizes(["generated/root640_classes_c101.root", "go-hep/tprofile.root"], None))
def test_every_reductor_of_every_real_histogram_is_roots(shared, tmp_path, chosen):
    """The first row of a histogram is the file itself; two files are refused for their 78.9 million cells.

    Every day only two files are read, one of which has all classes.
    """
    oracle = [one for one in json.loads((shared / "oracle.json").read_text())["histograms"] if "mean" in one]
    oracle = [one for one in oracle if chosen is None or one["file"] in chosen]
    names = sorted({one["file"] for one in oracle})
    files = [of_its_own(shared, name, number) for number, name in enumerate(names, start=1)]
    found = ingest.ingest(ingest.FoundFiles(files), tmp_path / "store", workers=0)
    assert found.quarantined == (2 if chosen is None else 0)
    archive = owtrend.open(tmp_path / "store")
    compared, wrong = 0, []
    for expected in oracle:
        if expected["file"].endswith(("Partial.root", "Total.root")):
            continue
        path = "/".join([expected["key"], *(name for _, name in expected["inside"])])
        view = archive.stored(f"S{names.index(expected['file']) + 1}")
        (one,) = run_histogram.by_binning(view, 1, view.registry.find(path, ""))
        bounds = zip("xyz", expected["axis_range"], strict=False)
        ranges = {letter: (bins[0] - 1, bins[1]) for letter, bins in bounds if bins}
        increments = Increments.from_rows(one, ranges=ranges)
        for name, number, root in answers_of(expected, bool(ranges)):
            got = parse(name)(increments)[number][0]
            compared += 1
            if not same(got, NUMBERS.get(root, root)):
                wrong.append(f"{expected['file']} {path} {name}: {got} here, {root} in ROOT")
    assert compared > (5000 if chosen is None else 300)
    assert not wrong, "\n".join(wrong)


NUMBERS = {"nan": np.nan, "inf": np.inf, "-inf": -np.inf}  # which JSON has no form for


def of_its_own(folder, name, number):
    """A file as the only one of a subsystem."""
    status = (folder / name).stat()
    return SourceFile(
        path=str(folder / name), source=name, parsed=name, subsystem=f"S{number}", run=1, time=10**18,
        size=status.st_size, mtime=status.st_mtime_ns,
    )  # fmt: skip


def answers_of(expected, ranged):
    """Reductor, 0 for value and 1 for error, and ROOT's number; those that do not follow a range in ROOT left out."""
    yield "integral", 0, expected["integral"]
    if not ranged:
        yield "entries", 0, expected["entries"]
        for share, value in zip((0.05, 0.5, 0.95), expected.get("quantiles_5_50_95", ()), strict=False):
            yield f"quantile_x({share})", 0, value
    for axis, letter in enumerate("xyz"[: len(expected["nbins"])]):
        for name in ("mean", "std", "skewness", "kurtosis"):
            yield f"{name}_{letter}", 0, expected["stddev" if name == "std" else name][axis]
        yield f"mean_{letter}", 1, expected["mean_error"][axis]
        yield f"std_{letter}", 1, expected["stddev_error"][axis]


def same(ours, root):
    """Equal to 1e-9; where nothing is filled, or all in one bin, ROOT gives 0 or infinity and owtrend says missing."""
    if np.isnan(ours):
        return np.isnan(root) or root == 0 or np.isinf(root)
    return ours == pytest.approx(root, rel=1e-9, abs=1e-12)


def near(expected):
    return pytest.approx(float(expected), rel=1e-9, abs=1e-12, nan_ok=True)


@pytest.mark.slow
def test_generated_runs_have_roots_mean_and_std_in_their_last_snapshot(shared, tmp_path):
    folder = shared / "generated" / "runs" / "Run300102"
    summary = ingest.ingest(ingest.find_files([folder], timezone="UTC"), tmp_path / "store", workers=0)
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
