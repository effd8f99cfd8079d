"""What people wait for in a store of thousands of runs, against the same with a hundredth of them: CPU time."""

import gc
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import owtrend
from benchmarks import many_runs
from benchmarks.inputs import Record, Size
from dashboards.state.session import Session
from owtrend.cli.main import main
from owtrend.compute import compute
from owtrend.config import RuleConfig
from owtrend.store.append import appender
from owtrend.store.repository import Store

RUNS = {"tiny": (2, 3), "S": (33, 3300), "M": (33, 3300)}
# What is printed does not grow with the number of runs, but for the findings that `outliers` counts.
WAITS: dict[str, Callable[[str], Any]] = {
    "open": owtrend.open,
    "runs --last 20": lambda store: command("runs", store, "--last", "20"),
    "status": lambda store: command("status", store),
    "outliers": lambda store: command("outliers", store),
    "histograms": lambda store: command("histograms", store),
    "first page": lambda store: Session.from_address(owtrend.open(store), {}),
    "trend of a run": lambda store: owtrend.open(store).trend("EMC", "hits", "mean_x", run=many_runs.FIRST_RUN + 1),
}


@pytest.fixture(scope="module")
def few_and_many(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str]]:
    """Two stores with trends and scores, each with how many runs it has."""
    found = []
    for runs in RUNS[request.config.getoption("--size", default="tiny")]:
        location = tmp_path_factory.mktemp("runs") / "store"
        many_runs.build(location, runs)
        compute.compute(location, workers=0)
        found.append((f"{runs} runs", str(location)))
    return found


def command(*arguments: str) -> str:
    """The output of a command, in this process."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    return done.output


def cpu_seconds(function: Callable[[], Any]) -> float:
    """CPU time of one call, with nothing left from the one before."""
    gc.collect()
    began = time.process_time()
    function()
    return time.process_time() - began


def test_what_people_wait_for(few_and_many: list[tuple[str, str]], record: Record, size: Size) -> None:
    """CPU seconds of commands, of opening a store, and of the session of a first page, each from the disk again; with
    3,300 runs against 33.
    """
    (few_label, few), (many_label, many) = few_and_many
    for what, wait in WAITS.items():
        times: dict[str, list[float]] = {few: [], many: []}
        for _ in range(size.warm_up):
            wait(few)
        for _ in range(min(size.rounds, 3)):
            for store, measured in times.items():
                measured.append(cpu_seconds(partial(wait, store)))
        record(what, many_label, min(times[many]), "s", few_label, min(times[few]), target=">= 0.67 x")


def test_a_rule_over_all_runs(few_and_many: list[tuple[str, str]], record: Record) -> None:
    """CPU seconds to open a store and judge every report of a histogram by a band over its last twenty reports; with
    3,300 runs against 33.
    """
    (few_label, few), (many_label, many) = few_and_many
    band = RuleConfig(
        name="band", subsystem="EMC", histogram="hits", error="abs(mean_x - median(mean_x)) > 6 * mad(mean_x)",
        warning="z > threshold",
    )  # fmt: skip
    seconds = [cpu_seconds(lambda store=store: owtrend.open(store).flags([band])) for store in (few, many)]
    record("one rule, all runs", many_label, seconds[1], "s", few_label, seconds[0], target="< 10 s")


def test_one_more_run(few_and_many: list[tuple[str, str]], record: Record) -> None:
    """CPU seconds to bring trends, scores and incidents up to date after one more run of each subsystem."""
    (few_label, few), (many_label, many) = few_and_many
    seconds = {}
    for label, store in few_and_many:
        many_runs.build(store, 1 + int(label.split()[0]))
        seconds[store] = cpu_seconds(partial(compute.compute, store, workers=0))
    record("compute, one more run", many_label, seconds[many], "s", few_label, seconds[few], target=">= 0.67 x")


def test_one_changed_run(few_and_many: list[tuple[str, str]], record: Record) -> None:
    """CPU seconds to bring trends, scores and incidents up to date after a run in the middle got one more snapshot."""
    (few_label, few), (many_label, many) = few_and_many
    seconds = {}
    for label, store in few_and_many:
        run = many_runs.FIRST_RUN + int(label.split()[0]) // 2
        add_late_snapshot(store, run)
        computed: list[compute.ComputeSummary] = []
        seconds[store] = cpu_seconds(lambda store=store, made=computed: made.append(compute.compute(store, workers=0)))
        assert computed[0].runs == 1
    record("compute, one changed run", many_label, seconds[many], "s", few_label, seconds[few], target="< 5 s")


def add_late_snapshot(store: str, run: int) -> None:
    """Give a run of EMC another snapshot, five minutes after its last."""
    *_, last = many_runs.snapshots("EMC", run)
    assert last.time is not None
    late = replace(last, time=last.time + np.timedelta64(5, "m"), source="late")
    grown = {
        one.path: replace(
            one,
            parts={part: (cells * 1.25).astype(cells.dtype) for part, cells in one.parts.items()},
            sums={name: 1.25 * value for name, value in one.sums.items()},
        )
        for one in last.values()
    }
    with appender(Store.open(store)) as live:
        live.append([replace(late, histograms=grown)])
        live.fold(everything=True)
