"""What is new in the store, said where it moves nothing, with a button that leads there."""
# mypy: allow-untyped-calls

from html import escape
from typing import Any

import panel as pn

from dashboards.pictures import theme
from dashboards.state.session import Session

__all__ = ["NewsLine"]


class NewsLine(pn.viewable.Viewer):
    """A line that follows the news of a `Session`; empty while there are none."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.words = pn.pane.HTML("", sizing_mode="stretch_width", margin=0, stylesheets=[theme.TEXT])
        self.button = pn.widgets.Button(
            label="Show", button_style="outline", margin=0, height=26, visible=False, stylesheets=[theme.WIDGETS]
        )
        self._follow()
        session.watch(self._follow, ["news"])
        self.button.on_click(self._choose)

    def _follow(self, *_: Any) -> None:
        news = self.session.news
        self.words.object = f'<p class="news" role="status">{escape(news.words)}</p>' if news else ""
        self.button.visible = news is not None and bool(news.choice)

    def _choose(self, _: Any) -> None:
        if self.session.news is not None:
            self.session.choose(**self.session.news.choice)

    def __panel__(self) -> pn.viewable.Viewable:
        return pn.Row(self.words, self.button, sizing_mode="stretch_width", margin=0)
