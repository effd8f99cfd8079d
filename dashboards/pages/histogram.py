"""The page of one histogram: the whole run, a time slice and its pulls, the trends of a reductor and of the scores."""
# mypy: allow-untyped-calls

from hashlib import blake2b
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
import xarray as xr
from bokeh.models import BoxAnnotation, CustomJSTickFormatter
from panel.io import hold

from dashboards.pages import text
from dashboards.pages.controls import Controls
from dashboards.pictures import histogram, scores, theme
from dashboards.pictures.pulls import pulls
from dashboards.pictures.trend import Timeline, time_limits, trend, trend_by_run
from dashboards.state.reference import Compared, compared
from dashboards.state.session import Session
from dashboards.state.slices import Slices, time_slices, whole_runs
from owtrend.detectors import detector
from owtrend.detectors.options import options
from owtrend.errors import OwtrendError
from owtrend.histograms.time_slice import gaps
from owtrend.model import schema

__all__ = ["HistogramPage"]


_NEW_PICTURES = {"cumulative", "further", "others", "axes", "region", "log", "normalised", "reference", "options"}
_REASONS = 3  # lines of findings; more can be scrolled to
_SCORES = 96  # px, the height of their trend: enough to see what is above the threshold


class _Slider(pn.widgets.IntRangeSlider):
    _debounce = 10  # ms in which moves are collected; Panel's 50 are a third of what a redraw may take


