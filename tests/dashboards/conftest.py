"""Small stores: one with a histogram of each kind, one with scores."""

from datetime import datetime

import numpy as np
import pytest
from uproot.writing import identify

import owtrend
from owtrend.compute import compute
from tests import making

MINUTES = 6
LONG = "a/rather/long/name_of_a_histogram_that_nobody_would_type"
START = datetime(2018, 6, 1, 12, 0)


def axis(letter, bins, title=""):
    """``bins`` is (number, low, high), edges, or labels."""
    labels, edges = None, None
    if isinstance(bins, list):
        labels = identify.to_THashList([identify.to_TObjString(label) for label in bins])
        for number, label in enumerate(labels, start=1):
            label.bases[0].members["@fUniqueID"] = number
        bins = len(bins), 0.0, float(len(bins))
    elif isinstance(bins, np.ndarray):
        bins, edges = (len(bins) - 1, bins[0], bins[-1]), bins
    return identify.to_TAxis(f"{letter}axis", title, *bins, edges, fLabels=labels)


def histogram(name, shape, axes, fills, dtype=">f8"):
    """A TH1, TH2 or TH3 with 1, 2, 3, ... times ``fills`` in its bins; each seventh and the last are empty."""
    inner = np.arange(1, np.prod(shape) + 1) % 7 * fills
    inner[-1] = 0
    contents = np.pad(inner.reshape(shape), 1)
    sums = dict.fromkeys(["fEntries", "fTsumw", "fTsumw2"], inner.sum())
    letters = "xyz"[: len(axes)]
    for letter in letters:
        sums |= {f"fTsumw{letter}": 2.0 * inner.sum(), f"fTsumw{letter}2": 5.0 * inner.sum()}
    sums |= {f"fTsumw{a}{b}": 0.0 for a, b in ("xy", "xz", "yz") if {a, b} <= set(letters)}
    make = (identify.to_TH1x, identify.to_TH2x, identify.to_TH3x)[len(axes) - 1]
    named = {f"f{letter.upper()}axis": axis for letter, axis in zip("xyz", axes, strict=False)}
    return make(
        fName=None, fTitle=f"title of {name}", data=contents.ravel().astype(dtype), fSumw2=None, **sums, **named
    )


def profile(fills):
    """A TProfile with means 10 and 11, and an empty bin."""
    entries = np.array([0, fills, 2 * fills, 0, 0], dtype=">f8")
    sumwy, sumwy2 = entries * [0, 10, 11, 0, 0], entries * [0, 104, 125, 0, 0]
    total = entries.sum()
    return identify.to_TProfile(
        fName=None, fTitle="mean", data=sumwy, fEntries=total, fTsumw=total, fTsumw2=total, fTsumwx=total,
        fTsumwx2=2 * total, fTsumwy=sumwy.sum(), fTsumwy2=sumwy2.sum(), fSumw2=sumwy2, fBinEntries=entries,
        fBinSumw2=np.zeros(0), fXaxis=axis("x", (3, 0.0, 3.0), "module"),
    )  # fmt: skip


def snapshot(minute):
    """Histograms of a subsystem ``minute`` minutes after the run began; it restarted at the fourth."""
    fills = minute - 3 if minute > 3 else minute
    return {
        "plain": histogram("plain", (8,), [axis("x", (8, 0.0, 4.0), "#Delta#eta of p_{T}")], fills, ">i4"),
        "variable": histogram("variable", (3,), [axis("x", np.array([0.0, 1.0, 10.0, 100.0]), "E (GeV)")], fills),
        "labelled": histogram("labelled", (3,), [axis("x", ["minimum bias", "L0", "L1 #gamma"])], fills),
        "map": histogram("map", (5, 4), [axis("x", (4, 0.0, 4.0), "column"), axis("y", (5, 0.0, 5.0), "row")], fills),
        "uneven": histogram("uneven", (3, 4), [axis("x", (4, 0.0, 4.0)), axis("y", np.array([0, 1.0, 5, 6]))], fills),
        "box": histogram("box", (2, 3, 4), [axis("x", (4, 0, 4)), axis("y", (3, 0, 3)), axis("z", (2, 0, 2))], fills),
        "profile": profile(fills),
        LONG: histogram("long", (4,), [axis("x", (4, 0, 4))], fills),
    }  # fmt: skip


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Runs 300000 (EMC, TPC; one damaged file) and 300001 (EMC only, without the labelled histogram)."""
    folder = tmp_path_factory.mktemp("dashboards")
    for minute in range(1, MINUTES + 1):
        when = START.replace(minute=minute)
        emc = snapshot(minute)
        making.write(folder / f"data/Run300000/EMC/EMChists.{when:%Y_%m_%d_%H_%M_%S}.root", emc)
        making.write(folder / f"data/Run300000/TPC/TPChists.{when:%Y_%m_%d_%H_%M_30}.root", {"plain": emc["plain"]})
        del emc["labelled"]
        later = when.replace(hour=14)
        making.write(folder / f"data/Run300001/EMC/EMChists.{later:%Y_%m_%d_%H_%M_%S}.root", emc)
    (folder / "data/Run300000/EMC/EMChists.2018_06_01_12_30_00.root").write_bytes(b"root, but cut short")
    making.ingest(folder / "data", folder / "store")
    return folder / "store"


@pytest.fixture(scope="session")
def archive(store):
    """Shared by all tests, because none changes it."""
    return owtrend.open(store)


def _counts(rng, shares, rows):
    """Cumulative contents, flow included, of snapshots with 400 new counts each, distributed over eight bins."""
    increments = rng.multinomial(400, np.asarray(shares) / np.sum(shares), size=rows)
    return np.pad(increments.cumsum(axis=0), ((0, 0), (1, 1)))


@pytest.fixture(scope="session")
def scored_store(tmp_path_factory):
    """``steady`` and ``odd`` in runs 1, 2 and 3, scored, and in run 4, which is not, of 24 snapshots a minute apart.

    In run 3 the third bin of ``odd`` is dead from 14:12 on, and ``steady`` is missing in the last eight snapshots.
    """
    folder, rng, shares = tmp_path_factory.mktemp("scored"), np.random.default_rng(7), np.arange(1, 9)
    for run in (1, 2, 3, 4):
        contents = {name: _counts(rng, shares, 24) for name in ("steady", "odd")}
        if run == 3:
            contents["odd"][12:] = contents["odd"][11] + _counts(rng, np.where(np.arange(8) == 2, 0, shares), 12)
        rows = {name: counts.tolist() for name, counts in contents.items()}
        if run == 3:
            rows["steady"][16:] = [None] * 8
        making.write_run(folder / f"data{run}", rows, run=run, start=START.replace(hour=11 + run))
        if run == 4:
            compute.compute(folder / "store", workers=0)
        making.ingest(folder / f"data{run}", folder / "store")
    return folder / "store"


@pytest.fixture(scope="session")
def scored(scored_store):
    """Shared by all tests, because none changes it."""
    return owtrend.open(scored_store)
