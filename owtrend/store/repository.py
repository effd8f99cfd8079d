"""The Icechunk repository of a store: versions, tags, cleaning, falling back; opens readers and transactions."""

import contextlib
import functools
import itertools
import math
import os
import warnings
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import icechunk

from owtrend.errors import NotFoundError, StoreDamagedWarning, StoreError, UsageError
from owtrend.store.disk import durable, falling_back, locks
from owtrend.store.disk.checksums import Checksums, Node, nodes_of
from owtrend.store.layout import FORMAT, create_log
from owtrend.store.reader import RawParts, Reader
from owtrend.store.storage import BRANCH, MEMORY, configuration, first_line, is_local, new_configuration, storage
from owtrend.store.transaction import Transaction
from owtrend.times import duration, to_utc

__all__ = ["Store"]

icechunk.set_logs_filter("error")  # it warns at every opening of a local folder

_LEAST_AGE = timedelta(hours=1)
_CLOCK_TOLERANCE = timedelta(minutes=1)
_in_memory: weakref.WeakValueDictionary[str, icechunk.Repository] = weakref.WeakValueDictionary()  # by location
_readers: weakref.WeakValueDictionary[tuple[str, str], Reader] = weakref.WeakValueDictionary()  # by location, version
_raw_parts: weakref.WeakValueDictionary[tuple[str, str], RawParts] = weakref.WeakValueDictionary()  # the same
_raw_versions: dict[str, tuple[str, str]] = {}  # by location, the last derived version and the one with its raw data
_memory_numbers = itertools.count(1)


