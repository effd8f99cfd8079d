"""What is newer in a store than what a session shows, and the choice that leads there."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import owtrend
from dashboards.state import interval, load
from dashboards.state.load import Loaded
from dashboards.state.view import View

__all__ = ["News", "news"]


@dataclass(frozen=True)
class News:
    """One sentence, and what `Session.choose` takes to show what is new; nothing if it is shown."""

    words: str
    choice: Mapping[str, Any] = field(default_factory=dict)

    def is_shown(self, view: View) -> bool:
        """True if a view has all of the choice."""
        return all(getattr(view, name) == value for name, value in self.choice.items())


def news(
    before: owtrend.Archive, now: owtrend.Archive, view: View, loaded_before: Loaded, loaded: Loaded
) -> News | None:  # fmt: skip
    """What a newer state of the store adds, as far as it concerns a view; None if it adds nothing to it."""
    known, every = load.runs(before), load.runs(now)
    added = every.index.difference(known.index)
    if len(added) and not known.empty:
        newest = int(every.loc[added, "start"].idxmax())
        return News(f"Run {newest} is new.", {"run": newest, "start": None, "stop": None})
    if loaded.cumulative is None or loaded.cumulative is loaded_before.cumulative:
        return None
    until = interval.text(loaded.cumulative["time"].values[-1])[-8:]
    if view.stop is None:
        return News(f"New data until {until} UTC.")
    return News(f"Run {view.run} has new data until {until} UTC.", {"stop": None})
