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

__all__ = ["Row", "RunSteps", "lasting_kind", "previous_rows", "step"]

_LIMITS = {"C": 2**7 - 1, "S": 2**15 - 1, "I": 2**31 - 1, "F": 2**24}  # contents at which a class stops to count
_ROUNDING = {"F": 1e-6}  # relative, by class; of double 1e-9
_FASTER = 1.5  # times the usual rate, from which on a content cannot have been counted since a restart
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
    """

    time: float
    entries: float
    weight: float
    squares: float
    cells: Floats | None
    rounding: float = 0.0

    @property
    def unweighted(self) -> bool:
        return self.weight == self.squares

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


def step(now: Row, before: Row, earlier: Row | None = None, rate: float = math.nan) -> tuple[State, bool]:
    """Step from the row ``before`` to ``now``, and whether ``before`` turns out to be out of order.

    Parameters
    ----------
    earlier
        The row in order before ``before``.
    rate
        Usual entries per second up to ``earlier``; NaN if not known.

    Returns
    -------
    :
        No bits for a gain; `State.RESTART`; ``LOST | MOVED`` after ``Scale()``; `State.MOVED` where few entries went
        to other bins. If ``before`` is out of order, now has gained since ``earlier``.
    """
    fell = now.fell_from(before)
    if earlier is not None and not now.fell_from(earlier):
        late = not fell and before.fell_from(earlier) and not earlier.fell_from(before)
        early = fell and not before.fell_from(now)
        if late or early:
            seconds = now.time - (before.time if fell else earlier.time)
            impossible = now.entries > earlier.entries and not now.entries <= _FASTER * rate * seconds
            if impossible or (early and now.repeats(earlier)):
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
    few = int(now.lower_than(before).sum()) < _FEW * expected
    return (State.MOVED if few else State.RESTART), False


def _scaled(now: Row, before: Row, fell: bool) -> bool:
    """True if all contents were multiplied by a factor: no bin is lower than that, and the sums of weights agree."""
    if now.cells is None or before.cells is None or now.entries < before.entries:
        return False
    filled = before.cells > 0
    if not filled.any():
        return False
    ratio = now.cells[filled] / before.cells[filled]
    least = float(ratio.min())
    if before.unweighted and not now.unweighted and before.weight > 0:
        if fell:
            return least > 0
        # With weights 1 before and after: weight = c T + n and squares = c**2 T + n, of n fills.
        factor = (1 + math.sqrt(max(0.0, 1 + 4 * (now.squares - now.weight) / before.weight))) / 2
        fills = now.weight - factor * before.weight
        gained = now.entries - before.entries
        return bool(least >= factor**2 * (1 - 1e-6) > 1 and -1e-6 * now.weight <= fills <= gained + 0.5)
    return bool(fell and now.entries == before.entries and least > 0 and ratio.max() <= least * (1 + 1e-5))


def lasting_kind(falls: int, of_entries: int, reports: int, *, by_hand: bool) -> State:
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
    """
    if by_hand:
        return State.GAUGE if falls >= 2 else _NONE
    if falls < 3:
        return _NONE
    if 4 * of_entries >= falls:
        return State.RESET if falls >= 0.4 * reports else _NONE
    return State.GAUGE if falls >= 0.25 * reports else _NONE


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
        look = self._conspicuous(piece, start, stop)
        if start:  # what came after a restart may show that it was none
            look[0] |= State.RESTART.is_set(known[at[start - 1 : start]])[0]
        for number in range(max(start, 1), stop):
            if not look[number - start]:
                continue
            if not self._whole:
                raise OutOfStepError(f"{piece.segment.path}: bins fell, which more rows decide on")
            self._look_at(piece, number)
            if self.kind & _KINDS:
                if self._settled:
                    raise OutOfStepError(f"{piece.segment.path}: it does not count")
                known[known != 0] = np.uint8(State.HELD | self.kind)
                return
            if number + 1 < stop and State.RESTART.is_set(known[at[number : number + 1]])[0]:
                look[number + 1 - start] = True

    def _conspicuous(self, piece: "RunHistogram", start: int, stop: int) -> NDArray[np.bool_]:
        """Rows that more is looked at: cells or entries fell, or weights began."""
        first = max(start - 1, 0)
        window = piece.window(first, stop)
        sums = _columns(window)
        entries, weight, squares = (sums[:, number] for number in range(3))
        look = np.zeros(stop - first, dtype=bool)
        look[1:] = entries[1:] < entries[:-1]
        part = _rising(piece)
        weighted = weight != squares
        cells = window.native(part)
        fell = kernels.fell(cells, 0.0 if cells.dtype.kind in "iu" else _rounding(piece, part))
        if part == "contents":
            by_sums = weighted.copy()
            by_sums[1:] |= weighted[:-1]
            fell &= ~by_sums
            look[1:] |= by_sums[1:] & (squares[1:] < squares[:-1] * (1 - 1e-9))
        look |= fell
        look[1:] |= weighted[1:] & ~weighted[:-1] & (weight[:-1] > 0)
        return look[start - first :]

    def _look_at(self, piece: "RunHistogram", number: int) -> None:
        """Decide on one row, from it and the two in order before it."""
        known, at = self._known, piece.rows
        in_order = number - 1 - np.flatnonzero(~State.OUT_OF_ORDER.is_set(known[at[max(0, number - 4) : number]])[::-1])
        before, *more = in_order.tolist()
        earlier = more[0] if more else None
        which = np.array([number, before, *more[:1]], dtype=np.intp)
        rows = _rows(piece, which)
        rate = math.nan
        if earlier is not None:
            restarts = np.flatnonzero(State.RESTART.is_set(known[at[: earlier + 1]]))
            begin = int(restarts[-1]) if len(restarts) else 0
            rate = _rate(piece, begin, earlier)
        with np.errstate(all="ignore"):  # contents may be infinite, or no numbers
            state, wrong = step(rows[0], rows[1], rows[2] if earlier is not None else None, rate)
        if wrong:
            if at[before] < self._settled:
                raise OutOfStepError(f"{piece.segment.path}: a row is out of order")
            known[at[before]] = np.uint8(State.HELD | State.OUT_OF_ORDER)
        known[at[number]] |= np.uint8(state)
        self._settle(piece, number)

    def _settle(self, piece: "RunHistogram", number: int) -> None:
        """Decide whether the histogram counts at all."""
        if self.kind:
            return
        at = piece.rows[: number + 1]
        fell = _FELL.is_set(self._known[at])
        if np.count_nonzero(fell) < 2:
            return
        sums = piece.sums[: number + 1]
        few = _columns(piece)[: number + 1]
        of_entries = np.concatenate([[False], few[1:, 0] < few[:-1, 0]])
        reports = int((sums[1:] != sums[:-1]).any(axis=1).sum())
        by_hand = bool(few[number, 1] == 0 and few[number, 2] == 0 and few[number, 0] > 0)
        self.kind = lasting_kind(
            int(np.count_nonzero(fell)), int(np.count_nonzero(of_entries)), reports, by_hand=by_hand
        )


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


