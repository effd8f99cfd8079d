"""Steps of a histogram from row to row: gain, restart, out of order, state, reset, scaled, full, moved entries.

Fills never lower a bin: of an unweighted histogram its content, of a weighted one its sum of squared weights, of a
profile its entries. A row in which one fell, or the entries did, is therefore no plain gain, and is looked at together
with the two rows before it. All others cost one comparison per cell.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from owtrend.errors import OutOfStepError
from owtrend.kernels.cells import falls as kernels
from owtrend.kernels.cells.difference import chained
from owtrend.model.registry import SAME, TWINS
from owtrend.model.rows import State

if TYPE_CHECKING:
    from owtrend.histograms.run_histogram import RunHistogram

__all__ = ["Row", "RunSteps", "calm", "displaced", "lasting_kind", "previous_rows", "step"]

_LIMITS = {"C": 2**7 - 1, "S": 2**15 - 1, "I": 2**31 - 1, "F": 2**24}  # contents at which a class stops to count
_ROUNDING = {"F": 1e-6}  # relative, by class; of double 1e-9
_FASTER = 1.5  # times the usual rate, from which on a content cannot have been counted since a restart
_BACK = 3  # snapshots in succession that may be out of order
_LIGHTER = 0.9  # of the usual squared weight of a fill: below, no restart made all bins fall
_NEARLY_ALL = 0.8  # of each bin is left by Scale() with a factor that makes fills hardly lighter
_FEW = 0.5  # of the bins expected to fall after a restart: with fewer, entries moved
_FELL = State.RESTART | State.OUT_OF_ORDER | State.MOVED
_NONE = State(0)
_KINDS = State.GAUGE | State.RESET
_SELDOM = math.log(1e-3)
_ROWS = 64  # whose cells are compared at once, where the cells of a run are not in memory

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Row:
    """One row as its step is decided.

    Parameters
    ----------
    time
        In seconds.
    weight, squares
        ROOT's ``tsumw`` and ``tsumw2``.
    cells
        What fills never lower; None where weights may be negative and their squares are not kept.
    rounding
        Relative, of the cells.
    rate
        Usual entries per second up to this row; NaN if not known.
    """

    time: float
    entries: float
    weight: float
    squares: float
    cells: Floats | None
    rounding: float = 0.0
    rate: float = math.nan

    @property
    def unweighted(self) -> bool:
        return self.weight in (self.squares, 0.0)  # see `_unweighted`

    def too_many_since(self, before: "Row", seconds: float) -> bool:
        """True if this row has no less than ``before``, and more than can have been counted since a restart."""
        return self.entries >= before.entries and not self.entries <= _FASTER * before.rate * seconds

    def fell_from(self, before: "Row") -> bool:
        """True if fills alone cannot lead from ``before`` to this row."""
        if self.entries < before.entries:
            return True
        if self.cells is None or before.cells is None:
            return self.squares < before.squares * (1 - 1e-9)
        return bool(self.lower_than(before).any())

    def lower_than(self, before: "Row") -> NDArray[np.bool_]:
        """Cells that fell."""
        assert self.cells is not None
        assert before.cells is not None
        return np.asarray(self.cells < before.cells - self.rounding * np.abs(before.cells))

    def repeats(self, other: "Row") -> bool:
        """True if it has the content of another row, and fills seldom lead to the same again."""
        same = (self.entries, self.weight, self.squares) == (other.entries, other.weight, other.squares)
        if not same or self.cells is None or other.cells is None or not np.array_equal(self.cells, other.cells):
            return False
        filled = self.cells[self.cells > 0]  # two Poisson counts of mean n are equal with a chance of (4 pi n)**-1/2
        return bool(-0.5 * np.log(4 * math.pi * filled).sum() < _SELDOM)


def step(now: Row, before: Row, earlier: Row | None = None) -> tuple[State, bool]:
    """Step from the row ``before`` to ``now``, and whether ``before`` turns out to be out of order.

    Parameters
    ----------
    earlier
        The row in order before ``before``.

    Returns
    -------
    :
        No bits for a gain; `State.RESTART`; ``LOST | MOVED`` after ``Scale()``; `State.MOVED` where few entries went
        to other bins. If ``before`` is out of order, now has gained since ``earlier``.
    """
    fell = now.fell_from(before)
    if fell and earlier is not None:
        early = now.too_many_since(earlier, now.time - before.time) or now.repeats(earlier)
        if early and not now.fell_from(earlier) and not before.fell_from(now):
            return _NONE, True
    if _scaled(now, before, fell):
        return State.LOST | State.MOVED, False
    if not fell:
        return _NONE, False
    if now.entries < before.entries or now.cells is None or before.cells is None:
        return State.RESTART, False
    total = float(before.cells.sum())
    per_fill = total / before.entries if before.entries > 0 and total > 0 else 1.0
    expected = kernels.expected_falls(before.cells / per_fill, float(now.cells.sum()) / total if total else 1.0)
    lower = int(now.lower_than(before).sum())
    alone = lower == 1 and np.count_nonzero(before.cells) > 10 and now.too_many_since(before, now.time - before.time)
    few = alone or lower < _FEW * expected
    return (State.MOVED if few else State.RESTART), False


def displaced(rows: Sequence[Row], restart: int) -> range:
    """Rows out of order, now that the last of ``rows`` is there; empty if what seemed a restart can be one.

    Parameters
    ----------
    rows
        In order, as far as is known.
    restart
        Which of them seemed a restart, not the first.
    """
    now, first, last = rows[-1], rows[restart], rows[restart - 1]
    if now.fell_from(rows[-2]):
        return range(0)
    if now.too_many_since(last, now.time - last.time) and not now.fell_from(last):
        old = range(restart, len(rows) - 1)  # now goes on from what was before them
        return range(0) if any(last.fell_from(rows[number]) for number in old) else old
    for number in range(restart - 1, 0, -1):
        early = range(number, restart)  # first goes on from what was before them
        if len(early) >= len(rows) - restart or any(rows[number].fell_from(now) for number in early):
            break
        before = rows[number - 1]
        if first.too_many_since(before, first.time - last.time) and not first.fell_from(before):
            return early
    return range(0)


def _scaled(now: Row, before: Row, fell: bool) -> bool:
    """True if all contents were multiplied by a factor: no bin is lower than that, and the sums of weights agree.

    Of weights before, squares that fell while entries came are scaled.
    """
    if now.cells is None or before.cells is None or now.entries < before.entries:
        return False
    filled = before.cells > 0
    if not filled.any():
        return False
    per_fill, usual = now.cells.sum() / now.entries, before.cells.sum() / before.entries  # sums leave flow bins out
    ratio = now.cells[filled] / before.cells[filled]
    least = float(ratio.min())
    if fell and not before.unweighted:
        too_many = least > _NEARLY_ALL and now.too_many_since(before, now.time - before.time)
        if too_many or per_fill < _LIGHTER * usual:
            return True
    if before.unweighted and not now.unweighted and before.weight > 0:
        if fell:
            return least > 0
        # With weights 1 before and after: weight = c T + n and squares = c**2 T + n, of n fills.
        factor = (1 + math.sqrt(max(0.0, 1 + 4 * (now.squares - now.weight) / before.weight))) / 2
        fills = now.weight - factor * before.weight
        gained = now.entries - before.entries
        return bool(least >= factor**2 * (1 - 1e-6) > 1 and -1e-6 * now.weight <= fills <= gained + 0.5)
    return bool(fell and now.entries == before.entries and least > 0 and ratio.max() <= least * (1 + 1e-5))


def lasting_kind(
    falls: int, of_entries: int, reports: int, *, by_hand: bool = False, by_fills: bool = False, varies: bool = False
) -> State:
    """Kind of a histogram whose bins fall again and again; no bits if it counts.

    Parameters
    ----------
    falls
        Rows in which bins or entries fell, or that were out of order.
    of_entries
        Those in which the entries did.
    reports
        Rows in which anything changed.
    by_hand
        ROOT kept no statistics, as of contents set by ``SetBinContent``.
    by_fills
        The contents are in proportion to the entries, which are not always the same.
    varies
        The entries are not always the same, so that those of a histogram that is reset should fall soon.
    """
    if by_hand and not by_fills:
        return State.GAUGE if falls >= 2 else _NONE
    if falls < 3:
        return _NONE
    if by_fills or 4 * of_entries >= falls:
        return State.RESET if falls >= 0.4 * reports else _NONE
    return State.GAUGE if falls >= max(0.25 * reports, 6 if varies else 3) else _NONE


def previous_rows(states: NDArray[np.uint8], additive: bool) -> NDArray[np.int64]:
    """Row that each row's increment counts from, see `owtrend.kernels.cells.difference.chained`."""
    zero = (State.RESTART | _KINDS).is_set(states) if additive else np.ones(len(states), dtype=bool)
    return chained(zero, State.OUT_OF_ORDER.is_set(states), State.LOST.is_set(states))


