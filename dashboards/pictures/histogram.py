"""Histograms as xarray datasets -> HoloViews elements; keeps no state and reads no store.

Every element brings its limits with it and redraws in place: in a `holoviews.DynamicMap` it follows the data until the
user zooms, and then keeps the user's zoom.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from dashboards.pictures.coarse import coarse
from owtrend.detectors import Line

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
    "with_error",
]

_LINES = "lines of the detector"
CROWD = 200  # error bars of more bins are a smear; the hover text still has each error
TOOLS = ["pan", "box_zoom", "wheel_zoom", "reset", "save"]
_PER_ENTRY = {"entries": "fraction of entries", "content": "content per entry"}
_AXIS_COORDS = ("", "_left", "_right", "_label")
_BARS = {"color": theme.BLUE, "line_width": 1, "lower_head": None, "upper_head": None}


def histogram(
    content: xr.Dataset, *, title: str = "", log: bool = False, normalised: bool = False,
    others: Mapping[int, xr.Dataset | None] | None = None, lines: Sequence[Line] = (),
    events: Callable[[xr.Dataset], float | None] = lambda _: None,
) -> hv.Element | hv.Overlay:  # fmt: skip
    """The picture of a histogram of one or two axes, without rows in time, such as a time slice.

    A 1-D histogram is a step line over its true bin edges with error bars, a profile is points with errors, 2-D is
    coloured by content with empty bins left blank.

    Parameters
    ----------
    title
        Pictures of one histogram share the zoom of its axes; heights are zoomed separately for each title.
    log
        Logarithmic contents: the y axis in 1-D, the colours in 2-D. Bins at or below zero are then not drawn. A
        profile in 1-D is always linear.
    normalised
        Contents per entry of the histogram. Means of a profile stay as they are.
    others
        The same histogram in further runs, drawn over it in the colours of `theme.RUNS`, in 1-D; None draws nothing.
        Labelled bins are drawn where this histogram has their label.
    lines
        Drawn over a map, such as the edges of detector modules.
    events
        Gives the number of events by which the contents of a slice are divided; None: they are not.
    """
    content = coarse(as_xy(content))
    table, label = _table(content, normalised, events)
    title = " · ".join([title, *_merged_words(content)])
    if "y" in table.dims:
        return _map(table, title, label, log, lines)
    further = [
        None if one is None else _by_label(_table(coarse(as_xy(one)), normalised, events)[0], table)
        for one in (others or {}).values()
    ]
    overlay = _Overlay(tuple(others or ()), tuple(further))
    if is_profile(content):
        return _points(table, title, label, overlay)
    return _steps(table, title, label, log, overlay)


def is_profile(content: xr.Dataset) -> bool:
    """True for a histogram of means per bin instead of contents."""
    return "sumwy" in content or bool(content.attrs.get("profile"))


@dataclass(frozen=True)
class _Overlay:
    """The same histogram in further runs, drawn as lines."""

    runs: tuple[int, ...]
    tables: tuple[xr.Dataset | None, ...]

    def heights(self, log: bool) -> list[float]:
        """Heights that the limits of the picture must include."""
        values = [_value_and_error(table)[0] for table in self.tables if table is not None]
        return [height for row in values for height in row[np.isfinite(row) & ((row > 0) | (not log))].tolist()]

    def drawn(self, dims: list[Any], base: float, log: bool = False) -> list[hv.Element]:
        """A line per run, and the error bars of all. One element with a colour per line would reach the browser as
        text, and be drawn 20 times slower.
        """
        lines, bars = [], [np.empty((0, 4))]
        colours: list[str] = []
        few = all(table is None or table.sizes["x"] <= CROWD for table in self.tables)
        for number, table in enumerate(self.tables):
            left, right, heights, error = np.empty((4, 0))
            if table is not None:
                axis, (value, error) = BinAxis.from_histogram(table, "x"), _value_and_error(table)
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
        if len(bars) == 1:  # too many bins for error bars
            return lines
        columns = np.concatenate(bars).T
        whiskers = hv.Segments((*columns, np.array(colours, dtype=object)), [*dims, "to", "high"], ["colour"])
        return [whiskers.opts(color=hv.dim("colour"), line_width=1, alpha=0.8), *lines]


def as_xy(content: xr.Dataset) -> xr.Dataset:
    """A histogram with its axes renamed to x and y."""
    have = [axis for axis in "xyz" if axis in content.dims]
    names = {f"{old}{end}": f"{new}{end}" for old, new in zip(have, "xy", strict=False) for end in _AXIS_COORDS}
    variable = tuple(names[axis] for axis in content.attrs["variable_axes"])
    renamed = content.rename({old: new for old, new in names.items() if old != new and old in content.variables})
    return renamed.assign_attrs(variable_axes=variable)


def _table(
    content: xr.Dataset, normalised: bool, events: Callable[[xr.Dataset], float | None]
) -> tuple[xr.Dataset, str]:
    """Values and variances, and the name of the values."""
    table = owtrend.values(content)
    if is_profile(content):
        return table.assign_attrs(profile=True), "mean"
    label = "entries" if table["value"].dtype.kind == "i" else "content"
    if not normalised:
        if (scale := events(content)) is None:
            return table, label
        return table.assign(value=table["value"] / scale, variance=table["variance"] / scale**2), f"{label} per event"
    entries = float(content["sums"].sel(sum="entries")) or np.nan
    return table.assign(value=table["value"] / entries, variance=table["variance"] / entries**2), _PER_ENTRY[label]


def _merged_words(content: xr.Dataset) -> list[str]:
    """``1,000 bins in one``: how many neighbouring bins are drawn as one, if any."""
    return [f"{bins:,} bins in one along {axis}" for axis, bins in content.attrs["merged"].items()]


def _by_label(table: xr.Dataset, like: xr.Dataset) -> xr.Dataset:
    """A 1-D histogram in the bins of another, by label where both have labels; NaN for a label it lacks.

    Of bins with the same label the first is the first, and so on.
    """
    if "x_label" not in table.coords or "x_label" not in like.coords:
        return table
    found = {label: index for index, label in enumerate(_numbered(table["x_label"].values))}
    index = np.array([found.get(label, -1) for label in _numbered(like["x_label"].values)])
    columns = {
        name: ("x", np.where(index < 0, np.nan, table[name].values[index].astype(np.float64)))
        for name in ("value", "variance")
    }
    return like.assign(columns).assign_attrs(table.attrs)


def _numbered(labels: Iterable[str]) -> list[tuple[str, int]]:
    """Each label with the number of times that it came before."""
    seen: Counter[str] = Counter()
    numbered = []
    for label in labels:
        numbered.append((label, seen[label]))
        seen[label] += 1
    return numbered


def _steps(table: xr.Dataset, title: str, label: str, log: bool, overlay: _Overlay) -> hv.Overlay:
    axis, (value, error) = BinAxis.from_histogram(table, "x"), _value_and_error(table)
    shown = np.isfinite(value) & ((value > 0) | (not log))
    tops = [*np.stack([value, value + error])[:, shown].ravel(), *overlay.heights(log)]
    low, high = limits(tops, log=log, zero=True)
    base = low * 1e-9 if log else 0.0  # a logarithmic axis has no zero: so low that no zoom reaches it
    heights, height = np.where(shown, value, base), _height(title)
    labels = {"label": axis.labels} if axis.labels else {}  # only then: text is slow to reach the browser
    bins = hv.Rectangles(
        (axis.left, np.full(len(value), base), axis.right, heights, value, error, *labels.values()),
        [axis.dimension, height, "right", "top"], ["content", "error", *labels],
    ).opts(
        fill_color=theme.BLUE, fill_alpha=0.14, line_color=None, hover_mode="vline",
        hover_tooltips=[*axis.tooltips("left", "right"), (label, with_error("content"))],
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
    further = overlay.drawn([axis.dimension, height], base, log)
    return hv.Overlay([bins, *further, line, bars]).opts(**_heights(axis, title, label, (low, high)), logy=log)


def _points(table: xr.Dataset, title: str, label: str, overlay: _Overlay) -> hv.Overlay:
    axis, (value, error), height = BinAxis.from_histogram(table, "x"), _value_and_error(table), _height(title)
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
        hover_tooltips=[*axis.tooltips("left", "right"), (label, with_error("height"))],
        hover_formatters=printf("left", "right", "height", "error"),
    )  # fmt: skip
    further = overlay.drawn([axis.dimension, height], -np.inf)
    picture = hv.Overlay([*further, widths.opts(color=theme.BLUE, line_width=1), bars, points])
    ylim = limits([*(value - error), *(value + error), *overlay.heights(False)])
    return picture.opts(**_heights(axis, title, label, ylim))


def _map(table: xr.Dataset, title: str, label: str, log: bool, lines: Sequence[Line] = ()) -> hv.QuadMesh | hv.Image:
    content, error = (part.astype(np.float32) for part in _value_and_error(table.transpose("y", "x")))
    may_be_zero = is_profile(table) or table.attrs["gauge"]  # as a mean or a state; a count of zero is an empty bin
    empty = np.isnan(content) | ((content == 0) & (error == 0) & (not may_be_zero)) | ((content <= 0) & log)
    colour = np.where(empty, np.nan, content)
    parts = {"colour": colour, "content": content, "error": error}
    return mesh(
        table, parts, [(label, with_error("content"))], title=title if label == "entries" else f"{title} · {label}",
        clim=limits(colour, log=log, padding=0.0), cmap=theme.CMAP, cnorm="log" if log else "linear",
        hooks=[theme.figure, *([_drawn_over(lines)] if lines else [])],
    )  # fmt: skip


def _drawn_over(lines: Sequence[Line]) -> Callable[[Any, Any], None]:
    """Hook: lines over a map, drawn once per figure."""

    def hook(plot: Any, _: Any) -> None:
        if plot.state.select_one({"name": _LINES}) is None:
            ends = {"xs": [list(line.x) for line in lines], "ys": [list(line.y) for line in lines]}
            plot.state.multi_line(**ends, line_color=theme.VERMILION, line_width=1, line_alpha=0.8, name=_LINES)

    return hook


def mesh(
    table: xr.Dataset, parts: Mapping[str, NDArray[Any]], lines: Sequence[tuple[str, str]], *, title: str,
    **options: Any,
) -> hv.QuadMesh | hv.Image:  # fmt: skip
    """A map of the bins of x and y, NaN left blank.

    Parameters
    ----------
    parts
        Arrays ``(y, x)`` by name: the colour, then the columns of the hover text.
    lines
        Lines of the hover text, below the bin.
    """
    x, y = BinAxis.from_histogram(table, "x"), BinAxis.from_histogram(table, "y")
    options = frame(x, title) | y.ticks("y") | {
        "ylabel": y.title, "ylim": y.limits, "clabel": "", "colorbar": True, "bgcolor": theme.FRAME,
        "clipping_colors": {"NaN": "rgba(0, 0, 0, 0)"}, "hooks": [theme.figure],
    } | options  # fmt: skip
    dims, formatters = [x.dimension, y.dimension], printf(*list(parts)[1:])
    if x.regular and y.regular:  # one image, not one box per bin: 512 x 512 bins redraw at once
        bounds = (x.limits[0], y.limits[0], x.limits[1], y.limits[1])
        return hv.Image(np.dstack(list(parts.values()))[::-1], dims, list(parts), bounds=bounds).opts(
            **options, hover_tooltips=[(x.title or "x", "$x{0}"), (y.title or "y", "$y{0}"), *lines],
            hover_formatters=formatters | {"$x": x.under_cursor("x"), "$y": y.under_cursor("y")},
        )  # fmt: skip
    return hv.QuadMesh((x.edges, y.edges, *parts.values()), dims, list(parts)).opts(
        **options, line_color=None,
        hover_tooltips=[x.tooltip("left", "right", "x"), y.tooltip("bottom", "top", "y"), *lines],
        hover_formatters=formatters | printf("left", "right", "bottom", "top"),
    )  # fmt: skip


def _value_and_error(table: xr.Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return table["value"].values.astype(np.float64), np.sqrt(np.abs(table["variance"].values))


def _height(title: str) -> hv.Dimension:
    """The dimension of heights, one per title without its numbers, because heights are not zoomed together."""
    return hv.Dimension("height", label=f"height in {title.split(' · ')[0]}")


def with_error(column: str) -> str:
    """Hover text for a column and its error."""
    return f"@{{{column}}}{{%.6g}} ± @{{error}}{{%.3g}}"


def printf(*columns: str) -> dict[str, Any]:
    """Formatters for columns that the hover text writes as ``%.6g`` and the like."""
    return {f"@{{{name}}}": "printf" for name in columns}


def frame(x: BinAxis, title: str) -> dict[str, Any]:
    """Options common to the pictures of all histograms."""
    return {
        "title": title, "fontsize": theme.SIZES, "xlabel": x.title, "xlim": x.limits, "responsive": True,
        "default_tools": TOOLS, "active_tools": ["box_zoom"], **x.ticks("x"),
    }  # fmt: skip


def _heights(x: BinAxis, title: str, label: str, ylim: tuple[float, float]) -> dict[str, Any]:
    """Options of a 1-D picture."""
    hooks = [theme.figure, following(*ylim)]
    return frame(x, title) | {"ylabel": label, "ylim": ylim, "show_grid": True, "hooks": hooks}


def following(low: float, high: float) -> Callable[[Any, Any], None]:
    """Hook: the y axis takes new limits unless the user has zoomed; reset always leads to the new limits."""

    def hook(plot: Any, _: Any) -> None:
        axis = plot.handles["y_range"]
        untouched = (axis.start, axis.end) == (axis.reset_start, axis.reset_end)
        axis.update(reset_start=low, reset_end=high)
        if untouched:
            axis.update(start=low, end=high)

    return hook
