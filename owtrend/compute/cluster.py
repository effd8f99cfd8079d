"""Runners of tasks: a Dask scheduler that is there, local worker processes, or threads of this process."""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from itertools import islice
from multiprocessing import resource_tracker
from typing import Any, Protocol

from owtrend.display import quoted
from owtrend.errors import UsageError, WorkersLostError

__all__ = ["WAIT", "Runner", "Scheduler", "local_cluster", "runner"]

WAIT = 60.0  # [s] for workers
_LOOK = 5.0  # [s] between two looks whether there are workers
_FEW = 2  # tasks that would not repay starting processes
_log = logging.getLogger(__name__)

Scheduler = str | contextlib.AbstractContextManager[str]

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

    def __init__(self, client: Any, workers: int, where: str, patience: float) -> None:
        """Use a client; ``where`` are its workers, and they may be missing for ``patience`` [s]."""
        self._client, self._where, self._patience = client, where, patience
        self.workers = workers

    def map(self, function: Callable[..., Any], tasks: Sequence[Any]) -> Iterator[Any]:
        from distributed import KilledWorker, as_completed

        futures, over = self._client.map(function, tasks, pure=False), threading.Event()
        watch = threading.Thread(target=self._watch, args=(futures, over), daemon=True)
        watch.start()
        try:
            for future in as_completed(futures, loop=self._client.loop):
                yield future.result()
                future.release()
        except KilledWorker as error:
            raise WorkersLostError(
                f"{self._where}: a task was given up, for {error.allowed_failures + 1} workers died with it, often for "
                "want of memory; give fewer workers, or each more memory. The same command continues from there"
            ) from error
        except CancelledError as error:
            raise WorkersLostError(f"{self._lost()}, then call again: the same command continues from there") from error
        finally:
            over.set()

    def _lost(self) -> str:
        """What is missing when Dask gives up its tasks, and what to do."""
        if self._client.status == "running":
            return f"{self._where}: no worker for {self._patience:g} s; start some"
        return f"{self._where}: it is gone; start it and its workers anew"

    def _watch(self, futures: Sequence[Any], over: threading.Event) -> None:
        """Cancel tasks that no worker is there for any more: Dask would wait for ever."""
        since: float | None = None
        while not over.wait(min(_LOOK, self._patience)):
            try:
                missing = not self._client.scheduler_info(n_workers=1)["workers"]
            except Exception:  # closed, or its scheduler is gone: Dask cancels the tasks itself
                missing = self._client.status != "running"
            now = time.monotonic()
            if not missing:
                since = None
            elif since is None:
                since = now
                if self._client.status == "running":
                    _log.warning("%s: no worker left; waiting for %g s", self._where, self._patience)
            elif now - since >= self._patience:
                with contextlib.suppress(Exception):  # closed meanwhile
                    self._client.cancel(futures)
                return


@contextlib.contextmanager
def _without_messages_of_dask() -> Iterator[None]:
    """Print no message of Dask's client: where it loses its scheduler, the error of the tasks says so."""
    log = logging.getLogger("distributed.client")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


def _wait_for_workers(client: Any, where: str, patience: float) -> int:
    """The number of workers of a scheduler, at least one.

    Raises
    ------
    WorkersLostError
        If none comes in time.
    """
    if not (known := client.scheduler_info(n_workers=-1)["workers"]):
        _log.warning("%s: it has no workers yet; waiting for %g s", where, patience)
        try:
            client.wait_for_workers(1, timeout=patience)
        except TimeoutError as error:
            raise WorkersLostError(
                f"{where}: no worker came in {patience:g} s; start some by `dask worker ADDRESS`, or wait longer with "
                "--wait-for-workers"
            ) from error
        known = client.scheduler_info(n_workers=-1)["workers"]
    return max(1, len(known))


class _OnDemand:
    """Workers that are asked for when there are tasks for more than a thread or two."""

    def __init__(self, start: Callable[[], Runner]) -> None:
        self._start, self._threads = start, _Threads(_FEW)
        self._cluster: Runner | None = None
        self.workers = self._threads.workers  # so far

    def map(self, function: Callable[..., Any], tasks: Sequence[Any]) -> Iterator[Any]:
        if self._cluster is None and len(tasks) > _FEW:
            self._cluster = self._start()
            self.workers = self._cluster.workers
        return (self._cluster or self._threads).map(function, tasks)


@contextlib.contextmanager
def _connected(scheduler: str, wait_for_workers: float) -> Iterator[Runner]:
    from distributed import Client

    try:
        client = Client(scheduler, timeout="10s", set_as_default=False)
    except (OSError, TypeError, ValueError) as error:  # TypeError: tls:// without a certificate
        raise UsageError(
            f"scheduler {quoted(scheduler)}: {' '.join(str(error).split())}; expected an address such as "
            "tcp://host:8786"
        ) from error
    with _without_messages_of_dask(), client:
        where = f"scheduler {scheduler}"
        yield _Cluster(client, _wait_for_workers(client, where, wait_for_workers), where, wait_for_workers)


@contextlib.contextmanager
def runner(
    workers: int | None = None, scheduler: Scheduler | None = None, *, tasks: int | None = None,
    wait_for_workers: float = WAIT,
) -> Iterator[Runner]:  # fmt: skip
    """Something that runs tasks.

    Parameters
    ----------
    workers
        Local worker processes of one thread each; 0 for threads in this process; None for one per core, or for none
        if there are only one or two ``tasks``, which would not repay starting processes. A single task, or none, never
        starts one.
    scheduler
        Address of a Dask scheduler to use instead; or what gives one and starts its workers when it is entered, which
        is done when there are tasks.
    wait_for_workers
        How long a cluster may have no workers [s].

    Raises
    ------
    UsageError
        If the scheduler cannot be reached, or processes cannot be started.
    WorkersLostError
        If the scheduler has no workers for too long, or they die with a task.
    """
    cores = len(os.sched_getaffinity(0))
    few = tasks is not None and tasks <= (_FEW if workers is None else 1)
    if scheduler is None and (workers == 0 or few):
        yield _Threads(cores)
        return
    if isinstance(scheduler, str):
        with _connected(scheduler, wait_for_workers) as connected:
            yield connected
        return
    if scheduler is not None:
        with contextlib.ExitStack() as stack:
            enter = stack.enter_context
            yield _OnDemand(lambda: enter(_connected(enter(scheduler), wait_for_workers)))
        return
    from distributed import Client

    count = workers or cores
    try:
        local = local_cluster(count)
    except RuntimeError as error:
        raise UsageError(f"worker processes could not be started ({error}); call again, or with 0 workers") from error
    with local, Client(local, set_as_default=False) as client:
        yield _Cluster(client, count, "worker processes", wait_for_workers)


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
