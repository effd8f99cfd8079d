"""The state of the receiver of a store: a small file next to it, written while `owtrend receive` runs."""

import contextlib
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from owtrend.store.storage import is_local

__all__ = ["STALE_AFTER", "folder_of", "receiver_state", "write_receiver_state"]

STALE_AFTER = 30.0  # [s] without a heartbeat: the receiver has died or hangs
_NAME = "receiver.json"
_LONGEST = 2**20  # [bytes]


def folder_of(location: str | Path) -> Path | None:
    """Where the receiver of a store keeps its spool and state; None if the store is not on a local disk."""
    if not is_local(str(location)):
        return None
    path = Path(location)
    return path.with_name(f"{path.name}.receiver")


def write_receiver_state(folder: Path, state: Mapping[str, Any]) -> None:
    """Put a new state in place of the old one; a disk that is full keeps the old one."""
    new = folder / f".{_NAME}.part"
    with contextlib.suppress(OSError):
        new.write_text(json.dumps(state))
        os.replace(new, folder / _NAME)


def receiver_state(folder: Path | None) -> dict[str, Any] | None:
    """What the receiver said last, with the ``age`` of that [s] and whether it is ``alive``; None if there is none."""
    if folder is None:
        return None
    try:
        with open(folder / _NAME, encoding="utf-8") as file:
            state = json.loads(file.read(_LONGEST))
        age = max(time.time() - (folder / _NAME).stat().st_mtime, 0.0)
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(state, dict):
        return None
    return state | {"age": round(age, 1), "alive": age < STALE_AFTER and state.get("state") != "stopped"}
