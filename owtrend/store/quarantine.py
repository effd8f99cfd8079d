"""The quarantine: JSON lines on files and objects that could not be taken in."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from owtrend.model.rows import DECODER, FileKey
from owtrend.times import parse_time

__all__ = ["entry", "listed", "missing_snapshots", "taken_lines", "unreadable_files"]


def entry(
    source: str, reason: str, *, subsystem: str | None, run: int | None, time: int, name: str | None = None,
    unreadable: FileKey | None = None, superseded: bool = False, limits: str | None = None,
) -> str:  # fmt: skip
    """A line of the quarantine.

    Parameters
    ----------
    time
        Time of the snapshot [ns UTC].
    name
        The object, if it is not the whole file.
    unreadable
        The file, if this decoder can never read it: it is not read again.
    superseded
        Whether the store has another snapshot in its place, so that nothing is missing.
    limits
        The limits that the file exceeds: it is read again with others.
    """
    fields: dict[str, Any] = {
        "source": source, "object": name, "subsystem": subsystem, "run": run,
        "time": str(np.datetime64(time, "ns").astype("datetime64[s]")), "reason": reason,
    }  # fmt: skip
    if unreadable is not None:
        fields |= {"file": unreadable, "decoder": DECODER}
    if limits is not None:
        fields["limits"] = limits
    if superseded:
        fields["superseded"] = True
    return json.dumps(fields)


def listed(lines: Iterable[str]) -> list[str]:
    """The lines of a log that still hold: without whole files that were taken in later, or read again."""
    still: dict[str, None] = {}
    whole: dict[str, list[str]] = {}  # lines on a file, not on an object in it, by source
    for line in lines:
        fields = json.loads(line)
        if fields.get("taken") or "file" in fields:
            for earlier in whole.pop(fields["source"], ()):
                still.pop(earlier, None)
        if not fields.get("taken"):
            still[line] = None
            if fields["object"] is None:
                whole.setdefault(fields["source"], []).append(line)
    return list(still)


def taken_lines(lines: Iterable[str], sources: Iterable[str]) -> list[str]:
    """Lines that take ``sources`` off the list, for those that are on it as whole files."""
    on_list = {fields["source"] for fields in map(json.loads, lines) if fields["object"] is None}
    return [json.dumps({"source": source, "taken": True}) for source in sorted(on_list & set(sources))]


def unreadable_files(lines: Iterable[str], limits: str) -> dict[FileKey, str]:
    """Files that this decoder can never read, or not within ``limits``, each with its line."""
    fields = ((json.loads(line), line) for line in lines)
    return {
        tuple(one["file"]): line
        for one, line in fields
        if one.get("decoder") == DECODER and one.get("limits", limits) == limits
    }


def missing_snapshots(lines: Iterable[str]) -> dict[tuple[str, int], dict[int, list[str]]]:
    """Reasons for which snapshots are missing, by subsystem and run, then by time [ns UTC].

    Whole files whose subsystem, run and time are known, and of which no other was taken in their place.
    """
    missing: dict[tuple[str, int], dict[int, list[str]]] = {}
    for fields in map(json.loads, lines):
        subsystem, run, time = (fields.get(name) for name in ("subsystem", "run", "time"))
        whole = fields["object"] is None and not fields.get("superseded")
        if whole and subsystem is not None and run is not None and time:
            when = int(parse_time(str(time)).view("int64"))
            missing.setdefault((str(subsystem), int(run)), {}).setdefault(when, []).append(str(fields["reason"]))
    return missing
