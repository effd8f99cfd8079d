"""The command serves a page that works in a real browser: real Chromium, headless, against a real server."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.builders import ingest, write_run
from tests.studies import sizes

pytestmark = pytest.mark.slow

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
RUN = "from owtrend.cli.main import run; run()"
PATIENCE = 60_000  # ms; each wait is for a condition, and ends as soon as it holds
expect.set_options(timeout=PATIENCE)

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
    """The URL of a served store."""
    with serving(store) as url:
        yield url


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(store, port=None):
    """The URL of a served store; the server must end well on Ctrl-C and have had nothing to complain of."""
    port = port or free_port()
    command = [sys.executable, "-c", RUN, "serve", str(store), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == f"{store} is shown at http://127.0.0.1:{port}/\n", process.stderr.read()
    yield f"http://127.0.0.1:{port}/"
    process.send_signal(signal.SIGINT)
    _, complaints = process.communicate(timeout=60)
    # Where nothing has called the kernels before, it says that they are compiled.
    complaints = [line for line in complaints.splitlines() if "compiling numerical code" not in line]
    assert (process.returncode, complaints) == (0, [])


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
    context = chromium.new_context(base_url=f"{server}histogram", viewport={"width": 1280, "height": 800})
    yield context
    context.close()


@pytest.fixture
def page(server, window):
    """A tab."""
    with watched(server, window) as tab:
        yield tab


@contextmanager
def watched(server, window):
    """A tab; no errors may show in its console, and it may ask nobody but the server for anything."""
    tab, complaints, requests = window.new_page(), [], []
    tab.set_default_timeout(PATIENCE)
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
    """Go to an address and wait until the pictures are drawn and the page has written its address."""
    page.goto(address)
    expect(page.locator("canvas.bk-layer, .bk-canvas canvas").first).to_be_visible()
    page.wait_for_function("() => Bokeh.documents[0].is_idle && history.state?.owtrend")


def checkbox(page: Page, label: str) -> Locator:
    """The last three are of the scale and of pulls; the others of runs."""
    if label.isdecimal():
        return page.get_by_label(label)
    places = {"Log scale": -3, "Per entry": -2, "Pulls": -1}
    return page.locator("input[type=checkbox]:visible").nth(places[label])


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
    look(page, "?run=300000")
    expect(page).to_have_title("owtrend")
    assert page.url.endswith("/histogram?run=300000&subsystem=EMC&histogram=plain&reductor=mean_x")
    assert pictures(page)["Whole run"]["shown"] == [6, 12, 18, 24, 30, 36, 0, 0]
    expect(page.get_by_text("⚠ 1 restart")).to_be_visible()
    expect(page.get_by_text("run start to 12:06:00 UTC")).to_be_visible()
    expect(page.get_by_text("1 in quarantine")).to_be_visible()


@pytest.mark.study
def test_an_address_restores_a_view(page):
    look(page, "?run=300000&histogram=plain&start=2018-06-01T12:01:00&stop=2018-06-01T12:02:00&log=1")
    assert pictures(page)["Time slice"]["shown"] == [1, 2, 3, 4, 5, 6, 0, 0]
    expect(page.get_by_text("12:01:00 to 12:02:00 UTC")).to_be_visible()
    expect(checkbox(page, "Log scale")).to_be_checked()


@pytest.mark.study
def test_an_address_that_leads_nowhere_says_so(page):
    look(page, "?run=1&histogram=nothing")
    expect(page.get_by_text("There is no run 1 in the store; 300001 is shown instead.")).to_be_visible()
    expect(page.get_by_text("There is no histogram nothing in EMC of run 300001")).to_be_visible()


def test_the_slider_redraws_the_slice_in_place_and_the_address_follows(page):
    look(page, "?run=300000&histogram=plain")
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
    look(page, "?run=300000&histogram=plain")
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
    look(page, "?run=300000&histogram=plain")
    before = pictures(page)
    page.locator("select[size]").select_option("map")
    after = changed(page, "Whole run", before)
    assert len(after["Whole run"]["shown"]) == 20
    page.wait_for_url("**histogram=map**")
    page.go_back()
    page.wait_for_function(
        f"() => window.Bokeh?.documents[0]?.is_idle && ({PICTURES})()['Whole run']?.shown.length == 8"
    )
    assert "histogram=plain" in page.url


@pytest.mark.study
def test_searching_narrows_the_list(page):
    look(page, "?run=300000&histogram=map")
    page.get_by_placeholder("Search").fill("nobody")
    options = page.locator("select[size] option")
    expect(options).to_have_count(2)
    assert options.all_inner_texts() == ["map", "a/rather/long/name_of_a_histogram_that_nobody_would_type"]


def test_a_box_on_the_trend_chooses_the_interval(page):
    look(page, "?run=300000&histogram=plain")
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


# What the picture with a title has of one kind of glyph: its columns.
GLYPHS = """([title, kind]) => {
  const figures = [...Bokeh.documents[0]._all_models.values()].filter((model) => model.type == "Figure")
  const figure = figures.findLast((one) => one.title.text.startsWith(title))
  const drawn = (figure?.renderers ?? []).filter((one) => one.glyph?.type == kind)
  const columns = ({data_source: {data}}) => Object.entries(data).map(([name, column]) => [name, Array.from(column)])
  return drawn.map((one) => Object.fromEntries(columns(one)))
}"""


def glyphs(page: Page, title: str, kind: str) -> list:
    return page.evaluate(GLYPHS, [title, kind])


def different(page: Page, title: str, kind: str, before: list) -> None:
    """Wait until these glyphs are not what they were."""
    page.wait_for_function(
        f"([title, kind, before]) => JSON.stringify(({GLYPHS})([title, kind])) != before",
        arg=[title, kind, page.evaluate("(columns) => JSON.stringify(columns)", before)],
    )


def test_any_reductor_can_be_typed_and_one_that_means_nothing_has_its_complaint_below_the_field(page):
    look(page, "?run=300000&histogram=plain")
    typed = page.get_by_placeholder("quantile_x(0.9)")
    typed.fill("quantile_x(0.9)")
    typed.press("Enter")
    page.wait_for_url("**reductor=quantile_x(0.9)")
    page.wait_for_function(f"() => ({GLYPHS})(['Trend · quantile 0.9 of Δη of p_T', 'Scatter']).length")
    before = glyphs(page, "Trend", "Scatter")
    typed.fill("mean_x(y=2:5)")
    typed.press("Enter")
    said = page.get_by_text("plain: no reductor 'mean_x(y=2:5)' for it; it has entries")
    expect(said).to_be_visible()
    assert abs(said.bounding_box()["y"] - typed.bounding_box()["y"]) < 60
    assert glyphs(page, "Trend", "Scatter") == before
    assert page.url.endswith("reductor=quantile_x(0.9)")
    typed.fill("std_x")
    typed.press("Enter")
    expect(said).to_be_hidden()
    page.wait_for_url("**reductor=std_x")


@pytest.mark.study
def test_a_trend_shows_its_errors_its_restart_and_what_the_signs_mean(page):
    look(page, "?run=300000&histogram=plain&reductor=rate")
    (restart,) = glyphs(page, "Trend · rate [Hz]", "VSpan")
    assert len(restart["time"]) == 1
    (points,), bars = glyphs(page, "Trend", "Scatter"), glyphs(page, "Trend", "Segment")[0]
    assert [round(high - low, 6) for low, high in zip(bars["value"], bars["high"], strict=True)] == [
        round(2 * error, 6) for error in points["error"]
    ]
    expect(page.get_by_text("restart", exact=True)).to_be_visible()


@pytest.mark.study
def test_a_map_is_projected_and_a_range_goes_to_the_edges_of_bins(page):
    look(page, "?run=300000&histogram=map")
    before = pictures(page)
    page.get_by_label("Projection").select_option("x")
    assert len(changed(page, "Whole run", before)["Whole run"]["shown"]) == 4
    before = pictures(page)
    field = page.get_by_label("Range of row")
    field.fill("0.9:3.2")
    field.press("Enter")
    after = changed(page, "Whole run", before)["Whole run"]["shown"]
    assert sum(after) < sum(before["Whole run"]["shown"])
    expect(field).to_have_value("y=1:3")
    expect(page.get_by_text("summed over row 1 to 3")).to_be_visible()
    page.wait_for_url("**&axes=x&range=y=1:3")
    field.fill("nowhere")
    field.press("Enter")
    expect(page.get_by_text("'nowhere' is not a range")).to_be_visible()
    assert pictures(page)["Whole run"]["shown"] == after


def test_runs_lie_over_each_other_and_side_by_side_in_the_trend(page):
    look(page, "?run=300000&histogram=plain")
    page.get_by_label("Compare with").select_option("300001  ·  2018-06-01 14:01")
    page.wait_for_url("**with=300001**norm=1")
    page.wait_for_function(f"() => ({GLYPHS})(['Time slice', 'Line']).length == 2")
    expect(page.get_by_label("Compare with")).to_have_value("Add a run…")
    assert pictures(page)["Whole run"]["shown"] == pytest.approx([n / 21 for n in (1, 2, 3, 4, 5, 6, 0, 0)])
    (points,) = glyphs(page, "Trend", "Scatter")
    assert sorted(set(points["run"])) == ["300000", "300001"]
    expect(page.locator(".key .run")).to_have_text(["300000", "300001"])
    page.get_by_label("per", exact=True).select_option("run")
    page.wait_for_url("**every=run**")
    page.wait_for_function(f"() => ({GLYPHS})(['Trend', 'Scatter'])[0]?.run.length == 2")
    checkbox(page, "300001").uncheck()
    page.wait_for_function("() => !location.search.includes('with')")


def test_a_link_restores_all_of_a_view(page):
    query = (
        "?run=300000&with=300001&subsystem=EMC&histogram=map&reductor=mean_x(y=2:5)&every=2min&axes=y&range=x=1:3"
        "&start=2018-06-01T12:01:00&stop=2018-06-01T12:05:00&log=1&norm=0"
    )
    look(page, f"/{query}")
    assert page.url.endswith(query)
    expect(checkbox(page, "Per entry")).not_to_be_checked()
    expect(page.get_by_label("Range of column")).to_have_value("x=1:3")
    assert len(pictures(page)["Time slice"]["shown"]) == 5
    before = pictures(page)
    lines = glyphs(page, "Time slice", "Line")
    page.locator(".noUi-handle-upper").press("ArrowLeft")
    changed(page, "Time slice", before)
    different(page, "Time slice", "Line", lines)  # the other run moves along


@pytest.fixture(scope="module")
def scored_server(scored_store):
    """The URL of a served store that has scores."""
    with serving(scored_store) as url:
        yield url


@pytest.fixture
def scored_page(scored_server, chromium):
    """A tab on a store that has scores."""
    context = chromium.new_context(base_url=f"{scored_server}histogram", viewport={"width": 1280, "height": 800})
    with watched(scored_server, context) as tab:
        yield tab
    context.close()


def test_findings_are_marked_explained_and_reached_by_their_incident(scored_page):
    page = scored_page
    look(page, "?run=1&histogram=odd")
    expect(page.get_by_text("No findings in this histogram in this run.")).to_be_visible()
    page.get_by_label("Incidents").select_option(index=1)
    page.wait_for_url("**run=3&subsystem=EMC&histogram=steady**start=2018-06-01T14:11:00**")
    expect(page.get_by_text("steady is missing")).to_be_visible()  # another run, all pictures anew
    page.locator("select[size]").select_option("odd")
    expect(page.get_by_text("position [cm] 2 to 3").first).to_be_visible()
    page.wait_for_function(f"() => ({GLYPHS})(['Score', 'Scatter']).length > 1")
    (line,) = glyphs(page, "Score", "Segment")
    points, *marks = glyphs(page, "Score", "Scatter")
    assert marks
    assert len(points["time"]) + len(marks[0]["time"]) == 24, "a sign for each snapshot"
    assert all(height > line["score"][0] for mark in marks for height in mark["score"])
    expect(page.get_by_text("▲finding")).to_be_visible()
    expect(page.get_by_text(re.compile(r"threshold \d\.\d"))).to_be_visible()

    checkbox(page, "Pulls").check()
    page.wait_for_url("**pulls=1")
    page.wait_for_function(f"() => ({GLYPHS})(['Pulls', 'Quad']).length == 2")
    before = glyphs(page, "Pulls", "Quad")
    page.locator(".noUi-handle-upper").press("ArrowLeft")
    different(page, "Pulls", "Quad", before)


COUNT = """async () => {
  await new Promise((then) => setTimeout(then, 500))
  return Bokeh.documents[0]._all_models.size
}"""
# Texts that a reader can see, apart from the pictures: those that lie over each other.
OVERLAPPING = """() => {
  const boxes = []
  const visit = (node) => {
    if (node.shadowRoot) visit(node.shadowRoot)
    for (const child of node.childNodes) {
      if (child.parentElement?.closest("style, script, option")) continue
      if (child.nodeType == Node.TEXT_NODE && child.textContent.trim()) {
        const range = document.createRange()
        range.selectNodeContents(child)
        for (const box of range.getClientRects()) if (box.width > 1) boxes.push([child, box])
      } else if (child.nodeType == Node.ELEMENT_NODE) visit(child)
    }
  }
  visit(document.body)
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3
  return boxes.flatMap(([text, box], index) => boxes.slice(index + 1)
    .filter(([other, there]) => other != text && over(box, there))
    .map(([other]) => `${text.textContent} | ${other.textContent}`))
}"""


@pytest.mark.parametrize("changes", sizes(6, 12))
def test_a_page_left_open_through_many_changes_and_a_restarted_server_keeps_its_view_and_no_old_models(
    tmp_path, chromium, changes
):
    def grow(rows, run):
        counts = {"h": [[0, n, 2 * n, 0] for n in range(1, rows + 1)]}
        write_run(tmp_path / "data", counts, run=run, minutes=range(60 * run, 60 * run + rows))
        ingest(tmp_path / "data", tmp_path / "store")

    for run in (1, 2, 3):
        grow(6, run)
    port = free_port()
    context = chromium.new_context(
        base_url=f"http://127.0.0.1:{port}/histogram", viewport={"width": 1000, "height": 700}
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    with serving(tmp_path / "store", port):
        look(page, "?run=1&histogram=h")
        runs = page.get_by_label("Run", exact=True)
        labels = runs.locator("option").all_inner_texts()
        for number in range(changes):
            label = labels[number % 3]
            runs.select_option(label)
            page.wait_for_url(f"**run={label.split()[0]}**")
            if number == changes - 3:
                page.wait_for_function("() => !document.body.classList.contains('busy')")
                models = page.evaluate(COUNT)
        page.wait_for_function("() => !document.body.classList.contains('busy')")
        assert page.evaluate(COUNT) == models
        address = page.url
        grow(8, int(label.split()[0]))
        expect(page.get_by_text("New data until")).to_be_visible()
        expect(page.get_by_text("8 snapshots").first).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("No connection to the server since")
    with pytest.raises(Exception, match="Timeout"):
        page.locator("select[size]").click(timeout=500)
    grow(9, int(label.split()[0]))
    with serving(tmp_path / "store", port):
        expect(page.get_by_role("alert")).to_be_hidden()
        expect(page.get_by_text("9 snapshots").first).to_be_visible()
        assert page.url == address
        assert page.evaluate(COUNT) == models
        context.close()


@pytest.mark.parametrize("size", [(1000, 700), pytest.param((1400, 900), marks=pytest.mark.study)])
def test_no_text_lies_over_another(scored_page, size):
    scored_page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    look(scored_page, "?run=3&with=2&histogram=odd&pulls=1&reductor=quantile_x(0.9)&start=2018-06-01T14:05:00")
    expect(scored_page.get_by_text("finding").first).to_be_visible()
    assert scored_page.evaluate(OVERLAPPING) == []


def test_the_first_page_says_what_is_wrong_and_leads_there_and_back(scored_page, scored_server):
    page = scored_page
    page.goto(scored_server)
    expect(page.get_by_role("heading", name="EMC")).to_be_visible()
    expect(page.get_by_text("1 open")).to_be_visible()
    page.get_by_role("link", name="Open the histogram").first.click()
    page.wait_for_url("**/histogram?run=3&subsystem=EMC&histogram=steady**")
    expect(page.locator("canvas.bk-layer, .bk-canvas canvas").first).to_be_visible()
    page.get_by_role("link", name="owtrend").click()
    expect(page.get_by_text("1 open")).to_be_visible()


def test_links_to_histograms_at_the_first_address_still_lead_there(scored_page, scored_server):
    scored_page.goto(f"{scored_server}?run=1&histogram=odd")
    scored_page.wait_for_url("**/histogram?run=1**histogram=odd**")
    expect(scored_page.get_by_text("No findings in this histogram in this run.")).to_be_visible()
