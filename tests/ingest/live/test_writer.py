"""What was acknowledged is in the store once, whatever failed in between, and bad payloads hold up nothing."""

import errno
from dataclasses import replace

import numpy as np
import pytest

from ingest.live.derived import Derived
from ingest.live.payloads import FILE, named_file_meta
from ingest.live.spool import Spool
from ingest.live.writer import Writer
from owtrend.errors import SnapshotError
from owtrend.store.append import Appender
from owtrend.store.repository import Store
from tests import builders


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Payloads of a run: name and bytes."""
    folder = tmp_path_factory.mktemp("files")
    found = []
    for minute in range(5):
        contents = builders.histogram([0, minute, 2 * minute, 0])
        name = f"EMChistos_300000_C_2018_6_1_12_{minute}_0.root"
        found.append((name, builders.write(folder / name, contents).read_bytes()))
    return found


class NoTrends(Derived):
    """Only the raw data."""

    def open(self):
        return False


@pytest.fixture
def service(tmp_path):
    store = Store.in_memory()
    with Spool(tmp_path / "spool") as spool, store.writer("raw") as begin, NoTrends(store) as derived:
        yield store, spool, Writer(store, begin, spool, derived)


def put(spool, *files, **changes):
    for name, content in files:
        spool.put(FILE, content, named_file_meta(name, timezone="UTC") | changes)


def times(store, subsystem="EMC", run=300000):
    view = store.reader().subsystem(subsystem)
    return [str(time)[11:16] for time in view.times(view.run_index(run))]


def test_payloads_that_wait_are_one_commit_in_order_of_time(service, files):
    store, spool, writer = service
    put(spool, *files[::-1])
    assert writer.step()
    assert times(store) == ["12:00", "12:01", "12:02", "12:03", "12:04"]
    assert (writer.state.counts["commits"], writer.state.counts["stored"], len(spool)) == (1, 5, 0)
    assert not writer.step()


def test_a_payload_that_comes_again_is_not_stored_again(service, files):
    store, spool, writer = service
    put(spool, files[1])
    writer.step()
    put(spool, files[1], source="from another sender")
    writer.step()
    assert times(store) == ["12:01"]
    assert writer.state.counts["duplicates"] == 1
    assert not len(spool)


def test_a_death_between_commit_and_removal_stores_nothing_twice(service, files, monkeypatch):
    store, spool, writer = service
    put(spool, *files[:3])
    monkeypatch.setattr(spool, "remove", lambda _: None)  # it died
    writer.step()
    monkeypatch.undo()
    assert len(spool) == 3
    writer.step()
    assert times(store) == ["12:00", "12:01", "12:02"]
    assert not len(spool)


def test_late_rows_other_subsystems_and_other_runs_all_find_their_place(service, files):
    store, spool, writer = service
    put(spool, files[4], files[0])
    writer.step()
    put(spool, files[2])
    for name, content in files[:2]:
        put(spool, (name.replace("EMC", "TPC").replace("300000", "300007"), content))
    writer.step()
    assert times(store) == ["12:00", "12:02", "12:04"]
    assert times(store, "TPC", 300007) == ["12:00", "12:01"]
    assert writer.state.subsystems["EMC"].time == int(np.datetime64("2018-06-01T12:04", "ns").astype("int64"))


@pytest.mark.parametrize("bad", [b"", b"nonsense", b"root" + bytes(100), None])
def test_after_a_bad_payload_a_good_one_comes_through(service, files, bad):
    store, spool, writer = service
    content = files[1][1][:-40] if bad is None else bad
    put(spool, files[0], ("EMChistos_300000_C_2018_6_1_12_1_0.root", content), files[2])
    writer.step()
    assert times(store) == ["12:00", "12:02"]
    assert (writer.state.counts["quarantined"], spool.quarantined, len(spool)) == (1, 1, 0)
    (line,) = store.reader().quarantine
    assert '"time": "2018-06-01T12:01:00"' in line


def test_a_snapshot_that_the_store_refuses_does_not_hold_up_the_others(service, files):
    store, spool, writer = service
    put(spool, files[0])
    writer.step()
    put(spool, files[1], accumulation="reset")
    put(spool, files[2])
    writer.step()
    assert times(store) == ["12:00", "12:02"]
    assert writer.state.reasons == {"refused by the store": 1}


def test_unknown_kinds_and_senseless_descriptions_are_counted(service, files):
    store, spool, writer = service
    spool.put("telegram", b"abc", {})
    spool.put(FILE, files[0][1], {})
    spool.put(FILE, files[0][1], {"subsystem": "EMC", "run": 0, "time": 1})
    put(spool, files[3])
    writer.step()
    assert times(store) == ["12:03"]
    assert writer.state.counts["quarantined"] == 3


def test_a_store_that_takes_nothing_keeps_payloads_waiting_and_goes_on_when_it_does(service, files, monkeypatch):
    store, spool, writer = service
    put(spool, *files[:2])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Appender, "append", full)
    pauses = []
    for _ in range(3):
        assert not writer.step()
        pauses.append(writer.pause)
    assert pauses == [1.0, 2.0, 4.0]
    assert "No space left" in writer.state.trouble
    assert len(spool) == 2
    monkeypatch.undo()
    assert writer.step()
    assert (times(store), writer.pause, writer.state.trouble) == (["12:00", "12:01"], 0.0, "")


@pytest.mark.slow
def test_a_tail_is_folded_while_nothing_comes(service, files):
    store, spool, writer = service
    name, content = files[1]
    for minute in range(64):
        put(spool, (name.replace("_12_1_0", f"_12_{minute % 60}_{minute // 60}"), content), seq=minute)
    writer.step()
    assert store.reader().subsystem("EMC").tail
    for _ in range(50):
        writer.step()
    assert not store.reader().subsystem("EMC").tail


@pytest.mark.parametrize(
    "name", ["x.root", "EMChistos_0_C_2018_6_1_12_0_0.root", "../../etc/passwd", "EMChistos_1_C_1.root"]
)
def test_a_name_without_subsystem_run_or_time_is_refused_with_what_is_missing(name):
    with pytest.raises(SnapshotError, match="expected a name such as"):
        named_file_meta(name)


def test_appended_says_which_snapshots_are_in_the_store(tmp_path):
    store = Store.in_memory()
    with store.writer("raw") as begin:
        appender = Appender(store, begin)
        first = builders.snapshot(1)
        again, more = replace(first, source="again"), builders.snapshot(2)
        assert appender.append([first]).kept == [0]
        assert appender.append([again, more, first]).kept == [1]
