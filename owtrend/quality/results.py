"""Incidents of a store: those that `compute` stored, or joined anew from its findings; as a table."""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from owtrend.model.finding import Finding
from owtrend.quality.incident import Incident, RunFindings, incidents
from owtrend.store import versions
from owtrend.store.reader import Reader, SubsystemReader

__all__ = ["COLUMNS", "Origin", "incident_table", "origins", "store_incidents", "updated_incidents"]

COLUMNS = (
    "id", "start", "stop", "runs", "subsystems", "histograms", "findings",
    "run", "subsystem", "histogram", "score", "z", "certain", "why", "parts",
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """A run, what its findings were made from, and by subsystem the run before it that it can be compared with."""

    run: int
    digest: str
    previous: Mapping[str, int]

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps([self.run, self.digest])


def store_incidents(reader: Reader) -> list[Incident]:
    """Incidents in order of time: as stored if they are those of the stored findings, else joined now."""
    return updated_incidents(reader, origins(reader), reader.quality("unreadable") or ())


def updated_incidents(reader: Reader, now: Sequence[Origin], unreadable: Sequence[str]) -> list[Incident]:
    """Incidents in order of time; only runs whose findings changed, and those that an incident joins to them, are read.

    Parameters
    ----------
    now
        All runs, see `origins`.
    unreadable
        Findings of unreadable files, as JSON lines.
    """
    stored = [Incident.from_json(line) for line in reader.quality("incidents") or ()]
    lines = reader.quality("origin") or []
    same = 0
    while same < min(len(now), len(lines)) and now[same].to_json() == lines[same]:
        same += 1
    if same == len(now) == len(lines):
        return stored
    place = {origin.run: number for number, origin in enumerate(now[:same])}
    places = [[place.get(run, len(now)) for run in incident.runs] for incident in stored]
    while (first := min((min(of) for of in places if max(of) >= same), default=same)) < same:
        same = first  # an incident that begins before what changed, and reaches into it, is joined anew
    known = [incident for incident, of in zip(stored, places, strict=True) if max(of) < same]
    unchanged = {run for run in _unchanged(now, lines) if run not in place}
    having = {part[:2] for incident in stored for part in incident.parts}  # subsystems and runs
    return incidents(_run_findings(reader, now[same:], unreadable, unchanged, having), known)


def _unchanged(now: Sequence[Origin], lines: Sequence[str]) -> set[int]:
    """Runs that have the findings of when incidents were stored: the parts of these say whether there are any."""
    before = set(lines)
    return {origin.run for origin in now if origin.to_json() in before}


def origins(reader: Reader, unreadable: Sequence[str] | None = None) -> list[Origin]:
    """All runs that may have findings, in order of time.

    Parameters
    ----------
    unreadable
        Findings of unreadable files, as JSON lines; None: as stored.
    """
    start: dict[int, int] = {}
    previous: dict[int, dict[str, int]] = {}
    digests: dict[int, hashlib.blake2b] = {}

    def update(run: int, begins: int, text: bytes) -> None:
        start[run] = min(start.get(run, begins), begins)
        digests.setdefault(run, hashlib.blake2b(b"%d " % versions.INCIDENTS, digest_size=8)).update(text)

    for name in reader.subsystems:
        view = reader.subsystem(name)
        begins, made_from = view.per_run["start"].tolist(), _made_from(view)
        for run, run_index, before in _scored(view):
            if before is not None:
                previous.setdefault(run, {})[name] = before
            update(run, begins[run_index], f"{name} {before} ".encode() + made_from[run_index])
    for line in reader.quality("unreadable") or () if unreadable is None else unreadable:
        finding = Finding.from_json(line)
        update(finding.run, finding.start, line.encode())
    return [
        Origin(run, digests[run].hexdigest(), previous.get(run, {}))
        for run in sorted(start, key=lambda run: (start[run], run))
    ]


def _scored(view: SubsystemReader) -> Iterator[tuple[int, int, int | None]]:
    """Runs that have scores, in order of time, each with its run index and the run of the same mode before it."""
    begins, modes, made = (view.per_run["start"].tolist(), view.per_run["mode"], view.scores.revisions.tolist())
    last: dict[str, int] = {}
    for run, run_index in sorted(view.run_indices.items(), key=lambda item: (begins[item[1]], item[0])):
        if made[run_index]:
            yield run, run_index, last.get(modes[run_index])
            last[modes[run_index]] = run


def _made_from(view: SubsystemReader) -> list[bytes]:
    """What the scores of each run were made from, by run index."""
    scores = view.scores
    versions_of_runs = np.stack([*scores.versions.values()], axis=1).tolist()
    digests = np.concatenate([scores.settings, scores.basis, scores.outcome], axis=1)
    return [
        f"{revision} {made_by} ".encode() + digest.tobytes()
        for revision, made_by, digest in zip(scores.revisions.tolist(), versions_of_runs, digests, strict=True)
    ]


def _run_findings(
    reader: Reader, runs: Sequence[Origin], unreadable: Iterable[str], unchanged: Collection[int],
    having: Collection[tuple[str, int]],
) -> Iterator[RunFindings]:  # fmt: skip
    """Findings of some runs; of ``unchanged`` ones only those ``having`` any are read: each takes 1 ms."""
    of_files: dict[int, list[Finding]] = {}
    for finding in map(Finding.from_json, unreadable):
        of_files.setdefault(finding.run, []).append(finding)
    of_runs: dict[int, list[Finding]] = {}
    for view in map(reader.subsystem, reader.subsystems):
        numbers = [one.run for one in runs if one.run not in unchanged or (view.name, one.run) in having]
        for line in view.scores.lines([view.run_indices[run] for run in numbers if run in view.run_indices]):
            finding = Finding.from_json(line)
            of_runs.setdefault(finding.run, []).append(finding)
    for origin in runs:
        findings = [*of_runs.get(origin.run, ()), *of_files.get(origin.run, ())]
        yield RunFindings(origin.run, findings, origin.previous)


def incident_table(of: Iterable[Incident]) -> pd.DataFrame:
    """Incidents as `owtrend.Archive.incidents` returns them."""
    rows = pd.DataFrame([_row(incident) for incident in of], columns=[*COLUMNS])
    for column in ("start", "stop"):
        rows[column] = pd.to_datetime(rows[column].astype("int64"), unit="ns")
    rows["certain"] = rows["certain"].astype(bool)
    rows["histogram"] = rows["histogram"].astype(object).where(rows["histogram"].notna(), None)
    return rows


def _row(incident: Incident) -> dict[str, object]:
    top = incident.top
    return {
        "id": incident.id, "start": incident.start, "stop": incident.stop, "runs": incident.runs,
        "subsystems": incident.subsystems, "histograms": len({concerned[:2] for concerned in incident.histograms}),
        "findings": incident.findings, "run": top.run, "subsystem": top.subsystem,
        "histogram": top.histograms[0] if top.histograms else None, "score": top.score.value, "z": top.z,
        "certain": top.certain, "why": top.why, "parts": incident.parts,
    }  # fmt: skip
