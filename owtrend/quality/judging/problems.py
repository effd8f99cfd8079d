"""Known problems, which a rule may catch or miss: the stored incidents, or a list in a file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from owtrend.display import quoted
from owtrend.errors import UsageError
from owtrend.model.finding import Finding
from owtrend.quality.results import store_incidents
from owtrend.store.reader import Reader
from owtrend.times import parse_time

__all__ = ["Problem", "from_file", "from_incidents", "noticed"]


@dataclass(frozen=True)
class Problem:
    """Something wrong in ``(start, stop]`` [ns UTC].

    Parameters
    ----------
    histograms
        Displayed names; none: the whole subsystem.
    what
        In words.
    """

    subsystem: str
    run: int
    start: int
    stop: int
    histograms: frozenset[str]
    what: str

    def concerns(self, subsystem: str, histogram: str) -> bool:
        """True if a histogram may show it."""
        return subsystem == self.subsystem and (not self.histograms or histogram in self.histograms)


def from_incidents(reader: Reader) -> list[Problem]:
    """The stored incidents, those of several subsystems or runs one for each; in order of time."""
    found: list[Problem] = []
    for incident in store_incidents(reader):
        for part in incident.parts:
            names = {one.histogram for one in incident.histograms if one.subsystem == part.subsystem}
            top = incident.top
            elsewhere = "" if top.subsystem == part.subsystem else f"with {top.subsystem}, "
            what = f"{elsewhere}{top.score.replace('_', ' ')}: {top.why}"
            found.append(Problem(*part[:4], frozenset(names), what))
    return sorted(found, key=lambda one: (one.start, one.subsystem, one.run))


def from_file(path: str | Path) -> list[Problem]:
    """The problems in a JSON file: a list, or an object with a list ``faults``, as `owtrend simulate` leaves it.

    Each has ``subsystem``, ``run``, ``start`` and ``stop`` (UTC), and perhaps ``histograms``, ``kind`` and ``details``.

    Raises
    ------
    UsageError
        If the file is not readable, or not of this form.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {error}") from error
    listed = document.get("faults") if isinstance(document, dict) else document
    if not isinstance(listed, list):
        raise UsageError(f"{path}: expected a list of problems, or an object with such a list as `faults`")
    return sorted(
        (_problem(one, f"{path}, problem {number}") for number, one in enumerate(listed, start=1)),
        key=lambda one: (one.start, one.subsystem, one.run),
    )


def _problem(fields: Any, where: str) -> Problem:
    if not isinstance(fields, Mapping):
        raise UsageError(f"{where}: {quoted(fields, 40)}, expected an object")
    missing = [name for name in ("subsystem", "run", "start", "stop") if name not in fields]
    if missing:
        raise UsageError(f"{where}: no {missing[0]}; expected subsystem, run, start and stop")
    histograms = fields.get("histograms") or []
    if not isinstance(histograms, list) or not all(isinstance(name, str) for name in histograms):
        raise UsageError(f"{where}: histograms {quoted(histograms, 40)}, expected a list of names")
    if not isinstance(fields["run"], int):
        raise UsageError(f"{where}: run {quoted(fields['run'], 40)}, expected a number")
    start, stop = (int(parse_time(fields[end]).astype(np.int64)) for end in ("start", "stop"))
    words = [str(fields[name]) for name in ("kind", "details") if fields.get(name)]
    return Problem(str(fields["subsystem"]), fields["run"], start, stop, frozenset(histograms), ": ".join(words))


def noticed(reader: Reader, problems: Sequence[Problem]) -> Iterator[int | None]:
    """When each problem is found without any rule: the end of the first finding on it [ns UTC]; None: never."""
    lines = list(reader.quality("unreadable") or ())
    for view in map(reader.subsystem, reader.subsystems):
        runs = {one.run for one in problems if one.subsystem == view.name}
        lines += view.scores.lines(sorted(view.run_indices[run] for run in runs if run in view.run_indices))
    by_run: dict[tuple[str, int], list[Finding]] = {}
    for finding in map(Finding.from_json, lines):
        by_run.setdefault((finding.subsystem, finding.run), []).append(finding)
    for one in problems:
        ends = [
            finding.stop for finding in by_run.get((one.subsystem, one.run), ())
            if finding.start < one.stop and finding.stop > one.start
            and (not one.histograms or not finding.histograms or one.histograms & set(finding.histograms))
        ]  # fmt: skip
        yield min(ends, default=None)
