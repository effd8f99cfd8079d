"""Locks of a local store: writers' roles, one commit at a time, its folder while it is created."""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from owtrend.errors import StoreError, StoreLockedError
from owtrend.store.storage import is_local

__all__ = ["all_roles", "commit_lock", "creation", "lock_file", "require_empty", "role"]

# What Icechunk writes, in this order, before the branch that makes it a repository; "#1" ends a file half-written.
_BEFORE_THE_BRANCH = re.compile(
    r"(config\.yaml|snapshots/(1CECHNKREP0F1RSTCMT0)?|refs/(branch\.main/(ref\.json#\d+)?)?)(#\d+)?"
)


@contextlib.contextmanager
def role(location: str | Path, name: str) -> Iterator[None]:
    """Hold a writer's role.

    Raises
    ------
    StoreLockedError
        If another process holds it.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_flock(location, name, wait=False))
        except BlockingIOError as error:
            raise StoreLockedError(
                f"{location}: another process is the {name} writer; wait for it or stop it"
            ) from error
        yield


@contextlib.contextmanager
def all_roles(location: str | Path) -> Iterator[None]:
    """Hold the roles of all writers.

    Raises
    ------
    StoreLockedError
        If another process holds one of them.
    """
    with role(location, "raw"), role(location, "derived"), role(location, "conditions"):
        yield


@contextlib.contextmanager
def commit_lock(location: str | Path) -> Iterator[None]:
    """Wait until no other process commits.

    Icechunk's local storage has no atomic compare-and-swap of the branch: unlocked, three processes lost 45 of 450
    commits. Object stores have it.
    """
    with _flock(location, "commit", wait=True):
        yield


def lock_file(location: str | Path, name: str) -> Path:
    """The file of a lock."""
    return Path(location) / "locks" / f"{name}.lock"


@contextlib.contextmanager
def _flock(location: str | Path, name: str, wait: bool) -> Iterator[None]:
    """Hold a lock file of a local store; the kernel releases it when the process dies."""
    if not is_local(location):
        yield
        return
    path = lock_file(location, name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"{location}: cannot be written ({error.strerror}); give a folder you may write to") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError as error:  # a network file system without locks, for instance
            raise StoreError(f"{location}: its file system has no locks ({error.strerror}); use another one") from error
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def creation(location: str | Path) -> Iterator[None]:
    """Wait until no other process creates a store in a local folder; the folder is created if it is missing.

    Raises
    ------
    StoreError
        If it is no folder, or cannot be created.
    """
    if not is_local(location):
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
        yield
    finally:
        os.close(handle)


def require_empty(location: str | Path) -> None:
    """Delete what a killed `Store.create` left in a local folder.

    Raises
    ------
    StoreError
        If anything else is there.
    """
    if not is_local(location):
        return
    folder = Path(location)
    names = [path.relative_to(folder).as_posix() + "/" * path.is_dir() for path in folder.rglob("*")]
    if not all(_BEFORE_THE_BRANCH.fullmatch(name) for name in names):
        raise StoreError(f"{location}: already there and not empty; give another folder")
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
