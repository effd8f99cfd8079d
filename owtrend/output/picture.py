"""A histogram of an interval and its reference as a picture, for messages."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from glob import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.display import printable
from owtrend.errors import NotFoundError, OwtrendError
from owtrend.histograms.labelled import to_xarray, values
from owtrend.histograms.projection import project, rebin
from owtrend.model.finding import BinRange, Finding
from owtrend.model.wording import run_names
from owtrend.quality.notify.message import Drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from owtrend.archive import Archive

__all__ = ["Shown", "draw", "picture_maker"]

_MOST = {1: 800, 2: 300}  # bins of an axis that a picture shows; of more, neighbours are added
_SLICE, _REFERENCE, _FOUND = "#1f5fa8", "#444444", "#d1008f"
_LOG_FROM = 300.0  # ratio of the largest to the median content, from which on the scale is logarithmic
_PULL = "pull [\N{GREEK SMALL LETTER SIGMA}]"
_LABELS = 30  # of an axis, that can be read


@dataclass(frozen=True)
class Shown:
    """What a picture shows.

    Parameters
    ----------
    slice
        One histogram of one or two axes (any of x, y, z), as `owtrend.time_slice` gives it, flow excluded.
    compared
        `owtrend.compare` of it and its reference; None: there is none.
    title, subtitle
        In words.
    bins
        Ranges that are outlined, one per axis each.
    """

    slice: xr.Dataset
    compared: xr.Dataset | None
    title: str
    subtitle: str
    bins: Sequence[tuple[BinRange, ...]] = ()


def picture_maker(archive: "Archive") -> Callable[[Drawing], bytes]:
    """A function that draws pictures of an archive, as delivery takes it; each reads the newest state.

    It raises what the archive does if the histogram, or the interval, is not there any more.
    """
    return lambda drawing: draw(_shown(archive.latest(), drawing))


def _shown(archive: "Archive", drawing: Drawing) -> Shown:
    from owtrend.comparison.compare import compare

    subsystem, run, select = drawing.subsystem, drawing.run, [escape(drawing.histogram)]
    start, stop = np.datetime64(drawing.start, "ns"), np.datetime64(drawing.stop, "ns")
    piece = archive.time_slice(subsystem, run, start, stop, select=select)
    name = drawing.histogram
    histogram = piece[name]
    sliced, bins = to_xarray(histogram), _found_bins(archive, drawing)
    axes = _axes_of(sliced, bins)
    sliced = _flat(sliced, axes)
    compared, words = None, "no reference"
    for reference, said in ((_earlier_runs, "compared with {}"), (_rest_of_run, "compared with this run before")):
        try:
            found = reference(archive, drawing)
            compared = compare(sliced, _flat(to_xarray(found.histogram), axes))
            words = said.format(run_names(found.runs))
            break
        except OwtrendError:
            continue
    interval = piece.intervals.get(histogram.path, piece.interval)
    begin, end = (time.astype("datetime64[s]").item() for time in (interval.start, interval.stop))
    since = "the start of the run" if begin is None else f"{begin:%H:%M}"
    subtitle = f"{printable(subsystem)}, run {run}, {end:%Y-%m-%d}, {since} to {end:%H:%M} UTC, {words}"
    return Shown(sliced, compared, printable(name, 90), subtitle, bins)


@dataclass(frozen=True)
class _Found:
    histogram: Any
    runs: tuple[int, ...]


def _earlier_runs(archive: "Archive", drawing: Drawing) -> _Found:
    reference = archive.reference(drawing.subsystem, like=drawing.run, select=[escape(drawing.histogram)])
    return _Found(reference.histogram(drawing.histogram), reference.runs)


def _rest_of_run(archive: "Archive", drawing: Drawing) -> _Found:
    before = np.datetime64(drawing.start, "ns")
    if before <= archive.runs.loc[drawing.run, "start"]:
        raise NotFoundError("nothing before it in this run")
    piece = archive.time_slice(
        drawing.subsystem, drawing.run, None, before, select=[escape(drawing.histogram)]
    )  # fmt: skip
    return _Found(piece[drawing.histogram], (drawing.run,))


def _found_bins(archive: "Archive", drawing: Drawing) -> list[tuple[BinRange, ...]]:
    """Where findings on this histogram are, in this interval."""
    view = archive.stored(drawing.subsystem)
    lines = view.scores.lines([view.run_index(drawing.run)]) if view.scores is not None else []
    findings = map(Finding.from_json, lines)
    return list(
        dict.fromkeys(
            finding.bins for finding in findings
            if finding.histograms == (drawing.histogram,) and finding.bins
            and finding.start < drawing.stop and finding.stop > drawing.start
        )
    )  # fmt: skip


def _axes_of(histogram: xr.Dataset, bins: Sequence[tuple[BinRange, ...]]) -> str:
    """The axes that are shown: all, or of three those on which something was found, or else the first two."""
    axes = _names(histogram)
    if len(axes) < 3:
        return axes
    found = {one.axis for outlined in bins for one in outlined if _is_part(one, histogram)}
    chosen = "".join(name for name in axes if name in found)
    return chosen if len(chosen) in (1, 2) else "xy"


def _is_part(found: BinRange, histogram: xr.Dataset) -> bool:
    """Whether a range leaves out some of its axis."""
    if found.axis not in histogram.dims:
        return False
    edges = _edges(histogram, found.axis)
    return bool(found.low > edges[0] or found.high < edges[-1])


def _names(histogram: xr.Dataset) -> str:
    return "".join(name for name in "xyz" if name in histogram.dims)


def _flat(histogram: xr.Dataset, axes: str) -> xr.Dataset:
    """On these axes, each with at most as many bins as a picture shows."""
    if axes != _names(histogram):
        histogram = project(histogram, axes)
    merged = {name: -(-histogram.sizes[name] // _MOST[len(axes)]) for name in axes}
    if any(number > 1 for number in merged.values()):
        histogram = rebin(histogram, **merged)
    return histogram


def draw(shown: Shown) -> bytes:
    """The picture as PNG. Nothing global of matplotlib is changed; texts are never read as formulas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    two = len(_names(shown.slice)) == 2
    figure = Figure(figsize=(9.0, 4.2) if two else (8.0, 5.2), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    title = f"{_drawable(shown.title, 90)}\n{_drawable(shown.subtitle, 130)}"
    figure.suptitle(title, fontsize=10, x=0.01, ha="left", parse_math=False)
    (_map if two else _curve)(figure, shown)
    written = io.BytesIO()
    canvas.print_png(written)
    return written.getvalue()


def _curve(figure: "Figure", shown: Shown) -> None:
    """One axis: contents and reference, pulls below."""
    name = _names(shown.slice)
    edges = _edges(shown.slice, name)
    value, error = _values(shown.slice)
    if shown.compared is None:
        above, below = figure.subplots(), None
    else:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.stairs(np.nan_to_num(value), edges, color=_SLICE, fill=True, alpha=0.25)
    above.stairs(value, edges, color=_SLICE, label="this interval", linewidth=1.4)
    if len(value) <= 200:
        centres = (edges[:-1] + edges[1:]) / 2
        above.errorbar(centres, value, yerr=np.nan_to_num(error), fmt="none", ecolor=_SLICE, linewidth=0.8)
    if below is not None and shown.compared is not None:
        expected, pulls = (np.asarray(shown.compared[name].values, float) for name in ("expected", "pull"))
        above.stairs(expected, edges, color=_REFERENCE, linestyle="--", label="reference, scaled", linewidth=1.4)
        below.stairs(np.nan_to_num(np.clip(pulls, -99, 99)), edges, color=_SLICE, fill=True, alpha=0.7)
        reach = max(5.0, float(np.max(np.abs(np.nan_to_num(np.clip(pulls, -99, 99))), initial=0)) * 1.1)
        below.set_ylim(-reach, reach)
        below.axhline(0, color="black", linewidth=0.6)
        below.set_ylabel(_PULL)
    axes = [above] if below is None else [above, below]
    for outlined in shown.bins[:50]:
        only = [one for one in outlined if _is_part(one, shown.slice)]
        if len(only) == 1:
            low, high = max(only[0].low, edges[0]), min(only[0].high, edges[-1])
            for panel in axes:
                panel.axvspan(low, high, color=_FOUND, alpha=0.12, linewidth=0)
    if _is_steep(value):
        above.set_yscale("log")
    above.set_xlim(edges[0], edges[-1])
    above.set_ylabel(_quantity(shown.slice))
    above.legend(loc="best", fontsize=8, frameon=False)
    _name_axis(axes[-1], shown.slice, name, "x")


def _map(figure: "Figure", shown: Shown) -> None:
    """Two axes: a map of the contents, and one of the pulls; bins of findings are outlined."""
    from matplotlib.colors import LogNorm

    value, _ = _values(shown.slice)
    first, second = [*_names(shown.slice)]
    edges = _edges(shown.slice, first), _edges(shown.slice, second)
    panels: list[tuple[str, NDArray[np.float64], dict[str, Any]]] = []
    steep = _is_steep(value)
    seen = np.where(value > 0, value, np.nan) if steep else value
    panels.append((_quantity(shown.slice), seen, {"cmap": "viridis", **({"norm": LogNorm()} if steep else {})}))
    if shown.compared is not None:
        pulls = np.asarray(shown.compared["pull"].values, float)
        reach = min(max(5.0, float(np.max(np.abs(np.nan_to_num(pulls)), initial=0))), 20.0)
        panels.append((_PULL, np.clip(pulls, -reach, reach), {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach}))
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for one, (label, cells, options) in zip(axes, panels, strict=True):
        mesh = one.pcolormesh(*edges, cells.T, rasterized=True, **options)
        figure.colorbar(mesh, ax=one).set_label(label)
        for outlined in shown.bins[:50]:
            if any(_is_part(found, shown.slice) for found in outlined):
                ends = {found.axis: (found.low, found.high) for found in outlined}
                everything = (-np.inf, np.inf)
                _outline(one, (ends.get(first, everything), ends.get(second, everything)), edges)
        _name_axis(one, shown.slice, first, "x")
        _name_axis(one, shown.slice, second, "y")


def _outline(
    axes: "Axes", ends: tuple[tuple[float, float], tuple[float, float]], edges: tuple[NDArray[Any], NDArray[Any]]
) -> None:
    from matplotlib.patches import Rectangle

    (left, right), (low, high) = ends
    left, right = max(left, edges[0][0]), min(right, edges[0][-1])
    low, high = max(low, edges[1][0]), min(high, edges[1][-1])
    if right > left and high > low:
        axes.add_patch(Rectangle((left, low), right - left, high - low, fill=False, edgecolor=_FOUND, linewidth=1.8))


def _name_axis(axes: "Axes", histogram: xr.Dataset, name: str, side: str) -> None:
    title = str(histogram[name].attrs.get("long_name", "") or name)
    setter = axes.set_xlabel if side == "x" else axes.set_ylabel
    setter(_drawable(title, 60), parse_math=False)
    labels = histogram.coords.get(f"{name}_label")
    if labels is not None and labels.size <= _LABELS:
        texts = [_drawable(str(text), 14) for text in labels.values]
        edges = _edges(histogram, name)
        ticks = (edges[:-1] + edges[1:]) / 2
        if side == "x":
            axes.set_xticks(ticks, texts, rotation=60, ha="right", fontsize=7, parse_math=False)
        else:
            axes.set_yticks(ticks, texts, fontsize=7, parse_math=False)


def _edges(histogram: xr.Dataset, name: str) -> NDArray[np.float64]:
    left, right = (np.asarray(histogram[f"{name}_{side}"].values, float) for side in ("left", "right"))
    return np.append(left, right[-1])


def _values(histogram: xr.Dataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and errors, x first."""
    found = values(histogram)
    axes = [*_names(histogram)]
    value, variance = (np.asarray(found[part].transpose(*axes).values, float) for part in ("value", "variance"))
    return value, np.sqrt(np.maximum(variance, 0))


def _is_steep(value: NDArray[np.float64]) -> bool:
    filled = value[value > 0]
    return len(filled) > 1 and not np.any(value < 0) and float(filled.max() / np.median(filled)) > _LOG_FROM


def _quantity(histogram: xr.Dataset) -> str:
    return "mean" if "sumwy" in histogram else "counts"


def _drawable(text: str, limit: int) -> str:
    """A text in letters that matplotlib's own font has."""
    shown = printable(text, limit)
    return "".join(one if ord(one) < 0x250 or 0x370 <= ord(one) < 0x530 else "?" for one in shown)
