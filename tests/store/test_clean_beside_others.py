"""Cleaning in a loop beside processes that write and read, with clocks that are hours apart: nothing is lost."""

import os
import random
import time
from pathlib import Path

import numpy as np
import pytest

import owtrend
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from tests import builders
from tests.forks import Forks
from tests.studies import sizes

pytestmark = pytest.mark.slow

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
ROWS = 4


def clock(hours):
    """The environment of a process whose clock, but not that of its disk, is ahead."""
    if not hours:
        return {}
    fake = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{hours:+d}h"}
    return fake | {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", "FAKE_UTIME": "1"}


@pytest.mark.skipif(FAKETIME is None and not os.environ.get("CI"), reason="needs the package faketime of the system")
@pytest.mark.parametrize("rounds", sizes(3, 100))
def test_nothing_is_lost(tmp_path, rounds):
    chance, fills, store = random.Random(rounds), np.random.default_rng(rounds), tmp_path / "store"
    Store.create(store)
    reported = -1
    with (
        Forks(tmp_path / "0") as now,
        Forks(tmp_path / "5", clock(5)) as ahead,
        Forks(tmp_path / "-5", clock(-5)) as behind,
    ):
        clocks = [now, ahead, behind]
        for number in range(rounds):
            run = {"h": np.cumsum(fills.poisson(5, (ROWS, 8)), axis=0).tolist()}
            builders.write_run(tmp_path / "data", run, run=300200 + number)
            shown = owtrend.open(store)
            commands = [
                (now, "ingest", tmp_path / "data", "--store", store, "--workers", 0),
                (now, "compute", store, "--workers", 0),
                (now, "append", reported + 1, reported + 7, store),
                *[(one, "clean", store, "--older-than", 1 / 24) for one in clocks],
                *[(one, "clean", store, "--older-than", 0, "--force") for one in clocks if one is not now],
            ]
            chance.shuffle(commands)
            processes = []
            for forks, *command in commands:
                processes.append(forks.begin(*command))
                time.sleep(chance.random() * 0.3)
            for process in processes:
                assert process.wait() in (0, 1), process.output.read_text()
                if process.command.startswith("append") and process.status == 0:
                    reported += 6
            if 300200 in shown.runs.index:  # a version younger than an hour
                assert shown.histogram("EMC", "h", runs=slice(300200, None)).sizes["snapshot"] % ROWS == 0
            assert check(Store.open(store)).problems == [], number
            now.run("ingest", tmp_path / "data", "--store", store, "--workers", 0)
            now.run("clean", store, "--older-than", 0, "--force")
            for forks in (ahead, behind):
                process = forks.begin("clean", store, "--older-than", 0, "--force")
                assert process.wait() == 1
                assert "the clock of this machine is 5 h" in process.output.read_text()
            report = check(Store.open(store))
            assert (report.problems, report.rows) == ([], ROWS * (number + 1) + 2 * (reported + 1)), number
