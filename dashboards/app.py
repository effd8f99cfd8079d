"""The server of the pages of one store."""
# mypy: allow-untyped-calls

import asyncio
import gc
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import panel as pn
from bokeh.document import Document
from bokeh.models import CustomJS
from panel.io.resources import LOCAL_DIST
from panel.io.state import set_curdoc
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError

import owtrend
from dashboards.pages.histogram import HistogramPage
from dashboards.pages.news import NewsLine
from dashboards.pages.now import NowPage
from dashboards.pages.turn import when_shown
from dashboards.pictures import theme
from dashboards.state.news import News
from dashboards.state.now import Now, now
from dashboards.state.session import Session
from dashboards.state.view import ADDRESS
from owtrend.cli.ports import require_free
from owtrend.errors import OwtrendError

__all__ = ["create_app", "create_apps", "serve"]

# The address follows the view. Moving the interval replaces the entry in the browser's history, any other choice adds
# one. Going back reloads the page from its address.
_REMEMBER = """
const address = cb_obj.value
const bare = (text) => {
  const query = new URLSearchParams(text)
  query.delete("start")
  query.delete("stop")
  return query.toString()
}
const another = history.state?.owtrend && bare(location.search) != bare(address)
history[another ? "pushState" : "replaceState"]({owtrend: true}, "", address)
if (!window.owtrend) {
  window.owtrend = true
  window.addEventListener("popstate", () => location.reload())
}
"""


# The page is at rest and says so until the server answers again; then it comes back with the view in its address.
# Bokeh's own way to connect again is not used: a server that started anew would show the view the page was opened with.
_LOST = """
if (document.querySelector(".lost")) return
for (const part of document.body.children) part.inert = true
const banner = document.createElement("div")
banner.className = "lost"
banner.setAttribute("role", "alert")
const since = new Date().toISOString().slice(11, 19)
banner.textContent = `No connection to the server since ${since} UTC. Nothing here changes until it is back.`
document.body.append(banner)
const attempt = () => fetch("metadata", {cache: "no-store"})
  .then((answer) => answer.ok ? location.reload() : setTimeout(attempt, PAUSE))
  .catch(() => setTimeout(attempt, PAUSE))
setTimeout(attempt, PAUSE)
""".replace("PAUSE", "2000")

# Bokeh keeps the models of replaced pictures until nothing has changed for 30 s, which a page in use never sees.
_FORGET = "setTimeout(() => cb_obj.document?.freeze_all_models(() => {}), 0)"

_READERS = 4  # pages that are read at the same time
_LOOK = 3000  # ms between two looks for newer data


def create_app(location: str | Path) -> Callable[[], pn.viewable.Viewable]:
    """The page of histograms alone, see `create_apps`."""
    return create_apps(location)["/histogram"]


def create_apps(location: str | Path) -> dict[str, Callable[[], pn.viewable.Viewable]]:
    """By address, functions that make the pages of one session: what is wrong now, and the histograms.

    The apps hold the newest archive, for all sessions together. Each page load shows what is committed by then. An open
    page looks every few seconds for a newer state, in its own turn, and follows it.

    Raises
    ------
    StoreError
        If there is no store at ``location``.
    """
    feed = _Feed(location)
    return {"/": _app(feed, _NOW), "/histogram": _app(feed, _HISTOGRAM)}


class _Feed:
    """The newest archive and what is wrong in it, for all sessions together."""

    def __init__(self, location: str | Path) -> None:
        self.archive = owtrend.open(location)
        self._looked = -np.inf
        self._now: tuple[float, Now] | None = None
        self.readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read")

    def latest(self, age: float = 0.0) -> owtrend.Archive:
        """The newest archive; looked for again if the last look is longer ago than ``age`` [s]."""
        if time.monotonic() - self._looked >= age:
            self.archive, self._looked = self.archive.latest(), time.monotonic()
        return self.archive

    def now(self, at: pd.Timestamp) -> Now:
        """What is wrong now; as it was a moment ago, if somebody asked then."""
        if self._now is None or time.monotonic() - self._now[0] >= _LOOK / 1500:
            self._now = time.monotonic(), now(self.latest(age=_LOOK / 2000), at)
        return self._now[1]


