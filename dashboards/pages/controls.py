"""The column of widgets beside a page: which runs, subsystem, histogram, projection and reductor."""
# mypy: allow-untyped-calls

from html import escape
from typing import Any

import panel as pn

from dashboards.pages.incidents import Incidents
from dashboards.pictures import histogram, theme
from dashboards.state import region
from dashboards.state.view import MOST, Selection

__all__ = ["Controls"]

EVERY = {"snapshot": "", "5 min": "5min", "10 min": "10min", "30 min": "30min", "hour": "1h", "run": "run"}


class Controls(pn.viewable.Viewer):
    """Widgets that change a `Selection` and follow it."""

    def __init__(self, selection: Selection) -> None:
        super().__init__()
        self.selection = selection
        wide: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (0, 0, 10, 0), "stylesheets": [theme.WIDGETS]}
        close = wide | {"margin": (0, 0, 4, 0)}
        self.incidents = Incidents(selection)
        self.run = pn.widgets.Select(label="Run", **wide)
        self.subsystem = pn.widgets.Select(label="Subsystem", **wide | {"width": 96, "sizing_mode": None})
        self.add = pn.widgets.Select(label="Beside it", options={"Add a run…": 0}, value=0, **wide)
        self.others = pn.widgets.CheckBoxGroup(inline=True, **wide | {"margin": (-2, 0, 6, 0)})
        self.search = pn.widgets.TextInput(label="Histogram", placeholder="Search…", **close)
        self.histogram = pn.widgets.Select(size=6, **wide | {"sizing_mode": "stretch_both", "css_classes": ["list"]})
        self.axes = pn.widgets.Select(label="Projection", **wide | {"width": 110, "sizing_mode": None})
        self.region = pn.widgets.TextInput(label="Range", **wide)
        self.reductor = pn.widgets.Select(label="Trend of", **close)
        self.every = pn.widgets.Select(label="per", **close | {"width": 104, "sizing_mode": None})
        self.typed = pn.widgets.TextInput(placeholder="or quantile_x(0.9), mean_x(y=2:5)…", **wide)
        self.log = pn.widgets.Checkbox(label="Logarithmic", **wide | {"sizing_mode": None, "width": 118})
        self.normalised = pn.widgets.Checkbox(label="Per entry", **wide)
        self.pulls = pn.widgets.Checkbox(label="Pulls beside earlier runs", **wide)
        words: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (-4, 0, 8, 0), "stylesheets": [theme.TEXT]}
        self.wrong = {name: pn.pane.HTML("", visible=False, **words) for name in ("region", "reductor")}
        self._projection = pn.Row(self.axes, self.region, sizing_mode="stretch_width", margin=0, styles={"gap": "8px"})
        self._follow()
        selection.param.watch(
            self._follow,
            ["run", "others", "subsystem", "histogram", "reductor", "every", "axes", "region", "log", "normalised",
             "pulls", "cumulative", "complaints"],
        )  # fmt: skip
        self.search.param.watch(self._follow, "value_input")
        for name in ("run", "others", "histogram", "reductor", "every", "axes", "region", "log", "normalised", "pulls"):
            getattr(self, name).param.watch(lambda event, name=name: selection.choose(**{name: event.new}), "value")
        self.subsystem.param.watch(self._go, "value")
        self.typed.param.watch(self._type, "value")
        self.add.param.watch(self._add, "value")

    def found(self, words: str) -> list[str]:
        """The histograms whose name or title has all of some words, and the chosen one."""
        table, chosen = self.selection.histograms, self.selection.histogram
        wanted = words.lower().split()
        titles = table["title"] if len(table) else ()
        return [
            name
            for name, title in zip(table.index, titles, strict=True)
            if name == chosen or all(word in f"{name} {title}".lower() for word in wanted)
        ]

    def _go(self, event: Any) -> None:
        """To another subsystem, which has histograms of its own; not where the widget only follows."""
        if event.new != self.selection.subsystem:
            self.selection.choose(subsystem=event.new, histogram=None)

    def _add(self, event: Any) -> None:
        if event.new:
            self.selection.choose(others=[*self.selection.others, event.new])

    def _type(self, event: Any) -> None:
        """Show the reductor that was typed; an empty field takes a complaint back, and keeps the trend."""
        chosen = self.selection
        if event.new or "reductor" in chosen.complaints:
            chosen.choose(reductor=event.new or chosen.reductor)

    def _follow(self, *_: Any) -> None:
        """Show the selection; options and value together, so that no widget passes through a choice nobody made."""
        chosen, content = self.selection, self.selection.cumulative
        runs = chosen.archive.runs["start"][::-1]
        labels = {f"{run}  ·  {start:%Y-%m-%d %H:%M}": run for run, start in runs.items()}
        self.run.param.update(options=labels, value=chosen.run)
        self._show_others(labels)
        self.subsystem.param.update(options=chosen.subsystems, value=chosen.subsystem or None)
        self.histogram.param.update(options=self.found(self.search.value_input), value=chosen.histogram or None)
        self._show_projection()
        titles = theme.axis_titles(content)
        names = dict.fromkeys([*chosen.reductors, chosen.reductor] if chosen.reductor else chosen.reductors)
        self.reductor.param.update(
            options={theme.reductor_name(name, titles): name for name in names}, value=chosen.reductor or None
        )
        lengths = EVERY if chosen.every in EVERY.values() else EVERY | {chosen.every: chosen.every}
        self.every.param.update(options=lengths, value=chosen.every)
        profile = content is not None and histogram.is_profile(content)
        flat = content is None or len(chosen.axes or [axis for axis in "xyz" if axis in content.dims]) == 1
        self.log.param.update(value=chosen.log, disabled=content is None or (profile and flat))
        self.normalised.param.update(value=chosen.normalised, disabled=content is None or profile)
        self.pulls.param.update(value=chosen.pulls, disabled=content is None)
        for name, pane in self.wrong.items():
            why = chosen.complaints.get(name, "")
            pane.param.update(object=f'<div class="wrong">{escape(why)}</div>', visible=bool(why))
        if "reductor" not in chosen.complaints:  # what is wrong stays, to be mended
            _bring(self.typed, "" if chosen.reductor in chosen.reductors else chosen.reductor)
        if "region" not in chosen.complaints:
            _bring(self.region, chosen.region)

    def _show_others(self, labels: dict[str, int]) -> None:
        """Those that are beside the run, ticked, and those that can be added."""
        chosen = self.selection
        free = {label: run for label, run in labels.items() if run not in (chosen.run, *chosen.others)}
        full = len(chosen.others) == MOST or not free
        self.add.param.update(options={"Add a run…": 0} | free, disabled=full)
        _bring(self.add, 0)
        beside = list(chosen.others)
        self.others.param.update(options={str(run): run for run in beside}, value=beside, visible=bool(beside))

    def _show_projection(self) -> None:
        chosen, content = self.selection, self.selection.cumulative
        choices = region.choices(content)
        self._projection.visible = len(choices) > 1
        titles = theme.axis_titles(content)
        first = "all" if len(titles) < 3 else "xy"
        self.axes.param.update(options={axes or first: axes for axes in choices}, value=chosen.axes)
        gone = [] if content is None else region.summed_over(content, chosen.axes)
        self.region.disabled = not gone
        spans = [region.region_text({axis: region.span(content, axis)}) for axis in gone]
        self.region.param.update(
            label=f"Range of {' and '.join(titles[axis] or axis for axis in gone)}" if gone else "Range",
            placeholder=", ".join(spans),
        )

    def __panel__(self) -> pn.viewable.Viewable:
        row: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0, "styles": {"gap": "8px"}}
        return pn.Column(
            self.incidents, self.run, pn.Row(self.subsystem, self.add, **row), self.others, self.search, self.histogram,
            self._projection, self.wrong["region"], pn.Row(self.reductor, self.every, **row), self.typed,
            self.wrong["reductor"], pn.Row(self.log, self.normalised, **row), self.pulls,
            sizing_mode="stretch_both", margin=0,
        )  # fmt: skip


def _bring(widget: pn.widgets.Widget, value: Any) -> None:
    """Give a widget a value, as soon as its own event is over: what it sent is not sent back to it until then."""
    doc = pn.state.curdoc
    if widget.value == value:
        return
    if doc is None or doc.session_context is None:
        widget.value = value
    else:
        doc.add_next_tick_callback(lambda: widget.param.update(value=value))
