"""A receiver and a sender on this machine: what is handed on, what is only counted, and what follows a failure."""

import contextlib
import random
import socket
import struct
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zmq

from ingest import SnapshotReader
from ingest.limits import Limits
from ingest.live.hlt import decode_payload
from ingest.live.hlt.endpoint import open_socket
from ingest.live.hlt.receiver import HltReceiver, HltSettings, Outcome, wait_after
from ingest.live.hlt.sender import HltSender, histogram_message, info_of
from ingest.live.hlt.tmessage import Packing
from ingest.live.hlt.wire import HeaderForm, Request, reply
from owtrend.errors import UsageError
from owtrend.model.snapshot import Snapshot
from tests import builders
from tests.ingest.live.hlt.messages import genuine

QUICK = HltSettings(interval=0, timeout=5, first_wait=0.001)
TIME = 1_527_854_400_000_000_000


def histograms(entries=3, count=2):
    return [builders.histogram([0.0, entries, 1.0, 0.0], f"h{number}", dtype="f4") for number in range(count)]


@pytest.fixture
def wire():
    """Makes a receiver and a sender of one ZeroMQ context; nothing leaves the process."""
    context, opened = zmq.Context(), contextlib.ExitStack()

    def make(kinds=("REP", "REQ"), settings=QUICK, address="inproc://hlt", **options):
        sender = HltSender(f"{kinds[0]}@{address}", context=context, **options)
        receiver = HltReceiver(f"{kinds[1]}>{address}", "EMC", settings, context=context, clock=lambda: TIME)
        opened.enter_context(sender)
        opened.enter_context(receiver)
        return receiver, sender

    with opened:
        yield make
    context.term()


def exchange(receiver, sender):
    """One request, its answer, and what came of it, accepted."""
    answered = threading.Thread(target=sender.answer, args=(5,))
    answered.start()
    received = receiver.receive()
    answered.join()
    receiver.accept(received)
    return received


@pytest.mark.parametrize("form", HeaderForm)
@pytest.mark.parametrize("packing", [None, Packing.ZLIB])
def test_what_is_sent_is_received(wire, form, packing):
    receiver, sender = wire(form=form, packing=packing)
    sender.show("run=300000;HLT_MODE=C", histograms())
    received = exchange(receiver, sender)
    assert received.outcome is Outcome.SNAPSHOT, received.reason
    snapshot = received.snapshot
    assert (snapshot.subsystem, snapshot.run, snapshot.mode) == ("EMC", 300000, "C")
    assert snapshot.time == np.datetime64(TIME, "ns")
    assert snapshot.digest == Snapshot(histograms={one.path: one for one in histograms()}).digest
    again = decode_payload(received.payload, received.meta)
    assert (again.digest, again.run, again.time, again.mode) == (snapshot.digest, 300000, snapshot.time, "C")


def test_layouts_are_asked_for_once_and_are_part_of_every_payload(wire):
    receiver, sender = wire(settings=replace(QUICK, select="h1"))
    for entries in (3, 4):
        sender.show("run=300000", histograms(entries))
        received = exchange(receiver, sender)
        assert b"ROOTSTRI" in received.payload
        assert list(received.snapshot) == [("h1",)]
    assert sender.requests == [Request(select="h1", schema=True), Request(select="h1")]


def test_damaged_layouts_are_not_remembered(wire):
    receiver, sender = wire()
    sender.show("run=300000", histograms())
    exchange(receiver, sender)
    receiver._announced = (header_of_layouts(), genuine("streamers")[0].replace(b"fNbins", b"fNbinz"))
    sender.show("run=300000", histograms(4))
    assert exchange(receiver, sender).outcome is Outcome.SNAPSHOT
    assert receiver._announced is None


def header_of_layouts():
    return reply("", [], b"layouts")[0]


