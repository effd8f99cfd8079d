"""Hashes of the files in which Icechunk keeps what it knows of arrays: it would take changed bytes for good.

Chunks have checksums of their own, see `owtrend.store.layout`. A local store has those of its versions and manifests in
the file ``checksums``, a line each; an object store answers for its objects itself.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import icechunk
import xxhash

from owtrend.store.disk import durable

__all__ = ["Checksums", "Extent", "Node", "nodes_of"]

_LENGTH = 32  # of a hash; a line that a power loss cut is shorter
Extent = tuple[tuple[int, int], ...]  # first chunk and the one after the last, along each axis
Node = tuple[str, str, Extent]  # path of an array, manifest, the chunks of the array that this lists


class Checksums:
    """The hashes of a local store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "checksums"
        self._recorded: set[str] = set()

    def record(self, repository: icechunk.Repository, version: str) -> None:
        """Note the hashes of a new version and of its new manifests."""
        files = {f"manifests/{one['id']}" for one in _inspected(repository, version)["manifests"]}
        if not self._recorded:
            self._recorded = set(self.read())
        new = sorted({*files, f"snapshots/{version}"} - self._recorded)
        lines = "".join(f"\n{name} {_hash(self._folder / name)}" for name in new)  # the last may end anywhere
        with self._file.open("a") as file:
            file.write(lines)
        self._recorded |= {*new}

    def read(self) -> dict[str, str]:
        """Hash by name of a file, such as ``manifests/1PY2QY97P9NDJ809RRZ0``; none in a store of format 1."""
        if not self._file.exists():
            return {}
        lines = (line.split() for line in self._file.read_text(errors="replace").splitlines())
        return {words[0]: words[1] for words in lines if len(words) == 2 and len(words[1]) == _LENGTH}

    def changed(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Files that are not as they were written, and why; those without a hash are not compared."""
        known = self.read()
        for name in names:
            path = self._folder / name
            if not path.is_file():
                yield name, "a file of the store is missing"
            elif name in known and known[name] != _hash(path):
                yield name, "its bytes have changed (checksum)"

    def changed_versions(self) -> Iterator[tuple[str, str]]:
        """Versions that are not as they were written, and why."""
        return self.changed(f"snapshots/{file.name}" for file in (self._folder / "snapshots").iterdir())

    @contextlib.contextmanager
    def cleaning(self) -> Iterator[None]:
        """While versions expire: Icechunk writes those anew that have another one before them then.

        Their hashes are dropped before and taken after, so that a kill in between leaves versions without a hash. Those
        of versions that are damaged stay.
        """
        kept = {name for name, _ in self.changed_versions()}
        self._write({name: value for name, value in self.read().items() if "snapshots/" not in name or name in kept})
        try:
            yield
        finally:  # where the disk is full, for instance
            left = {name: value for name, value in self.read().items() if (self._folder / name).is_file()}
            versions = [f"snapshots/{file.name}" for file in (self._folder / "snapshots").iterdir()]
            self._write(left | {name: _hash(self._folder / name) for name in versions if name not in left})

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return self._file.stat().st_size if self._file.exists() else 0

    def _write(self, hashes: Mapping[str, str]) -> None:
        new = self._file.with_name("checksums#new")
        new.write_text("\n".join(f"{name} {value}" for name, value in hashes.items()))
        if durable.is_wanted():
            durable.sync_file(new)
        new.replace(self._file)
        self._recorded = set(hashes)


def nodes_of(repository: icechunk.Repository, version: str) -> list[Node]:
    """Arrays of a version, with each manifest that lists chunks of it."""
    return [
        (node["path"].lstrip("/"), ref["id"], tuple((begin, end) for begin, end in ref["extents"]))
        for node in _inspected(repository, version)["nodes"]
        for ref in node.get("manifest_refs", ())
    ]


def _inspected(repository: icechunk.Repository, version: str) -> Any:
    return json.loads(repository.inspect_snapshot(version, pretty=False))


def _hash(path: Path) -> str:
    return xxhash.xxh3_128_hexdigest(path.read_bytes())
