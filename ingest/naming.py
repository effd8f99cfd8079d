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

from owtrend.display import printable
from owtrend.errors import UsageError

__all__ = [
    "CERN",
    "LARGEST_RUN",
    "FileName",
    "Pattern",
    "is_product",
    "local_time",
    "parse",
    "processed_name",
    "reason",
    "to_utc",
]

CERN = "Europe/Zurich"
_CLOSE = 0.05  # if a larger fraction of ambiguous times follow each other too soon, they come from both hours
_HALF_AN_HOUR = 30 * 60 * 10**9  # ns

# Overwatch's own products, and the folder of HLT mode E, which it never processes.
_PRODUCT = re.compile(r"(^|/)(hists\.combined\.|timeSlice\.|ReplayData/|tempStorage/)")

# {time}: a date and a time of day, the numbers padded or separated by single characters; or seconds or milliseconds
# since 1970, which are UTC. Nothing of it may be part of a longer number.
_CLOCK = re.compile(
    r"(\d{4})(?:\D(\d{1,2})\D(\d{1,2})|(\d{2})(\d{2}))\D?"
    r"(?:(\d{1,2})\D(\d{1,2})\D(\d{1,2})|(\d{2})(\d{2})(\d{2}))"
)
_EPOCH = re.compile(r"\d{10}(?:\d{3})?")
_FIRST_YEAR, _YEARS_AHEAD = 1990, 2  # a time outside these was read wrongly
LARGEST_RUN = 2**63 - 1  # of int64, as runs are stored

# {time:%Y%m%d-%H%M%S}: what datetime.strptime understands of numbers, and %s, seconds since 1970.
_DIRECTIVES = {
    "%Y": r"\d{4}", "%m": r"\d{1,2}", "%d": r"\d{1,2}", "%H": r"\d{1,2}", "%M": r"\d{1,2}", "%S": r"\d{1,2}",
    "%f": r"\d{1,6}", "%j": r"\d{1,3}", "%y": r"\d{2}", "%b": r"[A-Za-z]{3}", "%s": r"\d{1,11}", "%%": "%",
}  # fmt: skip
_FIELDS = {
    "{subsystem}": r"(?P<subsystem>[\w-]+?)",
    "{run}": r"(?P<run>\d+)",
    "{mode}": r"(?P<mode>[A-Za-z]+)",
    "**": r".*",
    "*": r"[^/]*",
}
_PIECES = re.compile(r"(\{\w*(?::[^{}]*)?\}|\*\*|\*)")


