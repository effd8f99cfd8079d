"""Limits on what one file may take: cells, memory, objects and time. A file beyond them is refused with one reason."""

import time
from dataclasses import asdict, dataclass

__all__ = ["Budget", "Limits", "OverBudget"]

_MEGABYTES = 300
_BYTES_PER_CELL = 17  # the bytes of a float64 as unpacked and in native order, and a little more
_SECONDS_PER_BYTE = 2e-6  # 20,000 new histograms in a file of 6 MB take 6 s
_BYTES_PER_KEY = 512
_NOT_OVER = "if the file is genuine, allow more"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take.

    Parameters
    ----------
    cells
        Bins of one histogram, flow included. A larger one is left out; all other limits refuse the whole file.
    megabytes
        Memory [MB] for the histograms and what they are made of; by default 300, or 17 bytes for each of ``cells``.
    objects
        Keys in the file, and objects inside one of them.
    seconds
        CPU time [s] of the thread that reads it, for a small file; each MB of the file adds 2 s.
    """

    cells: int = 2**24
    megabytes: float | None = None
    objects: int = 2**17
    seconds: float = 1.5

    def __str__(self) -> str:
        return ", ".join(f"max_{name}={value}" for name, value in asdict(self).items())

    @property
    def memory(self) -> float:
        """Memory [bytes] for one file."""
        return max(_MEGABYTES * 1e6, _BYTES_PER_CELL * self.cells) if self.megabytes is None else self.megabytes * 1e6


class OverBudget(Exception):
    """A file takes more than its limits; the text says of what. It ends the reading of the whole file."""


class Budget:
    """What one file of ``size`` bytes has taken of its limits; the time begins with it."""

    def __init__(self, limits: Limits, size: int = 0) -> None:
        self.limits = limits
        self.kept = 0  # bytes that the file's histograms hold so far
        self._memory = limits.memory
        self._keys = 0
        self._seconds = limits.seconds + _SECONDS_PER_BYTE * size
        self._begin = time.monotonic()
        self._stop: float | None = None  # CPU time of this thread

    def keep(self, kept: int, transient: int = 0) -> None:
        """Take memory [bytes] for what the file's histograms hold, and ask for some ``transient`` in addition."""
        self.kept += kept
        if self.kept + transient > self._memory:
            raise OverBudget(
                f"it takes {(self.kept + transient) / 1e6:,.0f} MB of memory, more than "
                f"max_megabytes={self._memory / 1e6:,.0f}; {_NOT_OVER}"
            )

    def holds(self, size: int) -> bool:
        """Whether ``size`` bytes fit into the whole memory for a file."""
        return size <= self._memory

    def count_keys(self, count: int) -> None:
        """Add the keys of a folder."""
        self._keys += count
        self.require_objects(self._keys)
        self.keep(_BYTES_PER_KEY * count)

    def require_objects(self, count: int) -> None:
        """End the reading if these keys, or objects in one key, are too many, or the time is over."""
        if count > self.limits.objects:
            raise OverBudget(f"more than max_objects={self.limits.objects:,} keys, or objects in one key; {_NOT_OVER}")
        self.require_time()

    def require_time(self) -> None:
        """End the reading if the time is over.

        The CPU time of a thread takes a system call, and 64 keys a tenth of a millisecond. It is never more than the
        time on the clock, so it is counted only once a quarter of the limit has passed there.
        """
        if self._stop is None:
            if time.monotonic() - self._begin <= self._seconds / 4:
                return
            self._stop = time.thread_time() + self._seconds
        if time.thread_time() > self._stop:
            raise OverBudget(f"it takes more CPU time than max_seconds={self.limits.seconds:g} allow; {_NOT_OVER}")
