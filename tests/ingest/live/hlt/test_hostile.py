"""Mutated messages: a snapshot or one reason, in bounded memory and time; a good message after it comes through."""

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.limits import Limits
from ingest.live.hlt import decode_payload
from ingest.live.hlt.receiver import HltReceiver, HltSettings, Outcome
from ingest.live.hlt.sender import histogram_message
from ingest.live.hlt.wire import HeaderForm, reply
from owtrend.errors import SnapshotError
from tests import builders
from tests.fuzz.mutations import mutated
from tests.ingest.live.hlt.messages import genuine
from tests.studies import sizes

SETTINGS = HltSettings(keep_equal=True, limits=Limits(cells=2**20, megabytes=50), longest=10**6)
KINDS = ("plain", "zipped_zlib", "zipped_lz4", "zipped_zstd", "zipped_lzma")
REPLIES = [
    reply("run=300000;HLT_MODE=C", genuine(kind), genuine(layouts)[0] if layouts else None, form)
    for kind in KINDS for layouts in ("streamers", "streamers_zipped", None) for form in HeaderForm
]  # fmt: skip
GOOD = reply("run=300000", [histogram_message(builders.histogram([0.0, 1.0, 2.0, 0.0], "h", dtype="f4"))])


def damaged(rng):
    """A reply with one to three of its frames changed, lost, doubled or exchanged."""
    frames = list(rng.choice(REPLIES))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at, other = rng.randrange(len(frames)), rng.randrange(len(frames))
        match rng.randrange(12):
            case 0:
                del frames[at]
            case 1:
                frames.insert(at, frames[other])
            case 2:
                frames[at], frames[other] = frames[other], frames[at]
            case 3:
                frames[at] = b""
            case _:
                frames[at] = mutated(frames[at], rng) if frames[at] else b"\0"
        if not frames:
            break
    return frames


def require_one_reason_and_then_a_good_one(receiver, frames):
    received = receiver._judged(frames)
    receiver.accept(received)
    if received.outcome is Outcome.SNAPSHOT:
        assert decode_payload(received.payload, received.meta).digest == received.snapshot.digest
        for histogram in received.snapshot.values():
            assert histogram.digest
    else:
        assert received.reason
        assert "\n" not in received.reason
        assert len(received.reason) < 1000
    good = receiver._judged(GOOD)
    assert good.outcome is Outcome.SNAPSHOT, good.reason
    assert list(good.snapshot) == [("h",)]


@given(st.integers(0, 2**32))
def test_after_a_damaged_message_a_good_one_comes_through(seed):
    require_one_reason_and_then_a_good_one(
        HltReceiver("REQ>tcp://localhost:1", "EMC", SETTINGS), damaged(random.Random(seed))
    )


@pytest.mark.parametrize("count", sizes(20, 20_000))
def test_one_receiver_bears_many_damaged_messages(count):
    rng, receiver = random.Random(count), HltReceiver("REQ>tcp://localhost:1", "EMC", SETTINGS)
    require_one_reason_and_then_a_good_one(receiver, REPLIES[0])
    tracemalloc.start()
    for _ in range(count):
        require_one_reason_and_then_a_good_one(receiver, damaged(rng))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(receiver.counts.values()) == count + 1
    assert kept < 100e6


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_a_snapshot_or_an_error(payload, with_magic):
    with pytest.raises(SnapshotError):
        decode_payload(b"OWTHLT1\n" + payload if with_magic else payload, {"subsystem": "EMC", "time": 0})
