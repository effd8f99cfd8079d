"""A watched folder: files that are complete go into the spool; nothing in the folder is changed."""

import contextlib
import logging
import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest import naming
from ingest.archive import convert
from ingest.archive.find import find_files
from ingest.live.payloads import FILE, file_meta
from ingest.live.spool import Spool, SpoolError, SpoolFullError
from owtrend.display import printable
from owtrend.errors import OwtrendError, UsageError
from owtrend.model.rows import FileKey
from owtrend.store.quarantine import unreadable_files
from owtrend.store.reader import Reader

__all__ = ["FolderWatch", "hinted", "is_complete", "known_keys"]

_SETTLED = 2  # sweeps in a row with the same size and time, before a file is taken
_PATIENCE = 60  # the same for a file that looks incomplete: whoever wrote it has probably died
_LARGE = 1_000_000  # of ROOT's version: the header has 8-byte numbers
_log = logging.getLogger(__name__)


@dataclass
class _Seen:
    """A file as the last sweeps saw it."""

    size: int
    mtime: int
    sweeps: int = 1
    taken: bool = False


class FolderWatch:
    """Sweeps a folder, with all folders below, for files that are complete; each goes into the spool once.

    A file is taken when two sweeps in a row found it with the same size and time, and its header agrees with its size.
    If it changes after that, it is taken again.

    Parameters
    ----------
    known
        Keys of files that need not be taken, such as those of the store.
    patterns, timezone, accumulation
        As `owtrend ingest` has them.

    Raises
    ------
    UsageError
        If there is no such folder.
    """

    def __init__(
        self, folder: str | Path, spool: Spool, *, known: set[FileKey] | None = None, patterns: Sequence[str] = (),
        timezone: str = naming.CERN, accumulation: str = "cumulative",
    ) -> None:  # fmt: skip
        self.folder, self._spool = Path(folder), spool
        if not self.folder.is_dir():
            raise UsageError(f"{folder}: no such folder to watch")
        self._known = known if known is not None else set[FileKey]()
        self._patterns, self._timezone, self._accumulation = tuple(patterns), timezone, accumulation
        for pattern in patterns:
            naming.Pattern.compile(pattern)
        self._seen: dict[str, _Seen] = {}
        self.taken = self.skipped = 0
        self.trouble = ""

    def sweep(self) -> int:
        """Look at all files once; returns how many went into the spool.

        The order is that of the times of the files, as they were written.
        """
        before, self._seen = self._seen, {}
        ready: list[tuple[int, str, _Seen]] = []
        for path, status in _root_files(self.folder):
            now = _Seen(status.st_size, status.st_mtime_ns)
            last = before.get(path)
            if last is not None and (last.size, last.mtime) == (now.size, now.mtime):
                last.sweeps += 1
                now = last
            self._seen[path] = now
            if not now.taken and now.sweeps >= _SETTLED:
                ready.append((now.mtime, path, now))
        count = 0
        for _, path, seen in sorted(ready, key=lambda one: one[:2]):
            try:
                count += self._take(path, seen)
                self.trouble = ""
            except SpoolFullError as error:
                self.trouble = str(error)
                break  # the rest waits in its folder
            except (SpoolError, OSError) as error:
                self.trouble = str(error)
                _log.error("%s: tried again: %s", printable(path, 300), error)
        self.taken += count
        return count

    @property
    def unsettled(self) -> bool:
        """Whether a file has been seen that the next sweep may take."""
        return any(not seen.taken and seen.sweeps < _SETTLED for seen in self._seen.values())

    def _take(self, path: str, seen: _Seen) -> bool:
        """Put a settled file into the spool; false if it is to wait, known, or no snapshot."""
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if (status.st_size, status.st_mtime_ns) != (seen.size, seen.mtime):
                return False
            if seen.size > self._spool.limits.payload_bytes:
                seen.taken = True
                self.skipped += 1
                _log.warning("%s: %d bytes, more than a payload may have", printable(path, 300), seen.size)
                return False
            if not is_complete(file.read(64), seen.size) and seen.sweeps < _PATIENCE:
                return False
            try:
                found = find_files([path], patterns=self._patterns, timezone=self._timezone)
            except OwtrendError as error:  # gone in the meantime, or its header is not readable
                _log.warning("%s: %s", printable(path, 300), error)
                return False
            if not found.files:
                seen.taken = True
                self.skipped += 1
                for reason in [*found.skipped, *found.quarantine]:
                    _log.warning("%s: not taken: %s", printable(path, 300), printable(reason, 300))
                return False
            (named,) = found.files
            if named.key in self._known:
                seen.taken = True
                return False
            file.seek(0)
            content = file.read(self._spool.limits.payload_bytes + 1)
            after = os.fstat(file.fileno())
        if (after.st_size, after.st_mtime_ns, len(content)) != (seen.size, seen.mtime, seen.size):
            return False
        self._spool.put(FILE, content, file_meta(named, self._accumulation, self._timezone))
        seen.taken = True
        self._known.add(named.key)
        return True


def known_keys(reader: Reader, limits: str) -> set[FileKey]:
    """Keys of the files that a store has, or that cannot be read."""
    known = set(unreadable_files(reader.quarantine, limits))
    for name in reader.registered:
        view = reader.subsystem(name)
        for run_index in view.run_indices.values():
            known |= convert.known_files(view.provenance(run_index))
    return known


def is_complete(head: bytes, size: int) -> bool:
    """False if the header of a ROOT file says that more bytes belong to it; true of what is no ROOT file at all."""
    if len(head) < 20:
        return False
    if head[:4] != b"root":
        return True
    (version,) = struct.unpack_from(">i", head, 4)
    (end,) = struct.unpack_from(">q" if version >= _LARGE else ">i", head, 12)
    return bool(64 <= end <= size)


@contextlib.contextmanager
def hinted(folder: Path, hint: Callable[[], object]) -> Iterator[None]:
    """Call ``hint`` from a thread whenever something changes in a folder; network disks may never say so."""
    import watchfiles

    stop = threading.Event()

    def run() -> None:
        try:
            for _ in watchfiles.watch(folder, stop_event=stop, debounce=50, step=10, rust_timeout=1000):
                hint()
        except Exception as error:  # no more watches, or no such file system: the sweep finds the files
            _log.warning("%s: no hints of changes, it is looked at in intervals: %s", folder, error)

    thread = threading.Thread(target=run, name="owtrend-watch-hints", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(5)


def _root_files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Path and status of the files that may be snapshots; what vanishes meanwhile is left out."""
    waiting = [str(folder)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif _may_be_a_snapshot(os.path.relpath(entry.path, folder)) and entry.is_file():
                    yield entry.path, entry.stat()


def _may_be_a_snapshot(path: str) -> bool:
    return path.endswith(".root") and not naming.is_product(path)
