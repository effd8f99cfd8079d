"""Conversion of axes and bins to and from `hist.Hist`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from owtrend.errors import DimsError
from owtrend.model.axis import Axis

if TYPE_CHECKING:
    import hist

__all__ = ["as_hist", "axis_from_hist", "parts_from_hist"]


_EXACT = 2**53  # whole numbers that float64 holds


def as_hist(
    axes: Sequence[Axis], parts: Mapping[str, NDArray[Any]], *, flow: bool, title: str, kept: Mapping[str, Any]
) -> "hist.Hist[Any]":
    """A `hist.Hist` of additive parts of shape ``(x[, y[, z]])``, with or without flow bins.

    Plain contents have Double storage, which uproot can write; only where it cannot hold them Int64. ``kept`` is what
    hist has no place for: ``class_name``, ``sums``, ``error_option`` and ``gauge`` go into its metadata.
    """
    import hist

    metadata = {**kept, "parts": tuple(parts)}
    hist_axes = []
    for name, axis in zip("xyz", axes, strict=False):
        kept = {"labels": dict(axis.labels), "limits": (axis.edges[0], axis.edges[-1])}  # hist's edges are rounded
        options = {"name": name, "label": axis.title, "flow": flow, "metadata": kept}
        if axis.regular:
            hist_axes.append(hist.axis.Regular(len(axis), axis.edges[0], axis.edges[-1], **options))
        else:
            hist_axes.append(hist.axis.Variable(axis.edges, **options))
    if "contents" not in parts:
        result = hist.Hist(*hist_axes, storage=hist.storage.WeightedMean(), label=title, metadata=metadata)
        view = result.view(flow=flow)
        entries = np.asarray(parts["bin_entries"], dtype=np.float64)
        mean = np.divide(parts["sumwy"], entries, out=np.zeros_like(entries), where=entries != 0)
        view["sum_of_weights"] = entries
        view["sum_of_weights_squared"] = parts.get("bin_sumw2", entries)
        view["value"] = mean
        view["_sum_of_weighted_deltas_squared"] = parts["sumwy2"] - entries * mean**2
        return result
    if "sumw2" in parts:
        result = hist.Hist(*hist_axes, storage=hist.storage.Weight(), label=title, metadata=metadata)
        view = result.view(flow=flow)
        view["value"], view["variance"] = parts["contents"], parts["sumw2"]
        return result
    contents = parts["contents"]
    large = contents.dtype.kind == "i" and bool((np.abs(contents.astype(np.float64)) > _EXACT).any())
    storage = hist.storage.Int64() if large else hist.storage.Double()
    result = hist.Hist(*hist_axes, storage=storage, label=title, metadata=metadata)
    result.view(flow=flow)[...] = contents
    return result


def axis_from_hist(axis: Any) -> Axis:
    """Convert an axis of hist, with or without flow bins."""
    kind, title = type(axis).__name__, "" if axis.label == axis.name else str(axis.label)  # hist labels by the name
    kept = axis.metadata if isinstance(axis.metadata, dict) else {}
    if kind in ("StrCategory", "IntCategory"):
        return replace(Axis.spaced(len(axis), 0, len(axis), title), labels={i + 1: str(x) for i, x in enumerate(axis)})
    if kind not in ("Regular", "Variable", "Integer", "Boolean"):
        raise DimsError(f"axis {axis.name!r} of kind {kind}; expected Regular, Variable, Integer or a category")
    edges = np.asarray(axis.edges, dtype=np.float64)
    regular = kind != "Variable" and getattr(axis, "transform", None) is None
    if regular:
        edges = Axis.spaced(len(edges) - 1, *kept.get("limits", edges[[0, -1]])).edges
    return Axis(edges, regular=regular, title=title, labels=kept.get("labels", {}))


def parts_from_hist(histogram: "hist.Hist[Any]") -> dict[str, NDArray[Any]]:
    """Additive parts of a `hist.Hist`, flat in ROOT's order; missing flow bins are added."""
    widths = [(int(not a.traits.underflow), int(not a.traits.overflow)) for a in histogram.axes]

    def flat(values: Any) -> NDArray[Any]:
        return np.pad(np.asarray(values), widths).ravel(order="F")

    view = histogram.view(flow=True)
    fields = view.dtype.names or ()
    if not fields:
        return {"contents": flat(view)}
    if fields == ("value", "variance"):
        return {"contents": flat(view["value"]), "sumw2": flat(view["variance"])}
    weighted = "sum_of_weights" in fields
    entries = view["sum_of_weights"] if weighted else view["count"]
    spread = view["_sum_of_weighted_deltas_squared"] if weighted else view["_sum_of_deltas_squared"]
    parts = {
        "sumwy": flat(view["value"] * entries),
        "sumwy2": flat(spread + entries * view["value"] ** 2),
        "bin_entries": flat(entries),
    }
    if weighted:
        parts["bin_sumw2"] = flat(view["sum_of_weights_squared"])
    return parts
