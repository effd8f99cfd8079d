"""Random histories of one histogram: fills, restarts, rows out of order, other labels, axes and classes, Scale(), full
bins; and all of these in one.
"""

from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owtrend.histograms.run_histogram import by_binning
from owtrend.model.axis import Axis
from owtrend.model.registry import SAME, Layouts, Registry, segments_of
from owtrend.model.rows import Accumulation, State
from tests.builders import MINUTE, START, filled, labelled
from tests.studies import sizes

GAIN, SCALED = State(0), State.LOST | State.MOVED
KINDS = ("TH1", "TH2", "TH3", "weighted", "TProfile", "TProfile2D")
AXES = ("fixed", "labels", "extended")
BINS = 40
LIMIT = 2**15 - 1  # of a bin of a TH*S
MOST = 3  # extensions: with wider bins a restart that passes its old value cannot be seen


class Counter:
    """A histogram of x from 0 to 10, in one process after another: each begins empty, with its first axis.

    Of ``axis`` "both" x has labels, and y is extended.
    """

    def __init__(self, kind, axis, seed):
        self.kind, self.axis, self.rng = kind, axis, np.random.default_rng(seed)
        self.dimension = int(kind[2]) if kind.startswith("TH") else 2 if kind == "TProfile2D" or axis == "both" else 1
        self.letter, self.option, self.extensions = "S" if axis == "both" else "D", "", 0
        self.restart()

    def restart(self):
        self.fills, self.weights, self.factors = np.empty((0, self.dimension)), np.empty(0), np.empty(0)
        self.labels, self.range = [], (0.0, 4.0 if self.axis == "both" else 10.0)
        self.scaled = False

    def fill(self, number, mean=5.0):
        x = np.clip(self.rng.normal(mean, 1.5, number), 0, 9.99)
        more = self.rng.normal(2, 1.5, (number, self.dimension - 1))
        if self.axis == "both":  # an axis that is extended has nothing in its flow bins
            more[:, 0] = more[:, 0].clip(0, 3.99)
        self._add(np.concatenate([x[:, None], more], axis=1))

    def _add(self, fills):
        self.fills = np.concatenate([self.fills, fills])
        self.weights = np.concatenate([self.weights, self.rng.uniform(0.5, 1.0, len(fills))])
        self.factors = np.concatenate([self.factors, np.ones(len(fills))])
        self.labels = list(dict.fromkeys([*self.labels, *fills[:, 0].astype(int).astype(str).tolist()]))

    def change(self):
        """Take another class or error option, another order of labels, or a fill beyond the end of the axis."""
        if self.axis in ("labels", "both") and self.rng.random() < 0.7:
            self.labels = self.rng.permutation(self.labels).tolist()
        if self.axis in ("extended", "both") and self.extensions < MOST and self.rng.random() < 0.7:
            self.extensions += 1
            low, high = self.range
            upwards = bool(self.rng.integers(2))
            self.range = (low, 2 * high - low) if upwards else (2 * low - high, high)
            beyond = np.ones((1, self.dimension))
            beyond[0, int(self.axis == "both")] = high + 0.1 if upwards else low - 0.1
            self._add(beyond)
        if not self.full:
            self.letter = "F" if self.letter == "D" else "D"
        self.option = "s" if self.option == "" else ""

    def scale(self):
        """Halve all contents; from then on squares of weights are kept."""
        self.factors, self.scaled = self.factors / 2, True

    def fill_up(self):
        """Fill one bin up to what its class can hold."""
        self.letter = "S"
        self._add(np.full((LIMIT, self.dimension), 1.5))

    @property
    def holds_integers(self):
        """Whether its contents are numbers of fills."""
        return not (self.scaled or self.kind == "weighted" or self.kind.startswith("TProfile"))

    @property
    def full(self):
        """Whether a bin is full."""
        if self.letter != "S" or not self.holds_integers:
            return False
        return bool(self.of(slice(None), self.axes).parts["contents"].max() >= LIMIT)

    @property
    def now(self):
        """Its fills, their weights and factors."""
        return self.fills, self.weights, self.factors

    @now.setter
    def now(self, state):
        self.fills, self.weights, self.factors = state

    @property
    def axes(self):
        x = labelled(self.labels) if self.axis in ("labels", "both") else Axis.spaced(BINS, *self.range)
        y = Axis.spaced(4, *(self.range if self.axis == "both" else (0, 4)))
        return [x, y, Axis.spaced(2, 0, 4)][: self.dimension]

    def of(self, rows, axes):
        """A histogram of some of its fills."""
        fills, weights, factors = self.fills[rows].copy(), self.weights[rows], self.factors[rows]
        if self.axis in ("labels", "both"):
            place = np.full(10, np.nan)
            for number, label in axes[0].labels.items():
                place[int(label)] = number - 0.5
            fills[:, 0] = place[fills[:, 0].astype(int)]
        profile = self.kind.startswith("TProfile")
        kept = weights * factors if self.kind == "weighted" else factors if self.scaled else None
        return filled(axes, fills, weights=kept, values=weights if profile else None)

    def snapshot(self):
        found = self.of(slice(None), self.axes)
        if self.kind.startswith("TProfile"):
            return replace(found, error_option=self.option)
        letter = "D" if self.letter == "S" and not self.holds_integers else self.letter
        contents = found.parts["contents"].clip(max=LIMIT) if letter == "S" else found.parts["contents"]
        contents = contents.astype({"F": "f4", "S": "i2"}.get(letter, "f8"))
        return replace(found, class_name=found.class_name[:-1] + letter, parts={**found.parts, "contents": contents})


