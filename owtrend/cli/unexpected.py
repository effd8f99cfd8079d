"""Errors that nobody foresaw: one line for who typed the command, the traceback in a file for who mends it."""

import os
import platform
import tempfile
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from owtrend.display import printable

__all__ = ["explain"]

_FULL = ("No space left on device", "os error 28", "database or disk is full")  # of Rust and SQLite
_PACKAGES = ("owtrend", "numpy", "zarr", "icechunk", "xarray", "pandas", "click")


def explain(error: Exception, arguments: Sequence[str]) -> str:
    """One line: what happened and what to do. The traceback is written to a temporary file, which the line names.

    What the operating system refuses (a folder that may not be read, a full disk) is no fault of owtrend's, and the
    line says so; so is what is damaged in a store.
    """
    written = _written(error, arguments)
    if isinstance(error, MemoryError):
        return f"not enough free memory; free some, or give fewer --workers; the full report is in {written}"
    if any(words in str(error) for words in _FULL):
        return f"the disk is full; free some space, then call again; what was committed is safe ({written})"
    if type(error).__name__ == "IcechunkError" or "checksum do not match" in str(error):
        return (
            f"something in the store cannot be read ({_first_line(error)}); `owtrend check STORE` says what, "
            f"`owtrend repair STORE` mends it; the full report is in {written}"
        )
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ConnectionError):
        where = f"{printable(os.fsdecode(error.filename), 300)}: " if isinstance(error.filename, str | bytes) else ""
        return f"{where}{error.strerror}; the full report is in {written}"
    text = _first_line(error)
    what = f"unexpected {type(error).__name__}{f': {text}' if text else ''}; "
    if _came_from_a_store(error):
        return (
            f"{what}something in the store may be damaged: `owtrend check STORE` says what. If all is well there, "
            f"this is a fault in owtrend, please report it with the file {written}"
        )
    return f"{what}this is a fault in owtrend, please report it with the file {written}"


def _came_from_a_store(error: Exception) -> bool:
    """True if it was raised while something was read from a store, or made of what was read."""
    frames = traceback.extract_tb(error.__traceback__)
    return any("/owtrend/store/" in frame.filename or frame.name == "from_json" for frame in frames)


def _first_line(error: Exception) -> str:
    return printable(next(iter(str(error).strip().splitlines()), "").removeprefix("x "), 300)


def _written(error: Exception, arguments: Sequence[str]) -> str:
    """Name of the file that holds the traceback, the command and the versions; in words if no file can be written."""
    lines = [
        f"owtrend {' '.join(map(repr, arguments))}",
        f"Python {platform.python_version()} on {platform.platform()}",
        ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
        "",
        *traceback.format_exception(error),
    ]
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="owtrend-error-", suffix=".txt", delete=False, errors="backslashreplace"
        ) as file:
            file.write("\n".join(lines))
        return file.name
    except OSError as refused:
        where = [f"line {frame.lineno} of {frame.filename}" for frame in traceback.extract_tb(error.__traceback__)]
        return f"(not written: {refused.strerror}; {', '.join(where[-1:]) or 'no traceback'})"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"
