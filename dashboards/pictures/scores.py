"""Scores over time -> HoloViews: significance report by report, with thresholds and findings. Keeps no state."""

from collections.abc import Mapping
from html import escape
from typing import Any

import holoviews as hv
import numpy as np
import pandas as pd
import xarray as xr
from bokeh.models import BoxAnnotation
from numpy.typing import ArrayLike, NDArray

from dashboards.pictures import theme
from dashboards.pictures.histogram import CROWD, TOOLS
from dashboards.pictures.trend import UTC, UTC_FORMAT, Timeline, apart, run_colours

__all__ = ["SIGNS", "key", "score_trend", "sign_of"]

# Kind of finding -> marker, the same sign in text, and its name. Marks differ in shape, not only in colour.
SIGNS = {
    "score": ("triangle", "▲", "finding"),
    "fraction": ("square", "■", "fraction of its component"),
    "rate": ("diamond", "◆", "rate of its component"),
    "interruption": ("x", "✕", "interruption"),
}
_SOFT = 2.0  # sigma; heights are linear below, logarithmic far above: so calm scores stay visible
_CALM = 10.0  # sigma; the picture reaches at least here
_TICKS = (0, 3, 10, 30, 100, 300, 1000, 10_000, 100_000)
_TIP = """
<div style="max-width: 380px; white-space: normal; font-size: 12px; line-height: 1.4">
<b>@heading</b><br>@why</div>
"""


def sign_of(score: str, certain: bool) -> str:
    """Key in `SIGNS` for a finding."""
    return "interruption" if certain else score if score in SIGNS else "score"


def score_trend(
    table: xr.Dataset, findings: pd.DataFrame, timeline: Timeline, *, title: str = "",
    shade: BoxAnnotation | None = None, colours: Mapping[int, str] | None = None, times: bool = True,
) -> hv.Overlay:  # fmt: skip
    """All scores of a histogram as one, over UTC time, with the threshold and a mark for each finding.

    Scores below zero, better than normal, are drawn at zero; the hover text has the true value. A certain finding, such
    as a restart, has no score and is marked on the upper edge.

    Parameters
    ----------
    table
        ``total`` with ``time``, ``run`` and ``threshold``, NaN where there was no report.
    findings
        Those of this histogram, as from `owtrend.Archive.findings`.
    timeline
        Positions of the runs.
    times
        Label the time axis; not needed directly below another one.
    """
    utc, total = table["time"].values, np.nan_to_num(table["total"].values, nan=np.nan, posinf=1e6)
    runs = np.broadcast_to(table["run"].values, utc.shape)
    places, known, time = timeline.placed(utc, runs), ~np.isnan(total), timeline.dimension
    findings = findings[findings["run"].isin(timeline.runs)]
    heights, z = _height(total[known]), findings["z"].to_numpy(dtype=float)
    top = 1.12 * max([_height(_CALM), *heights, *_height(z[np.isfinite(z)])])
    several = len(timeline.runs) > 1
    line = hv.Curve(apart(places[known], heights, runs[known]), time, "score").opts(
        color=theme.TICK if several else theme.BLUE, line_width=1, alpha=0.4
    )
    colour = run_colours(runs, colours)
    calm = known & ~_marked(findings, utc, runs)  # the others have a mark instead
    points = hv.Scatter(
        (places[calm], _height(total[calm]), total[calm], utc[calm], runs[calm].astype(str), colour[calm]),
        time, ["score", "z", "utc", "run", "colour"],
    ).opts(
        color=hv.dim("colour"), size=4 if known.sum() <= CROWD else 2, nonselection_alpha=1, tools=["xbox_select"],
        hover_tooltips=[*([("run", "@run")] if several else []), *UTC, ("score", "@z{%.2f}")],
        hover_formatters={"@z": "printf"} | UTC_FORMAT,
    )  # fmt: skip
    layers = [*_thresholds(table, timeline, runs), line, points, *_marks(findings, timeline, top)]
    hooks = [theme.figure] + ([] if shade is None else [lambda plot, _: plot.state.add_layout(shade)])
    ticks = [value for value in _TICKS if _height(value) < top]
    shown = ticks if len(ticks) < 5 else [0, *ticks[:0:-2][::-1]]  # the picture is not high
    return hv.Overlay(layers).opts(
        title=title, fontsize=theme.SIZES, xlabel="UTC", ylabel="sigma", xformatter=timeline.formatter, responsive=True,
        xlim=timeline.limits, ylim=(-0.04 * top, top),
        yticks=[(float(_height(value)), f"{value:,}") for value in shown], show_grid=True, hooks=hooks,
        default_tools=TOOLS, active_tools=["xbox_select"], xaxis="bottom" if times else "bare",
    )  # fmt: skip


