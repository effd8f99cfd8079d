"""What a histogram did from row to row, by hand and in random histories."""

from dataclasses import replace

import numpy as np
import pytest

import owtrend
from ingest.decode.reader import SnapshotReader
from owtrend.compute.compute import compute
from owtrend.config import Config
from owtrend.histograms.steps import Row, displaced, lasting_kind, step
from owtrend.model.rows import State
from owtrend.store.repository import Store
from tests.builders import append, archive_of, histogram, snapshots
from tests.histograms.histories import CLASSES, Counter, Rows, gained

GAIN = State(0)
SHAPE = np.array([0, 5, 30, 90, 150, 160, 90, 40, 15, 2, 0], dtype=float)
RATE = float(SHAPE.sum()) / 60  # per second


def row(cells, minute=0.0, entries=None, weight=None, squares=None, rate=RATE):
    cells = None if cells is None else np.asarray(cells, dtype=float)
    total = float(cells.sum()) if entries is None else float(entries)
    weight = total if weight is None else float(weight)
    return Row(60 * minute, total, weight, weight if squares is None else float(squares), cells, rate=rate)


@pytest.mark.parametrize(
    ("rows", "expected", "wrong"),
    [
        pytest.param([[1, 2], [1, 3]], GAIN, False, id="gain"),
        pytest.param([[4, 5], [1, 2]], State.RESTART, False, id="restart-below"),
        pytest.param([SHAPE, np.roll(SHAPE, 2) * 1.5], State.RESTART, False, id="restart-passes-in-another-shape"),
        pytest.param([np.full(20, 100), [99] + [101] * 19], State.MOVED, False, id="one-of-many-entries-moved"),
        pytest.param([4 * SHAPE, 7 * SHAPE, 5 * SHAPE], GAIN, True, id="the-row-before-came-early"),
        pytest.param([4 * SHAPE, 5 * SHAPE, 4 * SHAPE], GAIN, True, id="the-row-before-and-then-an-old-file-again"),
        pytest.param([6 * SHAPE, 7 * SHAPE, SHAPE], State.RESTART, False, id="restart-after-many-rows"),
    ],
)
def test_steps_by_hand(rows, expected, wrong):
    made = [row(cells, minute) for minute, cells in enumerate(rows)]
    assert step(made[-1], made[-2], made[-3] if len(made) > 2 else None) == (expected, wrong)


def test_a_weighted_restart_whose_entries_lie_more_in_flow_bins_is_not_scaled():
    total, again = SHAPE.sum(), 1.1 * np.roll(SHAPE, 2)
    before = row(0.6 * SHAPE, 0, entries=total, weight=0.75 * total, squares=0.6 * total)
    after = row(0.6 * again, 1, entries=again.sum(), weight=0.65 * total, squares=0.5 * total)
    assert step(after, before) == (State.RESTART, False)


@pytest.mark.parametrize(
    ("rows", "restart", "expected"),
    [
        pytest.param([6, 4, 7], 1, [1], id="one-is-old"),
        pytest.param([6, 4, 6], 1, [1], id="one-is-old-and-nothing-came-since"),
        pytest.param([6, 3, 4, 7], 1, [1, 2], id="two-are-old"),
        pytest.param([6, 2, 3, 4, 7], 1, [1, 2, 3], id="three-are-old"),
        pytest.param([6, 9, 10, 7, 7.5, 8], 3, [1, 2], id="two-are-early"),
        pytest.param([6, 9, 10, 7, 8], 3, [], id="two-are-early-or-two-are-old"),
        pytest.param([6, 0.5, 1, 1.5], 1, [], id="restart"),
        pytest.param([1, 1.5, 2, 0.7, 1.4, 2.3], 3, [], id="restart-that-soon-passes-its-old-value"),
    ],
)
def test_snapshots_out_of_order_show_in_what_comes_after(rows, restart, expected):
    made = [row(times * SHAPE, minute) for minute, times in enumerate(rows)]
    assert list(displaced(made, restart)) == expected