@pytest.mark.parametrize(
    ("info", "shown", "outcome"),
    [
        ("run=0;HLT_MODE=C", histograms(), Outcome.RUN_ZERO),
        ("", histograms(), Outcome.NO_INFO),
        ("run=300000", [], Outcome.NO_OBJECT),
        ("run=much", histograms(), Outcome.BAD),
    ],
)
def test_what_is_no_snapshot_is_counted_and_the_next_one_comes_through(wire, info, shown, outcome):
    receiver, sender = wire()
    sender.show(info, shown)
    received = exchange(receiver, sender)
    assert received.outcome is outcome
    assert received.reason
    assert receiver.counts == {outcome: 1}
    sender.show("run=300000", histograms())
    assert exchange(receiver, sender).outcome is Outcome.SNAPSHOT


def test_the_same_content_after_the_end_of_a_run_is_still_alive_and_ends_in_a_reset(wire):
    receiver, sender = wire(settings=replace(QUICK, reset_after=2))
    sender.show("run=300000", histograms())
    assert [exchange(receiver, sender).outcome for _ in range(5)] == [
        Outcome.SNAPSHOT, Outcome.STILL_ALIVE, Outcome.STILL_ALIVE, Outcome.STILL_ALIVE, Outcome.NO_OBJECT,
    ]  # fmt: skip
    assert [wanted.reset for wanted in sender.requests] == [False, False, False, True, False]
    empty = [builders.histogram(np.zeros(4), "h0", dtype="f4")]
    sender.show("run=300000", empty)
    assert exchange(receiver, sender).outcome is Outcome.STILL_ALIVE
    sender.show("run=300001", histograms())
    assert exchange(receiver, sender).outcome is Outcome.SNAPSHOT  # the same numbers in another run


def test_the_same_content_is_handed_on_where_it_is_wanted(wire):
    receiver, sender = wire(settings=replace(QUICK, keep_equal=True))
    sender.show("run=300000", histograms())
    assert [exchange(receiver, sender).outcome for _ in range(2)] == [Outcome.SNAPSHOT] * 2


def test_what_was_not_accepted_comes_again(wire):
    receiver, sender = wire()
    sender.show("run=300000", histograms())
    stop, seen = threading.Event(), []

    def fails(received):
        seen.append(received.outcome)
        raise OSError("no space left")

    for _ in range(2):
        answered = threading.Thread(target=sender.answer, args=(5,))
        answered.start()
        with pytest.raises(OSError, match="no space"):
            receiver.run(fails, stop)
        answered.join()
    assert seen == [Outcome.SNAPSHOT] * 2


def test_in_reset_mode_each_reply_is_what_is_new(wire):
    receiver, sender = wire(settings=replace(QUICK, reset=True))
    for _ in range(2):  # twice the same gain
        sender.show("run=300000", histograms())
        received = exchange(receiver, sender)
        assert received.outcome is Outcome.SNAPSHOT
        assert received.meta["accumulation"] == "reset"
    sender.show("run=300000", [builders.histogram(np.zeros(4), "h0", dtype="f4")])
    assert exchange(receiver, sender).outcome is Outcome.STILL_ALIVE
    assert all(wanted.reset for wanted in sender.requests)


def test_the_sender_may_state_the_time(wire):
    receiver, sender = wire(settings=replace(QUICK, sender_time=True))
    when = np.datetime64("2018-06-01T12:00:00.250", "ns")
    sender.show(info_of(Snapshot(histograms={}, run=3, time=when, mode="B"), with_time=True), histograms())
    received = exchange(receiver, sender)
    assert (received.snapshot.time, received.snapshot.mode) == (when, "B")
    assert decode_payload(received.payload, received.meta).time == when


@pytest.mark.parametrize("kinds", [("PUB", "SUB"), ("PUSH", "PULL")])
def test_senders_that_are_not_asked_are_received(wire, kinds):
    receiver, sender = wire(kinds)
    sender.show("run=300000", histograms())
    received, stop = [], threading.Event()

    def take(one):
        received.append(one)
        stop.set()

    listening = threading.Thread(target=receiver.run, args=(take, stop))
    listening.start()
    while not stop.wait(0.02):  # a subscriber misses what came before it
        sender.send(0.1)
    listening.join()
    assert received[0].outcome is Outcome.SNAPSHOT
    assert received[0].snapshot.run == 300000


