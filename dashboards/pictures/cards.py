"""What is wrong now as HTML: tiles of subsystems, cards of alarms. Names and texts come from files, and are escaped."""

from html import escape

import pandas as pd

from dashboards.pictures.theme import BLUE, FONT, VERMILION
from dashboards.state.now import Card, Now, Sign, Tile
from owtrend.display import printable

__all__ = ["STYLE", "age", "head", "trouble", "when", "whole"]

_SIGNS = {Sign.OK: "●", Sign.WARNING: "▲", Sign.ERROR: "◆", Sign.UNKNOWN: "□"}
_LONGEST = 300  # characters of one text

# Colours by name, so that the dark page is the same page; those of signs are by Okabe and Ito.
STYLE = f"""
:host {{
  --ink: #1f2933; --muted: #5f6b7a; --line: #d7dde4; --ground: white; --card: #f7f8fa;
  --ok: #00795a; --warning: #9a6700; --error: {VERMILION}; --unknown: #6b7785; --link: {BLUE};
  --ok-bar: #009E73; --warning-bar: #E69F00;
  display: block; font: 14px/1.45 {FONT}; color: var(--ink); background: var(--ground);
  font-variant-numeric: tabular-nums;
}}
@media (prefers-color-scheme: dark) {{
  :host {{
    --ink: #e4e7eb; --muted: #9aa5b1; --line: #3e4c59; --ground: #14191f; --card: #1c232b;
    --ok: #2cc39a; --warning: #f0b429; --error: #ff8a4c; --unknown: #9aa5b1; --link: #6cb8ea;
  }}
}}
main {{ max-width: 1500px; margin: 0 auto; padding: 16px 24px 40px; box-sizing: border-box; }}
header {{ display: flex; flex-wrap: wrap; gap: 4px 20px; align-items: baseline; margin-bottom: 16px; }}
header b {{ font-size: 20px; letter-spacing: -0.02em; color: var(--link); }}
header nav {{ display: flex; gap: 16px; }}
header .age {{ margin-left: auto; text-align: right; }}
a {{ color: var(--link); font-weight: 600; text-decoration: none; }}
a:hover, a:focus {{ text-decoration: underline; }}
h2 {{ font-size: 14px; font-weight: 600; color: var(--muted); margin: 22px 0 8px; }}
.store {{ color: var(--muted); overflow-wrap: anywhere; }}
.tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 12px; }}
.tile {{ border: 1px solid var(--line); border-left-width: 6px; border-radius: 4px; padding: 10px 14px; }}
.tile h1 {{ font-size: 20px; margin: 0; font-weight: 600; }}
.tile p, .card p {{ margin: 0; }}
.tile .words {{ font-size: 16px; font-weight: 600; }}
.muted {{ color: var(--muted); }}
.ribbon {{ display: flex; gap: 1px; height: 10px; margin-top: 8px; }}
.ribbon i {{ flex: 1; background: var(--line); opacity: 0.5; }}
.ribbon i.ok {{ background: var(--ok-bar); opacity: 0.45; height: 4px; align-self: end; }}
.ribbon i.warning {{ background: var(--warning-bar); opacity: 1; height: 7px; align-self: end; }}
.ribbon i.error {{ background: var(--error); opacity: 1; }}
.card {{
  border: 1px solid var(--line); border-left-width: 6px; border-radius: 4px; background: var(--card);
  padding: 10px 14px; margin-bottom: 10px; overflow-wrap: anywhere;
}}
.card .title {{ font-size: 16px; font-weight: 600; }}
.card .why {{ margin: 2px 0 4px; }}
.card .do {{ margin: 4px 0; }}
.card .foot {{ display: flex; flex-wrap: wrap; gap: 2px 18px; }}
.card code {{ font-size: 12px; color: var(--muted); }}
.ok {{ border-left-color: var(--ok); }} .ok .sign {{ color: var(--ok); }}
.warning {{ border-left-color: var(--warning); }} .warning .sign {{ color: var(--warning); }}
.error {{ border-left-color: var(--error); }} .error .sign {{ color: var(--error); }}
.unknown {{ border-left-color: var(--unknown); }} .unknown .sign {{ color: var(--unknown); }}
.acknowledged {{ background: none; border-left-style: dashed; }}
table {{ border-collapse: collapse; width: 100%; }}
td {{ padding: 3px 14px 3px 0; vertical-align: top; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }}
td.short {{ white-space: nowrap; }}
.nothing {{ font-size: 18px; padding: 14px 0; }}
@media (min-width: 1800px) {{
  :host {{ font-size: 18px; }} main {{ max-width: none; }}
  .tile h1 {{ font-size: 30px; }} .tile .words {{ font-size: 24px; }} .card .title {{ font-size: 21px; }}
  header b {{ font-size: 26px; }} .ribbon {{ height: 16px; }} .card code {{ font-size: 15px; }}
  h2 {{ font-size: 18px; }}
}}
@media (max-width: 600px) {{
  main {{ padding: 10px 12px 30px; }} header .age {{ margin-left: 0; text-align: left; width: 100%; }}
  table, tbody, tr, td {{ display: block; }} tr {{ border-bottom: 1px solid var(--line); padding: 4px 0; }}
  td {{ border: none; }} td.short {{ display: inline-block; }}
}}
"""


