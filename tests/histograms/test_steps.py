"""What a histogram did from row to row, by hand and in random histories."""

from itertools import cycle
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import owtrend
from owtrend.compute.compute import compute
from owtrend.config import Config
from owtrend.errors import OutOfStepError
from owtrend.histograms.steps import Row, RunSteps, lasting_kind, previous_rows, step
from owtrend.kernels.cells.difference import plain_increments
from owtrend.model.axis import Axis
from owtrend.model.rows import State
from owtrend.store.repository import Store
from tests.builders import append, archive_of, filled, histogram, snapshots

GAIN = State(0)
SHAPE = np.array([0, 5, 30, 90, 150, 160, 90, 40, 15, 2, 0], dtype=float)


def row(cells, minute=0.0, entries=None, weight=None, squares=None):
    cells = None if cells is None else np.asarray(cells, dtype=float)
    total = float(cells.sum()) if entries is None else float(entries)
    weight = total if weight is None else float(weight)
    return Row(60 * minute, total, weight, weight if squares is None else float(squares), cells)


@pytest.mark.parametrize(
    ("rows", "expected", "wrong"),
    [
        pytest.param([[1, 2], [1, 3]], GAIN, False, id="gain"),
        pytest.param([[4, 5], [1, 2]], State.RESTART, False, id="restart-below"),
        pytest.param([SHAPE, np.roll(SHAPE, 2) * 1.5], State.RESTART, False, id="restart-passes-in-another-shape"),
        pytest.param([np.full(20, 100), [99] + [101] * 19], State.MOVED, False, id="one-of-many-entries-moved"),
        pytest.param([4 * SHAPE, 7 * SHAPE, 5 * SHAPE], GAIN, True, id="the-row-before-came-early"),
        pytest.param([6 * SHAPE, 4 * SHAPE, 7 * SHAPE], GAIN, True, id="the-row-before-is-old"),
        pytest.param([4 * SHAPE, 5 * SHAPE, 4 * SHAPE], GAIN, True, id="the-row-before-and-then-an-old-file-again"),
        pytest.param([6 * SHAPE, 7 * SHAPE, SHAPE], State.RESTART, False, id="restart-after-many-rows"),
    ],
)
def test_steps_by_hand(rows, expected, wrong):
    made = [row(cells, minute) for minute, cells in enumerate(rows)]
    earlier = made[-3] if len(made) > 2 else None
    rate = earlier.entries / 240 if earlier is not None else float("nan")
    assert step(made[-1], made[-2], earlier, rate) == (expected, wrong)


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


def test_negative_weights_are_no_restart():
    assert step(row(None, 1, 20, -5, 30), row(None, 0, 10, 5, 20)) == (GAIN, False)
    assert step(row(None, 1, 20, -5, 15), row(None, 0, 10, 5, 20)) == (State.RESTART, False)


@pytest.mark.parametrize(
    ("falls", "of_entries", "reports", "by_hand", "expected"),
    [
        (2, 1, 100, False, GAIN), (3, 3, 100, False, GAIN), (5, 4, 9, False, State.RESET),
        (3, 0, 8, False, State.GAUGE), (3, 0, 100, False, GAIN), (2, 0, 8, True, State.GAUGE),
    ],
)  # fmt: skip
def test_bins_that_fall_again_and_again_are_no_counter(falls, of_entries, reports, by_hand, expected):
    assert lasting_kind(falls, of_entries, reports, by_hand=by_hand) == expected


AXES = {"TH1": [Axis.spaced(10, 0, 10)], "TH2": [Axis.spaced(10, 0, 10), Axis.spaced(4, 0, 4)]}
AXES |= {"TH3": [*AXES["TH2"], Axis.spaced(2, 0, 4)], "TProfile": AXES["TH1"], "weighted": AXES["TH1"]}
CLASSES = tuple(AXES)


class Counter:
    """A counter of some class that is filled and starts anew."""

    def __init__(self, kind, seed):
        self.kind, self.rng = kind, np.random.default_rng(seed)
        self.restart()

    def restart(self):
        self.fills, self.weights = np.empty((0, len(AXES[self.kind]))), np.empty(0)

    def fill(self, number, mean=5.0):
        axes = AXES[self.kind]
        x = [self.rng.normal(mean if n == 0 else 2, 1.5, number) for n in range(len(axes))]
        self.fills = np.concatenate([self.fills, np.stack(x, axis=1)])
        self.weights = np.concatenate([self.weights, self.rng.uniform(0.5, 1.0, number)])

    def snapshot(self):
        weights = self.weights if self.kind == "weighted" else None
        values = self.weights if self.kind == "TProfile" else None
        return filled(AXES[self.kind], self.fills, weights=weights, values=values)


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


