"""From snapshots and rules to alarms and messages, with `compute` each time something came."""

import json
from datetime import UTC, datetime
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import owtrend
from owtrend.compute.compute import compute
from owtrend.compute.update_alarms import update_alarms, with_names
from owtrend.config import Config
from owtrend.config.alarms import AlarmConfig
from owtrend.errors import UsageError
from owtrend.model.finding import BinRange
from owtrend.quality.alarms import people, table
from owtrend.quality.alarms.alarm import Kind
from owtrend.quality.journal import Journal
from owtrend.store.repository import Store
from tests import builders, notices

RULE = {"name": "few", "subsystem": "EMC", "histogram": "h*", "warning": "entries < 5", "guidance": "look at it"}
CONFIG = Config.model_validate(
    {"rules": [RULE], "alarms": {"max_age": "3650d", "receivers": {"book": {"type": "log"}}}}
)
GAINS = [9, 9, 9, 2, 3, 9, 9]


def snapshots(gains=GAINS, run=1, first=0):
    """Cumulative contents of one bin, a snapshot a minute."""
    rows = [[0, int(total), 0] for total in np.cumsum(gains)]
    return builders.snapshots({"h": rows}, run, minutes=range(first, first + len(gains)))


def computed(location, rows, config=CONFIG):
    builders.append(location, rows, fold=False)
    return compute(location, config=config, workers=0)


@pytest.fixture
def location():
    """Of a store in memory, which is there as long as somebody holds it."""
    store = Store.in_memory()
    yield store.location
    del store


def of_rules(location):
    found = table.alarm_table(Journal(location))
    return found[found["source"] == "rule"]


def messages(caplog):
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.getMessage().startswith("{")]
    return [line["news"] for line in lines if "few" in line["subject"]]


@pytest.mark.slow
def test_a_rule_is_an_alarm_with_its_message_and_its_end(location, caplog):
    caplog.set_level("INFO")
    rows = snapshots()
    computed(location, rows[:4])
    (alarm,) = of_rules(location).to_dict("records")
    assert (alarm["state"], alarm["quality"], alarm["run"], alarm["histogram"]) == ("firing", "warning", 1, "h")
    assert alarm["why"] == "entries 2; warning: entries < 5"
    assert messages(caplog) == ["firing"]
    summary = computed(location, rows[4:], None)  # the store knows the rules, not the receivers
    assert (of_rules(location)["state"].tolist(), summary.messages) == (["resolved"], 0)
    assert messages(caplog) == ["firing"]
    compute(location, config=CONFIG, workers=0)
    assert messages(caplog) == ["firing"]


@pytest.mark.slow
def test_an_accepted_warning_is_acceptable_from_its_beginning_on(location):
    computed(location, snapshots([9, 9, 2, 2]))
    journal = Journal(location)
    people.accept_warning(journal, table.find(journal, of_rules(location)["id"].iloc[0]), "fewer triggers", "me")
    compute(location, config=CONFIG, workers=0)
    assert of_rules(location)["state"].tolist() == ["closed"]
    assert journal.entries()[-1].note == "accept warning by me: fewer triggers"
    builders.append(location, snapshots([2, 2, 2], run=2, first=60), fold=False)
    compute(location, config=CONFIG, workers=0)
    assert of_rules(location)["state"].tolist() == ["closed"]


@pytest.mark.slow
def test_a_rule_that_cannot_be_used_is_a_warning_and_stops_no_other(location, caplog):
    broken = [
        {**RULE, "name": "no such score", "warning": 'score("chi3") > 5'},
        {**RULE, "name": "no such condition", "warning": "condition('energy') > 5"},
    ]
    config = Config.model_validate({"rules": [*broken, RULE]})
    with pytest.raises(UsageError, match="rule 'no such score', warning, column 1: no score 'chi3'"):
        computed(location, snapshots()[:5], config)
    compute(location, workers=0)
    update_alarms(Store.open(location).reader(), Journal(location), config, config.alarms)  # as an older store has it
    assert of_rules(location)["name"].tolist() == ["few"]
    assert {name for name in ("chi3", "energy") if name in caplog.text} == {"chi3", "energy"}
    assert "Traceback" not in caplog.text


@pytest.mark.slow
def test_the_alarm_of_a_rule_that_cannot_be_used_any_more_has_no_data_and_is_not_over(location, caplog):
    computed(location, snapshots()[:5])
    builders.append(location, snapshots()[5:], fold=False)
    bad = Config.model_validate({"rules": [{**RULE, "warning": "entries < 5 or score('chi3') > 5"}]})
    update_alarms(owtrend.open(location)._reader, Journal(location), bad, AlarmConfig())
    assert "chi3" in caplog.text
    assert of_rules(location)["state"].tolist() == ["no data"]
    compute(location, config=CONFIG, workers=0)
    assert of_rules(location)["state"].tolist() == ["resolved"]


@pytest.mark.slow
def test_any_order_of_arrival_ends_with_the_same_alarms():
    rows, found = snapshots(), []
    for order in list(permutations(range(len(rows))))[::1500]:
        store = Store.in_memory()
        for number in order:
            builders.append(store.location, [rows[number]], fold=False)
        compute(store.location, config=CONFIG, workers=0)
        found.append(of_rules(store.location).drop(columns="announced").to_dict("records"))
    assert len(found) == 4
    assert all(one == found[0] for one in found)
    assert [(row["state"], row["start"].minute, row["stop"].minute) for row in found[0]] == [("resolved", 2, 5)]


@pytest.mark.slow
def test_a_subsystem_that_sends_nothing_is_an_alarm(location):
    computed(location, snapshots([9, 9, 9]), Config())
    reader, journal = owtrend.open(location)._reader, Journal(location)
    alarms = AlarmConfig.model_validate({"stale_after": "5min"})
    last = reader.subsystem("EMC").per_run["stop"][0] / 1e9

    def states(minutes):
        update_alarms(reader, journal, Config(), alarms, datetime.fromtimestamp(last + 60 * minutes, UTC))
        found = table.alarm_table(journal)
        return found[found["source"] == "source"]["state"].tolist()

    assert states(4) == []
    assert states(6) == ["firing"]
    assert states(60) == ["firing"]
    assert states(2) == ["firing"]  # a clock that went back


def test_messages_name_the_part_of_the_detector():
    bins = (BinRange("x", 9, 16, 8.0, 16.0), BinRange("y", 65, 70, 64.0, 70.0))
    top = SimpleNamespace(subsystem="EMC", histograms=("EMCTRQA_histAmpEdgePosEMCGAHOffline",), bins=bins)
    incidents: Any = [SimpleNamespace(id="abc", top=top)]
    items = notices.item(1, kind=Kind.INCIDENT, name="abc", why="col 8 to 16: hot"), notices.item(2, name="abc")
    (named,) = with_names([notices.notice(*items)], incidents)
    assert [one.alarm.why for one in named.items] == [
        "supermodule 12, TRU 33: col 8 to 16: hot", "24 channels above 5 sigma",
    ]  # fmt: skip
