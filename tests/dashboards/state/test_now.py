"""What is wrong now: subsystems, alarms that are on and over, and data that say nothing any more."""

import shutil

import pandas as pd
import pytest

import owtrend
from dashboards.state.now import STEPS, Sign, now
from owtrend.quality.alarms import people, table
from owtrend.quality.journal import Journal
from owtrend.store.repository import Store


@pytest.fixture(scope="module")
def shown(scored):
    """Two minutes after the newest data."""
    return now(scored, scored.last_time("EMC") + pd.Timedelta(2, "min"))


def test_a_store_without_runs_has_nothing_to_show():
    store = Store.in_memory()
    empty = now(owtrend.open(store.location), pd.Timestamp("2018-06-01 12:00"))
    assert (empty.latest, empty.tiles, empty.computed) == (None, (), False)


def test_alarms_that_are_on_make_the_tile_and_have_a_link_to_their_histogram(shown):
    (tile,) = shown.tiles
    assert (tile.subsystem, tile.sign, tile.words) == ("EMC", Sign.ERROR, f"{len(shown.on)} open")
    (card, *_) = shown.on
    assert (card.subsystem, card.what, card.run, card.state) == ("EMC", "steady", 3, "firing")
    assert card.link.startswith("histogram?run=3&subsystem=EMC&histogram=steady&start=2018-06-01T14:1")
    assert not shown.computed  # run 4 was never scored


def test_the_ribbon_has_the_last_hours_of_data_step_by_step(shown):
    (tile,) = shown.tiles
    assert len(tile.ribbon) == STEPS
    assert tile.ribbon[-1] is Sign.ERROR  # it is on
    assert Sign.OK in tile.ribbon
    assert tile.ribbon.index(Sign.ERROR) > tile.ribbon.index(Sign.OK)


def test_old_data_say_nothing_about_now(scored):
    (tile,) = now(scored, scored.last_time("EMC") + pd.Timedelta(1, "h")).tiles
    assert tile.sign is Sign.UNKNOWN
    assert tile.words.startswith("no new data; then ")


def test_who_looks_after_an_alarm_is_shown(scored_store, tmp_path):
    shutil.copytree(scored_store, tmp_path / "store")
    archive, journal = owtrend.open(tmp_path / "store"), Journal(tmp_path / "store")
    first = archive.alarms.query("state == 'firing'")["id"].iloc[0]
    people.acknowledge(journal, table.find(journal, first).id, "I look at it", "AB")
    cards = {card.id: card.acknowledged for card in now(archive, archive.last_time("EMC")).on}
    assert cards[first] == "AB"
