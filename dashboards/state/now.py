"""What is wrong now: the state of each subsystem, the alarms that are on, and those that are over since a day."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

import owtrend
from dashboards.state.view import View

__all__ = ["Card", "Now", "Sign", "Tile", "now"]

RIBBON = pd.Timedelta(8, "h")
STEPS = 48  # of a ribbon
_STALE = pd.Timedelta(5, "min")  # data older than this, and than three reports, say nothing about now
_OVER = pd.Timedelta(1, "D")
_ON = ("firing", "recovering", "no data", "stale")


class Sign(StrEnum):
    """How a subsystem or an alarm is shown: a colour, a sign and a word for each."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    UNKNOWN = "unknown"  # never shown like ok


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A subsystem: how it is, what is worst, the time of its newest data (UTC), its last hours step by step."""

    subsystem: str
    sign: Sign
    words: str
    latest: pd.Timestamp
    ribbon: tuple[Sign | None, ...]


@dataclass(frozen=True, kw_only=True)
class Card:
    """An alarm in words; ``link`` leads to its histogram, empty if it has none."""

    id: str
    sign: Sign
    state: str
    subsystem: str
    what: str
    why: str
    run: int
    start: pd.Timestamp
    stop: pd.Timestamp | None
    guidance: str = ""
    owner: str = ""
    acknowledged: str = ""
    silenced: bool = False
    link: str = ""


@dataclass(frozen=True, kw_only=True)
class Now:
    """What is wrong now.

    Parameters
    ----------
    latest
        Time of the newest data of all (UTC); None: there are none.
    on, over
        Alarms, worst and oldest first; those that ended within the last day of data, newest first.
    computed
        Whether anybody looked for outliers in the newest data.
    """

    location: str
    latest: pd.Timestamp | None
    run: int | None
    tiles: tuple[Tile, ...]
    on: tuple[Card, ...]
    over: tuple[Card, ...]
    computed: bool


def now(archive: owtrend.Archive, at: pd.Timestamp) -> Now:
    """What is wrong when it is ``at`` (UTC)."""
    runs = archive.runs
    runs = runs[runs["snapshots"] > 0]
    if runs.empty:
        return Now(location=archive.location, latest=None, run=None, tiles=(), on=(), over=(), computed=False)
    rules = {rule.name: rule for rule in archive.config.rules}
    alarms = archive.alarms
    newest = {name: archive.last_time(name) for name in archive.subsystems}
    latest, last = max(newest.values()), int(runs["stop"].idxmax())
    alarms = alarms[alarms["fired"].notna()]
    on = alarms[alarms["stop"].isna()]
    over = alarms[alarms["stop"] > latest - _OVER].sort_values("stop", ascending=False)
    cards = sorted(
        (_card(row, rules) for row in on.to_dict("records")), key=lambda card: (card.sign != "error", card.start)
    )
    tiles = tuple(_tile(name, alarms, newest[name], latest, at) for name in sorted(newest))
    return Now(
        location=archive.location, latest=latest, run=last, tiles=tiles, on=tuple(cards),
        over=tuple(_card(row, rules) for row in over.to_dict("records")),
        computed=last not in archive.not_scored(runs=[last]),
    )  # fmt: skip


def _card(row: dict[str, Any], rules: dict[str, Any]) -> Card:
    rule = rules.get(row["name"]) if row["source"] == "rule" else None
    histogram = row["histogram"] or ""
    view = View(run=row["run"], subsystem=row["subsystem"], histogram=histogram, start=_ns(row["start"]))
    what = {"rule": f"{row['name']}: {histogram}" if histogram else row["name"], "source": "no data"}
    return Card(
        id=row["id"], sign=Sign(row["quality"]), state=row["state"], subsystem=", ".join(row["subsystems"]),
        what=what.get(row["source"], histogram or "whole snapshots"),
        why=f"{row['place']}: {row['why']}" if row["place"] else row["why"], run=row["run"],
        start=row["start"], stop=None if pd.isna(row["stop"]) else row["stop"],
        guidance=rule.guidance if rule else "", owner=rule.owner if rule else "", acknowledged=row["acknowledged"],
        silenced=bool(row["silenced"]), link=f"histogram{view.address}" if histogram else "",
    )  # fmt: skip


def _ns(time: pd.Timestamp) -> np.datetime64:
    return np.datetime64(time.to_datetime64(), "ns")


def _tile(name: str, alarms: pd.DataFrame, newest: pd.Timestamp, latest: pd.Timestamp, at: pd.Timestamp) -> Tile:
    mine = alarms[[name in subsystems for subsystems in alarms["subsystems"]]]
    on = mine[mine["stop"].isna()]
    sign = Sign.OK
    if len(on):
        sign = Sign.ERROR if (on["quality"] == "error").any() else Sign.WARNING
    words = f"{len(on)} open" if len(on) else "ok"
    if at - newest > _STALE:
        sign, words = Sign.UNKNOWN, f"no new data; then {words}"
    return Tile(subsystem=name, sign=sign, words=words, latest=newest, ribbon=_ribbon(mine, newest, latest))


def _ribbon(alarms: pd.DataFrame, newest: pd.Timestamp, latest: pd.Timestamp) -> tuple[Sign | None, ...]:
    """The last hours of data in equal steps, the newest last; None where there are no data yet or any more."""
    step = RIBBON / STEPS
    first = latest - RIBBON
    signs: list[Sign | None] = [Sign.OK if first + number * step <= newest else None for number in range(STEPS)]
    for row in alarms.sort_values("quality", ascending=False).to_dict("records"):  # errors last, so that they are seen
        stop = newest if pd.isna(row["stop"]) else row["stop"]
        begin, end = (int((time - first) / step) for time in (row["start"], stop))
        for number in range(max(begin, 0), min(end, STEPS - 1) + 1):
            signs[number] = Sign(row["quality"])
    return tuple(signs)
