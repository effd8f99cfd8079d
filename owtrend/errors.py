"""Errors that people can act on. Every text says where, what was found, what was expected and what to do."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "NONSENSE",
    "AmbiguousNameError",
    "BinningChangedError",
    "DimsError",
    "NotFoundError",
    "OutOfStepError",
    "OwtrendError",
    "SnapshotError",
    "StoreDamagedWarning",
    "StoreError",
    "StoreLockedError",
    "UsageError",
    "WorkersLostError",
    "hint",
]


class OwtrendError(Exception):
    """Base of all errors that a user can act on; the command line prints it as one line."""


class OutOfStepError(OwtrendError, RuntimeError):
    """What is kept of a run no longer fits its earlier rows: it is to be made from the first row on."""


class SnapshotError(OwtrendError, ValueError):
    """A file or message is not a readable snapshot."""


class NotFoundError(OwtrendError, KeyError):
    """A run, subsystem, histogram or reductor that the store does not hold."""

    __str__ = Exception.__str__  # KeyError shows its text in quotes


class AmbiguousNameError(NotFoundError):
    """A displayed name that belongs to several histograms; the text lists them."""


class BinningChangedError(OwtrendError, ValueError):
    """Snapshots of different binnings were asked for as one array."""


class DimsError(OwtrendError, ValueError):
    """An array with other dims than the function needs."""


class StoreError(OwtrendError, RuntimeError):
    """A store that is missing, already there, or not one of owtrend."""


class StoreLockedError(StoreError):
    """Another process holds the writer's role of this store."""


class StoreDamagedWarning(UserWarning):
    """The newest version of a store is damaged, and an earlier one is shown."""


class UsageError(OwtrendError, ValueError):
    """An option or argument that cannot be understood."""


class WorkersLostError(OwtrendError, RuntimeError):
    """A cluster without workers, or whose workers die."""


# What code raises that was written for text and numbers of another form than it gets.
NONSENSE = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


@contextlib.contextmanager
def reading(what: str, remedy: str = "`owtrend repair STORE` drops it") -> Iterator[None]:
    """Read something in a store that somebody else may have written: what makes no sense is one StoreError.

    ``what`` says where it is and what, ``remedy`` what to do about it.
    """
    try:
        yield
    except OwtrendError:
        raise
    except NONSENSE as error:
        text = next(iter(str(error).splitlines()), "")[:120]
        raise StoreError(f"{what} makes no sense ({type(error).__name__}: {text}); {remedy}") from error


def near_runs(run: int, known: Iterable[int]) -> str:
    """The runs that are nearest to a wrong one, as the end of a message: ``; near it are 300001, 300002``."""
    nearest = sorted(sorted(known, key=lambda other: abs(other - run))[:3])
    return f"; near it are {', '.join(map(str, nearest))}" if nearest else "; there are no runs"


def hint(name: str, known: Iterable[str], *, limit: int = 3, quote: bool = True) -> str:
    """Names like a wrong one, as the end of a message: ``; did you mean 'mean_x'?``; empty if none is alike."""
    import difflib

    names: Sequence[str] = difflib.get_close_matches(name, dict.fromkeys(known), n=limit, cutoff=0.4)
    return f"; did you mean {', '.join(map(repr, names) if quote else names)}?" if names else ""