def test_a_state_is_its_last_value():
    rows = [[3 + m % 3, 5 - m % 2, 0, 7] for m in range(8)]
    archive = archive_of(*snapshots({"h": [by_hand(contents, m) for m, contents in enumerate(rows)]}))
    data = archive.histogram("EMC", "h", run=300000)
    assert owtrend.time_slice(data, "12:01", "12:05").contents.values.tolist() == rows[5]
    trend = archive.trend("EMC", "h", "integral", run=300000)["value"].values.ravel()
    assert trend.tolist() == [sum(row) for row in rows]
    assert archive.time_slice("EMC", run=300000, start="12:01", stop="12:05")["h"].gauge


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


class Rows:
    """The rows of one histogram in memory, as a `RunHistogram` gives them."""

    def __init__(self, histograms, minutes=None):
        self.histograms = histograms
        self.rows = np.arange(len(histograms))
        first, every = histograms[0], np.ones(len(histograms), dtype=bool)
        self.segment = SimpleNamespace(class_name=first.class_name, path=first.path, axes=first.axes, array="counts")
        self.pieces = {part: [(self.segment, every)] for part in first.parts}
        self.sum_names = tuple(histograms[0].sums)
        when = np.arange(len(histograms)) if minutes is None else np.asarray(minutes)
        self.times = (when * 6e10).astype("int64").view("datetime64[ns]")
        self.entries = self.sums[:, self.sum_names.index("entries")]
        self.additive, self.from_store = True, False

    @property
    def sums(self):
        return np.array([list(one.sums.values()) for one in self.histograms])

    def on(self, axes):
        assert axes == self.segment.axes
        return self

    def window(self, first, last):
        return Rows(self.histograms[first:last])

    def native(self, part):
        return np.asfortranarray([one.parts[part] for one in self.histograms])

    def read(self, part, which):
        return self.native(part)[which]


def gained(rows, last=None):
    states = RunSteps([rows]).states(len(rows.rows) if last is None else last)
    return states, plain_increments(rows.entries[: len(states)], previous_rows(states, True)).tolist()


def row_by_row(rows):
    """States of rows that came one by one, each used at once; made anew where a row shows earlier ones otherwise."""
    steps = RunSteps([rows])
    for last in range(1, len(rows.rows) + 1):
        try:
            steps.states(last)
        except OutOfStepError:
            steps = RunSteps([rows])
            steps.states(last)
        steps.settle(last)
    return steps.states(len(rows.rows))


EVENTS = st.sampled_from(["fill"] * 6 + ["below", "above", "early", "late", "repeat", "lost"])


@settings(max_examples=25, deadline=None)
@given(st.lists(EVENTS, max_size=8), st.sampled_from(CLASSES), st.integers(0, 10**6))
def test_random_histories_are_recovered(events, kind, seed):
    """Each event has quiet rows around it; a row out of order gained nothing, and the next one in order all of it."""
    counter, rows, gains, kinds = Counter(kind, seed), [], [], []
    means = cycle([8.0, 2.5])  # in the same shape a restart that passes its old value cannot be seen

    def add(gain, step=GAIN):
        rows.append(counter.snapshot())
        gains.append(gain)
        kinds.append(State.HELD | step)

    for event in [each for one in ["fill", "fill", *events] for each in (one, "fill", "fill", "fill")]:
        before = len(counter.fills)
        if event in ("below", "above"):
            counter.restart()
            counter.fill(*((100, 5.0) if event == "below" else (before * 3 // 2, next(means))))
            add(len(counter.fills), State.RESTART)
        elif event == "early":  # the next snapshot but one stands before the next
            counter.fill(300)
            now = counter.snapshot()
            counter.fill(300)
            add(0, State.OUT_OF_ORDER)
            rows.append(now)
            gains.append(300)
            kinds.append(State.HELD)
            counter.fill(300)
            add(600)
        elif event == "late":  # an older snapshot stands after the next
            old = rows[-2]
            counter.fill(300)
            add(300)
            rows.append(old)
            gains.append(0)
            kinds.append(State.HELD | State.OUT_OF_ORDER)
            counter.fill(300)
            add(300)
        elif event == "repeat":
            add(0)
        else:
            counter.fill(300 if event == "fill" else 900)
            add(len(counter.fills) - before)
    states, found = gained(Rows(rows))
    assert found == gains
    assert states.tolist() == kinds
    assert row_by_row(Rows(rows)).tolist() == kinds


@pytest.mark.parametrize("kind", CLASSES)
def test_steady_histories_have_no_false_kinds(kind):
    for seed in range(20):
        counter, rows = Counter(kind, seed), []
        for _ in range(12):
            counter.fill(int(counter.rng.integers(0, 40)))
            rows.append(counter.snapshot())
        assert (gained(Rows(rows))[0] == State.HELD).all(), seed


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
