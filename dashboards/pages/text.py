"""Text of the page as HTML: heading, facts of a time slice, findings, keys of colours and signs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from html import escape

import numpy as np
import xarray as xr

from dashboards.pictures import theme
from dashboards.pictures.scores import SIGNS, sign_of
from dashboards.state.region import summed_over
from dashboards.state.session import Session
from owtrend.detectors import detector
from owtrend.detectors.options import options
from owtrend.detectors.protocol import first_fitting
from owtrend.errors import OwtrendError
from owtrend.model.rows import State
from owtrend.model.wording import plural

__all__ = ["entries", "heading", "hot_channels", "key", "notes", "signs", "slice_facts", "stale", "time_text", "why"]

_WARNINGS = {
    "restart": "Entries or bins fell: counting started again at zero. Counts before and after are added.",
    "gap": "Snapshots are missing. Their counts are in the next snapshot.",
}
_STEPS = {
    State.OUT_OF_ORDER: (
        "out of order",
        "A snapshot has the content of another time. It takes part in no increment.",
    ),
    State.LOST: ("unknown gain", "A bin is full, or all bins were multiplied by a factor. What was gained is missing."),
    State.MOVED: ("moved entries", "Bins fell, entries did not: entries went to other bins, or all were scaled."),
    State.GAUGE: ("a state", "No counts: what is shown is its last value."),
    State.RESET: ("reset at each snapshot", "Bins and entries fall again and again: each snapshot is a gain."),
}
_HOT = 5  # hot channels that are listed
_KINDS = 5  # kinds of findings that are listed
_LABELS = 3  # labels that are listed
_REPORTS = "Snapshots in which this histogram changed; parts of the detector report every few minutes"
_SIGNS = {
    "no report": '<i class="tick"></i>',
    "restart": '<i class="dash"></i>',
    "gap": '<i class="band"></i>',
}


def heading(session: Session) -> str:
    """Histogram, run and interval, and the quality of the data."""
    view, cumulative = session.view, session.loaded.cumulative
    times, run = cumulative["time"].values, session.archive.runs.loc[view.run]
    start, stop = run["start"], run["stop"]
    clock = "%H:%M:%S" if stop.date() == start.date() else "%Y-%m-%d %H:%M:%S"
    damaged = int((session.archive.quarantine["run"] == view.run).sum())
    facts = [
        f"Run <b>{view.run}</b>",
        f"{start:%Y-%m-%d %H:%M:%S} to {stop:{clock}} UTC",
        f"<b>{plural(len(times), 'snapshot')}</b> of {escape(view.subsystem)}, last at {time_text(times[-1])}",
        f'<span class="warn">{damaged} in quarantine</span>' if damaged else "none in quarantine",
    ]
    title = theme.plain(cumulative.attrs["title"])
    return f"<h1>{escape(view.histogram)}<small>{escape(title)}</small></h1><p>{' · '.join(facts)}</p>"


def notes(session: Session) -> str:
    """What could not be shown as asked for; and the histograms to choose from, where an address fits several."""
    lines = [f"<div>{escape(note)}</div>" for note in session.notes]
    for name in session.asked:
        link = escape(replace(session.view, histogram=name).address)
        lines.append(f'<div><a href="{link}" target="_self">{escape(name)}</a></div>')
    return f'<div class="note">{"".join(lines)}</div>' if lines else ""


def slice_facts(content: xr.Dataset) -> str:
    """Interval, entries, snapshots, restarts and gaps of a time slice, in one line."""
    start, stop = (np.datetime64(content[end].item(), "ns") for end in ("start", "stop"))
    several_days = not np.isnat(start) and str(start)[:10] != str(stop)[:10]
    begin = "run start" if np.isnat(start) else time_text(start, day=several_days)
    parts = [
        f"<b>{begin}</b> to <b>{time_text(stop, day=several_days)}</b> UTC",
        f"<b>{entries(content)}</b>",
        plural(int(content["snapshots"]), "snapshot"),
        f'<span title="{_REPORTS}">{plural(int(content["reported"]), "report")}</span>',
    ]
    for noun, explanation in _WARNINGS.items():
        count = int(content[f"{noun}s"])
        warning = f'<span class="warn" title="{explanation}">⚠ {plural(count, noun)}</span>'
        parts.append(warning if count else f"no {noun}s")
    for bit, (words, explanation) in _STEPS.items():
        if bit & int(content.coords.get("state", 0)):
            parts.append(f'<span class="warn" title="{explanation}">⚠ {words}</span>')
    return f"<p>{' · '.join(parts)}</p>"


def why(session: Session) -> str:
    """The findings in the time slice: for each kind when, in how many reports, and why the most significant one is."""
    view, found = session.view, session.loaded.findings
    rows = found.within(view.run, view.start, view.stop)
    lines = []
    for _, same_kind in list(rows.groupby("score", sort=False))[:_KINDS]:
        top = same_kind.iloc[0]
        start, stop = (np.datetime64(end, "ns") for end in (same_kind["start"].min(), same_kind["stop"].max()))
        _, sign, name = SIGNS[sign_of(top["score"], top["certain"])]
        reports = f", {len(same_kind)} reports" if len(same_kind) > 1 else ""
        words = escape(theme.plain(f"{top['place']}: {top['why']}" if top["place"] else top["why"]))
        lines.append(
            f'<li title="{words}"><span class="sign" title="{name}">{sign}</span>'
            f"<b>{time_text(start)} to {time_text(stop)}</b>{reports} · {words}</li>"
        )
    if lines:
        return f'<ul class="why">{"".join(lines)}</ul>'
    if source := session.loaded.cumulative.attrs.get("derived_from"):
        return f"<p>Made of {escape(theme.plain(source))}, which is scored.</p>"
    if found.is_gauge:
        return "<p>No findings. A gauge shows a state, not counts, and is not scored.</p>"
    if view.run in found.unscored:
        return f"<p>Not scored yet: run <b>owtrend compute {escape(session.archive.location)}</b></p>"
    where = "run" if view.start is None and view.stop is None else "slice"
    return f"<p>✓ No findings in this histogram in this {where}.</p>"


def hot_channels(session: Session, content: xr.Dataset) -> str:
    """The hot channels of a time slice; empty for a histogram whose bins are no channels."""
    view, known = session.view, detector(session.view.subsystem)
    declared = first_fitting(known.hot_channels, view.histogram)
    if declared is None or view.axes:
        return ""
    given = options(view.options)
    settings = known.settings(given)
    threshold = float(settings.get("hot_channel_threshold", 0)) or declared.threshold
    words = f"above {threshold:g}{' per event' if settings.get('scale_events', True) else ''}"
    try:
        found = session.archive.hot_channels_in(content, given)
    except OwtrendError as error:
        return f"<p>Hot channels: {escape(str(error))}</p>"
    if not len(found):
        return f"<p>No hot channels {words}.</p>"
    shown = [
        f"<b>{row['channel']}</b> ({row['rate']:.3g}{', ' if row['place'] else ''}{escape(row['place'])})"
        for row in found.head(_HOT).to_dict("records")
    ]
    more = f" and {len(found) - _HOT:,} more" if len(found) > _HOT else ""
    return f'<p><span class="warn">{plural(len(found), "hot channel")}</span> {words}: {"; ".join(shown)}{more}</p>'


def stale(session: Session) -> str:
    """A line about stored trends and scores of an earlier version or configuration; empty if there are none."""
    trend, scores = session.loaded.trend, session.loaded.findings.scores
    kinds = ["trend"] * (trend is not None and bool(trend["stale"].any()))
    kinds += ["scores"] * (scores is not None and bool(scores["stale"].any()))
    if not kinds:
        return ""
    words, them = " and ".join(kinds).capitalize(), "it" if kinds == ["trend"] else "them"
    return (
        f"<p>{words} made by an earlier version or configuration; "
        f"<b>owtrend compute {escape(session.archive.location)}</b> brings {them} up to date.</p>"
    )


def key(session: Session, colours: Mapping[int, str]) -> str:
    """The colour of each run, and the projection; empty if there is neither."""
    view, content, parts = session.view, session.loaded.cumulative, []
    if view.others:
        parts.append(
            "".join(
                f'<span class="run"><i style="background: {colours[run]}"></i>{run}</span>'
                if run in colours
                else f'<span class="run absent">{run}: missing</span>'
                for run in sorted([session.loaded.run, *view.others])
            )
        )
        if len(view.axes or [axis for axis in "xyz" if axis in content.dims]) > 1:
            parts.append("maps cannot be overlaid: choose a projection to see all runs")
        else:
            parts += _labels_not_shown(session)
    summed = summed_over(content, view.axes)
    if summed:
        names = {axis: title or axis for axis, title in theme.axis_titles(content).items()}
        ranges = session.ranges
        axes = [
            f"<b>{escape(names[axis])} {_range_text(ranges[axis])}</b>" if axis in ranges else escape(names[axis])
            for axis in summed
        ]
        parts.append(f"summed over {' and '.join(axes)}")
    return f'<p class="key">{" · ".join(parts)}</p>' if parts else ""


def _range_text(ends: tuple[float, float] | str) -> str:
    return escape(theme.plain(ends)) if isinstance(ends, str) else f"{ends[0]:g} to {ends[1]:g}"


def _labels_not_shown(session: Session) -> list[str]:
    """For each further run its labels that the chosen run lacks, so that its bins have no place in the picture."""
    content, parts = session.loaded.cumulative, []
    name = f"{session.view.axes or next(axis for axis in 'xyz' if axis in content.dims)}_label"
    if name not in content.coords:
        return []
    for run, further in session.loaded.further.items():
        labels = further[name].values.tolist() if name in further.coords else []
        missing = sorted(set(labels) - set(content[name].values.tolist()))
        if missing:
            words = ", ".join(escape(theme.plain(label)) for label in missing[:_LABELS])
            more = f" and {len(missing) - _LABELS} more" if len(missing) > _LABELS else ""
            parts.append(f"only in run {run}, not drawn: <b>{words}</b>{more}")
    return parts


def signs(names: Iterable[str]) -> str:
    """The key of the signs on a trend: ``no report``, ``restart``, ``gap``."""
    return "".join(f'<span class="run">{_SIGNS[name]}{name}</span>' for name in names)


def entries(content: xr.Dataset) -> str:
    """``1,234 entries``, or ``no entries``."""
    count = float(content["sums"].sel(sum="entries"))
    return f"{count:,.0f} entries" if count else "no entries"


def time_text(time: np.datetime64, *, day: bool = False) -> str:
    """``10:30:00``, or with the day."""
    text = str(np.datetime_as_string(time, "s"))
    return text.replace("T", " ") if day else text[-8:]
