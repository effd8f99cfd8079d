"""A campaign of mutated files: what each gives, its time and memory, and what is wrong with it."""

import contextlib
import random
import resource
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ingest import SnapshotReader
from owtrend.errors import OwtrendError
from tests.fuzz import mutations
from tests.fuzz.unpacked import KINDS, objects

__all__ = ["Campaign", "file_of"]

DATA = Path(__file__).parents[1] / "data"
SECONDS, MEGABYTES = 2.0, 500  # for one file
_GOOD_EVERY = 500
_LARGE = 0.01  # fraction of large files


@dataclass
class Campaign:
    """What came of the files read so far; one reader reads them all, as `owtrend ingest` does."""

    seed: int
    reader: SnapshotReader = field(default_factory=SnapshotReader)
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: dict[int, str] = field(default_factory=dict)
    slowest: float = 0.0  # [s]
    read: int = 0

    def __post_init__(self) -> None:
        for good, _ in _good():  # what is compiled or imported at the first file counts for none
            self.reader.read(good)

    def take(self, number: int) -> None:
        """Read one mutated file, and now and then a good one."""
        kind, content = file_of(self.seed, number)
        began, before = time.process_time(), _peak()
        try:
            with _watchdog():
                snapshot = self.reader.read(content)
                for histogram in snapshot.values():
                    histogram.values(), histogram.variances(), histogram.digest
            outcome = "snapshot with problems" if snapshot.problems else "snapshot"
        except OwtrendError as error:
            outcome = "reason"
            if "\n" in str(error) or len(str(error)) > 1000:
                self.findings[number] = f"a reason of several lines: {str(error)[:200]!r}"
            if "not enough free memory" in str(error):
                self.findings[number] = str(error)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            outcome = type(error).__name__
            self.findings[number] = f"{outcome}: {str(error)[:200]}"
        took, grown = time.process_time() - began, (_peak() - before) / 1e6
        self.slowest = max(self.slowest, took)
        if took > SECONDS or grown > MEGABYTES:
            self.findings.setdefault(number, f"{took:.1f} s, {grown:.0f} MB")
        self.outcomes[f"{kind}: {outcome}"] += 1
        self.read += 1
        if number % _GOOD_EVERY == 0:
            for good, digest in _good():
                if self.reader.read(good).digest != digest:
                    self.findings[number] = "a good file gives another digest after it"


def file_of(seed: int, number: int) -> tuple[str, bytes]:
    """The kind and bytes of file ``number`` of a seed."""
    rng = random.Random(f"{seed} {number}")
    base = rng.choice(_bases(large=rng.random() < _LARGE))
    weights, kinds = zip(*KINDS, strict=True)
    (mutate,) = rng.choices(kinds, weights)
    return mutate.__name__, mutate(base, rng)


@cache
def _bases(*, large: bool) -> list[bytes]:
    """Genuine files; large ones unpack to megabytes, which takes most of the time."""
    sizes = (
        (content, sum(len(payload) for _, payload in objects(content))) for content in mutations.bases(DATA / "root")
    )
    return [content for content, size in sizes if (size > 2**20) == large]


@cache
def _good() -> list[tuple[bytes, bytes]]:
    return [(content, SnapshotReader().read(content).digest) for content in _bases(large=False)[:3]]


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


@contextlib.contextmanager
def _watchdog() -> Iterator[None]:
    """Raise TimeoutError where the code is when it has taken twice the CPU time."""

    def bark(*_: object) -> None:
        raise TimeoutError(f"more than {2 * SECONDS:g} s of CPU time")

    before = signal.signal(signal.SIGPROF, bark)
    signal.setitimer(signal.ITIMER_PROF, 2 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
