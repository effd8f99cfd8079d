"""The Icechunk repository of a store: location, versions, tags, locks; opens readers and transactions."""

import contextlib
import fcntl
import functools
import itertools
import json
import os
import re
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import icechunk

from owtrend.errors import NotFoundError, StoreDamagedWarning, StoreError, StoreLockedError, UsageError
from owtrend.store import durable
from owtrend.store.checksums import Checksums, Node, nodes_of
from owtrend.store.layout import FORMAT, create_log
from owtrend.store.reader import RawParts, Reader
from owtrend.store.transaction import Transaction
from owtrend.times import duration, to_utc

__all__ = ["Store"]

icechunk.set_logs_filter("error")  # it warns at every opening of a local folder

# What Icechunk writes, in this order, before the branch that makes it a repository; "#1" ends a file half-written.
_BEFORE_THE_BRANCH = re.compile(
    r"(config\.yaml|snapshots/(1CECHNKREP0F1RSTCMT0)?|refs/(branch\.main/(ref\.json#\d+)?)?)(#\d+)?"
)
_BRANCH = "refs/branch.main/ref.json"
_LEAST_AGE = timedelta(hours=1)
_CLOCK_TOLERANCE = timedelta(minutes=1)
_MEMORY = "memory://"
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
        self.fallen_back: str | None = None  # why the newest version is not the one that was written last
        self._checksums = Checksums(Path(self.location)) if _is_local(location) else None

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
        storage = _storage(location)
        if _is_local(location) and Path(location).is_file():
            raise StoreError(f"{location}: a file; a store is a folder, made by `owtrend ingest FOLDER --store STORE`")
        if _is_local(location) and not Path(location).is_dir():
            raise StoreError(f"{location}: no such store; make one with `owtrend ingest FOLDER --store {location}`")
        try:
            store = cls(location, icechunk.Repository.open(storage, config=_config()))
            store.reader()
        except (icechunk.IcechunkError, KeyError, FileNotFoundError) as error:
            if (whole := cls.newest_whole(location)) is not None:
                warnings.warn(str(whole.fallen_back), StoreDamagedWarning, stacklevel=2)
                return whole
            raise StoreError(f"{location}: not an owtrend store ({_first_line(error)})") from error
        return store

    @classmethod
    def newest_whole(cls, location: str | Path) -> Self | None:
        """The newest version that can be read of a local store whose branch or newest version cannot; None if none can.

        It is read through a folder of its own that refers to the files: the store itself stays as it is.
        """
        if not _is_local(location) or not Path(location, "snapshots").is_dir():
            return None
        folder, path = tempfile.TemporaryDirectory(prefix="owtrend-"), Path(location).resolve()
        view = Path(folder.name)
        for name in ("chunks", "manifests", "snapshots", "transactions"):
            if (path / name).exists():
                (view / name).symlink_to(path / name)
        branch = view / _BRANCH
        branch.parent.mkdir(parents=True, exist_ok=True)
        files = [file for file in (path / "snapshots").iterdir() if "#" not in file.name]
        changed = dict(Checksums(path).changed_versions())
        for file in sorted(files, key=lambda file: file.stat().st_mtime_ns, reverse=True):
            if f"snapshots/{file.name}" in changed:
                continue
            branch.write_text(json.dumps({"snapshot": file.name}))
            try:
                store = cls(location, icechunk.Repository.open(_storage(view), config=_config()))
                reader = store.reader()
                written = next(iter(store._repository.ancestry(branch="main"))).written_at
                for name in reader.registered:
                    reader.subsystem(name).stored_per_run  # noqa: B018 - can it be read?
            except Exception:  # whatever damaged bytes lead to; an older version may be whole
                continue
            weakref.finalize(store._repository, folder.cleanup)
            store.fallen_back = (
                f"{location}: the newest version is damaged; the newest whole one is of "
                f"{written:%Y-%m-%d %H:%M:%S} UTC and is shown. `owtrend repair {location}` goes back to it"
            )
            return store
        return None

    def restored(self) -> Self:
        """Make the version that a damaged store fell back to its newest; returns the store as it is then."""
        version, branch = self.reader().version, Path(self.location, _BRANCH)
        with self._commit_lock():
            branch.parent.mkdir(parents=True, exist_ok=True)
            new = branch.with_name("ref.json#repair")
            new.write_text(json.dumps({"snapshot": version}))
            durable.sync_file(new)
            new.replace(branch)
            durable.sync_file(branch)
            try:
                icechunk.Repository.open(_storage(self.location))
            except icechunk.IcechunkError:  # what is left to be broken
                Path(self.location, "config.yaml").unlink(missing_ok=True)
                icechunk.Repository.open(_storage(self.location), config=_new_config()).save_config()
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
        with _empty_folder(location):
            try:
                store = cls(location, icechunk.Repository.create(_storage(location), config=_new_config()))
                store._repository.save_config()
            except icechunk.IcechunkError as error:
                raise StoreError(f"{location}: cannot create a store there ({_first_line(error)})") from error
        with _role(location, "raw"):
            store._finish_creation()
        return store

    @classmethod
    def in_memory(cls) -> Self:
        """Create an empty store in the memory of this process, for tests; it goes when nothing refers to it any more.

        `open` finds it by its ``location`` in this process. It has no locks, and worker processes cannot reach it.
        """
        location = f"{_MEMORY}{next(_memory_numbers)}"
        store = cls(location, icechunk.Repository.create(icechunk.in_memory_storage(), config=_new_config()))
        store._finish_creation()
        _in_memory[location] = store._repository
        return store

    @classmethod
    def open_or_create(cls, location: str | Path) -> Self:
        """Open the store, or create it if it is missing."""
        if str(location) in _in_memory:
            return cls.open(location)
        missing = _is_local(location) and not (Path(location) / _BRANCH).is_file()
        if missing or not icechunk.Repository.exists(_storage(location)):
            return cls.create(location)
        store = cls(location, icechunk.Repository.open(_storage(location), config=_config()))
        if len(list(store._repository.ancestry(branch="main"))) == 1:  # its creation was interrupted
            with _role(location, "raw"):
                store._finish_creation()
        return cls.open(location)

    def _finish_creation(self) -> None:
        transaction = self._begin("raw")
        transaction.group.attrs["owtrend_format"] = FORMAT
        create_log(transaction.group, "quarantine")
        transaction.commit("create the store")

    @property
    def address(self) -> str:
        """The location, valid for workers in other folders."""
        return str(Path(self.location).absolute()) if _is_local(self.location) else self.location

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
        version = self.reader(as_of).version
        try:
            self._repository.create_tag(name, version)
        except icechunk.IcechunkError as error:
            raise StoreError(f"{self.location}: tag {name!r} cannot be created ({_first_line(error)})") from error
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
            raise UsageError(
                f"versions younger than {duration(_LEAST_AGE)} may be in use; give more, or --force "
                "if nobody reads this store"
            )
        self._require_whole()
        with _role(self.location, "raw"), _role(self.location, "derived"), self._commit_lock():
            self._require_equal_clocks()
            before, checksums = _now() - older_than, self._checksums
            size = checksums.nbytes if checksums else 0
            try:
                freed = self._repository.garbage_collect(before).bytes_deleted  # first: expiring needs room on the disk
                with checksums.cleaning() if checksums else contextlib.nullcontext():
                    self._repository.expire_snapshots(older_than=before)
                    freed += self._repository.garbage_collect(before).bytes_deleted
            except icechunk.IcechunkError as error:
                raise StoreError(
                    f"{self.location}: not cleaned, for an older version is damaged ({_first_line(error)}); "
                    "nothing that is in use was deleted. It can be cleaned once that version is old enough to go"
                ) from error
            return int(freed) + size - (checksums.nbytes if checksums else 0)

    def _require_equal_clocks(self) -> None:
        """Raise StoreError if what this machine takes for old may be new: if its clock differs from the store's."""
        newest = next(iter(self._repository.ancestry(branch="main"))).written_at
        ahead = _now() - newest
        if ahead < -_CLOCK_TOLERANCE:
            raise self._clock_behind()
        if self._checksums is not None:
            path = _lock_file(self.location, "commit")
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
        """Hold the role ``raw`` or ``derived``; yields a function that begins a transaction.

        Raises
        ------
        StoreLockedError
            If another process holds the role.
        """
        with _role(self.location, role):
            yield functools.partial(self._begin, role)

    def _require_whole(self) -> None:
        """Raise StoreError if the store fell back: what it is read through has neither its tags nor its branch."""
        if self.fallen_back is not None:
            raise StoreError(self.fallen_back)

    def _begin(self, role: str) -> "Transaction":
        self._require_whole()
        session, in_memory = self._repository.writable_session("main"), self.location.startswith(_MEMORY)
        return Transaction(session, functools.partial(self._publish, role), in_memory=in_memory)

    def _publish(self, role: str, session: icechunk.Session, message: str) -> str:
        """Make a session with changes the newest version, on a local disk after it is safe from a power loss."""
        before = str(session.snapshot_id)
        with self._commit_lock():
            try:
                alone, version = self._commit(session, message)
            except icechunk.IcechunkError as error:
                if "timestamp ordering" not in str(error):
                    raise
                raise self._clock_behind() from error
            if alone and role == "derived":
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
            durable.sync_file(folder / _BRANCH)
        return alone, version

    def _clock_behind(self) -> StoreError:
        newest = next(iter(self._repository.ancestry(branch="main"))).written_at
        behind = newest - _now()
        return StoreError(
            f"{self.location}: the clock of this machine is {duration(behind)} behind the newest version, of "
            f"{newest:%Y-%m-%d %H:%M:%S} UTC; nothing was written. Set the clock, or wait until then. If the store was "
            "written with a clock that was ahead: `owtrend merge NEW_STORE STORE --why ...` copies all of it, in order"
        )

    @contextlib.contextmanager
    def _commit_lock(self) -> Iterator[None]:
        # Icechunk's local storage has no atomic compare-and-swap of the branch: unlocked, three processes lost 45 of
        # 450 commits. Object stores have it.
        with _flock(self.location, "commit", wait=True):
            yield


