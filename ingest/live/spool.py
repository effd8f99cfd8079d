"""A folder of acknowledged payloads that are not in the store yet; each is on the disk before `put` returns."""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from owtrend.errors import OwtrendError

__all__ = ["Payload", "Received", "Spool", "SpoolError", "SpoolFullError", "SpoolLimits"]

_MAGIC = b"OWSPOOL1"
_HEAD = struct.Struct(">8sIQ")  # magic, length of the description, length of the payload
_NAME = re.compile(r"(\d{15})-([0-9a-f]{32})\.payload")
_LONGEST_DESCRIPTION = 2**20  # [bytes]
_REMEMBERED = 2**14  # identities of payloads that the store has
_log = logging.getLogger(__name__)


class SpoolError(OwtrendError, OSError):
    """The spool cannot be used, or a payload could not be written to the disk: it is not acknowledged."""


class SpoolFullError(SpoolError):
    """The spool holds as much as it may: the sender is to try again later."""


@dataclass(frozen=True, kw_only=True)
class SpoolLimits:
    """How much a spool holds.

    Parameters
    ----------
    payload_bytes
        Of one payload.
    total_bytes, payloads
        Of all that wait.
    seconds
        Once the oldest has waited this long, no more is taken until the writer has caught up.
    quarantine_bytes
        Of payloads that could not be read; beyond it the oldest of these are deleted.
    """

    payload_bytes: int = 300 * 10**6
    total_bytes: int = 10**10
    payloads: int = 100_000
    seconds: float = 24 * 3600.0
    quarantine_bytes: int = 10**9


@dataclass(frozen=True)
class Received:
    """What `Spool.put` returns: the identity of the payload, and whether it was known already."""

    identity: str
    known: bool


@dataclass(frozen=True, kw_only=True)
class Payload:
    """A payload of the spool.

    Parameters
    ----------
    kind, meta, content
        As they were put.
    received
        When, by the clock of the machine [s since 1970].
    arrived
        The same by `time.monotonic`; None if it came before this process.
    """

    path: Path
    identity: str
    kind: str
    meta: Mapping[str, Any]
    content: bytes
    received: float
    arrived: float | None


@dataclass(frozen=True)
class _Waiting:
    """A payload on the disk."""

    path: Path
    size: int
    arrived: float | None
    since: float  # modification time of the file [s since 1970]


