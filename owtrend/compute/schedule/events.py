"""What happened in a store: each event as a text that changes when it happens again."""

import hashlib

from owtrend.store.reader import Reader

__all__ = ["QUIET", "observed"]

QUIET = 15 * 60 * 10**9  # without a snapshot a run is over [ns]


def observed(reader: Reader, now: int) -> dict[str, str]:
    """What a store has at a time [ns UTC]: the latest run, the latest that is over, and all its data.

    A run is over when a later one has begun, or nothing came for a quarter of an hour. Runs that are taken in late,
    from an archive, neither start nor end; their data arrive.
    """
    spans: dict[int, tuple[int, int]] = {}
    digest = hashlib.blake2b(digest_size=8)
    for name in reader.subsystems:
        per_run = reader.subsystem(name).per_run
        digest.update(name.encode())
        for column in ("run", "revision", "n_snapshots"):
            digest.update(per_run[column].tobytes())
        shown = per_run["n_snapshots"] > 0
        rows = zip(*(per_run[column][shown].tolist() for column in ("run", "start", "stop")), strict=True)
        for run, start, stop in rows:
            first, last = spans.get(run, (start, stop))
            spans[run] = min(first, start), max(last, stop)
    order = sorted(spans, key=lambda run: (spans[run][0], run))
    over = order if order and now - spans[order[-1]][1] > QUIET else order[:-1]
    return {
        "run started": str(order[-1]) if order else "",
        "run ended": str(over[-1]) if over else "",
        "data arrived": digest.hexdigest(),
    }
