"""Runs jobs of a store when they are due, each in a process of its own; what became of them stands in the journal."""

import contextlib
import fcntl
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import IO, Any

from owtrend.compute.schedule.due import Job, due, next_time, updated
from owtrend.compute.schedule.events import observed
from owtrend.config.jobs import JobConfig
from owtrend.display import printable
from owtrend.errors import OwtrendError, UsageError
from owtrend.quality.journal.database import Database
from owtrend.quality.journal.jobs import load_jobs, save_jobs
from owtrend.store.disk import locks
from owtrend.store.repository import Store
from owtrend.store.storage import is_local

__all__ = ["NEVER", "Schedule", "job_rows", "known_jobs"]

NEVER = frozenset({"schedule", "receive", "serve", "up"})  # verbs that do not end by themselves
_LOOK = 5.0  # seconds between two looks at the clock and the store
_PATIENCE = 30.0  # seconds for a job to end after SIGTERM
_SAID = 2000  # characters kept of what a job printed
_NAME = re.compile(r"[\w.-]{1,100}")
_log = logging.getLogger(__name__)

Clock = Callable[[], datetime]


@dataclass
class _Running:
    """A job that is on."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    began: datetime


class Schedule:
    """The jobs of one store. A step begins those that are due and notes those that have ended.

    Parameters
    ----------
    jobs
        From a configuration on this machine, never from a store.
    journal
        The database that keeps how far they came.
    command
        Gives the words to start from a job's verb and options; by default this Python runs owtrend on the store.
    clock
        The time, UTC.
    """

    def __init__(
        self, store: Store, jobs: Mapping[str, JobConfig], journal: Database, *,
        command: Callable[[Sequence[str]], list[str]] | None = None, clock: Clock = lambda: datetime.now(UTC),
    ) -> None:  # fmt: skip
        self._store, self._journal, self._clock = store, journal, clock
        self._command = command or self._owtrend
        self._running: dict[str, _Running] = {}
        self._observed: tuple[str, dict[str, str]] | None = None
        for name, job in jobs.items():
            if not _NAME.fullmatch(name):
                raise UsageError(f"job {printable(name)!r}: expected a name of letters, digits, _, - and .")
            if job.run[0] in NEVER or not re.fullmatch(r"[a-z][a-z-]*", job.run[0]):
                raise UsageError(
                    f"job {name}: {printable(job.run[0])!r} is no verb for a job; such as compute or clean"
                )
        before = known_jobs(journal)
        self.jobs = updated(before, jobs, clock())
        if any(job.on for job in self.jobs.values()):
            now = self._events(clock())
            self.jobs = {name: replace(job, seen=now | dict(job.seen)) for name, job in self.jobs.items()}
        self._save(*self.jobs, gone=[name for name in before if name not in self.jobs])

    def run(self, stop: threading.Event) -> None:
        """Go on until ``stop`` is set; jobs that are on are then ended, and are due at the next start."""
        try:
            while not stop.is_set():
                try:
                    self.step()
                except OwtrendError as error:  # a journal on a disk that is full: it may have room later
                    _log.warning("%s", error)
                stop.wait(_LOOK)
        finally:
            self.end()

    def step(self) -> list[str]:
        """Note what has ended, begin what is due; returns the names of jobs that began."""
        now = self._clock()
        self._finish(now)
        events = self._events(now) if any(job.on for job in self.jobs.values()) else {}
        begun = []
        for one in due(self.jobs.values(), now, events, self._running):
            if self._begin(self.jobs[one.name], now, events):
                _log.info("job %s begins: %s", one.name, one.why)
                begun.append(one.name)
        return begun

    @property
    def running(self) -> tuple[str, ...]:
        """Names of the jobs that are on."""
        return tuple(self._running)

    def end(self) -> None:
        """End all jobs that are on: SIGTERM, and SIGKILL for one that does not end. They are due at the next start."""
        for one in self._running.values():
            one.process.terminate()
        for name, one in list(self._running.items()):
            _wait(one.process)
            one.output.close()
            del self._running[name]

    def _begin(self, job: Job, now: datetime, events: Mapping[str, str]) -> bool:
        """Start a job; false if it is still on from an earlier schedule that died."""
        with self._lock(job.name) as handle:
            if handle is False:
                return False
            output = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the job has ended
            try:
                process = subprocess.Popen(
                    self._command(job.run), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    pass_fds=[] if handle is None else [handle],
                )  # fmt: skip
            except OSError as error:
                output.close()
                failed = replace(
                    job, handled=now, started=now, ended=now, status=127, said=str(error), seen=dict(events)
                )
                self.jobs[job.name] = failed
                self._save(job.name)
                return False
        self._running[job.name] = _Running(process, output, now)
        seen = dict(job.seen) | dict(events)
        self.jobs[job.name] = replace(job, handled=now, started=now, ended=None, status=None, said="", seen=seen)
        self._save(job.name)
        return True

    def _finish(self, now: datetime) -> None:
        """Note the jobs that have ended, and end those that are on for too long."""
        for name, one in list(self._running.items()):
            late = (now - one.began).total_seconds() > 3600 * self.jobs[name].longest
            if one.process.poll() is None and not late:
                continue
            if late and one.process.poll() is None:
                one.process.terminate()
                _wait(one.process)
            said = _last_words(one.output) + (f"\nended after {self.jobs[name].longest:g} h" if late else "")
            self.jobs[name] = replace(self.jobs[name], ended=now, status=one.process.returncode, said=said.strip())
            one.output.close()
            del self._running[name]
            self._save(name)

    def _events(self, now: datetime) -> dict[str, str]:
        """What the store has; it is read again when it has another version, or a run may have become quiet."""
        key = f"{self._store.version} {int(now.timestamp()) // 60}"
        if self._observed is None or self._observed[0] != key:
            self._observed = key, observed(self._store.reader(), int(now.timestamp() * 1e9))
        return self._observed[1]

    def _save(self, *names: str, gone: Sequence[str] = ()) -> None:
        save_jobs(self._journal, {name: self.jobs[name].to_fields() for name in names}, gone)

    def _owtrend(self, words: Sequence[str]) -> list[str]:
        verb, *options = words
        return [sys.executable, "-m", "owtrend", verb, self._store.address, *options]

    @contextlib.contextmanager
    def _lock(self, name: str) -> Iterator[Any]:
        """Hold the lock of a job while it is started: its process inherits it, so it is held as long as that lives.

        Yields the handle, False if the job is still on, None where there are no locks.
        """
        if not is_local(self._store.location):
            yield None
            return
        path = locks.lock_file(self._store.location, f"job-{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield handle
        finally:
            os.close(handle)


def known_jobs(journal: Database) -> dict[str, Job]:
    """The jobs that a journal has."""
    return {name: Job.from_fields(name, fields) for name, fields in load_jobs(journal).items()}


def job_rows(jobs: Mapping[str, Job], now: datetime) -> list[dict[str, Any]]:
    """What people see of jobs: what, when, the last run and its result, and when it is due next. Times are UTC."""
    rows = []
    for job in jobs.values():
        when = [f"{job.at} {job.zone}"] if job.at else []
        upcoming = next_time(job, max(now, job.handled))
        took = (job.ended - job.started).total_seconds() if job.started and job.ended and not job.is_cut_off else None
        result = "never run" if job.started is None else "on, or cut off" if job.is_cut_off else "fine"
        if job.status:
            result = f"failed ({job.status})"
        rows.append(
            {
                "job": job.name, "run": " ".join(job.run), "when": ", ".join([*when, *job.on]),
                "last": f"{job.started:%F %T}" if job.started else None, "seconds": took, "result": result,
                "next": f"{upcoming:%F %T}" if upcoming else None, "said": job.said,
            }
        )  # fmt: skip
    return rows


def _wait(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_words(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(size - _SAID, 0))
    return output.read().decode("utf-8", "replace")
