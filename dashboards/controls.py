"""The column of widgets beside a page: which run, subsystem, histogram and reductor; the histograms are searchable."""
# mypy: allow-untyped-calls

from typing import Any

import panel as pn

from dashboards import elements, theme
from dashboards.selection import Selection

__all__ = ["Controls"]


class Controls(pn.viewable.Viewer):
    """Widgets that change a `Selection` and follow it."""

    def __init__(self, selection: Selection) -> None:
        super().__init__()
        self.selection = selection
        wide: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": (0, 0, 12, 0), "stylesheets": [theme.WIDGETS]}
        self.run = pn.widgets.Select(label="Run", **wide)
        self.subsystem = pn.widgets.Select(label="Subsystem", **wide)
        self.search = pn.widgets.TextInput(label="Histogram", placeholder="Search…", **wide | {"margin": (0, 0, 4, 0)})
        self.histogram = pn.widgets.Select(size=12, **wide | {"sizing_mode": "stretch_both", "css_classes": ["list"]})
        self.reductor = pn.widgets.Select(label="Trend of", **wide)
        self.log = pn.widgets.Checkbox(label="Logarithmic scale", **wide)
        self._follow()
        selection.param.watch(self._follow, ["run", "subsystem", "histogram", "reductor", "log", "cumulative"])
        self.search.param.watch(self._follow, "value_input")
        self.run.param.watch(lambda event: selection.choose(run=event.new), "value")
        self.subsystem.param.watch(lambda event: selection.choose(subsystem=event.new, histogram=None), "value")
        self.histogram.param.watch(lambda event: selection.choose(histogram=event.new), "value")
        self.reductor.param.watch(lambda event: selection.choose(reductor=event.new), "value")
        self.log.param.watch(lambda event: selection.choose(log=event.new), "value")

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

    def _follow(self, *_: Any) -> None:
        """Show the selection; options and value together, so that no widget passes through a choice nobody made."""
        chosen = self.selection
        runs = chosen.archive.runs["start"][::-1]
        labels = {f"{run}  ·  {start:%Y-%m-%d %H:%M}": run for run, start in runs.items()}
        self.run.param.update(options=labels, value=chosen.run)
        self.subsystem.param.update(options=chosen.subsystems, value=chosen.subsystem or None)
        self.histogram.param.update(options=self.found(self.search.value_input), value=chosen.histogram or None)
        names = {theme.reductor_name(name): name for name in chosen.reductors}
        self.reductor.param.update(options=names, value=chosen.reductor or None)
        content = chosen.cumulative
        linear = content is None or (elements.is_profile(content) and "y" not in content.dims)
        self.log.param.update(value=chosen.log, disabled=linear)

    def __panel__(self) -> pn.viewable.Viewable:
        return pn.Column(
            self.run, self.subsystem, self.search, self.histogram, self.reductor, self.log,
            sizing_mode="stretch_both", margin=0,
        )  # fmt: skip