class Store:
    """One store: location, versions, and access for readers and writers."""

    def __init__(self, location: str | Path, repository: icechunk.Repository) -> None:
        self.location = str(location)
        self._repository = repository
        self._latest: Reader | None = None  # kept: opening the root group again takes as long
        self.fallen_back: str | None = None  # why the newest version is not the one that was written last
        self._checksums = Checksums(Path(self.location)) if is_local(location) else None

    @classmethod
    def open(cls, location: str | Path) -> Self:
        """Open the store at a folder or URL (``s3://bucket/prefix``).

        Raises
        ------
        StoreError
            If there is none, or it is not owtrend's.
        """
        if (in_memory := _in_memory.get(str(location))) is not None:
            return cls(location, in_memory)
        if is_local(location) and Path(location).is_file():
            raise StoreError(f"{location}: a file; a store is a folder, made by `owtrend ingest FOLDER --store STORE`")
        if is_local(location) and not Path(location).is_dir():
            raise StoreError(f"{location}: no such store; make one with `owtrend ingest FOLDER --store {location}`")
        try:
            store = cls(location, icechunk.Repository.open(storage(location), config=configuration()))
            store.reader()
        except (icechunk.IcechunkError, KeyError, FileNotFoundError) as error:
            if (whole := cls.newest_whole(location)) is not None:
                warnings.warn(str(whole.fallen_back), StoreDamagedWarning, stacklevel=2)
                return whole
            raise StoreError(f"{location}: not an owtrend store ({first_line(error)})") from error
        return store

    @classmethod
    def newest_whole(cls, location: str | Path) -> Self | None:
        """The newest version that can be read of a local store whose branch or newest version cannot; None if none can.

        It is read through a folder of its own that refers to the files: the store itself stays as it is.
        """
        for repository, written in falling_back.older_versions(location):
            try:
                store = cls(location, repository)
                reader = store.reader()
                for name in reader.registered:
                    reader.subsystem(name).stored_per_run  # noqa: B018 - can it be read?
            except Exception:  # whatever damaged bytes lead to; an older version may be whole
                continue
            store.fallen_back = (
                f"{location}: the newest version is damaged; the newest whole one is of {_moment(written)} and is "
                f"shown. `owtrend repair {location}` goes back to it"
            )
            return store
        return None

    def restored(self) -> Self:
        """Make the version that a damaged store fell back to its newest; returns the store as it is then."""
        with locks.commit_lock(self.location):
            falling_back.set_branch(self.location, self.reader().version)
        return type(self).open(self.location)

    def changed_files(self, version: str) -> list[tuple[str, str]]:
        """Files of a version that Icechunk needs to find its chunks, and are not as they were written, and why."""
        if self._checksums is None:
            return []
        if changed := list(self._checksums.changed([f"snapshots/{version}"])):
            return changed
        manifests = dict.fromkeys(f"manifests/{manifest}" for _, manifest, _ in self.nodes(version))
        return list(self._checksums.changed(manifests))

    def nodes(self, version: str) -> list[Node]:
        """Arrays of a version, with the manifests that list their chunks."""
        return nodes_of(self._repository, version)

    @classmethod
    def create(cls, location: str | Path) -> Self:
        """Create an empty store.

        Raises
        ------
        StoreError
            If the place is not empty.
        """
        with locks.creation(location):
            return cls._created(location)

    @classmethod
    def _created(cls, location: str | Path) -> Self:
        locks.require_empty(location)
        try:
            store = cls(location, icechunk.Repository.create(storage(location), config=new_configuration()))
            store._repository.save_config()
        except icechunk.IcechunkError as error:
            raise StoreError(f"{location}: cannot create a store there ({first_line(error)})") from error
        store._finish_creation()
        return store

    @classmethod
    def in_memory(cls) -> Self:
        """Create an empty store in the memory of this process, for tests; it goes when nothing refers to it any more.

        `open` finds it by its ``location`` in this process. It has no locks, and worker processes cannot reach it.
        """
        location = f"{MEMORY}{next(_memory_numbers)}"
        store = cls(location, icechunk.Repository.create(icechunk.in_memory_storage(), config=new_configuration()))
        store._finish_creation()
        _in_memory[location] = store._repository
        return store

    @classmethod
    def open_or_create(cls, location: str | Path) -> Self:
        """Open the store, or create it if it is missing; what another process creates is waited for."""
        if str(location) in _in_memory or cls._exists(location):
            return cls.open(location)
        with locks.creation(location):
            if cls._exists(location):  # created by another process meanwhile
                return cls.open(location)
            missing = is_local(location) and not (Path(location) / BRANCH).is_file()
            if missing and (whole := cls.newest_whole(location)) is not None:
                warnings.warn(str(whole.fallen_back), StoreDamagedWarning, stacklevel=2)
                return whole
            if missing or not icechunk.Repository.exists(storage(location)):
                return cls._created(location)
            begun = cls(location, icechunk.Repository.open(storage(location), config=configuration()))
            begun._finish_creation()
            return cls.open(location)

    @classmethod
    def _exists(cls, location: str | Path) -> bool:
        """False if there is no store, or its creation was not finished; what is damaged exists."""
        if is_local(location) and not (Path(location) / BRANCH).is_file():
            return False
        try:
            if not icechunk.Repository.exists(storage(location)):
                return False
            repository = icechunk.Repository.open(storage(location), config=configuration())
            return len(list(itertools.islice(repository.ancestry(branch="main"), 2))) > 1
        except icechunk.IcechunkError:
            return True

    def _finish_creation(self) -> None:
        with locks.role(self.location, "raw"):
            transaction = self._begin("raw")
            transaction.group.attrs["owtrend_format"] = FORMAT
            create_log(transaction.group, "quarantine")
            transaction.commit("create the store")

    @property
    def address(self) -> str:
        """The location, valid for workers in other folders."""
        return str(Path(self.location).absolute()) if is_local(self.location) else self.location

    @property
    def version(self) -> str:
        """Identity of the latest commit."""
        try:
            return self._repository.lookup_branch("main")
        except icechunk.IcechunkError as error:
            raise StoreError(f"{self.location}: the store cannot be read: {error}") from error

    def reader(self, as_of: str | datetime | None = None) -> "Reader":
        """The latest state, or that of a version, tag or time; it never changes while you hold it.

        Raises
        ------
        NotFoundError
            If there is no such version.
        """
        try:
            if as_of is None:
                session = self._repository.readonly_session("main")
            elif as_of in self._repository.list_tags():
                session = self._repository.readonly_session(tag=str(as_of))
            elif (when := to_utc(as_of)) is not None:
                session = self._repository.readonly_session("main", as_of=when)
            else:
                session = self._repository.readonly_session(snapshot_id=str(as_of))
        except icechunk.IcechunkError as error:
            raise NotFoundError(f"{self.location}: no version {as_of!r}; give a version, a tag or a time") from error
        key = self.location, str(session.snapshot_id)
        if (reader := _readers.get(key)) is None:  # what it has read need not be read again
            raw = self.location, self._raw_version(key[1])
            reader = _readers[key] = Reader(session, self.location, _raw_parts.get(raw))
            _raw_parts[raw] = reader.raw
        if as_of is None:
            self._latest = reader
        return reader

    def _raw_version(self, version: str) -> str:
        """An earlier version with the same raw data, if this process wrote nothing but derived data since, or this."""
        derived, raw = _raw_versions.get(self.location, ("", ""))
        return raw if version == derived else version

    def tag(self, name: str, as_of: str | datetime | None = None) -> str:
        """Name a state (default: the latest), which keeps it for good; returns its version.

        Raises
        ------
        StoreError
            If the name is taken.
        """
        self._require_whole()
        with locks.commit_lock(self.location):  # cleaning holds it, too
            version = self.reader(as_of).version
            try:
                self._repository.create_tag(name, version)
            except icechunk.IcechunkError as error:
                raise StoreError(f"{self.location}: tag {name!r} cannot be created ({first_line(error)})") from error
        return version

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(sorted(self._repository.list_tags()))

    def clean(self, older_than: timedelta = timedelta(days=7), *, force: bool = False) -> int:
        """Delete older versions and the data that only they use; returns the number of bytes freed.

        The newest version and tagged ones stay. ``older_than`` must exceed the age of any reader: its data would go,
        too. On an object store, which has no locks, also the age of any transaction in progress.

        Raises
        ------
        StoreLockedError
            If a process writes to this store.
        StoreError
            If the clocks of this machine and of the store differ.
        UsageError
            If ``older_than`` is less than an hour, without ``force``.
        """
        if older_than < _LEAST_AGE and not force:
            words = f"versions younger than {duration(_LEAST_AGE)} may be in use; give more, or --force if nobody reads"
            raise UsageError(f"{words} this store")
        self._require_whole()
        with locks.all_roles(self.location), locks.commit_lock(self.location):
            self._require_equal_clocks()
            before, checksums = _now() - older_than, self._checksums
            size = checksums.nbytes if checksums else 0
            try:
                freed = 0
                with contextlib.suppress(icechunk.IcechunkError):  # of a damaged version, which may be about to expire
                    freed = self._repository.garbage_collect(before).bytes_deleted  # expiring needs room on the disk
                with checksums.cleaning() if checksums else contextlib.nullcontext():
                    self._repository.expire_snapshots(older_than=before)
                    freed += self._repository.garbage_collect(before).bytes_deleted
            except icechunk.IcechunkError as error:
                why = self._damaged_version() or first_line(error)
                raise StoreError(f"{self.location}: not cleaned, and all is kept that is in use: {why}") from error
            return int(freed) + size - (checksums.nbytes if checksums else 0)

    def _damaged_version(self) -> str:
        """The newest version of the branch that is damaged, as cleaning meets it, and what to do; empty if none is."""
        version = None
        try:
            for number, version in enumerate(self._repository.ancestry(branch="main")):
                if not (changed := self.changed_files(version.id)):
                    continue
                what = f"the version of {_moment(version.written_at)} is damaged ({changed[0][1]})"
                if number == 0:
                    return f"{what}, the newest one; `owtrend repair {self.location}` comes first"
                age, digits = (_now() - version.written_at) / timedelta(days=1), 1e4
                days = max(math.ceil(_LEAST_AGE / timedelta(days=1) * digits), math.floor(age * digits)) / digits
                since = version.written_at + timedelta(days=days)
                command = f"owtrend clean {self.location} --older-than {days:g}"
                return f"{what}; from {_moment(since)} on `{command}` deletes it with all before it"
        except icechunk.IcechunkError:
            if version is not None:
                words = (
                    f"the version before that of {_moment(version.written_at)} cannot be read, so none can be deleted"
                )
                return f"{words}; `owtrend merge NEW {self.location}` copies the newest one"
        return ""

    def _require_equal_clocks(self) -> None:
        """Raise StoreError if what this machine takes for old may be new: if its clock differs from the store's."""
        newest = next(iter(self._repository.ancestry(branch="main"))).written_at
        ahead = _now() - newest
        if ahead < -_CLOCK_TOLERANCE:
            raise self._clock_behind()
        if self._checksums is not None:
            path = locks.lock_file(self.location, "commit")
            os.utime(path)  # the file server's clock, which need not be that of this machine
            ahead = timedelta(seconds=_now().timestamp() - path.stat().st_mtime)
            if abs(ahead) > _CLOCK_TOLERANCE:
                side = "ahead of" if ahead > timedelta(0) else "behind"
                raise StoreError(
                    f"{self.location}: the clock of this machine is {duration(abs(ahead))} {side} that of the disk; "
                    "nothing was deleted. Set the clocks, then try again"
                )

    @contextlib.contextmanager
    def writer(self, role: str) -> Iterator[Any]:
        """Hold the role ``raw``, ``derived`` or ``conditions``; yields a function that begins a transaction.

        Raises
        ------
        StoreLockedError
            If another process holds the role.
        """
        with locks.role(self.location, role):
            yield functools.partial(self._begin, role)

    def _require_whole(self) -> None:
        """Raise StoreError if the store fell back: what it is read through has neither its tags nor its branch."""
        if self.fallen_back is not None:
            raise StoreError(self.fallen_back)

    def _begin(self, role: str) -> "Transaction":
        self._require_whole()
        session, in_memory = self._repository.writable_session("main"), self.location.startswith(MEMORY)
        return Transaction(session, functools.partial(self._publish, role), in_memory=in_memory)

    def _publish(self, role: str, session: icechunk.Session, message: str) -> str:
        """Make a session with changes the newest version, on a local disk after it is safe from a power loss."""
        before = str(session.snapshot_id)
        with locks.commit_lock(self.location):
            try:
                alone, version = self._commit(session, message)
            except icechunk.IcechunkError as error:
                if "timestamp ordering" not in str(error):
                    raise
                raise self._clock_behind() from error
            if alone and role != "raw":
                _raw_versions[self.location] = version, self._raw_version(before)
        return version

    def _commit(self, session: icechunk.Session, message: str) -> tuple[bool, str]:
        """Commit; true if nobody else did since the session began, and the new version."""
        if self._checksums is None:
            try:
                return True, session.commit(message)
            except icechunk.ConflictError:
                return False, session.commit(message, rebase_with=icechunk.ConflictDetector())
        tip, folder = self.version, Path(self.location)
        alone = tip == str(session.snapshot_id)
        if not alone:
            session.rebase(icechunk.ConflictDetector())
        version = session.flush(message)
        self._checksums.record(self._repository, version)
        if durable.is_wanted():
            durable.sync_everything(folder)  # all that the branch is going to name
        self._repository.reset_branch("main", version, from_snapshot_id=tip)
        if durable.is_wanted():
            durable.sync_file(folder / BRANCH)
        return alone, version

    def _clock_behind(self) -> StoreError:
        newest = next(iter(self._repository.ancestry(branch="main"))).written_at
        behind = newest - _now()
        return StoreError(
            f"{self.location}: the clock of this machine is {duration(behind)} behind the newest version, of "
            f"{_moment(newest)}; nothing was written. Set the clock, or wait until then. If the store was "
            "written with a clock that was ahead: `owtrend merge NEW_STORE STORE --why ...` copies all of it, in order"
        )


def _now() -> datetime:
    return datetime.now(UTC)


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
