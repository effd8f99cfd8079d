"""Genuine messages of ROOT from tests/data/hlt, and all of several messages read at once."""

import struct
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ingest.limits import Budget, Limits
from ingest.live.hlt.objects import MessageReader, ObjectsRead

HLT = Path(__file__).parents[3] / "data" / "hlt"


@cache
def genuine(name: str) -> list[bytes]:
    """The messages in a file, which lie one after the other."""
    content, messages = (HLT / f"{name}.bin").read_bytes(), []
    while content:
        (length,) = struct.unpack_from(">I", content)
        messages.append(content[: length + 4])
        content = content[length + 4 :]
    return messages


def read_messages(
    payloads: Sequence[bytes], layouts: bytes | None, reader: MessageReader | None = None, limits: Limits | None = None
) -> ObjectsRead:
    """Everything in these messages, by the layouts of another one or those that owtrend knows."""
    reader, found = reader or MessageReader(), ObjectsRead(Budget(limits or Limits()))
    by = reader.layouts(layouts, found.budget)
    for number, payload in enumerate(payloads):
        reader.read(payload, f"object {number}", by, found)
    return found
