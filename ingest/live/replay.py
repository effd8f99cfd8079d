"""An archive of files sent again through the doors of a receiver, at the pace of their times or faster."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

import numpy as np

from ingest import naming
from ingest.archive.find import find_files
from ingest.archive.source_file import SourceFile
from owtrend.display import printable
from owtrend.errors import UsageError

__all__ = ["Replayed", "flat_name", "replay"]

_TRIES = 8
_LONGEST_PAUSE = 30.0  # [s] between two tries
_TIMEOUT = 130.0  # [s] of an upload
_log = logging.getLogger(__name__)

Send = Callable[[str, bytes], None]


@dataclass
class Replayed:
    """How many files were sent, and how many were refused, which is said in the log."""

    sent: int = 0
    refused: int = 0


def replay(
    sources: Sequence[str | Path], target: str, *, speed: float = 60.0, timezone: str = naming.CERN,
    patterns: Sequence[str] = (), token: str = "", sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Replayed:  # fmt: skip
    """Send the files of an archive in order of time, each as long after the first as its time says, over ``speed``.

    Parameters
    ----------
    target
        A folder, or the address of a receiver such as ``http://host:8080``.
    speed
        60 makes a minute a second.
    token
        Of this sender, for an address.

    Raises
    ------
    UsageError
        If there is no file, or the target cannot be used.
    """
    files = sorted(
        find_files(sources, timezone=timezone, patterns=patterns).files, key=lambda one: (one.time, one.path)
    )
    if not files:
        raise UsageError(f"{', '.join(map(str, sources))}: no snapshot files found; give a --pattern")
    send = _poster(target, token, sleep) if "://" in target else _putter(Path(target))
    result, begin = Replayed(), clock()
    for file in files:
        due = (file.time - files[0].time) / 1e9 / speed - (clock() - begin)
        if due > 0:
            sleep(due)
        name = flat_name(file, timezone)
        try:
            send(name, Path(file.path).read_bytes())
            result.sent += 1
        except _RefusedError as error:
            result.refused += 1
            _log.warning("%s: refused: %s", name, error)
    return result


class _RefusedError(Exception):
    """The receiver does not want this file."""


def flat_name(file: SourceFile, timezone: str = naming.CERN) -> str:
    """The name under which Overwatch's receivers write a snapshot."""
    local = naming.local_time(np.datetime64(file.time, "ns"), timezone)
    return f"{file.subsystem}histos_{file.run}_{file.mode or 'U'}_{local:%Y_%m_%d_%H_%M_%S}.root"


def _putter(folder: Path) -> Send:
    """Writes into a folder as senders do that let nobody see a half: under a name with a dot, then renamed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: no folder to write to ({error.strerror})") from error

    def put(name: str, content: bytes) -> None:
        hidden = folder / f".{name}"
        hidden.write_bytes(content)
        os.replace(hidden, folder / name)

    return put


def _poster(address: str, token: str, sleep: Callable[[float], None]) -> Send:
    """Uploads to a receiver, again and again until it is acknowledged or refused."""
    if urlsplit(address).scheme not in ("http", "https"):
        raise UsageError(f"{printable(address, 100)}: expected a folder, or an address with http:// or https://")

    def post(name: str, content: bytes) -> None:
        headers = {"Content-Type": "application/octet-stream"} | ({"Authorization": f"Bearer {token}"} if token else {})
        url = f"{address.rstrip('/')}/api/v2/snapshots?{urlencode({'name': name})}"
        why = ""
        for number in range(_TRIES):
            try:
                with urlopen(Request(url, content, headers, method="POST"), timeout=_TIMEOUT):
                    return
            except HTTPError as error:
                why = f"{error.code} {printable(error.read(500).decode(errors='replace'), 300)}"
                if error.code in (401, 403, 404):
                    raise UsageError(f"{address}: {why}") from error
                if error.code < 500 and error.code != 408:
                    raise _RefusedError(why) from error
            except (URLError, OSError) as error:
                why = str(error)
            sleep(min(2.0**number, _LONGEST_PAUSE))
        raise UsageError(f"{address}: {name} was not acknowledged in {_TRIES} tries: {why}; is the receiver running?")

    return post
