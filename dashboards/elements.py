"""Histograms and trends, as xarray holds them -> HoloViews elements. Nothing here keeps state or reads a store.

Every element brings its limits with it and redraws in place: in a `holoviews.DynamicMap` it follows the data until the
user zooms, and then leaves the user's view alone.
"""

from collections.abc import Callable
from typing import Any

import holoviews as hv
import holoviews.plotting.bokeh  # registers the options of Bokeh's plots
import numpy as np
import xarray as xr
from bokeh.models import BoxAnnotation, DatetimeTickFormatter
from numpy.typing import NDArray

import owtrend
from dashboards import theme
from dashboards.axes import BinAxis, limits

__all__ = ["histogram", "is_profile", "time_limits", "trend"]

CROWD = 200  # of more bins than this, error bars are a smear; the hover still tells each
_TOOLS = ["pan", "box_zoom", "wheel_zoom", "reset", "save"]
_BARS = {"color": theme.BLUE, "line_width": 1, "lower_head": None, "upper_head": None}


def histogram(content: xr.Dataset, *, title: str = "", log: bool = False) -> hv.Element | hv.Overlay:
    """The picture of a histogram that has no rows in time, such as `owtrend.time_slice` gives.

    A 1-D histogram is a step line over its true bin edges with error bars, a profile is points with errors, 2-D is
    coloured by content with empty bins left blank. 3-D is shown as its projection on x and y, and the title says so.

    Parameters
    ----------
    title
        Pictures of one histogram are zoomed together along its axes; heights apart for each title.
    log
        Logarithmic contents: the y axis in 1-D, the colours in 2-D. Bins at or below zero are then not drawn. A
        profile in 1-D is always linear.
    """
    if "z" in content.dims:
        content, title = content.sum("z", keep_attrs=True), f"{title} · projection, sum over z".removeprefix(" · ")
    table = owtrend.values(content)
    label = "mean" if is_profile(content) else "entries" if table["value"].dtype.kind == "i" else "content"
    if "y" in table.dims:
        return _map(table, title, label, log)
    return _points(table, title, label) if is_profile(content) else _steps(table, title, label, log)


def is_profile(content: xr.Dataset) -> bool:
    """Whether it holds means per bin, and not contents."""
    return "sumwy" in content


def trend(
    table: xr.Dataset, *, title: str = "", label: str = "value", shade: BoxAnnotation | None = None
) -> hv.Overlay:  # fmt: skip
    """Value and error over UTC time, as `Archive.trend` gives them for one run.

    A snapshot in which the histogram did not report is no measurement: a hollow point if it has a value (no entries),
    else nothing. ``shade`` is put below it: a box whose ``left`` and ``right`` can be set at any time.
    """
    finite, reported = np.isfinite(table["value"].values), table["reported"].values
    known, silent = finite & reported, finite & ~reported
    times, value = table["time"].values[known], table["value"].values[known]
    error = np.nan_to_num(table["error"].values[known])
    unreported = hv.Scatter((table["time"].values[silent], table["value"].values[silent]), "time", "value").opts(
        color="white", line_color=theme.TICK, size=4, nonselection_alpha=1,
        hover_tooltips=[("UTC", "@{time}{%F %T}"), (label, "not reported")],
        hover_formatters={"@{time}": "datetime"},
    )  # fmt: skip
    line = hv.Curve((times, value), "time", "value").opts(color=theme.BLUE, line_width=1, alpha=0.4)
    bars = hv.ErrorBars((times, value, error), "time", ["value", "error"]).opts(**_BARS)
    points = hv.Scatter((times, value, error), "time", ["value", "error"]).opts(
        color=theme.BLUE, size=6 if len(times) <= CROWD else 3, nonselection_alpha=1, tools=["xbox_select"],
        hover_tooltips=[("UTC", "@{time}{%F %T}"), (label, _told("value"))],
        hover_formatters=_printf("value", "error") | {"@{time}": "datetime"},
    )  # fmt: skip
    clock = DatetimeTickFormatter(
        seconds="%H:%M:%S", minsec="%H:%M:%S", minutes="%H:%M", hourmin="%H:%M", hours="%H:%M", days="%d %b %H:%M"
    )
    hooks = [theme.figure] + ([] if shade is None else [lambda plot, _: plot.state.add_layout(shade)])
    low_and_high = [*(value - error), *(value + error), *table["value"].values[silent]]
    return (line * bars * unreported * points).opts(
        title=title, fontsize=theme.SIZES, xlabel="UTC", ylabel=label, xformatter=clock, responsive=True,
        xlim=time_limits(table), ylim=limits(low_and_high), show_grid=True, hooks=hooks,
        default_tools=_TOOLS, active_tools=["xbox_select"],
    )  # fmt: skip


def time_limits(table: xr.Dataset) -> tuple[np.datetime64, np.datetime64]:
    """The span of a run's time axis: its snapshots, and before the first as much as lies between two."""
    times = table["time"].values
    step = np.median(np.diff(times)) if len(times) > 1 else np.timedelta64(60, "s")
    return times[0] - step, times[-1] + step / 3