def test_all_bins_times_a_factor_are_scaled():
    before = row(SHAPE)
    halved = Row(60.0, before.entries, before.weight / 2, before.weight / 4, SHAPE / 4)
    assert step(halved, before) == (State.LOST | State.MOVED, False)
    fills = np.where(SHAPE > 80, 40.0, 0.0)
    weight, squares = 2 * before.weight + fills.sum(), 4 * before.weight + fills.sum()
    doubled = Row(60.0, before.entries + fills.sum(), weight, squares, 4 * SHAPE + fills)
    assert step(doubled, before) == (State.LOST | State.MOVED, False)
    weighted = Row(
        60.0, before.entries + 100, before.weight + 300, before.weight + 900, SHAPE + 900 * (SHAPE == 90) / 2
    )
    assert step(weighted, before) == (GAIN, False)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(1, State.LOST | State.MOVED), (60, State.RESTART)],
    ids=["no-restart-is-so-fast", "restart"],
)
def test_weights_times_a_factor_near_one_are_scaled_where_no_restart_can_have_counted_so_fast(minutes, expected):
    weights = 0.7 * SHAPE
    before = Row(600.0, SHAPE.sum(), weights.sum(), 0.5 * SHAPE.sum(), 0.5 * SHAPE, rate=SHAPE.sum() / 600)
    cells = 0.98**2 * before.cells + np.where(SHAPE > 80, 5.0, 0.0)
    now = Row(600.0 + 60 * minutes, before.entries + 10, 0.98 * before.weight + 7, cells.sum(), cells)
    assert step(now, before) == (expected, False)


def test_one_bin_that_fell_is_set_by_hand_where_no_restart_can_have_counted_so_fast():
    filled = np.append(np.full(16, 375.0), 17.0)
    before = row(filled, 3)
    cells = np.append(np.full(16, 500.0), 14.0)
    now = Row(240.0, cells.sum(), cells.sum(), cells.sum(), cells)
    assert step(now, replace(before, rate=filled.sum() / 180)) == (State.MOVED, False)
    assert step(now, replace(before, rate=cells.sum() / 60)) == (State.RESTART, False)


def test_negative_weights_are_no_restart():
    assert step(row(None, 1, 20, -5, 30), row(None, 0, 10, 5, 20)) == (GAIN, False)
    assert step(row(None, 1, 20, -5, 15), row(None, 0, 10, 5, 20)) == (State.RESTART, False)


@pytest.mark.parametrize(
    ("falls", "of_entries", "reports", "seen", "expected"),
    [
        (2, 1, 100, "", GAIN), (3, 3, 100, "", GAIN), (5, 4, 9, "", State.RESET), (3, 0, 8, "", State.GAUGE),
        (3, 0, 100, "", GAIN), (2, 0, 8, "by_hand", State.GAUGE), (3, 0, 8, "varies", GAIN),
        (6, 0, 8, "varies", State.GAUGE), (3, 0, 12, "by_fills", GAIN), (5, 0, 9, "by_fills", State.RESET),
    ],
)  # fmt: skip
def test_bins_that_fall_again_and_again_are_no_counter(falls, of_entries, reports, seen, expected):
    assert lasting_kind(falls, of_entries, reports, **{seen: True} if seen else {}) == expected


def gains_of(archive, run=300000):
    data = archive.histogram("EMC", "h", run=run)
    gained = owtrend.increments(data)
    trend = archive.trend("EMC", "h", "entries", run=run)
    return data, gained.sums.sel(sum="entries").values.tolist(), np.asarray(trend["value"]).ravel().tolist()


@pytest.mark.parametrize("kind", CLASSES)
def test_a_restart_that_passes_its_old_value_counts_from_zero(kind):
    counter, rows = Counter(kind, 5), []
    for minute in range(4):
        if minute == 1:
            counter.restart()
        counter.fill(1000 if minute == 0 else 1500, 4 if minute == 0 else 7)
        rows.append(counter.snapshot())
    archive = archive_of(*snapshots({"h": rows}))
    data, gained, trend = gains_of(archive)
    assert gained == trend == [1000, 1500, 1500, 1500]
    assert data.state.values.tolist() == [1, 5, 1, 1]
    assert owtrend.time_slice(data).sums.sel(sum="entries") == 5500
    mean = archive.trend("EMC", "h", "mean_x", run=300000)["value"].values.ravel()
    assert ((mean > 3.8) & (mean < 7.2)).all()
    whole = archive.time_slice("EMC", run=300000)
    assert whole["h"].sums["entries"] == 5500
    assert whole.interval.restarts == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLASSES)
