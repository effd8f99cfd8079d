"""The command and the pages it serves, without a browser."""

import socket

import panel as pn
import pytest
from bokeh.document import Document
from click.testing import CliRunner
from panel.io.state import set_curdoc
from tornado.httpclient import AsyncHTTPClient

from dashboards.app import create_app
from dashboards.commands import serve
from owtrend.errors import StoreError, UsageError
from owtrend.store.repository import Store
from tests.builders import append, snapshots


def text(viewable):
    """All markup of a page."""
    return " ".join(
        pane.object for pane in viewable.select(lambda part: hasattr(part, "object")) if isinstance(pane.object, str)
    )


@pytest.fixture
def load():
    """Load the page of an app, as a new session does."""

    def load(app):
        with set_curdoc(Document()):
            return app()

    return load


@pytest.mark.slow
def test_each_load_shows_what_was_committed_since(tmp_path, load):
    Store.create(tmp_path / "store")
    app = create_app(tmp_path / "store")
    assert "This store holds no runs yet" in text(load(app))
    append(tmp_path / "store", snapshots({"h": [[0, 1, 0, 1]]}))
    assert "Run <b>300000</b>" in text(load(app))


def test_a_choice_in_one_session_does_not_reach_another(store, load):
    app = create_app(store)
    (one,), (other,) = (load(app).select(pn.widgets.IntRangeSlider) for _ in range(2))
    one.value = (1, 2)
    assert (one.value, other.value) == ((1, 2), (0, 6))


def test_a_missing_store_is_an_error_before_anything_is_served(tmp_path):
    result = CliRunner().invoke(serve, [str(tmp_path / "nothing")])
    assert isinstance(result.exception, StoreError)
    assert str(tmp_path / "nothing") in str(result.exception)


def test_a_port_in_use_is_an_error_that_says_what_to_do(store):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(serve, [str(store), "--port", str(port)])
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == (
        f"port {port} of 127.0.0.1 is in use, perhaps by another owtrend serve; "
        f"choose another, for example with --port {port + 1}"
    )


def test_an_address_of_another_machine_is_an_error(store):
    result = CliRunner().invoke(serve, [str(store), "--address", "192.0.2.1"])
    assert isinstance(result.exception, UsageError)
    assert "cannot listen on 192.0.2.1, port 8850" in str(result.exception)


def test_the_help_has_an_example():
    assert "Example: owtrend serve" in CliRunner().invoke(serve, ["--help"]).output


def test_a_request_without_a_websocket_reads_nothing(store, monkeypatch):
    read = []
    monkeypatch.setattr("dashboards.app.Session.from_address", lambda *address: read.append(address))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = pn.serve({"/": create_app(store)}, port=port, start=False, show=False, verbose=False)
    try:

        async def visit():
            client = AsyncHTTPClient()
            return [(await client.fetch(f"http://127.0.0.1:{port}/")).code for _ in range(3)]

        assert server.io_loop.run_sync(visit, timeout=30) == [200, 200, 200]
    finally:
        server.stop()
    assert not read
