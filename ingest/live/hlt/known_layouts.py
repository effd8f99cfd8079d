"""Class layouts that owtrend knows: for messages that come without any, and for those that the sender makes.

They are what `owtrend.output.root_writer` writes into a file, and versions of ROOT 5.34 to 6.40 that differ from these
by few members, as files of these releases list them.
"""

import struct
from functools import cache
from io import BytesIO

import numpy as np

from ingest.decode.class_layouts import ClassLayouts
from ingest.decode.compression import unpack
from ingest.decode.records import RootFile
from ingest.decode.streamer import ObjectWalk, RootObject
from ingest.decode.streamer_info import INFO_STREAMERS, read_class_layouts
from ingest.live.hlt.tmessage import HEAD, Packing, message, with_class
from owtrend.model import root_sums
from owtrend.model.axis import Axis
from owtrend.model.histogram import DTYPES, Histogram

__all__ = ["known_layouts", "known_layouts_message", "layouts_message"]

_COUNT, _NEW_CLASS, _CLASS = 0x40000000, 0xFFFFFFFF, 0x80000000  # kByteCountMask, kNewClassTag, kClassMask
_REFERENCE = 2  # kMapOffset
_ARRAY_HEAD = struct.Struct(">IhHIIBii")  # TObjArray: its length, version 3; TObject; no name; items; lower bound
_ON_HEAP = 0x02000000  # TObject::kNotDeleted


# Other versions of a class: which, from which version, and the members that they lack.
_VERSIONS: dict[str, tuple[int, dict[int, set[str]]]] = {
    "TAxis": (10, {9: {"fModLabs"}}),
    "TH1": (8, {7: {"fStatOverflows"}, 6: {"fStatOverflows", "fBinStatErrOpt"}}),
    "TH2": (5, {4: set()}),
    "TH3": (6, {5: set()}),
    "TAttLine": (2, {1: set()}),
    "TAttFill": (2, {1: set()}),
    "TAttMarker": (2, {3: set()}),
    **{f"TH1{letter}": (3, {1: set(), 2: set()}) for letter in "CSIFD"},
    **{f"TH{dimension}{letter}": (4, {3: set()}) for dimension in (2, 3) for letter in "CSIFD"},
}


@cache
def known_layouts() -> ClassLayouts:
    """Layouts of all classes of histograms."""
    layouts = read_class_layouts(*_record())
    for name, (newest, versions) in _VERSIONS.items():
        for version, lacking in versions.items():
            members = [member for member in layouts.members(name, newest, None) if member.name not in lacking]
            layouts.add(name, version, 0, members)
    return layouts


@cache
def known_layouts_message(packing: Packing | None = None) -> bytes:
    """The message that announces these layouts to a receiver."""
    return layouts_message(*_record(), packing)


def layouts_message(record: bytes, keylen: int, packing: Packing | None = None) -> bytes:
    """The message of the class layouts in a file's record, a ``TObjArray`` as the HLT's merger sends it.

    Objects refer to the classes of earlier ones by position, so each reference is moved with what it refers to.
    """
    walk = _ItemWalk(record, keylen)
    first = HEAD + len(with_class("TObjArray", b"")) + _ARRAY_HEAD.size
    moved: list[tuple[int, int, int]] = []  # an item's start and stop in the record, and its start in the message
    for start, stop in walk.items:
        moved.append((start, stop, first + sum(end - begin for begin, end, _ in moved)))
    out = bytearray().join(record[start:stop] for start, stop in walk.items)

    def to_message(position: int) -> int:
        return next(to + position - start for start, stop, to in moved if start <= position < stop)

    for at in walk.references:
        (tag,) = struct.unpack_from(">I", record, at)
        referred = to_message((tag & ~_CLASS) - keylen - _REFERENCE) + _REFERENCE
        struct.pack_into(">I", out, to_message(at) - first, (tag & _CLASS) | referred)
    length = _ARRAY_HEAD.size - 4 + len(out)
    head = _ARRAY_HEAD.pack(length | _COUNT, 3, 1, 0, _ON_HEAP, 0, len(moved), 0)
    return message(with_class("TObjArray", head + out), packing)


class _ItemWalk(ObjectWalk):
    """A walk over a ``TList`` that notes where each item begins and ends, and where one refers to an earlier one."""

    def __init__(self, record: bytes, keylen: int) -> None:
        super().__init__(record, keylen, ClassLayouts(), streamers=INFO_STREAMERS)
        self.references: list[int] = []
        self.items: list[tuple[int, int]] = []
        self.version()
        self.skip(10)  # TObject
        self.text()
        for _ in range(self.number("i")):
            start = self.position
            self.pointer()
            self.items.append((start, self.position))
            self.skip(self.number("B"))  # the drawing option

    def pointer(self) -> RootObject | None:
        at = self.position
        (tag,) = struct.unpack_from(">I", self.data, at)
        if tag & _COUNT and tag != _NEW_CLASS:
            at += 4
            (tag,) = struct.unpack_from(">I", self.data, at)
        if tag not in (0, _NEW_CLASS):
            self.references.append(at)
        return super().pointer()


@cache
def _record() -> tuple[bytes, int]:
    """The unpacked record of class layouts of a file with one histogram of each class, and the length of its key."""
    import uproot

    from owtrend.output.root_writer import root_object

    content = BytesIO()
    with uproot.recreate(content) as file:
        file.update({histogram.class_name: root_object(histogram) for histogram in _one_of_each()})
        found = RootFile(content.getvalue(), "layouts").class_record()
    assert found is not None, "uproot writes the layouts of what it writes"
    key, packed = found
    return bytes(unpack(packed, key.objlen)), key.keylen


def _one_of_each() -> list[Histogram]:
    histograms = []
    for dimension in (1, 2, 3):
        cells = np.zeros(3**dimension)
        axis = Axis.spaced(1, 0, 1)
        labelled = Axis(axis.edges, labels={1: "a"})
        profile = {"sumwy": cells, "sumwy2": cells, "bin_entries": cells}
        kinds = [(f"TH{dimension}{letter}", {"contents": cells}) for letter in DTYPES]
        kinds.append(("TProfile" + ("" if dimension == 1 else f"{dimension}D"), profile))
        for class_name, parts in kinds:
            names = root_sums.names(dimension, profile="sumwy" in parts)
            histograms.append(
                Histogram(
                    path=(class_name,), class_name=class_name, axes=(labelled,) * dimension, parts=parts,
                    sums=dict.fromkeys(names, 0.0),
                )
            )  # fmt: skip
    return histograms
