"""What was reported committed survives a power loss, with a disk that forgets all that was not synced."""

import os
import random
import shutil
import warnings

import icechunk
import pytest

from owtrend.errors import StoreError
from owtrend.store.append import appender
from owtrend.store.disk import durable
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from owtrend.store.upkeep.repair import repair
from tests.builders import snapshot
from tests.store import faults
from tests.studies import cases

BEFORE, MINUTES = 58, 70  # stored before the power is cut, and in the end: a full chunk is folded in between


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """An empty store, and one with the first minutes of a run."""
    folder = tmp_path_factory.mktemp("before")
    Store.create(folder / "0")
    store = Store.create(folder / str(BEFORE))
    with appender(store) as live:
        live.append([snapshot(minute) for minute in range(BEFORE)])
        live.fold(everything=True)
    return folder


def append_all(live, chance, reported):
    for minute in range(reported[-1], MINUTES):
        live.append([snapshot(minute)])
        reported.append(minute + 1)
        if chance.random() < 0.3:
            live.fold(everything=chance.random() < 0.5)


def lose_power_once(before, folder, number, monkeypatch):
    """Append until the power goes; returns how many minutes are stored, by the appends that came back."""
    reported = [0 if number % 5 == 1 else BEFORE]
    shutil.copytree(before / str(reported[0]), folder)
    store, chance = Store.open(folder), random.Random(number)
    monkeypatch.setenv("OWTREND_SYNC", "commit")
    with monkeypatch.context() as patched:
        faults.PowerLoss(folder, patched, chance, steps=4 * (MINUTES - BEFORE))  # a commit has four
        with pytest.raises(faults.PowerCut), appender(store) as live:
            append_all(live, chance, reported)
    return reported[-1]


def all_is_there(folder, reported):
    with warnings.catch_warnings(action="ignore"):  # the branch was being written: the newest whole version is the same
        store = Store.open(folder)
    if store.fallen_back is not None:
        repair(store)
        store = Store.open(folder)
    assert check(store).problems == []
    stored = len(store.reader().subsystem("EMC").times(0)) if store.reader().subsystems else 0
    assert stored - reported in (0, 1)  # the last may be there without having been reported
    with appender(store) as live:
        live.append([snapshot(minute) for minute in range(MINUTES)])
        live.fold(everything=True)
    assert len(store.reader().subsystem("EMC").times(0)) == MINUTES
    assert check(store).problems == []


@pytest.mark.slow
@pytest.mark.parametrize("number", cases(range(4), [0]))
def test_what_was_reported_survives_a_power_loss(before, tmp_path, monkeypatch, number):
    all_is_there(tmp_path / "store", lose_power_once(before, tmp_path / "store", number, monkeypatch))


@pytest.mark.study
def test_what_was_reported_survives_500_power_losses(before, tmp_path, monkeypatch):
    for number in range(500):
        folder = tmp_path / str(number)
        all_is_there(folder, lose_power_once(before, folder, number, monkeypatch))
        shutil.rmtree(folder)


def test_a_commit_syncs_its_files_before_the_branch_and_then_the_branch(tmp_path, monkeypatch):
    store, order = Store.create(tmp_path / "store"), []
    monkeypatch.setenv("OWTREND_SYNC", "commit")
    monkeypatch.setattr(durable, "sync_everything", lambda _: order.append(faults.branch(store)))
    monkeypatch.setattr(durable, "sync_file", lambda _: order.append(faults.branch(store)))
    before = store.version
    with store.writer("raw") as begin:
        transaction = begin()
        transaction.group.create_group("a")
        after = transaction.commit("a")
    assert order == [before, after]


def test_safety_can_be_traded_for_time(tmp_path, monkeypatch):
    monkeypatch.setenv("OWTREND_SYNC", "never")
    monkeypatch.setattr(durable, "sync_everything", lambda _: pytest.fail("synced"))
    Store.create(tmp_path / "store")


def test_a_disk_that_refuses_is_an_error(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr(os, "fsync", refuse)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="did not keep what was written"):
        durable.sync_file(tmp_path / "file")


def test_a_clock_that_goes_back_is_one_line(tmp_path, monkeypatch):
    def refuse(*_, **__):  # as Icechunk does
        raise icechunk.IcechunkError("session error: invalid snapshot timestamp ordering. parent: `2026-11-28 ...")

    store = Store.create(tmp_path / "store")
    with store.writer("raw") as begin:
        transaction = begin()
        transaction.group.create_group("a")
        monkeypatch.setattr(Store, "_commit", refuse)
        with pytest.raises(StoreError, match="the clock of this machine is"):
            transaction.commit("a")
