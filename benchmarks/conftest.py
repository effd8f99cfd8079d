"""Options, inputs and measurement: owtrend and its peer in turn, on the same files, in one run."""

import contextlib
import json
import math
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

import owtrend
from benchmarks import table
from benchmarks.inputs import SIZES, Compare, Record, Size, Source
from benchmarks.table import Input, Row
from ingest.archive import ingest
from owtrend.compute import compute

ROWS, INPUTS = pytest.StashKey[list[Row]](), pytest.StashKey[dict[str, Input]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--size", choices=list(SIZES), default="tiny", help="Of the simulated input.")
    parser.addoption("--archive", action="append", default=[], help="Folder of snapshot files to measure on as well.")
    parser.addoption("--root-python", default="", help="Python that has ROOT, to compare with.")
    parser.addoption("--rows", type=Path, help="File for what was measured, for table.py.")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS], config.stash[INPUTS] = [], {}


def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if path := config.getoption("--rows", default=None):
        table.record(path, config.stash[INPUTS].values(), config.stash[ROWS])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "source" in metafunc.fixturenames:
        folders = metafunc.config.getoption("--archive", default=[])
        names = ["simulated", *(Path(folder).name for folder in folders)]
        metafunc.parametrize("source", ["", *folders], ids=names, indirect=True, scope="session")
    if "histogram" in metafunc.fixturenames:
        tiny = metafunc.config.getoption("--size", default="tiny") == "tiny"
        metafunc.parametrize("histogram", ["largest"] if tiny else ["1-D", "largest"], indirect=True)


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> Size:
    return SIZES[request.config.getoption("--size", default="tiny")]


@pytest.fixture(scope="session")
def source(request: pytest.FixtureRequest, size: Size, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The simulated input, or an archive given by an option."""
    if request.param:
        found = Source.from_folder(Path(request.param).name, Path(request.param))
    else:
        label = f"simulated {request.config.getoption('--size', default='tiny')}"
        found = Source.simulated(label, tmp_path_factory.mktemp("simulated"), size)
    request.config.stash[INPUTS][found.label] = Input(
        label=found.label, runs=len({file.run for file in found.files}), files=len(found.files),
        histograms=found.histograms, cells=found.cells, bytes=found.bytes,
    )  # fmt: skip
    return found


@pytest.fixture(scope="session")
def store(source: Source, size: Size, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files of the source, several times over, with their trends."""
    location = tmp_path_factory.mktemp("store") / "store"
    ingest.ingest(ingest.FoundFiles(source.copied(size.copies)), location, workers=0)
    compute.compute(location, workers=0)
    return location


@pytest.fixture
def histogram(request: pytest.FixtureRequest, source: Source, store: Path) -> str:
    """Name of the largest 1-D histogram, or the largest of all, in the subsystem with the largest files; no profile."""
    table = owtrend.open(store).histograms(source.largest[-1].subsystem)
    table = table[(table["dims"] == 1) | (request.param == "largest")]
    return str(table.loc[~table["class"].str.startswith("TProfile"), "bins"].idxmax())


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Keep one comparison for the table: ``record(what, where, value, unit, peer, peer_value, ...)``."""

    def keep(
        what: str, where: str, value: float, unit: str, peer: str, peer_value: float, *, amount: float | None = None,
        rate_unit: str = "", target: str = "", remark: str = "",
    ) -> Row:  # fmt: skip
        row = Row(
            theme=request.path.stem.removeprefix("bench_"), benchmark=request.function.__name__, what=what, input=where,
            value=value, unit=unit, rate=None if amount is None else amount / value, rate_unit=rate_unit, peer=peer,
            peer_value=peer_value, target=target, remark=remark,
        )  # fmt: skip
        assert math.isfinite(row.ratio)
        assert row.ratio > 0
        assert row.reached in (True, False, None)  # only reported: a slow machine fails no test
        request.config.stash[ROWS].append(row)
        return row

    return keep


@pytest.fixture
def compare(benchmark: Any, record: Record, size: Size) -> Compare:
    """Time a function of ours and a peer's in turn and keep the medians; before that, one call of each (not if tiny).

    ``compare(what, where, ours, peer, theirs, ...)``: two texts for the table, a function, the peer's name and
    function; ``at_most`` rounds for what takes long; the rest is `record`'s.
    """

    def measure(
        what: str, where: str, ours: Callable[[], Any], peer: str, theirs: Callable[[], Any], *,
        at_most: int = 7, **rest: Any,
    ) -> Row:  # fmt: skip
        for _ in range(size.warm_up):  # compiles kernels, fills the page cache, imports modules
            ours(), theirs()
        seconds: tuple[list[float], list[float]] = [], []

        def timed(function: Callable[[], Any], into: list[float]) -> None:
            began = time.perf_counter()
            function()
            into.append(time.perf_counter() - began)

        rounds = min(size.rounds, at_most)
        benchmark.pedantic(lambda: timed(ours, seconds[0]), setup=lambda: timed(theirs, seconds[1]), rounds=rounds)
        return record(what, where, median(seconds[0]), "s", peer, median(seconds[1]), **rest)

    return measure


@pytest.fixture(scope="session")
def workers(size: Size) -> Iterator[Callable[[int], str]]:
    """Address of a scheduler with ``count`` warm worker processes (if tiny, threads) of one thread each."""
    from owtrend.compute.cluster import local_cluster

    with contextlib.ExitStack() as stack:
        clusters: dict[int, str] = {}

        def address(count: int) -> str:
            if count not in clusters:
                cluster = stack.enter_context(local_cluster(count, processes=bool(size.warm_up)))
                clusters[count] = cluster.scheduler_address
            return clusters[count]

        yield address


@pytest.fixture(scope="session")
def root(request: pytest.FixtureRequest) -> Iterator[Callable[[Sequence[str]], int]]:
    """Function that lets ROOT read all arrays of some files in its own process and returns the number of histograms."""
    python = request.config.getoption("--root-python", default="")
    if not python:
        pytest.skip("needs --root-python, a Python that has ROOT")
    command = [python, str(Path(__file__).with_name("root_peer.py"))]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:

        def read(paths: Sequence[str]) -> int:
            process.stdin.write(json.dumps([os.path.abspath(path) for path in paths]) + "\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield read
        process.stdin.close()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(1)
