"""What people say about runs: flags on intervals with a reason, and sign-off by two people. Journal entries only."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from owtrend.display import printable, quoted
from owtrend.errors import NotFoundError, UsageError, near_runs
from owtrend.quality.journal import Action, Entry, Journal, login_name
from owtrend.quality.journal.database import understood
from owtrend.store.reader import Reader
from owtrend.times import parse_time

__all__ = [
    "ACTIONS", "NEEDED", "Judgement", "RunFlag", "SignOff", "flag_run", "flags_of", "run_ends", "sign_off", "sign_offs",
    "unflag", "withdraw",
]  # fmt: skip

NEEDED = 2  # people who sign a run off
ACTIONS = (Action.FLAG, Action.UNFLAG, Action.SIGN_OFF, Action.UNDO_SIGN_OFF)
_LONGEST_NAME = 100


class Judgement(StrEnum):
    """What a person says about data, as stored and shown."""

    GOOD = "good"  # looked at, and nothing is wrong
    LIMITED = "limited"  # good for some uses; the note says for which
    BAD = "bad"


@dataclass(frozen=True, kw_only=True)
class RunFlag:
    """A person's flag on data of a run in ``(start, stop]``.

    Parameters
    ----------
    number
        Its identity: the number of its journal entry.
    subsystem
        None: all of them.
    start, stop
        Ns UTC; None: from the beginning, to the end of the run, however long it becomes.
    name
        Why, in a word that many flags share, such as ``tpc-hole``; by it data are counted and left out.
    """

    number: int
    run: int
    subsystem: str | None
    start: int | None
    stop: int | None
    name: str
    judgement: Judgement
    note: str
    who: str

    @classmethod
    def from_entry(cls, entry: Entry) -> "RunFlag":
        """A flag as the journal has it."""
        details = entry.details
        with understood(f"flag {entry.number}"):
            return cls(
                number=entry.number, run=int(details["run"]), subsystem=details["subsystem"], start=details["start"],
                stop=details["stop"], name=str(details["name"]), judgement=Judgement(details["judgement"]),
                note=entry.note, who=entry.who,
            )  # fmt: skip

    def concerns(self, subsystems: Iterable[str] | None) -> bool:
        """True if it is on one of these subsystems; None: on any."""
        return self.subsystem is None or subsystems is None or self.subsystem in subsystems

    def clipped(self, start: int, stop: int) -> tuple[int, int]:
        """Its interval within a run that reaches from ``start`` to ``stop``; empty where it ends before it begins."""
        begin = start if self.start is None else max(self.start, start)
        return begin, stop if self.stop is None else min(self.stop, stop)


@dataclass(frozen=True)
class SignOff:
    """The people who signed a run off as it is now, in order; two are needed."""

    run: int
    people: tuple[str, ...]
    lapsed: tuple[str, ...] = ()  # who signed before its data or flags changed

    @property
    def complete(self) -> bool:
        """True if enough people signed."""
        return len(self.people) >= NEEDED


def run_ends(reader: Reader, run: int, subsystem: str | None = None) -> tuple[int, int]:
    """Begin and end of a run [ns UTC] in a subsystem, or in all of them.

    Raises
    ------
    NotFoundError
        If there is no such run or subsystem.
    """
    names = reader.subsystems if subsystem is None else (subsystem,)
    views = [view for view in map(reader.subsystem, names) if run in view.run_indices]
    if not views:
        known = {one for name in names for one in reader.subsystem(name).run_indices}
        where = reader.location if subsystem is None else reader.subsystem(subsystem).where
        raise NotFoundError(f"{where}: no run {quoted(run)}{near_runs(run, known)}")
    per_run = [(view.per_run, view.run_indices[run]) for view in views]
    return min(int(one["start"][at]) for one, at in per_run), max(int(one["stop"][at]) for one, at in per_run)


def flag_run(
    reader: Reader, journal: Journal, run: int, subsystem: str | None = None, *, start: Any = None, stop: Any = None,
    judgement: Judgement = Judgement.BAD, name: str = "", note: str, user: str | None = None,
) -> RunFlag:  # fmt: skip
    """Flag data of a run, or of one subsystem in it.

    Parameters
    ----------
    start, stop
        UTC, as in `owtrend.time_slice`: ``(start, stop]``; None: from its beginning, to its end.
    name
        A word; by default that of the judgement.
    note
        Why.

    Raises
    ------
    UsageError
        If the reason is missing, or the interval is empty or outside the run.
    NotFoundError
        If there is no such run or subsystem.
    """
    begin, end = run_ends(reader, run, subsystem)
    if not note.strip():
        raise UsageError("no reason given; say why with --note, for the journal")
    name = name.strip() or judgement.value
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(f"a flag called {quoted(name)}: expected a word of at most {_LONGEST_NAME} characters")
    first, last = (np.datetime64(one, "ns") for one in (begin, end))
    since, until = (
        None if one is None else int(parse_time(one, first, last).astype(np.int64)) for one in (start, stop)
    )
    low, high = (begin if since is None else since), (end if until is None else until)
    if low >= high or low >= end or high <= begin:
        shown = " to ".join(str(np.datetime64(one, "s")) for one in (begin // 10**9, end // 10**9))
        raise UsageError(f"run {run}: nothing lies in that interval; the run is from {shown} UTC")
    details = {
        "run": run, "subsystem": subsystem, "start": since, "stop": until, "name": name, "judgement": judgement.value,
    }  # fmt: skip
    entry = journal.add(Action.FLAG, f"run {run}", note=note, who=user or login_name(), details=details)
    return RunFlag.from_entry(entry)


def unflag(journal: Journal, number: int, *, note: str = "", user: str | None = None) -> None:
    """Take a flag back; the journal keeps both.

    Raises
    ------
    NotFoundError
        If there is no flag of that number.
    """
    flags = {flag.number: flag for flag in flags_of(journal.entries(ACTIONS))}
    if number not in flags:
        raise NotFoundError(f"no flag {number}; `owtrend flag STORE` lists them")
    details = {"flag": number, "run": flags[number].run}
    journal.add(Action.UNFLAG, f"run {flags[number].run}", note=note, who=user or login_name(), details=details)


def flags_of(entries: Iterable[Entry]) -> list[RunFlag]:
    """The flags that hold, in the order in which they were given."""
    flags: dict[int, RunFlag] = {}
    for entry in entries:
        if entry.action is Action.FLAG:
            flags[entry.number] = RunFlag.from_entry(entry)
        elif entry.action is Action.UNFLAG:
            flags.pop(int(entry.details["flag"]), None)
    return list(flags.values())


def sign_off(reader: Reader, journal: Journal, run: int, *, note: str = "", user: str | None = None) -> SignOff:
    """Sign a run off, as it is now: its data and flags. It takes two people; whatever changes takes both again.

    Raises
    ------
    NotFoundError
        If there is no such run.
    UsageError
        If this person has signed it already: the second must be another one.
    """
    run_ends(reader, run)
    who = (user or login_name()).strip()
    entries = journal.entries(ACTIONS)
    before = sign_offs(reader, entries, [run])[run]
    if _person(who) in map(_person, before.people):
        missing = "" if before.complete else "; another person must sign it, too"
        raise UsageError(f"run {run}: {printable(who)} has signed it off already{missing}")
    details = {"run": run, "revisions": _revisions(reader, run), "flags": _last_flag(entries, run)}
    journal.add(Action.SIGN_OFF, f"run {run}", note=note, who=who, details=details)
    return sign_offs(reader, journal.entries(ACTIONS), [run])[run]


def withdraw(journal: Journal, run: int, *, note: str = "", user: str | None = None) -> None:
    """Take one's signature of a run back."""
    journal.add(Action.UNDO_SIGN_OFF, f"run {run}", note=note, who=user or login_name(), details={"run": run})


