"""Colours that the colour-blind can tell apart, type, number format, and the look of Bokeh figures."""

import re
import unicodedata
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from bokeh.models import BasicTickFormatter, ColorBar, CustomJSTickFormatter, LogAxis, LogTicker

__all__ = [
    "BLUE",
    "CMAP",
    "DARK",
    "DIVERGING",
    "FRAME",
    "LINE",
    "MUTED",
    "PAGE",
    "RUNS",
    "SIDE",
    "SIZES",
    "TEXT",
    "TICK",
    "VERMILION",
    "WIDGETS",
    "axis_titles",
    "figure",
    "number_format",
    "plain",
    "reductor_name",
]

# Okabe and Ito, https://jfly.uni-koeln.de/color/; cividis is even in lightness and the same for all eyes.
BLUE, VERMILION = "#0072B2", "#D55E00"
INK, MUTED, TICK, LINE, FRAME = "#1f2933", "#5f6b7a", "#9aa5b1", "#e3e7ec", "#f3f4f6"
# Further runs next to a blue one: all eyes can tell them apart, and none is the colour of a warning.
RUNS = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000", "#8C6BB1", "#A6A200")
CMAP = "cividis"


def _between(anchors: list[tuple[int, int, int]], steps: int) -> list[str]:
    """Colours interpolated between anchors, in ``steps`` from each to the next."""
    colours = [
        tuple(round(a + (b - a) * step / steps) for a, b in zip(low, high, strict=True))
        for low, high in pairwise(anchors)
        for step in range(steps)
    ]
    return ["#{:02x}{:02x}{:02x}".format(*colour) for colour in [*colours, anchors[-1]]]


