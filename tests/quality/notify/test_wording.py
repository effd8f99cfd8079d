"""Messages in words: what a tired person reads first, and everything they need next."""

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from dashboards.state.view import View
from owtrend.quality.alarms.alarm import Kind, State
from owtrend.quality.alarms.notice import News
from owtrend.quality.flag import Quality
from owtrend.quality.notify.message import Message
from owtrend.quality.notify.wording import Place, lasted, notice_message, summary_message
from tests.notices import HOSTILE, MINUTE, NOW, SINCE, item, later

PLACE = Place("archive.zarr", "https://page.example.org/owtrend/", "Europe/Zurich")


def message(*items, news=News.FIRING, group="EMC", place=PLACE, now=NOW):
    return notice_message("id", news, group, items or [item()], place, now)


@pytest.mark.parametrize(
    ("given", "news", "subject"),
    [
        ([item()], News.FIRING,
         "EMC: too many hot channels: EMCTRQA_histFastORL0Amp since 18:06 UTC, run 300004 (error)"),
        ([item(quality=Quality.WARNING)], News.STILL,
         "Still there: EMC: too many hot channels: EMCTRQA_histFastORL0Amp since 18:06 UTC, run 300004 (warning)"),
        ([item(kind=Kind.SOURCE, name="", histogram="", run=0)], News.FIRING,
         "EMC: no data since 18:06 UTC (error)"),
        ([item(kind=Kind.INCIDENT, name="0b41", why="col 16 to 18: 9,232 counts where 40 are expected (see run 1)")],
         News.ESCALATED,
         "Nobody acknowledged: EMC: EMCTRQA_histFastORL0Amp: col 16 to 18: 9,232 counts where 40 are expected since "
         "18:06 UTC, run 300004 (error)"),
        ([item(kind=Kind.INCIDENT, name="0b41", histogram="", why="3 snapshots missing")], News.WORSE,
         "Worse: EMC: 3 snapshots missing since 18:06 UTC, run 300004 (error)"),
        ([item(n, histogram=f"h{n}") for n in range(24)], News.FIRING,
         "EMC: too many hot channels: 24 histograms since 18:06 UTC, run 300004 (error)"),
        ([item(1, name="a", run=1), item(2, subsystem="TPC", run=2)], News.FIRING,
         "EMC, TPC: 2 alarms of EMC since 18:06 UTC (error)"),
        ([item(minutes=32)], News.RESOLVED,
         "Resolved after 32 min: EMC: too many hot channels: EMCTRQA_histFastORL0Amp, run 300004"),
    ],
)  # fmt: skip
def test_the_subject_says_what_where_and_since_when(given, news, subject):
    assert message(*given, news=news).subject == subject


def test_an_incident_of_several_histograms_names_the_most_significant_one():
    incident = item(kind=Kind.INCIDENT, name="0b41", histogram="", why="a spike")
    one = message(replace(incident, alarm=replace(incident.alarm, histogram="top")))
    named = replace(incident, alarm=replace(incident.alarm, histogram="top", why="top changed its binning"))
    assert message(named).subject.startswith("EMC: top changed its binning since")
    assert one.subject == "EMC: top: a spike since 18:06 UTC, run 300004 (error)"
    assert (dict(one.facts)["Histogram"], one.drawing.histogram) == ("top", "top")
    assert "histogram=top" in one.link


def test_another_day_is_named():
    assert "since 2026-11-28 18:06 UTC" in message(now=later(600)).subject


def test_an_alarm_that_a_recomputation_took_back_is_not_called_resolved():
    withdrawn = replace(item(minutes=3).alarm, state=State.WITHDRAWN)
    assert message(replace(item(), alarm=withdrawn), news=News.RESOLVED).subject.startswith(
        "Withdrawn, other data or rules now"
    )


