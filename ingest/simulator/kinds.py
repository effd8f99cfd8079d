"""Kinds of faults, and one fault: what the truth about a simulated archive lists."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ingest.simulator.detector import COMPONENTS
from ingest.simulator.histogram import SimulatedHistogram
from owtrend.model.histogram import Histogram

__all__ = ["Fault", "Kind", "Times"]

Times = dict[tuple[int, str], Sequence[datetime]]  # by run and subsystem: start of the run, then each snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A deliberate fault in ``(start, stop]``, both times of snapshots in UTC.

    Components report every five minutes, so fills from before ``start`` may be reported after it.
    """

    kind: str  # of ALL_FAULTS
    run: int
    subsystem: str
    histogram: str | None  # the one to look at; None: the whole snapshot
    histograms: tuple[str, ...]  # all that it changes; empty: the whole snapshot
    start: datetime
    stop: datetime
    size: float  # in the measure of its kind, see Kind.measure
    where: tuple[float, ...]  # coordinates in the histogram, see Kind.place; empty if it has no place
    details: str  # the visible effect, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault."""

    measure: str  # meaning of the size
    sizes: tuple[float, float, float]  # least, planned, most
    span: Callable[[int, float, float], tuple[int, int]]  # (snapshots, size, when from 0 to 1) -> first and last
    describe: Callable[[Fault, Any], str]  # the visible effect in words; the second argument is the histogram, if any
    strikes: tuple[str, ...] = ()  # values of `shows` of the histograms it can strike; empty: whole snapshots
    reach: Literal["histogram", "component", "alike"] = "histogram"  # alike: all of the subsystem that it can strike
    after_end: bool = False  # it stops `size` minutes after the run
    subsystems: tuple[str, ...] = tuple(COMPONENTS)
    place: Callable[[SimulatedHistogram, float, np.random.Generator], tuple[float, ...]] = lambda h, size, rng: ()
    # Added fills per minute, at progress 0 to 1.
    change: Callable[[SimulatedHistogram, Fault, float], NDArray[Any]] | None = None
    fits: Callable[[SimulatedHistogram], bool] = lambda h: True  # which of those it can strike
    # Counts at the first snapshot after its start, or at each one, from those before, the size and a generator.
    jump: Callable[[SimulatedHistogram, NDArray[Any], float, np.random.Generator], NDArray[Any]] | None = None
    each_snapshot: bool = False
    # Fills of a report during the fault, from those drawn for it, those of the report before, and a generator.
    report: Callable[[SimulatedHistogram, NDArray[Any], NDArray[Any], np.random.Generator], NDArray[Any]] | None = None
    kept: Callable[[SimulatedHistogram, NDArray[Any], float], Histogram] | None = None  # by ROOT, after its start
