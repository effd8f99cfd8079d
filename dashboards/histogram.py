"""The page of one histogram: the whole run, a time slice of it, and the trend of a reductor."""
# mypy: allow-untyped-calls

from html import escape
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
import xarray as xr
from bokeh.models import BoxAnnotation, CustomJSTickFormatter
from panel.io import hold

import owtrend
from dashboards import elements, theme
from dashboards.controls import Controls
from dashboards.selection import Selection

__all__ = ["HistogramPage"]


class _Slider(pn.widgets.IntRangeSlider):
    _debounce = 10  # ms in which moves are collected; Panel's 50 are a third of what a redraw may take


class HistogramPage(pn.viewable.Viewer):
    """Three pictures and a slider that follow a `Selection`.

    The slider redraws the time slice in place. Another histogram gives new pictures, for its axes are others.
    """

    def __init__(self, selection: Selection) -> None:
        super().__init__()
        self.selection = selection
        self.controls = Controls(selection)
        text: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0, "stylesheets": [theme.TEXT]}
        self.notes, self.heading, self.facts = (pn.pane.HTML("", **text) for _ in range(3))
        self.slider = _Slider(
            start=0, end=1, value=(0, 1), show_value=False, bar_color=theme.BLUE, stylesheets=[theme.WIDGETS],
            sizing_mode="stretch_width", margin=(0, 42, 8, 86),
        )  # fmt: skip
        self.everything = pn.widgets.Button(
            label="Show whole run", button_style="outline", margin=0, height=26, stylesheets=[theme.WIDGETS]
        )
        both: dict[str, Any] = {"sizing_mode": "stretch_both", "margin": 0}
        self._whole, self._slice, self._trend = (pn.pane.HoloViews(None, min_height=180, **both) for _ in range(3))
        self._slices, self._shade = hv.streams.Pipe(data=None), BoxAnnotation()
        self._pictures = pn.Column(
            pn.Row(self._whole, self._slice, **both, styles={"flex": "3 1 0", "gap": "12px"}),
            pn.Row(self.facts, self.everything, sizing_mode="stretch_width", margin=(6, 0, 4, 0), height=28),
            self.slider,
            pn.Row(self._trend, **both, styles={"flex": "2 1 0"}),
            **both,
        )  # fmt: skip
        self._follow({"cumulative"})
        selection.param.watch(
            lambda *events: self._follow({event.name for event in events}),
            ["cumulative", "start", "stop", "reductor", "log", "notes"],
        )
        self.slider.param.watch(lambda event: self.choose_edges(*event.new), "value")
        self.everything.on_click(lambda _: selection.choose(start=None, stop=None))

    def whole(self) -> hv.Element | hv.Overlay:
        """The picture of the whole run: all increments, with or without restarts."""
        content = owtrend.time_slice(self.selection.cumulative)
        return elements.histogram(content, title=f"Whole run · {_entries(content)}", log=self.selection.log)

    def time_slice(self) -> xr.Dataset:
        """What was gained in the chosen interval."""
        return owtrend.time_slice(self.selection.cumulative, self.selection.start, self.selection.stop)

    def increment(self, data: xr.Dataset) -> hv.Element | hv.Overlay:
        """The picture of a time slice."""
        title = "Last value in the time slice" if data.attrs["gauge"] else "Time slice"
        return elements.histogram(data, title=title, log=self.selection.log)

    def trend(self) -> xr.Dataset:
        """The chosen reductor over the run."""
        chosen = self.selection
        return chosen.archive.trend(chosen.subsystem, chosen.cumulative.attrs["path"], chosen.reductor, run=chosen.run)

    def choose_edges(self, first: int, last: int) -> None:
        """Make the snapshots from edge ``first`` to edge ``last`` the interval, at least one."""
        edges = self.selection.edges
        if first >= last:
            first, last = (last - 1, last) if last > 0 else (0, 1)
        self.selection.choose(start=edges[first], stop=edges[last] if last < len(edges) - 1 else None)

    def choose_box(self, left: np.datetime64, right: np.datetime64) -> None:
        """Make the snapshots between two times the interval, if there are any."""
        times = self.selection.cumulative["time"].values
        first, last = int(np.searchsorted(times, left, side="left")), int(np.searchsorted(times, right, side="right"))
        if first < last:
            self.choose_edges(first, last)

    def choose_nearest(self, when: np.datetime64) -> None:
        """Make the one snapshot nearest to a time the interval."""
        nearest = int(np.argmin(np.abs(self.selection.cumulative["time"].values - when)))
        self.choose_edges(nearest, nearest + 1)

    def _follow(self, changed: set[str]) -> None:
        """Bring up to date what depends on the parameters that changed, in one message to the browser."""
        chosen = self.selection
        with hold():
            notes = "".join(f"<div>{escape(note)}</div>" for note in chosen.notes)
            self.notes.object = f'<div class="note">{notes}</div>' if notes else ""
            self._pictures.visible = chosen.cumulative is not None
            if chosen.cumulative is None:
                self.heading.object = ""
                return
            if "cumulative" in changed:
                self.heading.object = self._heading()
                self.slider.format = _clock(chosen.edges)
            if changed & {"cumulative", "reductor"}:
                self._trend.object = self._trend_picture()
            if changed & {"cumulative", "log"}:
                self._slices = hv.streams.Pipe(data=self.time_slice())
                self._whole.object = self.whole()
                self._slice.object = hv.DynamicMap(self.increment, streams=[self._slices])
            elif changed & {"start", "stop"}:
                self._slices.send(self.time_slice())
            self.facts.object = _facts(self._slices.data)
            self._show_interval()

    def _show_interval(self) -> None:
        """Bring the slider to the interval, and the shade on the trend."""
        chosen, edges = self.selection, self.selection.edges
        first = edges.index(chosen.start)
        last = len(edges) - 1 if chosen.stop is None else edges.index(chosen.stop)
        self.slider.param.update(start=0, end=len(edges) - 1, value=(first, last))
        self.everything.disabled = (first, last) == (0, len(edges) - 1)
        begin, _ = elements.time_limits(chosen.cumulative)
        self._shade.update(left=begin if chosen.start is None else chosen.start, right=edges[last])

    def _trend_picture(self) -> hv.Overlay:
        table, chosen = self.trend(), self.selection
        _, _, letter = chosen.reductor.partition("_")
        axis = chosen.cumulative[letter].attrs["long_name"] if letter in chosen.cumulative.dims else ""
        label = theme.reductor_name(chosen.reductor, theme.plain(axis))
        self._shade = BoxAnnotation(fill_color=theme.BLUE, fill_alpha=0.1, line_color=None, level="underlay")
        picture = elements.trend(table, title=f"Trend · {label} per snapshot", label=label, shade=self._shade)
        hv.streams.BoundsX(source=picture).add_subscriber(self._boxed)
        hv.streams.SingleTap(source=picture).add_subscriber(self._tapped)
        return picture

    def _boxed(self, boundsx: tuple[np.datetime64, np.datetime64] | None) -> None:
        if boundsx is not None:
            self.choose_box(*boundsx)

    def _tapped(self, x: np.datetime64 | None, y: float | None) -> None:
        if x is not None:
            self.choose_nearest(x)

    def _heading(self) -> str:
        """What is shown, and the quality of its data."""
        chosen = self.selection
        times, run = chosen.cumulative["time"].values, chosen.archive.runs.loc[chosen.run]
        start, stop = run["start"], run["stop"]
        clock = "%H:%M:%S" if stop.date() == start.date() else "%Y-%m-%d %H:%M:%S"
        damaged = int((chosen.archive.quarantine["run"] == chosen.run).sum())
        facts = [
            f"Run <b>{chosen.run}</b>",
            f"{start:%Y-%m-%d %H:%M:%S} to {stop:{clock}} UTC",
            f"<b>{_counted(len(times), 'snapshot')}</b> of {escape(chosen.subsystem)}, last at {_time(times[-1])}",
            f'<span class="warn">{damaged} in quarantine</span>' if damaged else "none in quarantine",
        ]
        title = theme.plain(chosen.cumulative.attrs["title"])
        return f"<h1>{escape(chosen.histogram)}<small>{escape(title)}</small></h1><p>{' · '.join(facts)}</p>"

    def __panel__(self) -> pn.viewable.Viewable:
        padding = {"padding": "14px 20px 6px 20px", "box-sizing": "border-box", "min-width": "0"}
        return pn.Column(self.notes, self.heading, self._pictures, sizing_mode="stretch_both", margin=0, styles=padding)


