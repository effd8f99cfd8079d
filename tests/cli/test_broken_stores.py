"""Every command on every broken store: one line that says what to do, the right exit status, never "nothing"."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from owtrend.cli import main
from owtrend.compute.compute import compute
from owtrend.store.repository import Store
from tests import builders
from tests.cli.broken_stores import BROKEN, NO_STORE

WORDS = ("this is a fault in owtrend, please report it with the file /", "Traceback")
READ = {
    "runs": ("{store}",),
    "status": ("{store}",),
    "check": ("{store}",),
    "kinds": ("{store}",),
    "histograms": ("{store}",),
    "trends": ("{store}", "--reductor", "mean"),
    "outliers": ("{store}",),
    "export": ("{store}", "-o", "{out}/trends.csv"),
    "slice": ("{store}", "300000", "EMC", "-o", "{out}/slice.root"),
    "accept": ("{store}",),
    "serve": ("{store}", "--port", "8899"),
    "repair": ("{store}", "--dry-run"),
}
CHANGE = {
    "compute": ("{store}", "--workers", "0"),
    "ingest": ("{data}", "--store", "{store}", "--workers", "0"),
    "merge": ("{store}", "{other}", "--why", "x"),
    "remove": ("{store}", "300000", "--why", "x"),
    "clean": ("{store}", "--older-than", "0", "--force"),
    "upgrade": ("{store}",),
    "repair": ("{store}",),
}
MENDED = {
    "a chunk of counts has changed",
    "the configuration is no JSON",
    "the configuration is a list",
    "the configuration has impossible values",
    "the configuration is of a later version",
    "trends lack their reductors",
}
MAKE = {"ingest", "merge"}  # a store where there is none
EMPTY = {"nothing there", "an empty folder"}
FEW = {"a chunk of counts has changed": ("runs", "slice"), "the configuration is no JSON": ("runs", "trends")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Files of two runs and of a third, a store of the two with trends and scores, and one of the third."""
    folder, chance = tmp_path_factory.mktemp("whole"), np.random.default_rng(1)
    for where, runs in (("data", (300000, 300001)), ("more", (300005,))):
        for run in runs:
            fills = {name: np.cumsum(chance.poisson(5, (3, 8)), axis=0).tolist() for name in ("h", "g")}
            builders.write_run(folder / where, fills, run=run)
    builders.ingest(folder / "data", folder / "store")
    builders.ingest(folder / "more", folder / "other")
    compute(str(folder / "store"), workers=0)
    return folder


@pytest.fixture
def broken(whole, tmp_path):
    def copy(how, name="store"):
        shutil.copytree(whole / "store", tmp_path / name)
        how(str(tmp_path / name))
        return tmp_path / name

    return copy


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    class Server:
        def __getattr__(self, _):
            return self

        def __call__(self, *_, **__):
            return self

    monkeypatch.setattr("dashboards.app.pn.serve", Server())
    monkeypatch.setattr("dashboards.app.require_free", lambda *_: None)
    monkeypatch.setattr("dashboards.app.gc.freeze", lambda: None)


def call(verb, arguments, capsys, **places):
    """Exit status, output, and the lines on stderr but for progress."""
    status = main.status([verb, *(argument.format(**places) for argument in arguments)])
    printed = capsys.readouterr()
    error = [line for line in printed.err.splitlines() if ", after " not in line]
    if "may be damaged" not in printed.err:
        assert not any(word in printed.out + printed.err for word in WORDS), (verb, printed.err)
    return status, printed.out, error


def require_clear(verb, status, out, error):
    """One line and status 1, or an answer and status 0; `check` lists what is wrong."""
    assert status in (0, 1), (verb, error)
    if verb == "check":
        assert (status == 1) == ("PROBLEM: " in out or len(error) == 1), (verb, out, error)
    elif status:
        assert len(error) == 1, (verb, error)
        assert error[0].startswith("owtrend: "), (verb, error)
    if verb in ("runs", "status", "histograms", "trends"):
        assert "nothing" not in out, (verb, out)


