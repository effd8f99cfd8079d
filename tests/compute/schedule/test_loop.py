"""A schedule with a fake clock and jobs that are real processes; restarts, kills, events of a store."""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest

from owtrend.cli.main import status
from owtrend.compute.schedule.events import QUIET, observed
from owtrend.compute.schedule.loop import Schedule, job_rows, known_jobs
from owtrend.config import load
from owtrend.config.jobs import JobConfig
from owtrend.errors import UsageError
from owtrend.quality.journal import Journal
from owtrend.quality.journal.jobs import save_jobs
from owtrend.store.repository import Store
from tests.builders import append, archive_of, snapshot

START = datetime(2026, 6, 1, 12, tzinfo=UTC)
NOON = {"nightly": JobConfig(run=["compute"], at="0 13 * * *", longest=100)}
EVENTS = {"fresh": JobConfig(run=["compute"], on=["data arrived"])}


class World:
    """A store, a clock that stands, and jobs that run a line of Python."""

    def __init__(self, location, jobs=NOON, code="print('done')"):
        self.now, self.code, self.begun = START, code, []
        self.store, self.jobs = Store.open(location), jobs
        self.restart()

    def restart(self):
        journal = Journal(self.store.location)
        self.schedule = Schedule(self.store, self.jobs, journal, command=self.command, clock=lambda: self.now)

    def command(self, words):
        self.begun.append(list(words))
        return [sys.executable, "-S", "-E", "-c", self.code]

    def step(self, hours=0.0):
        self.now += timedelta(hours=hours)
        return self.schedule.step()

    def wait(self):
        """Until all jobs have ended, and that is noted."""
        for one in self.schedule._running.values():
            one.process.wait(30)
        self.schedule._finish(self.now)

    def known(self):
        return known_jobs(Journal(self.store.location))["nightly"]


@pytest.fixture
def location(tmp_path):
    """A store without a snapshot."""
    return Store.create(tmp_path / "store").location


@pytest.fixture
def world(location):
    world = World(location)
    yield world
    world.schedule.end()


def test_a_job_runs_when_it_is_due_and_its_result_is_kept(world):
    assert world.step() == []
    assert world.step(1) == ["nightly"]
    world.wait()
    assert world.step() == []
    one = world.known()
    assert (one.status, one.said, one.started) == (0, "done", START + timedelta(hours=1))
    (row,) = job_rows({"nightly": one}, world.now)
    assert (row["result"], row["last"], row["next"]) == ("fine", "2026-06-01 13:00:00", "2026-06-02 13:00:00")


def test_a_job_that_fails_says_why_and_is_due_at_its_next_time(world):
    world.code = "import sys; print('x' * 5000, flush=True); sys.exit('no \\x1b[31mroom')"
    assert world.step(1) == ["nightly"]
    world.wait()
    one = world.known()
    assert one.status == 1
    assert one.said.endswith("room")
    assert len(one.said) <= 2000
    assert job_rows({"nightly": one}, world.now)[0]["result"] == "failed (1)"
    assert world.step(1) == []
    assert world.step(23) == ["nightly"]


def test_a_job_never_overlaps_itself_and_does_once_what_it_missed(world):
    world.code = "import time; time.sleep(60)"
    world.step(1)
    assert world.step(24) == []
    assert world.step(23) == []
    assert world.schedule.running == ("nightly",)
    world.schedule._running["nightly"].process.kill()
    world.wait()
    world.code = "pass"
    assert world.step(1) == ["nightly"]
    world.wait()
    assert world.step() == []


def test_a_restart_after_days_catches_up_once(world):
    world.step(1)
    world.wait()
    world.now += timedelta(days=5)
    world.restart()
    assert world.step() == ["nightly"]
    world.wait()
    assert world.step() == []
    assert len(world.begun) == 2


def test_a_schedule_that_is_stopped_ends_its_jobs_and_runs_them_again(world):
    world.code = "import time; time.sleep(60)"
    world.step(1)
    process = world.schedule._running["nightly"].process
    world.schedule.end()
    assert process.returncode == -signal.SIGTERM
    world.restart()
    assert world.step() == ["nightly"]


def test_a_job_that_outlives_its_schedule_is_not_started_a_second_time(world):
    world.code = "import time; time.sleep(60)"
    world.step(1)
    orphan = world.schedule._running.pop("nightly")  # the schedule was killed
    world.restart()
    world.code = "pass"
    assert world.step() == []
    assert world.step(24) == []
    orphan.process.kill()
    orphan.process.wait()
    orphan.output.close()
    assert world.step() == ["nightly"]