class HistogramPage(pn.viewable.Viewer):
    """Pictures and a slider that follow a `Session`: whole run, time slice, trend; scores and pulls if there are any.

    The slider redraws the time slice and its pulls in place. Another histogram has other axes, and so new pictures.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.controls = Controls(session)
        wide: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0, "stylesheets": [theme.TEXT]}
        self.notes, self.heading, self.key, self.facts, self.stale = (pn.pane.HTML("", **wide) for _ in range(5))
        self.why = pn.pane.HTML("", **wide, css_classes=["reasons"])
        self.hot = pn.pane.HTML("", visible=False, **wide)
        self.signs, self.score_signs = (pn.pane.HTML("", **wide, css_classes=["signs"]) for _ in range(2))
        self.slider = _Slider(
            start=0, end=1, value=(0, 1), show_value=False, bar_color=theme.BLUE, stylesheets=[theme.WIDGETS],
            sizing_mode="stretch_width", margin=(4, 42, 8, 86),
        )  # fmt: skip
        self.everything = pn.widgets.Button(
            label="Show whole run", button_style="outline", margin=0, height=26, stylesheets=[theme.WIDGETS]
        )
        both: dict[str, Any] = {"sizing_mode": "stretch_both", "margin": 0}
        self._whole, self._trend = (pn.pane.HoloViews(None, min_height=150, **both) for _ in range(2))
        self._slice = pn.pane.HoloViews(None, min_height=130, styles={"flex": "4 1 0"}, **both)
        self._pulls = pn.pane.HoloViews(None, min_height=110, visible=False, styles={"flex": "3 1 0"}, **both)
        self._scores = pn.pane.HoloViews(None, **both)
        self._score_row = pn.Row(
            self._scores, height=_SCORES, sizing_mode="stretch_width", margin=0, styles={"flex": "none"},
        )  # fmt: skip
        self._wholes, self._slices, self._compared = (hv.streams.Pipe(data=None) for _ in range(3))
        self._drawn: tuple[Any, ...] = ()  # what the pictures that are redrawn in place have in common
        self._shade, self._score_shade = BoxAnnotation(), BoxAnnotation()
        self._pictures = pn.Column(
            pn.Row(
                self._whole, pn.Column(self._slice, self._pulls, **both), **both, min_height=240,
                styles={"flex": "3 1 0", "gap": "12px"},
            ),
            pn.Row(self.facts, self.everything, sizing_mode="stretch_width", margin=(6, 0, 0, 0), min_height=28),
            self.why,
            self.hot,
            self.slider,
            self.stale,
            self.signs,
            pn.Row(self._trend, **both, min_height=150, styles={"flex": "2 1 0"}),
            self.score_signs,
            self._score_row,
            **both,
        )  # fmt: skip
        self._timeline: Timeline | None = None
        self._follow({"cumulative", "findings"})
        session.watch(self._follow, ["start", "stop", "trend", "findings", "notes", "archive", *_NEW_PICTURES])
        self.slider.param.watch(lambda event: self.choose_edges(*event.new), "value")
        self.everything.on_click(lambda _: session.choose(start=None, stop=None))

    def whole_picture(self, data: Slices) -> hv.Element | hv.Overlay:  # HoloViews calls it with `data`
        """The picture of the whole run: all its increments, over restarts."""
        return self._picture(data, f"Whole run · {text.entries(data.content)}")

    def slice_picture(self, data: Slices) -> hv.Element | hv.Overlay:
        """The picture of a time slice."""
        title = "Last value in the time slice" if data.content.attrs["gauge"] else "Time slice"
        picture = self._picture(data, title)
        has_pulls = self.session.loaded.reference is not None
        return picture.opts(xaxis="bare") if has_pulls else picture  # the pulls below have the same axis

    def pulls_picture(self, data: Compared) -> hv.Element | hv.Overlay:
        """The picture of the pulls of a time slice."""
        return pulls(data)

    def _picture(self, slices: Slices, title: str) -> hv.Element | hv.Overlay:
        view = self.session.view
        lines = () if view.axes else detector(view.subsystem).display(view.histogram).lines
        return histogram.histogram(
            slices.shown, title=title, log=view.log, normalised=view.normalised, others=slices.others, lines=lines,
            events=self._events,
        )  # fmt: skip

    def _events(self, content: xr.Dataset) -> float | None:
        """The events in a slice, where the plug-in wants contents per event and somebody counts events."""
        view, known = self.session.view, detector(self.session.view.subsystem)
        scaled = known.display(view.histogram).per_event and known.settings(options(view.options)).get("scale_events")
        if not scaled or content.attrs["gauge"]:
            return None
        try:
            return self.session.archive.events_in(content)
        except OwtrendError:
            return None

    def choose_edges(self, first: int, last: int) -> None:
        """Choose the interval from edge ``first`` to edge ``last``, at least one snapshot."""
        edges = self.session.loaded.edges
        if first >= last:
            first, last = (last - 1, last) if last > 0 else (0, 1)
        self.session.choose(start=edges[first], stop=edges[last] if last < len(edges) - 1 else None)

    def choose_box(self, left: np.datetime64, right: np.datetime64) -> None:
        """Choose the interval of the snapshots between two times, if there are any."""
        times = self.session.loaded.cumulative["time"].values
        first, last = int(np.searchsorted(times, left, side="left")), int(np.searchsorted(times, right, side="right"))
        if first < last:
            self.choose_edges(first, last)

    def choose_nearest(self, when: np.datetime64) -> None:
        """Choose the snapshot nearest to a time; in another run's part of the trend, that run."""
        loaded = self.session.loaded
        run = loaded.run if self._timeline is None else self._timeline.run_at(when)
        if run == loaded.run:
            nearest = int(np.argmin(np.abs(loaded.cumulative["time"].values - when)))
            self.choose_edges(nearest, nearest + 1)
        elif run is not None:
            self.choose_run(run)

    def choose_run(self, run: int) -> None:
        """Choose one of the runs shown; the others stay."""
        view = self.session.view
        self.session.choose(run=run, others=sorted({self.session.loaded.run, *view.others} - {run}))

    def _follow(self, changed: set[str]) -> None:
        """Bring up to date what depends on the parts that changed, in one message to the browser."""
        session = self.session
        with hold():
            self.notes.object = text.notes(session)
            self._pictures.visible = session.loaded.cumulative is not None
            if session.loaded.cumulative is None:
                self.heading.object = self.key.object = ""
                return
            if changed & {"cumulative", "archive"}:
                self.heading.object = text.heading(session)
            if "cumulative" in changed:
                self.slider.format = _clock(session.loaded.edges)
            if changed & {"cumulative", "trend", "findings"}:
                zoom = self._zoom() if "archive" in changed else None
                self._trend.object = self._trend_picture()
                self._show_scores()
                self._set_zoom(zoom)
                stale = text.stale(session)
                self.stale.param.update(object=stale, visible=bool(stale))
            in_place, self._drawn = self._drawn, self._frame()
            if changed & _NEW_PICTURES and in_place == self._drawn:
                self._wholes.send(whole_runs(session))
                self._redraw_slice()
            elif changed & _NEW_PICTURES:
                key = text.key(session, self._colours)
                self.key.param.update(object=key, visible=bool(key))
                self._wholes, self._slices = (hv.streams.Pipe(data=make(session)) for make in (whole_runs, time_slices))
                self._whole.object = hv.DynamicMap(self.whole_picture, streams=[self._wholes])
                self._slice.object = hv.DynamicMap(self.slice_picture, streams=[self._slices])
                self._show_pulls()
            elif changed & {"start", "stop"}:
                self._redraw_slice()
            self.facts.object = text.slice_facts(self._slices.data.content)
            self.why.object = text.why(session)
            hot = text.hot_channels(session, self._slices.data.content)
            self.hot.param.update(object=hot, visible=bool(hot))
            self._show_interval()

    def _redraw_slice(self) -> None:
        self._slices.send(time_slices(self.session))
        if self.session.loaded.reference is not None:
            self._compared.send(self._compare())

    def _frame(self) -> tuple[Any, ...]:
        """Equal as long as new rows can be drawn into the pictures that are there, which keeps their zoom."""
        view, loaded = self.session.view, self.session.loaded
        shape = [
            (
                one.attrs,
                [blake2b(schema.edges(one, axis).tobytes()).digest() for axis in schema.axes_of(one)],
                _labels(one),
            )
            for one in (loaded.cumulative, *loaded.further.values())
        ]
        choices = view.axes, view.region, view.log, view.normalised, view.others, view.options, loaded.reference is None
        return view.run, *choices, tuple(loaded.further), shape

    def _zoom(self) -> tuple[Any, Any] | None:
        """The part of the time axis that the user zoomed into; None if all of it is shown."""
        for plot, _ in self._trend._plots.values():
            shown = plot.handles["x_range"]
            if (shown.start, shown.end) != (shown.reset_start, shown.reset_end):
                return shown.start, shown.end
        return None

    def _set_zoom(self, zoom: tuple[Any, Any] | None) -> None:
        if zoom is not None:
            for plot, _ in (*self._trend._plots.values(), *self._scores._plots.values()):
                plot.handles["x_range"].update(start=zoom[0], end=zoom[1])

    def _show_interval(self) -> None:
        """Move the slider and the shade on the trends to the interval."""
        view, loaded = self.session.view, self.session.loaded
        edges = loaded.edges
        first = edges.index(view.start)
        last = len(edges) - 1 if view.stop is None else edges.index(view.stop)
        self.slider.param.update(start=0, end=len(edges) - 1, value=(first, last))
        self.everything.disabled = (first, last) == (0, len(edges) - 1)
        begin, _ = time_limits(loaded.cumulative["time"].values)
        ends = {"left": begin if view.start is None else view.start, "right": edges[last]}
        self._score_shade.update(**ends)
        if view.every == "run":
            at = self.session.runs.index(loaded.run)
            self._shade.update(left=at - 0.4, right=at + 0.4)
            return
        self._shade.update(**ends)

    def _show_pulls(self) -> None:
        """The picture of the pulls, if they are wanted."""
        self._pulls.visible = self.session.loaded.reference is not None
        if self.session.loaded.reference is None:
            self._pulls.object = None
            return
        self._compared = hv.streams.Pipe(data=self._compare())
        self._pulls.object = hv.DynamicMap(self.pulls_picture, streams=[self._compared])

    def _compare(self) -> Compared:
        session, slices = self.session, self._slices.data
        return compared(slices.content, slices.shown, session.loaded.reference, session.view.axes, session.ranges)

    def _show_scores(self) -> None:
        """The trend of the scores, on the same times as the trend of the reductor."""
        session, found, table = self.session, self.session.loaded.findings, self.session.loaded.trend
        kinds = found.rows.loc[found.rows["run"] == session.loaded.run, "score"].nunique()
        self.why.height = min(max(kinds, 1), _REASONS) * 20 + 2  # the same while the slider moves
        self._score_shade = _shade()
        self._score_row.visible = self.score_signs.visible = found.scores is not None
        if found.scores is None:
            self._scores.object = None
            return
        by_time = table is not None and session.view.every != "run"
        self._score_row.height = _SCORES if by_time else 2 * _SCORES
        timeline = self._timeline or Timeline.from_table(table if by_time else found.scores, session.loaded.run)
        if len(session.runs) > 1:
            self._timeline = timeline
        self._scores.object = picture = scores.score_trend(
            found.scores, found.rows, timeline, title="Score", shade=self._score_shade, colours=self._colours,
            times=not by_time,
        )  # fmt: skip
        self.score_signs.object = scores.key(found.rows, found.scores["threshold"].values)
        hv.streams.BoundsX(source=picture).add_subscriber(self._boxed_score)
        hv.streams.SingleTap(source=picture).add_subscriber(self._tapped_score)

    @property
    def _colours(self) -> dict[int, str]:
        """The colour of each run; the chosen one is blue."""
        loaded = self.session.loaded
        return {loaded.run: theme.BLUE, **dict(zip(loaded.further, theme.RUNS, strict=False))}

    def _trend_picture(self) -> hv.Overlay | None:
        session, loaded, every = self.session, self.session.loaded, self.session.view.every
        self._timeline = None
        self._shade = _shade()
        if loaded.trend is None:
            return None
        reductor, titles = session.view.reductor, theme.axis_titles(loaded.cumulative)
        options: dict[str, Any] = {
            "title": f"Trend · {theme.reductor_name(reductor, titles)} per {every or 'snapshot'}",
            "label": theme.reductor_name(reductor, titles, ranges=False),  # the axis is too short for more
            "shade": self._shade, "colours": self._colours,
        }  # fmt: skip
        if "run" in loaded.trend.dims:
            picture, signs = trend_by_run(loaded.trend, **options), []
        else:
            if len(session.runs) > 1:
                self._timeline = Timeline.from_table(loaded.trend, loaded.run)
            missing = [
                (*ends, run)
                for run, cumulative in {loaded.run: loaded.cumulative, **loaded.further}.items()
                for ends in gaps(cumulative)
            ]
            picture = trend(loaded.trend, gaps=missing, timeline=self._timeline, **options)
            signs = ["no report"] * (not loaded.trend["reported"].values.all())
            signs += ["restart"] * bool(loaded.trend["restart"].values.any()) + ["gap"] * bool(missing)
        self.signs.object = text.signs(signs)
        hv.streams.BoundsX(source=picture).add_subscriber(self._boxed)
        hv.streams.SingleTap(source=picture).add_subscriber(self._tapped)
        return picture

    def _boxed(self, boundsx: tuple[np.datetime64, np.datetime64] | None) -> None:
        if boundsx is not None and self.session.view.every != "run":
            self.choose_box(*boundsx)

    def _boxed_score(self, boundsx: tuple[np.datetime64, np.datetime64] | None) -> None:
        if boundsx is not None:
            self.choose_box(*boundsx)

    def _tapped_score(self, x: Any, y: float | None) -> None:
        if x is not None:
            self.choose_nearest(x)

    def _tapped(self, x: Any, y: float | None) -> None:
        if x is not None and self.session.view.every == "run":
            self.choose_run(self.session.runs[min(max(round(x), 0), len(self.session.runs) - 1)])
        elif x is not None:
            self.choose_nearest(x)

    def __panel__(self) -> pn.viewable.Viewable:
        padding = {
            "padding": "14px 20px 6px 20px", "box-sizing": "border-box", "min-width": "640px",
            "overflow": "hidden auto",
        }  # fmt: skip
        return pn.Column(
            self.notes, self.heading, self.key, self._pictures, sizing_mode="stretch_both", margin=0, styles=padding
        )


def _shade() -> BoxAnnotation:
    return BoxAnnotation(fill_color=theme.BLUE, fill_alpha=0.1, line_color=None, level="underlay")


def _labels(content: Any) -> list[list[str]]:
    return [content[name].values.tolist() for name in sorted(map(str, content.coords)) if name.endswith("_label")]


def _clock(edges: list[np.datetime64 | None]) -> CustomJSTickFormatter:
    """Slider positions -> UTC times of the edges."""
    names = ["run start" if edge is None else text.time_text(edge) for edge in edges]
    return CustomJSTickFormatter(args={"names": names}, code="return names[Math.round(tick)]")
