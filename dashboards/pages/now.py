"""The page that opens first: is anything wrong, since when, where, and what to do."""
# mypy: allow-untyped-calls

from collections.abc import Callable

import pandas as pd
import panel as pn

from dashboards.pictures import cards
from dashboards.state.now import Now
from owtrend.errors import OwtrendError

__all__ = ["NowPage"]


class NowPage(pn.viewable.Viewer):
    """Tiles of the subsystems, cards of the alarms that are on, and what is over since a day.

    Parameters
    ----------
    read
        Gives what is wrong now, given the time (UTC). It is called at each look, and keeps what it read for a moment.
    """

    def __init__(self, read: Callable[[pd.Timestamp], Now]) -> None:
        super().__init__()
        self._read = read
        self.head, self.body = (
            pn.pane.HTML("", sizing_mode="stretch_width", margin=0, stylesheets=[cards.STYLE]) for _ in range(2)
        )
        self._shown: pd.Timestamp | None = None
        self.look()

    def look(self) -> None:
        """Show what is wrong now; what cannot be read is said, and looked at again the next time."""
        at = pd.Timestamp.now("UTC").tz_localize(None)
        try:
            now = self._read(at)
        except OwtrendError as error:
            self.head.object = cards.trouble(str(error), self._shown)
            return
        self.head.object, self.body.object = cards.head(now, at), cards.whole(now, at)
        self._shown = at

    def __panel__(self) -> pn.viewable.Viewable:
        return pn.Column(self.head, self.body, sizing_mode="stretch_width", margin=0)
