"""Text of the page."""

import re

import pytest

from dashboards.pages import text
from dashboards.pages.histogram import HistogramPage
from dashboards.state.session import Session
from owtrend.store import versions


def plain(html):
    return re.sub(r"<[^>]*>", "", html)


@pytest.fixture
def earlier_trends(monkeypatch):
    monkeypatch.setattr(versions, "TRENDS", versions.TRENDS + 1)


@pytest.fixture
def earlier_scores(monkeypatch):
    monkeypatch.setattr(versions, "SCORES", {**versions.SCORES, "histogram": versions.SCORES["histogram"] + 1})


@pytest.mark.slow
def test_nothing_is_said_of_values_that_are_up_to_date(scored, archive):
    page = HistogramPage(Session(scored, run=3, histogram="odd"))
    assert (page.stale.object, page.stale.visible) == ("", False)
    assert text.stale(Session(archive, run=300000)) == "", "computed now"


@pytest.mark.slow
def test_a_stale_trend_says_how_to_bring_it_up_to_date(scored, earlier_trends):
    page = HistogramPage(Session(scored, run=3, histogram="odd"))
    assert page.stale.visible
    assert plain(page.stale.object) == (
        f"Trend made by an earlier version or configuration; owtrend compute {scored.location} brings it up to date."
    )
    page.session.choose(reductor="quantile_x(0.9)")
    assert not page.stale.visible, "computed now"
    page.session.choose(reductor="mean_x", every="run")
    assert page.stale.visible


@pytest.mark.slow
def test_stale_scores_are_said_once_together_with_the_trend(scored, earlier_trends, earlier_scores):
    session = Session(scored, run=3, histogram="odd", others=[1])
    assert plain(text.stale(session)).startswith("Trend and scores made by an earlier version")
    session.choose(reductor="quantile_x(0.9)")
    assert plain(text.stale(session)).startswith("Scores made by an earlier version")
    session.choose(run=4, others=())
    assert text.stale(session) == "", "run 4 has neither"
