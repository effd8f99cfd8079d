"""ROOT files decoded to snapshots and converted to a store; a simulated detector."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingest.archive.ingest import ingest
    from ingest.decode.reader import SnapshotReader
    from ingest.simulator.simulate import simulate

__all__ = ["SnapshotReader", "ingest", "simulate"]

_HOME = {
    "SnapshotReader": "ingest.decode.reader",
    "ingest": "ingest.archive.ingest",
    "simulate": "ingest.simulator.simulate",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'ingest' has no attribute {name!r}")
