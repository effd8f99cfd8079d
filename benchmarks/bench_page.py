"""The dashboards in headless Chromium, against a page of uproot, Panel and Bokeh that shows one figure and a slider."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from benchmarks.inputs import Record, Size, Source

ROOT = Path(__file__).resolve().parent.parent
SERVE = """
import sys
from dashboards import app
app.serve(sys.argv[2], port=int(sys.argv[1]), ready=lambda url: print(url, flush=True))
"""
# The page is drawn when Bokeh has figures and nothing is left to lay out or paint.
DRAWN = """() => {
  const documents = window.Bokeh?.documents ?? []
  const models = documents.flatMap((document) => [...document._all_models.values()])
  return models.some((model) => model.type == "Figure") && documents.every((document) => document.is_idle)
}"""
# From the slider's new value to the second frame after the first change of what the server shows.
MOVE = """([first, last]) => new Promise((resolve, reject) => {
  const models = Bokeh.documents.flatMap((document) => [...document._all_models.values()])
  const slider = models.find((model) => model.type.endsWith("RangeSlider"))
  const frame = (then) => requestAnimationFrame(() => requestAnimationFrame(then))
  let began = 0, done = false
  const shown = models.map((model) => model.type == "ColumnDataSource" ? model.properties.data : model.properties.text)
  for (const property of shown.filter((property) => property)) {
    property.change.connect(() => {
      if (!done) { done = true; frame(() => resolve((performance.now() - began) / 1000)) }
    })
  }
  setTimeout(() => reject(new Error("nothing was redrawn in 10 s")), 10000)
  began = performance.now()
  slider.value = [first, last]
})"""
LAST_EDGE = """() => Bokeh.documents.flatMap((document) => [...document._all_models.values()])
  .find((model) => model.type.endsWith("RangeSlider")).end"""


@contextmanager
def serving(*commands: Sequence[str]) -> Iterator[list[str]]:
    """URLs of servers, each in its own process; ``PORT`` in a command is replaced."""
    with ExitStack() as stack:
        servers = []
        for command in commands:
            words = [sys.executable, *(free_port() if word == "PORT" else word for word in command)]
            server = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            servers.append(stack.enter_context(server))
            stack.callback(server.terminate)
        urls = [server.stdout.readline().strip() for server in servers]
        assert all(urls), "a server did not start"
        yield urls


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium") or playwright.chromium.executable_path
        if not Path(path).exists():
            pytest.skip("needs Chromium, for example by apt-get install chromium")
        with playwright.chromium.launch(executable_path=path) as chromium:
            yield chromium


@pytest.fixture(scope="module")
def pages(source: Source, store: Path) -> Iterator[list[str]]:
    """URLs of the dashboards and of the plain page."""
    files = [file.path for file in source.largest]
    with serving(["-c", SERVE, "PORT", str(store)], ["-m", "benchmarks.plain_page", "PORT", *files]) as urls:
        yield urls


def addresses(pages: list[str], source: Source, histogram: str) -> list[str]:
    last = source.largest[-1]
    query = urlencode({"run": last.run, "subsystem": last.subsystem, "histogram": histogram})
    return [f"{url}?{query}" for url in pages]


def load(page: Any, address: str) -> float:
    """Seconds until everything is drawn."""
    began = time.perf_counter()
    page.goto(address)
    page.wait_for_function(DRAWN)
    return time.perf_counter() - began


def test_first_plot(
    source: Source, size: Size, pages: list[str], browser: Any, histogram: str, record: Record
) -> None:  # fmt: skip
    """From the request to three pictures drawn, each time in a new session of a running server, with scripts in the
    browser's cache; the plain page draws one picture.
    """
    seconds: list[list[float]] = [[], []]
    with browser.new_context() as context:
        for _ in range(size.warm_up + size.rounds):
            for into, address in zip(seconds, addresses(pages, source, histogram), strict=True):
                page = context.new_page()
                into.append(load(page, address))
                page.close()
    ours, theirs = (float(np.median(found[size.warm_up :])) for found in seconds)
    record("first plot", f"{source.label}, {histogram}", ours, "s", "plain page", theirs, target="< 1 s")


def test_slider_to_redraw(
    source: Source, size: Size, pages: list[str], browser: Any, histogram: str, record: Record
) -> None:  # fmt: skip
    """From the slider's new value in the browser to the redrawn time slice, 95th percentile, the first move left out;
    the plain page reads two ROOT files for each.
    """
    seconds: list[list[float]] = [[], []]
    with browser.new_context() as context:
        for into, address in zip(seconds, addresses(pages, source, histogram), strict=True):
            page = context.new_page()
            load(page, address)
            page.wait_for_timeout(500 * size.warm_up)  # until the work after the first picture is done
            last = page.evaluate(LAST_EDGE)
            width = last // 2
            for number in range(1, 1 + size.warm_up + size.moves):
                first = number % (last - width + 1)
                into.append(page.evaluate(MOVE, [first, first + width]))
            page.close()
    ours, theirs = (float(np.quantile(found[size.warm_up :], 0.95)) for found in seconds)
    record("slider to redraw, p95", f"{source.label}, {histogram}", ours, "s", "plain page", theirs, target="< 0.15 s")
