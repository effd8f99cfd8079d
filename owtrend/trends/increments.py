"""Increments of one histogram, row by row: ROOT's statistics, and its distribution along each axis.

All of it is additive: the increments of an interval are the sum over its rows. Statistics are differences of the sums
that ROOT keeps at fill time (``fEntries``, ``fTsumw``, ...), so that means and widths equal ROOT's. Where ROOT did not
keep them (``fTsumw`` is zero in spite of entries, as after ``SetBinContent``) they come from the bins in range, as in
``TH1::GetStats``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from owtrend.histograms.run_histogram import RunHistogram, latest_reports, together
from owtrend.histograms.steps import previous_rows
from owtrend.kernels.cells import difference as kernels
from owtrend.kernels.cells.projections import lines, moments
from owtrend.kernels.cells.sums import summed, summed_within
from owtrend.model import root_sums
from owtrend.model.axis import Axis
from owtrend.model.histogram import bin_values, bin_variances, unfold
from owtrend.model.rows import State

__all__ = ["Increments"]

Floats = NDArray[np.float64]
Ranges = Mapping[str, tuple[int, int]]
NOWHERE: Ranges = {}


@dataclass(frozen=True, eq=False)
class Increments:
    """Increments of one histogram in rows or intervals; each array has time as its last dim.

    Parameters
    ----------
    stats
        Increments by ROOT's names: ``entries``, ``tsumw``, ``tsumw2``, ``tsumwx``, ...; of a profile the letter after
        the binned axes is the profiled quantity.
    along
        Per axis the content of each of its bins, flow included, shape ``(bin, time)``: over the bins in range of the
        other axes; flow bins over all bins. Of a profile the bin entries.
    whole
        All content, flow included.
    reported
        Whether anything changed.
    begin
        Where each begins, ns UTC, NaT: since the run began; ``end`` where it ends.
    restart
        Whether it began to count from zero again.
    steps
        What else happened, bits of `State`: ``OUT_OF_ORDER``, ``GAUGE``, ``RESET``, ``LOST``, ``MOVED``.
    since
        When it had reported before, ns UTC; NaT: not in this run. What is gained was gained since then, for a component
        sends every few minutes and the rows between say nothing.
    lasting
        Seconds since then where it reported, else 0; ``timed`` the entries gained in them. Both are 0 where ``since``
        is not known.
    parts
        The increments of the additive parts of a profile or weighted histogram, flat, shape ``(cell, time)``.
    events
        That the subsystem's event counter had in that time; None if it has none.
    """

    axes: tuple[Axis, ...]
    class_name: str
    error_option: str
    gauge: bool
    stats: Mapping[str, Floats]
    along: tuple[Floats, ...]
    whole: Floats
    reported: NDArray[np.bool_]
    begin: NDArray[np.datetime64]
    end: NDArray[np.datetime64]
    restart: NDArray[np.bool_]
    steps: NDArray[np.uint8]
    since: NDArray[np.datetime64]
    lasting: Floats
    timed: Floats
    parts: Mapping[str, Floats] = field(default_factory=dict)
    events: Floats | None = None

    @classmethod
    def from_rows(
        cls, whole: RunHistogram, rows: slice | None = None, ranges: Ranges = NOWHERE, parts: Sequence[str] = ()
    ) -> Self:
        """The increments of one binning of a histogram in one run.

        Parameters
        ----------
        rows
            Which of its rows, from 0; all, if None.
        ranges
            Per axis the first bin and the one behind the last (0 is the first in range): what lies outside does not
            count, and all statistics come from the bins that are left, entries too.
        parts
            Additive parts whose increments are requested, in addition to those that a profile needs.
        """
        first, last = (0, len(whole.rows)) if rows is None else (rows.start, rows.stop)
        states = whole.states(last)
        before = previous_rows(states, whole.additive)
        lowest = min((row for row in before[first:last].tolist() if row >= 0), default=first)
        extra = max(first - lowest, int(first > 0))  # rows before that are needed, too
        one = whole.window(first - extra, last)
        states, previous = states[first - extra :], np.maximum(before[first - extra :] - (first - extra), kernels.ZERO)
        previous[:extra] = kernels.ZERO  # they count from rows that are not here
        begin = np.concatenate([np.full(1, np.datetime64("NaT"), dtype="datetime64[ns]"), one.times[:-1]])
        over = (previous >= 0) & (previous < np.arange(len(previous)) - 1)  # rows out of order
        begin[over] = one.times[previous[over]]
        since = whole.since[first - extra : last]
        return cls._of(one, states, previous, begin, since, slice(extra, None), ranges, parts)

    @classmethod
    def from_many(cls, histograms: Sequence[RunHistogram], rows: slice, joined: RunHistogram) -> Self:
        """The increments of histograms with equal bins that are `calm` in some rows: those of each after another.

        Parameters
        ----------
        rows
            Which rows of each.
        joined
            These, and the one before if there is one, as `owtrend.histograms.run_histogram.together` gives them.
        """
        lead, shape = histograms[0], (len(histograms), len(joined.rows) // len(histograms))
        extra = shape[1] - (rows.stop - rows.start)
        first = np.arange(len(joined.rows)) % shape[1] == 0
        previous = np.where(first, kernels.ZERO, np.arange(len(first)) - 1)
        begin = np.where(first, np.datetime64("NaT", "ns"), np.roll(joined.times, 1))
        earlier = [one.reported for one in histograms]
        if rows.start - extra == 0:
            sums, until = joined.sums.reshape(*shape, -1), shape[1]
        else:
            sums, until = together(histograms, 0, rows.stop).sums.reshape(len(histograms), rows.stop, -1), rows.stop
        since = latest_reports(sums, lead.times[:until], earlier)[:, rows.start - extra : rows.stop].ravel()
        states = np.full(len(first), State.HELD, dtype=np.uint8)
        return cls._of(joined, states, previous, begin, since, ~first if extra else slice(None))

    @classmethod
    def _of(
        cls, one: RunHistogram, states: NDArray[np.uint8], previous: NDArray[np.int64],
        begin: NDArray[np.datetime64], since: NDArray[np.datetime64], keep: slice | NDArray[np.bool_],
        ranges: Ranges = NOWHERE, parts: Sequence[str] = (),
    ) -> Self:  # fmt: skip
        """The increments of some rows, of which those to keep are returned: each counts from the ``previous`` one."""
        gauge = one.segment.gauge or bool(State.GAUGE.is_set(states[-1:]).any())
        segment, profile = one.segment, one.segment.class_name.startswith("TProfile")
        weight = "bin_entries" if profile else "contents"
        kept = one.sums
        axes = tuple(_cut_axis(axis, ranges.get(letter)) for letter, axis in zip("xyz", one.axes, strict=False))
        cells = _cut(one.read(weight), one.axes, ranges) if ranges else one.native(weight)
        sizes = [len(axis) for axis in axes] + [0] * (3 - len(axes))
        changed, content, along = lines(cells, previous, *sizes)
        gained = kernels.plain_increments(kept, previous)
        stats = dict(zip(one.sum_names, gained.T, strict=True))
        if gauge:  # its rows are not differenced, but a report is still a row that is not like the one before
            row_before = np.arange(len(cells)) - 1
            changed, _, _ = lines(cells, row_before, *sizes)
            gained = kernels.plain_increments(kept, row_before)
        changed |= (gained != 0).any(axis=1)  # what is new lay perhaps outside of the ranges
        bounds = np.cumsum([0, *(n + 2 for n in sizes if n)])
        per_axis = tuple(along[a:b] for a, b in pairwise(bounds))
        lost = np.full(len(cells), True) if ranges else _lost(one, kept, stats, previous)
        every = root_sums.names(len(axes), profile=profile, mixed=False)
        unnamed = set(every[1:]) - stats.keys()  # in very old files
        from_bins = lost.any() or unnamed
        needed = {"bin_entries", "sumwy", "sumwy2", "bin_sumw2"} if profile else {"sumw2"} if from_bins else set()
        held = {
            name: kernels.plain_increments(_cut(one.read(name), one.axes, ranges).astype(np.float64), previous).T
            for name in {*parts, *needed} & set(one.parts)
        }
        if from_bins:
            made = _from_bins(axes, per_axis, content[1], held, entries=content[0] if ranges else stats["entries"])
            stats |= {name: made[name] for name in unnamed}
            stats |= {name: np.where(lost, made[name], stats[name]) for name in made.keys() & stats.keys()}
        none = np.zeros(len(since[keep]))
        return cls(
            since=since[keep], lasting=none, timed=none,
            axes=axes, class_name=segment.class_name, error_option=segment.error_option, gauge=gauge,
            stats={name: values[keep] for name, values in stats.items()},
            along=tuple(line[:, keep] for line in per_axis), whole=content[0, keep], reported=changed[keep],
            begin=begin[keep], end=one.times[keep], parts={name: part[:, keep] for name, part in held.items()},
            restart=State.RESTART.is_set(states)[keep], steps=(states & ~np.uint8(State.HELD | State.RESTART))[keep],
        ).timed_since(since[keep])  # fmt: skip

    def timed_since(self, since: NDArray[np.datetime64]) -> Self:
        """The same rows, with when each had reported before."""
        known = ~np.isnat(since) & self.reported
        waited = (self.end - np.where(known, since, self.end)).astype("timedelta64[ns]").astype(np.float64)
        timed = np.where(known, self.stats["entries"], 0.0)
        return replace(self, since=since, lasting=waited / 1e9, timed=timed)

    def __len__(self) -> int:
        return len(self.end)

    @property
    def state(self) -> NDArray[np.uint8]:
        """Bits of `State`."""
        bits = np.uint8(State.HELD) + np.uint8(State.REPORTED) * self.reported + np.uint8(State.RESTART) * self.restart
        return bits | self.steps

    @cached_property
    def missing(self) -> NDArray[np.bool_]:
        """True where what was gained is not known."""
        return (State.OUT_OF_ORDER | State.LOST).is_set(self.steps)

    @property
    def profile(self) -> bool:
        return self.class_name.startswith("TProfile")

    @cached_property
    def effective(self) -> Floats:
        """Effective entries, sum(w)**2 / sum(w**2) (``TH1::GetEffectiveEntries``)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.stats["tsumw"] ** 2 / self.stats["tsumw2"]

    def grouped(self, starts: Sequence[int]) -> Self:
        """Increments of intervals, each from one of ``starts`` to before the next; of a gauge the last row of each."""
        first = np.asarray(starts, dtype=np.intp)
        last = np.append(first[1:], len(self)) - 1

        def total(values: NDArray[Any]) -> NDArray[Any]:
            return values[..., last] if self.gauge else np.add.reduceat(values, first, axis=-1)

        return replace(
            self,
            stats={name: total(values) for name, values in self.stats.items()},
            along=tuple(total(line) for line in self.along),
            whole=total(self.whole),
            parts={name: total(part) for name, part in self.parts.items()},
            reported=np.logical_or.reduceat(self.reported, first),
            restart=np.logical_or.reduceat(self.restart, first),
            steps=_joined(self.steps, first),
            begin=self.begin[first],
            end=self.end[last],
            since=self.since[first],
            lasting=np.add.reduceat(self.lasting, first),
            timed=np.add.reduceat(self.timed, first),
            events=None if self.events is None else np.add.reduceat(self.events, first),
        )

    def rows(self, which: NDArray[np.intp] | slice) -> Self:
        """Some of the rows."""
        return replace(
            self,
            stats={name: values[which] for name, values in self.stats.items()},
            along=tuple(line[:, which] for line in self.along),
            parts={name: part[:, which] for name, part in self.parts.items()},
            events=None if self.events is None else self.events[which],
            **{name: getattr(self, name)[which] for name in _PER_ROW},
        )

    def plus(self, more: "Increments") -> "Increments":
        """All rows of ``more`` added to this one row, row after row; of a gauge, and of other bins, the later."""
        return _one(more, self)

    def as_one(self) -> "Increments":
        """All rows as one, added row after row; of a gauge the last."""
        return _one(self, None)

    def each_as_one(self, histograms: int, before: "Increments | None" = None) -> "Increments":
        """The rows `from_many` of each histogram as one row, added to what was before: a row of each."""
        return _one(self, before, histograms)

    @classmethod
    def side_by_side(cls, histograms: Sequence["Increments"]) -> "Increments":
        """The rows of histograms with equal bins, those of each after another."""
        first, *others = histograms

        def joined(arrays: Iterable[NDArray[Any]]) -> Any:
            return np.concatenate([*arrays], axis=-1)

        return replace(
            first,
            stats={name: joined(one.stats[name] for one in histograms) for name in first.stats},
            along=tuple(map(joined, zip(*(one.along for one in histograms), strict=True))),
            parts={
                name: joined(one.parts[name] for one in histograms)
                for name in first.parts
                if all(name in one.parts for one in others)
            },
            events=None,
            **{name: joined(getattr(one, name) for one in histograms) for name in _PER_ROW},
        )

    def line(self, axis: str) -> Floats:
        """Content of the bins in range along an axis, shape ``(bin, time)``; of a profile, as in ROOT, the means."""
        number = "xyz".index(axis)
        if not self.profile:
            return self.along[number][1:-1]
        shape = tuple(len(one) + 2 for one in self.axes)
        means = unfold(np.nan_to_num(bin_values(self.parts)).T, shape, flow=False)
        return summed_within(np.moveaxis(means, number + 1, 1).reshape(len(means), means.shape[number + 1], -1))

    def line_variance(self, axis: str) -> Floats:
        """Variance of each bin of `line`: its content times the mean weight of an entry; NaN for a profile."""
        with np.errstate(divide="ignore", invalid="ignore"):
            per_content = np.nan if self.profile else self.stats["tsumw2"] / self.stats["tsumw"]
            return np.abs(self.line(axis) * per_content)

    def mean_and_std(self, axis: str) -> tuple[Floats, Floats]:
        """Along an axis, by the statistics; NaN where they cannot be true, the mean also where there is no weight."""
        key = f"mean {axis}"
        if key not in vars(self):
            total = self.stats["tsumw"]
            with np.errstate(divide="ignore", invalid="ignore"):
                mean = self.stats[f"tsumw{axis}"] / total
                square = self.stats[f"tsumw{axis}2"] / total
                std = np.sqrt(np.maximum(square - mean**2, 0))
                # Of fills of weight 1 within the axis no spread is negative and no mean outside.
                impossible = square - mean**2 < -1e-6 * np.abs(square)
                blurred = (square - mean**2 <= 1e-14 * square) & (mean != 0)  # ROOT has sums of 0 where labels are new
                if axis in "xyz"[: len(self.axes)]:
                    edges = self.axes["xyz".index(axis)].edges
                    margin = 1e-6 * (edges[-1] - edges[0])
                    inside = summed(self.along["xyz".index(axis)][1:-1]) if self.along else np.inf
                    outside = (mean < edges[0] - margin) | (mean > edges[-1] + margin)
                    impossible |= outside & (total <= inside * (1 + 1e-9))  # else fills outside of it count, too
                    if self.along and blurred.any():  # no spread, though several bins are filled: lost in rounding
                        several = np.count_nonzero(self.along["xyz".index(axis)][1:-1], axis=0) > 1
                        std[blurred & several] = np.nan
                impossible &= total == self.stats["tsumw2"]
                std[impossible] = np.nan
            vars(self)[key] = np.where((total == 0) | impossible, np.nan, mean), std
        made: tuple[Floats, Floats] = vars(self)[key]
        return made

    def moments(self, axis: str) -> Floats:
        """See `owtrend.kernels.cells.projections.moments`."""
        key = f"moments {axis}"
        if key not in vars(self):
            vars(self)[key] = moments(self.line(axis), self.axes["xyz".index(axis)].centres, *self.mean_and_std(axis))
        made: Floats = vars(self)[key]
        return made

    def in_range(self) -> tuple[Floats, Floats]:
        """The sum of the bins in range and its variance; of a profile of the means in the bins."""
        if not self.profile:
            return summed(self.along[0][1:-1]), np.abs(self.stats["tsumw2"])
        shape = tuple(len(one) + 2 for one in self.axes)
        parts = {name: unfold(part.T, shape, flow=False) for name, part in self.parts.items()}
        both = np.nan_to_num(bin_values(parts)), np.asarray(bin_variances(parts, self.error_option))
        value, variance = (summed(each.reshape(len(each), -1).T) for each in both)
        return value, variance