def test_a_row_out_of_order_takes_part_in_no_increment(kind):
    counter, rows = Counter(kind, 11), []
    for _ in range(10):
        counter.fill(1000)
        rows.append(counter.snapshot())
    minutes = [minute - 2.5 if minute == 6 else minute for minute in range(10)]
    order = np.argsort(minutes)
    rows = [rows[number] for number in order]
    archive = archive_of(*snapshots({"h": rows}, minutes=sorted(minutes)))
    data, gained, trend = gains_of(archive)
    assert gained == [1000, 1000, 1000, 1000, 0, 1000, 1000, 2000, 1000, 1000]
    assert np.isnan(trend[4])
    assert np.nansum(trend) == 10_000
    assert data.state.values[4] == State.HELD | State.OUT_OF_ORDER
    assert owtrend.time_slice(data).sums.sel(sum="entries") == 10_000
    assert owtrend.increments(data).restart.values.sum() == 0


def by_hand(contents, minute, **options):
    return histogram(np.pad(contents, 1), entries=4.0 * (minute + 1), tsumw=0, tsumw2=0, tsumwx=0, tsumwx2=0, **options)


@pytest.mark.slow
def test_a_state_is_its_last_value():
    rows = [[3 + m % 3, 5 - m % 2, 0, 7] for m in range(8)]
    archive = archive_of(*snapshots({"h": [by_hand(contents, m) for m, contents in enumerate(rows)]}))
    data = archive.histogram("EMC", "h", run=300000)
    assert owtrend.time_slice(data, "12:01", "12:05").contents.values.tolist() == rows[5]
    trend = archive.trend("EMC", "h", "integral", run=300000)["value"].values.ravel()
    assert trend.tolist() == [sum(row) for row in rows]
    assert archive.time_slice("EMC", run=300000, start="12:01", stop="12:05")["h"].gauge
    assert owtrend.time_slice(data).attrs["steps"] == ("a gauge: its last value",)


def test_a_histogram_that_is_reset_at_each_snapshot_adds_its_rows():
    rows, entries = [], []
    for seed in range(10):
        counter = Counter("TH1", 100 + seed)
        counter.fill(int(1000 + 40 * np.sin(seed * 2.4)))
        rows.append(counter.snapshot())
        entries.append(len(counter.fills))
    archive = archive_of(*snapshots({"h": rows, "counter": [[0, 9 * m, m, 0] for m in range(10)]}))
    data, gained, trend = gains_of(archive)
    assert gained == trend == entries
    assert owtrend.time_slice(data).sums.sel(sum="entries") == sum(entries)
    assert (data.state.values == State.HELD | State.RESET).all()
    assert (archive.histogram("EMC", "counter", run=300000).state.values == State.HELD).all()


@pytest.mark.parametrize(("dtype", "limit"), [("i1", 127), ("i2", 32767), ("f4", 2**24)])
def test_what_a_full_bin_gained_is_missing(dtype, limit):
    full = [0, 10, limit, 0]
    rows = [[0, 5, limit - 50, 0], full, [0, 12, limit, 0]]
    entries = [sum(rows[0]), sum(full) + 30, sum(full) + 90]
    made = [histogram(one, dtype=dtype, entries=n, tsumw=n, tsumw2=n) for one, n in zip(rows, entries, strict=True)]
    archive = archive_of(*snapshots({"h": made}))
    assert archive.histogram("EMC", "h", run=300000).state.values.tolist() == [1, 1 | State.LOST, 1 | State.LOST]
    assert np.isnan(archive.trend("EMC", "h", "integral", run=300000)["value"].values.ravel()[1:]).all()


def test_a_number_that_is_set_in_one_bin_leaves_a_counter_a_counter():
    """As `SetBinContent` between fills does it: tsumw is 0, and the bin holds 15, 17, 14, 16, ... once only."""
    counter, rows = Counter("TH2", 3), []
    for minute in range(9):
        counter.fill(2000)
        now = counter.snapshot()
        now.parts["contents"][0] = 15 + 2 * (minute % 2)
        now.sums["entries"] += minute + 1
        now.sums["tsumw"] = 0
        rows.append(now)
    assert gained(Rows(rows))[0].tolist() == [1, 1, *[State.HELD | State.MOVED, State.HELD] * 3, 1 | State.MOVED]


