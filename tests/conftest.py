"""Where the shared real data is, and what is left out without it."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.small_stores import projections, rooted, small, small_store  # noqa: F401 - fixtures

# Kernels compile at their first call, and the machines are shared: how long an example takes says nothing.
settings.register_profile("owtrend", deadline=None, max_examples=60, derandomize=bool(os.environ.get("CI")))
settings.load_profile("owtrend")

collect_ignore_glob = ["data/*", "fuzz_snapshot.py"]  # inputs and the macros that made them; needs its own extra
LEFT_OUT = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shared", default="../shared/data", help="Folder of the real data to test on.")


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest) -> Path:
    """The real data; a test that asks for it is left out, loudly, where there is none."""
    folder = Path(request.config.rootpath, request.config.getoption("--shared")).resolve()
    if not folder.is_dir():
        request.config.stash.setdefault(LEFT_OUT, []).append(request.node.name)
        pytest.skip(f"no shared data at {folder}; tell where it is by --shared")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash.get(LEFT_OUT, []):
        terminalreporter.write_line(
            "LEFT OUT: all tests on real data, for want of the folder named by --shared", red=True
        )
