"""What is new in runs that are on, computed while snapshots come; the numbers are those of one pass."""

from owtrend.compute.live.engine import Live, LiveUpdate, live

__all__ = ["Live", "LiveUpdate", "live"]
