"""Payloads of the spool -> snapshots, by their kind; and what a file is called by whoever puts it into the spool."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from ingest import naming
from ingest.archive.source_file import SourceFile
from ingest.decode.reader import SnapshotReader
from ingest.limits import Limits
from ingest.live.spool import Payload
from owtrend.display import printable
from owtrend.errors import SnapshotError
from owtrend.model.rows import Accumulation, Provenance
from owtrend.model.snapshot import Snapshot

__all__ = ["FILE", "HLT", "Decoded", "check_file", "decode", "file_meta", "named_file_meta", "source_of"]

FILE = "file"
HLT = "hlt"
_per_thread = threading.local()
_ACCUMULATION = {"cumulative": Accumulation.CUMULATIVE, "reset": Accumulation.RESET}


@dataclass(frozen=True)
class Decoded:
    """A snapshot of a payload, how it accumulates, and its line of provenance."""

    payload: Payload
    snapshot: Snapshot
    accumulation: Accumulation
    provenance: str


def file_meta(file: SourceFile, accumulation: str = "cumulative", timezone: str = naming.CERN) -> dict[str, Any]:
    """Description of a file for the spool."""
    return {
        "source": file.source, "parsed": file.parsed, "subsystem": file.subsystem, "run": file.run, "time": file.time,
        "mode": file.mode, "size": file.size, "mtime": file.mtime, "accumulation": accumulation, "timezone": timezone,
    }  # fmt: skip


def named_file_meta(
    name: str, *, timezone: str = naming.CERN, accumulation: str = "cumulative"
) -> dict[str, Any]:  # fmt: skip
    """The same for a file of which only the name is known; SnapshotError says what its name lacks."""
    found = naming.parse(name)
    if found is None or found.subsystem is None or not found.run or found.time is None:
        raise SnapshotError(
            f"{printable(name, 200)}: {naming.reason(printable(name, 200))}; expected a name such as "
            "EMChistos_300000_C_2018_6_1_12_0_0.root"
        )
    time = int(naming.to_utc(found.time, timezone)[0].astype(np.int64))
    short = PurePosixPath(name).name
    file = SourceFile(
        path=short, source=short, parsed=found.text, subsystem=found.subsystem, run=found.run, time=time,
        mode=found.mode or "",
    )  # fmt: skip
    return file_meta(file, accumulation, timezone)


def source_of(payload: Payload) -> str:
    """Where a payload came from, for people."""
    return printable(str(payload.meta.get("source") or payload.kind), 300)


def decode(payload: Payload, limits: Limits) -> Decoded:
    """The snapshot in a payload.

    Raises
    ------
    SnapshotError
        If there is none, or not that of a subsystem, run and time.
    """
    decoder = _DECODERS.get(payload.kind)
    if decoder is None:
        raise SnapshotError(f"a payload of kind {printable(payload.kind)!r}; known are {', '.join(_DECODERS)}")
    snapshot = decoder(payload, limits)
    source, meta = source_of(payload), payload.meta
    if not snapshot:
        others = ", ".join(sorted(set(snapshot.unsupported.values()))) or "nothing"
        problems = "".join(f"; {name}: {reason}" for name, reason in [*snapshot.problems.items()][:3])
        raise SnapshotError(f"{source}: no histogram in it; it contains {others}{problems}")
    if not snapshot.run:
        raise SnapshotError(f"{source}: run 0; it is not stored")
    received = np.datetime64(int(payload.received * 1e3), "ms").astype("datetime64[s]")
    provenance = Provenance(
        source=source, parsed=str(meta.get("parsed") or source), size=int(meta.get("size", 0)),
        mtime=int(meta.get("mtime", 0)), mode=snapshot.mode or "", entries=snapshot.entries,
        unsupported=len(snapshot.unsupported), timezone=meta.get("timezone"), received=str(received),
    )  # fmt: skip
    accumulation = _ACCUMULATION[str(meta.get("accumulation", "cumulative"))]
    return Decoded(payload, snapshot, accumulation, provenance.to_json())


def check_file(content: bytes, meta: Mapping[str, Any], limits: Limits) -> Snapshot:
    """The snapshot in the bytes of a file; SnapshotError if there is no histogram."""
    snapshot = _read(content, meta, limits)
    if not snapshot:
        others = ", ".join(sorted(set(snapshot.unsupported.values()))) or "nothing"
        raise SnapshotError(f"{meta['source']}: no histogram in it; it contains {others}")
    return snapshot


def _file(payload: Payload, limits: Limits) -> Snapshot:
    return _read(payload.content, payload.meta, limits)


def _read(content: bytes, meta: Mapping[str, Any], limits: Limits) -> Snapshot:
    """The snapshot in a ROOT file; its description has subsystem, run and time."""
    reader: SnapshotReader | None = getattr(_per_thread, "reader", None)
    if reader is None or reader.limits != limits:
        reader = _per_thread.reader = SnapshotReader(limits=limits)
    snapshot = reader.read(content, printable(str(meta.get("source") or FILE), 300))
    return replace(
        snapshot, subsystem=meta["subsystem"], run=int(meta["run"]), time=np.datetime64(int(meta["time"]), "ns"),
        mode=meta.get("mode") or None,
    )  # fmt: skip


def _hlt(payload: Payload, _: Limits) -> Snapshot:
    """The snapshot in a message of the HLT."""
    decode_payload: Callable[[bytes, Mapping[str, Any]], Snapshot] = import_module("ingest.live.hlt").decode_payload
    return decode_payload(payload.content, payload.meta)


_DECODERS: Mapping[str, Callable[[Payload, Limits], Snapshot]] = {FILE: _file, HLT: _hlt}
