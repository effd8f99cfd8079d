"""Random histories of a simulated counter: what it gained is found again, whatever happened in between."""

from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owtrend.model.histogram import Histogram
from owtrend.model.rows import State
from tests.builders import histogram
from tests.histograms.histories import CLASSES, Counter, Rows, gained, row_by_row
from tests.studies import sizes

RATE = 300  # fills in a minute
EVENT = st.one_of(
    st.tuples(st.just("fill"), st.integers(1, 900)),
    st.tuples(st.just("below"), st.integers(20, 250)),
    st.tuples(st.just("above"), st.integers(110, 300)),  # percent of the old value
    st.tuples(st.just("early"), st.integers(1, 3), st.integers(1, 4)),  # snapshots, places too early
    st.tuples(st.just("old"), st.integers(1, 3), st.integers(1, 3)),  # snapshots again, from how long before
    st.tuples(st.just("repeat"), st.integers(1, 3)),
    st.tuples(st.just("lost"), st.integers(1, 5)),  # snapshots
    st.tuples(st.just("quiet"), st.integers(1, 5)),  # snapshots without beam
)


@dataclass
class History:
    """Rows of a counter, with the truth of each: how often it had restarted, and its fills since."""

    kind: str
    seed: int
    rows: list[Histogram] = field(default_factory=list)
    truth: list[tuple[int, int]] = field(default_factory=list)
    doubtful: set[int] = field(default_factory=set)  # rows of which any may be the ones out of order
    minutes: list[float] = field(default_factory=list)
    restarts: int = 0
    minute: int = 0

    def __post_init__(self) -> None:
        self.counter = Counter(self.kind, self.seed)
        self.means = cycle([8.0, 2.5])  # in the same shape a restart that passes its old value cannot be seen

    def add(self, row: Histogram | None = None, truth: tuple[int, int] | None = None) -> None:
        self.rows.append(self.counter.snapshot() if row is None else row)
        self.truth.append((self.restarts, len(self.counter.fills)) if truth is None else truth)
        self.minutes.append(self.minute)
        self.minute += 1

    def fill(self, number: int = RATE, rows: int = 1) -> None:
        for _ in range(rows):
            self.counter.fill(number)
            self.add()

    def happen(self, event: tuple[Any, ...]) -> None:
        name, size, *more = event
        before = len(self.counter.fills)
        if name in ("below", "above"):
            self.counter.restart()
            self.restarts += 1
            self.counter.fill(*((size, 5.0) if name == "below" else (before * size // 100, next(self.means))))
            self.add()
        elif name == "early":
            first = len(self.rows)
            self.fill(rows=size + more[0])
            for column in (self.rows, self.truth):
                column[first:] = [*column[first + more[0] :], *column[first : first + more[0]]]
            self.doubtful |= set(range(first, len(self.rows)))
        elif name == "old":
            again = slice(-more[0] - size, -more[0])
            old = list(zip(self.rows[again], self.truth[again], strict=True))
            first = len(self.rows) - more[0]
            for row, truth in old:
                self.counter.fill(RATE)  # it goes on meanwhile
                self.add(row, truth)
            self.doubtful |= set(range(first, len(self.rows)))
        elif name == "lost":
            self.minute += size
            self.fill(RATE * (size + 1))
        else:
            self.fill(size if name == "fill" else 0, 1 if name == "fill" else size)
        self.fill(rows=5)


@pytest.mark.slow
@pytest.mark.parametrize("examples", sizes(25, 2000))
def test_gains_of_random_histories_are_found(examples):
    @settings(max_examples=examples, deadline=None)
    @given(st.lists(EVENT, max_size=6), st.sampled_from(CLASSES), st.integers(0, 10**6))
    def found(events, kind, seed):
        history = History(kind, seed)
        history.fill(rows=4)
        for event in events:
            history.happen(event)
        rows = Rows(history.rows, history.minutes)
        states, gains = gained(rows)
        out = State.OUT_OF_ORDER.is_set(states)
        assert set(np.flatnonzero(out).tolist()) <= history.doubtful
        assert not (states & ~np.uint8(State.HELD | State.OUT_OF_ORDER | State.RESTART)).any()
        epoch, fills = 0, 0  # of the row before in order
        for row in np.flatnonzero(~out).tolist():
            now = history.truth[row]
            restart = now[0] > epoch
            assert now[0] - epoch in (0, 1), row
            assert State.RESTART.is_set(states)[row] == restart, row
            assert gains[row] == now[1] - (0 if restart else fills), row
            assert gains[row] >= 0, row
            epoch, fills = now
        assert row_by_row(rows).tolist() == states.tolist()

    found()


@pytest.mark.parametrize("examples", sizes(10, 300))
def test_what_does_not_count_is_found(examples):
    @settings(max_examples=examples, deadline=None)
    @given(
        st.sampled_from(["reset", "by hand", "averages"]), st.sampled_from(CLASSES), st.integers(200, 2000),
        st.integers(0, 10**6),
    )  # fmt: skip
    def found(what, kind, size, seed):
        counter, rows = Counter(kind, seed), []
        for minute in range(20):
            if what == "reset":
                counter.restart()
                counter.fill(int(counter.rng.poisson(size)))
                rows.append(counter.snapshot())
            else:
                contents = np.pad(counter.rng.integers(0, size, 8), 1).astype(float)
                statistics = {"tsumw": 0, "tsumw2": 0} if what == "by hand" else {}
                rows.append(histogram(contents, entries=8.0 * (minute + 1), **statistics))
        expected = State.RESET if what == "reset" else State.GAUGE
        assert (gained(Rows(rows))[0] == State.HELD | expected).all()

    found()