def test_a_receiver_may_be_what_binds(tmp_path):
    context = zmq.Context()
    address = f"ipc://{tmp_path}/hlt"
    with (
        HltReceiver(f"PULL@{address}", "EMC", QUICK, context=context) as receiver,
        HltSender(f"PUSH>{address}", context=context) as sender,
    ):
        sender.show("run=300000", histograms())
        stop = threading.Event()
        pushing = threading.Thread(target=sender.send)
        pushing.start()
        assert receiver.receive(stop).outcome is Outcome.SNAPSHOT
        pushing.join()
    context.term()


def test_no_answer_closes_the_socket_and_the_next_request_comes_through(wire):
    receiver, sender = wire(settings=replace(QUICK, timeout=0.02))
    received = receiver.receive()
    receiver.accept(received)
    assert received.outcome is Outcome.NO_ANSWER
    assert "no whole message within 0.02 s" in received.reason
    receiver.settings = QUICK
    sender.show("run=300000", histograms())
    sender.answer(0)  # the request of before, if it arrived; its client is gone
    assert exchange(receiver, sender).outcome is Outcome.SNAPSHOT
    assert receiver.connections == 2


def test_an_address_that_cannot_be_bound_is_no_answer(tmp_path):
    with HltReceiver(f"PULL@ipc://{tmp_path}/no/such/folder", "EMC", QUICK) as receiver:
        assert receiver.receive().outcome is Outcome.NO_ANSWER


def test_waits_grow_up_to_the_longest_and_are_spread():
    settings, rng = HltSettings(first_wait=1, longest_wait=60), random.Random(1)
    waits = [wait_after(failures, settings, rng) for failures in (1, 2, 3, 10, 5000)]
    assert all(0.5 * full <= wait <= full for wait, full in zip(waits, (1, 2, 4, 60, 60), strict=True))
    assert len({wait_after(9, settings, rng) for _ in range(10)}) == 10


@pytest.mark.parametrize("endpoint", ["", "REQ", "REP>tcp://localhost:1", "REQ>localhost:1", "REQ!tcp://a:1"])
def test_what_is_no_endpoint_of_a_receiver_is_named(endpoint):
    with pytest.raises(UsageError, match="REQ>tcp://localhost:60201"):
        HltReceiver(endpoint, "EMC")


def test_several_addresses_are_connected_alike():
    receiver = HltReceiver("SUB>tcp://localhost:1,tcp://localhost:2", "EMC")
    assert receiver.endpoint.addresses == (("tcp://localhost:1", False), ("tcp://localhost:2", False))
    with pytest.raises(UsageError, match="ends it at a space"):
        HltReceiver("REQ>tcp://localhost:1", "EMC", HltSettings(select="a b"))


def judged(receiver, frames):
    received = receiver._judged(frames)
    receiver.accept(received)
    return received


def test_one_bad_object_among_good_ones_is_a_problem_of_the_snapshot():
    receiver = HltReceiver("REQ>tcp://localhost:1", "EMC")
    good = [histogram_message(one) for one in histograms()]
    received = judged(receiver, reply("run=300000", [good[0], good[1][:-3], b"", *good[1:]]))
    assert received.outcome is Outcome.SNAPSHOT
    assert list(received.snapshot) == [("h0",), ("h1",)]
    assert [*received.snapshot.problems] == ["object 2", "object 3"]
    received = judged(receiver, reply("run=300000", [b"", b"x" * 50]))
    assert received.outcome is Outcome.BAD
    assert "object 1: a message of 0 bytes" in received.reason


def test_messages_beyond_the_limits_are_bad_and_the_next_one_is_good():
    receiver = HltReceiver("REQ>tcp://localhost:1", "EMC", HltSettings(longest=5000))
    frames = reply("run=300000", [histogram_message(one) for one in histograms()])
    received = judged(receiver, [*frames, frames[-2], bytes(5000)])
    assert received.outcome is Outcome.BAD
    assert "more than 5,000" in received.reason
    assert judged(receiver, frames).outcome is Outcome.SNAPSHOT
    receiver.settings = HltSettings(limits=Limits(objects=0, megabytes=0.0001))
    assert "max_megabytes" in judged(receiver, frames).reason
    receiver.settings = HltSettings()
    assert judged(receiver, frames).outcome is Outcome.STILL_ALIVE


ROOT_FILES = Path(__file__).parents[3] / "data" / "root"


