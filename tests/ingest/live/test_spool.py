"""What was put stays until it is removed, whatever happens in between."""

import errno
import os

import pytest

from ingest.live.spool import Spool, SpoolError, SpoolFullError, SpoolLimits


def contents(spool):
    return [payload.content for payload in spool.take(100, 10**9)]


def test_payloads_come_back_in_order_of_arrival_also_after_a_restart(tmp_path):
    sent = [bytes([number]) * 100 for number in (7, 3, 9, 1)]
    with Spool(tmp_path) as spool:
        for content in sent[:2]:
            spool.put("file", content, {"run": 1})
    with Spool(tmp_path) as spool:
        for content in sent[2:]:
            spool.put("file", content, {"run": 1})
        taken = spool.take(100, 10**9)
        assert [payload.content for payload in taken] == sent
        assert [payload.arrived is None for payload in taken] == [True, True, False, False]
        spool.remove(taken[:1])
        assert contents(spool) == sent[1:]
    with Spool(tmp_path) as spool:
        assert contents(spool) == sent[1:]
        assert spool.size == sum(path.stat().st_size for path in tmp_path.glob("*.payload"))


def test_the_same_payload_is_kept_once_and_known_after_it_was_stored(tmp_path):
    with Spool(tmp_path) as spool:
        assert not spool.put("file", b"abc", {"run": 1}).known
        assert spool.put("file", b"abc", {"run": 1}).known
        assert not spool.put("file", b"abc", {"run": 2}).known, "another snapshot of equal content"
        assert len(spool) == 2
        spool.remove(spool.take(1, 1))
        assert spool.put("file", b"abc", {"run": 1}).known
        assert len(spool) == 1


def test_a_batch_ends_at_a_number_or_a_size_but_has_one_at_least(tmp_path):
    with Spool(tmp_path) as spool:
        for number in range(4):
            spool.put("file", bytes([number]) * 1000, {})
        assert len(spool.take(3, 10**9)) == 3
        assert len(spool.take(9, 2500)) == 2
        assert len(spool.take(9, 1)) == 1


class Died(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("step", range(2))
def test_a_death_before_the_end_of_put_leaves_no_payload_or_a_whole_one(tmp_path, step):
    calls = []

    def sync(handle):
        calls.append(handle)
        if len(calls) == 3 + step:  # of the second payload: before its content is on the disk, and its name
            raise Died
        os.fsync(handle)

    spool = Spool(tmp_path, sync=sync)
    spool.put("file", b"first", {})
    with pytest.raises(Died):
        spool.put("file", b"second", {})
    spool.close()
    with Spool(tmp_path) as spool:
        assert contents(spool) == [b"first"] + [b"second"] * step
        assert not list(tmp_path.glob("*.part"))
        spool.put("file", b"second", {})
        assert contents(spool) == [b"first", b"second"]


def test_a_full_disk_acknowledges_nothing_and_room_is_enough_to_go_on(tmp_path):
    full = True

    def sync(handle):
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")

    with Spool(tmp_path, sync=sync) as spool:
        with pytest.raises(SpoolError, match=r"did not take 5 bytes \(No space left on device\)"):
            spool.put("file", b"first", {})
        assert not contents(spool)
        assert not list(tmp_path.glob("*.part"))
        full = False
        assert not spool.put("file", b"first", {}).known
        assert contents(spool) == [b"first"]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        pytest.param({"payloads": 1}, "1 payloads of", id="number"),
        pytest.param({"total_bytes": 120}, "send it again later", id="size"),
        pytest.param({"seconds": 0.0}, "has waited", id="age"),
    ],
)
def test_a_full_spool_asks_to_wait_until_the_writer_has_caught_up(tmp_path, limits, reason):
    with Spool(tmp_path, SpoolLimits(**limits)) as spool:
        spool.put("file", b"x" * 10, {})
        with pytest.raises(SpoolFullError, match=reason):
            spool.put("file", b"y" * 90, {})
        spool.remove(spool.take(1, 1))
        spool.put("file", b"y" * 90, {})


def test_a_payload_that_is_too_large_is_refused(tmp_path):
    with Spool(tmp_path, SpoolLimits(payload_bytes=9)) as spool, pytest.raises(SpoolError, match="at most 9"):
        spool.put("file", b"x" * 10, {})


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "head"])
def test_a_damaged_file_goes_to_the_quarantine_and_the_next_one_comes_through(tmp_path, damage):
    with Spool(tmp_path) as spool:
        spool.put("file", b"first", {})
        spool.put("file", b"second", {})
    path = min(tmp_path.glob("*.payload"))
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-1] ^= 4
    elif damage == "head":
        content[13] ^= 255
    path.write_bytes(content[: {"cut": -1, "empty": 0}.get(damage)])
    with Spool(tmp_path) as spool:
        assert contents(spool) == [b"second"]
        assert spool.quarantined == 1
        assert len(spool) == 1
    assert (tmp_path / "quarantine" / path.name).with_suffix(".reason").read_text()


def test_the_quarantine_keeps_the_newest(tmp_path):
    with Spool(tmp_path, SpoolLimits(quarantine_bytes=250)) as spool:
        for number in range(5):
            spool.put("file", bytes([number]) * 50, {})
        for payload in spool.take(5, 10**6):
            spool.quarantine(payload, "nonsense")
        assert 0 < spool.quarantined < 5
        assert {path.suffix for path in (tmp_path / "quarantine").iterdir()} == {".payload", ".reason"}


def test_two_receivers_cannot_have_one_spool(tmp_path):
    with Spool(tmp_path), pytest.raises(SpoolError, match="another receiver"):
        Spool(tmp_path)
