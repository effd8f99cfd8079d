"""Random histories of one histogram: fills, restarts, rows out of order, and other labels, axes and classes."""

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

GAIN = State(0)
KINDS = ("TH1", "TH2", "TH3", "weighted", "TProfile", "TProfile2D")
AXES = ("fixed", "labels", "extended")
BINS = 40
MOST = 3  # extensions: with wider bins a restart that passes its old value cannot be seen


class Counter:
    """A histogram of x from 0 to 10, in one process after another: each begins empty, with its first axis."""

    def __init__(self, kind, axis, seed):
        self.kind, self.axis, self.rng = kind, axis, np.random.default_rng(seed)
        self.dimension = int(kind[2]) if kind.startswith("TH") else 2 if kind == "TProfile2D" else 1
        self.letter, self.option, self.extensions = "D", "", 0
        self.restart()

    def restart(self):
        self.fills, self.weights = np.empty((0, self.dimension)), np.empty(0)
        self.labels, self.range = [], (0.0, 10.0)

    def fill(self, number, mean=5.0):
        x = np.clip(self.rng.normal(mean, 1.5, number), 0, 9.99)
        more = self.rng.normal(2, 1.5, (number, self.dimension - 1))
        self._add(np.concatenate([x[:, None], more], axis=1))

    def _add(self, fills):
        self.fills = np.concatenate([self.fills, fills])
        self.weights = np.concatenate([self.weights, self.rng.uniform(0.5, 1.0, len(fills))])
        self.labels = list(dict.fromkeys([*self.labels, *fills[:, 0].astype(int).astype(str).tolist()]))

    def change(self):
        """Take another class or error option, another order of labels, or a fill beyond the end of the axis."""
        if self.axis == "labels" and self.rng.random() < 0.7:
            self.labels = self.rng.permutation(self.labels).tolist()
        elif self.axis == "extended" and self.extensions < MOST and self.rng.random() < 0.7:
            self.extensions += 1
            low, high = self.range
            upwards = bool(self.rng.integers(2))
            self.range = (low, 2 * high - low) if upwards else (2 * low - high, high)
            self._add(np.array([[high + 0.1 if upwards else low - 0.1, *[1.0] * (self.dimension - 1)]]))
        self.letter = "F" if self.letter == "D" else "D"
        self.option = "s" if self.option == "" else ""

    @property
    def axes(self):
        x = labelled(self.labels) if self.axis == "labels" else Axis.spaced(BINS, *self.range)
        return [x, Axis.spaced(4, 0, 4), Axis.spaced(2, 0, 4)][: self.dimension]

    def of(self, rows, axes):
        """A histogram of some of its fills."""
        fills, weights = self.fills[rows].copy(), self.weights[rows]
        if self.axis == "labels":
            place = np.full(10, np.nan)
            for number, label in axes[0].labels.items():
                place[int(label)] = number - 0.5
            fills[:, 0] = place[fills[:, 0].astype(int)]
        profile = self.kind.startswith("TProfile")
        return filled(
            axes, fills, weights=weights if self.kind == "weighted" else None, values=weights if profile else None
        )

    def snapshot(self):
        found = self.of(slice(None), self.axes)
        if self.kind.startswith("TProfile"):
            return replace(found, error_option=self.option)
        contents = found.parts["contents"].astype("f4" if self.letter == "F" else "f8")
        return replace(
            found, class_name=found.class_name[:-1] + self.letter, parts={**found.parts, "contents": contents}
        )


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


EVENTS = st.sampled_from(["fill"] * 4 + ["change"] * 4 + ["below", "above", "early", "late", "repeat", "lost"])


def history(counter, events):
    """Its rows; of each the kind, and what was gained in it, as a histogram on given axes (None out of order).

    Each event has quiet rows around it.
    """
    rows, kinds, gains, since = [], [], [], 0
    means = cycle([8.0, 2.5])  # in the same shape a restart that passes its old value cannot be seen

    def add(kind=GAIN, row=None):
        nonlocal since
        rows.append(row or counter.snapshot())
        kinds.append(State.HELD | kind)
        of_row = slice(0 if kind == State.RESTART else since, len(counter.fills))
        fills, weights = counter.fills, counter.weights

        def gained(axes):
            later, counter.fills, counter.weights = (counter.fills, counter.weights), fills, weights
            found = counter.of(of_row, axes)
            counter.fills, counter.weights = later
            return found

        gains.append(None if kind == State.OUT_OF_ORDER else gained)
        since = since if kind == State.OUT_OF_ORDER else len(counter.fills)

    for event in [each for one in ["fill", "fill", *events] for each in (one, "fill", "fill", "fill")]:
        if event in ("below", "above"):
            before = len(counter.fills)
            counter.restart()
            counter.fill(*((100, 5.0) if event == "below" else (before * 3 // 2, next(means))))
            add(State.RESTART)
        elif event == "early":  # the next snapshot but one stands before the next
            counter.fill(300)
            now, fills = counter.snapshot(), len(counter.fills)
            counter.fill(300)
            early, later = counter.snapshot(), (counter.fills, counter.weights)
            add(State.OUT_OF_ORDER, early)
            counter.fills, counter.weights = counter.fills[:fills], counter.weights[:fills]
            add(row=now)
            counter.fills, counter.weights = later
            counter.fill(300)
            add()
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
            if event != "repeat":
                counter.fill(900 if event == "lost" else 300)
            add()
    return rows, kinds, gains


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("examples", sizes(9, 700))
def test_random_histories_are_one_histogram_and_recovered(axis, examples):
    @settings(max_examples=examples, deadline=None)
    @given(st.lists(EVENTS, max_size=8), st.sampled_from(KINDS), st.integers(0, 10**6))
    def recovered(events, kind, seed):
        rows, kinds, gains = history(counter := Counter(kind, axis, seed), events)
        run = OneRun(rows)
        (entry,) = run.registry.histograms.values()
        (found,) = by_binning(run, 300000, entry)
        assert found.states().tolist() == kinds
        part = "bin_entries" if kind.startswith("TProfile") else "contents"
        cells, previous = found.read(part), found.previous()
        tolerance = {"rtol": 0, "atol": 1e-6 * cells.max() if kind == "weighted" else 0}
        for number, gained in enumerate(gains):
            if gained is not None:
                before = cells[previous[number]] if previous[number] >= 0 else 0
                np.testing.assert_allclose(cells[number] - before, gained(found.axes).parts[part], **tolerance)
        assert len(counter.fills)

    recovered()
