"""Snapshots of files sent over the wire, through spool and writer, are in the store as if their files were ingested."""

import threading

import zmq

from ingest import SnapshotReader
from ingest.live.derived import Derived
from ingest.live.hlt.receiver import HltReceiver, HltSettings, Outcome
from ingest.live.hlt.sender import HltSender, info_of
from ingest.live.spool import Spool
from ingest.live.writer import Writer
from owtrend.store.repository import Store
from tests import builders


class NoTrends(Derived):
    """Only the raw data."""

    def open(self):
        return False


def rows(store):
    view = store.reader().subsystem("EMC")
    found = view.rows(view.run_index(300000))
    return [(int(time), digest.tobytes()) for time, digest in zip(found.time, found.digest, strict=True)]


def test_what_came_over_the_wire_is_what_comes_from_files(tmp_path):
    reader, snapshots = SnapshotReader(timezone="UTC"), []
    for minute in range(4):
        path = tmp_path / f"EMChistos_300000_C_2018_6_1_12_{minute}_0.root"
        builders.write(path, builders.histogram([0, minute, 2 * minute, 0]))
        snapshots.append(reader.read(path))
    context, store, stop = zmq.Context(), Store.in_memory(), threading.Event()
    settings = HltSettings(interval=0, timeout=20, sender_time=True)
    with (
        Spool(tmp_path / "spool") as spool, store.writer("raw") as begin, NoTrends(store) as derived,
        HltSender("REP@inproc://hlt", context=context) as sender,
    ):  # fmt: skip
        receiver = HltReceiver("REQ>inproc://hlt", "EMC", settings, context=context)
        outcomes = []

        def keep(received):
            outcomes.append(received.outcome)
            if received.outcome is Outcome.SNAPSHOT:
                spool.put(received.kind, received.payload, received.meta)
            if len(outcomes) == len(snapshots) + 1:
                stop.set()

        receiving = threading.Thread(target=receiver.run, args=(keep, stop))
        receiving.start()
        for snapshot in [*snapshots, snapshots[-1]]:  # the last one again: its run is over
            sender.show(info_of(snapshot, with_time=True), snapshot)
            sender.answer(20)
        receiving.join()
        assert outcomes == [Outcome.SNAPSHOT] * len(snapshots) + [Outcome.STILL_ALIVE]
        writer = Writer(store, begin, spool, derived)
        while len(spool):
            writer.step()
    context.term()
    assert rows(store) == [(int(one.time.astype("int64")), one.digest) for one in snapshots]
