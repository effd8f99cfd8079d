"""The column of widgets: runs, subsystem, histogram, projection, reductor and how they are drawn."""
# mypy: allow-untyped-calls

from html import escape
from typing import Any

import panel as pn

from dashboards.pages.incidents import Incidents
from dashboards.pictures import histogram, theme
from dashboards.state import load, region
from dashboards.state.session import MOST, Session
from owtrend.detectors import detector
from owtrend.detectors.options import possible
from owtrend.detectors.protocol import first_fitting

__all__ = ["Controls"]

EVERY = {"snapshot": "", "5 min": "5min", "10 min": "10min", "30 min": "30min", "hour": "1h", "run": "run"}


class Controls(pn.viewable.Viewer):
    """Widgets that change a `Session` and follow it."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        wide: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (0, 0, 10, 0), "stylesheets": [theme.WIDGETS]}
        close = wide | {"margin": (0, 0, 4, 0)}
        self.incidents = Incidents(session)
        self.run = pn.widgets.Select(label="Run", **wide)
        self.subsystem = pn.widgets.Select(label="Subsystem", **wide | {"width": 96, "sizing_mode": None})
        self.add = pn.widgets.Select(label="Compare with", options={"Add a run…": 0}, value=0, **wide)
        self.others = pn.widgets.CheckBoxGroup(inline=True, **wide | {"margin": (-2, 0, 6, 0)})
        self.search = pn.widgets.TextInput(label="Histogram", placeholder="Search…", **close)
        self.group = pn.widgets.Select(label="Group", **close | {"visible": False})
        self._grouped: tuple[str, ...] = ()
        self.histogram = pn.widgets.Select(size=6, **wide | {"sizing_mode": "stretch_both", "css_classes": ["list"]})
        self.axes = pn.widgets.Select(label="Projection", **wide | {"width": 110, "sizing_mode": None})
        self.region = pn.widgets.TextInput(label="Range", **wide)
        self.reductor = pn.widgets.Select(label="Trend of", **close)
        self.every = pn.widgets.Select(label="per", **close | {"width": 104, "sizing_mode": None})
        self.typed = pn.widgets.TextInput(placeholder="or quantile_x(0.9), mean_x(y=2:5)…", **wide)
        self.options = pn.widgets.TextInput(label="Options", **wide | {"visible": False})
        self.log = pn.widgets.Checkbox(label="Log scale", **wide | {"sizing_mode": None, "width": 118})
        self.normalised = pn.widgets.Checkbox(label="Per entry", **wide)
        self.pulls = pn.widgets.Checkbox(label="Pulls against earlier runs", **wide)
        words: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (-4, 0, 8, 0), "stylesheets": [theme.TEXT]}
        self.complaints = {name: pn.pane.HTML("", visible=False, **words) for name in ("region", "reductor", "options")}
        self._projection = pn.Row(self.axes, self.region, sizing_mode="stretch_width", margin=0, styles={"gap": "8px"})
        self._follow()
        session.watch(
            self._follow,
            ["run", "others", "subsystem", "histogram", "reductor", "every", "axes", "region", "log", "normalised",
             "pulls", "options", "cumulative", "complaints", "archive"],
        )  # fmt: skip
        self.search.param.watch(self._follow, "value_input")
        self.group.param.watch(self._follow, "value")
        for name in ("run", "others", "histogram", "reductor", "every", "axes", "log", "normalised", "pulls"):
            getattr(self, name).param.watch(lambda event, name=name: session.choose(**{name: event.new}), "value")
        self.subsystem.param.watch(self._go, "value")
        self.typed.param.watch(self._type, "value")
        self.region.param.watch(self._type_region, "value")
        self.options.param.watch(self._type_options, "value")
        self.add.param.watch(self._add, "value")

    def matching(self, words: str, group: str = "") -> list[str]:
        """Histograms of a group with all of some words in their name, title or label, and the chosen one.

        They are in the order of their groups.
        """
        table, chosen = self.session.loaded.histograms, self.session.view.histogram
        wanted = words.lower().split()
        if not len(table):
            return []
        columns = zip(table.index, table["title"], table["label"], table["group"], strict=True)
        found = [
            (name, of)
            for name, title, label, of in columns
            if name == chosen
            or (group in ("", of) and all(word in f"{name} {title} {label} {of}".lower() for word in wanted))
        ]
        order = {title: number for number, title in enumerate(self._grouped)}
        return [name for name, _ in sorted(found, key=lambda one: order.get(one[1], len(order)))]

    def _go(self, event: Any) -> None:
        """Choose another subsystem and its first histogram; nothing to do if the widget only follows the view."""
        if event.new != self.session.view.subsystem:
            self.session.choose(subsystem=event.new, histogram=None)

    def _add(self, event: Any) -> None:
        if event.new:
            self.session.choose(others=[*self.session.view.others, event.new])

    def _type(self, event: Any) -> None:
        """Choose the reductor that was typed; an empty field removes the complaint and keeps the trend."""
        if event.new or "reductor" in self.session.complaints:
            self.session.choose(reductor=event.new or self.session.view.reductor)
        self._show_texts()  # the browser sends a text twice, when it changes and with the key Enter

    def _type_region(self, event: Any) -> None:
        """Choose the range that was typed."""
        self.session.choose(region=event.new)
        self._show_texts()

    def _type_options(self, event: Any) -> None:
        """Choose the options that were typed."""
        self.session.choose(options=event.new)
        self._show_texts()

    def _follow(self, *_: Any) -> None:
        """Show the view. Options and value change together, so that no widget passes through a choice nobody made."""
        session, view, content = self.session, self.session.view, self.session.loaded.cumulative
        runs = load.runs(session.archive)["start"][::-1]
        labels = {f"{run}  ·  {start:%Y-%m-%d %H:%M}": run for run, start in runs.items()}
        self.run.param.update(options=labels, value=view.run)
        self._show_others(labels)
        self.subsystem.param.update(options=session.subsystems, value=view.subsystem or None)
        self._show_groups()
        names: Any = self.matching(self.search.value_input, self.group.value or "")
        labels_of = session.loaded.histograms.get("label")
        if labels_of is not None and len(self._grouped) > 1:
            names = {labels_of[name]: name for name in names}
        if session.asked:
            names = {"choose one…": view.histogram} | (
                names if isinstance(names, dict) else {name: name for name in names}
            )
        self.histogram.param.update(options=names, value=view.histogram or None)
        self._show_projection()
        self._show_options()
        titles = theme.axis_titles(content)
        names = dict.fromkeys([*session.reductors, view.reductor] if view.reductor else session.reductors)
        self.reductor.param.update(
            options={theme.reductor_name(name, titles): name for name in names}, value=view.reductor or None
        )
        lengths = EVERY if view.every in EVERY.values() else EVERY | {view.every: view.every}
        self.every.param.update(options=lengths, value=view.every)
        profile = content is not None and histogram.is_profile(content)
        flat = content is None or len(view.axes or [axis for axis in "xyz" if axis in content.dims]) == 1
        self.log.param.update(value=view.log, disabled=content is None or (profile and flat))
        self.normalised.param.update(value=view.normalised, disabled=content is None or profile)
        self.pulls.param.update(value=view.pulls, disabled=content is None)
        for name, pane in self.complaints.items():
            why = session.complaints.get(name, "")
            pane.param.update(object=f'<div class="wrong">{escape(why)}</div>', visible=bool(why))
        self._show_texts()

    def _show_groups(self) -> None:
        """The groups of the plug-in, those of an expert first; all of them again for another subsystem or run."""
        table = self.session.loaded.histograms
        groups = tuple(self.session.groups) if len(table) else ()
        if groups != self._grouped:
            self._grouped = groups
            self.group.param.update(options={"All": ""} | {title: title for title in groups}, value="")
        self.group.visible = len(groups) > 1

    def _show_options(self) -> None:
        """The field for options of the plug-in, where they change what is shown."""
        known = detector(self.session.view.subsystem)
        name = self.session.view.histogram
        matters = known.display(name).per_event or first_fitting(known.hot_channels, name) is not None
        shown = matters and bool(known.options)
        about = "\n".join(f"{one.name}: {one.help} ({one.expects})" for one in known.options)
        self.options.param.update(visible=shown, placeholder=possible(known), description=about or None)

    def _show_texts(self) -> None:
        """Show typed texts as the view has them; a wrong one stays, to be corrected."""
        session, view = self.session, self.session.view
        if "reductor" not in session.complaints:
            _set(self.typed, "" if view.reductor in session.reductors else view.reductor)
        if "region" not in session.complaints:
            _set(self.region, view.region)
        if "options" not in session.complaints:
            _set(self.options, view.options)

    def _show_others(self, labels: dict[str, int]) -> None:
        """Other runs shown, ticked, and those that can be added."""
        view = self.session.view
        free = {label: run for label, run in labels.items() if run not in (view.run, *view.others)}
        full = len(view.others) == MOST or not free
        self.add.param.update(options={"Add a run…": 0} | free, disabled=full)
        _set(self.add, 0)
        others = list(view.others)
        self.others.param.update(options={str(run): run for run in others}, value=others, visible=bool(others))

    def _show_projection(self) -> None:
        view, content = self.session.view, self.session.loaded.cumulative
        choices = region.choices(content)
        self._projection.visible = len(choices) > 1
        titles = theme.axis_titles(content)
        self.axes.param.update(options={axes or "xy": axes for axes in choices}, value=view.axes)
        summed = [] if content is None else region.summed_over(content, view.axes)
        self.region.disabled = not summed
        spans = [region.region_text({axis: region.span(content, axis)}) for axis in summed]
        self.region.param.update(
            label=f"Range of {' and '.join(titles[axis] or axis for axis in summed)}" if summed else "Range",
            placeholder=", ".join(spans),
        )

    def __panel__(self) -> pn.viewable.Viewable:
        row: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0, "styles": {"gap": "8px"}}
        return pn.Column(
            self.incidents, self.run, pn.Row(self.subsystem, self.add, **row), self.others,
            pn.Row(self.search, self.group, **row), self.histogram, self._projection, self.complaints["region"],
            pn.Row(self.reductor, self.every, **row), self.typed, self.complaints["reductor"],
            self.options, self.complaints["options"], pn.Row(self.log, self.normalised, **row), self.pulls,
            sizing_mode="stretch_both", margin=0,
        )  # fmt: skip


def _set(widget: pn.widgets.Widget, value: Any) -> None:
    """Set a widget's value once its own event is over; until then nothing is sent back to it."""
    doc = pn.state.curdoc
    if widget.value == value:
        return
    if doc is None or doc.session_context is None:
        widget.value = value
    else:
        doc.add_next_tick_callback(lambda: widget.param.update(value=value))