class RunSteps:
    """States of one histogram in the rows of a run, decided row after row as they are asked for.

    Parameters
    ----------
    pieces
        The binnings of the histogram.
    known
        States of the first rows of the run, as `states` gave them.
    whole
        False if ``pieces`` have only the present row and the one before: who needs more gets an OutOfStepError.
    kind
        What people say that the histogram is: GAUGE, RESET or, for a counter, HELD.
    """

    def __init__(
        self, pieces: Sequence["RunHistogram"], known: NDArray[np.uint8] | None = None, *, whole: bool = True,
        kind: State = _NONE,
    ) -> None:  # fmt: skip
        self._pieces, self._whole = tuple(pieces), whole
        self._known = np.zeros(0, dtype=np.uint8)
        if known is not None and (not kind or State(_bits(known)) & _KINDS == kind & _KINDS):  # not declared since
            self._known = known
        self.kind = kind or _KINDS & State(_bits(self._known))
        self._settled = len(self._known)

    def states(self, last: int) -> NDArray[np.uint8]:
        """Bits of `State`, without REPORTED, of the rows before ``last``; later rows may show earlier ones in another
        light.
        """
        while (done := len(self._known)) < last:
            stop = min(last, done - done % _ROWS + _ROWS) if self._by_chunks else last
            self._known = np.concatenate([self._known, np.zeros(stop - done, dtype=np.uint8)])
            for piece, rows in _stretches(self._pieces, done, stop):
                self._judge(piece, rows.start, rows.stop)
        return self._known[:last]

    def count_on(self, rows: NDArray[np.intp]) -> bool:
        """Note that nothing but counting happens in the next rows; False, if anything else is known so far."""
        if self.kind or (self._known > np.uint8(State.HELD)).any():
            return False
        if len(rows) and len(self._known) <= rows[-1]:
            self._known = np.concatenate([self._known, np.zeros(rows[-1] + 1 - len(self._known), dtype=np.uint8)])
            self._known[rows] = np.uint8(State.HELD)
        return True

    def settle(self, last: int) -> None:
        """Use the states of the rows before ``last`` for good: it raises an OutOfStepError where these change."""
        self._settled = max(self._settled, last)

    @property
    def _by_chunks(self) -> bool:
        return self._whole and any(piece.from_store for piece in self._pieces)

    def _judge(self, piece: "RunHistogram", start: int, stop: int) -> None:
        known, at = self._known, piece.rows
        known[at[start:stop]] |= np.uint8(State.HELD)
        if not piece.additive:
            return
        if self.kind & _KINDS:
            known[at[start:stop]] |= np.uint8(self.kind)
            return
        known[at[start:stop][_full(piece, start, stop)]] |= np.uint8(State.LOST)
        first = max(start - 1, 0)
        part = _rising(piece)
        look = _conspicuous(piece.window(first, stop), part, _rounding(piece, part))[start - first :]
        restarts = np.flatnonzero(State.RESTART.is_set(known[: at[start]]))
        again = int(restarts[-1]) + _BACK if len(restarts) else -1  # up to there a row may show that it was none
        for number in range(max(start, 1), stop):
            after = at[number] <= again
            if not look[number - start] and not after:
                continue
            if not self._whole:
                raise OutOfStepError(f"{piece.segment.path}: bins fell, which more rows decide on")
            if not (after and self._put_in_order(piece, number)):
                if not look[number - start]:
                    continue
                self._look_at(piece, number)
            self._settle(piece, number)
            if self.kind & _KINDS:
                if self._settled:
                    raise OutOfStepError(f"{piece.segment.path}: it does not count")
                known[known != 0] = np.uint8(State.HELD | self.kind)
                return
            if State.RESTART.is_set(known[at[number : number + 1]])[0]:
                again = at[number] + _BACK

    def _put_in_order(self, piece: "RunHistogram", number: int) -> bool:
        """Whether a row shows that one of the last, which seemed a restart, was none; some are out of order then."""
        known, at, first = self._known, piece.rows, max(0, number - 2 * _BACK - 1)
        states = known[at[first:number]]
        chain = [*(first + np.flatnonzero(~State.OUT_OF_ORDER.is_set(states))).tolist(), number]
        restarts = [place for place, row in enumerate(chain) if State.RESTART.is_set(known[at[row : row + 1]])[0]]
        if not restarts or not (restart := restarts[-1]) or at[number] - at[chain[restart]] > _BACK:
            return False
        if len(restarts) > 1:  # no look beyond the one before
            chain, restart = chain[restarts[-2] :], restart - restarts[-2]
        by_sums = self._rows(piece, chain, cells=False)
        now, after, last = by_sums[-1], by_sums[restart], by_sums[restart - 1]
        seconds = after.time - last.time
        if not now.too_many_since(last, now.time - last.time) and not any(
            after.too_many_since(row, seconds) for row in by_sums[: restart - 1]
        ):
            return False
        with np.errstate(all="ignore"):
            wrong = displaced(self._rows(piece, chain), restart)
        for place in wrong:
            self._is_out_of_order(piece, chain[place])
        if wrong and wrong.stop == restart:
            known[at[chain[restart]]] &= ~np.uint8(State.RESTART)
        return bool(wrong)

    def _look_at(self, piece: "RunHistogram", number: int) -> None:
        """Decide on one row, from it and the two in order before it."""
        known, at = self._known, piece.rows
        in_order = np.flatnonzero(~State.OUT_OF_ORDER.is_set(known[at[:number]])).tolist()
        rows = self._rows(piece, [number, *in_order[:-3:-1]])
        with np.errstate(all="ignore"):  # contents may be infinite, or no numbers
            state, wrong = step(*rows)
        if wrong:
            self._is_out_of_order(piece, in_order[-1])
        if state == State.MOVED and known[at[number]] & State.LOST:
            return  # a full bin, when an axis is extended, holds less than the bins that became it
        known[at[number]] |= np.uint8(state)

    def _rows(self, piece: "RunHistogram", which: Sequence[int], *, cells: bool = True) -> list[Row]:
        """Some rows; without their cells they are good for their entries and times."""
        part, numbers = _rising(piece), np.asarray(which, dtype=np.intp)
        sums, times = _columns(piece)[numbers], _seconds(piece)[numbers]
        of_rows: list[Floats | None] = [None] * len(numbers)
        if cells and (part != "contents" or "sumw2" in piece.pieces or _unweighted(*sums[:, 1:].T).all()):
            order = np.argsort(numbers)
            block = np.empty((len(numbers), piece.size))
            block[order] = piece.read(part, numbers[order])
            if not (block < 0).any():  # weights may be negative
                of_rows = list(block)
        rounding = _rounding(piece, part)
        return [
            Row(time, few[0], few[1], few[2], of_row, rounding, self._rate(piece, number))
            for number, time, few, of_row in zip(which, times.tolist(), sums.tolist(), of_rows, strict=True)
        ]

    def _rate(self, piece: "RunHistogram", last: int) -> float:
        """Usual entries per second up to a row, since the last zero."""
        restarts = np.flatnonzero(State.RESTART.is_set(self._known[piece.rows[: last + 1]]))
        begin = int(restarts[-1]) if len(restarts) else 0
        entries, times = piece.entries, _seconds(piece)
        if last > begin:
            return float((entries[last] - entries[begin]) / (times[last] - times[begin]))
        return float(entries[last] / (times[last + 1] - times[last])) if last + 1 < len(times) else math.nan

    def _is_out_of_order(self, piece: "RunHistogram", number: int) -> None:
        if piece.rows[number] < self._settled:
            raise OutOfStepError(f"{piece.segment.path}: a row is out of order")
        self._known[piece.rows[number]] = np.uint8(State.HELD | State.OUT_OF_ORDER)

    def _settle(self, piece: "RunHistogram", number: int) -> None:
        """Decide whether the histogram counts at all."""
        if self.kind:
            return
        states = self._known[piece.rows[: number + 1]]
        fell = _FELL.is_set(states)
        if np.count_nonzero(fell) < 2:
            return
        sums = piece.sums[: number + 1]
        entries, weight, squares = _columns(piece)[: number + 1].T
        of_entries = int((entries[1:] < entries[:-1]).sum())
        reports = int((sums[1:] != sums[:-1]).any(axis=1).sum())
        by_hand = bool(weight[-1] == 0 and squares[-1] == 0 and entries[-1] > 0)
        grows, by_fills = _by_fills(piece, number, states)
        if grows:
            return
        falls = int(np.count_nonzero(fell))
        varies = bool((entries != entries[0]).any())
        self.kind = lasting_kind(falls, of_entries, reports, by_hand=by_hand, by_fills=by_fills, varies=varies)


