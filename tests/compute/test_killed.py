"""A pass killed by SIGKILL at any moment, or one of its workers: the same arrays, findings, incidents and alarms."""

import random
import shutil
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

import owtrend
from owtrend.quality.alarms.table import alarm_table
from owtrend.quality.journal import Journal
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from tests import builders
from tests.forks import Forks
from tests.studies import sizes

pytestmark = pytest.mark.slow

RUNS = range(300000, 300036)  # more than are committed at once
HOT = (300005, 300006, 300020, 300034)


def run_of(run):
    """Six snapshots, an hour apart from those of the next run; of some runs one bin is hot."""
    rng = np.random.default_rng(run)
    counts = rng.poisson(60, (6, 24)).cumsum(axis=0)
    if run in HOT:
        counts[3:, 7] += 500 * np.arange(1, 4)
    contents = [np.pad(row, 1) for row in counts]
    minutes = [60 * (run - RUNS[0]) + number for number in range(6)]
    return builders.snapshots({"hits": contents, "QA/time": contents}, run, minutes=minutes)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A store with nothing computed, the content of one that was computed undisturbed, and how long that took."""
    folder = tmp_path_factory.mktemp("killed")
    builders.append(folder / "begin", (row for run in RUNS for row in run_of(run)))
    shutil.copytree(folder / "begin", folder / "whole")
    with Forks(folder / "said") as forks:
        began = time.monotonic()
        forks.run("compute", folder / "whole", "--workers", 0)
        yield forks, folder, content(folder / "whole"), time.monotonic() - began


def content(store):
    """All that a pass leaves in a store, and the alarms."""
    assert check(Store.open(store)).problems == []
    archive = owtrend.open(store)
    view = archive.stored("EMC")
    arrays = {
        (what, name, run): getattr(view, what).block(name, at, slice(0, len(view.times(at)))).tobytes()
        for what, names in {"trends": ("value", "error", "state"), "scores": ("z", "total", "flagged")}.items()
        for name in names
        for run, at in view.run_indices.items()
    }
    findings, incidents = archive.findings(), archive.incidents()
    alarms = alarm_table(Journal(store))
    assert {run for runs in incidents["runs"] for run in runs} >= set(HOT)
    listed = incidents[["id", "runs", "findings", "why"]].values.tolist()
    return arrays, findings[["id", "why"]].values.tolist(), listed, sorted(alarms["id"])


@pytest.mark.parametrize("moments", sizes(2, 20))
def test_a_pass_killed_at_any_moment_goes_on_and_ends_as_if_it_was_not(world, tmp_path, moments):
    forks, folder, expected, took = world
    killed, committed = 0, set()
    for number in range(moments):
        store = tmp_path / str(number)
        shutil.copytree(folder / "begin", store)
        process = forks.begin("compute", store, "--workers", 0)
        time.sleep(took * (number + 0.5) / moments)
        process.kill()
        killed += process.status == -9
        view = Store.open(store).reader().subsystem("EMC")
        committed.add(tuple(np.count_nonzero(of.revisions) for of in (view.trends, view.scores)))
        forks.run("compute", store, "--workers", 0)
        assert content(store) == expected, number
        shutil.rmtree(store)
    assert killed
    assert moments < 20 or len(committed) > 2  # some were killed between two commits


@pytest.mark.study  # tests of the cluster kill a worker every time
def test_workers_killed_at_twenty_moments_of_a_pass_cost_time_only(world, tmp_path):
    _, folder, expected, _ = world
    chance, killed = random.Random(1), 0
    for number in range(20):
        store = tmp_path / str(number)
        shutil.copytree(folder / "begin", store)
        command = [sys.executable, "-m", "owtrend", "compute", str(store), "--workers", "2"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(2 + chance.random() * 6)
            workers = [one for one in _children(process.pid) if "spawn_main" in " ".join(one.cmdline())]
            if workers:
                chance.choice(workers).kill()
                killed += 1
            assert process.wait(120) == 0
        assert content(store) == expected, number
        shutil.rmtree(store)
    assert killed


def _children(pid):
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
