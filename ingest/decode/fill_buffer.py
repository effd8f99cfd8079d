"""Unflushed fill buffers: fills that a histogram still had in its buffer when written, put into the bins as by ROOT.

A histogram with a buffer, above all one with automatic limits, collects its first fills and writes them unbinned; its
bins are empty until the buffer is flushed. Sources: ``TH1::BufferEmpty`` and ``Fill`` of each class,
``TAxis::FindFixBin``, ``THLimitsFinder::FindGoodLimits`` of ROOT 6.40.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.decode.compression import Buffer
from ingest.decode.streamer import RootObject
from owtrend.errors import SnapshotError
from owtrend.model import root_sums
from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram

__all__ = ["flushed", "good_limits", "is_filled"]

_CAN_EXTEND = 1 << 1  # TAxis::EStatusBits in fBits2
_IS_INTEGER = 1 << 11  # TAxis, in fBits
_AUTO_POWER_OF_TWO = 1 << 20  # TH1::kAutoBinPTwo
_CONSIDER_FLOW = 1  # TH1::EStatOverflows
_LARGEST = {"TH1C": 127, "TH1S": 32767, "TH1I": 2**31 - 1}


def is_filled(root_object: RootObject, data: Buffer) -> bool:
    """Whether the buffer has fills that are not in the bins; a negative count means that they are."""
    buffer = root_object.members.get("fBuffer")
    return bool(buffer is not None and buffer.count and np.frombuffer(data, ">f8", 1, buffer.offset)[0] > 0)


def flushed(histogram: Histogram, root_object: RootObject, data: Buffer) -> Histogram:
    """``histogram`` with the fills of its buffer in its bins and statistics.

    Raises
    ------
    SnapshotError
        If ROOT would choose a new binning in a way that owtrend cannot replay.
    """
    buffer = root_object.members["fBuffer"].values(data)
    profile = histogram.kind == "MEAN"
    columns = 1 + len(histogram.axes) + profile  # weight, coordinates, profiled quantity
    count = int(buffer[0])
    if 1 + count * columns > len(buffer):
        raise SnapshotError(f"its fill buffer of {len(buffer)} numbers is too short for the {count} fills it states")
    fills = buffer[1 : 1 + count * columns].reshape(count, columns)
    axes = _axes(histogram, root_object, fills[:, 1 : 1 + len(histogram.axes)])
    if profile and (low := root_object.members["fYmin" if "fYmin" in root_object.members else "fZmin"]) != (
        high := root_object.members["fYmax" if "fYmax" in root_object.members else "fZmax"]
    ):
        fills = fills[(fills[:, -1] >= low) & (fills[:, -1] <= high)]
    weight, coordinates = fills[:, 0], fills[:, 1 : 1 + len(axes)]
    bins, inside = np.zeros(len(fills), dtype=np.intp), np.ones(len(fills), dtype=bool)
    for axis, x in zip(reversed(axes), reversed(coordinates.T), strict=True):
        number = find_bins(axis, x)
        bins = bins * (len(axis) + 2) + number
        inside &= (number > 0) & (number <= len(axis))
    parts = {name: part.copy() for name, part in histogram.parts.items()}
    if profile:
        y = fills[:, -1]
        added = {"sumwy": weight * y, "sumwy2": weight * y * y, "bin_entries": weight}
        squares, weights = "bin_sumw2", "bin_entries"
    else:
        added = {"contents": weight}
        squares, weights = "sumw2", "contents"
    if squares not in parts and (weight != 1).any():
        parts[squares] = abs(parts[weights].astype(np.float64))
    if squares in parts:
        added[squares] = weight * weight
    for name, values in added.items():
        _add(parts[name], bins, values, histogram.class_name if name == "contents" else "")
    if root_object.members.get("fStatOverflows") == _CONSIDER_FLOW:
        inside[:] = True
    sums = dict(histogram.sums)
    sums["entries"] += len(fills)
    for name, values in _statistics(weight, coordinates, fills[:, -1] if profile else None).items():
        if name in sums:
            sums[name] = float(np.add.accumulate(np.concatenate([[sums[name]], values[inside]]))[-1])
    return replace(histogram, axes=axes, parts=parts, sums=sums)


def _add(part: NDArray[Any], bins: NDArray[np.intp], values: NDArray[np.float64], class_name: str) -> None:
    """Add one value after the other in the part's precision; integers stop at their largest value."""
    if part.dtype.kind == "f":
        np.add.at(part, bins, values.astype(part.dtype))
        return
    total = part.astype(np.int64)
    np.add.at(total, bins, values.astype(np.int64))
    largest = _LARGEST.get("TH1" + class_name[-1])
    part[:] = total if largest is None else total.clip(-largest, largest)


