"""A subsystem as its plug-in shows it: where its histograms are, their groups and titles, and what is derived."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import pandas as pd

from owtrend.detectors.plugins import detector, detectors
from owtrend.detectors.protocol import Derived, Detector
from owtrend.display import quoted
from owtrend.errors import AmbiguousNameError, NotFoundError, UsageError
from owtrend.model.histogram import Path, display_name
from owtrend.model.registry import HistogramEntry, matching
from owtrend.store.reader import Reader, SubsystemReader

__all__ = ["DerivedHistogram", "Home", "derived_histograms", "group_rows", "group_table", "home", "hosted_subsystems"]

UNGROUPED = "Other histograms"
_COLUMNS = ("group", "title", "kind", "sources", "axes", "grid")


@dataclass(frozen=True)
class DerivedHistogram:
    """A declaration with the names that it has among some histograms."""

    name: str
    declared: Derived
    sources: tuple[str, ...]

    @property
    def title(self) -> str:
        return self.declared.title or self.name

    @property
    def kind(self) -> str:
        """projection, overlay or ratio."""
        return type(self.declared).__name__.lower()

    def require_projection(self) -> None:
        """Raise UsageError unless it is a histogram of its own."""
        if self.kind != "projection":
            raise UsageError(
                f"{quoted(self.name)}: an {self.kind} of {len(self.sources)} histograms has no rows of its own; "
                "archive.derived(...) makes it for an interval"
            )


def derived_histograms(detector: Detector, names: Iterable[str]) -> dict[str, DerivedHistogram]:
    """What a detector derives from the histograms of these names, by name; one that is stored is not derived."""
    known, found = dict.fromkeys(names), dict[str, DerivedHistogram]()
    for declared in detector.derived:
        first, *others = declared.sources
        for text in _fillings(first, known):
            name, sources = _filled(declared.name, text), (first, *others)
            sources = tuple(_filled(source, text) for source in sources)
            if name not in known and all(source in known for source in sources):
                found.setdefault(name, DerivedHistogram(name, declared, sources))
    return found


def _fillings(template: str, names: Iterable[str]) -> list[str]:
    """What ``{}`` stands for in each name that fits; ``""`` for a name without it."""
    if "{}" not in template:
        return [""]
    before, after = template.split("{}", 1)
    pattern = re.compile(f"{re.escape(before)}(.+){re.escape(after)}", re.DOTALL)
    return [match[1] for name in names if (match := pattern.fullmatch(name))]


def _filled(template: str, text: str) -> str:
    return template.replace("{}", text)


@dataclass(frozen=True)
class Home:
    """Where the histograms of a subsystem are: in its own files, or some of those of a host.

    ``entries`` are its histograms, in the order of the files.
    """

    name: str
    view: SubsystemReader
    detector: Detector
    entries: tuple[HistogramEntry, ...]

    @property
    def hosted(self) -> bool:
        """True if they are in another subsystem's files."""
        return self.view.name != self.name

    @property
    def names(self) -> list[str]:
        """Displayed names."""
        return [entry.name for entry in self.entries]

    @property
    def derived(self) -> dict[str, DerivedHistogram]:
        """What is derived from its histograms, by name."""
        return derived_histograms(self.detector, self.names)

    def find(self, name: str | Path) -> HistogramEntry:
        """The histogram with this path or displayed name; NotFoundError and AmbiguousNameError as of a registry."""
        entry = self.view.registry.find(name, self.view.where)
        if self.hosted and entry not in self.entries:
            raise NotFoundError(f"{self.view.where}: {quoted(entry.name)} is none of the histograms of {self.name}")
        return entry

    def resolve(self, name: str | Path) -> HistogramEntry | DerivedHistogram:
        """The histogram of a name, stored or derived; raises as `find`."""
        try:
            return self.find(name)
        except AmbiguousNameError:
            raise
        except NotFoundError:
            text = name if isinstance(name, str) else display_name(name)
            if not self.detector.derived or (made := self.derived.get(text)) is None:
                raise
            return made

    def select(self, histograms: Sequence[str | Path] | str | None) -> list[HistogramEntry]:
        """Its histograms of these names, those that fit a shell pattern, or all (None); raises as `find`."""
        if histograms is not None and not isinstance(histograms, str):
            return [self.find(name) for name in histograms]
        return self.chosen([] if histograms is None else [histograms])

    def chosen(self, patterns: Sequence[str]) -> list[HistogramEntry]:
        """Its histograms with names like one of some patterns; all without patterns. NotFoundError if one fits none."""
        return matching(self.entries, patterns, f"{self.view.where} ({self.name})" if self.hosted else self.view.where)


def home(reader: Reader, subsystem: str, run: int | None = None) -> Home:
    """Where a subsystem's histograms are, in a run or in all of them.

    A run with files of its own has them there. Else a plug-in may name a host, in whose files the patterns choose.

    Raises
    ------
    NotFoundError
        If there is no such subsystem.
    """
    known, own = detector(subsystem), subsystem in reader.subsystems
    has_run = own and (run is None or run in reader.subsystem(subsystem).run_indices)
    if not has_run and (host := known.host) is not None and host.subsystem in reader.subsystems:
        view = reader.subsystem(host.subsystem)
        entries = [
            entry for entry in view.registry.histograms.values()
            if any(fnmatchcase(entry.name, pattern) for pattern in host.patterns)
        ]  # fmt: skip
        if entries:
            return Home(subsystem, view, known, tuple(entries))
    view = reader.subsystem(subsystem)
    return Home(subsystem, view, known, tuple(view.registry.histograms.values()))


def hosted_subsystems(reader: Reader) -> dict[str, str]:
    """Subsystems without files of their own whose histograms lie in those of another, by name the host."""
    found = {}
    for name, known in sorted(detectors().items()):
        if known.host is not None and name not in reader.subsystems and known.host.subsystem in reader.subsystems:
            view = reader.subsystem(known.host.subsystem)
            names = (entry.name for entry in view.registry.histograms.values())
            if any(fnmatchcase(one, pattern) for one in names for pattern in known.host.patterns):
                found[name] = view.name
    return found


def group_rows(of: Home, names: Iterable[str]) -> Iterator[dict[str, object]]:
    """A row for each of some histograms and for what is derived from them, group by group, in order of declaration."""
    stored = [*names]
    derived = derived_histograms(of.detector, stored)
    groups = [group for group in of.detector.groups if not (of.hosted and group.pattern == "*")]
    order = {group.title: number for number, group in enumerate(groups)}

    def row(name: str) -> dict[str, object]:
        group = next((one for one in groups if fnmatchcase(name, one.pattern)), None)
        made = derived.get(name)
        return {
            "name": name,
            "group": UNGROUPED if group is None else group.title,
            "title": of.detector.title(name) if made is None else made.title,
            "kind": "stored" if made is None else made.kind,
            "sources": () if made is None else made.sources,
            "axes": "" if made is None else getattr(made.declared, "axes", ""),
            "grid": group is not None and bool(group.grid) and fnmatchcase(name, group.grid),
        }

    rows = [row(name) for name in (*derived, *stored)]
    yield from sorted(rows, key=lambda one: order.get(str(one["group"]), len(order)))  # stable within a group


def group_table(of: Home, names: Sequence[str]) -> pd.DataFrame:
    """The same as a table, indexed by displayed name; see `owtrend.Archive.groups`."""
    return pd.DataFrame(group_rows(of, names), columns=["name", *_COLUMNS]).set_index("name")
