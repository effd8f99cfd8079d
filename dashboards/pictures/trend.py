"""Trends as xarray datasets -> HoloViews elements: one run over UTC, or several runs with the time between cut out.

Keeps no state and reads no store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import holoviews as hv
import numpy as np
import xarray as xr
from bokeh.models import BoxAnnotation, CustomJSTickFormatter, DatetimeTicker, DatetimeTickFormatter
from numpy.typing import NDArray

from dashboards.pictures import theme
from dashboards.pictures.axes import limits
from dashboards.pictures.histogram import CROWD, TOOLS, printf, with_error
from owtrend.model.rows import State

__all__ = ["UTC", "UTC_FORMAT", "Timeline", "apart", "run_colours", "time_limits", "trend", "trend_by_run"]

UTC = [("UTC", "@utc{%F %T}")]
UTC_FORMAT = {"@utc": "datetime"}
_UNKNOWN = {
    State.OUT_OF_ORDER: "out of order: the content is of another time, and takes part in no increment",
    State.LOST: "unknown gain: a bin is full, or all bins were multiplied by a factor",
}

# Position of a tick -> its UTC time; with the day where the day differs from the tick before.
_CLOCK = """
const place = (at) => {
  for (const [low, high, shift] of spans) if (at >= low && at <= high) return new Date(at - shift)
  return null
}
const when = place(tick)
if (when == null) return ""
const before = index > 0 ? place(ticks[index - 1]) : null
const day = (time) => time.toISOString().slice(5, 10)
const clock = when.toISOString().slice(11, seconds ? 19 : 16)
return before != null && day(before) == day(when) ? clock : several ? `${day(when)} ${clock}` : clock
"""


@dataclass(frozen=True, eq=False)
class Timeline:
    """Positions of several runs on one time axis: the chosen run at its true time, the others directly next to it."""

    runs: tuple[int, ...]
    shifts: tuple[np.timedelta64, ...]
    spans: tuple[tuple[np.datetime64, np.datetime64], ...]  # on the axis

    @property
    def dimension(self) -> hv.Dimension:
        """Time on this axis. Pictures that share it are zoomed together; a picture of other times is not joined."""
        low, high = self.limits
        return hv.Dimension("time", label=f"time from {low} to {high}")

    @property
    def limits(self) -> tuple[np.datetime64, np.datetime64]:
        """Ends of the axis."""
        return self.spans[0][0], self.spans[-1][1]

    @classmethod
    def from_table(cls, table: xr.Dataset, chosen: int) -> "Timeline":
        """The runs of a trend or of scores, in order of time."""
        numbers = np.broadcast_to(table["run"].values, table["time"].shape)
        spans = {run: time_limits(table["time"].values[numbers == run]) for run in np.unique(numbers).tolist()}
        spans = dict(sorted(spans.items(), key=lambda item: item[1][0]))
        runs = list(spans)
        # Shifts are whole minutes (or ten), so that round times stay round.
        grid = np.timedelta64(10 if sum(_seconds(*span) for span in spans.values()) > 5400 else 1, "m")
        shift = {chosen: np.timedelta64(0, "ns")}
        for before, run in pairwise(runs[runs.index(chosen) :]):
            room = spans[run][0] - (spans[before][1] + shift[before])
            shift[run] = -np.timedelta64(grid * np.floor((room - grid / 5) / grid), "ns")
        for after, run in pairwise(runs[runs.index(chosen) :: -1]):
            room = spans[after][0] + shift[after] - spans[run][1]
            shift[run] = np.timedelta64(grid * np.floor((room - grid / 5) / grid), "ns")
        shifted = tuple((low + shift[run], high + shift[run]) for run, (low, high) in spans.items())
        return cls(tuple(runs), tuple(shift[run] for run in runs), shifted)

    def placed(self, times: NDArray[np.datetime64], runs: NDArray[np.int64]) -> NDArray[np.datetime64]:
        """Positions of times on the axis."""
        shift = dict(zip(self.runs, self.shifts, strict=True))
        return times + np.array([shift[run] for run in runs.tolist()], dtype="timedelta64[ns]")

    def run_at(self, place: np.datetime64) -> int | None:
        """The run at a position on the axis; None between runs."""
        found = [run for run, (low, high) in zip(self.runs, self.spans, strict=True) if low <= place <= high]
        return found[0] if found else None

    @property
    def formatter(self) -> CustomJSTickFormatter | DatetimeTickFormatter:
        if len(self.runs) == 1:
            return DatetimeTickFormatter(
                seconds="%H:%M:%S", minsec="%H:%M:%S", minutes="%H:%M", hourmin="%H:%M", hours="%H:%M",
                days="%d %b %H:%M",
            )  # fmt: skip
        spans = [
            [_milliseconds(low), _milliseconds(high), shift / np.timedelta64(1, "ms")]
            for (low, high), shift in zip(self.spans, self.shifts, strict=True)
        ]
        days = {str(low - shift)[:10] for (low, _), shift in zip(self.spans, self.shifts, strict=True)}
        seconds = sum(_seconds(*span) for span in self.spans) < 300
        return CustomJSTickFormatter(args={"spans": spans, "several": len(days) > 1, "seconds": seconds}, code=_CLOCK)


def trend(
    table: xr.Dataset, *, title: str = "", label: str = "value", shade: BoxAnnotation | None = None,
    gaps: Sequence[tuple[np.datetime64, np.datetime64, int]] = (), colours: Mapping[int, str] | None = None,
    timeline: Timeline | None = None,
) -> hv.Overlay:  # fmt: skip
    """Value and error over UTC time, of one run or several; ``table`` is as from `Archive.trend`.

    A snapshot without a report is no measurement: a pale tick on the lower edge. A dashed line marks a restart, a grey
    band a gap. ``shade`` is drawn below the trend: a box whose ``left`` and ``right`` can be set at any time.

    Parameters
    ----------
    gaps
        Start, end and run of each interval in which snapshots are missing.
    colours
        Colour of each run.
    timeline
        Positions of the runs, if there are several.
    """
    times, several = table["time"].values, timeline is not None
    runs = np.broadcast_to(table["run"].values, times.shape)
    if timeline is None:
        timeline = Timeline.from_table(table, int(runs[0]))
    places, colour, time = timeline.placed(times, runs), run_colours(runs, colours), timeline.dimension
    value, error = table["value"].values, np.nan_to_num(table["error"].values)
    known = np.isfinite(value) & table["reported"].values
    low, high = limits([*(value - error)[known], *(value + error)[known]])
    run_line = [("run", "@run")] if several else []
    line = hv.Curve(apart(places[known], value[known], runs[known]), time, "value").opts(
        color=theme.TICK if several else theme.BLUE, line_width=1, alpha=0.4 + 0.3 * several
    )
    bars = hv.Segments(
        (places, value - error, places, value + error, colour), [time, "value", "to", "high"], "colour"
    ).iloc[known]
    points = hv.Scatter(
        (places, value, error, times, runs.astype(str), colour), time, ["value", "error", "utc", "run", "colour"]
    ).iloc[known]
    tip = [*run_line, *UTC, (label, with_error("value"))]
    layers = [
        *_marks(table, timeline, places, runs, gaps),
        line,
        bars.opts(color=hv.dim("colour"), line_width=1),
        _rug(places[~table["reported"].values], time, low, high),
        points.opts(
            color=hv.dim("colour"), size=6 if known.sum() <= CROWD else 3, nonselection_alpha=1, tools=["xbox_select"],
            hover_tooltips=tip, hover_formatters=printf("value", "error") | UTC_FORMAT,
        ),
    ]  # fmt: skip
    if several:
        begin, names = [low for low, _ in timeline.spans], [f"Run {run}" for run in timeline.runs]
        layers.append(
            hv.Labels((begin, np.full(len(begin), high), names), [time, "value"], "name").opts(
                text_align="left", text_baseline="top", text_font_size="11px", text_color=theme.MUTED, xoffset=0
            )
        )
    hooks = [theme.figure] + ([] if shade is None else [lambda plot, _: plot.state.add_layout(shade)])
    return hv.Overlay(layers).opts(
        title=title, fontsize=theme.SIZES, xlabel="UTC, without the time between runs" if several else "UTC",
        ylabel=label, xformatter=timeline.formatter, responsive=True,
        xlim=timeline.limits,
        xticks=DatetimeTicker(desired_num_ticks=12) if several else None,
        ylim=(low, high + (high - low) * 0.1 * several), show_grid=True, hooks=hooks, default_tools=TOOLS,
        active_tools=["xbox_select"],
    )  # fmt: skip


def trend_by_run(
    table: xr.Dataset, *, title: str = "", label: str = "value", shade: BoxAnnotation | None = None,
    colours: Mapping[int, str] | None = None,
) -> hv.Overlay:  # fmt: skip
    """One point for each run, side by side."""
    runs, value, error = table["run"].values, table["value"].values, np.nan_to_num(table["error"].values)
    known, at = np.isfinite(value), np.arange(len(runs))
    colour = run_colours(runs, colours)
    bars = hv.Segments((at, value - error, at, value + error, colour), ["number", "value", "to", "high"], "colour")
    columns = (at, value, error, runs.astype(str), table["start"].values, table["stop"].values, colour)
    points = hv.Scatter(columns, "number", ["value", "error", "run", "start", "stop", "colour"]).opts(
        color=hv.dim("colour"), size=8, nonselection_alpha=1,
        hover_tooltips=[("run", "@run"), ("UTC", "@start{%F %T} to @stop{%F %T}"), (label, with_error("value"))],
        hover_formatters=printf("value", "error") | {"@start": "datetime", "@stop": "datetime"},
    )  # fmt: skip
    hooks = [theme.figure] + ([] if shade is None else [lambda plot, _: plot.state.add_layout(shade)])
    return hv.Overlay([bars.opts(color=hv.dim("colour"), line_width=1), points]).opts(
        title=title, fontsize=theme.SIZES, xlabel="run", ylabel=label, responsive=True, show_grid=True, hooks=hooks,
        xticks=list(zip(at.tolist(), map(str, runs.tolist()), strict=True)), xlim=(-0.6, len(runs) - 0.4),
        ylim=limits([*(value - error)[known], *(value + error)[known]]), default_tools=TOOLS,
    )  # fmt: skip


def time_limits(times: NDArray[np.datetime64]) -> tuple[np.datetime64, np.datetime64]:
    """Ends of a run's time axis: its snapshots, and one median interval before the first."""
    step = np.median(np.diff(times)) if len(times) > 1 else np.timedelta64(60, "s")
    return times[0] - step, times[-1] + step / 3