def calm(histograms: Sequence["RunHistogram"], first: int, last: int, joined: "RunHistogram") -> NDArray[np.bool_]:
    """True for each of some histograms that only counts up to before row ``last`` of its own, which is noted in its
    steps; what happens in others is decided row by row.

    Parameters
    ----------
    joined
        Their rows from ``first`` on, and the one before if there is one, as `together` gives them.
    """
    shape = len(histograms), len(joined.rows) // len(histograms)
    seen = shape[1] - (last - first)  # rows before
    part, limit = _rising(joined), _LIMITS.get(joined.segment.class_name[-1], math.inf)
    look = _conspicuous(joined, part, _rounding(joined, part)).reshape(shape)
    full = joined.entries.reshape(shape)[:, seen:] >= limit
    found: NDArray[np.bool_] = ~np.logical_or.reduce(look[:, 1:], axis=1) & ~np.logical_or.reduce(full, axis=1)
    for number in np.flatnonzero(found).tolist():
        steps = histograms[number].steps
        found[number] = steps is not None and steps.count_on(histograms[number].rows[first:last])
    return found


def _conspicuous(piece: "RunHistogram", part: str, rounding: float) -> NDArray[np.bool_]:
    """Rows that more is looked at: cells of a part, or entries, are below those in the row before, or weights began."""
    sums = _columns(piece)
    entries, weight, squares = (sums[:, number] for number in range(3))
    look = np.zeros(len(piece.rows), dtype=bool)
    look[1:] = entries[1:] < entries[:-1]
    weighted = ~_unweighted(weight, squares)
    cells = piece.native(part)
    fell = kernels.fell(cells, 0.0 if cells.dtype.kind in "iu" else rounding)
    if part == "contents":
        by_sums = weighted.copy()
        by_sums[1:] |= weighted[:-1]
        fell &= ~by_sums
        look[1:] |= by_sums[1:] & (squares[1:] < squares[:-1] * (1 - 1e-9))
    look |= fell
    look[1:] |= weighted[1:] & ~weighted[:-1] & (weight[:-1] > 0)
    return look