def _facts(content: xr.Dataset) -> str:
    """What there is to say of a time slice, in a line."""
    start, stop = (np.datetime64(content[end].item(), "ns") for end in ("start", "stop"))
    begin = "run start" if np.isnat(start) else _time(start)
    snapshots, reported = int(content["snapshots"]), int(content["reported"])
    parts = [
        f"<b>{begin}</b> to <b>{_time(stop)}</b> UTC",
        f"<b>{_entries(content)}</b>",
        _counted(snapshots, "snapshot"),
        "all reported" if reported == snapshots else f"{reported} reported",
    ]
    for noun in ("restart", "gap"):
        count = int(content[f"{noun}s"])
        parts.append(f'<span class="warn">{_counted(count, noun)}</span>' if count else f"no {noun}s")
    return f"<p>{' · '.join(parts)}</p>"


def _entries(content: xr.Dataset) -> str:
    return f"{float(content['sums'].sel(sum='entries')):,.0f} entries"


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + "s" * (count != 1)


def _time(time: np.datetime64) -> str:
    return str(np.datetime_as_string(time, "s"))[-8:]


def _clock(edges: list[np.datetime64 | None]) -> CustomJSTickFormatter:
    """Slider positions -> UTC times of the edges."""
    names = ["run start" if edge is None else _time(edge) for edge in edges]
    return CustomJSTickFormatter(args={"names": names}, code="return names[Math.round(tick)]")
