"""A list of the newest incidents; choosing one leads to its histogram."""
# mypy: allow-untyped-calls

from typing import Any

import panel as pn

from dashboards.pages.turn import when_shown
from dashboards.pictures import theme
from dashboards.state import interval
from dashboards.state.findings import Incident, latest, reductor_for
from dashboards.state.session import Session

__all__ = ["Incidents"]


class Incidents(pn.viewable.Viewer):
    """A list in which a user chooses an incident; the view goes to its most significant histogram and its interval.

    The trend is one that shows it: entries of the bins that deviate, the mean where it moved, or all entries.

    The list is filled once the page is in the browser, after the pictures. It shows the incident until the user looks
    at something else.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.incidents: tuple[Incident, ...] = ()
        self.list = pn.widgets.Select(
            label="Incidents", options={"…": 0}, value=0, sizing_mode="stretch_width", margin=(0, 0, 10, 0),
            stylesheets=[theme.WIDGETS],
        )  # fmt: skip
        self._incident_shown: tuple[Any, ...] = ()
        self._filling = False
        when_shown(self._fill)
        self.list.param.watch(self._choose, "value")
        session.watch(self._follow, ["run", "subsystem", "histogram", "start", "stop"])
        session.watch(lambda _: self._fill(), ["archive"])

    def _fill(self) -> None:
        """List the incidents; the chosen one stays chosen if it is among them."""
        chosen = self.incidents[self.list.value - 1].label if self.list.value else ""
        self.incidents = latest(self.session.archive)
        first = f"{len(self.incidents)} latest: choose one…" if self.incidents else "none"
        options = {first: 0} | {incident.label: number for number, incident in enumerate(self.incidents, start=1)}
        self._filling = True
        self.list.param.update(options=options, value=options.get(chosen, 0), disabled=not self.incidents)
        self._filling = False

    def _choose(self, event: Any) -> None:
        if self._filling or not event.new:
            return
        incident = self.incidents[event.new - 1]
        subsystems = self.session.archive.runs["subsystems"].get(incident.run, "")
        if incident.subsystem not in subsystems.split(", "):
            return  # nothing but unreadable files
        start, stop = interval.text(incident.start), interval.text(incident.stop)
        place: dict[str, Any] = {"run": incident.run, "subsystem": incident.subsystem, "start": start, "stop": stop}
        if reductor := reductor_for(self.session.archive, incident):
            place |= {"reductor": reductor}
        if incident.histogram is None or self.session.view.every == "run":  # a trend without a place for the interval
            place |= {"every": ""}
        self._incident_shown = ()
        self.session.choose(histogram=incident.histogram, **place)
        self._incident_shown = self._shown

    def _follow(self, _: set[str]) -> None:
        if self._incident_shown and self._incident_shown != self._shown:
            self._incident_shown = ()
            self.list.value = 0

    @property
    def _shown(self) -> tuple[Any, ...]:
        view = self.session.view
        return view.run, view.subsystem, view.histogram, view.start, view.stop

    def __panel__(self) -> pn.viewable.Viewable:
        return self.list
