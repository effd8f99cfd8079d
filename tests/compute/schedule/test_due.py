"""Which jobs are due when: times, both clock changes, events; no process and no clock."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from owtrend.compute.schedule.due import Due, Job, due, next_time, updated
from owtrend.config.jobs import JobConfig
from owtrend.errors import StoreError, UsageError

ZURICH = ZoneInfo("Europe/Zurich")
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def job(**fields):
    return Job(**{"name": "nightly", "run": ("compute",), "at": "30 3 * * *", "handled": NOON} | fields)


def runs_between(one, first, last, step=timedelta(minutes=10)):
    """The local times at which a schedule that looks every ten minutes begins a job."""
    found, now = [], first
    one = replace(one, handled=first)
    while now <= last:
        if due([one], now):
            found.append(now.astimezone(ZoneInfo(one.zone)).strftime("%d %H:%M %Z"))
            one = replace(one, handled=now, started=now, ended=now)
        now += step
    return found


def test_a_job_is_due_from_its_time_on_and_once():
    one = job()
    at = datetime(2026, 6, 2, 3, 30, tzinfo=UTC)
    assert due([one], at - timedelta(seconds=1)) == []
    assert due([one], at) == [Due("nightly", "due at 2026-06-02 03:30 UTC")]
    assert due([replace(one, handled=at)], at) == []
    assert next_time(one, at) == at + timedelta(days=1)


def test_what_was_missed_in_a_stop_of_days_is_due_once():
    later = NOON + timedelta(days=20)
    assert len(due([job()], later)) == 1
    assert due([job(handled=later)], later) == []


def test_a_job_that_is_on_is_not_due_and_what_it_missed_is_due_when_it_has_ended():
    later = NOON + timedelta(days=2)
    assert due([job()], later, running=["nightly"]) == []
    assert len(due([job(handled=NOON + timedelta(hours=1))], later)) == 1


def test_a_job_that_was_cut_off_is_due_again():
    assert due([job(started=NOON)], NOON)[0].why == "cut off before"
    assert due([job(started=NOON, ended=NOON - timedelta(hours=1))], NOON)[0].why == "cut off before"
    assert due([job(started=NOON, ended=NOON)], NOON) == []


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("30 2 * * *", ["28 02:30 CET", "29 03:00 CEST", "30 02:30 CEST"]),  # there is no 2:30 on the 29th
        ("0 3 * * *", ["28 03:00 CET", "29 03:00 CEST", "30 03:00 CEST"]),
    ],
)
def test_when_clocks_go_forward_a_job_of_the_hour_that_is_left_out_runs_once(at, expected):
    first = datetime(2026, 3, 28, tzinfo=ZURICH).astimezone(UTC)
    assert runs_between(job(at=at, zone="Europe/Zurich"), first, first + timedelta(days=2, hours=10)) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("30 2 * * *", ["24 02:30 CEST", "25 02:30 CEST", "26 02:30 CET"]),  # 2:30 comes twice on the 25th
        ("0 3 * * *", ["24 03:00 CEST", "25 03:00 CET", "26 03:00 CET"]),
    ],
)
def test_when_clocks_go_back_a_job_of_the_hour_that_comes_twice_runs_once(at, expected):
    first = datetime(2026, 10, 24, tzinfo=ZURICH).astimezone(UTC)
    assert runs_between(job(at=at, zone="Europe/Zurich"), first, first + timedelta(days=2, hours=10)) == expected


def test_an_hourly_job_runs_every_hour_through_both_changes():
    for day in (datetime(2026, 3, 29, tzinfo=ZURICH), datetime(2026, 10, 25, tzinfo=ZURICH)):
        first = day.astimezone(UTC)
        found = runs_between(job(at="0 * * * *", zone="Europe/Zurich"), first, first + timedelta(hours=6))
        assert len(found) == 6, found


@given(
    minutes=st.integers(0, 59), hours=st.integers(0, 23), stops=st.lists(st.integers(1, 3000), min_size=1, max_size=8)
)
def test_however_often_it_is_stopped_a_daily_job_runs_once_for_all_that_was_missed(minutes, hours, stops):
    one, now = job(at=f"{minutes} {hours} * * *", zone="Europe/Zurich"), NOON
    for stop in stops:
        before, now = now, now + timedelta(minutes=stop)
        missed = next_time(one, before)
        assert bool(due([one], now)) == (missed is not None and missed <= now)
        one = replace(one, handled=now)


def test_an_event_makes_a_job_due_until_it_has_seen_it():
    one = job(at=None, on=("run ended", "data arrived"), seen={"run ended": "1", "data arrived": "x"})
    same = {"run ended": "1", "data arrived": "x", "run started": "9"}
    assert due([one], NOON, same) == []
    assert due([one], NOON, same | {"run ended": "2"}) == [Due("nightly", "run ended")]
    assert due([one], NOON, same | {"run ended": "2"}, ["nightly"]) == []
    assert due([replace(one, seen=same | {"run ended": "2"})], NOON, same | {"run ended": "2"}) == []
    assert next_time(one, NOON) is None


def test_of_a_new_job_or_another_time_nothing_before_now_is_due():
    config = {"nightly": JobConfig(run=["compute"], at="0 3 * * *")}
    new = updated({}, config, NOON)
    assert due(new.values(), NOON) == []
    kept = updated({"nightly": replace(new["nightly"], handled=NOON - timedelta(days=9))}, config, NOON)
    assert len(due(kept.values(), NOON)) == 1
    other = updated(kept, {"nightly": JobConfig(run=["clean"], at="0 4 * * *")}, NOON)
    assert due(other.values(), NOON) == []
    assert other["nightly"].run == ("clean",)


def test_a_job_comes_back_from_its_fields():
    one = job(on=("run ended",), seen={"run ended": "1"}, started=NOON, status=1, said="x")
    assert Job.from_fields("nightly", one.to_fields()) == one
    with pytest.raises(StoreError, match="update owtrend"):
        Job.from_fields("nightly", {"handled": "soon"})


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"at": "61 * * * *"}, "expected five fields"), ({"at": "* *"}, "five fields"),
     ({"zone": "Mars/Base"}, "no time zone"), ({"zone": "../../etc/passwd"}, "no time zone")],
)  # fmt: skip
def test_a_time_that_means_nothing_is_one_line(fields, words):
    config = JobConfig(**{"run": ["compute"], "at": "0 3 * * *"} | fields)
    with pytest.raises(UsageError, match=words):
        updated({}, {"nightly": config}, NOON)


def test_a_job_needs_a_time_or_an_event():
    with pytest.raises(ValueError, match="give `at`, `on`, or both"):
        JobConfig(run=["compute"])
