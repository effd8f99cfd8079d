"""Stores that are broken, each in one way, for the table of what every command says of them."""

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import icechunk
import numpy as np

from owtrend.store.layout import create_log, open_root
from owtrend.store.repository import Store
from tests.store import faults

__all__ = ["BROKEN", "NO_STORE"]

Break = Callable[[str], Any]


def _changed(change: Callable[[Any], Any]) -> Break:
    """Change the store by somebody else's code, in a version of its own."""

    def broken(location: str) -> None:
        with Store.open(location).writer("raw") as begin:
            transaction = begin()
            change(transaction.group)
            transaction.commit("by somebody else")

    return broken


def _attribute(path: str, **values: Any) -> Break:
    return _changed(lambda group: (group[path] if path else group).attrs.update(values))


def _no_attributes(path: str) -> Break:
    return _changed(lambda group: group[path].attrs.put({}))


def _log(path: str, text: bytes) -> Break:
    def change(group: Any) -> None:
        if path not in group:
            create_log(group, path)
        group[path].resize((len(text),))
        group[path][:] = np.frombuffer(text, dtype=np.uint8)

    return _changed(change)


def _spoiled(array: str, *chunk: int) -> Break:
    return lambda location: faults.spoil(Store.open(location), array, *chunk)


def _gone(array: str) -> Break:
    return _changed(lambda group: group.__delitem__(array))


def _other_shape(group: Any) -> None:
    del group["raw/EMC/counts"]
    group["raw/EMC"].create_array("counts", shape=(3,), dtype="i4")


def _raw_is_an_array(group: Any) -> None:
    del group["raw"]
    group.create_array("raw", shape=(3,), dtype="i4")


def _file(name: str, content: bytes) -> Break:
    return lambda location: Path(location, name).write_bytes(content)


def _folder(name: str) -> Break:
    return lambda location: shutil.rmtree(Path(location, name))


def _replaced(make: Callable[[Path], Any]) -> Break:
    def broken(location: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(location)
        make(Path(location))

    return broken


def _with_a_file(path: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("no store")


def _plain_icechunk(path: Path) -> None:
    session = icechunk.Repository.create(icechunk.local_filesystem_storage(str(path))).writable_session("main")
    open_root(session, mode="a").create_group("x")
    session.commit("something else")


_LATER = {"later": 1, "scores": {"last": 4, "new": 2}, "subsystems": {"EMC": {"x": 1}}}

BROKEN: dict[str, Break] = {
    "a chunk of counts has changed": _spoiled("raw/EMC/counts", 0, 0, 0),
    "the chunk of run numbers has changed": _spoiled("raw/EMC/run", 0),
    "the registry has changed": _spoiled("raw/EMC/registry", 0),
    "a chunk of trends has changed": _spoiled("trends/EMC/value", 0, 0, 0, 0),
    "a chunk of scores has changed": _spoiled("scores/EMC/total", 0, 0, 0),
    "the chunk of incidents has changed": _spoiled("quality/origin", 0),
    "all chunks are gone": _folder("chunks"),
    "a manifest has changed": lambda location: faults.flip(faults.manifest_of(Store.open(location), "raw/EMC/counts")),
    "all manifests are gone": _folder("manifests"),
    "the newest version is empty": lambda location: faults.version_file(Store.open(location)).write_bytes(b""),
    "the branch is gone": lambda location: Path(location, "refs/branch.main/ref.json").unlink(),
    "the branch is cut short": _file("refs/branch.main/ref.json", b"{"),
    "the file config.yaml is broken": _file("config.yaml", b"a: ["),
    "the configuration is no JSON": _attribute("", config="{"),
    "the configuration is a list": _attribute("", config="[1]"),
    "the configuration has impossible values": _attribute("", config='{"scores": {"last": "many"}}'),
    "the configuration is of a later version": _attribute("", config=json.dumps(_LATER)),
    "own reductors are a list": _attribute("", own_reductors=[3]),
    "objects not stored are numbers": _attribute("raw/EMC", not_stored={"a": 3}),
    "trends lack their reductors": _no_attributes("trends/EMC"),
    "scores lack their names": _no_attributes("scores/EMC"),
    "layouts lack their number": _no_attributes("raw/EMC/layouts"),
    "the registry has other fields": _log("raw/EMC/registry", b'{"a": 3}\n'),
    "the registry is no text": _log("raw/EMC/registry", b"\xff{\n"),
    "a layout names segments without end": _log("raw/EMC/layouts", b"[[0,99999999999]]\n"),
    "the quarantine is no JSON": _log("quarantine", b"nonsense\n"),
    "incidents are no JSON": _log("quality/incidents", b"{\n"),
    "incidents have other fields": _log("quality/incidents", b'{"a":1}\n'),
    "the ledger is no JSON": _log("ledger", b"!\n"),
    "counts are gone": _gone("raw/EMC/counts"),
    "times are gone": _gone("raw/EMC/time"),
    "counts have another shape": _changed(_other_shape),
    "the group of raw data is an array": _changed(_raw_is_an_array),
    "the journal is no database": _file("journal.sqlite", b"not a database" * 100),
    "the checksums are nonsense": _file("checksums", b"\xff\xffnonsense"),
}

NO_STORE: dict[str, Break] = {
    "nothing there": _replaced(lambda path: None),
    "an empty folder": _replaced(Path.mkdir),
    "a file": _replaced(lambda path: path.write_text("x")),
    "a folder of something else": _replaced(_with_a_file),
    "an Icechunk repository of something else": _replaced(_plain_icechunk),
    "all versions are gone": _folder("snapshots"),
    "a later format": _attribute("", owtrend_format=99),
    "a format that is no number": _attribute("", owtrend_format=["x"]),
}