def _bits(states: NDArray[np.uint8]) -> int:
    return int(np.bitwise_or.reduce(states, initial=0))


def _stretches(pieces: Sequence["RunHistogram"], first: int, last: int) -> Iterator[tuple["RunHistogram", slice]]:
    """Rows ``first`` to before ``last`` of a run, binning by binning; which of the rows of each."""
    for piece in pieces:
        rows = slice(*np.searchsorted(piece.rows, (first, last)).tolist())
        if rows.start < rows.stop:
            yield piece, rows


def _rising(piece: "RunHistogram") -> str:
    """The part that fills never lower."""
    part = next((part for part in ("bin_sumw2", "bin_entries", "sumw2") if part in piece.pieces), "contents")
    if part in TWINS and all(segment.array == SAME for segment, _ in piece.pieces[part]):
        return TWINS[part]
    return part


def _rounding(piece: "RunHistogram", part: str) -> float:
    if part != "contents":
        return 1e-9
    return max(_ROUNDING.get(segment.class_name[-1], 1e-9) for segment, _ in piece.pieces[part])


def _columns(piece: "RunHistogram") -> Floats:
    """``entries``, ``tsumw`` and ``tsumw2`` of all rows, shape ``(row, 3)``."""
    return piece.sums[:, [piece.sum_names.index(name) for name in ("entries", "tsumw", "tsumw2")]]


