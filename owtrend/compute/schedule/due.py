"""Which jobs are due: a pure function of what they are, how far they came, and the time."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from owtrend.config.jobs import JobConfig
from owtrend.display import quoted
from owtrend.errors import StoreError, UsageError

__all__ = ["Due", "Job", "due", "next_time", "updated"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job: what it is, and how far it came. Times are UTC.

    Parameters
    ----------
    handled
        Everything up to then was run, or was before the job was there.
    seen
        What the store had when the job began last, by event; see `owtrend.compute.schedule.events`.
    started, ended
        Of the last run; it is on, or was cut off, if it has not ended since it began.
    status, said
        Exit status of the last run, and the end of what it printed.
    """

    name: str
    run: tuple[str, ...]
    at: str | None = None
    zone: str = "UTC"
    on: tuple[str, ...] = ()
    longest: float = 24.0
    handled: datetime
    seen: Mapping[str, str] = field(default_factory=dict)
    started: datetime | None = None
    ended: datetime | None = None
    status: int | None = None
    said: str = ""

    def to_fields(self) -> dict[str, Any]:
        """As JSON holds it, without the name."""
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in asdict(self).items() if name != "name"
        }  # fmt: skip

    @classmethod
    def from_fields(cls, name: str, fields: Mapping[str, Any]) -> "Job":
        """A job that a database keeps.

        Raises
        ------
        StoreError
            If this version cannot read it.
        """
        times = ("handled", "started", "ended")
        try:
            made = {key: datetime.fromisoformat(fields[key]) if fields[key] else None for key in times}
            return cls(name=name, **(dict(fields) | made | {one: tuple(fields[one]) for one in ("run", "on")}))
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"job {quoted(name)} of the journal cannot be read ({error}); update owtrend") from error

    @property
    def is_cut_off(self) -> bool:
        """True if its last run has begun and not ended."""
        return self.started is not None and (self.ended is None or self.ended < self.started)


@dataclass(frozen=True)
class Due:
    """A job that is to run now, and why."""

    name: str
    why: str


def due(
    jobs: Iterable[Job], now: datetime, observed: Mapping[str, str] | None = None, running: Iterable[str] = ()
) -> list[Due]:
    """The jobs that are to begin now.

    A job that is on is never due: what it missed meanwhile makes it due once when it has ended. However many times have
    passed since it was run, as after a stop, it is due once. One that was cut off is due again.

    Parameters
    ----------
    observed
        What the store has now, by event; what differs from what a job has seen has happened.
    running
        Names of jobs that are on.
    """
    on, found = set(running), []
    for job in jobs:
        if job.name in on:
            continue
        happened = [name for name in job.on if (observed or {}).get(name, job.seen.get(name)) != job.seen.get(name)]
        time = next_time(job, job.handled)
        if job.is_cut_off:
            found.append(Due(job.name, "cut off before"))
        elif time is not None and time <= now:
            found.append(Due(job.name, f"due at {time.astimezone(ZoneInfo(job.zone)):%F %H:%M %Z}"))
        elif happened:
            found.append(Due(job.name, ", ".join(happened)))
    return found


def next_time(job: Job, after: datetime) -> datetime | None:
    """When a job is due next, UTC; None if no time of day makes it due.

    A time that the clock change leaves out is right after it; a time that comes twice counts once, unless the job is
    due every hour or several times in one.
    """
    if job.at is None:
        return None
    from cronsim import CronSim, CronSimError

    try:
        return next(CronSim(job.at, after.astimezone(ZoneInfo(job.zone)))).astimezone(UTC)
    except StopIteration:
        return None
    except CronSimError as error:
        raise UsageError(
            f"job {job.name}: at {quoted(job.at)}: {error}; expected five fields such as '30 3 * * *'"
        ) from error


def updated(known: Mapping[str, Job], wanted: Mapping[str, JobConfig], now: datetime) -> dict[str, Job]:
    """Jobs as the configuration has them, each as far as it came.

    Of a new job, or one whose times are other ones, nothing before now is due.

    Raises
    ------
    UsageError
        If a time or a time zone means nothing.
    """
    jobs = {}
    for name, config in wanted.items():
        fields: dict[str, Any] = {
            "run": tuple(config.run), "at": config.at, "zone": config.zone, "on": tuple(config.on),
            "longest": config.longest,
        }  # fmt: skip
        try:
            ZoneInfo(config.zone)
        except (KeyError, OSError, ValueError) as error:
            raise UsageError(f"job {name}: no time zone {quoted(config.zone)}; such as Europe/Zurich or UTC") from error
        before = known.get(name)
        if before is None:
            job = Job(name=name, handled=now, **fields)
        else:
            same = (before.at, before.zone) == (config.at, config.zone)
            job = replace(before, **fields, handled=before.handled if same else now)
        next_time(job, now)  # is it one?
        jobs[name] = job
    return jobs