def sign_offs(reader: Reader, entries: Sequence[Entry], runs: Iterable[int]) -> dict[int, SignOff]:
    """Who has signed each of some runs off, as they are now."""
    signed: dict[int, dict[str, Entry]] = {}
    flagged: dict[int, int] = {}
    for entry in entries:
        run = int(entry.details.get("run", -1))
        if entry.action is Action.SIGN_OFF:
            signed.setdefault(run, {})[_person(entry.who)] = entry
        elif entry.action is Action.UNDO_SIGN_OFF:
            signed.setdefault(run, {}).pop(_person(entry.who), None)
        elif entry.action in (Action.FLAG, Action.UNFLAG):
            flagged[run] = entry.number
    found = {}
    for run in runs:
        now = {"revisions": _revisions(reader, run), "flags": flagged.get(run, 0)} if run in signed else {}
        people, lapsed = list[str](), list[str]()
        for entry in signed.get(run, {}).values():
            holds = all(entry.details.get(name) == value for name, value in now.items())
            (people if holds else lapsed).append(entry.who)
        found[run] = SignOff(run, tuple(people), tuple(lapsed))
    return found


def _person(name: str) -> str:
    return name.strip().casefold()


def _last_flag(entries: Iterable[Entry], run: int) -> int:
    """Number of the last entry that changed the flags of a run; 0 if none did."""
    of_run = (one for one in entries if one.action in (Action.FLAG, Action.UNFLAG) and one.details.get("run") == run)
    return max((entry.number for entry in of_run), default=0)


def _revisions(reader: Reader, run: int) -> Mapping[str, int]:
    """Revision of the data of a run, by subsystem."""
    views = {name: reader.subsystem(name) for name in reader.subsystems}
    return {
        name: int(view.per_run["revision"][view.run_indices[run]])
        for name, view in views.items() if run in view.run_indices
    }  # fmt: skip
