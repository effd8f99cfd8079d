"""Accepted incidents: quiet from their beginning on, also in the middle of a run, and nothing else changes."""

import json
from itertools import chain

import click
import numpy as np
import pytest

import owtrend
from owtrend.cli.main import main
from owtrend.compute import compute, update_scores
from owtrend.compute.stale import Stale
from owtrend.errors import AmbiguousNameError, NotFoundError, UsageError
from owtrend.model.axis import Axis
from owtrend.quality import acceptance
from owtrend.quality.journal import database
from owtrend.store.repository import Store
from tests import builders

AXIS = Axis.spaced(6, 0.0, 6.0)
CENTRES = np.arange(6) + 0.5
SNAPSHOTS = 24
STEP, NEXT = 3, 6  # runs in which levels change
DAY = 24 * 60  # minutes


def expected(run, number, name):
    """Counts in each bin in one report: of three components, whose histograms are a, b; c, d; e, f."""
    later = run > STEP or (run == STEP and number >= SNAPSHOTS // 2)
    shape = np.full(6, 60.0)
    if name == "a" and later:
        shape[2] *= 5  # a hot bin, which also raises the fraction of the histogram
    if name == "a" and run >= NEXT:
        shape[4] *= 4
    if name in ("e", "f") and later:
        shape *= 0.4  # the rate of a component
    return shape


def histograms(run):
    rng = np.random.default_rng([11, run])
    totals = {name: np.zeros(6, dtype=int) for name in "abcdef"}
    for number in range(SNAPSHOTS):
        for place, name in enumerate(totals):
            if place // 2 == number % 3:
                totals[name] = totals[name] + rng.poisson(expected(run, number, name))
        yield {name: builders.filled([AXIS], np.repeat(CENTRES, counts)[:, None]) for name, counts in totals.items()}


@pytest.fixture(scope="module")
def filled_store():
    store = Store.in_memory()
    sent = (
        builders.snapshots(list(histograms(run)), run, minutes=range(run * DAY, run * DAY + SNAPSHOTS))
        for run in range(1, 8)
    )
    builders.append(store.location, chain(*sent))
    compute.compute(store.location, workers=0)
    return store


@pytest.fixture
def store(filled_store, monkeypatch):
    """The store with an empty journal, as it was computed before anything was accepted."""
    monkeypatch.setattr(database, "_in_memory", {})
    yield filled_store
    monkeypatch.setattr(database, "_in_memory", {})
    compute.compute(filled_store.location, workers=0)


def computed(store):
    compute.compute(store.location, workers=0)
    return owtrend.open(store.location)


@pytest.mark.slow
def test_an_accepted_level_is_quiet_from_its_beginning_on_and_the_next_step_is_a_new_incident(store):
    before = owtrend.open(store.location)
    incident, *_ = before.incidents().to_dict("records")
    found = before.findings(runs=STEP)
    assert incident["runs"][:3] == (3, 4, 5)
    assert {"fraction", "rate"} < set(found["score"])
    assert (found["start"] >= found["start"].min()).all()
    before.accept(incident["id"][:6], "a hot bin that stays")
    stale = owtrend.open(store.location).stale
    assert stale["run"].tolist() == list(range(STEP, 8))
    assert set(stale["reason"]) == {Stale.REFERENCE.value}
    after = computed(store)
    assert after.stale.empty
    assert after.findings(runs=[STEP, STEP + 1, STEP + 2]).empty
    new = after.incidents()
    assert [runs[0] for runs in new["runs"]] == [NEXT]
    assert incident["id"] not in new["id"].values
    assert set(after.findings(runs=NEXT)["histogram"]) <= {"a", "b"}


@pytest.mark.study
def test_no_score_depends_on_batches_where_something_is_accepted(store, monkeypatch):
    archive = owtrend.open(store.location)
    archive.accept(archive.incidents()["id"][0], "as above")
    whole = computed(store)
    monkeypatch.setattr(update_scores, "RUNS_PER_BATCH", 1)
    compute.compute(store.location, workers=0, force=True)
    again = owtrend.open(store.location)
    assert again.findings().equals(whole.findings())
    assert again.scores("EMC").identical(whole.scores("EMC"))


@pytest.mark.slow
def test_only_the_histograms_of_the_incident_have_another_reference(store):
    before = owtrend.open(store.location).scores("EMC", ["c", "d"])
    archive = owtrend.open(store.location)
    archive.accept(archive.incidents()["id"][0], "as above")
    after = computed(store).scores("EMC", ["c", "d"])
    of_bins = [name for name in before["score"].values if name != "rate"]
    assert after["z"].sel(score=of_bins).identical(before["z"].sel(score=of_bins))


@pytest.mark.slow
def test_what_is_undone_is_found_as_before(store):
    before = owtrend.open(store.location)
    incident = before.incidents()["id"][0]
    before.accept(incident, "too early", user="someone")
    (accepted,) = before.accepted.to_dict("records")
    assert (accepted["id"], accepted["who"], accepted["note"]) == (incident, "someone", "too early")
    changed = computed(store)
    changed.accept(incident, undo=True)
    assert changed.accepted.empty
    again = computed(store)
    assert again.findings().equals(before.findings())
    assert again.incidents().equals(before.incidents())


@pytest.mark.slow
def test_what_cannot_be_accepted_is_an_error_that_says_why(store):
    archive = owtrend.open(store.location)
    incident = archive.incidents()["id"][0]
    with pytest.raises(UsageError, match="say why"):
        archive.accept(incident, " ")
    with pytest.raises(NotFoundError, match=f"no incident 'x{incident[1:]}'; `owtrend outliers"):
        archive.accept(f"x{incident[1:]}", "why")
    with pytest.raises(NotFoundError, match="no accepted incident"):
        archive.accept(incident, undo=True)
    archive.accept(incident, "why", user="someone")
    with pytest.raises(UsageError, match=r"accepted already by someone at .* UTC \(why\)"):
        archive.accept(incident, "again")
    assert len(archive.accepted) == 1


@pytest.mark.slow
def test_the_command_accepts_lists_and_takes_back_and_notes_cannot_move_the_cursor(store, capsys):
    def call(*arguments):
        main.main([*arguments], standalone_mode=False)
        return capsys.readouterr().out

    listed = json.loads(call("outliers", store.location, "--json"))
    incident = listed[0]["id"]
    assert listed[0]["parts"][0]["run"] == STEP
    shown = call("outliers", store.location)
    assert incident in shown
    assert f"owtrend accept {store.location} ID --note WHY" in shown
    done = call("accept", store.location, incident, "--note", "\x1b[2J<b>[red]", "--user", "me")
    assert f"`owtrend compute {store.location}`" in done
    assert f"Accepted since they were found: {incident}" in call("outliers", store.location)
    assert "\x1b" not in call("accept", store.location)
    (accepted,) = json.loads(call("accept", store.location, "--json"))
    assert (accepted["id"], accepted["note"], accepted["who"]) == (incident, "\x1b[2J<b>[red]", "me")
    call("accept", store.location, incident, "--undo")
    assert json.loads(call("accept", store.location, "--json")) == []
    with pytest.raises(click.UsageError, match="name the incident"):
        call("accept", store.location, "--note", "why")


@pytest.mark.slow
def test_an_event_has_no_level():
    store = Store.in_memory()
    both, more = (builders.filled([AXIS], [[0.5]] * number) for number in (20, 40))
    builders.append(store.location, builders.snapshots([{"a": both, "b": both}] * 2 + [{"a": more}]))
    archive = computed(store)
    with pytest.raises(UsageError, match="absent is an event, not a level"):
        archive.accept(archive.incidents()["id"][0], "why")


def test_what_begins_several_ids_is_ambiguous():
    assert acceptance._identity("AB", ["abc", "bcd"], "store") == "abc"
    with pytest.raises(AmbiguousNameError, match="store: 'ab' begins 2 ids: abc, abd"):
        acceptance._identity("ab", ["abd", "abc", "bcd"], "store")