def _rows(piece: "RunHistogram", which: NDArray[np.intp]) -> list[Row]:
    part = _rising(piece)
    sums, times = _columns(piece)[which], piece.times[which].astype("datetime64[ns]").view("int64") / 1e9
    cells = [piece.read(part, np.array([number]))[0].astype(np.float64) for number in which.tolist()]
    decide = part != "contents" or "sumw2" in piece.pieces or bool((sums[:, 1] == sums[:, 2]).all())
    decide &= not any((of_row < 0).any() for of_row in cells)  # weights may be negative
    rounding = _rounding(piece, part)
    return [
        Row(time, few[0], few[1], few[2], of_row if decide else None, rounding)
        for time, few, of_row in zip(times.tolist(), sums.tolist(), cells, strict=True)
    ]


def _rate(piece: "RunHistogram", begin: int, last: int) -> float:
    """Entries per second in the rows that count from one zero."""
    times = piece.times.astype("datetime64[ns]").view("int64") / 1e9
    if last > begin:
        return float((piece.entries[last] - piece.entries[begin]) / (times[last] - times[begin]))
    return float(piece.entries[last] / (times[last + 1] - times[last]))


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
        unweighted = np.equal(*_columns(piece)[start:stop, 1:].T)
        rose = entries > np.concatenate([[0.0], piece.entries])[start:stop]
        later = np.arange(start, stop) > 0
        stored = piece.on(segment.axes)  # bins that are merged now may have been full one by one
        for number in np.flatnonzero(enough & rose & unweighted & later).tolist():
            full[number] = bool((stored.read("contents", np.array([start + number])) == limit).any())
    return full
