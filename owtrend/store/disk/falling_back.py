"""Falling back: older versions of a local store whose branch, or newest version, cannot be read."""

import atexit
import functools
import json
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import icechunk

from owtrend.store.disk import durable
from owtrend.store.disk.checksums import Checksums
from owtrend.store.storage import BRANCH, configuration, is_local, new_configuration, storage

__all__ = ["older_versions", "set_branch"]


def older_versions(location: str | Path) -> Iterator[tuple[icechunk.Repository, datetime]]:
    """Repositories in which a version is the newest, from the latest on, with the time when it was written.

    Each is read through a folder of its own that refers to the files: the store itself stays as it is. These
    folders stay until the process ends, for what is read lazily. Versions that Icechunk cannot read are left out;
    whether the others are whole is for the caller to see.
    """
    if not is_local(location) or not Path(location, "snapshots").is_dir():
        return
    path = Path(location).resolve()
    files = [file for file in (path / "snapshots").iterdir() if "#" not in file.name]
    changed = dict(Checksums(path).changed_versions())
    for file in sorted(files, key=lambda file: file.stat().st_mtime_ns, reverse=True):
        if f"snapshots/{file.name}" in changed:
            continue
        try:
            repository = icechunk.Repository.open(storage(_view(path, file.name)), config=configuration())
            written = next(iter(repository.ancestry(branch="main"))).written_at
        except Exception:  # whatever damaged bytes lead to
            continue
        yield repository, written


@functools.cache
def _view(path: Path, version: str) -> Path:
    """A folder with the files of a store, and a branch that names a version, until the process ends."""
    view = Path(tempfile.mkdtemp(prefix="owtrend-"))
    atexit.register(shutil.rmtree, view, ignore_errors=True)
    for name in ("chunks", "manifests", "snapshots", "transactions"):
        if (path / name).exists():
            (view / name).symlink_to(path / name)
    branch = view / BRANCH
    branch.parent.mkdir(parents=True)
    branch.write_text(json.dumps({"snapshot": version}))
    return view


def set_branch(location: str, version: str) -> None:
    """Make a version the newest of a store, whose branch or configuration may be broken; needs the commit lock."""
    branch = Path(location, BRANCH)
    branch.parent.mkdir(parents=True, exist_ok=True)
    new = branch.with_name("ref.json#repair")
    new.write_text(json.dumps({"snapshot": version}))
    durable.sync_file(new)
    new.replace(branch)
    durable.sync_file(branch)
    try:
        icechunk.Repository.open(storage(location))
    except icechunk.IcechunkError:  # what is left to be broken
        Path(location, "config.yaml").unlink(missing_ok=True)
        icechunk.Repository.open(storage(location), config=new_configuration()).save_config()
