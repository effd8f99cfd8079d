"""The Icechunk repository of a store: location, versions, tags, locks; opens readers and transactions."""

import contextlib
import fcntl
import functools
import itertools
import os
import re
import shutil
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import icechunk

from owtrend.errors import NotFoundError, StoreError, StoreLockedError
from owtrend.store.layout import FORMAT, create_log
from owtrend.store.reader import RawParts, Reader
from owtrend.store.transaction import Transaction
from owtrend.times import to_utc

__all__ = ["Store"]

icechunk.set_logs_filter("error")  # it warns at every opening of a local folder

# What Icechunk writes, in this order, before the branch that makes it a repository; "#1" ends a file half-written.
_BEFORE_THE_BRANCH = re.compile(
    r"(config\.yaml|snapshots/(1CECHNKREP0F1RSTCMT0)?|refs/(branch\.main/(ref\.json#\d+)?)?)(#\d+)?"
)
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
            raise StoreError(f"{location}: not an owtrend store ({_first_line(error)})") from error
        return store

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
        missing = _is_local(location) and not (Path(location) / "refs" / "branch.main" / "ref.json").is_file()
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
        version = self.reader(as_of).version
        try:
            self._repository.create_tag(name, version)
        except icechunk.IcechunkError as error:
            raise StoreError(f"{self.location}: tag {name!r} cannot be created ({_first_line(error)})") from error
        return version

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(sorted(self._repository.list_tags()))

    def clean(self, older_than: timedelta = timedelta(days=7)) -> int:
        """Delete older versions and the data that only they use; returns the number of bytes freed.

        The newest version and tagged ones stay. ``older_than`` must exceed the age of any reader and of any
        transaction in progress: their data would go, too.
        """
        before = datetime.now(UTC) - older_than
        with self._commit_lock():
            self._repository.expire_snapshots(older_than=before)
        return int(self._repository.garbage_collect(before).bytes_deleted)

    def sync(self) -> None:
        """Flush a local store to its disk, which Icechunk leaves to the operating system."""
        if _is_local(self.location):
            os.sync()

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

    def _begin(self, role: str) -> "Transaction":
        def followed(before: str, version: str) -> None:
            if role == "derived":
                _raw_versions[self.location] = version, self._raw_version(before)

        session, in_memory = self._repository.writable_session("main"), self.location.startswith(_MEMORY)
        return Transaction(session, self._commit_lock, followed, in_memory=in_memory)

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
    path = Path(location) / "locks" / f"{name}.lock"
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