def _seconds(piece: "RunHistogram") -> Floats:
    """Times of all rows [s]."""
    return piece.times.astype("datetime64[ns]").view("int64") / 1e9


def _unweighted(weight: Floats, squares: Floats) -> NDArray[np.bool_]:
    """True where all weights were 1; ``tsumw`` alone is 0 where ``SetBinContent`` came between fills."""
    return (weight == squares) | (weight == 0)


def _by_fills(piece: "RunHistogram", number: int, states: NDArray[np.uint8]) -> tuple[bool, bool]:
    """Whether the contents grow as the entries do since the last restart before row ``number``; whether they are in
    proportion to the entries.
    """
    restarts = np.flatnonzero(State.RESTART.is_set(states[:number])).tolist()
    until = number - 1 if State.RESTART.is_set(states[number:])[0] else number
    since = max(restarts, default=0)
    which = np.unique([0, since, until, number])
    totals = dict(zip(which.tolist(), piece.read(_rising(piece), which).sum(axis=1).tolist(), strict=True))
    entries = piece.entries
    with np.errstate(all="ignore"):
        gained, more = totals[until] - totals[since], float(entries[until] - entries[since])
        per_entry = [np.float64(totals[row]) / entries[row] for row in (0, until, number)]
        grows = more > 0 and bool(0.5 <= gained / more / per_entry[1] <= 2)
        return grows, bool(entries[0] != entries[number] and abs(per_entry[2] / per_entry[0] - 1) < 1e-9)


def _full(piece: "RunHistogram", start: int, stop: int) -> NDArray[np.bool_]:
    """Rows with entries that a bin at the end of its type could not count.

    The first row is the content itself, with ROOT's own numbers.
    """
    full = np.zeros(stop - start, dtype=bool)
    entries = piece.entries[start:stop]
    for segment, held in piece.pieces.get("contents", ()):
        limit = _LIMITS.get(segment.class_name[-1], math.inf)
        enough = held[start:stop] & (entries >= limit)
        if not enough.any():
            continue
        unweighted = _unweighted(*_columns(piece)[start:stop, 1:].T)
        others = entries != np.concatenate([[0.0], piece.entries])[start:stop]  # fewer: after a row out of order
        later = np.arange(start, stop) > 0
        stored = piece.on(segment.axes)  # bins that are merged now may have been full one by one
        for number in np.flatnonzero(enough & others & unweighted & later).tolist():
            full[number] = bool((stored.read("contents", np.array([start + number])) == limit).any())
    return full
