"""What another version of some rules alters: exactly the intervals whose quality differs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from owtrend.quality.rules.flags import Judged
from owtrend.quality.rules.intervals import Intervals, intervals
from owtrend.quality.rules.rule import QUALITIES
from owtrend.store.reader import Reader

__all__ = ["Change", "changes"]

_NOT_JUDGED = "not judged"
_NO_REPORT = "no report"


@dataclass(frozen=True, kw_only=True)
class Change:
    """An interval ``(start, stop]`` [ns UTC] in which a rule says something else.

    Parameters
    ----------
    old, new
        Quality by each version; ``not judged`` where a version has no such rule, or it does not watch the histogram.
    why
        The values that decide now; those before if nothing does now.
    """

    subsystem: str
    run: int
    start: int
    stop: int
    histogram: str
    rule: str
    old: str
    new: str
    why: str


def changes(
    reader: Reader, old: Iterable[Judged], new: Iterable[Judged], runs: Sequence[int] | None = None
) -> list[Change]:
    """All intervals whose quality differs, rule by rule, in order of time; rules are the same if their names are."""
    before, after = ({_key(one): one for one in judged} for judged in (old, new))
    found: list[Change] = []
    for key in dict.fromkeys([*before, *after]):
        rule, subsystem, histogram = key
        view = reader.subsystem(subsystem)
        of = [run for run in (view.run_indices if runs is None else runs) if run in view.run_indices]
        pair = before.get(key), after.get(key)
        made = [None if one is None else intervals(view, one, of) for one in pair]
        differing = [
            Change(subsystem=subsystem, histogram=histogram, rule=rule, run=run, start=start, stop=stop,
                   old=_quality(made[0], places[0]), new=_quality(made[1], places[1]), why=_why(pair, made, places))
            for run, start, stop, places in _differing(*made)
        ]  # fmt: skip
        found += sorted(differing, key=lambda one: (one.start, one.run))
    return found


def _key(one: Judged) -> tuple[str, str, str]:
    return one.rule.name, one.rule.subsystem, one.histogram


def _differing(old: Intervals | None, new: Intervals | None) -> Iterator[tuple[int, int, int, tuple[int, int]]]:
    """Run, start, stop of where the qualities differ, and the interval of each version there; -1: it has none."""
    there = [one for one in (old, new) if one is not None]
    for run in np.unique(np.concatenate([one.run for one in there])).tolist():
        sides = [_Side.of_run(one, run) for one in (old, new)]
        ends = np.unique(np.concatenate([end for side in sides for end in (side.start, side.stop)]))
        begin, end = ends[:-1], ends[1:]
        places = [side.places(begin, end) for side in sides]
        qualities = [side.qualities(at) for side, at in zip(sides, places, strict=True)]
        differ = qualities[0] != qualities[1]
        piece = 0
        while piece < len(begin):
            first = piece
            piece += 1
            if not differ[first]:
                continue
            while piece < len(begin) and all(of[piece] == of[first] for of in qualities):
                piece += 1
            old_at, new_at = (side.first + int(at[first]) if at[first] >= 0 else -1
                              for side, at in zip(sides, places, strict=True))  # fmt: skip
            yield run, int(begin[first]), int(end[piece - 1]), (old_at, new_at)


@dataclass(frozen=True, eq=False)
class _Side:
    """The intervals of one version in one run; ``first`` is the place of the first of them."""

    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    quality: NDArray[np.int8]
    first: int

    @classmethod
    def of_run(cls, one: Intervals | None, run: int) -> "_Side":
        if one is None:
            nothing = np.empty(0, dtype=np.int64)
            return cls(nothing, nothing, nothing.astype(np.int8), 0)
        own = slice(*np.searchsorted(one.run, (run, run + 1)).tolist())
        return cls(one.start[own], one.stop[own], one.quality[own], int(own.start))

    def places(self, begin: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.intp]:
        """The interval that covers each piece of time; -1 where none does."""
        if not len(self.start):
            return np.full(len(begin), -1)
        at = np.searchsorted(self.start, begin, side="right") - 1
        covered = (at >= 0) & (end <= self.stop[at])
        return np.where(covered, at, -1)

    def qualities(self, places: NDArray[np.intp]) -> NDArray[np.int8]:
        """Quality at each place; -1 where there is none."""
        if not len(self.quality):
            return np.full(len(places), -1, dtype=np.int8)
        return np.where(places < 0, np.int8(-1), self.quality[places])


def _quality(made: Intervals | None, place: int) -> str:
    return _NOT_JUDGED if made is None or place < 0 else str(QUALITIES[made.quality[place]])


def _why(judged: tuple[Judged | None, Judged | None], made: Sequence[Intervals | None], places: tuple[int, int]) -> str:
    """The values that decide now, or else those that did."""
    for one, of, place in zip(reversed(judged), reversed(made), reversed(places), strict=True):
        if one is None or of is None or place < 0:
            continue
        why = one.why(int(of.first[place])) if of.first[place] >= 0 else _NO_REPORT
        if why:
            return why
    return ""
