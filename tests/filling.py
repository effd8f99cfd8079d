"""Histograms of given fills as ROOT accumulates them, and stores of them, for tests that need no file."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram
from owtrend.model.rows import Accumulation
from owtrend.model.snapshot import Snapshot
from owtrend.store.append import appender
from owtrend.store.repository import Store

START = np.datetime64("2018-06-01T12:00", "ns")
MINUTE = np.timedelta64(60, "s")


def filled(
    axes: Sequence[Axis], fills: np.ndarray, *, weights: np.ndarray | None = None, values: np.ndarray | None = None,
    gauge: bool = False,
) -> Histogram:  # fmt: skip
    """A TH*D of fills ``(n, axes)``, with weights if they are given, or a TProfile of values; its name comes later."""
    fills = np.asarray(fills, dtype=float).reshape(-1, len(axes))
    weighs = np.ones(len(fills)) if weights is None else weights
    bins = [np.searchsorted(axis.edges, column, side="right") for axis, column in zip(axes, fills.T, strict=True)]
    inside = np.all([(b > 0) & (b <= len(axis)) for b, axis in zip(bins, axes, strict=True)], axis=0)
    shape = [len(axis) + 2 for axis in axes]
    cell = np.ravel_multi_index(bins, shape, order="F")
    size = int(np.prod(shape))

    def summed(what: np.ndarray) -> np.ndarray:
        return np.bincount(cell, what, size)

    letters = "xyzt"[: len(axes)]
    sums = {"entries": len(fills), "tsumw": weighs[inside].sum(), "tsumw2": (weighs**2)[inside].sum()}
    for letter, column in zip(letters, fills.T, strict=True):
        sums[f"tsumw{letter}"] = (weighs * column)[inside].sum()
        sums[f"tsumw{letter}2"] = (weighs * column**2)[inside].sum()
    for a, b in combinations(range(len(axes)), 2):
        sums[f"tsumw{letters[a]}{letters[b]}"] = (weighs * fills[:, a] * fills[:, b])[inside].sum()
    parts = {"contents": summed(weighs)}
    name = f"TH{len(axes)}D"
    if weights is not None:
        parts["sumw2"] = summed(weighs**2)
    if values is not None:
        name = "TProfile" + ("" if len(axes) == 1 else f"{len(axes)}D")
        letter = "xyzt"[len(axes)]
        for power in (1, 2):
            sums[f"tsumw{letter}{power if power > 1 else ''}"] = (weighs * values**power)[inside].sum()
        parts = {"sumwy": summed(weighs * values), "sumwy2": summed(weighs * values**2), "bin_entries": summed(weighs)}
    stored_sums = {key: float(value) for key, value in sums.items()}
    return Histogram(path=("?",), class_name=name, axes=tuple(axes), parts=parts, sums=stored_sums, gauge=gauge)


def append(
    store: Path, run: int, rows: Sequence[Mapping[str, Histogram]], *, reset: bool = False, subsystem: str = "EMC",
    minutes: Sequence[int] | None = None,
) -> None:  # fmt: skip
    """A run of snapshots a minute apart, or at other ``minutes``."""
    when = range(len(rows)) if minutes is None else minutes
    snapshots = [
        Snapshot(
            histograms={(name,): named(one, name) for name, one in held.items()}, subsystem=subsystem, run=run,
            time=START + minute * MINUTE, source=f"{subsystem} {run} {minute}",
        )
        for minute, held in zip(when, rows, strict=True)
    ]  # fmt: skip
    with appender(Store.open_or_create(store)) as live:
        live.append(snapshots, Accumulation.RESET if reset else Accumulation.CUMULATIVE)
        live.fold(everything=True)


def named(one: Histogram, name: str) -> Histogram:
    """The same histogram by another name."""
    return Histogram(
        path=(name,), class_name=one.class_name, axes=one.axes, parts=one.parts, sums=one.sums, gauge=one.gauge
    )