def _marks(
    table: xr.Dataset, timeline: Timeline, places: NDArray[np.datetime64], runs: NDArray[np.int64],
    gaps: Sequence[tuple[np.datetime64, np.datetime64, int]],
) -> list[hv.Element]:  # fmt: skip
    """Bands where snapshots are missing, lines where counting began anew or a gain is not known."""
    marks = []
    if gaps:
        begin, end, gap_runs = (np.array(column) for column in zip(*gaps, strict=True))
        tip = [("", "gap: snapshots are missing")]
        spans = hv.VSpans(
            (timeline.placed(begin, gap_runs), timeline.placed(end, gap_runs)), [timeline.dimension, "until"]
        )
        marks.append(spans.opts(color=theme.TICK, alpha=0.28, line_color=None, hover_tooltips=tip))
    if table["restart"].values.any():
        lines = hv.VLines(places[table["restart"].values], timeline.dimension)
        tip = [("", "restart: entries or bins fell, counting started again at zero")]
        marks.append(lines.opts(color=theme.VERMILION, line_dash="dashed", line_width=1.2, hover_tooltips=tip))
    for bit, words in _UNKNOWN.items():
        if "state" in table.coords and (there := bit.is_set(table["state"].values)).any():
            lines = hv.VLines(places[there], timeline.dimension)
            marks.append(lines.opts(color=theme.TICK, line_dash="dotted", line_width=1.2, hover_tooltips=[("", words)]))
    return marks


