"""The page of one histogram: the whole run, a time slice and its pulls, the trends of a reductor and of its scores."""
# mypy: allow-untyped-calls

from html import escape
from typing import Any

import holoviews as hv
import numpy as np
import panel as pn
from bokeh.models import BoxAnnotation, CustomJSTickFormatter
from panel.io import hold

from dashboards.pages import text
from dashboards.pages.controls import Controls
from dashboards.pictures import histogram, scores, theme
from dashboards.pictures.pulls import pulls
from dashboards.pictures.trend import Timeline, time_limits, trend, trend_by_run
from dashboards.state.reference import Compared, compared
from dashboards.state.slices import Slices, gaps, time_slices, whole_runs
from dashboards.state.view import Selection

__all__ = ["HistogramPage"]


_SHOWN = {"cumulative", "further", "others", "axes", "region", "log", "normalised", "beside"}  # give new pictures
_REASONS = 3  # lines of what is flagged; more can be scrolled to
_SCORES = 96  # px, the height of their trend: enough to see what is above the threshold


class _Slider(pn.widgets.IntRangeSlider):
    _debounce = 10  # ms in which moves are collected; Panel's 50 are a third of what a redraw may take


class HistogramPage(pn.viewable.Viewer):
    """Pictures and a slider that follow a `Selection`: of the whole run, of a time slice, of the trend; where there are
    any of scores, and if they are wanted of pulls.

    The slider redraws the time slice and its pulls in place. Another histogram gives new pictures, for its axes are
    others.
    """

    def __init__(self, selection: Selection) -> None:
        super().__init__()
        self.selection = selection
        self.controls = Controls(selection)
        text: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0, "stylesheets": [theme.TEXT]}
        self.notes, self.heading, self.key, self.facts = (pn.pane.HTML("", **text) for _ in range(4))
        self.why = pn.pane.HTML("", **text, css_classes=["reasons"])
        self.signs, self.score_signs = (
            pn.pane.HTML("", margin=0, stylesheets=[theme.TEXT], css_classes=["signs"]) for _ in range(2)
        )
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
            self._scores, self.score_signs, height=_SCORES, sizing_mode="stretch_width", margin=0,
            styles={"position": "relative", "flex": "none"},
        )  # fmt: skip
        self._slices, self._compared = hv.streams.Pipe(data=None), hv.streams.Pipe(data=None)
        self._shade, self._score_shade = BoxAnnotation(), BoxAnnotation()
        self._pictures = pn.Column(
            pn.Row(
                self._whole, pn.Column(self._slice, self._pulls, **both), **both,
                styles={"flex": "3 1 0", "gap": "12px"},
            ),
            pn.Row(self.facts, self.everything, sizing_mode="stretch_width", margin=(6, 0, 0, 0), height=28),
            self.why,
            self.slider,
            pn.Row(self._trend, self.signs, **both, styles={"flex": "2 1 0", "position": "relative"}),
            self._score_row,
            **both,
        )  # fmt: skip
        self._timeline: Timeline | None = None
        self._follow({"cumulative", "findings"})
        selection.param.watch(
            lambda *events: self._follow({event.name for event in events}),
            ["start", "stop", "trend", "findings", "notes", *_SHOWN],
        )
        self.slider.param.watch(lambda event: self.choose_edges(*event.new), "value")
        self.everything.on_click(lambda _: selection.choose(start=None, stop=None))

    def whole(self) -> hv.Element | hv.Overlay:
        """The picture of the whole run: all increments, with or without restarts."""
        found = whole_runs(self.selection)
        return self._picture(found, f"Whole run · {text.entries(found.facts)}")

    def increment(self, data: Slices) -> hv.Element | hv.Overlay:
        """The picture of a time slice."""
        picture = self._picture(data, "Last value in the time slice" if data.facts.attrs["gauge"] else "Time slice")
        return picture if self.selection.beside is None else picture.opts(xaxis="bare")  # that of the pulls is below

    def difference(self, data: Compared) -> hv.Element | hv.Overlay:
        """The picture of the pulls of a time slice."""
        return pulls(data)

    def _picture(self, data: Slices, title: str) -> hv.Element | hv.Overlay:
        chosen = self.selection
        return histogram.histogram(
            data.shown, title=title, log=chosen.log, normalised=chosen.normalised, others=data.others
        )

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
        """Make the one snapshot nearest to a time the interval; in another run's part of the trend, choose that run."""
        chosen = self.selection
        run = chosen.run if self._timeline is None else self._timeline.run_at(when)
        if run == chosen.run:
            nearest = int(np.argmin(np.abs(chosen.cumulative["time"].values - when)))
            self.choose_edges(nearest, nearest + 1)
        elif run is not None:
            self.choose_run(run)

    def choose_run(self, run: int) -> None:
        """Make one of the runs shown the chosen one, and keep the others beside it."""
        chosen = self.selection
        chosen.choose(run=run, others=sorted({chosen.run, *chosen.others} - {run}))

    def _follow(self, changed: set[str]) -> None:
        """Bring up to date what depends on the parameters that changed, in one message to the browser."""
        chosen = self.selection
        with hold():
            notes = "".join(f"<div>{escape(note)}</div>" for note in chosen.notes)
            self.notes.object = f'<div class="note">{notes}</div>' if notes else ""
            self._pictures.visible = chosen.cumulative is not None
            if chosen.cumulative is None:
                self.heading.object = self.key.object = ""
                return
            if "cumulative" in changed:
                self.heading.object = text.heading(chosen)
                self.slider.format = _clock(chosen.edges)
            if changed & {"cumulative", "trend", "findings"}:
                self._trend.object = self._trend_picture()
                self._show_scores()
            if changed & _SHOWN:
                told = text.key(chosen, self._colours)
                self.key.param.update(object=told, visible=bool(told))
                self._slices = hv.streams.Pipe(data=time_slices(chosen))
                self._whole.object = self.whole()
                self._slice.object = hv.DynamicMap(self.increment, streams=[self._slices])
                self._show_pulls()
            elif changed & {"start", "stop"}:
                self._slices.send(time_slices(chosen))
                if chosen.beside is not None:
                    self._compared.send(self._compare())
            self.facts.object = text.slice_facts(self._slices.data.facts)
            self.why.object = text.why(chosen)
            self._show_interval()

    def _show_interval(self) -> None:
        """Bring the slider to the interval, and the shade on the trend."""
        chosen, edges = self.selection, self.selection.edges
        first = edges.index(chosen.start)
        last = len(edges) - 1 if chosen.stop is None else edges.index(chosen.stop)
        self.slider.param.update(start=0, end=len(edges) - 1, value=(first, last))
        self.everything.disabled = (first, last) == (0, len(edges) - 1)
        begin, _ = time_limits(chosen.cumulative["time"].values)
        ends = {"left": begin if chosen.start is None else chosen.start, "right": edges[last]}
        self._score_shade.update(**ends)
        if chosen.every == "run":
            at = chosen.runs.index(chosen.run)
            self._shade.update(left=at - 0.4, right=at + 0.4)
            return
        self._shade.update(**ends)

    def _show_pulls(self) -> None:
        """The picture of the pulls, if they are wanted."""
        self._pulls.visible = self.selection.beside is not None
        if self.selection.beside is None:
            self._pulls.object = None
            return
        self._compared = hv.streams.Pipe(data=self._compare())
        self._pulls.object = hv.DynamicMap(self.difference, streams=[self._compared])

    def _compare(self) -> Compared:
        chosen, data = self.selection, self._slices.data
        return compared(data.facts, data.shown, chosen.beside, chosen.axes, chosen.ranges)

    def _show_scores(self) -> None:
        """Their trend below that of the reductor, on the same times."""
        chosen, found = self.selection, self.selection.findings
        kinds = found.flags.loc[found.flags["run"] == chosen.run, "score"].nunique()
        self.why.height = min(max(kinds, 1), _REASONS) * 20 + 2  # the same while the slider moves
        self._score_shade = _shade()
        self._score_row.visible = found.table is not None
        if found.table is None:
            self._scores.object = None
            return
        by_time = chosen.trend is not None and chosen.every != "run"
        self._score_row.height = _SCORES if by_time else 2 * _SCORES
        timeline = self._timeline or Timeline.of(chosen.trend if by_time else found.table, chosen.run)
        if len(chosen.runs) > 1:
            self._timeline = timeline
        self._scores.object = picture = scores.score_trend(
            found.table, found.flags, timeline, title="Score", shade=self._score_shade, colours=self._colours,
            times=not by_time,
        )  # fmt: skip
        self.score_signs.object = scores.key(found.flags, found.table["threshold"].values)
        hv.streams.BoundsX(source=picture).add_subscriber(self._boxed_score)
        hv.streams.SingleTap(source=picture).add_subscriber(self._tapped_score)

    @property
    def _colours(self) -> dict[int, str]:
        """Of the runs: the chosen one is blue."""
        return {self.selection.run: theme.BLUE, **dict(zip(self.selection.further, theme.RUNS, strict=False))}

    def _trend_picture(self) -> hv.Overlay | None:
        chosen, table = self.selection, self.selection.trend
        self._timeline = None
        self._shade = _shade()
        if table is None:
            return None
        label = theme.reductor_name(chosen.reductor, theme.axis_titles(chosen.cumulative))
        per = {"": "snapshot"}.get(chosen.every, chosen.every)
        options: dict[str, Any] = {"title": f"Trend · {label} per {per}", "label": label, "shade": self._shade}
        options["colours"] = self._colours
        if "run" in table.dims:
            picture, shown = trend_by_run(table, **options), []
        else:
            if len(chosen.runs) > 1:
                self._timeline = Timeline.of(table, chosen.run)
            missed = [
                (*ends, run)
                for run, one in {chosen.run: chosen.cumulative, **chosen.further}.items()
                for ends in gaps(one)
            ]
            picture = trend(table, gaps=missed, timeline=self._timeline, **options)
            shown = ["not reported"] * (not table["reported"].values.all())
            shown += ["restart"] * bool(table["restart"].values.any()) + ["gap"] * bool(missed)
        self.signs.object = text.signs(shown)
        hv.streams.BoundsX(source=picture).add_subscriber(self._boxed)
        hv.streams.SingleTap(source=picture).add_subscriber(self._tapped)
        return picture

    def _boxed(self, boundsx: tuple[np.datetime64, np.datetime64] | None) -> None:
        if boundsx is not None and self.selection.every != "run":
            self.choose_box(*boundsx)

    def _boxed_score(self, boundsx: tuple[np.datetime64, np.datetime64] | None) -> None:
        if boundsx is not None:
            self.choose_box(*boundsx)

    def _tapped_score(self, x: Any, y: float | None) -> None:
        if x is not None:
            self.choose_nearest(x)

    def _tapped(self, x: Any, y: float | None) -> None:
        if x is not None and self.selection.every == "run":
            self.choose_run(self.selection.runs[min(max(round(x), 0), len(self.selection.runs) - 1)])
        elif x is not None:
            self.choose_nearest(x)

    def __panel__(self) -> pn.viewable.Viewable:
        padding = {"padding": "14px 20px 6px 20px", "box-sizing": "border-box", "min-width": "0"}
        return pn.Column(
            self.notes, self.heading, self.key, self._pictures, sizing_mode="stretch_both", margin=0, styles=padding
        )


def _shade() -> BoxAnnotation:
    return BoxAnnotation(fill_color=theme.BLUE, fill_alpha=0.1, line_color=None, level="underlay")


def _clock(edges: list[np.datetime64 | None]) -> CustomJSTickFormatter:
    """Slider positions -> UTC times of the edges."""
    names = ["run start" if edge is None else text.time_text(edge) for edge in edges]
    return CustomJSTickFormatter(args={"names": names}, code="return names[Math.round(tick)]")
