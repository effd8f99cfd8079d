"""From what is flagged to its histogram: a list of the newest incidents of a store."""
# mypy: allow-untyped-calls

from typing import Any

import panel as pn

from dashboards.pictures import theme
from dashboards.state import interval
from dashboards.state.findings import Incident, latest
from dashboards.state.view import Selection

__all__ = ["Incidents"]


class Incidents(pn.viewable.Viewer):
    """A list in which an incident is chosen: the selection goes to its surest histogram, in its interval.

    It is filled when the page is in the browser: pictures come first. It shows the incident for as long as one looks
    at it.
    """

    def __init__(self, selection: Selection) -> None:
        super().__init__()
        self.selection = selection
        self.found: tuple[Incident, ...] = ()
        self.list = pn.widgets.Select(
            label="Incidents", options={"…": 0}, value=0, sizing_mode="stretch_width", margin=(0, 0, 10, 0),
            stylesheets=[theme.WIDGETS],
        )  # fmt: skip
        self._at: tuple[Any, ...] = ()
        pn.state.onload(self._fill)
        self.list.param.watch(self._choose, "value")
        selection.param.watch(self._follow, ["run", "subsystem", "histogram", "start", "stop"])

    def _fill(self) -> None:
        self.found = latest(self.selection.archive)
        first = f"{len(self.found)} latest, choose one…" if self.found else "none"
        options = {first: 0} | {one.label: number for number, one in enumerate(self.found, start=1)}
        self.list.param.update(options=options, value=0, disabled=not self.found)

    def _choose(self, event: Any) -> None:
        if not event.new:
            return
        one, chosen = self.found[event.new - 1], self.selection
        start, stop = interval.text(one.start), interval.text(one.stop)
        self._at = ()
        chosen.choose(run=one.run, subsystem=one.subsystem, histogram=one.histogram, start=start, stop=stop)
        self._at = self._shown

    def _follow(self, *_: Any) -> None:
        if self._at and self._at != self._shown:
            self._at = ()
            self.list.value = 0

    @property
    def _shown(self) -> tuple[Any, ...]:
        chosen = self.selection
        return chosen.run, chosen.subsystem, chosen.histogram, chosen.start, chosen.stop

    def __panel__(self) -> pn.viewable.Viewable:
        return self.list
