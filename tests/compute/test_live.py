"""Runs taken row by row, in any pieces, end with the very numbers of one pass over the whole run."""

from dataclasses import replace
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from owtrend.compute.compute import compute
from owtrend.compute.live import live
from owtrend.compute.live import run as live_run
from owtrend.config import Config
from owtrend.histograms.prefetch import Prefetched
from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram
from owtrend.model.rows import Accumulation
from owtrend.store.append import appender
from owtrend.store.repository import Store
from tests import builders
from tests.builders import filled

X, WIDE, Y = Axis.spaced(12, 0, 12), Axis.spaced(24, 0, 24), Axis.spaced(5, -2, 3)
ROWS = 24
CONFIG = Config.model_validate(
    {
        "scores": {"false_alarms": 20},
        "subsystems": {
            "EMC": {
                "events": "events",
                "reductors": {"h": ["mean_x(x=1:7)", "ratio(sometimes)", "rate", "quantile_x(0.9)"]},
            }
        },
    }
)


def snapshots(run, subsystem="EMC", *, seed=0, reset=False):
    """Rows of a run: components that report in turn, a restart, missing and new histograms, another binning.

    One histogram is full after a while, and one is scaled.
    """
    rng = np.random.default_rng([seed, run])
    held: dict[str, list[np.ndarray]] = {}
    halved = 0  # fills of "scaled"
    before: dict[str, Histogram] = {}
    for row in range(ROWS):
        if row == 15 and run % 2:
            held.clear()  # restarted
            halved = 0
        names = [name for name, phase in COMPONENTS.items() if (row + phase) % 3 == 0 or row == 0]
        for name in names:
            mean = 4.0 + 3 * (name == "h" and row in (11, 12))
            fills = rng.normal(mean, 2, (rng.poisson(400 if row != 18 else 100), 3))
            held[name] = [fills] if reset else [*held.get(name, []), fills]
        if row == 10 and run % 2 and not reset:
            halved = sum(map(len, held["scaled"]))
        made = {name: histogram(name, np.concatenate(held[name]), row) for name in held}
        weights = np.repeat([0.5, 1.0], [halved, sum(map(len, held["scaled"])) - halved]) if halved else None
        made["scaled"] = filled([X], np.concatenate(held["scaled"])[:, :1], "scaled", weights=weights)
        made["gauge"] = filled([X], np.full((row // 4 + 1, 1), 0.5), "gauge", gauge=True)
        if row in (5, 6, 7, 16):
            made.pop("sometimes", None)
        if row < 9:
            made.pop("new", None)
        if row == 20:  # nothing new in one snapshot
            made = before
        before = made
        minute = 200 * run + row + (row > 13) * 4
        yield builders.snapshot(minute, *made.values(), run=run, subsystem=subsystem)


COMPONENTS = {
    "h": 0,
    "sometimes": 0,
    "events": 0,
    "h2": 1,
    "w": 1,
    "p": 1,
    "grows": 2,
    "new": 2,
    "p2": 2,
    "doubles": 0,
    "named": 1,
    "full": 1,
    "scaled": 0,
}


def histogram(name, fills, row):
    if name == "w":
        return filled([X], fills[:, :1], name, weights=np.round(1 + fills[:, 1] ** 2, 1))
    if name in ("h2", "p2"):
        return filled([X, Y], fills[:, :2], name, values=fills[:, 2] if name == "p2" else None)
    if name == "p":
        return filled([X], fills[:, :1], name, values=fills[:, 2])
    if name == "doubles":  # as ROOT extends an axis, and its error option changes later
        axis = Axis.spaced(12, 0, 12 if row < 8 else 24)
        return replace(filled([axis], fills[:, :1], name, values=fills[:, 2]), error_option="s" if row > 13 else "")
    if name == "named":
        order = "abcd" if row < 6 else "dbaec" if row < 17 else "fbcd"
        return filled([builders.labelled(list(order))], fills[:, :1] % len(order), name)
    if name == "full":
        one = filled([X], fills[::2, :1], name)
        return replace(one, class_name="TH1C", parts={"contents": one.parts["contents"].clip(max=127).astype("i1")})
    return filled([WIDE if name == "grows" and row > 12 else X], fills[:, :1], name)


def everything(store):
    """All that is stored of trends and scores."""
    found = {}
    for name in store.reader().subsystems:
        view = store.reader().subsystem(name)
        runs = sorted(view.run_indices)
        where = [view.run_index(run) for run in runs]
        for run, at in zip(runs, where, strict=True):
            rows = slice(0, len(view.times(at)))
            for array in ("value", "error", "state"):
                found[name, run, array] = view.trends.block(array, at, rows)
            for array in ("z", "total", "flagged", "threshold_of_row"):
                found[name, run, array] = view.scores.block(array, at, rows)
            for array in ("run_value", "run_error", "revision", "settings", "version"):
                found[name, run, array] = view.trends.block(array, at)
            for array in ("null", "revision", "basis", "outcome", "version", "settings"):
                found[name, run, f"scores {array}"] = view.scores.block(array, at)
            found["incidents"] = np.array(store.reader().quality("incidents"))
            found[name, run, "lines"] = np.array(view.scores.lines([at]))
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        np.testing.assert_array_equal(found[key], values, err_msg=str(key))


def in_one_pass(rows, accumulation=Accumulation.CUMULATIVE):
    store = Store.in_memory()
    with appender(store) as raw:
        raw.append(rows, accumulation)
        raw.fold(everything=True)
    compute(store.location, config=CONFIG, workers=0)
    return store


def two_runs():
    return [snapshot for run in (1, 2) for snapshot in snapshots(run)]


@pytest.fixture(scope="module")
def expected():
    """Two runs computed in one pass."""
    return in_one_pass(two_runs())


def configured(config=CONFIG):
    store = Store.in_memory()
    with store.writer("derived") as begin:
        transaction = begin()
        transaction.configure(config.model_dump_json(), {})
        transaction.commit("configuration")
    return store


@pytest.mark.slow
@pytest.mark.parametrize(
    ("accumulation", "taken", "written"),
    [
        pytest.param(Accumulation.CUMULATIVE, 21, (17,), id="quick"),
        pytest.param(Accumulation.CUMULATIVE, 2 * ROWS, (3, 17, 19, 38), id="whole", marks=pytest.mark.study),
        pytest.param(Accumulation.RESET, ROWS, (3, 17, 19), id="reset", marks=pytest.mark.study),
    ],
)
def test_rows_taken_one_by_one_end_as_in_one_pass(accumulation, taken, written):
    reset = accumulation == Accumulation.RESET
    rows, store = (list(snapshots(1, reset=True)) if reset else two_runs())[:taken], configured()
    expected = in_one_pass(rows, accumulation)
    findings = {}
    with appender(store) as raw, live(store) as engine:
        for number, snapshot in enumerate(rows):
            raw.append([snapshot], accumulation)
            for update in engine.take([snapshot], accumulation):
                for one in update.withdrawn:
                    del findings[one]
                findings |= dict.fromkeys(update.findings)
            if number in written:
                engine.write()
        joined = engine.incidents()
        engine.write()
    assert_same(everything(store), everything(expected))
    view = expected.reader().subsystem("EMC")
    lines = view.scores.lines([*view.run_indices.values()])
    assert [one.to_json() for one in joined] == expected.reader().quality("incidents")
    assert sorted(finding.to_json() for finding in findings) == sorted(lines)
    assert len({finding.score for finding in findings}) > (3 if taken > ROWS else 1)


@pytest.mark.slow
def test_compute_does_the_new_rows_of_a_run_that_grew_only(monkeypatch, expected):
    begun = []

    class Watched(Prefetched):
        def __init__(self, view, run_index, histograms, begin=0):
            begun.append(begin)
            super().__init__(view, run_index, histograms, begin)

    rows, store = two_runs(), configured()
    with appender(store) as raw:
        raw.append(rows[:ROWS])
        compute(store.location, workers=0)
        raw.append(rows[ROWS : ROWS + 9])
        compute(store.location, workers=0)
        monkeypatch.setattr(live_run, "Prefetched", Watched)
        for first, last in ((9, 14), (14, ROWS)):
            raw.append(rows[ROWS + first : ROWS + last])
            compute(store.location, workers=0)
    assert begun == [9, 14, 0], "an axis gets a label in the last rows: the whole run"
    assert_same(everything(store), everything(expected))
    with appender(store) as raw:
        late = replace(rows[-5], time=rows[-5].time + np.timedelta64(30, "s"))
        raw.append([late])
    compute(store.location, workers=0)
    assert begun[3] == 0, "a late row: the whole run"
    assert_same(everything(store), everything(in_one_pass([*rows, late])))


@pytest.mark.slow
def test_a_process_that_died_goes_on_from_the_state_it_kept():
    rows, store = list(snapshots(1))[:21], configured()
    with appender(store) as raw:
        for first, last in ((0, 9), (9, 17), (17, len(rows))):
            with live(store) as engine:
                for snapshot in rows[first:last]:
                    raw.append([snapshot])
                    engine.take([snapshot])
                engine.write(state=True)
                raw.append(rows[last : last + 1])  # it dies before it has this one
    assert_same(everything(store), everything(in_one_pass(rows)))


def append_all(raw, rows):
    """Append snapshots, each with its accumulation, those of one run together."""
    for accumulation, of_run in groupby(rows, key=lambda row: row[1]):
        raw.append([snapshot for snapshot, _ in of_run], accumulation)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.study
@given(st.data(), st.integers(0, 3))
def test_any_cut_into_appended_pieces_gives_the_arrays_of_one_pass(data, seed):
    modes = data.draw(st.lists(st.sampled_from([False, True]), min_size=2, max_size=2))
    rows = [
        (snapshot, Accumulation.RESET if reset else Accumulation.CUMULATIVE)
        for run, reset in zip((3, 4), modes, strict=True)
        for snapshot in snapshots(run, seed=seed, reset=reset)
    ]
    cuts = sorted(data.draw(st.sets(st.integers(1, len(rows) - 1), max_size=4)))
    expected, store = Store.in_memory(), configured()
    with appender(expected) as raw:
        append_all(raw, rows)
    compute(expected.location, config=CONFIG, workers=0)
    with appender(store) as raw:
        for first, last in pairwise([0, *cuts, len(rows)]):
            append_all(raw, rows[first:last])
            compute(store.location, workers=0)
    assert_same(everything(store), everything(expected))
