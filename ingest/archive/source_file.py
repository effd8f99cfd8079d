"""One file to ingest: its path, subsystem, run and time; and its line in the quarantine."""

from dataclasses import dataclass

from ingest.limits import Limits
from owtrend.model.rows import FileKey
from owtrend.store import quarantine

__all__ = ["SourceFile", "quarantine_line"]


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file to ingest: its path, and subsystem, run and time by its name, its folder or its header."""

    path: str
    source: str  # the path below the given folder
    parsed: str  # the part of the path that has subsystem, run and time
    subsystem: str
    run: int
    time: int  # ns UTC
    ambiguous: bool = False
    mode: str = ""
    size: int = 0
    mtime: int = 0

    @property
    def key(self) -> FileKey:
        """Identity of the file, the same from whichever parent folder it is ingested."""
        return self.parsed, self.size, self.mtime


def quarantine_line(
    file: SourceFile, reason: str, name: str | None = None, *, lasting: bool = False, superseded: bool = False,
    limits: Limits | None = None,
) -> str:  # fmt: skip
    """One line of the quarantine, for the object ``name`` or for the whole file.

    ``lasting``: this decoder would fail in the same way again, so the file need not be read again; with ``limits``, as
    long as these hold. ``superseded``: another file was taken in its place.
    """
    return quarantine.entry(
        file.source, reason, subsystem=file.subsystem, run=file.run, time=file.time, name=name,
        unreadable=file.key if lasting else None, superseded=superseded, limits=str(limits) if limits else None,
    )  # fmt: skip
