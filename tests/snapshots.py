"""Decoded snapshots made by hand, for tests that need no file."""

import numpy as np

from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram
from owtrend.model.snapshot import Snapshot

START = np.datetime64("2024-01-01T00:00", "ns")


def histogram(name, contents, dtype="i4", low=0.0):
    values = np.asarray(contents, dtype=dtype)
    letter = {"i4": "I", "f4": "F", "f8": "D", "i8": "L"}[dtype]
    entries = float(np.nansum(values.astype(float)))
    return Histogram(
        path=("folder", name), class_name=f"TH1{letter}", axes=(Axis.spaced(len(values) - 2, low, 10.0),),
        parts={"contents": values}, sums=dict.fromkeys(("entries", "tsumw", "tsumw2", "tsumwx", "tsumwx2"), entries),
    )  # fmt: skip


def snapshot(minute, *histograms, run=300000, subsystem="EMC", source=None):
    held = histograms or (histogram("h", [0, minute, 2 * minute, 0]),)
    return Snapshot(
        histograms={one.path: one for one in held}, subsystem=subsystem, run=run,
        time=START + np.timedelta64(minute, "m"), source=source or f"{subsystem} {run} {minute}",
    )  # fmt: skip
