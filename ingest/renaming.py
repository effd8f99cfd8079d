"""Renaming of histograms by regular expressions, for names that carry what changes, such as the run."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace

from owtrend.errors import UsageError
from owtrend.model.histogram import Path, display_name
from owtrend.model.snapshot import Snapshot

__all__ = ["Renaming", "rule_without_run"]

_LEAST = 1000  # numbers below may be anything


@dataclass(frozen=True)
class Renaming:
    """Rules ``PATTERN=REPLACEMENT``, applied one after the other to displayed names; `compile` checks them.

    A group ``(?P<run>[0-9]+)`` in a pattern gives the run of a file whose own name lacks it.

    Examples
    --------
    >>> renaming = Renaming.compile(["^DQMData/Run [0-9]+/=", "/Run summary/=/"])
    >>> renaming.name("DQMData/Run 366495/Ecal/Run summary/hVtxZ")
    'Ecal/hVtxZ'
    """

    rules: tuple[str, ...] = ()
    _compiled: tuple[tuple[re.Pattern[str], str], ...] = ()
    _paths: dict[Path, Path] = field(default_factory=dict, compare=False)  # those renamed so far

    @classmethod
    def compile(cls, rules: Iterable[str]) -> "Renaming":
        """The renaming by these rules. The last ``=`` of each divides it; `re.sub` explains both parts.

        Raises
        ------
        UsageError
            If one has no ``=``, or is no regular expression.
        """
        rules, compiled = tuple(rules), []
        for rule in rules:
            pattern, divider, replacement = rule.rpartition("=")
            if not divider or not pattern:
                raise UsageError(f"rename {rule!r}: expected PATTERN=REPLACEMENT, such as 'Run [0-9]+/='")
            try:
                expression = re.compile(pattern)
                expression.sub(replacement, "")
            except (re.error, IndexError) as error:
                raise UsageError(f"rename {rule!r}: no regular expression ({error})") from error
            compiled.append((expression, replacement))
        return cls(rules, tuple(compiled))

    def name(self, name: str) -> str:
        """The new displayed name for an old one, without empty parts."""
        new = name
        for pattern, replacement in self._compiled:
            new = pattern.sub(replacement, new)
        return name if new == name else "/".join(filter(None, new.split("/")))

    @property
    def reads_run(self) -> bool:
        """Whether a pattern has a group ``run``: ``Run (?P<run>[0-9]+)/=``."""
        return any("run" in pattern.groupindex for pattern, _ in self._compiled)

    def run(self, names: Iterable[str]) -> int | None:
        """The run number that the group ``run`` of a pattern finds first in ``names``; None if it finds none."""
        for name in names:
            for pattern, replacement in self._compiled:
                match = pattern.search(name) if "run" in pattern.groupindex else None
                if match is not None and (match["run"] or "").isdecimal():
                    return int(match["run"])
                name = pattern.sub(replacement, name)
        return None

    def apply(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with renamed histograms, problems and objects that are no histograms.

        Raises
        ------
        UsageError
            If two histograms would get the same name, or one would get none.
        """
        if not self.rules:
            return snapshot
        histograms = {}
        before: dict[str, Path] = {}
        for path, histogram in snapshot.histograms.items():
            new = self._path(path)
            name = display_name(new)
            if (other := before.setdefault(name, path)) is not path and (new != path or self._path(other) != other):
                raise UsageError(
                    f"{snapshot.source}: rename {', '.join(map(repr, self.rules))} gives two histograms the name "
                    f"{name!r}: {display_name(other)!r} and {display_name(path)!r}; make the patterns more specific"
                )
            histograms[new] = histogram if new == path else replace(histogram, path=new)
        return replace(
            snapshot,
            histograms=histograms,
            problems={self.name(name): reason for name, reason in snapshot.problems.items()},
            unsupported={self.name(name): class_name for name, class_name in snapshot.unsupported.items()},
        )

    def _path(self, path: Path) -> Path:
        if path not in self._paths:
            old = display_name(path)
            new = self.name(old)
            if not new:
                raise UsageError(f"rename {', '.join(map(repr, self.rules))} leaves nothing of the name {old!r}")
            self._paths[path] = path if new == old else tuple(new.split("/"))
        return self._paths[path]


def rule_without_run(name: str, runs: Collection[int]) -> str:
    """A rule that takes the folder with a run number out of a displayed name; empty if no folder has one of ``runs``.

    Examples
    --------
    >>> rule_without_run("DQMData/Run 366495/Ecal/hVtxZ", [366495])
    'Run [0-9]+/?='
    """
    for folder in name.split("/"):
        for number in re.findall("[0-9]+", folder):
            if int(number) >= _LEAST and int(number) in runs:
                before, _, after = (re.escape(part).replace("\\ ", " ") for part in folder.partition(number))
                return f"{before}[0-9]+{after}/?="
    return ""