def _rug(places: NDArray[np.datetime64], time: hv.Dimension, low: float, high: float) -> hv.Segments:
    """Pale ticks on the lower edge."""
    foot = np.full(len(places), low)
    ticks = hv.Segments((places, foot, places, foot + (high - low) * 0.03), [time, "value", "to", "high"])
    return ticks.opts(color=theme.TICK, line_width=1.5)


def run_colours(runs: NDArray[np.int64], colours: Mapping[int, str] | None) -> NDArray[Any]:
    """The colour of each point, from its run."""
    return np.array([(colours or {}).get(run, theme.BLUE) for run in runs.tolist()], dtype=object)


def apart(
    places: NDArray[np.datetime64], value: NDArray[np.float64], runs: NDArray[np.int64]
) -> tuple[NDArray[np.datetime64], NDArray[np.float64]]:  # fmt: skip
    """Points with a hole before each new run."""
    ends = np.flatnonzero(np.diff(runs)) + 1
    return np.insert(places, ends, places[ends]), np.insert(value, ends, np.nan)


def _seconds(low: np.datetime64, high: np.datetime64) -> float:
    return float((high - low) / np.timedelta64(1, "s"))


def _milliseconds(time: np.datetime64) -> float:
    return float((time - np.datetime64(0, "ms")) / np.timedelta64(1, "ms"))
