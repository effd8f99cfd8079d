"""Histograms, as xarray holds them -> HoloViews elements. Nothing here keeps state or reads a store.

Every element brings its limits with it and redraws in place: in a `holoviews.DynamicMap` it follows the data until the
user zooms, and then leaves the user's view alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh  # registers the options of Bokeh's plots
import numpy as np
import xarray as xr
from numpy.typing import NDArray

import owtrend
from dashboards.pictures import theme
from dashboards.pictures.axes import BinAxis, limits

__all__ = [
    "CROWD",
    "TOOLS",
    "as_xy",
    "following",
    "frame",
    "histogram",
    "is_profile",
    "mesh",
    "printf",
    "told",
]

CROWD = 200  # of more bins than this, error bars are a smear; the hover still tells each
TOOLS = ["pan", "box_zoom", "wheel_zoom", "reset", "save"]
_SHARE = {"entries": "share of entries", "content": "content per entry"}
_AXIS_COORDS = ("", "_left", "_right", "_label")
_BARS = {"color": theme.BLUE, "line_width": 1, "lower_head": None, "upper_head": None}


def histogram(
    content: xr.Dataset, *, title: str = "", log: bool = False, normalised: bool = False,
    others: Mapping[int, xr.Dataset | None] | None = None,
) -> hv.Element | hv.Overlay:  # fmt: skip
    """The picture of a histogram of one or two axes that has no rows in time, such as `owtrend.time_slice` gives.

    A 1-D histogram is a step line over its true bin edges with error bars, a profile is points with errors, 2-D is
    coloured by content with empty bins left blank.

    Parameters
    ----------
    title
        Pictures of one histogram are zoomed together along its axes; heights apart for each title.
    log
        Logarithmic contents: the y axis in 1-D, the colours in 2-D. Bins at or below zero are then not drawn. A
        profile in 1-D is always linear.
    normalised
        Contents per entry of the histogram. Means of a profile stay as they are.
    others
        The same histogram in further runs, drawn over it in the colours of `theme.RUNS`, in 1-D; None draws nothing.
    """
    table, label = _table(content, normalised)
    if "y" in table.dims:
        return _map(table, title, label, log)
    further = [None if one is None else _table(one, normalised)[0] for one in (others or {}).values()]
    beside = _Beside(tuple(others or ()), tuple(further))
    if is_profile(content):
        return _points(table, title, label, beside)
    return _steps(table, title, label, log, beside)


def is_profile(content: xr.Dataset) -> bool:
    """Whether it holds means per bin, and not contents."""
    return "sumwy" in content or bool(content.attrs.get("profile"))


@dataclass(frozen=True)
class _Beside:
    """The same histogram of further runs, as lines."""

    runs: tuple[int, ...]
    tables: tuple[xr.Dataset | None, ...]

    def heights(self, log: bool) -> list[float]:
        """Whatever limits must hold."""
        values = [_value_and_error(one)[0] for one in self.tables if one is not None]
        return [height for one in values for height in one[np.isfinite(one) & ((one > 0) | (not log))].tolist()]

    def drawn(self, dims: list[Any], base: float, log: bool = False) -> list[hv.Element]:
        """A line for each, and the error bars of all; not one element with a colour for each line, which goes to the
        browser as text and is drawn 20 times slower.
        """
        lines, bars = [], [np.empty((0, 4))]
        colours: list[str] = []
        few = all(table is None or table.sizes["x"] <= CROWD for table in self.tables)
        for number, table in enumerate(self.tables):
            left, right, heights, error = np.empty((4, 0))
            if table is not None:
                axis, (value, error) = BinAxis.of(table, "x"), _value_and_error(table)
                left, right = axis.left, axis.right
                shown = np.isfinite(value) & ((value > 0) | (not log))
                heights = np.where(shown, value, np.nan if is_profile(table) else base)
            thin = {"line_width": 0.5, "alpha": 0.7} if len(left) > 5 * CROWD else {"line_width": 1.2}
            along = np.stack([left, right], axis=1).ravel()
            curve = hv.Curve((along, np.repeat(heights, 2)), *dims, label=f"Run {self.runs[number]}")
            lines.append(curve.opts(color=theme.RUNS[number], show_legend=False, **thin))
            if few:
                shown = np.isfinite(heights) & (heights > base) & (error > 0)
                at = (left + (right - left) * (number + 1) / (len(self.runs) + 1))[shown]
                low, high = (heights - error)[shown], (heights + error)[shown]
                bars.append(np.stack([at, np.maximum(low, base) if log else low, at, high], axis=1))
                colours += [theme.RUNS[number]] * len(at)
        if not lines:
            return []
        if len(bars) == 1:  # of a crowd of bins
            return lines
        columns = np.concatenate(bars).T
        whiskers = hv.Segments((*columns, np.array(colours, dtype=object)), [*dims, "to", "high"], ["colour"])
        return [whiskers.opts(color=hv.dim("colour"), line_width=1, alpha=0.8), *lines]


def as_xy(content: xr.Dataset) -> xr.Dataset:
    """A histogram whose axes are called x and y, whichever they were."""
    have = [axis for axis in "xyz" if axis in content.dims]
    called = {f"{old}{end}": f"{new}{end}" for old, new in zip(have, "xy", strict=False) for end in _AXIS_COORDS}
    variable = tuple(called[axis] for axis in content.attrs["variable_axes"])
    renamed = content.rename({old: new for old, new in called.items() if old != new and old in content.variables})
    return renamed.assign_attrs(variable_axes=variable)


def _table(content: xr.Dataset, normalised: bool) -> tuple[xr.Dataset, str]:
    """Values and variances, and what they are; the axes are called x and y."""
    content = as_xy(content)
    table = owtrend.values(content)
    if is_profile(content):
        return table.assign_attrs(profile=True), "mean"
    label = "entries" if table["value"].dtype.kind == "i" else "content"
    if not normalised:
        return table, label
    entries = float(content["sums"].sel(sum="entries")) or np.nan
    return table.assign(value=table["value"] / entries, variance=table["variance"] / entries**2), _SHARE[label]


def _steps(table: xr.Dataset, title: str, label: str, log: bool, beside: _Beside) -> hv.Overlay:
    axis, (value, error) = BinAxis.of(table, "x"), _value_and_error(table)
    shown = np.isfinite(value) & ((value > 0) | (not log))
    tops = [*np.stack([value, value + error])[:, shown].ravel(), *beside.heights(log)]
    low, high = limits(tops, log=log, zero=True)
    base = low * 1e-9 if log else 0.0  # a logarithmic axis has no zero; so deep that no zoom ends there
    heights, height = np.where(shown, value, base), _height(title)
    labels = {"label": axis.labels} if axis.labels else {}  # only then: text takes its time to reach the browser
    bins = hv.Rectangles(
        (axis.left, np.full(len(value), base), axis.right, heights, value, error, *labels.values()),
        [axis.dimension, height, "right", "top"], ["content", "error", *labels],
    ).opts(
        fill_color=theme.BLUE, fill_alpha=0.14, line_color=None, hover_mode="vline",
        hover_tooltips=[*axis.tooltips("left", "right"), (label, told("content"))],
        hover_formatters=printf("left", "right", "content", "error"),
    )  # fmt: skip
    along = np.concatenate([axis.left[:1], np.stack([axis.left, axis.right], axis=1).ravel(), axis.right[-1:]])
    outline = np.concatenate([[base], np.repeat(heights, 2), [base]])
    thin = {"line_width": 0.5, "alpha": 0.7} if len(value) > 5 * CROWD else {"line_width": 1.2}
    line = hv.Curve((along, outline), axis.dimension, height).opts(color=theme.BLUE, **thin)
    marked = shown & (error > 0) & (len(value) <= CROWD)
    down = np.minimum(error, heights - base)[marked] if log else error[marked]
    whiskers = axis.centres[marked], heights[marked], down, error[marked]
    bars = hv.ErrorBars(whiskers, axis.dimension, [height, "down", "up"]).opts(**_BARS)
    further = beside.drawn([axis.dimension, height], base, log)
    return hv.Overlay([bins, *further, line, bars]).opts(**_heights(axis, title, label, (low, high)), logy=log)


def _points(table: xr.Dataset, title: str, label: str, beside: _Beside) -> hv.Overlay:
    axis, (value, error), height = BinAxis.of(table, "x"), _value_and_error(table), _height(title)
    known = np.isfinite(value)
    left, right, value, error = axis.left[known], axis.right[known], value[known], error[known]
    labels = np.array(axis.labels or [""] * len(known), dtype=object)[known]
    centre = (left + right) / 2
    widths = hv.Segments((left, value, right, value), [axis.dimension, height, "to", "same"])
    few = slice(None) if len(known) <= CROWD else slice(0)
    bars = hv.ErrorBars((centre[few], value[few], error[few]), axis.dimension, [height, "error"]).opts(**_BARS)
    points = hv.Scatter(
        (centre, value, error, left, right, labels), axis.dimension, [height, "error", "left", "right", "label"]
    ).opts(
        color=theme.BLUE, size=6 if len(known) <= CROWD else 2,
        hover_tooltips=[*axis.tooltips("left", "right"), (label, told("height"))],
        hover_formatters=printf("left", "right", "height", "error"),
    )  # fmt: skip
    further = beside.drawn([axis.dimension, height], -np.inf)
    picture = hv.Overlay([*further, widths.opts(color=theme.BLUE, line_width=1), bars, points])
    ylim = limits([*(value - error), *(value + error), *beside.heights(False)])
    return picture.opts(**_heights(axis, title, label, ylim))


def _map(table: xr.Dataset, title: str, label: str, log: bool) -> hv.QuadMesh | hv.Image:
    content, error = (part.astype(np.float32) for part in _value_and_error(table.transpose("y", "x")))
    empty = (content <= 0) if log else (content == 0) & (error == 0)
    colour = np.where(empty, np.nan, content)
    parts = {"colour": colour, "content": content, "error": error}
    return mesh(
        table, parts, [(label, told("content"))], title=title if label == "entries" else f"{title} · {label}",
        clim=limits(colour, log=log, padding=0.0), cmap=theme.CMAP, cnorm="log" if log else "linear",
    )  # fmt: skip


def mesh(
    table: xr.Dataset, parts: Mapping[str, NDArray[Any]], lines: Sequence[tuple[str, str]], *, title: str,
    **options: Any,
) -> hv.QuadMesh | hv.Image:  # fmt: skip
    """A map of the bins of x and y, NaN left blank.

    Parameters
    ----------
    parts
        Arrays ``(y, x)`` by name: the colour, and what the tooltip tells.
    lines
        Of the tooltip, below the bin.
    """
    x, y = BinAxis.of(table, "x"), BinAxis.of(table, "y")
    options = frame(x, title) | y.ticks("y") | {
        "ylabel": y.title, "ylim": y.limits, "clabel": "", "colorbar": True, "bgcolor": theme.FRAME,
        "clipping_colors": {"NaN": "rgba(0, 0, 0, 0)"}, "hooks": [theme.figure],
    } | options  # fmt: skip
    dims, told_parts = [x.dimension, y.dimension], printf(*list(parts)[1:])
    if x.regular and y.regular:  # one image, not one box per bin: 512 x 512 bins redraw at once
        bounds = (x.limits[0], y.limits[0], x.limits[1], y.limits[1])
        return hv.Image(np.dstack(list(parts.values()))[::-1], dims, list(parts), bounds=bounds).opts(
            **options, hover_tooltips=[(x.title or "x", "$x{0}"), (y.title or "y", "$y{0}"), *lines],
            hover_formatters=told_parts | {"$x": x.under_cursor("x"), "$y": y.under_cursor("y")},
        )  # fmt: skip
    return hv.QuadMesh((x.edges, y.edges, *parts.values()), dims, list(parts)).opts(
        **options, line_color=None,
        hover_tooltips=[x.tooltip("left", "right", "x"), y.tooltip("bottom", "top", "y"), *lines],
        hover_formatters=told_parts | printf("left", "right", "bottom", "top"),
    )  # fmt: skip


def _value_and_error(table: xr.Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return table["value"].values.astype(np.float64), np.sqrt(np.abs(table["variance"].values))


def _height(title: str) -> hv.Dimension:
    """The dimension of heights, another for each title, for heights are not zoomed together."""
    return hv.Dimension("height", label=f"height in {title}")


def told(column: str) -> str:
    """What the tooltip says of a bin: a column and its error."""
    return f"@{{{column}}}{{%.6g}} ± @{{error}}{{%.3g}}"


def printf(*columns: str) -> dict[str, Any]:
    """Formatters by which these columns of a tooltip are written as ``%.6g`` and the like."""
    return {f"@{{{name}}}": "printf" for name in columns}


def frame(x: BinAxis, title: str) -> dict[str, Any]:
    """Options that the pictures of all histograms have in common."""
    return {
        "title": title, "fontsize": theme.SIZES, "xlabel": x.title, "xlim": x.limits, "responsive": True,
        "default_tools": TOOLS, "active_tools": ["box_zoom"], **x.ticks("x"),
    }  # fmt: skip


def _heights(x: BinAxis, title: str, label: str, ylim: tuple[float, float]) -> dict[str, Any]:
    """Options of a 1-D picture."""
    hooks = [theme.figure, following(*ylim)]
    return frame(x, title) | {"ylabel": label, "ylim": ylim, "show_grid": True, "hooks": hooks}


def following(low: float, high: float) -> Callable[[Any, Any], None]:
    """Hook: the y axis takes new limits, unless the user has zoomed; reset always leads to the new ones."""

    def hook(plot: Any, _: Any) -> None:
        axis = plot.handles["y_range"]
        untouched = (axis.start, axis.end) == (axis.reset_start, axis.reset_end)
        axis.update(reset_start=low, reset_end=high)
        if untouched:
            axis.update(start=low, end=high)

    return hook
