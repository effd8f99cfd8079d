"""Commands killed at any moment, two at a time: nothing is lost, nothing is there twice, and the next calls go on."""

import random
import shutil
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest

from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from tests import builders
from tests.forks import Forks
from tests.store import faults
from tests.studies import sizes

pytestmark = pytest.mark.slow

ROWS, MINUTES = 20, 30  # of a run that is ingested, of the one that is appended
LONGEST = 1.5  # seconds until they come
LIVES = ("damaged", "format 1", "empty", "whole")
FIRST = Path(__file__).parents[1] / "data" / "store" / "format_1.tar.xz"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Files, and by its name each store that a life begins with."""
    folder, chance = tmp_path_factory.mktemp("world"), np.random.default_rng(1)
    for run in (300200, 300201):
        for subsystem in ("EMC", "TPC"):
            fills = {name: np.cumsum(chance.poisson(5, (ROWS, 8)), axis=0).tolist() for name in ("h", "g")}
            builders.write_run(folder / "data", fills, run=run, subsystem=subsystem)
    with Forks(folder / "said") as forks:
        for name in ("whole", "damaged"):
            forks.run("ingest", folder / "data", "--store", folder / name, "--workers", 0)
            forks.run("compute", folder / name, "--workers", 0)
    for chunk in ((0, 0, 0), (1, 0, 0)):
        faults.spoil(Store.open(folder / "damaged"), "raw/EMC/counts", *chunk)
    Store.create(folder / "empty")
    with tarfile.open(FIRST) as archive:
        archive.extractall(folder / "format 1", filter="data")
    return folder


def finish(forks, world, store):
    """Whatever came before, these bring a store to its end."""
    forks.run("repair", store)
    forks.run("upgrade", store)
    forks.run("ingest", world / "data", "--store", store, "--workers", 0)
    forks.run("append", appended(store)[-1] + 1, MINUTES, store)
    forks.run("compute", store, "--workers", 0)
    forks.run("clean", store, "--older-than", 0, "--force")


def appended(store):
    """Minutes of the run that is appended, as far as they are stored."""
    reader = Store.open(store).reader()
    views = [reader.subsystem(name) for name in reader.subsystems]
    found = [view.times(view.run_indices[300100]) for view in views if 300100 in view.run_indices]
    minutes = [((times - builders.START) / builders.MINUTE).astype(int).tolist() for times in found]
    assert all(one == minutes[0] for one in minutes)
    return [-1, *minutes[0]] if minutes else [-1]


def content(store):
    """Digest of what was put in, and trends and scores by subsystem and run."""
    reader, report = Store.open(store).reader(), check(Store.open(store))
    assert report.problems == []
    derived = {
        (name, what, array, run): getattr(view, what).block(array, run_index, slice(0, len(view.times(run_index))))
        for name in reader.subsystems
        for view in [reader.subsystem(name)]
        for what, arrays in {"trends": ("value", "error", "state"), "scores": ("z", "total", "flagged")}.items()
        for array in arrays
        for run, run_index in view.run_indices.items()
    }
    return report.digest, {key: values.tobytes() for key, values in derived.items()}


def two_commands(world, store, chance):
    """Two that work on a store at the same time, as the roles allow, or as they refuse each other."""
    every = [
        ("ingest", world / "data", "--store", store, "--workers", 0),
        ("append", appended(store)[-1] + 1, MINUTES, store),
        ("compute", store, "--workers", 0),
        ("clean", store, "--older-than", 0, "--force"),
        ("repair", store),
        ("upgrade", store),
    ]
    return chance.sample(every, 2)


def live(forks, world, store, begin, kills, chance):
    """The life of a store: begun, killed again and again, two commands at a time, and brought to its end."""
    shutil.copytree(world / begin, store)
    rows, whole = 0, begin != "damaged"
    for _ in range(kills // 2):
        both = [forks.begin(*command) for command in two_commands(world, store, chance)]
        chance.shuffle(both)
        time.sleep(chance.random() * LONGEST)
        for process in both:
            process.kill()
        what = [(process.command, process.status, process.output.read_text()) for process in both]
        assert all(process.status in (-9, 0, 1) for process in both), what
        assert "fault in owtrend" not in str(what)
        report = check(Store.open(store))
        whole = whole or not report.problems  # repaired, perhaps
        if whole:
            assert report.problems == [], what
            assert report.rows >= rows, what
            rows = report.rows
        minutes = appended(store)
        assert minutes == list(range(-1, len(minutes) - 1)), what
        for process in both:
            reported = [int(line) for line in process.lines if line.isdigit()]
            assert reported == [] or reported[-1] <= minutes[-1], what
    finish(forks, world, store)


@pytest.mark.parametrize(("lives", "kills"), sizes((1, 2), (84, 12)))
def test_whatever_is_killed_the_store_ends_as_if_nothing_was(world, tmp_path, lives, kills):
    chance = random.Random(lives)
    expected = {}
    with Forks(tmp_path / "said") as forks:
        for begin in ("whole", "format 1")[:lives]:
            shutil.copytree(world / begin, tmp_path / begin)
            finish(forks, world, tmp_path / begin)
            expected[begin] = content(tmp_path / begin)
        expected |= {"empty": expected["whole"], "damaged": expected["whole"]}
        for number in range(lives):
            begin, store = LIVES[number % len(LIVES)], tmp_path / f"store {number}"
            live(forks, world, store, begin, kills, chance)
            assert content(store) == expected[begin], (number, begin)
            shutil.rmtree(store)