@dataclass(frozen=True, slots=True)
class FileName:
    """The fields in the name of a snapshot file, None where it has none; ``time`` without a zone is local."""

    subsystem: str | None = None
    run: int | None = None
    time: datetime | None = None
    mode: str | None = None
    text: str = field(default="", compare=False)  # the part of the path that matched


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of paths, for example ``{subsystem}/ShuttleInput/*.root``.

    ``{subsystem}``, ``{run}``, ``{mode}`` and ``{time}`` are read, ``*`` matches anything but a slash, ``**`` anything.
    The pattern must match the end of the path. ``{time}`` is six numbers from year to second, or the seconds or
    milliseconds since 1970 (10 or 13 digits); ``{time:%Y%m%d-%H%M%S}`` gives its format, as `datetime.strptime` has it.
    """

    text: str
    expression: re.Pattern[str]
    pieces: tuple[tuple[str, str], ...] = ()  # of the text, each with its expression
    time_format: str | None = None

    @classmethod
    def compile(cls, text: str) -> "Pattern":
        """The pattern for ``text``.

        Raises
        ------
        UsageError
            If it has an unknown field, a field twice, or an unknown format of the time.
        """
        pieces: list[tuple[str, str]] = []
        time_format = None
        for piece in _PIECES.split(text):
            if piece == "{time}":
                pieces.append((piece, rf"(?<!\d)(?P<time>{_unnamed(_CLOCK)}|{_EPOCH.pattern})(?!\d)"))
            elif piece.startswith("{time:"):
                time_format = piece[6:-1]
                pieces.append((piece, rf"(?<!\d)(?P<time>{_format_expression(text, time_format)})(?!\d)"))
            elif piece.startswith("{") and piece not in _FIELDS:
                known = ", ".join(name for name in _FIELDS if name.startswith("{"))
                raise UsageError(f"pattern {text!r}: unknown field {piece}; known are {known}, {{time}}")
            elif piece in _FIELDS:
                pieces.append((piece, _FIELDS[piece]))
            else:
                pieces += [(letter, re.escape(letter)) for letter in piece]
        return cls._of(text, tuple(pieces), time_format)

    @classmethod
    def _of(cls, text: str, pieces: tuple[tuple[str, str], ...], time_format: str | None = None) -> "Pattern":
        try:
            expression = re.compile(rf"(?:^|/){''.join(part for _, part in pieces)}$")
        except re.error as error:
            raise UsageError(f"pattern {text!r}: use each field only once ({error})") from error
        return cls(text, expression, pieces, time_format)

    def read(self, path: str) -> FileName | str | None:
        """The fields in ``path``; or why its time or run is impossible; or None if it does not match."""
        match = self.expression.search(path)
        if match is None:
            return None
        fields = match.groupdict()
        text = fields.get("time")
        try:
            time = _time(text, self.time_format) if text else None
        except (ValueError, OverflowError) as error:
            return f"its time {text!r} is impossible: {error}"
        run, mode = fields.get("run"), fields.get("mode")
        digits = (run or "").lstrip("0") or run
        if digits and (len(digits) > len(str(LARGEST_RUN)) or int(digits) > LARGEST_RUN):
            return f"its run {printable(run, 60)} is impossible: a run is less than 2^63"
        return FileName(
            subsystem=fields.get("subsystem"),
            run=int(digits) if digits else None,
            time=time,
            mode=mode.upper() if mode else None,
            text=match.group().lstrip("/"),
        )

    def fits_up_to(self, path: str) -> tuple[int, int]:
        """How many of its pieces match a part of ``path``, and where in ``path`` the last of them ends."""
        for count in range(len(self.pieces), 0, -1):
            expression = "".join(part for _, part in self.pieces[:count])
            if expression.endswith("+?)"):  # the last takes all it can
                expression = expression.removesuffix("?)") + ")"
            if ends := [match.end() for match in re.finditer(f"(?:^|(?<=/)){expression}", path)]:
                return count, max(ends)
        return 0, 0


def _unnamed(expression: re.Pattern[str]) -> str:
    """An expression without its groups, to be part of another."""
    return re.sub(r"\((?!\?)", "(?:", expression.pattern)


def _format_expression(pattern: str, time_format: str) -> str:
    pieces = re.split(r"(%.?)", time_format)
    if unknown := [piece for piece in pieces if piece.startswith("%") and piece not in _DIRECTIVES]:
        known = ", ".join(_DIRECTIVES)
        raise UsageError(f"pattern {pattern!r}: unknown {unknown[0]} in the format of the time; known are {known}")
    return "".join(_DIRECTIVES.get(piece, re.escape(piece)) for piece in pieces)


def _time(text: str, time_format: str | None) -> datetime:
    """The time that ``text`` means; ValueError says why it is none."""
    if time_format is not None and "%s" not in time_format:
        time = datetime.strptime(text, time_format)
    elif _EPOCH.fullmatch(text) or time_format is not None:
        seconds = int("".join(re.findall(r"\d+", text))) / (1000 if len(text) == 13 else 1)
        time = datetime.fromtimestamp(seconds, UTC)
    else:
        match = _CLOCK.fullmatch(text)
        assert match is not None, "the pattern asks for it"
        year, month, day, hour, minute, second = (int(number) for number in match.groups() if number is not None)
        time = datetime(year, month, day, hour, minute, second)
    last = datetime.now(UTC).year + _YEARS_AHEAD
    if not _FIRST_YEAR <= time.year <= last:
        raise ValueError(
            f"it is in the year {time.year}, expected {_FIRST_YEAR} to {last}; give its format, "
            "such as {time:%Y%m%d-%H%M%S}"
        )
    return time


_LOCAL_TIME = rf"(?P<time>{_unnamed(_CLOCK)})"
_OVERWATCH = (
    Pattern._of(
        "Run{run}/{subsystem}/{subsystem}hists.{time}.root",
        (("Run", "Run"), ("{run}", r"(?P<run>\d+)"), ("/", "/"), ("{subsystem}", r"(?P<subsystem>\w+)"), ("/", "/"),
         ("{subsystem}", "(?P=subsystem)"), ("hists.", r"hists\."), ("{time}", _LOCAL_TIME), (".root", r"\.root")),
    ),
    Pattern._of(
        "{subsystem}histos_{run}_{mode}_{time}.root",
        (("{subsystem}", r"(?P<subsystem>[^/_]+)"), ("histos_", "histos_"), ("{run}", r"(?P<run>\d+)"), ("_", "_"),
         ("{mode}", r"(?P<mode>[A-Za-z]+)"), ("_", "_"), ("{time}", _LOCAL_TIME), (".root", r"\.root")),
    ),
)  # fmt: skip


def is_product(path: str) -> bool:
    """Whether Overwatch made this file itself (combined, timeSlice, ReplayData): never a snapshot."""
    return _PRODUCT.search(path) is not None


def parse(path: str, patterns: tuple[Pattern, ...] = ()) -> FileName | None:
    """Subsystem, run, mode and time in ``path``, by ``patterns`` and Overwatch's layouts; None if nothing matches.

    If several match, the one with most of subsystem, run and time counts; of equals the first. Numbers may be padded
    or not (``2015_3_14_2_3_5``). A name whose numbers are no valid time does not match; `reason` says why.
    """
    path = PurePosixPath(path).as_posix()
    if PurePosixPath(path).name.startswith("."):  # half-written files of ROOT and rsync
        return None
    found = [pattern.read(path) for pattern in (*patterns, *_OVERWATCH)]
    names = [name for name in found if isinstance(name, FileName)]
    return max(names, key=lambda name: sum(x is not None for x in (name.subsystem, name.run, name.time)), default=None)


def reason(path: str, patterns: tuple[Pattern, ...] = ()) -> str:
    """Why `parse` recognises nothing in ``path``: the pattern that fits best, and where the name parts from it."""
    path = PurePosixPath(path).as_posix()
    for pattern in (*patterns, *_OVERWATCH):
        if isinstance(found := pattern.read(path), str):
            return f"pattern {pattern.text!r} fits, but {found}"
    fits = [(pattern, *pattern.fits_up_to(path)) for pattern in patterns or _OVERWATCH]
    best, count, end = max(fits, key=lambda fit: (fit[1] / len(fit[0].pieces), fit[2]))
    rest = "".join(text for text, _ in best.pieces[count:]) or "the end of the name"
    if not count:
        return f"pattern {best.text!r} fits no part of it"
    return f"pattern {best.text!r} fits up to {path[:end]!r}, then expects {rest!r}, but there is {path[end:]!r}"


def processed_name(subsystem: str, run: int, time: datetime) -> str:
    """The path of a snapshot in Overwatch's processed layout; ``time`` is local."""
    return f"Run{run}/{subsystem}/{subsystem}hists.{time:%Y_%m_%d_%H_%M_%S}.root"


def to_utc(time: datetime, timezone: str = CERN, *, later: bool = False) -> tuple[np.datetime64, bool]:
    """``time`` in zone ``timezone``, or in its own, as UTC; and whether the clock change makes it ambiguous.

    An ambiguous time is taken as the earlier of the two, or the ``later``.

    Raises
    ------
    UsageError
        If there is no such zone.
    """
    if time.tzinfo is not None:
        return np.datetime64(time.astimezone(UTC).replace(tzinfo=None), "ns"), False
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:
        raise UsageError(f"no time zone {timezone!r}; give a name such as {CERN} or UTC") from error
    first = time.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = time.replace(tzinfo=zone, fold=1).astimezone(UTC)
    ambiguous = second - first > timedelta(0)
    return np.datetime64((second if later else first).replace(tzinfo=None), "ns"), ambiguous


def local_time(time: np.datetime64, timezone: str = CERN) -> datetime:
    """A time in UTC as the clocks of a zone show it, without the zone."""
    seconds = int(time.astype("datetime64[s]").astype(np.int64))
    return datetime.fromtimestamp(seconds, UTC).astimezone(ZoneInfo(timezone)).replace(tzinfo=None)


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