def _height(z: ArrayLike) -> NDArray[np.float64]:
    """Height of a score in the picture."""
    return np.arcsinh(np.maximum(np.asarray(z, dtype=np.float64), 0) / _SOFT)


def _kinds(findings: pd.DataFrame) -> NDArray[Any]:
    """The key in `SIGNS` of each finding."""
    return np.array([sign_of(*pair) for pair in zip(findings["score"], findings["certain"], strict=True)], dtype=object)


def _marked(findings: pd.DataFrame, utc: NDArray[np.datetime64], runs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """True for each report whose score is itself a finding."""
    scored = findings[_kinds(findings) == "score"]
    reports = set(zip(scored["run"].tolist(), scored["stop"].to_numpy("datetime64[ns]").tolist(), strict=True))
    return np.array([report in reports for report in zip(runs.tolist(), utc.tolist(), strict=True)], dtype=bool)


def _thresholds(table: xr.Dataset, timeline: Timeline, runs: NDArray[np.int64]) -> list[hv.Element]:
    """A dashed line over each run that has a threshold."""
    segments = []
    for run, (low, high) in zip(timeline.runs, timeline.spans, strict=True):
        known = table["threshold"].values[(runs == run) & np.isfinite(table["threshold"].values)]
        if len(known):
            segments.append((low, _height(known[0]), high, _height(known[0])))
    lines = hv.Segments(segments, [timeline.dimension, "score", "to", "same"])
    return [lines.opts(color=theme.INK, line_dash="dashed", line_width=1.2, alpha=0.7)]


def _marks(findings: pd.DataFrame, timeline: Timeline, top: float) -> list[hv.Element]:
    """The marks of each kind of finding."""
    kinds = _kinds(findings)
    layers = []
    for kind, (marker, _, name) in SIGNS.items():
        rows = findings[kinds == kind]
        if rows.empty:
            continue
        stop, run, z = (rows[column].to_numpy() for column in ("stop", "run", "z"))
        ends = dict(zip(timeline.runs, timeline.spans, strict=True))
        places = timeline.placed(stop.astype("datetime64[ns]"), run)
        places = np.array([min(max(at, ends[r][0]), ends[r][1]) for at, r in zip(places, run.tolist(), strict=True)])
        heights = np.full(len(z), 0.93 * top) if kind == "interruption" else _height(z)
        sigma = [f" · {value:.1f} sigma" if np.isfinite(value) else "" for value in z.tolist()]
        words = [f"{row.stop:%F %T} UTC · {row.score.replace('_', ' ')}" for row in rows.itertuples()]
        heading = np.array([first + last for first, last in zip(words, sigma, strict=True)], dtype=object)
        why = np.array([theme.plain(words) for words in rows["why"]], dtype=object)
        columns = places, heights, z, stop, run.astype(str), heading, why
        layers.append(
            hv.Scatter(columns, timeline.dimension, ["score", "z", "utc", "run", "heading", "why"], label=name).opts(
                color=theme.VERMILION, marker=marker, size=9, line_color=theme.VERMILION if marker == "x" else "white",
                line_width=2 if marker == "x" else 0.5, nonselection_alpha=1, show_legend=False, hover_tooltips=_TIP,
            )
        )  # fmt: skip
    return layers


def key(findings: pd.DataFrame, thresholds: NDArray[np.float64]) -> str:
    """The key of the signs in the picture, as HTML."""
    kinds = set(_kinds(findings).tolist())
    signs = [
        f'<span class="run"><span class="sign">{sign}</span>{escape(name)}</span>'
        for kind, (_, sign, name) in SIGNS.items()
        if kind in kinds
    ]
    values = sorted(thresholds[np.isfinite(thresholds)].tolist())
    ends = dict.fromkeys(f"{value:.1f}" for value in (values[:1] + values[-1:]))
    words = f"threshold {' to '.join(ends)}" if ends else ""
    return "".join([*signs, f'<span class="run"><i class="threshold"></i>{words}</span>' if words else ""])
