"""Snapshots: all histograms of one subsystem, as received at one time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import xxhash

from owtrend.display import Display, Displayed, few
from owtrend.errors import AmbiguousNameError, NotFoundError, hint
from owtrend.model.histogram import Histogram, Path, display_name

__all__ = ["Snapshot", "find_path"]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Snapshot(Displayed, Mapping[Path, Histogram]):
    """One subsystem's histograms as received at one time, cumulative since the run began unless stated otherwise.

    A mapping from path to `Histogram`; ``snapshot["dir/name"]`` finds it by its displayed name too.

    Parameters
    ----------
    histograms
        By path, in the order of the file.
    subsystem, run, time, mode
        From the file's name, else None; ``time`` is UTC, the end of the snapshot; ``mode`` is the HLT's.
    written
        Time in the file's header: local time of the host that wrote it, without a zone.
    source
        File or address, for messages.
    problems
        Reasons why objects could not be read, by displayed name.
    unsupported
        Classes of objects that are no histograms, by displayed name.
    """

    histograms: Mapping[Path, Histogram]
    subsystem: str | None = None
    run: int | None = None
    time: np.datetime64 | None = None
    mode: str | None = None
    written: Any = None
    source: str = ""
    problems: Mapping[str, str] = field(default_factory=dict)
    unsupported: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        histograms = self.histograms
        if isinstance(histograms, dict):  # the caller may change it
            histograms = dict(histograms)
        object.__setattr__(self, "histograms", MappingProxyType(histograms))

    def _display(self) -> Display:
        where = [self.subsystem or "no subsystem", "no run" if self.run is None else f"run {self.run}"]
        if self.time is not None:
            where.append(f"{np.datetime_as_string(self.time, 's').replace('T', ' ')} UTC")
        facts: dict[str, object] = {"source": self.source} if self.source else {}
        if self.problems:
            facts["not readable"] = few(self.problems)
        if self.unsupported:
            facts["no histograms"] = few(self.unsupported)
        return Display(", ".join(where), self._histogram_facts() | facts, self._next("snapshot"))

    def _histogram_facts(self) -> dict[str, object]:
        return {"histograms": few(map(display_name, self.histograms))}

    def _next(self, variable: str) -> list[str]:
        name = repr(display_name(next(iter(self.histograms), ("name",))))
        return [
            f"{variable}[{name}]  # one histogram; list({variable}) has all names",
            f"{variable}[{name}].to_hist()  # a hist.Hist, to plot",
        ]

    def __contains__(self, name: object) -> bool:
        try:
            return name in self.histograms or (isinstance(name, str) and bool(self[name]))
        except NotFoundError:
            return False

    def __getitem__(self, name: Path | str) -> Histogram:
        if isinstance(name, tuple):
            name_path: Path | None = name if name in self.histograms else None
        else:
            name_path = find_path(name, self.histograms, f"snapshot {self.source}")
        if name_path is None:
            raise NotFoundError(f"snapshot {self.source}: no histogram {name!r} among {len(self)}")
        return self.histograms[name_path]

    def __iter__(self) -> Iterator[Path]:
        return iter(self.histograms)

    def __len__(self) -> int:
        return len(self.histograms)

    @property
    def entries(self) -> float:
        """Sum of the entries of all histograms."""
        return sum(h.sums["entries"] for h in self.histograms.values())

    @cached_property
    def digest(self) -> bytes:
        """Hash (16 bytes) of the histograms, whatever their order, file or time."""
        hasher = xxhash.xxh3_128()
        for path in sorted(self.histograms):
            hasher.update(repr(path).encode() + self.histograms[path].digest)
        return hasher.digest()


def find_path(name: str, paths: Iterable[Path], where: str) -> Path:
    """The path among ``paths`` with this displayed name.

    Raises
    ------
    NotFoundError
        If there is none; the text names the nearest ones.
    AmbiguousNameError
        If several paths have this displayed name; the text lists the tuples to choose from.
    """
    paths = list(paths)
    found = [path for path in paths if display_name(path) == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise AmbiguousNameError(f"{where}: {name!r} may be any of {found}; give the tuple instead")
    raise NotFoundError(f"{where}: no histogram {name!r}{hint(name, map(display_name, paths))}")
