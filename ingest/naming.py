"""File names and run folders <-> subsystem, run, mode and time.

Overwatch's two layouts are built in; patterns describe any other folder tree.
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
_CLOSE = 0.05  # if a larger fraction of ambiguous times follow each other too soon, they come from both hours
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
    """The fields in the name of a snapshot file, None where it has none; ``time`` is local, without a zone."""

    subsystem: str | None = None
    run: int | None = None
    time: datetime | None = None
    mode: str | None = None
    text: str = field(default="", compare=False)  # the part of the path that matched


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of paths, for example ``{subsystem}/ShuttleInput/*.root``.

    ``{subsystem}``, ``{run}``, ``{mode}`` and ``{time}`` (six numbers from year to second) are read, ``*`` matches
    anything but a slash, ``**`` anything. The pattern must match the end of the path.
    """

    text: str
    expression: re.Pattern[str]

    @classmethod
    def compile(cls, text: str) -> "Pattern":
        """The pattern for ``text``.

        Raises
        ------
        UsageError
            If it has an unknown field, or a field twice.
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
            raise UsageError(f"pattern {text!r}: use each field only once ({error})") from error


def is_product(path: str) -> bool:
    """Whether Overwatch made this file itself (combined, timeSlice, ReplayData): never a snapshot."""
    return _PRODUCT.search(path) is not None


def parse(path: str, patterns: tuple[Pattern, ...] = ()) -> FileName | None:
    """Subsystem, run, mode and time in ``path``, by ``patterns`` and Overwatch's layouts; None if nothing matches.

    If several match, the one with most of subsystem, run and time counts; of equals the first. Numbers may be padded
    or not (``2015_3_14_2_3_5``). A name whose numbers are no valid time does not match.
    """
    path = PurePosixPath(path).as_posix()
    if PurePosixPath(path).name.startswith("."):  # half-written files of ROOT and rsync
        return None
    matches = [expression.search(path) for expression in [*(p.expression for p in patterns), *_OVERWATCH]]
    names = [name for match in matches if (name := _file_name(match))]
    return max(names, key=lambda name: sum(x is not None for x in (name.subsystem, name.run, name.time)), default=None)


def _file_name(match: re.Match[str] | None) -> FileName | None:
    if match is None:
        return None
    fields = match.groupdict()
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
        text=match.group().lstrip("/"),
    )


def _time(text: str) -> datetime:
    match = _NUMBERS.fullmatch(text)
    assert match is not None, "all expressions ask for six numbers"
    year, month, day, hour, minute, second = map(int, match.groups())
    return datetime(year, month, day, hour, minute, second)


def processed_name(subsystem: str, run: int, time: datetime) -> str:
    """The path of a snapshot in Overwatch's processed layout; ``time`` is local."""
    return f"Run{run}/{subsystem}/{subsystem}hists.{time:%Y_%m_%d_%H_%M_%S}.root"


def to_utc(time: datetime, timezone: str = CERN, *, later: bool = False) -> tuple[np.datetime64, bool]:
    """``time`` in zone ``timezone`` as UTC, and whether the clock change makes it ambiguous.

    An ambiguous time is taken as the earlier of the two, or the ``later``.

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
    """Whether the ambiguous times of a run lie in the later of two hours, by its other times; None if undecided.

    Snapshots come at even intervals: the hour without a hole before or after it is the right one. It is undecided if
    both hours are full, the run has no other times, or its files come from both hours: then they lie closer together
    than the others. All in ns.
    """
    if not len(certain):
        return None
    spacing = float(np.median(np.diff(np.sort(certain)))) if len(certain) > 1 else 0.0
    too_soon = np.count_nonzero(np.ediff1d(np.sort(earlier)) * 2.0 < spacing)
    if too_soon > _CLOSE * len(earlier):
        return None
    holes = [int(np.diff(np.sort(np.concatenate([certain, hour]))).max(initial=0)) for hour in (earlier, later)]
    return None if abs(holes[0] - holes[1]) < _HALF_AN_HOUR else holes[1] < holes[0]
