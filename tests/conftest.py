"""How many processes the tests take, where the shared real data is, and what is left out, said in the summary."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.small_stores import projections, rooted, small, small_store  # noqa: F401 - fixtures

# Kernels compile at their first call, and the machines are shared: how long an example takes says nothing.
settings.register_profile("owtrend", deadline=None, max_examples=20, derandomize=bool(os.environ.get("CI")))
settings.register_profile("thorough", deadline=None, max_examples=300)  # --hypothesis-profile=thorough
settings.load_profile("owtrend")

os.environ.setdefault("OWTREND_SYNC", "never")  # thousands of small stores need not survive a power loss

collect_ignore_glob = ["data/*", "fuzz/guided.py"]  # inputs and the macros that made them; needs its own extra
NO_SHARED_DATA = "no shared data"
STUDIES = pytest.StashKey[int]()  # left out


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shared", default="../shared/data", help="Folder of the real data to test on.")


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest) -> Path:
    """The real data; a test that asks for it is left out, loudly, where there is none."""
    folder = Path(request.config.rootpath, request.config.getoption("--shared")).resolve()
    if not folder.is_dir():
        pytest.skip(f"{NO_SHARED_DATA} at {folder}; say where it is with --shared")
    return folder


@pytest.fixture(autouse=True)
def _into_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as they need, whatever width a terminal, or another test, has put into the environment."""
    monkeypatch.delenv("COLUMNS", raising=False)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Processes for the tests: none but this one for chosen files, since each imports and compiles for itself."""
    chosen = config.args_source == pytest.Config.ArgsSource.ARGS
    return 0 if chosen else min(os.cpu_count() or 1, 4)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out studies unless ``-m`` names them; coverage, which slows Python by a half, is that of everyday tests."""
    if config.pluginmanager.hasplugin("_cov"):
        for item in (item for item in items if item.get_closest_marker("slow")):
            item.add_marker("no_cover")
    if "study" in config.option.markexpr:
        return
    studies = [item for item in items if item.get_closest_marker("study")]
    config.hook.pytest_deselected(items=studies)
    items[:] = [item for item in items if not item.get_closest_marker("study")]
    config.stash[STUDIES] = len(studies)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if (output := getattr(session.config, "workeroutput", None)) is not None:  # of xdist
        output["studies"] = session.config.stash.get(STUDIES, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[STUDIES] = getattr(node, "workeroutput", {}).get("studies", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if studies := terminalreporter.config.stash.get(STUDIES, 0):
        terminalreporter.write_line(f"LEFT OUT: {studies} studies; run them with -m study")
    if any(NO_SHARED_DATA in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line("LEFT OUT: all tests on real data; give its folder with --shared", red=True)
