"""What was reported committed survives a power loss, with a disk that forgets all that was not synced."""

import os
import random
import warnings

import icechunk
import pytest

from owtrend.errors import StoreError
from owtrend.store import durable
from owtrend.store.append import appender
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from owtrend.store.upkeep.repair import repair
from tests.builders import snapshot
from tests.store import faults

MINUTES = 70  # with a fold of a full chunk


def append_all(live, reported):
    for minute in range(MINUTES):
        live.append([snapshot(minute)])
        reported.append(minute)
        if minute % 9 == 8:
            live.fold(everything=minute % 18 == 17)


def lose_power_once(folder, number, monkeypatch):
    """Append until the power goes; returns the minutes whose append came back."""
    store = Store.create(folder)
    chance = random.Random(number)
    monkeypatch.setenv("OWTREND_SYNC", "commit")
    reported = []
    with monkeypatch.context() as patched:
        faults.PowerLoss(folder, patched, chance, steps=4 * MINUTES)  # a commit has four
        with pytest.raises(faults.PowerCut), appender(store) as live:
            append_all(live, reported)
    return reported


def all_is_there(folder, reported):
    with warnings.catch_warnings(action="ignore"):  # the branch was being written: the newest whole version is the same
        store = Store.open(folder)
    if store.fallen_back is not None:
        repair(store)
        store = Store.open(folder)
    assert check(store).problems == []
    names = store.reader().subsystems
    stored = len(store.reader().subsystem("EMC").times(0)) if names else 0
    assert stored - len(reported) in (0, 1)  # the last may be there without having been reported
    with appender(store) as live:
        for minute in range(MINUTES):
            live.append([snapshot(minute)])
        live.fold(everything=True)
    assert len(store.reader().subsystem("EMC").times(0)) == MINUTES
    assert check(store).problems == []


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_what_was_reported_survives_a_power_loss(tmp_path, monkeypatch, number):
    all_is_there(tmp_path / "store", lose_power_once(tmp_path / "store", number, monkeypatch))


@pytest.mark.study
def test_what_was_reported_survives_500_power_losses(tmp_path, monkeypatch):
    for number in range(500):
        folder = tmp_path / str(number)
        all_is_there(folder, lose_power_once(folder, number, monkeypatch))


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
