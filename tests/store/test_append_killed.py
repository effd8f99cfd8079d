"""A process that appends is killed at any moment: nothing that it reported is lost, nothing is there twice."""

import random
import time

import numpy as np
import pytest

from owtrend.store.append import appender
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from tests.builders import START, snapshot
from tests.forks import Forks

pytestmark = pytest.mark.slow


def times(store, subsystem):
    view = store.reader().subsystem(subsystem)
    since = view.rows(0).time.view("datetime64[ns]") - START
    return (since / np.timedelta64(1, "m")).astype(int).tolist()


def killed(forks, location, kills, rng):
    """Append from where the store ends, and be killed, again and again; how many minutes the store has in the end."""
    reported = -1
    for _ in range(kills):
        process = forks.begin("append", reported + 1, 100_000, location)
        while not process.lines:
            time.sleep(0.01)
        assert int(process.lines[0]) == reported + 1
        time.sleep(rng.random() * 0.6)
        process.kill()
        reported = int(process.lines[-1])
        store = Store.open(location)
        for subsystem in ("EMC", "TPC"):
            found = times(store, subsystem)
            assert found == list(range(len(found)))
            assert reported < len(found) <= reported + 2  # what was committed and not yet reported may be there
        assert check(store).problems == []
    return len(found)


def test_every_reported_row_is_there_once_whenever_the_process_is_killed(tmp_path):
    Store.create(tmp_path / "store")
    with Forks(tmp_path / "said") as forks:
        minutes = killed(forks, tmp_path / "store", kills=4, rng=random.Random(1))
    undisturbed = Store.create(tmp_path / "undisturbed")
    with appender(undisturbed) as live:
        live.append(
            [snapshot(minute, run=300100, subsystem=name) for minute in range(minutes) for name in ("EMC", "TPC")]
        )
    assert check(Store.open(tmp_path / "store")).digest == check(undisturbed).digest
