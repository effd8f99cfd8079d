"""Events of simulated counters in mid-run, other than fills: what becomes of their counts, and what ROOT keeps."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.simulator.histogram import SimulatedHistogram, filled, labelled, regular
from ingest.simulator.kinds import Kind
from owtrend.model.histogram import DTYPES, Histogram

__all__ = ["COUNTER_EVENTS"]

Counts = NDArray[Any]  # fills so far, shaped as `SimulatedHistogram.density`
_FLOAT_LIMIT = 2**24  # a float that counts stays there
_NEW_LABEL = "unknown"


# Counts right after the event. `size` is that of the fault.


def _kept(histogram: SimulatedHistogram, counts: Counts, size: float, rng: np.random.Generator) -> Counts:
    """All counts stay; only what ROOT keeps of them is another."""
    return counts


def _started_again(histogram: SimulatedHistogram, counts: Counts, size: float, rng: np.random.Generator) -> Counts:
    """Counts after a reset: none."""
    return np.zeros_like(counts)


def _counted_elsewhere(histogram: SimulatedHistogram, counts: Counts, size: float, rng: np.random.Generator) -> Counts:
    """Counts of ``size`` times as many fills since a restart, a fifth of the x axis further on.

    In its own place a restart that passes its old value looks like a gain.
    """
    density = histogram.density.copy()
    inner = density[..., 1:-1]
    density[..., 1:-1] = np.roll(inner, max(1, inner.shape[-1] // 5), axis=-1)
    return rng.poisson(size * counts.sum() / density.sum() * density)


def _set_aside(histogram: SimulatedHistogram, counts: Counts, size: float, rng: np.random.Generator) -> Counts:
    """Counts of weight 1 from now on, none yet, and the old ones, of another weight."""
    return np.concatenate([np.zeros_like(counts), counts])


def _filled_up(histogram: SimulatedHistogram, counts: Counts, size: float, rng: np.random.Generator) -> Counts:
    """Counts with ``size`` times what its class can hold more in the fullest bin."""
    inner = histogram.density[0][(slice(1, -1),) * len(histogram.axes)]
    fullest = np.unravel_index(inner.argmax(), inner.shape)
    more = counts.copy()
    more[0, *(1 + np.array(fullest))] += int(size * _limit(histogram))
    return more


# What ROOT keeps from the event on.


def _set_by_hand(histogram: SimulatedHistogram, counts: Counts, size: float) -> Histogram:
    """Contents as by ``SetBinContent`` after ``Reset``: one entry per bin, no statistics."""
    stored = filled(histogram, counts)
    return replace(stored, sums=dict.fromkeys(stored.sums, 0.0) | {"entries": float(counts[0].size)})


def _scaled(histogram: SimulatedHistogram, counts: Counts, size: float) -> Histogram:
    """Contents after ``Scale``, which keeps squares of weights from then on; entries stay. See `_set_aside`."""
    return filled(replace(histogram, values=(1.0, size), sumw2=True), counts)


def _full(histogram: SimulatedHistogram, counts: Counts, size: float) -> Histogram:
    """Contents up to what its class can hold; entries and statistics go on."""
    stored = filled(histogram, counts)
    return replace(stored, parts={"contents": stored.parts["contents"].clip(max=_limit(histogram))})


def _relabelled(histogram: SimulatedHistogram, counts: Counts, size: float) -> Histogram:
    """Contents by labels that came in another order, moved on by ``size`` bins."""
    [axis], bins = histogram.axes, int(size)
    moved = counts.copy()
    moved[..., 1:-1] = np.roll(counts[..., 1:-1], bins, axis=-1)
    labels = (*axis.labels[-bins:], *axis.labels[:-bins])
    return filled(replace(histogram, axes=(labelled(axis.title, *labels),)), moved)


def _with_new_label(histogram: SimulatedHistogram, counts: Counts, size: float) -> Histogram:
    """Contents with ``size`` fills of a new label, for which ROOT doubles the bins (``LabelsInflate``)."""
    [axis] = histogram.axes
    inflated = replace(regular(axis.title, 2 * len(axis), 0, 2 * len(axis)), labels=(*axis.labels, _NEW_LABEL))
    return filled(replace(histogram, axes=(inflated,)), _with_room(counts, int(size)))


def _extended(histogram: SimulatedHistogram, counts: Counts, size: float) -> Histogram:
    """Contents with ``size`` fills beyond the end, for which ROOT doubles the range (``ExtendAxis``)."""
    [axis] = histogram.axes
    low, high = axis.edges[0], axis.edges[-1]
    twice = regular(axis.title, 2 * len(axis), low, 2 * high - low)
    return filled(replace(histogram, axes=(twice,)), _with_room(counts, int(size)), merged=2)


def _in_other_class(histogram: SimulatedHistogram, counts: Counts, size: float) -> Histogram:
    """Contents in bins of double precision."""
    return filled(replace(histogram, class_name=f"{histogram.class_name[:-1]}D"), counts)


def _limit(histogram: SimulatedHistogram) -> int:
    dtype = DTYPES[histogram.class_name[-1]]
    return int(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else _FLOAT_LIMIT


def _with_room(counts: Counts, beyond: int) -> Counts:
    """Counts on twice as many bins of x, with fills in the first new one; flow bins stay."""
    new = np.zeros((*counts.shape[:-1], counts.shape[-1] - 2), dtype=counts.dtype)
    new[..., 0] = beyond
    return np.concatenate([counts[..., :-1], new, counts[..., -1:]], axis=-1)


def _after_reports(snapshots: int, size: float, when: float) -> tuple[int, int]:
    first = round(snapshots * (0.4 + 0.3 * when))
    return first, first + 1


def _from_then_on(snapshots: int, size: float, when: float) -> tuple[int, int]:
    return round(snapshots * (0.4 + 0.3 * when)), snapshots


def _whole_run(snapshots: int, size: float, when: float) -> tuple[int, int]:
    return 0, snapshots


def _early(snapshots: int, size: float, when: float) -> tuple[int, int]:
    last = round(snapshots * (0.5 + 0.3 * when))
    return last - int(size) - 1, last


def _late(snapshots: int, size: float, when: float) -> tuple[int, int]:
    first = round(snapshots * (0.3 + 0.3 * when))
    return first, first + int(size) + 2


# Drawn by name only: the faults that a seed draws stay the same.
COUNTER_EVENTS: dict[str, Kind] = {
    "fast_restart": Kind(
        measure="fills since the restart, relative to those before", sizes=(1.05, 1.2, 1.5), strikes=("spectrum",),
        span=_after_reports, jump=_counted_elsewhere,
        describe=lambda f, h: f"it counts from zero and passes its old value before the next snapshot: {f.size:.2f} "
        "times as many entries, a fifth of the axis further on; all are gained",
    ),
    "early_snapshot": Kind(
        measure="snapshots that come before it in the order of time, wrongly after it", sizes=(5, 5, 8), span=_early,
        describe=lambda f, h: f"the last snapshot is stamped too early, right after the start, before {f.size:.0f} "
        "others: out of order, where anything was reported meanwhile; no restart",
    ),
    "late_snapshot": Kind(
        measure="snapshots that come after it in the order of time, wrongly before it", sizes=(5, 5, 8), span=_late,
        describe=lambda f, h: f"the first snapshot is stamped too late, right before the end, after {f.size:.0f} "
        "others: out of order, where anything was reported meanwhile; no restart",
    ),
    "gauge": Kind(
        measure="its contents, relative to the fills since the snapshot before", sizes=(1, 1, 1), strikes=("map",),
        subsystems=("EMC", "HLT"), span=_whole_run, jump=_started_again, each_snapshot=True, kept=_set_by_hand,
        describe=lambda f, h: "its bins are set at each snapshot, to what was counted since the one before: a gauge",
    ),
    "reset": Kind(
        measure="fraction of the totals that is lost each time", sizes=(1, 1, 1),
        strikes=("channels", "map", "spectrum", "other", "sectors"), span=_whole_run, jump=_started_again,
        each_snapshot=True, describe=lambda f, h: "it is reset at each snapshot: its contents are its gains",
    ),
    "scaled": Kind(
        measure="factor on all contents", sizes=(0.1, 0.5, 0.9), strikes=("spectrum",), span=_after_reports,
        jump=_set_aside, kept=_scaled,
        describe=lambda f, h: f"Scale({f.size:.2g}): all contents fall, the entries do not; the gain at that snapshot "
        "is not known, later ones are",
    ),
    "full_bin": Kind(
        measure="fills of one bin at once, relative to what its class can hold", sizes=(1, 2, 3),
        strikes=("map",), subsystems=("EMC", "HLT"), span=_from_then_on, jump=_filled_up, kept=_full,
        describe=lambda f, h: f"its fullest bin stays at the limit of a {h.class_name}; gains are not known until the "
        "run ends",
    ),
    "other_labels": Kind(
        measure="bins by which the labels moved on", sizes=(1, 2, 5), strikes=("other",),
        fits=lambda h: bool(h.axes[0].labels), subsystems=("HLT",), span=_from_then_on, jump=_started_again,
        kept=_relabelled,
        describe=lambda f, h: f"it starts again from zero, with its labels {f.size:.0f} bins further on; the gains of "
        "each label go on",
    ),
    "new_label": Kind(
        measure="fills of the new label", sizes=(50, 100, 500), strikes=("other",),
        fits=lambda h: bool(h.axes[0].labels), subsystems=("HLT",), span=_from_then_on, jump=_kept,
        kept=_with_new_label,
        describe=lambda f, h: f"a new label with {f.size:.0f} entries: its {len(h.axes[0])} bins become "
        f"{2 * len(h.axes[0])}, all else is kept",
    ),
    "extended_axis": Kind(
        measure="fills beyond the end of the axis", sizes=(1, 20, 100), strikes=("spectrum",),
        subsystems=("TPC",),  # whose spectra have empty flow bins, as those have that ROOT extends
        span=_from_then_on, jump=_kept, kept=_extended,
        describe=lambda f, h: f"{f.size:.0f} entries beyond its end: the axis doubles its range, each two bins become "
        "one, all else is kept",
    ),
    "other_class": Kind(
        measure="bits per bin, relative to those before", sizes=(2, 2, 2), strikes=("spectrum",),
        fits=lambda h: h.class_name == "TH1F", subsystems=("EMC",), span=_from_then_on, jump=_kept,
        kept=_in_other_class,
        describe=lambda f, h: "it goes on as a TH1D: its gains are as before",
    ),
}  # fmt: skip
