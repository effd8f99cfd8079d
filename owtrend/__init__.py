"""owtrend: snapshots of detector histograms -> time slices, trends and outliers that people can trust.

``import owtrend`` is quick: each name loads what it needs when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from owtrend.archive import Archive, open  # noqa: A004 - owtrend.open
    from owtrend.comparison.compare import compare
    from owtrend.comparison.patches import patches
    from owtrend.errors import OwtrendError
    from owtrend.histograms.labelled import to_hist, to_xarray, values
    from owtrend.histograms.projection import project, rebin
    from owtrend.histograms.ratio import efficiency, ratio
    from owtrend.histograms.time_slice import increments, time_slice
    from owtrend.learned.shape import Learned, learn_shape
    from owtrend.learned.shape_models import shape_model
    from owtrend.model.axis import Axis
    from owtrend.model.histogram import Histogram
    from owtrend.model.snapshot import Snapshot
    from owtrend.trends.changepoint import change_points
    from owtrend.trends.reductors import reductor

__all__ = [
    "Archive",
    "Axis",
    "Histogram",
    "Learned",
    "OwtrendError",
    "Snapshot",
    "change_points",
    "compare",
    "efficiency",
    "increments",
    "learn_shape",
    "open",
    "patches",
    "project",
    "ratio",
    "rebin",
    "reductor",
    "shape_model",
    "time_slice",
    "to_hist",
    "to_xarray",
    "values",
]
__version__ = "0.1.0"

_HOME = {
    "Archive": "archive",
    "open": "archive",
    "to_hist": "histograms.labelled",
    "to_xarray": "histograms.labelled",
    "values": "histograms.labelled",
    "change_points": "trends.changepoint",
    "increments": "histograms.time_slice",
    "time_slice": "histograms.time_slice",
    "project": "histograms.projection",
    "rebin": "histograms.projection",
    "reductor": "trends.reductors",
    "efficiency": "histograms.ratio",
    "ratio": "histograms.ratio",
    "compare": "comparison.compare",
    "patches": "comparison.patches",
    "Learned": "learned.shape",
    "learn_shape": "learned.shape",
    "shape_model": "learned.shape_models",
    "OwtrendError": "errors",
    "Axis": "model.axis",
    "Histogram": "model.histogram",
    "Snapshot": "model.snapshot",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"owtrend.{_HOME[name]}"), name)
    raise AttributeError(f"module 'owtrend' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
