"""Headers of all forms, requests and replies: read as written, and each bad one has a reason."""

import struct

import pytest

from ingest.live.hlt.payload import joined, split
from ingest.live.hlt.wire import (
    INFO,
    HeaderForm,
    Request,
    Topic,
    announces_layouts,
    header,
    matches,
    read_info,
    read_reply,
    read_request,
    read_topic,
    reply,
    request,
)  # fmt: skip
from owtrend.errors import SnapshotError

TOPIC = Topic(id="ROOTTOBJ", origin="HLT", serialization="ROOT", specification=7)


@pytest.mark.parametrize("form", HeaderForm)
def test_a_header_is_read_as_written(form):
    frame = header(TOPIC, 123, form)
    assert len(frame) == (16 if form is HeaderForm.SHORT else 80)
    found = read_topic(frame)
    assert (found.id, found.origin, found.specification) == ("ROOTTOBJ", "HLT", 7)
    assert found.serialization == ("" if form is HeaderForm.SHORT else "ROOT")
    assert found.is_root


def test_the_bytes_of_a_header_are_those_of_aliroot():
    frame = header(TOPIC, 123, HeaderForm.SECOND_WORD)
    assert frame[:24] == b"O2O2" + struct.pack("<III", 80, 0, 1) + b"DataHDR\0"
    assert frame[24:48] == b"NONE\0\0\0\0" + bytes(8) + b"ROOTTOBJ"
    assert frame[48:64] == b"HLT\0" + bytes(4) + b"ROOT\0\0\0\0"
    assert struct.unpack_from("<QQ", frame, 64) == (7, 123)
    assert header(TOPIC, 123)[32:48] == b"ROOTTOBJ" + bytes(8)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "a frame of 0 bytes"),
        (b"x" * 80, "begins with b'xxxx' where a header belongs"),
        (header(TOPIC)[:79], "a frame of 79 bytes"),
        (header(TOPIC) + bytes(8), "a header that states 80 bytes, in a frame of 88"),
        (header(TOPIC)[:4] + struct.pack("<I", 96) + header(TOPIC)[8:], "a header that states 96 bytes"),
    ],
)
def test_what_is_no_header_has_a_reason(frame, reason):
    with pytest.raises(SnapshotError, match=reason):
        read_topic(frame)


def test_a_header_that_another_follows_is_read():
    assert read_topic(header(TOPIC)[:8] + struct.pack("<I", 1) + header(TOPIC)[12:] + bytes(40)) == TOPIC


@pytest.mark.parametrize(
    ("name", "same"), [("INFO____", True), ("INFO", True), ("IN*O****", True), ("INFX", False), ("", False)]
)
def test_an_id_matches_with_its_wildcards(name, same):
    assert matches(Topic(id=name), INFO) is same


@pytest.mark.parametrize("form", HeaderForm)
@pytest.mark.parametrize("wanted", [Request(), Request(select="EMC.*hist", reset=True, schema=True)])
def test_a_request_has_four_frames_and_is_read_as_written(wanted, form):
    frames = request(wanted, form)
    assert len(frames) == 4
    assert frames[3] == b""
    assert read_topic(frames[2]).id == ""
    assert read_request(frames) == wanted


def test_the_options_of_a_request_are_those_the_merger_knows():
    assert (
        request(Request(select="EMC", reset=True, schema=True))[1] == b" -select=EMC -ResetOnRequest -SchemaOnRequest"
    )
    assert request(Request())[1] == b""


@pytest.mark.parametrize("form", HeaderForm)
def test_a_reply_is_read_as_written(form):
    frames = reply("run=300000;HLT_MODE=c;BEAM_TYPE=p-p", [b"one", b"two"], b"layouts", form)
    found = read_reply([*frames, header(Topic(id="DDL_RAW"), 3, form), b"raw"])
    assert (found.info.run, found.info.mode, found.info.fields["BEAM_TYPE"]) == (300000, "C", "p-p")
    assert found.layouts == b"layouts"
    assert found.objects == [b"one", b"two"]
    assert found.others == {"payload 5": "DDL_RAW"}
    assert announces_layouts(frames)
    assert not announces_layouts(frames[2:])
    assert not announces_layouts(frames[1:])


def test_a_block_of_the_hlt_is_an_object_whatever_its_id():
    frame = header(Topic(id="HISTOGRA", serialization="HLTROOT"))
    assert read_reply([frame, b"object"]).objects == [b"object"]


@pytest.mark.parametrize(("text", "run"), [("", 0), ("run=0", 0), ("HLT_MODE=B", 0), ("run=7", 7), (" run = 7;", 0)])
def test_the_run_is_zero_where_there_is_none(text, run):
    assert read_info(text.encode()).run == run


@pytest.mark.parametrize("text", ["run=x", "run=-1", "run=9223372036854775808", "run=" + "9" * 300, "run=\u0661"])
def test_a_run_that_is_no_number_is_an_error(text):
    with pytest.raises(SnapshotError, match="is no run number"):
        read_info(text.encode())


@pytest.mark.parametrize(("frames", "reason"), [([], "of 0 frames"), ([header(TOPIC)], "of 1 frames")])
def test_frames_come_in_pairs(frames, reason):
    with pytest.raises(SnapshotError, match=reason):
        read_reply(frames)


def test_frames_become_a_payload_and_back():
    frames = [b"header", b"", b"x" * 1000]
    assert split(joined(frames)) == frames
    for cut in (5, 9, 20, -1):
        with pytest.raises(SnapshotError, match="payload"):
            split(joined(frames)[:cut])