class Spool:
    """Payloads in order of arrival, kept over any death of the process. Use it as a context.

    A payload is written under a temporary name, synced, renamed, and its folder synced. So whatever a crash leaves is a
    whole payload or a file that is not one, which is deleted when the spool is opened next. The same payload with the
    same description is kept once.

    Parameters
    ----------
    folder
        Created if it is missing; only one process may have it open.
    sync
        Waits until a file or folder is on the disk; for tests.

    Raises
    ------
    SpoolError
        If the folder cannot be used, or another process uses it.
    """

    def __init__(self, folder: str | Path, limits: SpoolLimits | None = None, *, sync: Any = os.fsync) -> None:
        self.folder, self.limits, self._sync = Path(folder), limits or SpoolLimits(), sync
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()  # by identity
        self._stored: OrderedDict[str, None] = OrderedDict()
        self._bytes = self._next = self._temporary = 0
        try:
            (self.folder / "quarantine").mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SpoolError(
                f"{self.folder}: cannot be used as a spool ({error.strerror}); give another --spool"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise SpoolError(
                f"{self.folder}: another receiver uses this spool; stop it, or give another --spool"
            ) from error
        self._open()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have the folder; what waits stays."""
        os.close(self._lock)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def size(self) -> int:
        """Size of all that waits, with descriptions [bytes]."""
        return self._bytes

    @property
    def oldest_seconds(self) -> float:
        """For how long the oldest payload has waited; 0 if none does, or the clock was set back."""
        with self._changed:
            first = next(iter(self._waiting.values()), None)
        if first is None:
            return 0.0
        return max(time.monotonic() - first.arrived if first.arrived else time.time() - first.since, 0.0)

    @property
    def quarantined(self) -> int:
        """How many payloads lie in the quarantine of the spool."""
        return sum(1 for path in (self.folder / "quarantine").iterdir() if path.suffix == ".payload")

    def require_room(self, size: int = 0) -> None:
        """Raise `SpoolFullError` if a payload of this size cannot be taken now."""
        limits = self.limits
        if size > limits.payload_bytes:
            raise SpoolError(f"a payload of {size:,} bytes; expected at most {limits.payload_bytes:,}")
        if self._bytes + size > limits.total_bytes or len(self) >= limits.payloads:
            raise SpoolFullError(
                f"{self.folder}: {len(self):,} payloads of {self._bytes / 1e6:,.0f} MB wait for the store, as many as "
                "may; send it again later"
            )
        if (waited := self.oldest_seconds) > limits.seconds:
            raise SpoolFullError(f"{self.folder}: a payload has waited for {waited:,.0f} s; see why nothing is stored")

    def put(self, kind: str, content: bytes, meta: Mapping[str, Any]) -> Received:
        """Keep a payload; when this returns it is on the disk, and may be acknowledged.

        Parameters
        ----------
        meta
            What belongs to it, for JSON. Only payloads of equal kind, content and ``meta`` are the same.

        Raises
        ------
        SpoolFullError
            If too much waits.
        SpoolError
            If the disk does not take it, or it is too large.
        """
        described = json.dumps({"kind": kind, "meta": meta}, sort_keys=True).encode()
        digest = hashlib.blake2b(described, digest_size=16)
        digest.update(content)
        identity = digest.hexdigest()
        if identity in self._stored:
            return Received(identity, known=True)
        with self._changed:
            known = identity in self._waiting
            self._temporary += 1
            temporary = self.folder / f".{os.getpid()}-{self._temporary}.part"
        if not known:
            self.require_room(len(content))
        try:
            if not known:
                self._write(temporary, described, content)
                known = self._rename(temporary, identity, _HEAD.size + len(described) + len(content))
            self._sync_folder(self.folder)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise SpoolError(
                f"{self.folder}: the disk did not take {len(content):,} bytes ({error.strerror or error}); they "
                "are not acknowledged, free some space"
            ) from error
        return Received(identity, known)

    def take(self, payloads: int, size: int, wait: float = 0.0) -> list[Payload]:
        """The oldest payloads, at least one if any waits within ``wait`` seconds, up to a number and a size [bytes].

        They stay until `remove`. A damaged one goes to the quarantine.
        """
        with self._changed:
            if not self._waiting and wait:
                self._changed.wait(wait)
            first = [pair for pair, _ in zip(self._waiting.items(), range(payloads), strict=False)]
        found, total = list[Payload](), 0
        for identity, waiting in first:
            total += waiting.size
            if found and total > size:
                break
            try:
                found.append(_read(identity, waiting))
            except (OSError, ValueError) as error:
                _log.error("%s: damaged, goes to the quarantine: %s", waiting.path, error)
                self._leave(identity, str(error))
        return found

    def remove(self, payloads: Iterable[Payload]) -> None:
        """Delete payloads that the store has durably."""
        for payload in payloads:
            with self._changed:
                waiting = self._waiting.pop(payload.identity, None)
                self._bytes -= waiting.size if waiting else 0
                self._stored[payload.identity] = None
                while len(self._stored) > _REMEMBERED:
                    self._stored.popitem(last=False)
            payload.path.unlink(missing_ok=True)

    def quarantine(self, payload: Payload, reason: str) -> None:
        """Put a payload aside that cannot be stored, and why."""
        self._leave(payload.identity, reason)

    def _open(self) -> None:
        found = []
        for path in sorted(self.folder.iterdir()):
            if path.name.endswith(".part"):  # a crash: never acknowledged
                path.unlink()
            elif match := _NAME.fullmatch(path.name):
                status = path.stat()
                found.append((match[2], _Waiting(path, status.st_size, None, status.st_mtime)))
                self._next = max(self._next, int(match[1]) + 1)
        self._waiting.update(found)
        self._bytes = sum(waiting.size for waiting in self._waiting.values())

    def _write(self, path: Path, described: bytes, content: bytes) -> None:
        with open(path, "xb") as file:
            for part in (_HEAD.pack(_MAGIC, len(described), len(content)), described, content):
                file.write(part)
            file.flush()
            self._sync(file.fileno())

    def _rename(self, temporary: Path, identity: str, size: int) -> bool:
        """Give a file its name, in order of arrival; True if another thread came first with the same payload."""
        with self._changed:
            if identity in self._waiting or identity in self._stored:
                temporary.unlink()
                return True
            path = self.folder / f"{self._next:015d}-{identity}.payload"
            temporary.rename(path)
            self._next += 1
            self._waiting[identity] = _Waiting(path, size, time.monotonic(), time.time())
            self._bytes += size
            self._changed.notify_all()
        return False

    def _sync_folder(self, folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._sync(handle)
        finally:
            os.close(handle)

    def _leave(self, identity: str, reason: str) -> None:
        with self._changed:
            waiting = self._waiting.pop(identity, None)
            if waiting is None:
                return
            self._bytes -= waiting.size
        folder = self.folder / "quarantine"
        with contextlib.suppress(OSError):  # of a full disk: the payload itself only gets another name
            (folder / waiting.path.name).with_suffix(".reason").write_text(reason, errors="replace")
        with contextlib.suppress(OSError):
            waiting.path.rename(folder / waiting.path.name)
        for path in _beyond(folder, self.limits.quarantine_bytes):
            _log.warning("%s: deleted, the quarantine of the spool is full", path)
            path.unlink(missing_ok=True)
            path.with_suffix(".reason").unlink(missing_ok=True)


def _read(identity: str, waiting: _Waiting) -> Payload:
    """A payload from its file; a ValueError or OSError says what is wrong with it."""
    with open(waiting.path, "rb") as file:
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size or not head.startswith(_MAGIC):
            raise ValueError("its beginning is not that of a payload")
        _, described_bytes, content_bytes = _HEAD.unpack(head)
        if described_bytes > _LONGEST_DESCRIPTION or _HEAD.size + described_bytes + content_bytes != waiting.size:
            raise ValueError(f"it has {waiting.size:,} bytes, not those that its head says")
        described, content = file.read(described_bytes), file.read(content_bytes)
    digest = hashlib.blake2b(described, digest_size=16)
    digest.update(content)
    if digest.hexdigest() != identity:
        raise ValueError("its bytes changed on the disk")
    fields = json.loads(described)
    return Payload(
        path=waiting.path, identity=identity, kind=fields["kind"], meta=fields["meta"], content=content,
        received=waiting.since, arrived=waiting.arrived,
    )  # fmt: skip


def _beyond(folder: Path, limit: int) -> Iterator[Path]:
    """The oldest payloads that are too much."""
    total = 0
    for path in sorted(folder.glob("*.payload"), reverse=True):
        total += path.stat().st_size
        if total > limit:
            yield path