# From too few (blue) through as expected to too many (vermilion), darker for larger pulls.
_FEW_TO_MANY = [
    (0, 40, 66),
    (0, 114, 178),
    (150, 196, 222),
    (250, 250, 250),
    (241, 187, 143),
    (213, 94, 0),
    (84, 36, 0),
]
DIVERGING = _between(_FEW_TO_MANY, 30)
SIZES = {"title": "14px", "labels": "12px", "ticks": "11px"}
FONT = "Inter, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# Style sheets for the page, for widgets (each has its own shadow root) and for text in panes.
PAGE = f"""
@keyframes busy {{ from {{ background-position: 100% 0; }} to {{ background-position: -100% 0; }} }}
@keyframes appear {{ from {{ opacity: 0; }} to {{ opacity: 1; }} }}
body.busy::after {{
  content: ""; position: fixed; inset: 0 0 auto 0; height: 3px; z-index: 9; pointer-events: none;
  background: linear-gradient(90deg, transparent 25%, {BLUE} 50%, transparent 75%) 0 0 / 200% 100%;
  animation: busy 1.2s linear infinite, appear 0.2s 0.3s both;
}}
.lost {{
  position: fixed; inset: 0 0 auto 0; z-index: 10; padding: 10px 20px; text-align: center; font-size: 15px;
  font-weight: 600; color: white; background: {VERMILION}; box-shadow: 0 1px 6px rgb(0 0 0 / 30%);
}}
body:has(> .lost) > [inert] {{ filter: grayscale(1) opacity(0.6); }}
html, body {{ margin: 0; height: 100%; background: white; color: {INK}; font-family: {FONT}; }}
:root {{ --panel-primary-color: {BLUE}; --design-primary-color: {BLUE}; }}
"""
DARK = "@media (prefers-color-scheme: dark) { html, body { background: #14191f; } }"
WIDGETS = f"""
:host {{ font-family: {FONT}; color: {INK}; --primary-color: {BLUE}; }}
label {{ font-size: 12px; font-weight: 600; color: {MUTED}; margin-bottom: 3px; }}
.bk-input {{
  font-family: inherit; font-size: 13px; color: {INK}; background-color: white; border: 1px solid #cbd2d9;
  border-radius: 4px;
}}
.bk-input:focus {{ border-color: {BLUE}; box-shadow: 0 0 0 2px rgb(0 114 178 / 18%); outline: none; }}
select[size].bk-input {{ height: 100%; padding: 4px 0; overflow: auto; font-size: 12px; }}
select[size].bk-input option {{ padding: 3px 10px; }}
select[size].bk-input option:checked {{ background: {BLUE} linear-gradient({BLUE}, {BLUE}); color: white; }}
:host(.list) .bk-input-group {{ height: 100%; }}
:host(.outline) .bk-btn.bk-btn-default {{
  font-size: 12px; padding: 3px 10px; border: 1px solid #cbd2d9; color: {BLUE};
}}
.bk-btn[disabled] {{ visibility: hidden; }}
.noUi-target {{ border: none; box-shadow: none; background: #e4e7eb; height: 6px; }}
"""
SIDE = {
    "background": "#f7f8fa", "border-right": f"1px solid {LINE}", "padding": "14px 16px 8px 16px",
    "box-sizing": "border-box", "flex": "none",
}  # fmt: skip
TEXT = f"""
:host {{ font: 13px/1.5 {FONT}; color: {INK}; }}
h1 {{ font-size: 18px; font-weight: 600; margin: 0; overflow-wrap: anywhere; }}
h1 small {{ font-size: 14px; font-weight: 400; color: {MUTED}; margin-left: 8px; }}
p {{ margin: 0; color: {MUTED}; font-variant-numeric: tabular-nums; }}
b {{ color: {INK}; font-weight: 600; }}
.brand {{
  font-size: 20px; font-weight: 700; letter-spacing: -0.02em; color: {BLUE}; margin-bottom: 14px; text-decoration: none;
}}
.news {{ font-size: 12px; line-height: 1.25; color: {INK}; }}
a {{ color: {BLUE}; font-weight: 600; }}
.store {{ font-size: 11px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
.warn {{ color: {VERMILION}; font-weight: 600; }}
.wrong {{ color: {VERMILION}; font-size: 12px; line-height: 1.35; max-height: 114px; overflow: auto; }}
.run {{ margin-right: 12px; white-space: nowrap; color: {INK}; }}
.run.absent {{ color: {MUTED}; }}
.run i {{ display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin-right: 5px; }}
.run i {{ vertical-align: -1px; }}
.run i.tick {{ width: 0; height: 9px; border-left: 2px solid {TICK}; border-radius: 0; }}
.run i.dash {{ width: 0; height: 14px; border-left: 2px dashed {VERMILION}; border-radius: 0; vertical-align: -3px; }}
.run i.band {{ background: {TICK}; opacity: 0.35; }}
:host(.reasons) {{ overflow: auto; }}
:host(.signs) {{ text-align: right; padding-right: 32px; font-size: 12px; height: 20px; pointer-events: none; }}
:host(.signs) {{ z-index: 1; flex: none; box-sizing: border-box; margin-bottom: -20px !important; top: 4px; }}
@media (max-width: 1250px) {{ :host(.signs) {{ margin-bottom: 0 !important; }} }}
ul.why {{ list-style: none; margin: 0; padding: 0; color: {MUTED}; font-variant-numeric: tabular-nums; }}
ul.why li {{ line-height: 20px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
ul.why .sign, .run .sign {{ display: inline-block; width: 18px; color: {VERMILION}; }}
.run .sign {{ width: 15px; }}
.run i.threshold {{ width: 15px; height: 0; border-top: 1.5px dashed {INK}; border-radius: 0; vertical-align: 3px; }}
.note {{
  color: {INK}; background: #fdf3ec; border-left: 3px solid {VERMILION}; padding: 6px 12px; margin: 0 0 10px 0;
  border-radius: 2px; white-space: pre-line;
}}
"""

# Fixed borders: a tick label that grows must not move the frame.
_LEFT, _RIGHT, _DONE = 86, 14, "owtrend"
_NUMBER = """
const size = Math.abs(tick)
if (size != 0 && (size >= 1e6 || size < 1e-4)) {
  const [digits, power] = tick.toExponential(9).split("e")
  const raised = String(Number(power)).replace("-", "⁻").replace(/\\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit])
  return `${Number(digits)}\u00d710${raised}`
}
return tick.toLocaleString("en-US", {maximumSignificantDigits: 10}).replace("-", "\u2212")
"""


def number_format() -> CustomJSTickFormatter:
    """Tick labels as people write numbers: 0.25 and 12,000, but powers of ten from a million on."""
    return CustomJSTickFormatter(code=_NUMBER)