@contextlib.contextmanager
def _role(location: str | Path, role: str) -> Iterator[None]:
    """Hold a writer's role; raises StoreLockedError if another process does."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_flock(location, role, wait=False))
        except BlockingIOError as error:
            raise StoreLockedError(
                f"{location}: another process is the {role} writer; wait for it or stop it"
            ) from error
        yield


@contextlib.contextmanager
def _flock(location: str | Path, name: str, wait: bool) -> Iterator[None]:
    """Hold a lock file of a local store; the kernel releases it when the process dies."""
    if not _is_local(location):
        yield
        return
    path = _lock_file(location, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"{location}: cannot be written ({error.strerror}); give a folder you may write to") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


def _lock_file(location: str | Path, name: str) -> Path:
    return Path(location) / "locks" / f"{name}.lock"


@contextlib.contextmanager
def _empty_folder(location: str | Path) -> Iterator[None]:
    """Hold an empty local folder, as Icechunk needs it; it is created if it is missing.

    Remains of a killed `Store.create` are deleted. Raises StoreError if anything else is there.
    """
    if not _is_local(location):
        yield
        return
    folder = Path(location)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileExistsError as error:
        raise StoreError(f"{location}: already there, but no folder; give another path") from error
    except OSError as error:
        raise StoreError(f"{location}: cannot create a store there ({error.strerror})") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        names = [path.relative_to(folder).as_posix() + "/" * path.is_dir() for path in folder.rglob("*")]
        if not all(_BEFORE_THE_BRANCH.fullmatch(name) for name in names):
            raise StoreError(f"{location}: already there and not empty; give another folder")
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield
    finally:
        os.close(handle)


def _now() -> datetime:
    return datetime.now(UTC)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).removeprefix("x ")


def _is_local(location: str | Path) -> bool:
    return "://" not in str(location)


def _config() -> icechunk.RepositoryConfig:
    config = icechunk.RepositoryConfig.default()
    # By default it remembers 10,000 versions of 50 arrays: a live writer grew by 0.1 MB with each commit, without end.
    config.caching = icechunk.CachingConfig(num_snapshot_nodes=5_000, num_chunk_refs=500_000)
    return config


def _new_config() -> icechunk.RepositoryConfig:
    """The configuration of a new repository, whose manifests have 100 runs each."""
    config = _config()
    by_run: dict[Any, int] = {icechunk.ManifestSplitDimCondition.DimensionName("run"): 100}
    splitting = icechunk.ManifestSplittingConfig.from_dict({icechunk.ManifestSplitCondition.AnyArray(): by_run})
    config.manifest = icechunk.ManifestConfig(splitting=splitting)
    return config


def _storage(location: str | Path) -> icechunk.Storage:
    text = str(location)
    if text.startswith(_MEMORY):
        raise StoreError(f"{location}: no such store in this process; make one by Store.in_memory()")
    if _is_local(location):
        return icechunk.local_filesystem_storage(text)
    scheme, _, rest = text.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme == "s3":
        return icechunk.s3_storage(bucket=bucket, prefix=prefix or None, from_env=True)
    if scheme == "gs":
        return icechunk.gcs_storage(bucket=bucket, prefix=prefix or None, from_env=True)
    raise StoreError(f"{location}: unknown kind of store; give a folder, s3://bucket/prefix or gs://bucket/prefix")