def test_the_facts_are_in_the_order_in_which_they_are_needed():
    facts = dict(message(item(guidance="Call the EMC expert", owner="ana")).facts)
    assert [*facts] == ["Why", "Since", "Run", "Histogram", "What to do", "Acknowledge", "Owner"]
    assert facts["Since"] == "2026-11-28 18:06:00 UTC (19:06:00 CET)"
    assert facts["Acknowledge"] == "owtrend ack archive.zarr 000000000000"
    resolved = dict(message(item(minutes=3, guidance="x"), news=News.RESOLVED).facts)
    assert [*resolved] == ["Why", "Since", "Until", "Run", "Histogram"]
    assert dict(message(place=replace(PLACE, timezone="UTC")).facts)["Since"] == "2026-11-28 18:06:00 UTC"


def test_a_command_can_be_pasted_whatever_the_store_is_called():
    facts = dict(message(place=replace(PLACE, store="a b; rm -rf '~'")).facts)
    assert facts["Acknowledge"] == """owtrend ack 'a b; rm -rf '"'"'~'"'"'' 000000000000"""


def test_of_many_alarms_the_first_ten_are_listed():
    many = message(*(item(number, histogram=f"h{number}") for number in range(24)))
    assert (many.title, len(many.lines), many.more, len(many.alarms)) == ("24 alarms", 10, 14, 24)
    assert many.lines[1] == "EMC: too many hot channels: h1 since 18:06 UTC, run 300004 (error) [000000000001]"
    assert many.text().endswith("- and 14 more")
    ended = message(item(1, minutes=3), item(2, minutes=4), news=News.RESOLVED)
    assert "since 18:06 UTC, for 3 min" in ended.lines[0]


def test_the_link_opens_the_page_at_the_histogram_and_the_time():
    name = "a/b c&d=<e>#f?"
    link = message(item(histogram=name)).link
    view = View(run=300004, subsystem="EMC", histogram=name, start=np.datetime64(SINCE, "ns"),
                stop=np.datetime64(SINCE + 3 * MINUTE, "ns"), pulls=True)  # fmt: skip
    assert link.startswith("https://page.example.org/owtrend/?")
    assert parse_qs(urlsplit(link).query) == parse_qs(view.address[1:])
    assert message(place=replace(PLACE, address=None)).link == ""
    assert message(item(kind=Kind.SOURCE, histogram="", run=0)).link.endswith("/?subsystem=EMC")


def test_hostile_names_stay_on_their_line():
    hostile = item(1, name=HOSTILE, subsystem=HOSTILE, histogram=HOSTILE, why=HOSTILE, guidance=HOSTILE, owner=HOSTILE)
    one = message(hostile, hostile, group=HOSTILE)
    texts = [one.subject, one.title, one.link, *one.lines, *(value for _, value in one.facts)]
    assert all(text.isprintable() for text in texts)
    assert one.link.isascii()
    assert max(map(len, texts)) < 2100


def test_a_message_is_the_same_after_the_journal_kept_it():
    one = message(item(1), item(2))
    assert Message.from_json(one.to_json()) == one
    assert one.drawing == (
        "EMC", 300004, "EMCTRQA_histFastORL0Amp", SINCE, SINCE + 3 * MINUTE
    )  # fmt: skip


def test_a_summary_lists_errors_first():
    held = [
        message(item(1, quality=Quality.WARNING)),
        message(item(2)),
        message(item(3, minutes=2), news=News.RESOLVED),
    ]
    one = summary_message("s", held, "20 messages in 1 h", PLACE, NOW)
    assert one.subject == "3 messages held back: 1 error, 1 warning, 1 resolved"
    assert one.lines[0].endswith("(error)")
    assert one.alarms == ("000000000002", "000000000001", "000000000003")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "2 h"), (11100, "3 h 5 min"), (187200, "2 d 4 h")],
)
def test_a_length_of_time_is_read_at_a_glance(seconds, words):
    assert lasted(seconds * 10**9) == words
