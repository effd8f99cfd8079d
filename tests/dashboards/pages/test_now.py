"""The first page while the store can be read, and while it cannot."""

import pandas as pd

from dashboards.pages.now import NowPage
from dashboards.state.now import Now
from owtrend.errors import StoreError


def test_what_cannot_be_read_is_said_and_looked_at_again():
    empty = Now(location="store", latest=None, run=None, tiles=(), on=(), over=(), computed=False)
    answers = [empty, StoreError("<b>journal.sqlite</b>: the journal cannot be read"), empty]

    def read(at):
        assert isinstance(at, pd.Timestamp)
        answer = answers.pop(0)
        if isinstance(answer, StoreError):
            raise answer
        return answer

    page = NowPage(read)
    assert "Now" in page.head.object
    before = page.body.object
    page.look()
    assert "&lt;b&gt;journal.sqlite&lt;/b&gt;: the journal cannot be read" in page.head.object
    assert "What is below was read at" in page.head.object
    assert page.body.object == before
    page.look()
    assert "cannot be read" not in page.head.object


def test_a_store_that_cannot_be_read_at_first_is_said_too():
    def read(_):
        raise StoreError("gone")

    page = NowPage(read)
    assert "gone" in page.head.object
    assert "What is below" not in page.head.object
