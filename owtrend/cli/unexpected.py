"""Errors that nobody foresaw: one line for who typed the command, the traceback in a file for who mends it."""

import os
import platform
import tempfile
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from owtrend.display import printable

__all__ = ["explain"]

_PACKAGES = ("owtrend", "numpy", "zarr", "icechunk", "xarray", "pandas", "click")


def explain(error: Exception, arguments: Sequence[str]) -> str:
    """One line: what happened and what to do. The traceback is written to a temporary file, which the line names.

    What the operating system refuses (a folder that may not be read, a full disk) is no fault of owtrend's, and the
    line says so; so is what is damaged in a store.
    """
    written = _written(error, arguments)
    if type(error).__name__ == "IcechunkError" or "checksum do not match" in str(error):
        return (
            f"something in the store cannot be read ({_first_line(error)}); `owtrend check STORE` says what, "
            f"`owtrend repair STORE` mends it; the full report is in {written}"
        )
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ConnectionError):
        where = f"{printable(os.fsdecode(error.filename), 300)}: " if isinstance(error.filename, str | bytes) else ""
        return f"{where}{error.strerror}; the full report is in {written}"
    text = _first_line(error)
    return (
        f"unexpected {type(error).__name__}{f': {text}' if text else ''}; "
        f"this is a fault in owtrend, please report it with the file {written}"
    )


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
