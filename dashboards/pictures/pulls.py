"""Pulls of a time slice against a reference -> HoloViews elements: bars in 1-D, a diverging map in 2-D."""

import holoviews as hv
import numpy as np

from dashboards.pictures import theme
from dashboards.pictures.axes import BinAxis
from dashboards.pictures.histogram import as_xy, following, frame, is_profile, mesh, printf
from dashboards.state.reference import Compared
from owtrend.histograms.labelled import values

__all__ = ["pulls"]

_LEAST, _MOST = 5.0, 12.0  # sigma; range of a picture at least, of the colours of a map at most
_EXPECTED = ("expected", "@expected{%.6g}")


def pulls(data: Compared) -> hv.Element | hv.Overlay:
    """Difference of each bin from the expected content, in standard deviations: vermilion above, blue below.

    The range is symmetric, at least 5. Colours of a map end at 12, so that one hot bin does not hide the rest; hover
    text has the true pull.
    """
    table = as_xy(data.shown)
    title, label = f"Pulls {data.words}", "mean" if is_profile(table) else "content"
    content, expected, pull = values(table)["value"], table["expected"], table["pull"]
    largest = float(np.nanmax(np.abs(pull.values), initial=0.0))
    lines = [(label, "@content{%.6g}"), _EXPECTED, ("pull", "@pull{%.1f}")]
    if "y" in table.dims:
        maps = [part.transpose("y", "x").values.astype(np.float32) for part in (pull, pull, content, expected)]
        parts = dict(zip(("colour", "pull", "content", "expected"), maps, strict=True))
        end = float(np.clip(largest, _LEAST, _MOST))
        few = {} if "y_label" in table.coords else {"yticks": 4}  # the picture is not high
        return mesh(table, parts, lines, title=title, clim=(-end, end), cmap=theme.DIVERGING, **few)
    axis, high = BinAxis.from_histogram(table, "x"), 1.08 * max(_LEAST, largest)
    labels = {"label": np.array(axis.labels, dtype=object)} if axis.labels else {}
    arrays = [axis.left, pull.values, axis.right, content.values, expected.values]
    dims = [axis.dimension, hv.Dimension("height", label="height in Pulls"), "right", "pull"]
    bars = []
    for colour, side in ((theme.VERMILION, pull.values >= 0), (theme.BLUE, pull.values < 0)):
        left, top, right, *rest = (array[side] for array in [*arrays, *labels.values()])
        columns = (left, np.zeros(len(left)), right, top, *rest)
        bars.append(
            hv.Rectangles(columns, dims, ["content", "expected", *labels]).opts(
                fill_color=colour, fill_alpha=0.65, line_color=None, hover_mode="vline",
                hover_tooltips=[*axis.tooltips("left", "right"), *lines],
                hover_formatters=printf("left", "right", "content", "expected", "pull"),
            )
        )  # fmt: skip
    zero = hv.HLine(0).opts(color=theme.TICK, line_width=1)
    return hv.Overlay([*bars, zero]).opts(
        **frame(axis, title), ylabel="pull", ylim=(-high, high), yticks=3, show_grid=True,
        hooks=[theme.figure, following(-high, high)],
    )  # fmt: skip
