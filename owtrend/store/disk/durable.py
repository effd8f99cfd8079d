"""Files of a local store on the disk itself, so that a power loss takes nothing that was reported committed."""

import ctypes
import functools
import os
from pathlib import Path
from typing import Any

from owtrend.errors import StoreError

__all__ = ["is_wanted", "sync_everything", "sync_file"]


def is_wanted() -> bool:
    """False if ``OWTREND_SYNC=never`` trades safety from power losses for time."""
    return os.environ.get("OWTREND_SYNC", "commit") != "never"


def sync_everything(folder: Path) -> None:
    """Wait until all that was written to the file system of a folder is on its disk.

    Icechunk does not say which files a commit wrote, and a listing of millions takes longer than the disk.

    Raises
    ------
    StoreError
        If the disk reports that it lost something.
    """
    syncfs = _syncfs()
    if syncfs is None:
        os.sync()
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if syncfs(handle) != 0:
            raise _refused(folder, os.strerror(ctypes.get_errno()))
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Wait until a file and its name are on the disk.

    Raises
    ------
    StoreError
        If the disk refuses.
    """
    for name, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
        try:
            handle = os.open(name, flags)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise _refused(name, error.strerror or str(error)) from error


def _refused(path: Path, why: str) -> StoreError:
    return StoreError(
        f"{path}: the disk did not keep what was written ({why}); what came last may be lost, check the disk"
    )


@functools.cache
def _syncfs() -> Any:
    """The system call of Linux; None elsewhere."""
    library = ctypes.CDLL(None, use_errno=True)
    return getattr(library, "syncfs", None)
