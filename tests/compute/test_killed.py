"""A pass killed by SIGKILL at any moment, or one of its workers: the same arrays, findings, incidents and alarms."""

import contextlib
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
from tests.studies import cases

pytestmark = pytest.mark.slow

RUNS = range(300000, 300036)  # more than are committed at once
MOMENTS = 20
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


@pytest.mark.parametrize("moment", cases(range(MOMENTS), (14,)))
def test_a_pass_killed_at_any_moment_goes_on_and_ends_as_if_it_was_not(world, tmp_path, moment):
    forks, folder, expected, took = world
    store = tmp_path / "store"
    shutil.copytree(folder / "begin", store)
    process = forks.begin("compute", store, "--workers", 0)
    time.sleep(took * (moment + 0.5) / MOMENTS)
    process.kill()
    assert process.status in (-9, 0)  # it may have been quicker than the one before
    forks.run("compute", store, "--workers", 0)
    assert content(store) == expected


@pytest.mark.study  # tests of the cluster kill a worker every time
@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_worker_killed_at_any_moment_of_a_pass_costs_time_only(world, tmp_path, moment):
    forks, folder, expected, took = world
    store = tmp_path / "store"
    shutil.copytree(folder / "begin", store)
    command = [sys.executable, "-m", "owtrend", "compute", str(store), "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        until, workers = time.monotonic() + 60, []
        while len(workers) < 2 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
            workers = [one for one in _children(process.pid) if "spawn_main" in " ".join(one.cmdline())]
        assert workers, process.communicate()
        time.sleep(took * (moment + 0.5) / MOMENTS)
        with contextlib.suppress(psutil.NoSuchProcess):
            random.Random(moment).choice(workers).kill()
        _, said = process.communicate(timeout=120)
    if process.returncode:  # it was just starting
        assert "worker processes could not be started" in said.splitlines()[-1]
        forks.run("compute", store, "--workers", 0)
    assert content(store) == expected


def _children(pid):
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:  # it has ended
        return []
