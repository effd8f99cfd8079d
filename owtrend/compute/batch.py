"""Workers that a batch system starts: Slurm and HTCondor by dask-jobqueue, or a cluster of one's own."""

import contextlib
import importlib
import logging
import shutil
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from owtrend.config.batch import BatchConfig
from owtrend.errors import UsageError

__all__ = ["Batch", "batch_workers"]

_log = logging.getLogger(__name__)


class Batch(StrEnum):
    """Where workers come from, as people type it."""

    SLURM = "slurm"
    HTCONDOR = "htcondor"
    FACTORY = "factory"  # a function of people's own


_SUBMITS = {Batch.SLURM: "sbatch", Batch.HTCONDOR: "condor_submit"}


@contextlib.contextmanager
def batch_workers(kind: Batch, config: BatchConfig, jobs: int | None = None) -> Iterator[str]:
    """Submit jobs that run workers; yields the address of their scheduler, which is in this process.

    At the end the jobs are cancelled. A task whose job is killed runs again in another.

    Parameters
    ----------
    config
        From a file on this machine, never from a store: a factory is code, and options end in a job's script.
    jobs
        How many; None: as many as the configuration says.

    Raises
    ------
    UsageError
        If there is no such batch system here, dask-jobqueue is missing, or its options mean nothing.
    """
    count = jobs or config.jobs
    cluster = _own_cluster(config) if kind is Batch.FACTORY else _queued_cluster(kind, config)
    with cluster:
        if kind is not Batch.FACTORY:
            cluster.scale(jobs=count)
            _log.info("%d jobs submitted to %s", count, kind.value)
        yield str(cluster.scheduler_address)


def _queued_cluster(kind: Batch, config: BatchConfig) -> Any:
    try:
        import dask_jobqueue
    except ImportError as error:
        raise UsageError(f'--batch {kind.value} needs dask-jobqueue: pip install "owtrend[batch]" ({error})') from error
    if shutil.which(_SUBMITS[kind]) is None:
        raise UsageError(
            f"--batch {kind.value}: no command {_SUBMITS[kind]} here; call owtrend where jobs are submitted"
        )
    make = dask_jobqueue.SLURMCluster if kind is Batch.SLURM else dask_jobqueue.HTCondorCluster
    try:
        return make(**config.options)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"--batch {kind.value}: {' '.join(str(error).split())[:500]}; give at least cores and memory as "
            "`batch: {options: {cores: 4, memory: 8GB}}` in the configuration"
        ) from error


def _own_cluster(config: BatchConfig) -> Any:
    if config.factory is None:
        raise UsageError("--batch factory: the configuration has no `batch: {factory: MODULE:FUNCTION}`")
    module, _, name = config.factory.partition(":")
    try:
        cluster = getattr(importlib.import_module(module), name)()
    except Exception as error:  # whatever its code raises
        raise UsageError(f"batch factory {config.factory}: {type(error).__name__}: {error}") from error
    if not hasattr(cluster, "scheduler_address"):
        raise UsageError(f"batch factory {config.factory}: {type(cluster).__name__} is no Dask cluster")
    return cluster
