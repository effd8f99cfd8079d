"""Histories of one histogram in memory, and a simulated counter that has them."""

from types import SimpleNamespace

import numpy as np

from owtrend.errors import OutOfStepError
from owtrend.histograms.steps import RunSteps, previous_rows
from owtrend.kernels.cells.difference import plain_increments
from owtrend.model.axis import Axis
from tests.builders import filled

__all__ = ["AXES", "CLASSES", "Counter", "Rows", "gained", "row_by_row"]

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
        self.size = next(iter(first.parts.values())).size

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