def test_the_snapshots_of_files_sent_through_the_wire_have_the_same_content(wire):
    receiver, sender = wire(settings=replace(QUICK, sender_time=True))
    reader = SnapshotReader()
    for path in sorted(ROOT_FILES.glob("EMChistos_*.root")):
        snapshot = reader.read(path)
        sender.show(info_of(snapshot, with_time=True), {name: one for name, one in snapshot.items() if len(name) == 1})
        received = exchange(receiver, sender).snapshot
        assert (received.run, received.time, received.mode) == (snapshot.run, snapshot.time, snapshot.mode)
        for name, histogram in received.items():
            assert histogram.digest == snapshot[name].digest
        assert len(received) > 5


def raw_sender(port):
    """A connection that a PULL socket takes for one of a PUSH socket."""
    connection = socket.create_connection(("127.0.0.1", port))
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\0" + b"NULL".ljust(20, b"\0") + bytes(32)
    ready = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 4) + b"PUSH"
    connection.sendall(greeting + bytes([4, len(ready)]) + ready)
    connection.settimeout(10)
    answer = b""
    while b"PULL" not in answer:  # a peer that speaks before it has heard this breaks the protocol
        answer += connection.recv(1000)
    return connection


def zmtp(frame, more):
    return bytes([2 | more]) + struct.pack(">Q", len(frame)) + frame


def test_a_sender_that_dies_in_mid_message_leaves_nothing_behind():
    context, settings = zmq.Context(), replace(QUICK, timeout=30)
    with HltReceiver("PULL@tcp://127.0.0.1:0", "EMC", settings, context=context) as receiver:
        receiver._socket = open_socket(context, receiver.endpoint, settings.longest)
        port = int(receiver._socket.get_string(zmq.LAST_ENDPOINT).rsplit(":", 1)[1])
        frames = reply("run=300000", [histogram_message(one) for one in histograms()])
        dying = raw_sender(port)
        dying.sendall(b"".join(zmtp(frame, more=1) for frame in frames[:3]) + zmtp(frames[3], more=0)[:30])
        dying.close()
        damaged = raw_sender(port)
        damaged.sendall(zmtp(b"no header", more=0))
        whole = raw_sender(port)
        whole.sendall(b"".join(zmtp(frame, more=int(frame is not frames[-1])) for frame in frames))
        outcomes = [receiver.receive().outcome for _ in range(2)]
        assert sorted(outcomes) == sorted([Outcome.BAD, Outcome.SNAPSHOT])
        receiver.settings = replace(QUICK, timeout=0.02)
        assert receiver.receive().outcome is Outcome.NO_ANSWER
        damaged.close()
        whole.close()
    context.term()


def test_a_sender_that_is_slow_is_waited_for_until_the_time_is_over():
    context = zmq.Context()
    settings = replace(QUICK, timeout=0.2)
    with HltReceiver("PULL@tcp://127.0.0.1:0", "EMC", settings, context=context) as receiver:
        receiver._socket = open_socket(context, receiver.endpoint, settings.longest)
        port = int(receiver._socket.get_string(zmq.LAST_ENDPOINT).rsplit(":", 1)[1])
        slow = raw_sender(port)
        slow.sendall(zmtp(b"header", more=1) + zmtp(bytes(100), more=1))
        assert receiver.receive().outcome is Outcome.NO_ANSWER
        assert receiver._socket is None  # and with it what had come of the message
        slow.close()
    context.term()


@pytest.mark.slow
def test_a_message_of_200_megabytes_is_received(tmp_path):
    context = zmq.Context()
    address = f"ipc://{tmp_path}/hlt"
    one = builders.histogram(np.ones(5_000_000), dtype="f4")
    large = [replace(one, path=(f"h{number}",)) for number in range(10)]
    with (
        HltReceiver(f"REQ>{address}", "EMC", QUICK, context=context) as receiver,
        HltSender(f"REP@{address}", context=context) as sender,
    ):
        sender.show("run=300000", large)
        received = exchange(receiver, sender)
        assert received.outcome is Outcome.SNAPSHOT, received.reason
        assert len(received.payload) > 200_000_000
        assert received.snapshot["h9",].values().sum() == 4_999_998
    context.term()
