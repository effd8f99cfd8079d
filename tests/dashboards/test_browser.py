"""The command serves a page that works in a real browser: real Chromium, headless, against a real server."""

import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from playwright.sync_api import Page, expect, sync_playwright

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
RUN = "from owtrend.cli import run; run()"

# What Bokeh holds in the page: each picture's title -> which figure it is, its view, and what it shows.
PICTURES = """() => {
  const found = {}
  for (const figure of Bokeh.documents[0]._all_models.values()) {
    if (figure.type != "Figure") continue
    const columns = figure.renderers.flatMap(({data_source: {data}}) => [data.content, data.value])
    const shown = Array.from(columns.find((column) => column != null))
    found[figure.title.text.split(" \u00b7")[0]] = {
      id: figure.id,
      x: [figure.x_range.start, figure.x_range.end],
      shown: shown.flatMap((item) => typeof item == "number" ? [item] : Array.from(item)),
    }
  }
  return found
}"""


@pytest.fixture(scope="module")
def server(store):
    """The URL of a served store; the server must end well on Ctrl-C and have had nothing to complain of."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", RUN, "serve", str(store), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == f"{store} is shown at http://127.0.0.1:{port}/\n", process.stderr.read()
    yield f"http://127.0.0.1:{port}/"
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=10)
    assert (process.returncode, complaints) == (0, "")


@pytest.fixture(scope="module")
def chromium():
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        reason = "no Chromium on this machine; install the package chromium to test the pages in a browser"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def window(server, chromium):
    context = chromium.new_context(base_url=server, viewport={"width": 1280, "height": 800})
    yield context
    context.close()


@pytest.fixture
def page(server, window):
    """A tab; no errors may show in its console, and it may ask nobody but the server for anything."""
    tab, complaints, requests = window.new_page(), [], []
    tab.set_default_timeout(10_000)
    tab.on("console", lambda message: message.type in ("error", "warning") and complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.on("response", lambda response: response.status < 400 or complaints.append(f"{response.status} {response.url}"))
    yield tab
    tab.close()
    assert complaints == []
    assert requests
    assert [url for url in requests if not url.startswith((server, "data:", "blob:"))] == []


def look(page: Page, address: str) -> None:
    """Go to an address and wait until the three pictures are drawn."""
    page.goto(address)
    expect(page.locator("canvas.bk-layer, .bk-canvas canvas").first).to_be_visible()
    page.wait_for_function("() => Bokeh.documents[0].is_idle && location.search.includes('reductor')")


def pictures(page: Page) -> dict:
    return page.evaluate(PICTURES)


def changed(page: Page, title: str, before: dict) -> dict:
    """The pictures as soon as one of them shows something else."""
    page.wait_for_function(
        f"([title, before]) => JSON.stringify(({PICTURES})()[title]?.shown) != before",
        arg=[title, page.evaluate("(shown) => JSON.stringify(shown)", before[title]["shown"])],
    )
    return pictures(page)


def test_the_page_opens_and_completes_its_address(page):
    look(page, "/?run=300000")
    expect(page).to_have_title("owtrend")
    assert page.url.endswith("/?run=300000&subsystem=EMC&histogram=plain&reductor=mean_x")
    assert pictures(page)["Whole run"]["shown"] == [6, 12, 18, 24, 30, 36, 0, 0]
    expect(page.get_by_text("1 restart")).to_be_visible()
    expect(page.get_by_text("1 in quarantine")).to_be_visible()


def test_an_address_restores_a_view(page):
    look(page, "/?run=300000&histogram=plain&start=2018-06-01T12:01:00&stop=2018-06-01T12:02:00&log=1")
    assert pictures(page)["Time slice"]["shown"] == [1, 2, 3, 4, 5, 6, 0, 0]
    expect(page.get_by_text("12:01:00 to 12:02:00 UTC")).to_be_visible()
    expect(page.locator("input[type=checkbox]:visible")).to_be_checked()


def test_an_address_that_leads_nowhere_says_so(page):
    look(page, "/?run=1&histogram=nothing")
    expect(page.get_by_text("There is no run 1 in the store; 300001 is shown instead.")).to_be_visible()
    expect(page.get_by_text("There is no histogram nothing in EMC of run 300001")).to_be_visible()


def test_the_slider_redraws_the_slice_in_place_and_the_address_follows(page):
    look(page, "/?run=300000&histogram=plain")
    before = pictures(page)
    page.locator(".noUi-handle-upper").press("ArrowLeft")
    after = changed(page, "Time slice", before)
    assert after["Time slice"]["shown"] == [5, 10, 15, 20, 25, 30, 0, 0]
    assert after["Whole run"] == before["Whole run"]
    assert {title: picture["id"] for title, picture in after.items()} == {
        title: picture["id"] for title, picture in before.items()
    }
    page.wait_for_url("**stop=2018-06-01T12:05:00")


def test_a_zoomed_view_survives_the_slider(page):
    look(page, "/?run=300000&histogram=plain")
    box = page.locator("canvas").first.bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 200, steps=3)
    page.mouse.up()
    page.wait_for_function(f"() => ({PICTURES})()['Whole run'].x[0] > 0")
    before = pictures(page)
    assert before["Time slice"]["x"] == before["Whole run"]["x"], "both pictures are zoomed together"
    page.locator(".noUi-handle-upper").press("ArrowLeft")
    assert changed(page, "Time slice", before)["Time slice"]["x"] == before["Time slice"]["x"]


def test_another_histogram_is_a_step_that_the_browser_can_take_back(page):
    look(page, "/?run=300000&histogram=plain")
    before = pictures(page)
    page.locator("select[size]").select_option("map")
    after = changed(page, "Whole run", before)
    assert len(after["Whole run"]["shown"]) == 20
    page.wait_for_url("**histogram=map**")
    page.go_back()
    page.wait_for_function(
        f"() => window.Bokeh?.documents[0]?.is_idle && ({PICTURES})()['Whole run'].shown.length == 8"
    )
    assert "histogram=plain" in page.url


def test_searching_narrows_the_list(page):
    look(page, "/?run=300000&histogram=map")
    page.get_by_placeholder("Search").fill("nobody")
    options = page.locator("select[size] option")
    expect(options).to_have_count(2)
    assert options.all_inner_texts() == ["map", "a/rather/long/name_of_a_histogram_that_nobody_would_type"]


def test_a_box_on_the_trend_chooses_the_interval(page):
    look(page, "/?run=300000&histogram=plain")
    before = pictures(page)
    box = page.locator("canvas").last.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.35, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 90, steps=4)
    page.mouse.up()
    changed(page, "Time slice", before)
    page.wait_for_url("**start=2018-06-01T12:0**")
    page.get_by_role("button", name="Show whole run").click()
    page.wait_for_function("() => !location.search.includes('start')")
