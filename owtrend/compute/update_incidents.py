"""Findings of unreadable files, and incidents, brought up to date once a store is scored."""

from collections.abc import Callable, Sequence

from owtrend.quality.results import origins, updated_incidents
from owtrend.quality.unreadable import unreadable
from owtrend.store.reader import Reader
from owtrend.store.transaction import Transaction

__all__ = ["rejoin"]


def rejoin(reader: Reader, begin: Callable[[], Transaction], accepted: Sequence[str] = ()) -> None:
    """Store the incidents of all findings, and what was ``accepted`` when they were made.

    Only runs whose findings changed are read.
    """
    files = [finding.to_json() for finding in unreadable(reader)]
    now = origins(reader, files)
    lines = [origin.to_json() for origin in now]
    if (reader.quality("origin"), reader.quality("accepted")) == (lines, [*accepted]):
        return
    joined = [incident.to_json() for incident in updated_incidents(reader, now, files)]
    transaction = begin()
    transaction.write_quality(unreadable=files, incidents=joined, origin=lines, accepted=accepted)
    transaction.commit(f"{len(joined)} incidents")
