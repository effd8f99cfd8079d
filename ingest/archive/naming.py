"""File names and run folders <-> subsystem, run, mode and time.

Overwatch's two layouts are known by heart; any other folder tree is told by a pattern.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from owtrend.errors import UsageError

__all__ = ["CERN", "FileName", "Pattern", "is_product", "parse", "processed_name", "to_utc"]

CERN = "Europe/Zurich"
_CLOSE = 0.05  # share of ambiguous times that follow each other too soon: they come from both hours
_HALF_AN_HOUR = 30 * 60 * 10**9  # ns

# Overwatch's own products, and the folder of HLT mode E, which it never processes.
_PRODUCT = re.compile(r"(^|/)(hists\.combined\.|timeSlice\.|ReplayData/|tempStorage/)")
_TIME = r"\d{4}(?:_\d{1,2}){5}"
_PROCESSED = rf"(?:^|/)Run(?P<run>\d+)/(?P<subsystem>\w+)/(?P=subsystem)hists\.(?P<time>{_TIME})\.root$"
_INCOMING = rf"(?:^|/)(?P<subsystem>[^/_]+)histos_(?P<run>\d+)_(?P<mode>[A-Za-z]+)_(?P<time>{_TIME})\.root$"
_NUMBERS = re.compile(r"(\d{4})" + r"\D?(\d{1,2})" * 5)
_OVERWATCH = re.compile(_PROCESSED), re.compile(_INCOMING)


@dataclass(frozen=True, slots=True)
class FileName:
    """What the name of a snapshot file tells; ``time`` is local, without a zone; None where it does not tell."""

    subsystem: str | None = None
    run: int | None = None
    time: datetime | None = None
    mode: str | None = None
    text: str = field(default="", compare=False)  # the part of the path that told it


@dataclass(frozen=True, slots=True)
class Pattern:
    """A folder tree told in one line, for example ``{subsystem}/ShuttleInput/*.root``.

    ``{subsystem}``, ``{run}``, ``{mode}`` and ``{time}`` (six numbers from year to second) are read, ``*`` is anything
    but a slash, ``**`` anything. It is matched with the end of the path.
    """

    text: str
    expression: re.Pattern[str]

    @classmethod
    def compile(cls, text: str) -> "Pattern":
        """The pattern of ``text``.

        Raises
        ------
        UsageError
            If it has a field of another name.
        """
        fields = {
            "{subsystem}": r"(?P<subsystem>[\w-]+?)",
            "{run}": r"(?P<run>\d+)",
            "{mode}": r"(?P<mode>[A-Za-z]+)",
            "{time}": r"(?P<time>\d{4}(?:\D?\d{1,2}){5})",
            "**": r".*",
            "*": r"[^/]*",
        }
        pieces = re.split(r"(\{\w*\}|\*\*|\*)", text)
        for piece in pieces:
            if piece.startswith("{") and piece not in fields:
                known = ", ".join(name for name in fields if name.startswith("{"))
                raise UsageError(f"pattern {text!r}: unknown field {piece}; known are {known}")
        expression = "".join(fields.get(piece, re.escape(piece)) for piece in pieces)
        try:
            return cls(text, re.compile(rf"(?:^|/){expression}$"))
        except re.error as error:
            raise UsageError(f"pattern {text!r}: each field may stand in it once ({error})") from error


def is_product(path: str) -> bool:
    """Whether Overwatch made this file itself (combined, timeSlice, ReplayData): never a snapshot."""
    return _PRODUCT.search(path) is not None


def parse(path: str, patterns: tuple[Pattern, ...] = ()) -> FileName | None:
    """What ``path`` tells, by ``patterns`` and by Overwatch's layouts; None if nothing matches.

    Of several that match, the one that tells the most of subsystem, run and time; of equals the first. Numbers may be
    padded or not (``2015_3_14_2_3_5``). A name whose numbers are no time does not match.
    """
    path = PurePosixPath(path).as_posix()
    if PurePosixPath(path).name.startswith("."):  # half-written files of ROOT and rsync
        return None
    told = [told for one in [*(p.expression for p in patterns), *_OVERWATCH] if (told := _told(one.search(path)))]
    return max(told, key=lambda one: sum(x is not None for x in (one.subsystem, one.run, one.time)), default=None)


def _told(found: re.Match[str] | None) -> FileName | None:
    if found is None:
        return None
    fields = found.groupdict()
    try:
        when = _time(fields["time"]) if fields.get("time") else None
    except ValueError:
        return None
    run, mode = fields.get("run"), fields.get("mode")
    return FileName(
        subsystem=fields.get("subsystem"),
        run=int(run) if run else None,
        time=when,
        mode=mode.upper() if mode else None,
        text=found.group().lstrip("/"),
    )


def _time(text: str) -> datetime:
    found = _NUMBERS.fullmatch(text)
    assert found is not None, "the expressions that found it ask for six numbers"
    year, month, day, hour, minute, second = map(int, found.groups())
    return datetime(year, month, day, hour, minute, second)


def processed_name(subsystem: str, run: int, time: datetime) -> str:
    """The path of a snapshot in Overwatch's processed layout; ``time`` is local."""
    return f"Run{run}/{subsystem}/{subsystem}hists.{time:%Y_%m_%d_%H_%M_%S}.root"


def to_utc(time: datetime, timezone: str = CERN, *, later: bool = False) -> tuple[np.datetime64, bool]:
    """``time`` of the zone ``timezone`` as UTC, and whether the clock change makes it ambiguous.

    Of two times that it may be the earlier, or the ``later``.

    Raises
    ------
    UsageError
        If there is no such zone.
    """
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(f"no time zone {timezone!r}; give a name such as {CERN} or UTC") from error
    first = time.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = time.replace(tzinfo=zone, fold=1).astimezone(UTC)
    ambiguous = second - first > timedelta(0)
    return np.datetime64((second if later else first).replace(tzinfo=None), "ns"), ambiguous


def are_later(certain: NDArray[np.int64], earlier: NDArray[np.int64], later: NDArray[np.int64]) -> bool | None:
    """Which of two hours the ambiguous times of a run lie in, as its other times tell; None if they do not.

    Snapshots come one after the other: the hour without a hole before or after it is the right one. Nothing is told
    where both hours are full, the run knows no other, or its files come from both hours, in part or whole: then they
    lie closer together than the others. All in ns.
    """
    if not len(certain):
        return None
    spacing = float(np.median(np.diff(np.sort(certain)))) if len(certain) > 1 else 0.0
    too_soon = np.count_nonzero(np.ediff1d(np.sort(earlier)) * 2.0 < spacing)
    if too_soon > _CLOSE * len(earlier):
        return None
    holes = [int(np.diff(np.sort(np.concatenate([certain, own]))).max(initial=0)) for own in (earlier, later)]
    return None if abs(holes[0] - holes[1]) < _HALF_AN_HOUR else holes[1] < holes[0]
