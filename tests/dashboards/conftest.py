"""Small stores: one with a histogram of each kind, one with scores."""

from itertools import count

import numpy as np
import pytest

import owtrend
from owtrend.compute import compute
from owtrend.model.axis import Axis
from tests import builders

MINUTES = 6
LONG = "a/rather/long/name_of_a_histogram_that_nobody_would_type"


def increasing(name, axes, fills, dtype="f8"):
    """A TH1, TH2 or TH3 with 1, 2, 3, ... times ``fills`` in its bins, x fastest; each seventh and the last are empty.

    Its mean is 2, its standard deviation 1.
    """
    inner = np.arange(1, np.prod([len(axis) for axis in axes]) + 1) % 7 * fills
    inner[-1] = 0
    sums = {}
    for letter in "xyz"[: len(axes)]:
        sums |= {f"tsumw{letter}": 2.0 * inner.sum(), f"tsumw{letter}2": 5.0 * inner.sum()}
    contents = np.pad(inner.reshape([len(axis) for axis in reversed(axes)]).T, 1)
    return builders.histogram(contents, name, axes, dtype=dtype, **sums)


def profile(fills):
    """A TProfile with means 10 and 11, and an empty bin."""
    entries = np.array([0, fills, 2 * fills, 0, 0])
    parts = {"sumwy": entries * [0, 10, 11, 0, 0], "sumwy2": entries * [0, 104, 125, 0, 0], "bin_entries": entries}
    return builders.histogram(parts, "profile", [Axis.spaced(3, 0, 3, "module")])


def histograms(minute):
    """Histograms of a subsystem ``minute`` minutes after the run began; it restarted at the fourth."""
    fills = minute - 3 if minute > 3 else minute
    energy = Axis(np.array([0.0, 1, 10, 100]), regular=False, title="E (GeV)")
    four, uneven = Axis.spaced(4, 0, 4), Axis(np.array([0.0, 1, 5, 6]), regular=False)
    return {
        "plain": increasing("plain", [Axis.spaced(8, 0, 4, "#Delta#eta of p_{T}")], fills, "i4"),
        "variable": increasing("variable", [energy], fills),
        "labelled": increasing("labelled", [builders.labelled(["minimum bias", "L0", "L1 #gamma"])], fills),
        "map": increasing("map", [Axis.spaced(4, 0, 4, "column"), Axis.spaced(5, 0, 5, "row")], fills),
        "uneven": increasing("uneven", [four, uneven], fills),
        "box": increasing("box", [four, Axis.spaced(3, 0, 3), Axis.spaced(2, 0, 2)], fills),
        "profile": profile(fills),
        LONG: increasing(LONG, [four], fills),
    }


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Runs 300000 (EMC, TPC; one damaged file) and 300001 (EMC only, without the labelled histogram)."""
    folder = tmp_path_factory.mktemp("dashboards")
    for minute in range(1, MINUTES + 1):
        emc = histograms(minute)
        builders.write_run(folder / "data", [emc], minutes=[minute])
        builders.write_run(folder / "data", [{"plain": emc["plain"]}], subsystem="TPC", minutes=[minute + 0.5])
        builders.write_run(folder / "data", [emc | {"labelled": None}], 300001, minutes=[minute + 120])
    (folder / "data/Run300000/EMC/EMChists.2018_06_01_12_30_00.root").write_bytes(b"root, but cut short")
    builders.ingest(folder / "data", folder / "store")
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
    location, rng, shares = tmp_path_factory.mktemp("scored") / "store", np.random.default_rng(7), np.arange(1, 9)
    for run in (1, 2, 3, 4):
        contents = {name: _counts(rng, shares, 24) for name in ("steady", "odd")}
        if run == 3:
            contents["odd"][12:] = contents["odd"][11] + _counts(rng, np.where(np.arange(8) == 2, 0, shares), 12)
            contents["steady"] = [*contents["steady"][:16], *[None] * 8]
        if run == 4:
            compute.compute(location, workers=0)
        builders.append(location, builders.snapshots(contents, run, minutes=count(60 * (run - 1))))
    return location


@pytest.fixture(scope="session")
def scored(scored_store):
    """Shared by all tests, because none changes it."""
    return owtrend.open(scored_store)
