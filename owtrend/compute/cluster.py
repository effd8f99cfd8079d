"""Runners of tasks: a Dask scheduler that is there, local worker processes, or threads of this process."""

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from multiprocessing import resource_tracker
from typing import Any, Protocol

from owtrend.errors import UsageError

__all__ = ["Runner", "local_cluster", "runner"]


_ENVIRONMENT = {
    # Several workers with more threads each would not scale.
    "ZARR_THREADING__MAX_WORKERS": "1", "ZARR_ASYNC__CONCURRENCY": "1", "BLOSC_NTHREADS": "1",
    # Dask has each worker give back what it frees; the next run takes as much again, page by page: a tenth of the time.
    "MALLOC_TRIM_THRESHOLD_": 2**30,
}  # fmt: skip


class Runner(Protocol):
    """Runs a function over tasks."""

    workers: int

    def map(self, function: Callable[..., Any], tasks: Sequence[Any]) -> Iterator[Any]:
        """Results as they are finished, in no particular order."""
        ...


class _Threads:
    """Threads in this process: for notebooks, tests and small jobs."""

    def __init__(self, threads: int) -> None:
        self.workers = threads

    def map(self, function: Callable[..., Any], tasks: Sequence[Any]) -> Iterator[Any]:
        rest = iter(tasks)
        with ThreadPoolExecutor(self.workers) as pool:
            # A task begins only when another is finished, so that results in memory are few.
            running = {pool.submit(function, task) for task in islice(rest, self.workers)}
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(function, task) for task in islice(rest, len(finished))}
                for future in finished:
                    yield future.result()


class _Cluster:
    """Worker processes, here or elsewhere. A task lost with its worker is run again by Dask."""

    def __init__(self, client: Any, workers: int) -> None:
        self._client = client
        self.workers = workers

    def map(self, function: Callable[..., Any], tasks: Sequence[Any]) -> Iterator[Any]:
        from distributed import as_completed

        futures = self._client.map(function, tasks, pure=False)
        for future in as_completed(futures, loop=self._client.loop):
            yield future.result()
            future.release()


@contextlib.contextmanager
def runner(workers: int | None = None, scheduler: str | None = None, *, tasks: int | None = None) -> Iterator[Runner]:
    """Something that runs tasks.

    Parameters
    ----------
    workers
        Local worker processes of one thread each; 0 for threads in this process; None for one per core, or for none
        if there are only one or two ``tasks``, which would not repay starting processes. A single task, or none, never
        starts one.
    scheduler
        Address of a Dask scheduler to use instead.

    Raises
    ------
    UsageError
        If the scheduler cannot be reached, or processes cannot be started.
    """
    cores = len(os.sched_getaffinity(0))
    few = tasks is not None and tasks <= (2 if workers is None else 1)
    if scheduler is None and (workers == 0 or few):
        yield _Threads(cores)
        return
    from distributed import Client

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"scheduler {scheduler!r}: {error}; expected an address such as tcp://host:8786"
            ) from error
        with client:
            yield _Cluster(client, max(1, len(client.scheduler_info(n_workers=-1)["workers"])))
        return
    count = workers or cores
    try:
        local = local_cluster(count)
    except RuntimeError as error:
        raise UsageError(f"worker processes could not be started ({error}); call again, or with 0 workers") from error
    with local, Client(local, set_as_default=False) as client:
        yield _Cluster(client, count)


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C for the processes and threads that are started here, for good, and for this thread until the end.

    A terminal sends it to all processes at once. The workers would print what each was doing; instead this process
    alone takes it, and closes them.
    """
    resource_tracker.ensure_running()  # started later, it would end the blocking
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def local_cluster(workers: int, *, processes: bool = True) -> Any:
    """So many worker processes of one thread each on this machine, or threads that stand for them."""
    import dask
    from distributed import LocalCluster

    environment = {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in _ENVIRONMENT.items()}
    with dask.config.set(environment), interrupts_blocked():
        return LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=processes, dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,  # the error of a task is raised here, and needs no traceback of the worker
        )  # fmt: skip
