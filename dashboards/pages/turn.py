"""Calls in the next turn of a page, when its browser has what is made now: only then does it see a change."""
# mypy: allow-untyped-calls

from collections.abc import Callable

import panel as pn
from panel.io.state import set_curdoc

__all__ = ["when_shown"]


def when_shown(call: Callable[[], None]) -> None:
    """Call something when the browser has the page as it is made now; at once outside of a server."""
    doc = pn.state.curdoc

    def in_document() -> None:
        with set_curdoc(doc):
            call()

    if doc is None:
        call()
    elif doc.session_context is not None:
        doc.add_next_tick_callback(in_document)
