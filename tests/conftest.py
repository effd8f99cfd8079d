"""How many processes the tests take, where the shared real data is, and what is left out without it."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.small_stores import projections, rooted, small, small_store  # noqa: F401 - fixtures

# Kernels compile at their first call, and the machines are shared: how long an example takes says nothing.
settings.register_profile("owtrend", deadline=None, max_examples=20, derandomize=bool(os.environ.get("CI")))
settings.register_profile("thorough", deadline=None, max_examples=300)  # --hypothesis-profile=thorough
settings.load_profile("owtrend")

collect_ignore_glob = ["data/*", "fuzz_snapshot.py"]  # inputs and the macros that made them; needs its own extra
NO_SHARED_DATA = "no shared data"


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if any(NO_SHARED_DATA in str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line("LEFT OUT: all tests on real data; give its folder with --shared", red=True)
