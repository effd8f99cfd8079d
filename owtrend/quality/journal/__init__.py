"""The journal of a store: what people did about it, what was sent, and the alarms that are on."""

from owtrend.quality.journal.database import FILE
from owtrend.quality.journal.entries import Action, Entry, Journal, login_name

__all__ = ["FILE", "Action", "Entry", "Journal", "login_name"]