class OneRun:
    """The rows of one run in memory, as a `RowSource`."""

    where = "EMC"

    def __init__(self, rows):
        layouts, parts, self.registry = Layouts(), [], Registry()
        for row in rows:
            self.registry = self.registry.extended([segment for segment, _ in segments_of(row, self.registry)])
            parts.append(list(segments_of(row, self.registry)))
        numbers = [[self.registry.number(segment) for segment, _ in row] for row in parts]
        self._layout = np.array([layouts.number(row) for row in numbers], dtype=np.int32)
        self.holds = layouts.matrix(len(self.registry))
        self.per_run = {"accumulation": np.array([int(Accumulation.CUMULATIVE)])}
        kinds = {"counts": np.int32, "weights": np.float64, "sums": np.float64}
        self._cells = {a: np.zeros((len(rows), self.registry.size(a)), dtype=kind) for a, kind in kinds.items()}
        for number, row in enumerate(parts):
            for segment, values in row:
                if segment.array != SAME:
                    self._cells[segment.array][number, segment.cells] = values

    def run_index(self, run):
        return 0

    def times(self, run_index):
        return START + np.arange(len(self._layout)) * MINUTE

    def layout(self, run_index):
        return self._layout

    def cells(self, array, run_index, rows, cells):
        return self._cells[array][rows, cells]

    def kind(self, histogram):
        return GAIN


_EVENTS = ["fill"] * 4 + ["change"] * 4 + ["below", "above", "early", "late", "repeat", "lost"]
EVENTS = st.sampled_from(_EVENTS)
MORE_EVENTS = st.sampled_from([*_EVENTS, *["scaled", "full", "two early", "two late"] * 2])
KINDS_OF_BOTH = ("TH2", "TH3", "weighted", "TProfile2D")