def _statistics(
    weight: NDArray[np.float64], coordinates: NDArray[np.float64], profiled: NDArray[np.float64] | None
) -> dict[str, NDArray[np.float64]]:
    """What each fill adds to the sums that ROOT keeps, by name."""
    added = root_sums.weight_terms(weight, weight * weight, [*coordinates.T])
    if profiled is not None:
        added |= root_sums.moments(root_sums.quantity(coordinates.shape[1]), weight, profiled)
    return added


def find_bins(axis: Axis, x: NDArray[np.float64]) -> NDArray[np.intp]:
    """Bin numbers, 0 below and ``len(axis) + 1`` above the axis and for NaN."""
    low, high = axis.edges[0], axis.edges[-1]
    if axis.regular:
        width = (high - low) / len(axis)
        inside = np.where((x >= low) & (x < high), x, low)
        number = 1 + (len(axis) * (inside - low) / (high - low)).astype(np.intp)
        number += inside >= low + number * width  # rounding never moves a value off its edge, since ROOT 6.38
        number -= inside < low + (number - 1) * width
    else:
        number = np.searchsorted(axis.edges, x, side="right")
    return np.where(x < low, 0, np.where(x < high, number, len(axis) + 1)).astype(np.intp)


def _axes(histogram: Histogram, root_object: RootObject, coordinates: NDArray[np.float64]) -> tuple[Axis, ...]:
    """The axes; automatic limits are set from the first fills."""
    roots = [root_object.members[f"f{letter}axis"].members for letter in "XYZ"[: len(histogram.axes)]]
    limits = [(float(x.min()), float(x.max())) for x in coordinates.T]
    if any(root["fXmax"] <= root["fXmin"] for root in roots):
        if root_object.members["fBits"] & _AUTO_POWER_OF_TWO or any(root["fBits"] & _IS_INTEGER for root in roots):
            raise SnapshotError(
                "its unflushed fill buffer would choose a binning in whole numbers or powers of two; owtrend cannot "
                "replay that: call BufferEmpty() before writing"
            )
        axes = []
        for axis, (low, high) in zip(histogram.axes, limits, strict=True):
            if low >= high and axis.labels:
                low, high = 0.0, float(len(axis))
            first, last = good_limits(len(axis), low, high)
            axes.append(replace(Axis.spaced(len(axis), first, last), title=axis.title, labels=axis.labels))
        return tuple(axes)
    for axis, root, (low, high) in zip(histogram.axes, roots, limits, strict=True):
        if root.get("fBits2", 0) & _CAN_EXTEND and (low < axis.edges[0] or high >= axis.edges[-1]):
            raise SnapshotError(
                "its unflushed fill buffer would extend an axis; owtrend cannot replay that: "
                "call BufferEmpty() before writing"
            )
    return histogram.axes


def good_limits(bins: int, low: float, high: float) -> tuple[float, float]:
    """Range that ROOT chooses for an axis of ``bins`` bins whose first fills lie from ``low`` to ``high``."""
    if low >= high:
        low, high = low - 1, high + 1
    margin = 0.1 * (high - low)
    begin = 0.0 if low - margin < 0 <= low else low - margin
    end = 0.0 if high + margin > 0 >= high else high + margin
    first, last, width = _round_limits(begin, end, bins)
    if not 0 < width <= 1e39:
        return -1.0, 1.0
    margin = 0.01 * (high - low)
    return min(first, low - margin), max(last, high + margin)


def _round_limits(low: float, high: float, bins: int) -> tuple[float, float, float]:
    """Limits that are multiples of 1, 2 or 5 times a power of ten, and that step."""
    if low == high:
        high = low + 1
    divisions = max(bins, 2)
    while True:
        step = (high - low) / divisions
        if not 0 < step < np.finfo(np.float32).max:
            return 0.0, 0.0, 0.0
        exponent = int(np.log10(step))
        if abs(exponent) > 200:
            return 0.0, 1.0, 0.01
        if step <= 1:
            exponent -= 1
        mantissa = step * 10.0**-exponent - 1e-10
        rounded = next((digit for digit in (1, 2, 5) if mantissa <= digit), 10)
        step = (1 if rounded == 10 else rounded) * 10.0 ** (exponent + (rounded == 10))
        if abs(low / step) > 1e9:
            return low, high, step
        below, above = low / step, high / step + 1.00001
        first, last = int(below) - (below < 0), int(above) - (above < 0)
        if bins > 5 and 2 * (last - first) == bins:  # half the bins would stay empty: a finer step
            divisions += 1
            continue
        break
    begin, end = step * first, step * last
    if bins == 1 and last - first != 1:
        step *= 2
    near = step * 1e-4
    inner_begin = begin + step if low - begin >= near else begin
    inner_end = end - step if end - high >= near else end
    return (inner_begin, inner_end, step) if inner_begin < inner_end else (begin, end, step)
