"""The receiver as a whole: a folder in; a store, trends, findings and alarms out, as of one pass."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ingest.live.receiver import Receiver, ReceiverSettings
from owtrend.compute.compute import compute
from owtrend.model.axis import Axis
from owtrend.quality.alarms.engine import records
from owtrend.quality.journal import Journal
from owtrend.store.receiver import receiver_state, write_receiver_state
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from tests import builders
from tests.builders import filled
from tests.compute.test_live import everything

# How often a run was written, and what its references were when; both paths count differently.
_BOOKKEEPING = {"revision", "scores revision", "scores basis"}


def write_files(folder, rows, runs=(300000, 300001), subsystems=("XYZ",)):
    """Runs of two histograms; one has a hot channel for some rows of the last run."""
    axis = Axis.spaced(10, 0, 10)
    for subsystem in subsystems:
        for number, run in enumerate(runs):
            rng = np.random.default_rng(run)
            fills = [np.empty((0, 1)), np.empty((0, 1))]
            for row in range(rows):
                for which in range(2):
                    more = rng.normal(5, 2, (300, 1))
                    hot = number == len(runs) - 1 and which == 0 and rows // 2 <= row < rows // 2 + 4
                    fills[which] = np.concatenate([fills[which], more, np.full((200 * hot, 1), 7.5)])
                one = builders.snapshot(
                    60 * number + row, filled([axis], fills[0], "a"), filled([axis], fills[1], "b"), run=run,
                    subsystem=subsystem,
                )  # fmt: skip
                builders.write(folder / builders.file_name(one), *one.values())
    return sorted(folder.rglob("*.root"), key=lambda path: path.name.split(".")[1])


def results(location):
    """Everything that people see: rows, trends, scores, findings, incidents, alarms."""
    store = Store.open(location)
    found = {key: value for key, value in everything(store).items() if key[-1] not in _BOOKKEEPING}
    alarms = sorted(str(record.alarm.subject) for record in records(Journal(store.location))[0])
    return check(store).digest, alarms, found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "subsystems"),
    [
        pytest.param(20, ("XYZ",), id="quick"),
        pytest.param(720, ("XYZ", "UVW", "RST"), id="day", marks=pytest.mark.study),
    ],
)
def test_a_watched_folder_ends_as_ingest_and_compute_of_the_same_files(tmp_path, rows, subsystems):
    files = write_files(tmp_path / "data", rows, subsystems=subsystems)
    (tmp_path / "in").mkdir()
    waiting = iter(files)

    def fed(receiver):
        for _, path in zip(range(4 * len(subsystems)), waiting, strict=False):
            to = tmp_path / "in" / path.relative_to(tmp_path / "data")
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, to)
        return receiver.writer.state.counts["stored"] == len(files)

    settings = ReceiverSettings(
        store=str(tmp_path / "live"), watch=(tmp_path / "in",), timezone="UTC", interval=0.1
    )  # fmt: skip
    Receiver(settings, until=fed).run()
    builders.ingest(tmp_path / "data", tmp_path / "bulk")
    compute(tmp_path / "bulk", workers=0)
    live, bulk = results(tmp_path / "live"), results(tmp_path / "bulk")
    assert live[:2] == bulk[:2]
    assert bulk[1], "there is a fault to be found"
    for key, values in bulk[2].items():
        np.testing.assert_array_equal(live[2][key], values, err_msg=str(key))
    state = receiver_state(settings.folder)
    assert (state["state"], state["alive"], state["counts"]["stored"]) == ("stopped", False, len(files))
    assert not builders.ingest(tmp_path / "data", tmp_path / "live").added, "the store knows the files"


COMMAND = "import sys; from ingest.live.commands import receive; receive(sys.argv[1:])"


def start(folder, *options):
    words = ["--store", folder / "live", "--watch", folder / "in", "--timezone", "UTC", "--interval", "0.1", *options]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, words)], stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OWTREND_SYNC": "never"},
    )  # fmt: skip


def stored(folder):
    try:
        view = Store.open(folder / "live").reader().subsystem("XYZ")
    except Exception:
        return 0
    return sum(len(view.rows(run_index)) for run_index in view.run_indices.values())


def wait_for(condition, process, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("kills", [pytest.param(1, id="quick"), pytest.param(200, id="many", marks=pytest.mark.study)])
def test_kills_at_random_moments_lose_nothing_and_store_nothing_twice(tmp_path, kills):
    """A file in the folder is a sender that repeats; what is in the spool was acknowledged."""
    chance = random.Random(kills)
    files = write_files(tmp_path / "data", 2 * kills + 4, runs=(300000,))
    (tmp_path / "in").mkdir()
    for number in range(kills):
        for path in files[2 * number : 2 * number + 2]:
            shutil.copy2(path, tmp_path / "in" / path.name.replace("hists.", "histos_300000_C_"))
        process = start(tmp_path)
        time.sleep(chance.uniform(0.8, 4))
        process.kill()
        process.communicate()
    for path in files[2 * kills :]:
        shutil.copy2(path, tmp_path / "in" / path.name.replace("hists.", "histos_300000_C_"))
    process = start(tmp_path)
    try:
        wait_for(lambda: stored(tmp_path) >= len(files), process)
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 0, log
    assert all(line.startswith('{"time":') for line in log.splitlines()), log
    builders.ingest(tmp_path / "data", tmp_path / "bulk")
    report = check(Store.open(tmp_path / "live"))
    assert (report.digest, report.problems) == (check(Store.open(tmp_path / "bulk")).digest, [])
    assert not list((tmp_path / "live.receiver").glob("*.payload"))


def test_a_state_that_makes_no_sense_is_none(tmp_path):
    assert receiver_state(None) is None
    assert receiver_state(tmp_path) is None
    for text in ("", "[1]", "{", "[" * 10**5):
        (tmp_path / "receiver.json").write_text(text)
        assert receiver_state(tmp_path) is None
    write_receiver_state(tmp_path, {"state": "receiving"})
    assert receiver_state(tmp_path)["alive"]
    os.utime(tmp_path / "receiver.json", (1, 1))
    assert not receiver_state(tmp_path)["alive"]