def history(counter, events):
    """Its rows; of each the kind, and what was gained in it, as a histogram on given axes (None out of order).

    Each event has quiet rows around it.
    """
    rows, kinds, gains, since = [], [], [], 0
    means = cycle([8.0, 2.5])  # in the same shape a restart that passes its old value cannot be seen

    def add(kind=None, row=None):
        nonlocal since
        if kind is None:
            kind = State.LOST if counter.full and len(counter.fills) > since else GAIN
        rows.append(row or counter.snapshot())
        kinds.append(State.HELD | kind)
        of_row = slice(0 if kind == State.RESTART else since, len(counter.fills))

        def gained(axes, now=counter.now):
            later, counter.now = counter.now, now
            found = counter.of(of_row, axes)
            counter.now = later
            return found

        gains.append(None if kind & (State.OUT_OF_ORDER | State.LOST) else gained)
        since = since if kind == State.OUT_OF_ORDER else len(counter.fills)

    for event in [each for one in ["fill", "fill", *events] for each in (one, "fill", "fill", "fill")]:
        if event in ("below", "above"):
            before = len(counter.fills)
            counter.restart()
            counter.fill(*((100, 5.0) if event == "below" else (before * 3 // 2, next(means))))
            add(State.RESTART)
        elif event == "early":  # the next snapshot but one stands before the next
            counter.fill(300)
            now, then = counter.snapshot(), counter.now
            counter.fill(300)
            early, later = counter.snapshot(), counter.now
            add(State.OUT_OF_ORDER, early)
            counter.now = then
            add(row=now)
            counter.now = later
            counter.fill(300)
            add()
        elif event == "two early":  # before the next three
            states = []
            for _ in range(5):
                counter.fill(300)
                states.append((counter.snapshot(), counter.now))
            for number in (3, 4, 0, 1, 2):
                row, counter.now = states[number]
                add(State.OUT_OF_ORDER if number > 2 else None, row)
            counter.now = states[-1][1]
            counter.fill(300)
            add()
        elif event == "two late":
            old = rows[-3:-1]
            counter.fill(300)
            add()
            for row in old:
                add(State.OUT_OF_ORDER, row)
            counter.fill(300)
            add()
        elif event == "scaled" and not (counter.kind.startswith("TProfile") or counter.full):
            counter.scale()
            counter.fill(100)
            add(SCALED)
        elif event == "late":  # an older snapshot stands after the next
            old = rows[-2]
            counter.fill(300)
            add()
            add(State.OUT_OF_ORDER, old)
            counter.fill(300)
            add()
        else:
            if event == "change":
                counter.change()
            if event == "full" and counter.holds_integers:
                counter.fill_up()
            if event != "repeat":
                counter.fill(900 if event == "lost" else 300)
            add()
    return rows, kinds, gains


def assert_recovered(counter, events):
    """The history is one histogram, with the true kinds and gains."""
    rows, kinds, gains = history(counter, events)
    run = OneRun(rows)
    (entry,) = run.registry.histograms.values()
    (found,) = by_binning(run, 300000, entry)
    assert found.states().tolist() == kinds
    part = "bin_entries" if counter.kind.startswith("TProfile") else "contents"
    cells, previous = found.read(part), found.previous()
    tolerance = {"rtol": 0, "atol": 1e-6 * cells.max() if counter.kind == "weighted" else 0}
    for number, gained in enumerate(gains):
        if gained is not None:
            before = cells[previous[number]] if previous[number] >= 0 else 0
            np.testing.assert_allclose(cells[number] - before, gained(found.axes).parts[part], **tolerance)
    assert len(counter.fills)


@pytest.mark.slow
@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("examples", sizes(9, 700))
def test_random_histories_are_one_histogram_and_recovered(axis, examples):
    @settings(max_examples=examples, deadline=None)
    @given(st.lists(EVENTS, max_size=8), st.sampled_from(KINDS), st.integers(0, 10**6))
    def recovered(events, kind, seed):
        assert_recovered(Counter(kind, axis, seed), events)

    recovered()


@pytest.mark.slow
@pytest.mark.parametrize("examples", sizes(6, 500))
def test_random_histories_of_all_events_together_are_recovered(examples):
    @settings(max_examples=examples, deadline=None)
    @given(st.lists(MORE_EVENTS, max_size=8), st.sampled_from(KINDS_OF_BOTH), st.integers(0, 10**6))
    def recovered(events, kind, seed):
        assert_recovered(Counter(kind, "both", seed), events)

    recovered()
