"""A detector in a package of its own, as `examples/detector` shows it."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import owtrend
from dashboards.pages.controls import Controls
from dashboards.state.session import Session
from owtrend.cli.main import main
from owtrend.detectors import plugins
from owtrend.model.axis import Axis
from tests.builders import append, histogram, snapshot

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "detector"
BROKEN = "import a_module_that_is_not_there\n"
RUN = 300000


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Ten minutes of ZDC: in the last five, tower 2 of side A is hot."""
    location, rows = tmp_path_factory.mktemp("zdc") / "store", []
    axes = [Axis.spaced(4, 0, 200, "energy [GeV]"), Axis.spaced(2, -5, 5, "time [ns]")]
    for minute in (5, 10):
        late = 100 * (minute - 5)
        towers = histogram([0, 10, 10 + 5 * late, 10, 10, 10, 0], "zdc_towers_A")
        events = histogram([0, 100 * minute, 0], "zdc_events")
        time = histogram(minute * np.ones((6, 4)), "zdc_time_A", axes)
        rows.append(snapshot(minute, towers, events, time, subsystem="ZDC"))
    append(location, rows)
    return location


def metadata(folder, name, point):
    """What pip writes of a package that offers one plug-in."""
    info = folder / f"{name.replace('-', '_')}-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(f"[{plugins.ENTRY_POINTS}]\n{point}\n")


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """The example and a broken plug-in on Python's path, as after their installation."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    (name, value), *others = project["entry-points"][plugins.ENTRY_POINTS].items()
    assert not others
    shutil.copy(EXAMPLE / "owtrend_zdc.py", tmp_path)
    metadata(tmp_path, project["name"], f"{name} = {value}")
    (tmp_path / "broken_detector.py").write_text(BROKEN)
    metadata(tmp_path, "broken", "BAD = broken_detector:BAD")
    monkeypatch.syspath_prepend(str(tmp_path))
    plugins.installed.cache_clear()
    yield tmp_path
    plugins.installed.cache_clear()
    sys.modules.pop("owtrend_zdc", None)


def printed(*arguments):
    done = CliRunner().invoke(main, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_example_is_shorter_than_forty_lines():
    assert sum(len(path.read_text().splitlines()) for path in EXAMPLE.iterdir() if path.is_file()) < 40


def test_a_package_of_ones_own_is_on_the_command_line(packages, store):
    *listed, problem = printed("detectors")
    packages_of = {row["subsystem"]: row["package"] for row in listed}
    assert (packages_of["ZDC"], packages_of["EMC"]) == ("owtrend-zdc", "owtrend")
    assert problem["plug-in"] == "BAD of broken"
    assert "a_module_that_is_not_there" in problem["problem"]
    rows = printed("groups", store, "ZDC")
    assert {row["name"]: (row["group"], row["title"]) for row in rows} == {
        "zdc_towers_A": ("Towers", "Towers, side A"), "zdc_time_A": ("Timing", "time_A"),
        "zdc_events": ("Other", "events"), "early_A": ("Other", "Energy of early signals"),
    }  # fmt: skip
    (hot,) = printed("hot-channels", store, RUN, "ZDC", "--from", "12:05")
    assert (hot["channel"], hot["rate"], hot["place"]) == (1, 5.0, "tower 1")
    assert (
        printed("hot-channels", store, RUN, "ZDC", "--from", "12:05", "--option", "scale_events=no")[0]["rate"] == 2500
    )
    (early,) = printed("derived", store, RUN, "ZDC", "--from", "12:05")
    assert (early["name"], early["sum"]) == ("early_A", 20.0)


@pytest.mark.slow
def test_derived_histograms_are_written_for_root(packages, store, tmp_path):
    import uproot

    output = tmp_path / "early.root"
    done = CliRunner().invoke(main, ["derived", str(store), str(RUN), "ZDC", "-o", str(output)], catch_exceptions=False)
    assert done.output == f"{output}: 1 projection of ZDC in run {RUN}\n"
    with uproot.open(output) as file:
        assert file["early_A"].values().tolist() == [10.0] * 4


def test_a_package_of_ones_own_is_on_the_page(packages, store):
    session = Session(owtrend.open(store), run=RUN, subsystem="ZDC")
    controls = Controls(session)
    assert list(controls.group.options) == ["All", "Towers", "Timing", "Other"]
    assert list(controls.histogram.options) == ["Towers, side A", "time_A", "events", "Energy of early signals"]
    session.choose(histogram="early_A")
    assert (session.view.histogram, session.notes) == ("early_A", [])


def test_an_option_that_is_wrong_is_one_line(packages, store):
    done = CliRunner().invoke(main, ["hot-channels", str(store), str(RUN), "ZDC", "--option", "threshold"])
    assert done.exit_code == 2
    assert "expected NAME=VALUE" in done.output


@pytest.mark.slow
def test_pip_installs_the_example(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "source")
    target = tmp_path / "target"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(tmp_path / "source")], check=True, capture_output=True)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(target), str(ROOT)])}
    command = [sys.executable, "-m", "owtrend", "detectors", "ZDC", "--json"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    (listed,) = json.loads(done.stdout)
    assert (listed["subsystem"], listed["package"]) == ("ZDC", "owtrend-zdc")