def _read_session(feed: _Feed, query: dict[str, str]) -> Session:
    return Session.from_address(feed.latest(), query)


def _parts(feed: _Feed, read: Callable[[], Session], doc: Document | None = None) -> list[Any]:
    """The page of histograms."""
    page = HistogramPage(read())

    def look() -> None:
        with set_curdoc(doc):
            try:
                page.session.follow(feed.latest(age=_LOOK / 2000))
            except OwtrendError as error:
                page.session.announce(News(str(error)))

    if doc is not None:
        doc.add_periodic_callback(look, _LOOK)
    return _framed(page)


def _read_now(feed: _Feed, query: dict[str, str]) -> None:
    feed.now(pd.Timestamp.now("UTC").tz_localize(None))


def _now_parts(feed: _Feed, read: Callable[[], None], doc: Document | None = None) -> list[Any]:
    """The page of what is wrong now."""
    read()
    page = NowPage(feed.now)

    def look() -> None:
        with set_curdoc(doc):
            page.look()

    if doc is not None:
        doc.add_periodic_callback(look, _LOOK)
    return [page]


@dataclass(frozen=True)
class _Kind:
    """A kind of page: what a thread reads, the parts made of that, and how its frame looks."""

    read: Callable[[_Feed, dict[str, str]], Any]
    parts: Callable[[_Feed, Callable[[], Any], Document | None], list[Any]]
    css: tuple[str, ...]
    frame: Mapping[str, Any]
    moved: str = ""  # where the views in old addresses lead: histograms were at the first address


_NOW = _Kind(
    _read_now, _now_parts, (theme.PAGE, theme.DARK),
    {"sizing_mode": "stretch_width", "styles": {"min-height": "100vh"}}, moved="histogram",
)  # fmt: skip
_HISTOGRAM = _Kind(
    _read_session,
    _parts,
    (theme.PAGE,),
    {
        "sizing_mode": "stretch_both",
        "styles": {"height": "100vh", "min-height": "700px", "overflow": "auto hidden"},
    },
)


def _app(feed: _Feed, kind: _Kind) -> Callable[[], pn.viewable.Viewable]:
    """A function that makes a page of one session; Panel takes nothing else for one."""

    def page() -> pn.viewable.Viewable:
        return _framed_page(feed, kind)

    return page


def _framed_page(feed: _Feed, kind: _Kind) -> pn.viewable.Viewable:
    """The frame of a page; what is in it is read and made when the browser shows the frame."""
    pn.config.raw_css = [*kind.css]
    pn.config.global_loading_spinner = True
    query = {name: values[0].decode(errors="replace") for name, values in pn.state.session_args.items() if values}
    frame = pn.Row(margin=0, **kind.frame)
    doc = pn.state.curdoc

    def made(result: Callable[[], Any]) -> list[Any]:
        try:
            return kind.parts(feed, result, doc)
        except OwtrendError as error:
            note = f'<div class="note">{escape(str(error))}</div>'
            return [pn.pane.HTML(note, stylesheets=[theme.TEXT], margin=40)]

    if doc is None or doc.session_context is None:
        doc = None
        frame.extend(made(lambda: kind.read(feed, query)))
        return frame

    def fill(done: Future[Any]) -> None:
        with set_curdoc(doc):
            frame.extend(made(done.result))

    def begin() -> None:
        reading = feed.readers.submit(kind.read, feed, query)
        reading.add_done_callback(lambda done: _in_turn(doc, partial(fill, done)))

    # Panel sets this when the frame leaves. Pictures that are sooner, or in a session that began without a frame
    # because the server was busy for long, would take their styles from Panel's CDN.
    doc.template_variables["dist_url"] = f"{pn.state.rel_path}/{LOCAL_DIST}" if pn.state.rel_path else LOCAL_DIST
    doc.config.update(reconnect_session=False, notify_connection_status=False)
    doc.js_on_event("connection_lost", CustomJS(code=_LOST))
    if kind.moved and {*query} & {*ADDRESS.values()}:
        doc.js_on_event("document_ready", CustomJS(code=f"location.replace(`{kind.moved}${{location.search}}`)"))
        return frame

    # A request alone gets an empty frame and costs no read: that begins when the browser has shown the frame and
    # is connected, in a thread, so that nobody else waits for it.
    pn.state.onload(begin)
    return frame