def places(whole, tmp_path, store):
    (tmp_path / "out").mkdir(exist_ok=True)
    return {"store": store, "out": tmp_path / "out", "data": whole / "data", "other": whole / "other"}


@pytest.mark.slow
@pytest.mark.parametrize("name", FEW)
def test_some_commands_on_some_broken_stores(broken, whole, tmp_path, capsys, name):
    store = broken(BROKEN[name])
    for verb in FEW[name]:
        status, out, error = call(verb, READ[verb], capsys, **places(whole, tmp_path, store))
        require_clear(verb, status, out, error)
        assert status == (verb != "runs")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in FEW else pytest.mark.study) for name in BROKEN]
)
def test_every_command_on_every_broken_store(broken, whole, tmp_path, capsys, name):
    store = broken(BROKEN[name])
    for verb, arguments in READ.items():
        status, out, error = call(verb, arguments, capsys, **places(whole, tmp_path, store))
        require_clear(verb, status, out, error)
    for verb, arguments in CHANGE.items():
        store = broken(BROKEN[name], f"{verb}-store")
        status, out, error = call(verb, arguments, capsys, **places(whole, tmp_path, store))
        require_clear(verb, status, out, error)
    if name in MENDED:
        assert status == 0, ("repair", error)
        assert call("check", READ["check"], capsys, store=store)[0] == 0, "not mended"
        assert call("runs", READ["runs"], capsys, store=store)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NO_STORE)
def test_every_command_where_there_is_no_store(broken, whole, tmp_path, capsys, name):
    for verb, arguments in [*READ.items(), *CHANGE.items()]:
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        Path(tmp_path / "store").unlink(missing_ok=True)
        store = broken(NO_STORE[name])
        status, out, error = call(verb, arguments, capsys, **places(whole, tmp_path, store))
        require_clear(verb, status, out, error)
        assert status == (not (verb in MAKE and name in EMPTY)), (verb, out)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_same_command_goes_on_later(whole, tmp_path, capsys):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk needs the rights to mount one")
    try:
        filling = disk / "filling"
        shutil.copytree(whole / "store", disk / "store")
        for verb in ("ingest", "compute", "merge", "remove", "upgrade"):
            filling.write_bytes(b"")
            with open(filling, "wb") as file:
                free = os.statvfs(disk)
                file.write(bytes(free.f_bavail * free.f_bsize))
            arguments = ("{store}", "--force", "--workers", "0") if verb == "compute" else CHANGE[verb]
            where = {**places(whole, tmp_path, disk / "store"), "data": whole / "more"}
            status, out, error = call(verb, arguments, capsys, **where)
            require_clear(verb, status, out, error)
            if verb != "upgrade":
                assert status == 1, (verb, out)
                assert "the disk is full" in error[0], (verb, error)
            filling.unlink()
            assert call("check", READ["check"], capsys, store=disk / "store")[0] == 0, verb
        assert call("ingest", CHANGE["ingest"], capsys, data=whole / "more", store=disk / "store")[0] == 0
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "No space left on device"), PermissionError(13, "x")])
def test_what_the_machine_refuses_is_one_line(monkeypatch, capsys, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr(Store, "open", refuse)
    status, _, lines = call("runs", ("store",), capsys)
    assert (status, len(lines)) == (1, 1)
    words = {MemoryError: "not enough free memory; free some", PermissionError: "owtrend: x; the full report"}
    assert words.get(type(error), "the disk is full; free some space") in lines[0]


@pytest.mark.slow
def test_a_store_that_may_not_be_read_is_one_line(broken, capsys):
    store = broken(lambda location: os.chmod(location, 0))
    us = os.geteuid()
    if us == 0:
        os.seteuid(65534)  # nobody: root may read everything
    try:
        for verb in ("runs", "check"):
            status, out, error = call(verb, READ[verb], capsys, store=store)
            assert (status, len(error)) == (1, 1), (verb, out)
    finally:
        os.seteuid(us)
        os.chmod(store, 0o700)