def figure(plot: Any, element: Any) -> None:
    """HoloViews hook: pale grid, dark text, a fixed frame; applied once per figure, not per redraw."""
    drawn = plot.state
    if _DONE in drawn.tags:
        return
    drawn.tags = [*drawn.tags, _DONE]
    drawn.output_backend = "canvas"
    drawn.toolbar.update(autohide=True, logo=None)
    drawn.outline_line_color = LINE
    drawn.styles = {"outline": "none"}
    drawn.min_border_left, drawn.min_border_top, drawn.min_border_right = _LEFT, 28, _RIGHT
    drawn.title.update(text_font=FONT, text_font_style="bold", text_color=INK)
    drawn.grid.grid_line_color = "#eceff2"
    for axis in drawn.axis:
        axis.update(
            axis_label_text_font=FONT, axis_label_text_font_style="normal", axis_label_text_color=INK,
            major_label_text_font=FONT, major_label_text_color=MUTED, axis_line_color=TICK, major_tick_line_color=TICK,
            minor_tick_line_color="#c5ccd4" if isinstance(axis, LogAxis) else None,
        )  # fmt: skip
        if type(axis.formatter) is BasicTickFormatter and not axis.major_label_overrides:
            axis.formatter = number_format()
    for bar in drawn.select(ColorBar):
        drawn.min_border_right = _RIGHT + 74
        bar.update(
            width=12, padding=8, border_line_color=None, bar_line_color=None, major_tick_line_color=None,
            major_label_text_font=FONT, major_label_text_color=MUTED,
        )  # fmt: skip
        if not isinstance(bar.ticker, LogTicker):
            bar.formatter = number_format()


def plain(title: str) -> str:
    """ROOT's TLatex as text: ``#eta`` is a Greek letter, ``p_{T}`` and ``#it{c}`` lose their braces.

    >>> plain("#Delta#eta of p_{T} (GeV/#it{c})")
    'Δη of p_T (GeV/c)'
    """
    text = re.sub(r"#(?:it|bf|rm)\{([^{}]*)\}", r"\1", title)
    text = re.sub(r"#([A-Za-z]+)", _greek, text)
    return re.sub(r"([_^])\{([^{}]*)\}", r"\1\2", text)


def _greek(match: re.Match[str]) -> str:
    name = match[1]
    case = "CAPITAL" if name[0].isupper() else "SMALL"
    try:
        return unicodedata.lookup(f"GREEK {case} LETTER {name.upper().replace('LAMBDA', 'LAMDA')}")
    except KeyError:
        return match[0]


def axis_titles(histogram: Any) -> dict[str, str]:
    """Titles of the axes of a histogram, by letter."""
    dims = () if histogram is None else [axis for axis in "xyz" if axis in histogram.dims]
    return {axis: plain(str(histogram[axis].attrs.get("long_name", ""))) for axis in dims}


def reductor_name(reductor: str, axes: Mapping[str, str] | None = None, *, ranges: bool = True) -> str:
    """A reductor such as ``mean_x`` in words, with its ranges or without; ``axes`` are the titles of axes by letter.

    >>> reductor_name("std_x", {"x": "E (GeV)"})
    'std of E (GeV)'
    >>> reductor_name("quantile_x(0.9)"), reductor_name("rate(y=2:5)", {"y": "row"})
    ('quantile 0.9 of x', 'rate [Hz], row 2 to 5')
    >>> reductor_name('entries(x="A, left")'), reductor_name("entries(x=2:5)", ranges=False)
    ('entries, x "A, left"', 'entries')
    """
    match = re.fullmatch(r"(\w+?)(?:_([xyzt]))?(?:\((.*)\))?", reductor)
    if match is None:
        return reductor
    name, letter, inside = match[1].replace("_", " "), match[2], match[3] or ""
    titles = {"t": "the profiled quantity"} | {axis: title for axis, title in (axes or {}).items() if title}
    numbers, behind = [], []
    for part in filter(None, (piece.strip() for piece in re.findall(r'(?:"(?:\\.|[^"\\])*"|[^,"])+', inside))):
        if inner := re.fullmatch(r"([xyz])=(.*)", part):
            bounds = inner[2] if inner[2].startswith('"') else inner[2].replace(":", " to ")
            behind.append(f"{titles.get(inner[1], inner[1])} {bounds}")
        else:
            numbers.append(part)
    name += "".join(f" {number}" for number in numbers) if len(numbers) < 2 else f" {' to '.join(numbers)}"
    name += f" of {titles.get(letter, letter)}" if letter else " [Hz]" if name == "rate" else ""
    return ", ".join([name, *(behind if ranges else ())])