def _in_turn(doc: Document, call: Callable[[], None]) -> None:
    """Call something in the turn of a document, unless its browser has left; from any thread."""
    if doc.session_context is not None and not doc.session_context.destroyed:
        doc.add_next_tick_callback(call)


def _framed(page: HistogramPage) -> list[Any]:
    """A page with its controls; the browser's address follows the view."""
    session, where = page.session, escape(page.session.archive.location)
    wide: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0, "stylesheets": [theme.TEXT]}
    address = pn.widgets.TextInput(visible=False)
    address.jscallback(value=_REMEMBER)

    def remember(*_: Any) -> None:
        if session.view.run is not None:
            address.value = session.view.address

    when_shown(remember)
    session.watch(remember, ADDRESS)
    # Not a Panel indicator: whenever one changes, the browser lays out the page and paints all pictures again.
    busy = pn.widgets.Checkbox(value=pn.state.param.busy, visible=False)
    busy.jscallback(value=f"document.body.classList.toggle('busy', cb_obj.active); {_FORGET}")
    home = '<a class="brand" href="./" title="What is wrong now">owtrend</a>'
    brand = pn.Row(
        pn.pane.HTML(home, width=98, **wide | {"sizing_mode": None}), NewsLine(session),
        sizing_mode="stretch_width", margin=0, height=44,
    )  # fmt: skip
    store = pn.pane.HTML(f'<p class="store" title="{where}">{where}</p>', **wide)
    side = pn.Column(
        brand, page.controls, store, address, busy,
        width=304, sizing_mode="stretch_height", margin=0, styles=theme.SIDE,
    )  # fmt: skip
    return [side, page]


def serve(
    location: str | Path, port: int = 8850, address: str = "127.0.0.1", show: bool = False,
    origins: Sequence[str] = (), ready: Callable[[str], None] | None = None,
) -> None:  # fmt: skip
    """Show the pages of a store at ``http://address:port/`` until Ctrl-C. They load nothing from elsewhere.

    Parameters
    ----------
    show
        Open a browser.
    origins
        Further names (``HOST`` or ``HOST:PORT``) under which browsers reach this server, for example behind a proxy.
    ready
        Called with the URL once the server accepts requests.

    Raises
    ------
    StoreError
        If there is no store at ``location``.
    UsageError
        If the server cannot listen there, for example because the port is in use.
    """
    names = {"localhost", "127.0.0.1"}
    if address not in names:
        names |= {address, socket.gethostname()}
    pages = create_apps(location)  # a missing store is an error before the port is tried
    require_free(address, port)
    server = pn.serve(
        pages, port=port, address=address, show=show, start=False, warm=True, verbose=False,
        title="owtrend", location=False, websocket_origin=[*(f"{name}:{port}" for name in sorted(names)), *origins],
    )  # fmt: skip
    server.io_loop.asyncio_loop.set_exception_handler(_unless_closed)
    logging.getLogger("bokeh.server.views.ws").setLevel(logging.ERROR)  # it warns of every browser that leaves
    gc.collect()
    gc.freeze()  # objects from start-up stay: without them a full collection stops all pages for 50 ms, not 210
    server.start()
    if ready is not None:
        ready(f"http://{address}:{port}/")
    try:
        server.io_loop.start()  # until the handler that Panel set for Ctrl-C stops it
    finally:
        server.stop()


def _unless_closed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log errors of the event loop, except for data that was on its way to a browser that left."""
    if not isinstance(context.get("exception"), StreamClosedError | WebSocketClosedError):
        loop.default_exception_handler(context)