def _steps(table: xr.Dataset, title: str, label: str, log: bool) -> hv.Overlay:
    axis, (value, error) = BinAxis.of(table, "x"), _value_and_error(table)
    shown = np.isfinite(value) & ((value > 0) | (not log))
    low, high = limits(np.stack([value, value + error])[:, shown], log=log, zero=True)
    base = low * 1e-9 if log else 0.0  # a logarithmic axis has no zero; so deep that no zoom ends there
    heights, height = np.where(shown, value, base), _height(title)
    bins = hv.Rectangles(
        (axis.left, np.full(len(value), base), axis.right, heights, value, error, axis.labels or [""] * len(value)),
        [axis.dimension, height, "right", "top"], ["content", "error", "label"],
    ).opts(
        fill_color=theme.BLUE, fill_alpha=0.14, line_color=None, hover_mode="vline",
        hover_tooltips=[*axis.tooltips("left", "right"), (label, _told("content"))],
        hover_formatters=_printf("left", "right", "content", "error"),
    )  # fmt: skip
    along = np.concatenate([axis.left[:1], np.stack([axis.left, axis.right], axis=1).ravel(), axis.right[-1:]])
    outline = np.concatenate([[base], np.repeat(heights, 2), [base]])
    thin = {"line_width": 0.5, "alpha": 0.7} if len(value) > 5 * CROWD else {"line_width": 1.2}
    line = hv.Curve((along, outline), axis.dimension, height).opts(color=theme.BLUE, **thin)
    marked = shown & (error > 0) & (len(value) <= CROWD)
    down = np.minimum(error, heights - base)[marked] if log else error[marked]
    whiskers = axis.centres[marked], heights[marked], down, error[marked]
    bars = hv.ErrorBars(whiskers, axis.dimension, [height, "down", "up"]).opts(**_BARS)
    return (bins * line * bars).opts(**_heights(axis, title, label, (low, high)), logy=log)


def _points(table: xr.Dataset, title: str, label: str) -> hv.Overlay:
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
        hover_tooltips=[*axis.tooltips("left", "right"), (label, _told("height"))],
        hover_formatters=_printf("left", "right", "height", "error"),
    )  # fmt: skip
    picture = widths.opts(color=theme.BLUE, line_width=1) * bars * points
    return picture.opts(**_heights(axis, title, label, limits([value - error, value + error])))


def _map(table: xr.Dataset, title: str, label: str, log: bool) -> hv.QuadMesh | hv.Image:
    content, error = (part.astype(np.float32) for part in _value_and_error(table.transpose("y", "x")))
    empty = (content <= 0) if log else (content == 0) & (error == 0)
    colour = np.where(empty, np.nan, content)
    x, y = BinAxis.of(table, "x"), BinAxis.of(table, "y")
    options = _frame(x, title if label == "entries" else f"{title} · {label}") | y.ticks("y") | {
        "ylabel": y.title, "ylim": y.limits, "clim": limits(colour, log=log, padding=0.0), "clabel": "",
        "cmap": theme.CMAP, "cnorm": "log" if log else "linear", "colorbar": True, "bgcolor": theme.FRAME,
        "clipping_colors": {"NaN": "rgba(0, 0, 0, 0)"}, "hooks": [theme.figure],
    }  # fmt: skip
    dims, parts, told = [x.dimension, y.dimension], ["colour", "content", "error"], (label, _told("content"))
    if x.regular and y.regular:  # one image, not one box per bin: 512 x 512 bins redraw at once
        bounds = (x.limits[0], y.limits[0], x.limits[1], y.limits[1])
        return hv.Image(np.dstack([colour, content, error])[::-1], dims, parts, bounds=bounds).opts(
            **options, hover_tooltips=[(x.title or "x", "$x{0}"), (y.title or "y", "$y{0}"), told],
            hover_formatters=_printf("content", "error") | {"$x": x.under_cursor("x"), "$y": y.under_cursor("y")},
        )  # fmt: skip
    return hv.QuadMesh((x.edges, y.edges, colour, content, error), dims, parts).opts(
        **options, line_color=None,
        hover_tooltips=[x.tooltip("left", "right", "x"), y.tooltip("bottom", "top", "y"), told],
        hover_formatters=_printf("left", "right", "bottom", "top", "content", "error"),
    )  # fmt: skip


def _value_and_error(table: xr.Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return table["value"].values.astype(np.float64), np.sqrt(np.abs(table["variance"].values))


def _height(title: str) -> hv.Dimension:
    """The dimension of heights, another for each title, for heights are not zoomed together."""
    return hv.Dimension("height", label=f"height in {title}")


def _told(column: str) -> str:
    """What the tooltip says of a bin: a column and its error."""
    return f"@{{{column}}}{{%.6g}} ± @{{error}}{{%.3g}}"


def _printf(*columns: str) -> dict[str, Any]:
    """Formatters by which these columns of a tooltip are written as ``%.6g`` and the like."""
    return {f"@{{{name}}}": "printf" for name in columns}


def _frame(x: BinAxis, title: str) -> dict[str, Any]:
    """Options that the pictures of all histograms have in common."""
    return {
        "title": title, "fontsize": theme.SIZES, "xlabel": x.title, "xlim": x.limits, "responsive": True,
        "default_tools": _TOOLS, "active_tools": ["box_zoom"], **x.ticks("x"),
    }  # fmt: skip


def _heights(x: BinAxis, title: str, label: str, ylim: tuple[float, float]) -> dict[str, Any]:
    """Options of a 1-D picture."""
    hooks = [theme.figure, _following(*ylim)]
    return _frame(x, title) | {"ylabel": label, "ylim": ylim, "show_grid": True, "hooks": hooks}


def _following(low: float, high: float) -> Callable[[Any, Any], None]:
    """Hook: the y axis takes new limits, unless the user has zoomed; reset always leads to the new ones."""

    def hook(plot: Any, _: Any) -> None:
        axis = plot.handles["y_range"]
        untouched = (axis.start, axis.end) == (axis.reset_start, axis.reset_end)
        axis.update(reset_start=low, reset_end=high)
        if untouched:
            axis.update(start=low, end=high)

    return hook
