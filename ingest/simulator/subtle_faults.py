"""Faults that are slow, short, or change no total: drifts of a percent, second peaks, exchanged channels, repeats."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.simulator.conditions import scaled
from ingest.simulator.histogram import SimulatedHistogram
from ingest.simulator.kinds import Fault, Kind

__all__ = ["SUBTLE_FAULTS"]

Density = NDArray[Any]
_REPORT = 5.0  # minutes between two reports
_PERIOD = 3  # reports


def _minutes(fault: Fault, progress: float) -> float:
    """Minutes since the fault began."""
    return progress * (fault.stop - fault.start).total_seconds() / 60


def _drifting(histogram: SimulatedHistogram, fault: Fault, progress: float) -> Density:
    factor = (1 + fault.size) ** (_minutes(fault, progress) / _REPORT)
    return scaled(histogram.density, histogram.axes[0].edges, factor) - histogram.density


def _double_peak(histogram: SimulatedHistogram, fault: Fault, progress: float) -> Density:
    along = histogram.density[0]
    x = histogram.axes[0].centres
    mean = np.average(x, weights=along)
    bins = round(1.5 * np.sqrt(np.average((x - mean) ** 2, weights=along)) / (x[1] - x[0]))
    target = np.minimum(np.arange(len(x)) + bins, len(x) - 1)
    moved = -histogram.density
    np.add.at(moved.T, target, histogram.density.T)
    return fault.size * moved


def _hot(histogram: SimulatedHistogram, fault: Fault, progress: float) -> Density:
    more = np.zeros_like(histogram.density)
    cell: list[Any] = [np.searchsorted(axis.edges, x) for axis, x in zip(histogram.axes, fault.where, strict=True)]
    more[:, *cell[::-1]] = fault.size * histogram.density.sum(axis=tuple(range(1, more.ndim)))
    return more


def _now_and_then(histogram: SimulatedHistogram, fault: Fault, progress: float) -> Density:
    on = int(_minutes(fault, progress) / _REPORT) % _PERIOD == 0
    return _hot(histogram, fault, progress) * on


def _along_x(change: Callable[[Density, int], Density]) -> Callable[[SimulatedHistogram, Fault, float], Density]:
    """Change the bins of x; ``change`` gets the density without flow bins and a number of bins, and may write to it."""

    def changed(histogram: SimulatedHistogram, fault: Fault, progress: float) -> Density:
        density = histogram.density.copy()
        bins = max(1, round(fault.size * (density.shape[-1] - 2)))
        density[..., 1:-1] = change(density[..., 1:-1], bins)
        return density - histogram.density

    return changed


def _exchanged(inner: Density, bins: int) -> Density:
    first = inner.shape[-1] // 5
    other = first + max(bins, inner.shape[-1] // 3)
    out = inner.copy()
    out[..., first : first + bins] = inner[..., other : other + bins]
    out[..., other : other + bins] = inner[..., first : first + bins]
    return out


def _mirrored(inner: Density, bins: int) -> Density:
    first, out = inner.shape[-1] // 6, inner.copy()
    out[..., first : first + bins] = inner[..., first : first + bins][..., ::-1]
    return out


def _growing(histogram: SimulatedHistogram, fault: Fault, progress: float) -> Density:
    lost = np.zeros_like(histogram.density)
    bins = max(1, round(fault.size * progress * (lost.shape[-1] - 2)))
    first = 1 + lost.shape[-1] // 4
    lost[..., first : first + bins] = -histogram.density[..., first : first + bins]
    return lost


def _cut(histogram: SimulatedHistogram, size: float) -> int:
    """The bin of x above which a fraction of the fills is."""
    along = histogram.density.sum(axis=tuple(range(histogram.density.ndim - 1)))
    return max(1, int(np.searchsorted(np.cumsum(along), (1 - size) * along.sum())))


def _piled_up(histogram: SimulatedHistogram, fault: Fault, progress: float) -> Density:
    cut, out = _cut(histogram, fault.size), histogram.density.copy()
    out[..., cut] = out[..., cut:].sum(axis=-1)
    out[..., cut + 1 :] = 0
    return out - histogram.density


def _overflown(histogram: SimulatedHistogram, fault: Fault, progress: float) -> Density:
    cut, out = _cut(histogram, fault.size), histogram.density.copy()
    out[..., -1] = out[..., cut:].sum(axis=-1)
    out[..., cut:-1] = 0
    return out - histogram.density


def _other_values(histogram: SimulatedHistogram, fault: Fault, progress: float) -> Density:
    """A fraction of the fills have the next larger value."""
    moved = -fault.size * histogram.density
    moved[-1] = 0
    out: Density = moved.copy()
    out[1:] -= moved[:-1]
    return out


def _wider(histogram: SimulatedHistogram, fault: Fault, progress: float) -> Density:
    """A fraction of the fills have the smallest or the largest value, in equal shares of their mean."""
    values = np.array(histogram.values)
    total = histogram.density.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.nan_to_num(np.tensordot(values, histogram.density, axes=1) / total, nan=float(values.mean()))
    high = (mean - values.min()) / (values.max() - values.min())
    out: Density = -fault.size * histogram.density
    out[values.argmax()] += fault.size * total * high
    out[values.argmin()] += fault.size * total * (1 - high)
    return out


def _labels_exchanged(histogram: SimulatedHistogram, fault: Fault, progress: float) -> Density:
    inner = histogram.density[0, 1:-1]
    order = np.argsort(-inner)
    out = histogram.density.copy()
    first, other = (1 + int(order[number]) for number in (0, int(fault.size)))
    out[:, [first, other]] = out[:, [other, first]]
    return out - histogram.density


def _another(histogram: SimulatedHistogram, fault: Fault, progress: float) -> Density:
    return scaled(histogram.density, histogram.axes[0].edges, fault.size) - histogram.density


def _again(
    histogram: SimulatedHistogram, new: NDArray[Any], before: NDArray[Any], rng: np.random.Generator
) -> NDArray[Any]:  # fmt: skip
    return before


def _to_the_end(snapshots: int, size: float, when: float) -> tuple[int, int]:
    return round(snapshots * (0.3 + 0.2 * when)), snapshots


def _for_one_report(snapshots: int, size: float, when: float) -> tuple[int, int]:
    first = round(snapshots * (0.3 + 0.4 * when))
    return first, first + int(_REPORT)


def _any_bin(histogram: SimulatedHistogram, size: float, rng: np.random.Generator) -> tuple[float, ...]:
    """Draw a bin in proportion to its fills: its x, y, z."""
    chance = histogram.density.sum(axis=0)[(slice(1, -1),) * len(histogram.axes)]
    cell = np.unravel_index(rng.choice(chance.size, p=chance.ravel() / chance.sum()), chance.shape)
    return tuple(float(axis.centres[1 + i]) for axis, i in zip(histogram.axes, cell[::-1], strict=True))


def _is_profile(histogram: SimulatedHistogram) -> bool:
    return histogram.class_name == "TProfile" and len(histogram.values) > 2


_ALL = ("channels", "map", "spectrum", "other", "sectors")
# Drawn by name only: the faults that a seed draws stay the same.
SUBTLE_FAULTS: dict[str, Kind] = {
    "slow_drift": Kind(
        measure="relative rise of x from report to report", sizes=(0.001, 0.003, 0.005), strikes=("spectrum",),
        span=_to_the_end, change=_drifting, describe=lambda f, h: f"x rises by {f.size:.1%} a report",
    ),
    "double_peak": Kind(
        measure="fraction of the fills in a second peak", sizes=(0.1, 0.3, 0.5), strikes=("spectrum",),
        span=_to_the_end, change=_double_peak,
        describe=lambda f, h: f"{f.size:.0%} of the fills are 1.5 standard deviations further on",
    ),
    "every_third_report": Kind(
        measure="fills of one bin, relative to all others together", sizes=(0.1, 0.3, 0.5),
        strikes=("channels", "map", "sectors"), span=_to_the_end, place=_any_bin, change=_now_and_then,
        describe=lambda f, h: "one bin is hot for five of every fifteen minutes",
    ),
    "burst": Kind(
        measure="fills of one bin, relative to all others together", sizes=(0.1, 0.3, 0.5),
        strikes=("channels", "map", "sectors"), span=_for_one_report, place=_any_bin, change=_hot,
        describe=lambda f, h: "one bin is hot for five minutes",
    ),
    "swapped_channels": Kind(
        measure="fraction of x, each of two ranges that are exchanged", sizes=(0.02, 0.05, 0.1),
        strikes=("channels", "spectrum"), span=_to_the_end, change=_along_x(_exchanged),
        describe=lambda f, h: f"two ranges of {f.size:.0%} of x are exchanged",
    ),
    "mirrored_channels": Kind(
        measure="fraction of x that is in reversed order", sizes=(0.1, 0.2, 0.3), strikes=("channels", "spectrum"),
        span=_to_the_end, change=_along_x(_mirrored), describe=lambda f, h: f"{f.size:.0%} of x are in reversed order",
    ),
    "growing_dead_region": Kind(
        measure="fraction of x that counts nothing at the end", sizes=(0.1, 0.2, 0.3),
        strikes=("channels", "map", "sectors"), span=_to_the_end, change=_growing,
        describe=lambda f, h: f"bin after bin stops counting, {f.size:.0%} of x at the end",
    ),
    "saturation": Kind(
        measure="fraction of the fills above a limit", sizes=(0.01, 0.05, 0.1), strikes=("spectrum",),
        span=_to_the_end, change=_piled_up, describe=lambda f, h: f"the upper {f.size:.0%} of the fills are at a limit",
    ),
    "to_overflow": Kind(
        measure="fraction of the fills above the limit", sizes=(0.01, 0.05, 0.1), strikes=("spectrum",),
        span=_to_the_end, change=_overflown,
        describe=lambda f, h: f"the upper {f.size:.0%} of the fills are in the overflow",
    ),
    "changed_weights": Kind(
        measure="fraction of the fills with the next larger weight", sizes=(0.5, 0.8, 1), strikes=_ALL,
        fits=lambda h: h.sumw2 and len(h.values) > 1 and h.class_name != "TProfile", subsystems=("EMC",),
        span=_to_the_end, change=_other_values,
        describe=lambda f, h: f"{f.size:.0%} of the fills have the next larger weight",
    ),
    "profile_spread": Kind(
        measure="fraction of the fills at the ends of y", sizes=(0.3, 0.4, 0.6), strikes=_ALL, fits=_is_profile,
        subsystems=("EMC",), span=_to_the_end, change=_wider,
        describe=lambda f, h: f"{f.size:.0%} of the fills have the smallest or the largest y; the means stay",
    ),
    "common_mode": Kind(
        measure="fraction of the fills with the next larger y", sizes=(0.1, 0.3, 0.5), strikes=_ALL, fits=_is_profile,
        subsystems=("EMC",), span=_to_the_end, change=_other_values, describe=lambda f, h: "all means rise together",
    ),
    "exchanged_labels": Kind(
        measure="rank of the label that is exchanged with the fullest", sizes=(1, 2, 3), strikes=_ALL,
        fits=lambda h: len(h.axes) == 1 and len(h.axes[0].labels) > 3, subsystems=("HLT",), span=_to_the_end,
        change=_labels_exchanged,
        describe=lambda f, h: "two labels are exchanged",
    ),
    "other_contents": Kind(
        measure="scale of x of the other histogram, relative", sizes=(1.5, 2, 3), strikes=("spectrum",),
        span=_to_the_end, change=_another, describe=lambda f, h: "it holds what another spectrum counts",
    ),
    "stuck": Kind(
        measure="reports that are the one before once more", sizes=(1, 1, 1), strikes=_ALL, span=_to_the_end,
        report=_again, describe=lambda f, h: "each report gains exactly what the one before did",
    ),
}  # fmt: skip
