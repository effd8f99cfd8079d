"""Cleaning in a loop while other processes write and read, with clocks that are hours apart: nothing is lost."""

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
REFUSALS = ("another process is the", "the clock of this machine is")


def clock(hours):
    """The environment of a process whose clock, but not that of its disk, is some hours off."""
    if not hours:
        return {}
    fake = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{hours:+d}h"}
    return fake | {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", "FAKE_UTIME": "1"}


@pytest.mark.skipif(FAKETIME is None and not os.environ.get("CI"), reason="needs the package faketime of the system")
@pytest.mark.parametrize("rounds", sizes(3, 100))
def test_nothing_is_lost(tmp_path, rounds):
    chance, fills, store = random.Random(rounds), np.random.default_rng(rounds), tmp_path / "store"
    Store.create(store)
    reported, done, put_in = -1, set(), []
    with (
        Forks(tmp_path / "0") as now,
        Forks(tmp_path / "5", clock(5)) as ahead,
        Forks(tmp_path / "-5", clock(-5)) as behind,
    ):
        clocks = [now, ahead, behind]
        for number in range(rounds):
            put_in.append(np.cumsum(fills.poisson(5, (ROWS, 8)), axis=0))
            builders.write_run(tmp_path / "data", {"h": put_in[-1].tolist()}, run=300200 + number)
            shown = owtrend.open(store)
            commands = [
                (now, "ingest", tmp_path / "data", "--store", store, "--workers", 0),
                (now, "compute", store, "--workers", 0),
                (now, "append", reported + 1, reported + 7, store),
                *[(one, "clean", store, "--older-than", 1 / 24) for one in (now, *clocks)],
                *[(one, "clean", store, "--older-than", 0, "--force") for one in clocks if one is not now],
            ]
            chance.shuffle(commands)
            processes = []
            for forks, *command in commands:
                processes.append(forks.begin(*command))
                time.sleep(chance.random() * 0.3)
            for process in processes:
                said = process.output.read_text()
                assert process.wait() == 0 or any(refusal in said for refusal in REFUSALS), said
                done |= {process.command.split()[0]} if process.status == 0 else set()
                if process.command.startswith("append") and process.status == 0:
                    reported += 6
            if 300200 in shown.runs.index:  # a version younger than an hour
                cells = shown.histogram("EMC", "h", runs=slice(300200, None))["contents"].values
                np.testing.assert_array_equal(cells, np.concatenate(put_in[: len(cells) // ROWS])[:, 1:-1])
            assert check(Store.open(store)).problems == [], number
            now.run("ingest", tmp_path / "data", "--store", store, "--workers", 0)
            now.run("clean", store, "--older-than", 0, "--force")
            for forks in (ahead, behind):
                process = forks.begin("clean", store, "--older-than", 0, "--force")
                assert process.wait() == 1
                assert "the clock of this machine is 5 h" in process.output.read_text()
            report = check(Store.open(store))
            assert (report.problems, report.rows) == ([], ROWS * (number + 1) + 2 * (reported + 1)), number
    assert done >= {"ingest", "compute", "append"}
