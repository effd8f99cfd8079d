"""State of a run as bytes and back: arrays and plain values of a few known classes, no code."""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from owtrend.errors import StoreError
from owtrend.model.axis import Axis
from owtrend.outliers.monitor import Counts, HistogramMonitor, RunningCounts
from owtrend.outliers.null_model import NullModel
from owtrend.trends.increments import Increments

__all__ = ["pack", "unpack"]

_CLASSES: Mapping[str, type] = {
    one.__name__: one for one in (Counts, HistogramMonitor, Increments, NullModel, RunningCounts)
}
_SMALLER = (np.uint8, np.uint16, np.uint32)  # in which counts are kept where they fit


def pack(value: Any) -> bytes:
    """A value of None, numbers, texts, lists, dicts, arrays, axes and the classes above."""
    arrays = bytearray()
    text = json.dumps(_tree(value, arrays)).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, arrays])


def unpack(data: bytes) -> Any:
    """What `pack` made.

    Raises
    ------
    StoreError
        If it is no such thing.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        return _value(json.loads(data[8 : 8 + length]), memoryview(data)[8 + length :])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise StoreError(f"the state of a run cannot be read ({error}); run `owtrend compute --force`") from error


def _tree(value: Any, arrays: bytearray) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return _tree(np.asarray(value), arrays)
    if isinstance(value, np.ndarray):
        kept = _smallest(value)
        arrays.extend(kept.tobytes())
        return {"array": [kept.dtype.str, value.dtype.str, list(value.shape), len(arrays) - kept.nbytes]}
    if isinstance(value, Axis):
        known = value.to_dict()
        if Axis.from_dict(known) != value:  # a part of a regular axis: its edges are those of the whole
            return {"axis": known, "edges": value.edges.tolist()}
        return {"axis": known}
    if is_dataclass(value) and type(value).__name__ in _CLASSES:
        known = {one.name: getattr(value, one.name) for one in fields(value)}
        if isinstance(value, Counts):
            known["line_sums"] = value.line_sums
        return {"of": type(value).__name__, "fields": {name: _tree(one, arrays) for name, one in known.items()}}
    if isinstance(value, deque):
        return {"deque": [_tree(one, arrays) for one in value], "length": value.maxlen}
    if isinstance(value, tuple):
        return {"tuple": [_tree(one, arrays) for one in value]}
    if isinstance(value, list) and len(value) > 1 and _alike(value):
        return {"rows": _tree(np.stack(value), arrays)}
    if isinstance(value, list):
        return [_tree(one, arrays) for one in value]
    if isinstance(value, Mapping):
        return {"items": [[_tree(key, arrays), _tree(one, arrays)] for key, one in value.items()]}
    raise TypeError(f"{type(value).__name__} is not packed")


def _alike(values: list[Any]) -> bool:
    first = values[0]
    return isinstance(first, np.ndarray) and all(
        isinstance(one, np.ndarray) and one.shape == first.shape and one.dtype == first.dtype for one in values
    )


def _smallest(values: np.ndarray) -> np.ndarray:
    """Counts as smaller whole numbers that are exactly equal; anything else as it is."""
    if values.dtype == np.float64 and values.size > 64:
        top = values.max()
        for dtype in _SMALLER:
            if 0 <= top <= np.iinfo(dtype).max and values.min() >= 0:
                small = values.astype(dtype)
                return small if np.array_equal(small, values) and not np.signbit(values).any() else values
    return np.ascontiguousarray(values)


def _value(tree: Any, data: memoryview) -> Any:
    if isinstance(tree, list):
        return [_value(one, data) for one in tree]
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        kept, dtype, shape, at = tree["array"]
        if np.dtype(kept).kind not in "biufM" or np.dtype(dtype).kind not in "biufM":
            raise ValueError(f"an array of {kept}")
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(data, dtype=kept, count=count, offset=at).astype(dtype).reshape(shape)
    if "rows" in tree:
        return list(_value(tree["rows"], data))
    if "axis" in tree:
        axis = Axis.from_dict(tree["axis"])
        return replace(axis, edges=np.asarray(tree["edges"], dtype=np.float64)) if "edges" in tree else axis
    if "of" in tree:
        known = {name: _value(one, data) for name, one in tree["fields"].items()}
        line_sums = known.pop("line_sums", None) if tree["of"] == "Counts" else None
        made = _CLASSES[tree["of"]](**known)
        if line_sums is not None:
            vars(made)["line_sums"] = line_sums
        return made
    if "deque" in tree:
        return deque((_value(one, data) for one in tree["deque"]), maxlen=tree["length"])
    if "tuple" in tree:
        return tuple(_value(one, data) for one in tree["tuple"])
    return {_value(key, data): _value(one, data) for key, one in tree["items"]}