_PER_ROW = ("whole", "reported", "begin", "end", "restart", "steps", "since", "lasting", "timed")


def _one(rows: Increments, before: Increments | None, count: int = 1) -> Increments:
    """Rows as one, added to what was before; no sum depends on how rows are cut into pieces.

    If they are those of ``count`` histograms, each after another, they become a row of each.
    """
    size = len(rows) // count

    def summed_up(before: NDArray[Any] | None, values: NDArray[Any]) -> NDArray[Any]:
        return _last_sum(before, values, count)

    def added(name: str) -> NDArray[Any]:
        return summed_up(None if before is None else getattr(before, name), getattr(rows, name))

    def any_of(name: str) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = getattr(rows, name).reshape(count, -1).any(axis=1)
        return found if before is None else found | getattr(before, name)

    starts, first = np.arange(count, dtype=np.intp) * size, rows if before is None else before
    stats, known = rows.stats, {} if before is None or rows.gauge else before.stats
    bins = None if before is None or rows.gauge or before.axes != rows.axes else before
    total = (lambda old, new: new[..., -1:]) if rows.gauge else summed_up
    pairs = np.arange(0, 2 * count, 2, dtype=np.intp)
    steps, every = _joined(rows.steps, starts), slice(None, None, size if before is None else None)
    return replace(
        rows,
        stats={name: total(known.get(name), values) for name, values in stats.items()},
        along=tuple(total(None if bins is None else bins.along[n], line) for n, line in enumerate(rows.along)),
        parts={name: total(None if bins is None else bins.parts.get(name), part) for name, part in rows.parts.items()},
        whole=total(None if bins is None else bins.whole, rows.whole),
        reported=any_of("reported"), restart=any_of("restart"),
        steps=steps if before is None else _joined(np.stack([before.steps, steps], axis=1).ravel(), pairs),
        begin=first.begin[every], since=first.since[every], end=rows.end[starts + size - 1], lasting=added("lasting"),
        timed=added("timed"),
        events=None if rows.events is None or first.events is None else added("events"),
    )  # fmt: skip


