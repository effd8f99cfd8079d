"""What can go wrong, by name. Every text says where, what was found, what was expected and what to do."""

__all__ = [
    "AmbiguousNameError",
    "BinningChangedError",
    "DimsError",
    "NotFoundError",
    "OwtrendError",
    "SnapshotError",
    "StoreError",
    "StoreLockedError",
    "UsageError",
]


class OwtrendError(Exception):
    """Base of all errors that a user can act on; the command line prints it as one line."""


class SnapshotError(OwtrendError, ValueError):
    """A file or message is not a readable snapshot."""


class NotFoundError(OwtrendError, KeyError):
    """A run, subsystem, histogram or reductor that the store does not hold."""

    __str__ = Exception.__str__  # KeyError shows its text in quotes


class AmbiguousNameError(NotFoundError):
    """A displayed name that belongs to several histograms; the text lists them."""


class BinningChangedError(OwtrendError, ValueError):
    """Snapshots of unequal binning were asked for as one array."""


class DimsError(OwtrendError, ValueError):
    """An array whose dims are not those that the function works on."""


class StoreError(OwtrendError, RuntimeError):
    """A store that is missing, already there, or not one of ours."""


class StoreLockedError(StoreError):
    """Another process holds the writer's role of this store."""


class UsageError(OwtrendError, ValueError):
    """An option or argument that cannot be understood."""
