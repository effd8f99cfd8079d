"""The place of a store: its kind, and the Icechunk storage and configuration for it."""

from pathlib import Path
from typing import Any

import icechunk

from owtrend.errors import StoreError

__all__ = ["BRANCH", "MEMORY", "configuration", "first_line", "is_local", "new_configuration", "storage"]

BRANCH = "refs/branch.main/ref.json"  # names the newest version
MEMORY = "memory://"
# By default it reads the manifests of the times of all runs when a store is opened: 0.1 s for 3,300 runs.
_PRELOAD = icechunk.ManifestPreloadConfig(max_total_refs=0)


def is_local(location: str | Path) -> bool:
    """True for a folder, false for a URL."""
    return "://" not in str(location)


def storage(location: str | Path) -> icechunk.Storage:
    """The storage of a store that is not in memory.

    Raises
    ------
    StoreError
        If there is none for this kind of URL.
    """
    text = str(location)
    if text.startswith(MEMORY):
        raise StoreError(f"{location}: no such store in this process; make one by Store.in_memory()")
    if is_local(location):
        return icechunk.local_filesystem_storage(text)
    scheme, _, rest = text.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme == "s3":
        return icechunk.s3_storage(bucket=bucket, prefix=prefix or None, from_env=True)
    if scheme == "gs":
        return icechunk.gcs_storage(bucket=bucket, prefix=prefix or None, from_env=True)
    raise StoreError(f"{location}: unknown kind of store; give a folder, s3://bucket/prefix or gs://bucket/prefix")


def configuration() -> icechunk.RepositoryConfig:
    """The configuration with which a repository is opened."""
    config = icechunk.RepositoryConfig.default()
    # By default it remembers 10,000 versions of 50 arrays: a live writer grew by 0.1 MB with each commit, without end.
    config.caching = icechunk.CachingConfig(num_snapshot_nodes=5_000, num_chunk_refs=500_000)
    config.manifest = icechunk.ManifestConfig(preload=_PRELOAD)
    return config


def new_configuration() -> icechunk.RepositoryConfig:
    """The configuration of a new repository, whose manifests have 100 runs each."""
    config = configuration()
    by_run: dict[Any, int] = {icechunk.ManifestSplitDimCondition.DimensionName("run"): 100}
    splitting = icechunk.ManifestSplittingConfig.from_dict({icechunk.ManifestSplitCondition.AnyArray(): by_run})
    config.manifest = icechunk.ManifestConfig(preload=_PRELOAD, splitting=splitting)
    return config


def first_line(error: Exception) -> str:
    """The first line of what Icechunk says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).removeprefix("x ")
