"""What there is to say of what is shown, as HTML: heading, facts of a time slice, keys of colours and signs."""

from collections.abc import Iterable, Mapping
from html import escape

import numpy as np
import xarray as xr

from dashboards.pictures import theme
from dashboards.pictures.scores import SIGNS, sign_of
from dashboards.state.region import summed_over
from dashboards.state.view import Selection

__all__ = ["entries", "heading", "key", "signs", "slice_facts", "time_text", "why"]

_WARNINGS = {
    "restart": "The entries fell: counting began again from zero. What was gained before and after is added.",
    "gap": "Snapshots are missing. What was gained meanwhile is in the next one that came.",
}
_REASONS = 5  # kinds of flags that are told
_REPORTS = "Snapshots in which this histogram had changed; components report every few minutes"


def heading(chosen: Selection) -> str:
    """What is shown, and the quality of its data."""
    times, run = chosen.cumulative["time"].values, chosen.archive.runs.loc[chosen.run]
    start, stop = run["start"], run["stop"]
    clock = "%H:%M:%S" if stop.date() == start.date() else "%Y-%m-%d %H:%M:%S"
    damaged = int((chosen.archive.quarantine["run"] == chosen.run).sum())
    facts = [
        f"Run <b>{chosen.run}</b>",
        f"{start:%Y-%m-%d %H:%M:%S} to {stop:{clock}} UTC",
        f"<b>{_counted(len(times), 'snapshot')}</b> of {escape(chosen.subsystem)}, last at {time_text(times[-1])}",
        f'<span class="warn">{damaged} in quarantine</span>' if damaged else "none in quarantine",
    ]
    title = theme.plain(chosen.cumulative.attrs["title"])
    return f"<h1>{escape(chosen.histogram)}<small>{escape(title)}</small></h1><p>{' · '.join(facts)}</p>"


def slice_facts(content: xr.Dataset) -> str:
    """Of a time slice, in a line."""
    start, stop = (np.datetime64(content[end].item(), "ns") for end in ("start", "stop"))
    whole_day = not np.isnat(start) and str(start)[:10] != str(stop)[:10]
    begin = "since the run began" if np.isnat(start) else time_text(start, day=whole_day)
    until = "until" if np.isnat(start) else "to"
    snapshots, reported = int(content["snapshots"]), int(content["reported"])
    parts = [
        f"<b>{begin}</b> {until} <b>{time_text(stop, day=whole_day)}</b> UTC",
        f"<b>{entries(content)}</b>",
        _counted(snapshots, "snapshot"),
        f'<span title="{_REPORTS}">'
        + ("all reported" if reported == snapshots else f"{reported} reported")
        + "</span>",
    ]
    for noun, why in _WARNINGS.items():
        count = int(content[f"{noun}s"])
        parts.append(f'<span class="warn" title="{why}">⚠ {_counted(count, noun)}</span>' if count else f"no {noun}s")
    return f"<p>{' · '.join(parts)}</p>"


def why(chosen: Selection) -> str:
    """What is flagged of the histogram in the time slice, the surest first: the surest of each kind, and how many."""
    found, every = chosen.findings, chosen.start is None and chosen.stop is None
    flags = found.within(chosen.run, chosen.start, chosen.stop)
    lines = []
    for _, alike in list(flags.groupby("score", sort=False))[:_REASONS]:
        one = alike.iloc[0]
        start, stop = (np.datetime64(one[end], "ns") for end in ("start", "stop"))
        _, sign, name = SIGNS[sign_of(one["score"], one["z"])]
        more = f" and {_counted(len(alike) - 1, 'more report')}" if len(alike) > 1 else ""
        words = escape(theme.plain(one["why"]))
        lines.append(
            f'<li title="{words}"><span class="sign" title="{name}">{sign}</span>'
            f"<b>{time_text(start)} to {time_text(stop)}</b>{more} · {words}</li>"
        )
    if lines:
        return f'<ul class="why">{"".join(lines)}</ul>'
    if found.gauge:
        return "<p>Nothing flagged; a gauge holds states, not counts, and has no scores.</p>"
    if chosen.run in found.unscored:
        return f"<p>Not scored yet: run <b>owtrend compute {escape(chosen.archive.location)}</b></p>"
    return f"<p>✓ Nothing flagged in this {'run' if every else 'slice'}.</p>"


def key(chosen: Selection, colours: Mapping[int, str]) -> str:
    """The colour of each run, and onto what the histogram is projected; nothing if there is nothing to tell."""
    parts, content = [], chosen.cumulative
    if chosen.others:
        runs = "".join(
            f'<span class="run"><i style="background: {colours[run]}"></i>{run}</span>'
            if run in colours
            else f'<span class="run absent">{run} has none</span>'
            for run in sorted([chosen.run, *chosen.others])
        )
        parts.append(runs)
        if len(chosen.axes or [a for a in "xyz" if a in content.dims]) > 1:
            parts.append("maps do not lie over each other: choose a projection to see all runs")
    gone = summed_over(content, chosen.axes)
    if gone:
        names = {axis: title or axis for axis, title in theme.axis_titles(content).items()}
        ranges = chosen.ranges
        told = [
            f"<b>{escape(names[axis])} {ranges[axis][0]:g} to {ranges[axis][1]:g}</b>"
            if axis in ranges
            else escape(names[axis])
            for axis in gone
        ]
        parts.append(f"summed over {' and '.join(told)}")
    return f'<p class="key">{" · ".join(parts)}</p>' if parts else ""


def signs(shown: Iterable[str]) -> str:
    """What the signs of a trend mean, of those that it has."""
    look = {
        "not reported": '<i class="tick"></i>',
        "restart": '<i class="dash"></i>',
        "gap": '<i class="band"></i>',
    }
    words = {"not reported": "no report"}
    return "".join(f'<span class="run">{look[one]}{words.get(one, one)}</span>' for one in shown)


def entries(content: xr.Dataset) -> str:
    """``1,234 entries``."""
    return f"{float(content['sums'].sel(sum='entries')):,.0f} entries"


def time_text(time: np.datetime64, *, day: bool = False) -> str:
    """``10:30:00``, or with its day."""
    text = str(np.datetime_as_string(time, "s"))
    return text.replace("T", " ") if day else text[-8:]


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + "s" * (count != 1)
