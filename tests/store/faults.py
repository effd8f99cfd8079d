"""Faults of disks: bytes that change, files that are lost, a power loss that takes what was not synced."""

import json
import random
from pathlib import Path
from typing import Any

from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from owtrend.store.disk import durable
from owtrend.store.disk.checksums import Checksums
from owtrend.store.repository import Store


def flip(path: Path, bit: int | None = None) -> None:
    """Flip one bit of a file, by default in its middle."""
    content = bytearray(path.read_bytes())
    bit = 4 * len(content) if bit is None else bit
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def spoil(store: Store, array: str, *chunk: int) -> None:
    """Flip a bit in a chunk of an array, in a new version."""
    key = "/".join((array, "c", *map(str, chunk)))
    with store.writer("raw") as begin:
        transaction = begin()
        stored = sync(transaction.session.store.get(key, default_buffer_prototype()))
        content = bytearray(stored.to_bytes())
        content[len(content) // 2] ^= 4
        sync(transaction.session.store.set(key, type(stored).from_bytes(bytes(content))))
        transaction.commit("a cosmic ray")


def manifest_of(store: Store, array: str) -> Path:
    """The file that lists the chunks of an array."""
    manifests = [manifest for path, manifest, _ in store.nodes(store.reader().version) if path == array]
    return Path(store.location, "manifests", manifests[0])


def version_file(store: Store) -> Path:
    """The file of the newest version."""
    return Path(store.location, "snapshots", store.reader().version)


class PowerCut(BaseException):
    """The power is gone."""


class PowerLoss:
    """A disk that keeps only what was synced, in a machine whose power is cut at some step of a commit."""

    def __init__(self, folder: Path, monkeypatch: Any, chance: random.Random, steps: int) -> None:
        """Watch a folder; the power goes in one of the next ``steps`` steps."""
        self._folder, self._chance = folder, chance
        self._left = chance.randrange(steps)
        self._safe = self._files()
        everything, file, record = durable.sync_everything, durable.sync_file, Checksums.record

        def sync_everything(path: Path) -> None:
            self._step()
            everything(path)
            self._safe = self._files()
            self._step()

        def sync_file(path: Path) -> None:
            self._step()
            file(path)
            self._safe[path.relative_to(folder).as_posix()] = path.read_bytes()

        def recorded(*arguments: Any) -> None:
            self._step()
            record(*arguments)

        monkeypatch.setattr(durable, "sync_everything", sync_everything)
        monkeypatch.setattr(durable, "sync_file", sync_file)
        monkeypatch.setattr(Checksums, "record", recorded)

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            self._strike()
            raise PowerCut

    def _files(self) -> dict[str, bytes]:
        return {
            path.relative_to(self._folder).as_posix(): path.read_bytes()
            for path in self._folder.rglob("*")
            if path.is_file()
        }

    def _strike(self) -> None:
        """Leave of each file that is not safe all, a part, nothing, or what it was before."""
        for name, content in self._files().items():
            before, path = self._safe.get(name), self._folder / name
            if before == content:
                continue
            kept = len(before) if before is not None and content.startswith(before) else 0  # it was appended to
            part = content[: self._chance.randrange(kept, len(content) + 1)]
            fate = self._chance.choice([content, part, content[:kept], before])
            if fate is None:
                path.unlink()
            else:
                path.write_bytes(fate)
        for name in self._safe.keys() - self._files().keys():  # a deletion need not have reached the disk
            if self._chance.random() < 0.5:
                (self._folder / name).parent.mkdir(parents=True, exist_ok=True)
                (self._folder / name).write_bytes(self._safe[name])


def branch(store: Store) -> str:
    """The version that the branch names."""
    return str(json.loads(Path(store.location, "refs/branch.main/ref.json").read_text())["snapshot"])
