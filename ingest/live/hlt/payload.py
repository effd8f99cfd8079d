"""Payloads of the spool <-> messages of the HLT, and the snapshots in them.

A payload is the frames of one message, each after its length, and before them the class layouts that the same sender
announced earlier if the message has none: so it is decoded without any other.
"""

import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ingest.decode.compression import Buffer
from ingest.decode.histogram import reason
from ingest.decode.streamer import DAMAGE
from ingest.decode.template import LazyHistograms
from ingest.limits import Budget, Limits, OverBudget
from ingest.live.hlt.objects import MessageReader, ObjectsRead
from ingest.live.hlt.wire import Reply, read_reply
from owtrend.display import printable
from owtrend.errors import SnapshotError
from owtrend.model.snapshot import Snapshot

__all__ = ["KIND", "LIMITS", "Decoded", "decode_frames", "decode_payload", "joined", "split"]

KIND = "hlt"
LIMITS = Limits(megabytes=1000)  # messages of 200 MB, which float32 contents double
_MAGIC = b"OWTHLT1\n"
_LENGTH = struct.Struct("<Q")
_FRAMES = 2**16 + 2
_per_thread = threading.local()


@dataclass(frozen=True, slots=True)
class Decoded:
    """One reply, and its snapshot."""

    reply: Reply
    snapshot: Snapshot
    lacks_layouts: bool  # an object has a class whose layout nobody knows: ask for layouts again


def joined(frames: Sequence[Buffer]) -> bytes:
    """The bytes of several frames."""
    parts: list[Buffer] = [_MAGIC]
    for frame in frames:
        parts += [_LENGTH.pack(len(frame)), frame]
    return b"".join(parts)


def split(payload: Buffer) -> list[memoryview]:
    """The frames in ``payload``.

    Raises
    ------
    SnapshotError
        If `joined` did not make it, or it is cut short.
    """
    view, position = memoryview(payload), len(_MAGIC)
    if bytes(view[:position]) != _MAGIC:
        raise SnapshotError(f"a payload that begins with {bytes(view[:8])!r}, expected {_MAGIC!r}")
    frames: list[memoryview] = []
    while position < len(view):
        if position + _LENGTH.size > len(view) or len(frames) >= _FRAMES:
            raise SnapshotError("a payload cut short, or of too many frames")
        (length,) = _LENGTH.unpack_from(view, position)
        position += _LENGTH.size
        if length > len(view) - position:
            raise SnapshotError(f"a payload cut short: a frame of {length:,} bytes, {len(view) - position:,} are left")
        frames.append(view[position : position + length])
        position += length
    return frames


def decode_payload(payload: Buffer, meta: Mapping[str, Any]) -> Snapshot:
    """The snapshot in a payload of the kind ``hlt``.

    Parameters
    ----------
    meta
        ``subsystem``, ``time`` [ns UTC] and ``source``, as the receiver gave them.

    Raises
    ------
    SnapshotError
        If there is none; the text says why.
    """
    reader: MessageReader | None = getattr(_per_thread, "reader", None)
    if reader is None:
        reader = _per_thread.reader = MessageReader()
    return decode_frames(split(payload), meta, reader).snapshot


def decode_frames(
    frames: Sequence[Buffer], meta: Mapping[str, Any], reader: MessageReader, limits: Limits = LIMITS
) -> Decoded:
    """One message decoded; its snapshot has no histogram if none could be read.

    Raises
    ------
    SnapshotError
        If it is no reply, or takes more than the limits.
    """
    source = printable(str(meta.get("source", "")), 300)
    budget = Budget(limits, sum(map(len, frames)))
    found = ObjectsRead(budget)
    try:
        reply = read_reply(frames)
        layouts = reader.layouts(reply.layouts, budget)
        for number, one in enumerate(reply.objects, 1):
            reader.read(one, f"object {number}", layouts, found)
    except OverBudget as error:
        reader.forget()
        raise SnapshotError(f"{source}: {error}, or select fewer objects") from error
    except MemoryError as error:
        reader.forget()
        raise SnapshotError(f"{source}: not enough free memory for this message") from error
    except DAMAGE as error:
        raise SnapshotError(f"{source}: {reason(error)}") from error
    info = reply.info
    snapshot = Snapshot(
        histograms=LazyHistograms(found.histograms), subsystem=str(meta["subsystem"]),
        run=None if info is None else info.run, time=np.datetime64(int(meta["time"]), "ns"),
        mode=None if info is None else info.mode, source=source, problems=found.problems,
        unsupported=found.unsupported | reply.others,
    )  # fmt: skip
    return Decoded(reply, snapshot, found.lacks_layouts)
