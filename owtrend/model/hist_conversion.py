"""Axes and bins of a `hist.Hist`, from ours and into ours."""

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


def as_hist(axes: Sequence[Axis], parts: Mapping[str, NDArray[Any]], *, flow: bool, title: str) -> "hist.Hist[Any]":
    """A `hist.Hist` of additive parts of shape ``(x[, y[, z]])``, with or without flow bins."""
    import hist

    made_axes = []
    for name, axis in zip("xyz", axes, strict=False):
        kept = {"labels": dict(axis.labels), "limits": (axis.edges[0], axis.edges[-1])}  # hist's edges are rounded
        options = {"name": name, "label": axis.title, "flow": flow, "metadata": kept}
        if axis.regular:
            made_axes.append(hist.axis.Regular(len(axis), axis.edges[0], axis.edges[-1], **options))
        else:
            made_axes.append(hist.axis.Variable(axis.edges, **options))
    if "contents" not in parts:
        made = hist.Hist(*made_axes, storage=hist.storage.WeightedMean(), label=title)
        view = made.view(flow=flow)
        entries = np.asarray(parts["bin_entries"], dtype=np.float64)
        mean = np.divide(parts["sumwy"], entries, out=np.zeros_like(entries), where=entries != 0)
        view["sum_of_weights"] = entries
        view["sum_of_weights_squared"] = parts.get("bin_sumw2", entries)
        view["value"] = mean
        view["_sum_of_weighted_deltas_squared"] = parts["sumwy2"] - entries * mean**2
        return made
    if "sumw2" in parts:
        made = hist.Hist(*made_axes, storage=hist.storage.Weight(), label=title)
        view = made.view(flow=flow)
        view["value"], view["variance"] = parts["contents"], parts["sumw2"]
        return made
    whole = parts["contents"].dtype.kind == "i"
    made = hist.Hist(*made_axes, storage=hist.storage.Int64() if whole else hist.storage.Double(), label=title)
    made.view(flow=flow)[...] = parts["contents"]
    return made


def axis_from_hist(axis: Any) -> Axis:
    """An axis of hist, flow bins or not."""
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
    """Additive parts of a `hist.Hist`, flat in ROOT's order, flow bins added where it has none."""
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
