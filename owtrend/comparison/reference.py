"""What a time slice is compared with: slices of the same subsystem, alone, summed, or as a template with its spread."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.config import Config
from owtrend.errors import BinningChangedError, NotFoundError, UsageError
from owtrend.histograms.time_slice import TimeSlice, time_slices
from owtrend.model.histogram import Histogram, Path, bin_values
from owtrend.model.snapshot import find_path
from owtrend.store.reader import Reader
from owtrend.trends.run_trends import event_counter

__all__ = ["Reference", "Template", "comparable", "reference"]

_TO_SIGMA = 1.4826  # of a normal distribution, for its median absolute deviation


@dataclass(frozen=True, eq=False)
class Template:
    """The usual shape of a histogram.

    Parameters
    ----------
    value
        Median over the slices of the content of each bin, as a share of all content (flow included); flat, in ROOT's
        order. Of a profile of the mean in each bin.
    spread
        Standard deviation from slice to slice, counting included, by the median absolute deviation; NaN with fewer than
        three slices.
    slices
        How many there were.
    """

    value: NDArray[np.float64]
    spread: NDArray[np.float64]
    slices: int


@dataclass(frozen=True, eq=False)
class Reference:
    """Slices that something is compared with.

    Parameters
    ----------
    slices
        In order of time.
    events
        That were counted in each; NaN where nothing counts them.
    """

    slices: tuple[TimeSlice, ...]
    events: tuple[float, ...]

    @property
    def runs(self) -> tuple[int, ...]:
        return tuple(int(one.run or 0) for one in self.slices)

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """All histograms that any slice holds."""
        return tuple(dict.fromkeys(path for one in self.slices for path in one))

    def age(self, at: np.datetime64) -> np.timedelta64:
        """How long ago, at ``at``, the newest slice ended."""
        return np.timedelta64(at - max(one.interval.stop for one in self.slices))

    def without(self, run: int) -> "Reference":
        """Leave one run out, so that it is not compared with itself; raises NotFoundError if nothing is left."""
        kept = [number for number, one in enumerate(self.slices) if one.run != run]
        if not kept:
            raise NotFoundError(f"nothing is left of the reference without run {run}")
        return Reference(tuple(self.slices[n] for n in kept), tuple(self.events[n] for n in kept))

    def held(self, name: Path | str) -> tuple[list[Histogram], list[float]]:
        """A histogram in the slices that have it in the binning of the newest one, and the events in each.

        Raises
        ------
        NotFoundError
            If no slice has it.
        """
        path = name if isinstance(name, tuple) else find_path(name, self.paths, "reference")
        found = [(one.histograms[path], n) for one, n in zip(self.slices, self.events, strict=True) if path in one]
        if not found:
            raise NotFoundError(f"reference: no histogram {name!r} in runs {', '.join(map(str, self.runs))}")
        newest = found[-1][0]
        same = [(one, n) for one, n in found if one.axes == newest.axes and one.kind == newest.kind]
        return [one for one, _ in same], [n for _, n in same]

    def histogram(self, name: Path | str) -> Histogram:
        """All slices as one histogram: contents, errors and statistics added; of a gauge the newest."""
        held, _ = self.held(name)
        newest = held[-1]
        if newest.gauge or len(held) == 1:
            return newest
        names = dict.fromkeys(part for one in held for part in one.parts)
        parts = {name: np.sum([_part(one, name) for one in held], axis=0) for name in names}
        class_name = f"{newest.class_name[:-1]}D" if "contents" in parts else newest.class_name
        sums = {key: sum(one.sums.get(key, 0.0) for one in held) for key in newest.sums}
        return replace(newest, class_name=class_name, parts=parts, sums=sums)

    def counted(self, name: Path | str) -> float:
        """Events in the slices that `histogram` adds."""
        _, events = self.held(name)
        return float(np.sum(events))

    def template(self, name: Path | str) -> Template:
        """The usual shape of a histogram, robust against a slice that is not good."""
        held, _ = self.held(name)
        if held[-1].kind == "MEAN":
            shares = np.array([bin_values(one.parts) for one in held])
        else:
            contents = np.array([np.asarray(one.parts["contents"], dtype=np.float64) for one in held])
            with np.errstate(divide="ignore", invalid="ignore"):
                shares = contents / contents.sum(axis=1, keepdims=True)
        value = np.nanmedian(shares, axis=0) if len(held) > 1 else shares[0]
        spread = np.full_like(value, np.nan)
        if len(held) > 2:
            spread = _TO_SIGMA * np.nanmedian(np.abs(shares - value), axis=0)
        return Template(value, spread, len(held))


def reference(
    reader: Reader, config: Config, subsystem: str, runs: Sequence[int], start: Any = None, stop: Any = None, *,
    select: Sequence[str] = (),
) -> Reference:  # fmt: skip
    """The slices of some runs: whole runs, or ``(start, stop]`` of a single one.

    Raises
    ------
    UsageError
        If an interval of several runs is asked for, or no run at all.
    NotFoundError
        As `owtrend.histograms.time_slice.time_slices`.
    """
    if not runs:
        raise UsageError("a reference needs at least one run")
    if len(runs) > 1 and (start is not None or stop is not None):
        raise UsageError(f"an interval is of one run; {len(runs)} runs were given")
    slices = [time_slices(reader, subsystem, run, start, stop, select=select) for run in runs]
    slices.sort(key=lambda one: one.interval.stop)
    view = reader.subsystem(subsystem)
    events = []
    for one in slices:
        counter = event_counter(view, int(one.run or 0), config, subsystem)
        ends = (np.array([time]) for time in (one.interval.start, one.interval.stop))
        events.append(np.nan if counter is None else float(counter.between(*ends)[0]))
    return Reference(tuple(slices), tuple(events))


def comparable(
    reader: Reader, config: Config, subsystem: str, run: int, *, last: int = 5, rate_within: float | None = None,
    leave_out: Sequence[int] = (), shortest: float = 600,
) -> list[int]:  # fmt: skip
    """The newest runs before ``run`` that are like it: of its mode, long enough, and near to its rate.

    Parameters
    ----------
    last
        How many at most.
    rate_within
        Largest difference of the mean event rates, as a share of that of ``run``; None: any rate.
    leave_out
        Runs that are known not to be good.
    shortest
        Seconds that a run must have lasted.

    Raises
    ------
    UsageError
        If rates are to be compared and nothing counts events.
    NotFoundError
        If there is no such run, or none like it; the text says how many were looked at.
    """
    view = reader.subsystem(subsystem)
    run_index = view.run_index(run)
    modes, starts, stops = (view.per_run[name] for name in ("mode", "start", "stop"))

    def rate(known: int) -> float:
        counter = event_counter(view, known, config, subsystem)
        if counter is None:
            raise UsageError(f"{view.where}: nothing counts events; name a histogram as `events` in the configuration")
        where = view.run_index(known)
        return float(counter.total[-1] / max(stops[where] - starts[where], 1))

    mine = rate(run) if rate_within is not None else 0.0
    before = sorted((known for known in view.run_indices if known < run and known not in leave_out), reverse=True)
    found: list[int] = []
    for known in before:
        where = view.run_index(known)
        if stops[where] - starts[where] < 1e9 * shortest or modes[where] != modes[run_index]:
            continue
        if rate_within is not None and abs(rate(known) - mine) > rate_within * mine:
            continue
        found.append(known)
        if len(found) == last:
            break
    if not found:
        raise NotFoundError(f"{view.where}: none of the {len(before)} runs before {run} is like it; name runs yourself")
    return sorted(found)


def _part(one: Histogram, part: str) -> NDArray[Any]:
    """A part in a type that sums fit in; sumw2 that is not kept is the contents."""
    twin = {"sumw2": "contents", "bin_sumw2": "bin_entries"}
    if part not in one.parts and part not in twin:
        raise BinningChangedError(f"{one.name}: a reference slice lacks {part}")
    return np.asarray(one.parts[part] if part in one.parts else one.parts[twin[part]], dtype=np.float64)
