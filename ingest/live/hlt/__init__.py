"""Snapshots of the HLT over ZeroMQ: its messages, a receiver, and a sender for tests and replays."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ingest.live.hlt.payload import decode_payload
    from ingest.live.hlt.receiver import HltReceiver, HltSettings
    from ingest.live.hlt.sender import HltSender

__all__ = ["HltReceiver", "HltSender", "HltSettings", "decode_payload"]

_HOME = {
    "HltReceiver": "ingest.live.hlt.receiver",
    "HltSender": "ingest.live.hlt.sender",
    "HltSettings": "ingest.live.hlt.receiver",
    "decode_payload": "ingest.live.hlt.payload",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'ingest.live.hlt' has no attribute {name!r}")
