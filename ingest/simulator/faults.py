"""Faults of the simulated detector, by kind: where each strikes, how strong it is, how it changes the fills."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.simulator.counter_events import COUNTER_EVENTS
from ingest.simulator.detector import COMPONENTS, component, histograms
from ingest.simulator.histogram import SimulatedHistogram, filled
from ingest.simulator.kinds import Fault, Kind, Times
from ingest.simulator.subtle_faults import SUBTLE_FAULTS
from owtrend.errors import UsageError, hint

__all__ = ["ALL_FAULTS", "FAULTS", "Fault", "drawn", "planned"]

SECTOR = np.pi / 9  # the TPC has 18 on each side
SHORTEST = 30  # snapshots of a run that has room for faults: half a dozen reports


def planned(times: Times, scale: float) -> list[Fault]:
    """The faults of the demo that fit into these runs; runs after the fifth are clean."""
    runs = sorted({run for run, _ in times})
    faults = []
    for position, subsystem, kind, histogram, where in _PLANNED:
        if position < len(runs) and len(times[runs[position], subsystem]) > SHORTEST:
            faults.append(_fault(kind, runs[position], subsystem, times, scale, histogram, where))
    return faults


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
    """Draw a number of `FAULTS`, or one of each named kind, each in its own run and subsystem.

    Raises
    ------
    UsageError
        If a kind is unknown, the runs are too short, or there are more faults than runs x subsystems.
    """
    for kind in () if isinstance(wanted, int) else wanted:
        if kind not in ALL_FAULTS:
            near = hint(kind, ALL_FAULTS, limit=1, quote=False)
            raise UsageError(f"no fault {kind!r}{near or '.'} Known are {', '.join(ALL_FAULTS)}")
    kinds = list(rng.choice(list(FAULTS), wanted)) if isinstance(wanted, int) else list(wanted)
    free = [key for key, run_times in times.items() if len(run_times) > SHORTEST]
    rng.shuffle(free)
    faults = []
    for kind in sorted(map(str, kinds), key=lambda kind: len(ALL_FAULTS[kind].subsystems)):
        choices = [key for key in free if key[1] in ALL_FAULTS[kind].subsystems]
        if not choices:
            raise UsageError(
                f"no room for {len(kinds)} faults, {kind} among them: each needs a run and subsystem of its own with "
                f"at least {SHORTEST} snapshots ({kind}: of {', '.join(ALL_FAULTS[kind].subsystems)}). "
                "Simulate more or longer runs"
            )
        free.remove(choices[0])
        faults.append(_fault(kind, *choices[0], times, scale, rng=rng))
    return sorted(faults, key=lambda fault: (fault.run, list(COMPONENTS).index(fault.subsystem)))


def _fault(
    kind: str, run: int, subsystem: str, times: Times, scale: float, name: str | None = None,
    where: tuple[float, ...] = (), rng: np.random.Generator | None = None,
) -> Fault:  # fmt: skip
    """A fault of this kind; with an ``rng`` everything about it is drawn."""
    rules, ends, all_histograms = ALL_FAULTS[kind], times[run, subsystem], histograms(subsystem, scale)
    size, when = rules.sizes[1], 0.5
    if rng is not None:
        size, when = float(rng.uniform(rules.sizes[0], rules.sizes[2])), float(rng.random())
        if all(float(limit).is_integer() for limit in rules.sizes):
            size = float(round(size))
    changed: tuple[str, ...] = ()
    histogram = None
    if rules.strikes:
        names = [candidate.name for candidate in all_histograms]
        alike = [one.name for one in all_histograms if one.shows in rules.strikes and rules.fits(one)]
        if rng is not None:
            name = str(rng.choice(alike))
        assert name is not None
        position = names.index(name)
        histogram = all_histograms[position]
        if rng is not None:
            where = rules.place(histogram, size, rng)
        sender = component(subsystem, position)
        changed = {
            "histogram": (name,),
            "component": tuple(other for i, other in enumerate(names) if component(subsystem, i) == sender),
            "alike": tuple(alike),
        }[rules.reach]
    first, last = rules.span(len(ends) - 1, size, when)
    fault = Fault(
        kind=kind, run=run, subsystem=subsystem, histogram=name, histograms=changed, start=ends[first],
        stop=ends[last] + timedelta(minutes=size if rules.after_end else 0), size=size,
        where=tuple(map(float, where)), details="",
    )  # fmt: skip
    return replace(fault, details=rules.describe(fault, histogram))


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


def _any_bin(histogram: SimulatedHistogram, size: float, rng: np.random.Generator) -> tuple[float, ...]:
    """Draw a bin in proportion to its fills: its x, y, z."""
    chance = histogram.density.sum(axis=0)[(slice(1, -1),) * len(histogram.axes)]
    cell = np.unravel_index(rng.choice(chance.size, p=chance.ravel() / chance.sum()), chance.shape)
    return tuple(float(axis.centres[1 + i]) for axis, i in zip(histogram.axes, cell[::-1], strict=True))


def _any_region(histogram: SimulatedHistogram, size: float, rng: np.random.Generator) -> tuple[float, ...]:
    """Draw a fraction ``size`` of the phi, row or channel axis: from, to, and the side (0 is A) if there is one."""
    axis = histogram.axes[_along(histogram)]
    low = axis.edges[0] + (0.9 - size) * rng.random() * (axis.edges[-1] - axis.edges[0])
    first = axis.edges[np.searchsorted(axis.edges, low)]
    return first, first + size * (axis.edges[-1] - axis.edges[0]), *_side(histogram, rng)


def _any_sector(histogram: SimulatedHistogram, size: float, rng: np.random.Generator) -> tuple[float, ...]:
    """Draw a sector: from, to in phi, and the side (0 is A)."""
    sector = int(rng.integers(18))
    return sector * SECTOR, (sector + 1) * SECTOR, float(rng.integers(2))


def _side(histogram: SimulatedHistogram, rng: np.random.Generator) -> tuple[float, ...]:
    return (float(rng.integers(2)),) if any(axis.title == "side" for axis in histogram.axes) else ()


def _along(histogram: SimulatedHistogram) -> int:
    """The axis on which a region lies."""
    titles = [axis.title.split()[0] if axis.title else "" for axis in histogram.axes]
    return next(titles.index(title) for title in ("phi", "row", "FastOR") if title in titles)


def _inside(histogram: SimulatedHistogram, where: tuple[float, ...]) -> NDArray[Any]:
    """Mask of the bins of the density in a region. Tracks with eta > 0 are on side A."""
    along = histogram.grid[_along(histogram)]
    inside = (along > where[0]) & (along < where[1])
    for axis, centres in zip(histogram.axes, histogram.grid, strict=False):
        if len(where) > 2 and axis.title == "side":
            inside = inside & (np.floor(centres) == where[2])
        elif len(where) > 2 and axis.title == "eta":
            inside = inside & ((centres > 0) == (where[2] == 0))
    return inside


def _hot_channel(histogram: SimulatedHistogram, fault: Fault, progress: float) -> NDArray[Any]:
    more = np.zeros_like(histogram.density)
    cell: list[Any] = [np.searchsorted(axis.edges, x) for axis, x in zip(histogram.axes, fault.where, strict=True)]
    more[:, *cell[::-1]] = fault.size * histogram.density.sum(axis=tuple(range(1, more.ndim)))
    return more


def _lost_region(histogram: SimulatedHistogram, fault: Fault, progress: float) -> NDArray[Any]:
    return -histogram.density * _inside(histogram, fault.where)


def _lost_rate(histogram: SimulatedHistogram, fault: Fault, progress: float) -> NDArray[Any]:
    return -fault.size * histogram.density * _inside(histogram, fault.where)


def _shifted(histogram: SimulatedHistogram, fault: Fault, progress: float) -> NDArray[Any]:
    """Change by a shift to larger x, with linear interpolation: no fill is lost, all move alike."""
    x = histogram.axes[0].centres
    along = histogram.density.sum(axis=tuple(range(histogram.density.ndim - 1)))
    mean = np.average(x, weights=along)
    spread = np.sqrt(np.average((x - mean) ** 2, weights=along))
    whole, part = divmod(progress * fault.size * spread / (x[1] - x[0]), 1)
    moved = -histogram.density
    for bins, fraction in ((int(whole), 1 - part), (int(whole) + 1, part)):
        target = np.minimum(np.arange(len(x)) + bins, len(x) - 1)
        np.add.at(moved.T, target, fraction * histogram.density.T)
    return moved


def _merged_bins(histogram: SimulatedHistogram, size: float) -> int:
    """Number of bins of x that a rebinning merges into one; it divides the bins without remainder."""
    bins = len(histogram.axes[0])
    return next(number for number in range(int(size), bins + 1) if bins % number == 0)


def _all_fills(histogram: SimulatedHistogram, fault: Fault, progress: float) -> NDArray[Any]:
    return fault.size * histogram.density


def _place(fault: Fault, histogram: SimulatedHistogram) -> str:
    """The place of a fault in words."""
    if fault.kind == "hot_channel":
        coordinates = zip((axis.title for axis in histogram.axes), fault.where, strict=True)
        return ", ".join(f"{title.lower() or 'x'} {x:g}" for title, x in coordinates)
    title = histogram.axes[_along(histogram)].title
    first, last = (np.degrees(x) if title == "phi" else x for x in fault.where[:2])
    side = f" on side {'AC'[int(fault.where[2])]}" if len(fault.where) > 2 else ""
    return f"{title} from {first:.0f} to {last:.0f}{' degrees' if title == 'phi' else ''}{side}"


FAULTS: dict[str, Kind] = {
    "hot_channel": Kind(
        measure="fills of one bin, relative to all others together",
        sizes=(0.1, 0.5, 1.0), strikes=("channels", "map", "sectors"), span=_to_the_end, place=_any_bin,
        change=_hot_channel,
        describe=lambda f, h: f"the bin at {_place(f, h)} takes {f.size / (1 + f.size):.0%} of all "
        "new counts until the run ends",
    ),
    "dead_region": Kind(
        measure="fraction of the axis (phi, row or channel) that counts nothing",
        sizes=(0.05, 1 / 9, 0.2), strikes=("map", "sectors", "channels"), span=_for_a_while, place=_any_region,
        change=_lost_region, describe=lambda f, h: f"no new counts at {_place(f, h)}, then they come back",
    ),
    "hv_trip": Kind(
        measure="fraction of the fills of one sector that is lost",
        sizes=(0.7, 0.9, 1.0), strikes=("sectors",), reach="alike", subsystems=("TPC",), span=_for_a_while,
        place=_any_sector, change=_lost_rate,
        describe=lambda f, h: f"the sector at {_place(f, h)} counts {1 - f.size:.0%} of what it should, "
        "then recovers; seen by clusters and tracks",
    ),
    "drift": Kind(
        measure="shift of x at the end, in standard deviations",
        sizes=(0.3, 0.5, 1.0), strikes=("spectrum",), span=_to_the_end, change=_shifted,
        describe=lambda f, h: f"the mean rises evenly, by {f.size:.2g} standard deviations at the end of the run",
    ),
    "rate_step": Kind(
        measure="relative change of all fills of a component",
        sizes=(0.2, 0.4, 1.0), strikes=("channels", "map", "spectrum", "other", "sectors"), reach="component",
        span=_to_the_end, change=_all_fills,
        describe=lambda f, h: f"all {len(f.histograms)} histograms of its component count {f.size:.0%} more",
    ),
    "restart": Kind(
        measure="fraction of the totals that is lost", sizes=(1, 1, 1), span=_at_once,
        describe=lambda f, h: "all totals fall to zero and grow again from there",
    ),
    "gap": Kind(
        measure="snapshot files that are missing", sizes=(2, 4, 8), span=_gap,
        describe=lambda f, h: f"{f.size:.0f} snapshot files in a row are missing; the increment after them covers "
        f"{f.size + 1:.0f} minutes",
    ),
    "truncated_file": Kind(
        measure="fraction of the file that is left", sizes=(0.2, 0.5, 0.9), span=_last_two,
        describe=lambda f, h: f"the last file is cut after {f.size:.0%} of its bytes and cannot be read",
    ),
    "duplicate_after_end": Kind(
        measure="snapshots after the end of the run", sizes=(1, 3, 5), span=_last, after_end=True,
        describe=lambda f, h: f"the last snapshot is sent {f.size:.0f} more times, unchanged, a minute apart",
    ),
    "rebinning": Kind(
        measure="bins that become one, or the next larger number that divides them", sizes=(2, 2, 2),
        strikes=("spectrum",), span=_to_the_end,
        kept=lambda h, counts, size: filled(h, counts, _merged_bins(h, size)),
        describe=lambda f, h: f"its {len(h.axes[0])} bins become {len(h.axes[0]) // _merged_bins(h, f.size)} at "
        "the first report after the start, the counts are kept",
    ),
}  # fmt: skip
ALL_FAULTS = FAULTS | COUNTER_EVENTS | SUBTLE_FAULTS
