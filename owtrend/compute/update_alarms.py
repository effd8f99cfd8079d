"""Alarms brought up to date once a store has its trends, scores and incidents."""

from datetime import UTC, datetime

from owtrend.quality.alarms.engine import Observed, Status, update
from owtrend.quality.alarms.reconcile import Settings
from owtrend.quality.alarms.sources import coverage
from owtrend.quality.flag import Quality
from owtrend.quality.journal import Journal
from owtrend.quality.results import store_incidents
from owtrend.store.reader import Reader

__all__ = ["update_alarms"]


def update_alarms(reader: Reader, journal: Journal, now: datetime | None = None) -> Status:
    """Bring the alarms of a store up to date.

    Parameters
    ----------
    now
        Time; None: that of the clock.

    Raises
    ------
    StoreError, UsageError
        If the journal cannot be written, or needs a database.
    """
    observed = Observed(incidents=store_incidents(reader), covered=coverage(reader))
    return update(
        journal, observed, Settings(), now=datetime.now(UTC) if now is None else now, incident_quality=Quality.ERROR
    )  # fmt: skip