def whole(now: Now, at: pd.Timestamp) -> str:
    """All of the page but its head."""
    if now.latest is None:
        command = f"owtrend ingest FOLDER --store {_text(now.location)}"
        return (
            f'<main><p class="nothing">This store holds no runs yet. <code>{command}</code> takes files in.</p></main>'
        )
    tiles = "".join(_tile(tile, at) for tile in now.tiles)
    parts = [f'<section class="tiles" aria-label="Subsystems">{tiles}</section>']
    if not now.computed:
        command = f"<code>owtrend compute {_text(now.location)}</code>"
        parts.append(
            f'<p class="nothing warning"><span class="sign">{_SIGNS[Sign.WARNING]}</span> Nobody has looked for '
            f"outliers in run {now.run} yet. {command} does.</p>"
        )
    if now.on:
        parts.append(f"<h2>Open ({len(now.on)})</h2>{''.join(_card(card, now, at) for card in now.on)}")
    elif now.computed:
        parts.append(
            f'<p class="nothing ok"><span class="sign">{_SIGNS[Sign.OK]}</span> Nothing is wrong in the data until '
            f"{when(now.latest, at)}.</p>"
        )
    if now.over:
        rows = "".join(_row(card, at) for card in now.over)
        parts.append(f"<h2>Over, in the last day of data ({len(now.over)})</h2><table><tbody>{rows}</tbody></table>")
    return f"<main>{''.join(parts)}</main>"


def head(now: Now, at: pd.Timestamp) -> str:
    """The first line of the page: where one is, and how old the data are."""
    run = f"run {now.run} · " if now.run is not None else ""
    data = "" if now.latest is None else f"newest data {age(now.latest, at)} old · "
    return (
        f"<main style='padding-bottom: 0'><header><b>owtrend</b><nav><a aria-current='page' href='./'>Now</a>"
        f"<a href='histogram'>Histograms</a></nav><span class='store'>{_text(now.location)}</span>"
        f"<span class='age muted' role='status'>{run}{data}{at:%H:%M:%S} UTC</span></header></main>"
    )


def trouble(text: str, shown: pd.Timestamp | None) -> str:
    """In place of the first line: why nothing new can be read, and how old what is shown is."""
    old = "" if shown is None else f" What is below was read at {shown:%H:%M:%S} UTC."
    sign = f'<span class="sign">{_SIGNS[Sign.ERROR]}</span>'
    words = f'<p class="card error" role="alert">{sign} {_text(text)}.{old}</p>'
    return f'<main style="padding-bottom: 0">{words}</main>'


def age(time: pd.Timestamp, at: pd.Timestamp) -> str:
    """How long ago a time is, in its largest unit: ``24 s``, ``11 min``, ``3 h``, ``8 years``."""
    seconds = max((at - time).total_seconds(), 0.0)
    for unit, length in (("years", 365.25 * 86400), ("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds / length)} {unit}"
    return f"{int(seconds)} s"


def when(time: pd.Timestamp, at: pd.Timestamp) -> str:
    """A time of today by the clock; others with their day."""
    if time.date() == at.date():
        return f"{time:%H:%M}"
    return f"{time:%H:%M}, {time.day} {time:%B}{f' {time.year}' if time.year != at.year else ''}"


def _tile(tile: Tile, at: pd.Timestamp) -> str:
    ribbon = "".join("<i></i>" if sign is None else f'<i class="{sign}"></i>' for sign in tile.ribbon)
    return (
        f'<div class="tile {tile.sign}"><h1><span class="sign" aria-hidden="true">{_SIGNS[tile.sign]}</span> '
        f'{_text(tile.subsystem)}</h1><p class="words">{_text(tile.words)}</p>'
        f'<p class="muted">data {age(tile.latest, at)} old</p>'
        f'<div class="ribbon" role="img" aria-label="the last eight hours of data">{ribbon}</div></div>'
    )


def _card(card: Card, now: Now, at: pd.Timestamp) -> str:
    known = f" acknowledged by {_text(card.acknowledged)}" if card.acknowledged else ""
    state = "" if card.state == "firing" else f" · {_text(card.state)}"
    silent = " · silenced" if card.silenced else ""
    guidance = f'<p class="do">What to do: {_guidance(card.guidance)}</p>' if card.guidance else ""
    owner = f"<span>owner: {_text(card.owner)}</span>" if card.owner else ""
    link = f'<a href="{escape(card.link)}">Open the histogram</a>' if card.link else ""
    todo = "" if known else f"<code>owtrend ack {_text(now.location)} {_text(card.id)} --note ...</code>"
    return (
        f'<article class="card {card.sign}{" acknowledged" * bool(known)}"><p class="title"><span class="sign">'
        f"{_SIGNS[card.sign]}</span> {_text(card.subsystem)} · {_text(card.what)}</p>"
        f'<p class="why">{_text(card.why)}</p>{guidance}<div class="foot muted"><span>{card.sign}, since '
        f"{when(card.start, at)} UTC, run {card.run}{state}{silent}{known}</span>{owner}{link}{todo}</div></article>"
    )


def _row(card: Card, at: pd.Timestamp) -> str:
    assert card.stop is not None
    if card.start.date() == card.stop.date():
        span = f"{card.start:%H:%M} to {when(card.stop, at)}"
    else:
        span = f"{when(card.start, at)} to {when(card.stop, at)}"
    what = f'<a href="{escape(card.link)}">{_text(card.what)}</a>' if card.link else _text(card.what)
    cells = (span, f"run {card.run}", _text(card.subsystem))
    return (
        f"<tr>{''.join(f'<td class=short>{cell}</td>' for cell in cells)}<td>{what}</td><td>{_text(card.why)}</td></tr>"
    )


def _guidance(text: str) -> str:
    """Guidance of a rule: text, or a link if it is nothing else."""
    shown = _text(text)
    if text.startswith(("https://", "http://")) and " " not in text:
        return f'<a href="{escape(text)}" rel="noopener noreferrer">{shown}</a>'
    return shown


def _text(text: str) -> str:
    return escape(printable(text, _LONGEST))
