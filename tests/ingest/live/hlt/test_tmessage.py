"""Genuine messages of ROOT 6.40 are decoded to ROOT's numbers; messages made here are the same bytes as ROOT's."""

import json
import struct

import numpy as np
import pytest

from ingest.decode.template import LazyHistograms
from ingest.limits import Budget, Limits, OverBudget
from ingest.live.hlt.known_layouts import known_layouts, known_layouts_message
from ingest.live.hlt.objects import MessageReader, ObjectsRead
from ingest.live.hlt.tmessage import HEAD, Packing, class_layouts, message, object_bytes
from owtrend.errors import SnapshotError
from owtrend.model.histogram import display_name
from tests.ingest.live.hlt.messages import HLT, genuine, read_messages

ANSWERS = json.loads((HLT / "answers.json").read_text())
KINDS = ["plain", *(f"zipped_{packing.name.lower()}" for packing in Packing)]


def require_answers(histograms):
    """Compare all histograms with what ROOT says of them."""
    by_name = {display_name(path): histogram for path, histogram in histograms.items()}
    assert by_name.keys() == ANSWERS.keys() - {"later"}
    for name, histogram in by_name.items():
        require_answer(histogram, ANSWERS[name])


def require_answer(histogram, answer):
    assert histogram.class_name == answer["class"]
    assert histogram.title == answer["title"].split(";")[0]
    for axis, edges, labels in zip(histogram.axes, answer["edges"], answer["labels"], strict=True):
        np.testing.assert_allclose(axis.edges, edges, rtol=1e-15)
        assert {str(number): text for number, text in axis.labels.items()} == labels
    values = np.ravel(histogram.values(flow=True), order="F")
    np.testing.assert_array_equal(np.nan_to_num(values), answer["contents"])
    if not histogram.class_name.startswith("TProfile"):
        errors = np.sqrt(np.ravel(histogram.variances(flow=True), order="F"))
        np.testing.assert_allclose(errors, answer["errors"])
    assert histogram.sums["entries"] == answer["entries"]
    names = [name for name in histogram.sums if name != "entries"]
    assert sorted(histogram.sums[name] for name in names) == pytest.approx(sorted(answer["stats"]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layouts", ["streamers", "streamers_zipped", None])
def test_messages_of_root_are_decoded_to_its_numbers(kind, layouts):
    found = read_messages(genuine(kind), genuine(layouts)[0] if layouts else None)
    assert not found.problems
    assert found.unsupported == {"no histogram": "TObjString"}
    require_answers(LazyHistograms(found.histograms))


def test_layouts_made_here_serve_as_well_as_those_of_root():
    found = read_messages(genuine("plain")[:1], known_layouts_message(Packing.ZSTD))
    assert list(found.histograms) == [("h1f",)]


def test_the_next_object_of_a_layout_is_taken_by_its_template():
    reader, layouts = MessageReader(), genuine("streamers")[0]
    read_messages(genuine("plain"), layouts, reader)
    reader._walk = None  # a walk would fail
    found = read_messages(genuine("later"), layouts, reader)
    require_answer(LazyHistograms(found.histograms)["h1f",], ANSWERS["later"])


@pytest.mark.parametrize("little_endian", [False, True])
@pytest.mark.parametrize("packing", [None, *Packing])
def test_a_message_is_unpacked_to_what_was_packed(packing, little_endian):
    for original in genuine("plain"):
        content = original[HEAD:]
        again = message(content, packing, little_endian=little_endian)
        assert bytes(object_bytes(again, Budget(Limits()))) == content
        if packing is None and not little_endian:
            assert again == original


def test_a_long_object_is_packed_into_several_blocks():
    content = bytes(2**24) + bytes(range(256))
    assert bytes(object_bytes(message(content, Packing.LZ4), Budget(Limits()))) == content


def test_layouts_moved_into_an_array_are_those_of_the_list():
    found = class_layouts(known_layouts_message(), Budget(Limits()))
    assert [member.name for member in found.members("TH2F", 4, None)] == ["TH2", "TArrayF"]
    assert found.members("TAxis", 10, None)[2].name == "fNbins"


PLAIN = genuine("plain")[0]
ZIPPED = genuine("zipped_zlib")[0]


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "a message of 0 bytes; an object takes at least 38"),
        (PLAIN[:-1], "cut short or no TMessage"),
        (PLAIN + b"\0", "cut short or no TMessage"),
        (PLAIN[:4] + struct.pack(">I", 3) + PLAIN[8:], "a message of kind 0x3, expected an object"),
        (ZIPPED[:8] + struct.pack(">I", 2**31) + ZIPPED[12:], "states 2,147,483,648 unpacked bytes"),
        (ZIPPED[:8] + struct.pack(">I", 5000) + ZIPPED[12:], "packed blocks unpack to 685 bytes, but the key states"),
        (ZIPPED[:30] + bytes(20) + ZIPPED[50:], "damaged packed bytes"),
        (PLAIN[:8] + bytes(len(PLAIN) - 8), "a message of no object"),
        (PLAIN[:12] + b"\x80\0\0\x09" + PLAIN[16:], "has class number 9"),
    ],
)
def test_every_bad_message_has_one_reason_and_the_next_good_one_is_read(payload, reason):
    reader = MessageReader()
    found = read_messages([payload, PLAIN], None, reader)
    assert [text for text in found.problems.values() if reason in text], found.problems
    assert len(found.problems) == 1
    assert list(found.histograms) == [("h1f",)]


def test_a_message_of_unknown_classes_names_the_first():
    odd = PLAIN.replace(b"TH1F\0", b"TH1Q\0")
    found = read_messages([odd], genuine("streamers")[0])
    assert found.unsupported or found.problems
    assert not found.histograms


def test_memory_is_refused_before_it_is_taken():
    with pytest.raises(OverBudget, match="more than max_megabytes=0"):
        read_messages(genuine("zipped_zlib"), None, limits=Limits(megabytes=0.0005))
    with pytest.raises(OverBudget, match="CPU time"):
        read_messages(genuine("plain") * 40, None, limits=Limits(seconds=0))
    many = read_messages([genuine("plain")[4]], None, limits=Limits(cells=10))
    assert many.problems == {"h2f": "168 cells, more than max_cells=10"}


@pytest.mark.parametrize("payload", [genuine("plain")[-1], genuine("streamers")[0].replace(b"TObjArray", b"TOddArray")])
def test_what_is_no_list_of_layouts_is_an_error(payload):
    with pytest.raises(SnapshotError, match=r"no list of them|lacks the layout"):
        MessageReader().layouts(payload, Budget(Limits()))


def test_older_versions_of_root_differ_by_few_members():
    known = known_layouts()
    newest, older = ([member.name for member in known.members("TH1", version, None)] for version in (8, 6))
    assert newest == [*older, "fBinStatErrOpt", "fStatOverflows"]
    assert known.members("TH2F", 3, None) == known.members("TH2F", 4, None)


def test_templates_stay_within_their_number(monkeypatch):
    monkeypatch.setattr("ingest.live.hlt.objects._TEMPLATES", 3)
    reader = MessageReader()
    found = read_messages(genuine("plain"), None, reader)
    assert len(found.histograms) == 12
    assert reader._count == sum(map(len, reader._templates.values())) == 3
    reader.forget()
    assert isinstance(read_messages(genuine("plain"), None, reader), ObjectsRead)
