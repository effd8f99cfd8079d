"""The view of one user: everything chosen, and the page address that restores it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from urllib.parse import urlencode

import numpy as np

from dashboards.state import interval
from owtrend.detectors import detector

__all__ = ["ADDRESS", "View", "from_address"]

ADDRESS = {
    "run": "run", "others": "with", "subsystem": "subsystem", "histogram": "histogram", "reductor": "reductor",
    "every": "every", "axes": "axes", "region": "range", "start": "start", "stop": "stop", "log": "log",
    "normalised": "norm", "pulls": "pulls", "options": "options",
}  # fmt: skip


@dataclass(frozen=True)
class View:
    """Everything that one user chose, and nothing that was read for it.

    Parameters
    ----------
    run, others
        The chosen run, and further runs shown with it.
    histogram
        Displayed name.
    every
        Interval of a trend's points: ``""`` (a snapshot), a length such as ``10min``, or ``run``.
    axes
        Axes onto which the histogram is projected; ``""`` shows it unprojected, or the first two axes of three.
    region
        Range of the axes that are summed over, such as ``y=2:5``; ``""`` is all bins.
    start, stop
        Times of snapshots, UTC; None at the run's ends.
    log
        Logarithmic contents: heights in 1-D, colours in 2-D.
    normalised
        Contents per entry.
    pulls
        Compare the time slice with a reference, bin by bin.
    options
        Options of the detector that differ from their defaults, such as ``scale_events=no``.
    """

    run: int | None = None
    others: tuple[int, ...] = ()
    subsystem: str = ""
    histogram: str = ""
    reductor: str = ""
    every: str = ""
    axes: str = ""
    region: str = ""
    start: np.datetime64 | None = None
    stop: np.datetime64 | None = None
    log: bool = False
    normalised: bool = False
    pulls: bool = False
    options: str = ""

    @property
    def address(self) -> str:
        """The query of a link that restores this view, such as ``?run=300000&subsystem=EMC&...``."""
        # With other runs, contents per entry are the default, so that the address must say if they are not wanted.
        texts = {field.name: str(getattr(self, field.name) or "") for field in fields(self)} | {
            "others": ",".join(map(str, self.others)),
            "start": "" if self.start is None else interval.text(self.start),
            "stop": "" if self.stop is None else interval.text(self.stop),
            "log": "1" if self.log else "0" if detector(self.subsystem).display(self.histogram).log else "",
            "normalised": "1" if self.normalised else "0" if self.others else "",
            "pulls": "1" if self.pulls else "",
        }
        return "?" + urlencode({ADDRESS[name]: text for name, text in texts.items() if text}, safe="/:,()=")


def from_address(query: Mapping[str, str]) -> dict[str, str]:
    """The choices in the query of an address, as `Session.choose` takes them."""
    return {name: query[key] for name, key in ADDRESS.items() if key in query}