def test_kinds_of_real_histograms_are_right(shared):
    """A restart of one histogram, among others that only gain; one that the beam lost has a shape as before."""
    folder, read = shared / "generated" / "runs" / "Run300103" / "TOF", SnapshotReader().read
    files = [read(file).histograms for file in sorted(folder.iterdir())]
    for path in files[0]:
        restart = [9] if path[-1] == "hTOFRawsToT" else []
        states = gained(Rows([file[path] for file in files]))[0]
        assert np.flatnonzero(State.RESTART.is_set(states)).tolist() == restart
        assert (states & ~np.uint8(State.RESTART) == State.HELD).all()


@pytest.mark.slow
def test_real_histograms_that_only_gain_have_no_kinds(shared):
    """Each of their contents as a history of its multiples: nothing but gains, and bins that are full."""
    full = set()
    for file in sorted(shared.glob("alice-aliroot/QAref/**/*.root")):
        for path, one in SnapshotReader().read(file).histograms.items():
            if max(values.size for values in one.parts.values()) > 200_000:
                continue
            rows = [multiple(one, times) for times in (0, 0, 1, 1, 2, 4)]
            states = gained(Rows(rows))[0]
            full |= {path[-1]} if State.LOST.is_set(states).any() else set()
            assert (states & ~np.uint8(State.LOST) == State.HELD).all(), path
    assert full == {"LowMultiplicity_hEnergyOfRecpoints", "LowMultiplicity_hEnergyOfESD", "LowMultiplicity_hDigitsADC"}


def multiple(one, times):
    parts = {part: values.astype("f8") * times for part, values in one.parts.items()}
    return replace(one, parts=parts, sums={name: value * times for name, value in one.sums.items()})


@pytest.mark.slow
def test_what_root_scales_or_fills_beyond_a_type_has_no_known_gain():
    rows = {}
    for (_, name), one in SnapshotReader().read("tests/data/root/steps.root").histograms.items():
        rows.setdefault(name, []).append(one)
    archive = archive_of(*snapshots(rows))
    for name in rows:
        scaled, lost = name.startswith("scaled"), [2] if name.startswith("scaled") else [2, 3, 4]
        states = archive.histogram("EMC", name, run=300000).state.values
        assert np.flatnonzero(State.LOST.is_set(states)).tolist() == lost, name
        assert np.flatnonzero(State.MOVED.is_set(states)).tolist() == (lost if scaled else []), name
        assert not (State.RESTART | State.OUT_OF_ORDER).is_set(states).any(), name
        entries = archive.trend("EMC", name, "entries", run=300000)["value"].values.ravel()
        assert np.flatnonzero(np.isnan(entries)).tolist() == lost, name
        assert entries[1] == (1000 if scaled else 37), name
        assert not scaled or entries[3:].tolist() == [1000, 1000], name


@pytest.mark.parametrize("kind", CLASSES)
def test_steady_histories_have_no_false_kinds(kind):
    for seed in range(20):
        counter, rows = Counter(kind, seed), []
        for _ in range(12):
            counter.fill(int(counter.rng.integers(0, 40)))
            rows.append(counter.snapshot())
        assert (gained(Rows(rows))[0] == State.HELD).all(), seed


@pytest.mark.slow
def test_people_say_what_a_histogram_is():
    rows = {"a": [[0, 5 * m, 0] for m in range(1, 4)], "b": [[0, m % 2, 0] for m in range(3)], "[c": [[0, 2, 0]] * 3}
    store = Store.in_memory()
    append(store.location, snapshots(rows), fold=False)
    kinds = {"a": "gauge", "b": "counter", "[c": "reset"}
    compute(store.location, config=Config.model_validate({"subsystems": {"EMC": {"kinds": kinds}}}), workers=0)
    archive = owtrend.open(store.location)
    assert dict(zip(archive.kinds["histogram"], archive.kinds["kind"], strict=True)) == kinds
    assert set(archive.kinds["why"]) == {"as the configuration says"}
    trend = archive.trends("EMC", ["a", "b", "[c"], ["entries"], run=300000)["value"].values[..., 0].T
    assert trend.tolist() == [[5, 10, 15], [0, 1, 0], [2, 2, 2]]
    whole = archive.time_slice("EMC", run=300000)
    assert [whole[name].sums["entries"] for name in ("a", "b", "[c")] == [15, 1, 6]
