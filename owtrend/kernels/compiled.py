"""Compilation of kernels at their first call, kept on disk; Numba itself is imported no sooner than that."""

import functools
import hashlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, overload

__all__ = ["Announcer", "Kernel", "compiled", "digest_of_sources"]

Result = TypeVar("Result")

_log = logging.getLogger(__name__)
_lock = threading.Lock()


@functools.cache
def digest_of_sources(folder: Path = Path(__file__).parent) -> str:
    """Digest of the source of all kernels in a folder."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


class Kernel:
    """A function that Numba compiles, or loads from its cache, when it is first called.

    Importing Numba takes as long as reading most stores, and most commands call no kernel.
    """

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        functools.update_wrapper(self, function)
        self.py_func = function
        self.targetoptions = options  # Numba looks for `inline` here
        self._dispatcher: Any = None

    def __call__(self, *arguments: Any) -> Any:
        return (self._dispatcher or self.dispatcher)(*arguments)

    @property
    def dispatcher(self) -> Any:
        """Numba's side of it."""
        with _lock:
            if self._dispatcher is None:
                made = _numba().njit(self.py_func, nogil=True, cache=True, **self.targetoptions)
                # Numba looks at the file of a kernel only: it would go on with what it inlined of others before.
                file = made._cache._cache_file
                file._source_stamp = file._source_stamp, digest_of_sources()
                self._dispatcher = made
            return self._dispatcher

    @property
    def _numba_type_(self) -> Any:
        """The type by which other kernels call it, see `numba.typeof`."""
        return self.dispatcher._numba_type_

    def __reduce__(self) -> str:
        return self.py_func.__qualname__  # pickled by name, as functions are


@overload
def compiled(function: Callable[..., Result], /) -> Callable[..., Result]: ...


@overload
def compiled(**options: Any) -> Callable[[Callable[..., Result]], Callable[..., Result]]: ...


def compiled(function: Any = None, /, **options: Any) -> Any:
    """Decorate a kernel: it is compiled when it is first called, and releases the interpreter's lock.

    ``options`` are those of `numba.njit`. It can be called from Python by position only.
    """
    return Kernel(function, options) if function else lambda function: Kernel(function, options)


class Announcer:
    """Announces once in a process that it compiles, when that has taken a while."""

    def __init__(self, patience: float = 2.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience, self._clock = patience, clock
        self._spent, self._begun, self._depth, self._announced = 0.0, 0.0, 0, False

    def start(self) -> None:
        """A kernel, or one that it calls, begins to be compiled."""
        now = self._clock()
        if not self._depth:
            self._begun = now
        self._depth += 1
        if self._spent + now - self._begun > self._patience and not self._announced:
            self._announced = True
            _log.warning("compiling numerical code, once per installation: this can take a minute")

    def stop(self) -> None:
        """It is compiled."""
        self._depth -= 1
        if not self._depth:
            self._spent += self._clock() - self._begun


@functools.cache
def _numba() -> Any:
    import numba
    from numba.core import event as events

    announcer = Announcer()

    class Listener(events.Listener):
        def on_start(self, event: Any) -> None:
            announcer.start()

        def on_end(self, event: Any) -> None:
            announcer.stop()

    events.register("numba:compile", Listener())
    return numba
