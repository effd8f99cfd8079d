"""Files are taken when they are complete, once, in order of time, and stay where they are."""

import os

import pytest

from ingest.live.spool import Spool, SpoolLimits
from ingest.live.watch import FolderWatch, is_complete
from owtrend.errors import UsageError
from tests import builders


@pytest.fixture
def spool(tmp_path):
    with Spool(tmp_path / "spool") as opened:
        yield opened


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    path = builders.write(tmp_path_factory.mktemp("root") / "one.root", builders.histogram([0, 1, 2, 0]))
    return path.read_bytes()


def put(folder, content, minute=0, mtime=None):
    path = folder / f"EMChistos_300000_C_2018_6_1_12_{minute}_0.root"
    folder.mkdir(exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(1, 10**9 * minute if mtime is None else mtime))
    return path


def names(spool):
    return [payload.meta["source"] for payload in spool.take(100, 10**9)]


def test_a_file_is_taken_once_it_has_settled_and_only_once(tmp_path, spool, content):
    path = put(tmp_path / "in", content)
    watch = FolderWatch(tmp_path / "in", spool)
    assert [watch.sweep() for _ in range(4)] == [0, 1, 0, 0]
    (taken,) = spool.take(9, 10**9)
    assert taken.content == content
    assert (taken.meta["subsystem"], taken.meta["run"], taken.meta["mode"]) == ("EMC", 300000, "C")
    assert path.read_bytes() == content, "the folder is only read"


def test_a_file_that_grows_waits_until_it_is_whole(tmp_path, spool, content):
    path = put(tmp_path / "in", content[:200])
    watch = FolderWatch(tmp_path / "in", spool)
    for size in (200, 300, len(content) - 1):
        path.write_bytes(content[:size])
        os.utime(path, ns=(1, size))
        assert [watch.sweep() for _ in range(5)] == [0] * 5, "settled, but its header says that more will come"
    put(tmp_path / "in", content)
    assert [watch.sweep(), watch.sweep()] == [0, 1]


def test_a_file_that_never_becomes_whole_is_taken_in_the_end_and_gets_a_reason_there(tmp_path, spool, content):
    put(tmp_path / "in", content[:200])
    watch = FolderWatch(tmp_path / "in", spool)
    assert sum(watch.sweep() for _ in range(59)) == 0
    assert watch.sweep() == 1


def test_a_file_that_was_replaced_is_another(tmp_path, spool, content):
    put(tmp_path / "in", content)
    watch = FolderWatch(tmp_path / "in", spool)
    watch.sweep(), watch.sweep()
    put(tmp_path / "in", content, mtime=77)
    assert [watch.sweep(), watch.sweep(), watch.sweep()] == [0, 1, 0]


def test_files_go_in_the_order_in_which_they_were_written(tmp_path, spool, content):
    for minute in (10, 9, 2):
        put(tmp_path / "in", content, minute)
    watch = FolderWatch(tmp_path / "in", spool)
    watch.sweep(), watch.sweep()
    assert [name.split("_")[-2] for name in names(spool)] == ["2", "9", "10"]


def test_known_files_products_half_written_ones_and_other_names_are_left(tmp_path, spool, content):
    folder = tmp_path / "in"
    known = put(folder, content)
    put(folder / "ReplayData", content, 1)
    (folder / ".EMChistos_300000_C_2018_6_1_12_5_0.root").write_bytes(content)
    (folder / "notes.txt").write_bytes(b"notes")
    (folder / "other.root").write_bytes(content)
    status = known.stat()
    watch = FolderWatch(folder, spool, known={(known.name, status.st_size, status.st_mtime_ns)})
    assert [watch.sweep() for _ in range(3)] == [0, 0, 0]
    assert watch.skipped == 1


def test_a_full_spool_leaves_files_in_their_folder_until_there_is_room(tmp_path, content):
    for minute in (1, 2, 3):
        put(tmp_path / "in", content, minute)
    with Spool(tmp_path / "spool", SpoolLimits(payloads=2)) as spool:
        watch = FolderWatch(tmp_path / "in", spool)
        assert [watch.sweep(), watch.sweep(), watch.sweep()] == [0, 2, 0]
        assert "send it again later" in watch.trouble
        spool.remove(spool.take(1, 1))
        assert watch.sweep() == 1
        assert not watch.trouble


def test_a_folder_that_is_missing_is_one_line(tmp_path, spool):
    with pytest.raises(UsageError, match="no such folder to watch"):
        FolderWatch(tmp_path / "nothing", spool)


def test_headers_say_whether_a_file_is_whole(content):
    assert is_complete(content[:64], len(content))
    assert not is_complete(content[:64], len(content) - 1)
    assert not is_complete(b"", 0)
    assert is_complete(b"not a file of ROOT at all", 25), "it goes through, and gets its reason in the quarantine"