def test_a_job_that_takes_too_long_is_ended(location):
    world = World(
        location, {"nightly": JobConfig(run=["compute"], at="0 13 * * *", longest=2)}, "import time; time.sleep(60)"
    )
    world.step(1)
    world.step(1.9)
    assert world.schedule.running == ("nightly",)
    world.step(0.2)
    assert world.schedule.running == ()
    assert "ended after 2 h" in world.known().said


def test_a_job_that_is_no_longer_wanted_is_gone_and_one_that_cannot_start_says_so(world):
    world.schedule._command = lambda words: ["/no/such/program"]
    assert world.step(1) == []
    assert world.known().status == 127
    world.jobs = {"other": JobConfig(run=["clean"], at="0 1 * * *")}
    world.restart()
    assert set(known_jobs(Journal(world.store.location))) == {"other"}


@pytest.mark.parametrize("verb", ["schedule", "serve", "--help", "rm -rf", "/bin/sh", ""])
def test_a_job_is_a_verb_that_ends(location, verb):
    with pytest.raises(UsageError, match="no verb for a job"):
        World(location, {"bad": JobConfig(run=[verb], at="0 1 * * *")})


def test_data_that_arrive_make_a_job_due_also_while_the_schedule_was_stopped():
    archive = archive_of(snapshot(1))
    world = World(archive.location, EVENTS)
    assert world.step() == []
    append(archive.location, [snapshot(2)], fold=False)
    assert world.step() == ["fresh"]
    world.wait()
    assert world.step() == []
    append(archive.location, [snapshot(3)], fold=False)
    world.restart()
    assert world.step() == ["fresh"]
    world.wait()
    assert world.step() == []


def test_runs_start_and_end_in_order_of_time():
    archive = archive_of(snapshot(60, run=7))
    store = Store.open(archive.location)

    def now(minutes):
        seen = observed(store.reader(), int(snapshot(60 + minutes).time.astype(int)))
        return seen["run started"], seen["run ended"]

    assert now(1) == ("7", "")
    assert now(QUIET / 60e9 + 1) == ("7", "7")
    append(archive.location, [snapshot(70, run=8)], fold=False)
    assert now(11) == ("8", "7")
    append(archive.location, [snapshot(1, run=3)], fold=False)  # an old one, taken in late
    assert now(11) == ("8", "7")
    assert now(100) == ("8", "8")


def test_the_jobs_of_a_store_count_for_nothing(location):
    store = Store.open(location)
    with store.writer("derived") as begin:
        transaction = begin()
        transaction.configure(json.dumps({"jobs": {"evil": {"run": ["compute"], "at": "* * * * *"}}}), {})
        transaction.commit("hostile")
    assert Store.open(location).reader().config.jobs == {}


def test_status_and_list_show_the_jobs(world, tmp_path, capsys):
    world.step(1)
    world.wait()
    location = world.store.location
    assert status(["schedule", location, "--list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["job"], row["result"], row["when"]) == ("nightly", "fine", "0 13 * * * UTC")
    assert status(["status", location, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"][0]["job"] == "nightly"
    config = tmp_path / "owtrend.yaml"
    config.write_text("jobs: {x: {run: [compote], at: '0 1 * * *'}}")
    assert load(config).jobs["x"].run == ["compote"]
    for listing in ([], ["--list"]):
        assert status(["schedule", location, "-c", str(config), *listing]) == 1
        assert "no verb 'compote'; did you mean 'compute'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_runs_a_job_and_ends_on_sigterm(location, tmp_path, monkeypatch):
    config = tmp_path / "owtrend.yaml"
    config.write_text("jobs: {listing: {run: [runs, --json], at: '* * * * *'}}")
    journal = Journal(location)
    save_jobs(journal, {"listing": World(location, load(config).jobs).schedule.jobs["listing"].to_fields()})  # due
    command = [sys.executable, "-m", "owtrend", "schedule", location, "-c", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        until = time.monotonic() + 60
        while known_jobs(journal)["listing"].status is None and time.monotonic() < until:
            time.sleep(0.1)
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=30)
    assert "another process is the schedule writer" in second.stderr
    assert process.returncode == 0, out
    assert "job listing begins: due at" in out
    assert (known_jobs(journal)["listing"].status, known_jobs(journal)["listing"].said) == (0, "[]")
