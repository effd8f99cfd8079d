"""References for a time slice: other slices of the same subsystem, summed, or as a template with its spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.config import Config
from owtrend.display import Display, Displayed, DisplayedFields, few
from owtrend.errors import BinningChangedError, NotFoundError, UsageError
from owtrend.histograms.subsystem_slice import TimeSlice, time_slices
from owtrend.kernels.series.mad import mad_sigma
from owtrend.model.axis import common_axes
from owtrend.model.histogram import Histogram, Path, bin_values, display_name
from owtrend.model.snapshot import find_path
from owtrend.store.reader import Reader
from owtrend.trends.intervals import event_counter

__all__ = ["Reference", "Template", "comparable", "reference"]


@dataclass(frozen=True, eq=False, repr=False)
class Template(DisplayedFields):
    """Typical shape of a histogram.

    Parameters
    ----------
    value
        Median over the slices of the fraction of the content in each bin (flow included), flat, in ROOT's order; of a
        profile, of the mean in each bin.
    spread
        Standard deviation from slice to slice, counting noise included, from the median absolute deviation; NaN with
        fewer than three slices.
    slices
        Number of slices.
    """

    value: NDArray[np.float64]
    spread: NDArray[np.float64]
    slices: int


@dataclass(frozen=True, eq=False, repr=False)
class Reference(Displayed):
    """Slices to compare with.

    Parameters
    ----------
    slices
        In order of time.
    events
        Number of events in each; NaN where nothing counts them.
    """

    slices: tuple[TimeSlice, ...]
    events: tuple[float, ...]

    def _display(self) -> Display:
        names = list(map(display_name, self.paths))
        name = repr(names[0] if names else "name")
        next_lines = [
            f"owtrend.compare(archive.histogram(..., {name}, run=...), reference)  # or of a time slice",
            f"reference.histogram({name})  # its slices added",
            f"reference.template({name})  # typical shape, and its spread",
        ]
        subsystem = self.slices[0].subsystem if self.slices else "nothing"
        return Display(f"{subsystem}, runs {few(self.runs, 8)}", {"histograms": few(names)}, next_lines)

    @property
    def runs(self) -> tuple[int, ...]:
        return tuple(int(time_slice.run or 0) for time_slice in self.slices)

    @cached_property
    def paths(self) -> tuple[Path, ...]:
        """All histograms in any of the slices."""
        return tuple(dict.fromkeys(path for time_slice in self.slices for path in time_slice))

    def age(self, at: np.datetime64) -> np.timedelta64:
        """Time from the end of the newest slice to ``at``."""
        return np.timedelta64(at - max(time_slice.interval.stop for time_slice in self.slices))

    def without(self, run: int) -> "Reference":
        """Leave one run out, so that it is not compared with itself; raises NotFoundError if nothing is left."""
        kept = [number for number, time_slice in enumerate(self.slices) if time_slice.run != run]
        if not kept:
            raise NotFoundError(f"nothing is left of the reference without run {run}")
        return Reference(tuple(self.slices[n] for n in kept), tuple(self.events[n] for n in kept))

    def histograms(self, name: Path | str) -> tuple[list[Histogram], list[float]]:
        """A histogram from each slice that has it in bins that match those of the newest, and the events of each.

        All are in the same bins: labels are matched, axes that ROOT extended have merged bins.

        Raises
        ------
        NotFoundError
            If no slice has it.
        """
        path = name if isinstance(name, tuple) else find_path(name, self.paths, "reference")
        pieces = [
            (time_slice.histograms[path], events)
            for time_slice, events in zip(self.slices, self.events, strict=True)
            if path in time_slice
        ]
        if not pieces:
            raise NotFoundError(f"reference: no histogram {name!r} in runs {', '.join(map(str, self.runs))}")
        newest, axes = pieces[-1][0], pieces[-1][0].axes
        alike: list[tuple[Histogram, float]] = []
        for histogram, counted in reversed(pieces):
            joined = common_axes([*([one.axes for one, _ in alike] or [axes]), histogram.axes])
            if histogram.kind == newest.kind and joined is not None:
                axes = joined
                alike.append((histogram, counted))
        return [one.on(axes) for one, _ in reversed(alike)], [counted for _, counted in reversed(alike)]

    def histogram(self, name: Path | str) -> Histogram:
        """All slices as one histogram: contents, errors and statistics added; of a gauge the newest."""
        histograms, _ = self.histograms(name)
        newest = histograms[-1]
        if newest.gauge or len(histograms) == 1:
            return newest
        names = dict.fromkeys(part for histogram in histograms for part in histogram.parts)
        parts = {part: np.sum([_part(histogram, part) for histogram in histograms], axis=0) for part in names}
        class_name = f"{newest.class_name[:-1]}D" if "contents" in parts else newest.class_name
        sums = {key: sum(histogram.sums.get(key, 0.0) for histogram in histograms) for key in newest.sums}
        return replace(newest, class_name=class_name, parts=parts, sums=sums)

    def counted(self, name: Path | str) -> float:
        """Number of events in the slices that `histogram` adds."""
        _, events = self.histograms(name)
        return float(np.sum(events))

    def template(self, name: Path | str) -> Template:
        """Typical shape of a histogram, robust against a bad slice."""
        histograms, _ = self.histograms(name)
        if histograms[-1].kind == "MEAN":
            shares = np.array([bin_values(histogram.parts) for histogram in histograms])
        else:
            contents = np.array([np.asarray(histogram.parts["contents"], dtype=np.float64) for histogram in histograms])
            with np.errstate(divide="ignore", invalid="ignore"):
                shares = contents / contents.sum(axis=1, keepdims=True)
        value = np.nanmedian(shares, axis=0) if len(histograms) > 1 else shares[0]
        spread = np.full_like(value, np.nan)
        if len(histograms) > 2:
            spread = mad_sigma(shares, value)
        return Template(value, spread, len(histograms))


def reference(
    reader: Reader, config: Config, subsystem: str, runs: Sequence[int], start: Any = None, stop: Any = None, *,
    select: Sequence[str] = (),
) -> Reference:  # fmt: skip
    """The slices of some runs: whole runs, or ``(start, stop]`` of a single one.

    Raises
    ------
    UsageError
        If an interval of several runs is requested, or no run at all.
    NotFoundError
        As `owtrend.histograms.subsystem_slice.time_slices`.
    """
    if not runs:
        raise UsageError("a reference needs at least one run")
    if len(runs) > 1 and (start is not None or stop is not None):
        raise UsageError(f"an interval needs a single run; {len(runs)} runs were given")
    slices = [time_slices(reader, subsystem, run, start, stop, select=select) for run in runs]
    slices.sort(key=lambda time_slice: time_slice.interval.stop)
    view = reader.subsystem(subsystem)
    events = []
    for time_slice in slices:
        counter = event_counter(view, int(time_slice.run or 0), config, subsystem)
        ends = (np.array([time]) for time in (time_slice.interval.start, time_slice.interval.stop))
        events.append(np.nan if counter is None else float(counter.between(*ends)[0]))
    return Reference(tuple(slices), tuple(events))


def comparable(
    reader: Reader, config: Config, subsystem: str, run: int, *, last: int = 5, rate_within: float | None = None,
    rates: Mapping[int, float] | None = None, leave_out: Sequence[int] = (), shortest: float = 600,
) -> list[int]:  # fmt: skip
    """The newest runs before ``run`` that are like it: same mode, long enough, similar rate.

    Parameters
    ----------
    last
        Number of runs, at most.
    rate_within
        Largest difference of the rate, relative to the rate of ``run``; None: any rate.
    rates
        By run, from a condition; None: the mean rate of what counts events. A run without a rate is like no other.
    leave_out
        Runs known to be bad.
    shortest
        Least duration of a run [s].

    Raises
    ------
    UsageError
        If rates are to be compared and nothing counts events.
    NotFoundError
        If there is no such run, or none like it; the text says how many were checked.
    """
    view = reader.subsystem(subsystem)
    run_index = view.run_index(run)
    modes, starts, stops = (view.per_run[name] for name in ("mode", "start", "stop"))

    def rate(of_run: int) -> float:
        if rates is not None:
            return rates.get(of_run, np.nan)
        counter = event_counter(view, of_run, config, subsystem)
        if counter is None:
            raise UsageError(f"{view.where}: nothing counts events; name a histogram as `events` in the configuration")
        index = view.run_index(of_run)
        return float(counter.total[-1] / max(stops[index] - starts[index], 1))

    run_rate = rate(run) if rate_within is not None else 0.0
    if run_rate != run_rate:
        raise NotFoundError(
            f"{view.where}: run {run} has no rate in the conditions; leave out rate_within, or name runs"
        )
    before = sorted((other for other in view.run_indices if other < run and other not in leave_out), reverse=True)
    chosen: list[int] = []
    for other in before:
        index = view.run_index(other)
        if stops[index] - starts[index] < 1e9 * shortest or modes[index] != modes[run_index]:
            continue
        if rate_within is not None and not abs(rate(other) - run_rate) <= rate_within * run_rate:  # NaN is like nothing
            continue
        chosen.append(other)
        if len(chosen) == last:
            break
    if not chosen:
        raise NotFoundError(f"{view.where}: none of the {len(before)} runs before {run} is like it; name runs yourself")
    return sorted(chosen)


def _part(histogram: Histogram, part: str) -> NDArray[Any]:
    """A part as float64; a missing sumw2 equals the contents."""
    twin = {"sumw2": "contents", "bin_sumw2": "bin_entries"}
    if part not in histogram.parts and part not in twin:
        raise BinningChangedError(f"{histogram.name}: a reference slice lacks {part}")
    return np.asarray(histogram.parts[part if part in histogram.parts else twin[part]], dtype=np.float64)