def _joined(steps: NDArray[np.uint8], starts: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Steps of intervals: all bits of their rows; out of order only where all rows are, for others gained the same."""
    any_of, all_of = (operation.reduceat(steps, starts) for operation in (np.bitwise_or, np.bitwise_and))
    bit = np.uint8(State.OUT_OF_ORDER)
    joined: NDArray[np.uint8] = (any_of & ~bit) | (all_of & bit)
    return joined


def _last_sum(before: NDArray[Any] | None, rows: NDArray[Any], count: int) -> NDArray[Any]:
    """Running sums over the rows of each histogram in the last dim, their ends.

    `numpy.sum` would add in an order that depends on the length.
    """
    if before is None and rows.shape[-1] == count:
        return rows
    rows = rows.reshape(*rows.shape[:-1], count, -1)
    if before is not None:
        rows = np.concatenate([before[..., None], rows], axis=-1)
    return np.add.accumulate(rows, axis=-1)[..., -1].copy()  # not a view that keeps the sums of all rows


def _cut_axis(axis: Axis, bins: tuple[int, int] | None) -> Axis:
    return axis if bins is None else Axis(axis.edges[bins[0] : bins[1] + 1], regular=axis.regular, title=axis.title)


def _cut(cells: NDArray[Any], axes: tuple[Axis, ...], ranges: Ranges) -> NDArray[Any]:
    """Flat cells, flow included, with only some bins of some axes; nothing is in the flow bins of those."""
    if not ranges:
        return cells
    folded = cells.reshape(len(cells), *(len(axis) + 2 for axis in reversed(axes)))
    for number, letter in enumerate("xyz"[: len(axes)]):
        if letter in ranges:
            first, last = ranges[letter]
            dim = folded.ndim - 1 - number
            pads = [(int(at == dim),) * 2 for at in range(folded.ndim)]
            folded = np.pad(folded.take(np.arange(first + 1, last + 1), axis=dim), pads)
    return np.asfortranarray(folded.reshape(len(cells), -1))


def _lost(
    one: RunHistogram, kept: Floats, stats: Mapping[str, Floats], previous: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """In which rows ROOT's statistics do not tell what was gained."""
    by_name: dict[str, Floats] = dict(zip(one.sum_names, kept.T, strict=True))
    not_kept: NDArray[np.bool_] = root_sums.are_lost(by_name)
    before = np.where(previous >= 0, not_kept[np.maximum(previous, 0)], False)
    return not_kept | before | root_sums.are_lost(stats)


def _from_bins(
    axes: Sequence[Axis], along: Sequence[Floats], absolute: Floats, parts: Mapping[str, Floats], entries: Floats
) -> dict[str, Floats]:
    """The statistics from bin contents at bin centres, flow excluded."""
    made = {"entries": entries, "tsumw": summed(along[0][1:-1]), "tsumw2": absolute}
    for letter, axis, line in zip("xyz", axes, along, strict=False):
        terms = root_sums.moments(letter, line[1:-1], axis.centres[:, None])
        made |= {name: summed(term) for name, term in terms.items()}
    letter = root_sums.quantity(len(axes))
    for part, name in {
        "sumwy": f"tsumw{letter}", "sumwy2": f"tsumw{letter}2", "bin_sumw2": "tsumw2", "sumw2": "tsumw2",
    }.items():  # fmt: skip
        if part in parts:
            inner = unfold(parts[part].T, tuple(len(axis) + 2 for axis in axes), flow=False)
            made[name] = summed(inner.reshape(len(inner), -1).T)
    return made
