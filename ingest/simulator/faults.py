"""What can go wrong in the simulated detector, by kind: where it strikes, how strongly, what it does to the fills."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ingest.simulator.detector import COMPONENTS, component, plans
from ingest.simulator.histogram import Plan
from owtrend.errors import UsageError, hint

__all__ = ["FAULTS", "Fault", "Kind", "Times", "drawn", "merged_bins", "planned"]

SECTOR = np.pi / 9  # the TPC has 18 on each side
SHORTEST = 30  # snapshots of a run that has room for faults: half a dozen reports
Times = dict[tuple[int, str], Sequence[datetime]]  # of run and subsystem: the start of the run, then each snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something wrong on purpose in ``(start, stop]``, both times of snapshots in UTC.

    What was counted before ``start`` may be reported only after it, as components report every five minutes.
    """

    kind: str  # of FAULTS
    run: int
    subsystem: str
    histogram: str | None  # where to look; None: the whole snapshot
    histograms: tuple[str, ...]  # all that it changes; none: the whole snapshot
    start: datetime
    stop: datetime
    size: float  # what it measures is told by Kind.measure
    where: tuple[float, ...]  # coordinates in the histogram, see Kind.place; empty if it is not at a place
    details: str  # what a person should see


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault."""

    measure: str  # what the size is
    sizes: tuple[float, float, float]  # least, planned, most
    span: Callable[[int, float, float], tuple[int, int]]  # (snapshots, size, when from 0 to 1) -> first and last
    tell: Callable[[Fault, Any], str]  # what to see; the second is the plan of the histogram, if it has one
    strikes: tuple[str, ...] = ()  # what the histograms show that it can strike; none: it concerns whole snapshots
    reach: Literal["histogram", "component", "alike"] = "histogram"  # alike: all of the subsystem that it can strike
    after_end: bool = False  # it stops so many minutes after the run as its size tells
    subsystems: tuple[str, ...] = tuple(COMPONENTS)
    place: Callable[[Plan, float, np.random.Generator], tuple[float, ...]] = lambda plan, size, rng: ()
    change: Callable[[Plan, Fault, float], NDArray[Any]] | None = None  # fills per minute more, at this progress 0 to 1


def planned(times: Times, scale: float) -> list[Fault]:
    """The faults of the demo, as far as its runs are there and have room; any run after the fifth is clean."""
    runs = sorted({run for run, _ in times})
    made = []
    for position, subsystem, kind, histogram, where in _PLANNED:
        if position < len(runs) and len(times[runs[position], subsystem]) > SHORTEST:
            made.append(_fault(kind, runs[position], subsystem, times, scale, histogram, where))
    return made


_PLANNED: tuple[tuple[int, str, str, str | None, tuple[float, ...]], ...] = (
    (0, "TPC", "gap", None, ()),
    (0, "HLT", "truncated_file", None, ()),
    (1, "EMC", "hot_channel", "EMCTRQA_histAmpEdgePosEMCGAHOffline", (17.5, 33.5)),
    (1, "TPC", "dead_region", "TPCQA/h_tpc_clust_0_1_2", (SECTOR, 3 * SECTOR, 0)),
    (2, "HLT", "restart", None, ()),
    (2, "EMC", "duplicate_after_end", None, ()),
    (3, "TPC", "hv_trip", "TPCQA/h_tpc_clust_0_1_2", (12 * SECTOR, 13 * SECTOR, 1)),
    (3, "HLT", "drift", "fHistClusterChargeMax", ()),
    (4, "EMC", "rebinning", "EMCTRQA_histDCalPatchAmpEMCGAHOffline", ()),
    (4, "HLT", "rate_step", "fHistTPCTrackPt", ()),
)


def drawn(rng: np.random.Generator, wanted: int | Sequence[str], times: Times, scale: float) -> list[Fault]:
    """So many faults of any kind, or one of each kind named, at random and each in a run and subsystem of its own.

    Raises
    ------
    UsageError
        If a kind is not known, the runs are too short, or there are more faults than runs x subsystems for them.
    """
    for kind in () if isinstance(wanted, int) else wanted:
        if kind not in FAULTS:
            near = hint(kind, FAULTS, limit=1, quote=False)
            raise UsageError(f"no fault {kind!r}{near or '.'} Known are {', '.join(FAULTS)}")
    kinds = list(rng.choice(list(FAULTS), wanted)) if isinstance(wanted, int) else list(wanted)
    free = [key for key, found in times.items() if len(found) > SHORTEST]
    rng.shuffle(free)
    made = []
    for kind in sorted(map(str, kinds), key=lambda kind: len(FAULTS[kind].subsystems)):
        places = [key for key in free if key[1] in FAULTS[kind].subsystems]
        if not places:
            raise UsageError(
                f"no room for {len(kinds)} faults, {kind} among them: each takes a run of a subsystem with at least "
                f"{SHORTEST} snapshots ({kind}: of {', '.join(FAULTS[kind].subsystems)}). Simulate more or longer runs"
            )
        free.remove(places[0])
        made.append(_fault(kind, *places[0], times, scale, rng=rng))
    return sorted(made, key=lambda fault: (fault.run, list(COMPONENTS).index(fault.subsystem)))


def _fault(
    kind: str, run: int, subsystem: str, times: Times, scale: float, histogram: str | None = None,
    where: tuple[float, ...] = (), rng: np.random.Generator | None = None,
) -> Fault:  # fmt: skip
    """A fault of this kind, everything about it drawn if there is an ``rng``."""
    known, ends, hung = FAULTS[kind], times[run, subsystem], plans(subsystem, scale)
    size, when = known.sizes[1], 0.5
    if rng is not None:
        size, when = float(rng.uniform(known.sizes[0], known.sizes[2])), float(rng.random())
        if all(float(one).is_integer() for one in known.sizes):
            size = float(round(size))
    histograms: tuple[str, ...] = ()
    plan = None
    if known.strikes:
        names = [one.name for one in hung]
        if rng is not None:
            histogram = str(rng.choice([one.name for one in hung if one.shows in known.strikes]))
        assert histogram is not None
        position = names.index(histogram)
        plan = hung[position]
        if rng is not None:
            where = known.place(plan, size, rng)
        own = component(subsystem, position)
        histograms = {
            "histogram": (histogram,),
            "component": tuple(name for i, name in enumerate(names) if component(subsystem, i) == own),
            "alike": tuple(one.name for one in hung if one.shows in known.strikes),
        }[known.reach]
    first, last = known.span(len(ends) - 1, size, when)
    told = Fault(
        kind=kind, run=run, subsystem=subsystem, histogram=histogram, histograms=histograms, start=ends[first],
        stop=ends[last] + timedelta(minutes=size if known.after_end else 0), size=size,
        where=tuple(map(float, where)), details="",
    )  # fmt: skip
    return replace(told, details=known.tell(told, plan))


def _to_the_end(snapshots: int, size: float, when: float) -> tuple[int, int]:
    return round(snapshots * (0.3 + 0.4 * when)), snapshots


def _for_a_while(snapshots: int, size: float, when: float) -> tuple[int, int]:
    first = round(snapshots * (0.2 + 0.4 * when))
    return first, first + max(10, round(snapshots * 0.35))


def _at_once(snapshots: int, size: float, when: float) -> tuple[int, int]:
    first = round(snapshots * (0.2 + 0.6 * when))
    return first, first + 1


def _gap(snapshots: int, size: float, when: float) -> tuple[int, int]:
    first = round(snapshots * (0.2 + 0.4 * when))
    return first, first + int(size) + 1


def _last_two(snapshots: int, size: float, when: float) -> tuple[int, int]:
    return snapshots - 1, snapshots


def _last(snapshots: int, size: float, when: float) -> tuple[int, int]:
    return snapshots, snapshots


def _any_bin(plan: Plan, size: float, rng: np.random.Generator) -> tuple[float, ...]:
    """x, y, z of a bin that is filled, the fuller ones more often."""
    chance = plan.density.sum(axis=0)[(slice(1, -1),) * len(plan.axes)]
    cell = np.unravel_index(rng.choice(chance.size, p=chance.ravel() / chance.sum()), chance.shape)
    return tuple(float(axis.centres[1 + i]) for axis, i in zip(plan.axes, cell[::-1], strict=True))


def _any_region(plan: Plan, size: float, rng: np.random.Generator) -> tuple[float, ...]:
    """From, to along phi, rows or channels, of a share ``size`` of the axis; the side (0 is A) if it has one."""
    axis = plan.axes[_along(plan)]
    low = axis.edges[0] + (0.9 - size) * rng.random() * (axis.edges[-1] - axis.edges[0])
    first = axis.edges[np.searchsorted(axis.edges, low)]
    return first, first + size * (axis.edges[-1] - axis.edges[0]), *_side(plan, rng)


def _any_sector(plan: Plan, size: float, rng: np.random.Generator) -> tuple[float, ...]:
    """From, to in phi; the side (0 is A)."""
    sector = int(rng.integers(18))
    return sector * SECTOR, (sector + 1) * SECTOR, float(rng.integers(2))


def _side(plan: Plan, rng: np.random.Generator) -> tuple[float, ...]:
    return (float(rng.integers(2)),) if any(axis.title == "side" for axis in plan.axes) else ()


def _along(plan: Plan) -> int:
    """The axis on which a region lies."""
    titles = [axis.title.split()[0] if axis.title else "" for axis in plan.axes]
    return next(titles.index(title) for title in ("phi", "row", "FastOR") if title in titles)


def _inside(plan: Plan, where: tuple[float, ...]) -> NDArray[Any]:
    """Which bins of the density lie in a region; of tracks those with eta > 0 are on side A."""
    along = plan.grid[_along(plan)]
    inside = (along > where[0]) & (along < where[1])
    for axis, centres in zip(plan.axes, plan.grid, strict=False):
        if len(where) > 2 and axis.title == "side":
            inside = inside & (np.floor(centres) == where[2])
        elif len(where) > 2 and axis.title == "eta":
            inside = inside & ((centres > 0) == (where[2] == 0))
    return inside


def _hot_channel(plan: Plan, fault: Fault, progress: float) -> NDArray[Any]:
    more = np.zeros_like(plan.density)
    cell: list[Any] = [np.searchsorted(axis.edges, x) for axis, x in zip(plan.axes, fault.where, strict=True)]
    more[:, *cell[::-1]] = fault.size * plan.density.sum(axis=tuple(range(1, more.ndim)))
    return more


def _lost_region(plan: Plan, fault: Fault, progress: float) -> NDArray[Any]:
    return -plan.density * _inside(plan, fault.where)


def _lost_rate(plan: Plan, fault: Fault, progress: float) -> NDArray[Any]:
    return -fault.size * plan.density * _inside(plan, fault.where)


def _shifted(plan: Plan, fault: Fault, progress: float) -> NDArray[Any]:
    """The difference that a shift to larger x makes, by linear interpolation: no fill is lost, all move alike."""
    x = plan.axes[0].centres
    along = plan.density.sum(axis=tuple(range(plan.density.ndim - 1)))
    mean = np.average(x, weights=along)
    spread = np.sqrt(np.average((x - mean) ** 2, weights=along))
    whole, part = divmod(progress * fault.size * spread / (x[1] - x[0]), 1)
    moved = -plan.density
    for bins, share in ((int(whole), 1 - part), (int(whole) + 1, part)):
        target = np.minimum(np.arange(len(x)) + bins, len(x) - 1)
        np.add.at(moved.T, target, share * plan.density.T)
    return moved


def merged_bins(plan: Plan, size: float) -> int:
    """How many bins of x become one when a histogram is binned anew: no bin is left over."""
    bins = len(plan.axes[0])
    return next(number for number in range(int(size), bins + 1) if bins % number == 0)


def _all_fills(plan: Plan, fault: Fault, progress: float) -> NDArray[Any]:
    return fault.size * plan.density


def _told(fault: Fault, plan: Plan) -> str:
    """The place of a fault in words."""
    if fault.kind == "hot_channel":
        places = zip((axis.title for axis in plan.axes), fault.where, strict=True)
        return ", ".join(f"{title.lower() or 'x'} {x:g}" for title, x in places)
    title = plan.axes[_along(plan)].title
    first, last = (np.degrees(x) if title == "phi" else x for x in fault.where[:2])
    side = f" on side {'AC'[int(fault.where[2])]}" if len(fault.where) > 2 else ""
    return f"{title} from {first:.0f} to {last:.0f}{' degrees' if title == 'phi' else ''}{side}"


FAULTS: dict[str, Kind] = {
    "hot_channel": Kind(
        measure="fills of one bin, relative to all others together",
        sizes=(0.1, 0.5, 1.0), strikes=("channels", "map", "sectors"), span=_to_the_end, place=_any_bin,
        change=_hot_channel,
        tell=lambda f, plan: f"the bin at {_told(f, plan)} takes {f.size / (1 + f.size):.0%} of all "
        "new counts until the run ends",
    ),
    "dead_region": Kind(
        measure="share of the axis (phi, row or channel) that counts nothing",
        sizes=(0.05, 1 / 9, 0.2), strikes=("map", "sectors", "channels"), span=_for_a_while, place=_any_region,
        change=_lost_region, tell=lambda f, plan: f"no new counts at {_told(f, plan)}, then they come back",
    ),
    "hv_trip": Kind(
        measure="share of the fills of one sector that is lost",
        sizes=(0.7, 0.9, 1.0), strikes=("sectors",), reach="alike", subsystems=("TPC",), span=_for_a_while,
        place=_any_sector, change=_lost_rate,
        tell=lambda f, plan: f"the sector at {_told(f, plan)} counts {1 - f.size:.0%} of what it should, "
        "then recovers; seen by clusters and tracks",
    ),
    "drift": Kind(
        measure="shift of x at the end, in standard deviations",
        sizes=(0.3, 0.5, 1.0), strikes=("spectrum",), span=_to_the_end, change=_shifted,
        tell=lambda f, plan: f"the mean rises evenly, by {f.size:.2g} standard deviations at the end of the run",
    ),
    "rate_step": Kind(
        measure="relative change of all fills of a component",
        sizes=(0.2, 0.4, 1.0), strikes=("channels", "map", "spectrum", "other", "sectors"), reach="component",
        span=_to_the_end, change=_all_fills,
        tell=lambda f, plan: f"all {len(f.histograms)} histograms of its component count {f.size:.0%} more",
    ),
    "restart": Kind(
        measure="share of the totals that is lost", sizes=(1, 1, 1), span=_at_once,
        tell=lambda f, plan: "all totals fall to zero and grow again from there",
    ),
    "gap": Kind(
        measure="snapshot files that are missing", sizes=(2, 4, 8), span=_gap,
        tell=lambda f, plan: f"{f.size:.0f} snapshot files in a row are missing; the increment after them covers "
        f"{f.size + 1:.0f} minutes",
    ),
    "truncated_file": Kind(
        measure="share of the file that is left", sizes=(0.2, 0.5, 0.9), span=_last_two,
        tell=lambda f, plan: f"the last file is cut after {f.size:.0%} of its bytes and cannot be read",
    ),
    "duplicate_after_end": Kind(
        measure="snapshots after the end of the run", sizes=(1, 3, 5), span=_last, after_end=True,
        tell=lambda f, plan: f"the last snapshot is sent {f.size:.0f} more times, unchanged, a minute apart",
    ),
    "rebinning": Kind(
        measure="bins that become one, or the next larger number that divides them", sizes=(2, 2, 2),
        strikes=("spectrum",), span=_to_the_end,
        tell=lambda f, plan: f"its {len(plan.axes[0])} bins become {len(plan.axes[0]) // merged_bins(plan, f.size)} at "
        "the first report after the start, the counts are kept",
    ),
}  # fmt: skip
