"""Tiles and cards: words, times, and names that are no markup."""

import re

import pandas as pd
import pytest

from dashboards.pictures import cards
from dashboards.state.now import Card, Now, Sign, Tile

AT = pd.Timestamp("2018-06-01 14:10:30")
HOSTILE = "<script>alert(1)</script>\x1b[31m"


def card(**changes):
    fields = {
        "id": "abc", "sign": Sign.ERROR, "state": "firing", "subsystem": "EMC", "what": "h", "why": "too many",
        "run": 7, "start": pd.Timestamp("2018-06-01 13:58"), "stop": None, "link": "histogram?run=7",
    }  # fmt: skip
    return Card(**{**fields, **changes})


def page(**changes):
    tile = Tile(
        subsystem="EMC", sign=Sign.OK, words="ok", latest=pd.Timestamp("2018-06-01 14:10"), ribbon=(None, Sign.OK)
    )
    fields = {
        "location": "store", "latest": tile.latest, "run": 7, "tiles": (tile,), "on": (), "over": (), "computed": True,
    }  # fmt: skip
    return Now(**{**fields, **changes})


def words(html):
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2018-06-01 14:10:06", "24 s"), ("2018-06-01 13:59:30", "11 min"), ("2018-06-01 11:00", "3 h"),
        ("2018-05-30 11:00", "2 days"), ("2010-06-01", "8 years"), ("2018-06-01 15:00", "0 s"),
    ],
)  # fmt: skip
def test_ages_are_in_their_largest_unit(time, expected):
    assert cards.age(pd.Timestamp(time), AT) == expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2018-06-01 09:05", "09:05"),
        ("2018-05-31 23:59", "23:59, 31 May"),
        ("2017-01-02 00:00", "00:00, 2 January 2017"),
    ],
)
def test_times_of_today_have_no_day(time, expected):
    assert cards.when(pd.Timestamp(time), AT) == expected


def test_nothing_wrong_is_said_with_until_when():
    assert "Nothing is wrong in the data until 14:10." in words(cards.whole(page(), AT))


def test_what_nobody_looked_at_is_not_ok():
    shown = words(cards.whole(page(computed=False), AT))
    assert "Nothing is wrong" not in shown
    assert "owtrend compute store" in shown


def test_an_empty_store_says_how_to_fill_it():
    empty = page(latest=None, tiles=(), computed=False)
    assert "owtrend ingest FOLDER --store store" in words(cards.whole(empty, AT))
    assert "newest data" not in words(cards.head(empty, AT))


def test_a_card_says_what_since_when_what_to_do_and_whose_it_is():
    html = cards.whole(page(on=(card(guidance="mask TRU 36", owner="EMC on call"),)), AT)
    shown = words(html)
    assert "◆ EMC · h" in shown
    assert "error, since 13:58 UTC, run 7" in shown
    assert "What to do: mask TRU 36" in shown
    assert "owner: EMC on call" in shown
    assert "owtrend ack store abc" in shown
    assert 'href="histogram?run=7"' in html
    known = words(cards.whole(page(on=(card(acknowledged="AB", state="no data", silenced=True),)), AT))
    assert "no data · silenced acknowledged by AB" in known
    assert "owtrend ack" not in known


def test_guidance_is_a_link_only_if_it_is_nothing_else():
    def link(guidance):
        return "<a href" in cards.whole(page(on=(card(guidance=guidance, link=""),)), AT)

    assert link("https://wiki.example.org/emc?a=1&b=2")
    assert not link("see https://wiki.example.org")
    assert not link("javascript:alert(1)")
    assert not link('https://x" onclick="alert(1)')


def test_what_is_over_is_a_line_with_both_times():
    over = card(stop=pd.Timestamp("2018-06-01 14:02"))
    assert "13:58 to 14:02 run 7 EMC h too many" in words(cards.whole(page(over=(over,)), AT))
    night = card(start=pd.Timestamp("2018-05-31 23:50"), stop=pd.Timestamp("2018-06-01 00:10"))
    assert "23:50, 31 May to 00:10" in words(cards.whole(page(over=(night,)), AT))


def test_names_and_texts_are_no_markup():
    fields = dict.fromkeys(("subsystem", "what", "why", "guidance", "owner", "acknowledged"), HOSTILE)
    tile = Tile(subsystem=HOSTILE, sign=Sign.OK, words=HOSTILE, latest=AT, ribbon=())
    bad = page(location=HOSTILE, tiles=(tile,), on=(card(**fields),), over=(card(**fields, stop=AT),))
    for html in (cards.whole(bad, AT), cards.head(bad, AT)):
        assert "<script" not in html
        assert "\x1b" not in html
        assert "&lt;script&gt;" in html
