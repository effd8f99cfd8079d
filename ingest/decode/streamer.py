"""Objects as ROOT streams them: the class layouts that a file carries, and a walk over an object's bytes by them.

The walk keeps where every number and array lies, so that the next object of the same layout need not be walked.
Sources: ``TBufferFile`` (byte counts, class tags, references), ``TStreamerInfo`` and the streamers of ROOT's own
collections, which have no class layout.
"""

import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.decode.records import Buffer, text
from owtrend.errors import SnapshotError

__all__ = ["DAMAGE", "Array", "Classes", "RootObject", "read_beginning", "read_key_object"]

# What bytes that are not what they should be make the readers stumble on, beside the SnapshotErrors of their checks.
DAMAGE = (struct.error, LookupError, ValueError, ArithmeticError, TypeError, AttributeError, RecursionError)

_COUNT, _NEW_CLASS, _CLASS = 0x40000000, 0xFFFFFFFF, 0x80000000  # kByteCountMask, kNewClassTag, kClassMask
_MAP_OFFSET = 2
_IS_REFERENCED = 1 << 4  # TObject bit: a process id of two bytes follows
_DEPTH = 100  # of objects inside objects

# TVirtualStreamerInfo::EReadWrite: the numbers, as they lie in a file.
_NUMBERS = {
    1: "b", 2: "h", 3: "i", 4: "q", 5: "f", 6: "i", 8: "d", 11: "B", 12: "H", 13: "I", 14: "Q", 15: "I", 16: "q",
    17: "Q", 18: "?",
}  # fmt: skip
_BASE, _FIXED_ARRAY, _COUNTED_ARRAY = 0, 20, 40
_INLINE, _POINTER = {61, 62, 63, 68}, {64, 69}  # kObject, kAny, kObjectp, kAnyp; kObjectP, kAnyP
_TSTRING, _TOBJECT, _TNAMED = 65, 66, 67
_ARRAYS = {"TArrayC": "b", "TArrayS": "h", "TArrayI": "i", "TArrayL": "q", "TArrayL64": "q", "TArrayF": "f",
           "TArrayD": "d"}  # fmt: skip
_NOT_STREAMED = {"TQObject"}
_LISTS = {"TList", "THashList", "TSortedList"}


@dataclass(frozen=True, slots=True)
class Array:
    """Numbers inside an object's bytes: where they begin, ``struct`` letter of their kind, how many."""

    offset: int
    kind: str
    count: int

    def values(self, data: Buffer) -> NDArray[Any]:
        """The numbers, in native byte order and owning their memory."""
        swapped = np.frombuffer(data, dtype=f">{self.kind}", count=self.count, offset=self.offset)
        return swapped.astype(self.kind)


@dataclass(slots=True)
class RootObject:
    """One object: its members and its bases' by name; a collection's items.

    ``places`` tells where the numbers among the members lie. A base that is an array is the member ``TArray``.
    """

    class_name: str
    members: dict[str, Any] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    items: list["RootObject | None"] | None = None
    missing: str = ""  # why not all of it was read, or the first member that was not

    @property
    def name(self) -> str:
        """As ``TObject::GetName``: the class where it has none."""
        if self.class_name == "TObjString":
            return str(self.members.get("fString", ""))
        return str(self.members.get("fName") or self.class_name)


@dataclass(frozen=True, slots=True)
class _Element:
    name: str
    kind: int
    type_name: str
    length: int  # of a fixed array
    counted_by: str


class Classes:
    """The class layouts of a file, by name and version.

    Parameters
    ----------
    record
        The unpacked record of a file's ``TStreamerInfo`` list; empty for none.
    keylen
        Length of its key.
    """

    def __init__(self, record: Buffer = b"", keylen: int = 0) -> None:
        self._layouts: dict[tuple[str, int], list[_Element]] = {}
        self._by_checksum: dict[tuple[str, int], list[_Element]] = {}
        self._names: set[str] = set()
        if not len(record):
            return
        try:
            self._read(record, keylen)
        except SnapshotError:
            raise
        except DAMAGE as error:
            raise SnapshotError(f"damaged class layouts ({type(error).__name__}: {error})") from error

    def layout(self, name: str, version: int, checksum: int | None) -> list[_Element]:
        """Members of a class; raises SnapshotError if the file does not tell."""
        found = self._layouts.get((name, version)) if checksum is None else self._by_checksum.get((name, checksum))
        if found is None:
            raise SnapshotError(f"the file does not tell the layout of {name} version {version}")
        return found

    def tells(self, name: str, version: int) -> bool:
        """Whether the file tells the layout of this version; where it has none, a checksum stands for it."""
        return (name, version) in self._layouts

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def _read(self, record: Buffer, keylen: int) -> None:
        walk = _Walk(record, keylen, self, own=_STREAMER_CLASSES)
        infos = walk.versioned("TList", 0)
        for info in infos.items or []:
            if info is None or info.class_name != "TStreamerInfo":  # a list of rules is among them since ROOT 5
                continue
            elements = [
                _Element(
                    name=element.members["fName"],
                    kind=element.members["fType"],
                    type_name=element.members["fTypeName"].removesuffix("*").strip(),
                    length=element.members["fArrayLength"],
                    counted_by=element.members.get("fCountName", ""),
                )
                for element in info.members["fElements"].items or []
                if element is not None
            ]
            name, version = info.members["fName"], info.members["fClassVersion"]
            self._layouts[name, version] = elements
            self._by_checksum[name, info.members["fCheckSum"] & 0xFFFFFFFF] = elements
            self._names.add(name)


def read_key_object(data: Buffer, class_name: str, keylen: int, classes: Classes) -> RootObject:
    """The object that a key of class ``class_name`` holds.

    Parameters
    ----------
    data
        Its unpacked bytes.
    keylen
        Length of the key, which references inside the object are counted from.

    Raises
    ------
    SnapshotError
        If its bytes are not those of such an object, or the file does not tell their layout.
    """
    try:
        return _Walk(data, keylen, classes).versioned(class_name, 0)
    except SnapshotError:
        raise
    except DAMAGE as error:
        raise SnapshotError(f"damaged object ({type(error).__name__}: {error})") from error


def read_beginning(data: Buffer, length: int, class_name: str, keylen: int, classes: Classes) -> RootObject:
    """As much of an object of ``length`` bytes as its first bytes ``data`` tell: the members that lie in them."""
    made = RootObject(class_name)
    with contextlib.suppress(*DAMAGE):
        _Walk(data, keylen, classes, length=length).versioned(class_name, 0, into=made)
    return made


class _Walk:
    """One pass over an object's bytes, of which only the beginning may be at hand."""

    def __init__(
        self, data: Buffer, displacement: int, classes: Classes,
        own: dict[str, Callable[["_Walk", RootObject, int], None]] | None = None, length: int | None = None,
    ) -> None:  # fmt: skip
        self.length = len(data) if length is None else length
        self.data = data
        self.position = 0
        self.displacement = displacement
        self.classes = classes
        self.own = _OWN if own is None else own
        self.known: dict[int, Any] = {}  # classes and objects by where they were written

    def number(self, kind: str) -> Any:
        (value,) = struct.unpack_from(f">{kind}", self.data, self.position)
        self.position += struct.calcsize(f">{kind}")
        return value

    def text(self) -> str:
        value, self.position = text(self.data, self.position)
        return value

    def cstring(self) -> str:
        stop = bytes(self.data[self.position : self.position + 256]).find(b"\0")
        if stop < 0:
            raise SnapshotError("a class name without an end")
        value = bytes(self.data[self.position : self.position + stop]).decode("latin-1")
        self.position += stop + 1
        return value

    def array(self, kind: str, count: int) -> Array:
        width = struct.calcsize(f">{kind}")
        if not 0 <= count <= (self.length - self.position) // width:
            raise SnapshotError(f"an array of {count:,} numbers where {self.length - self.position:,} bytes are left")
        found = Array(self.position, kind, count)
        self.position += count * width
        return found

    def versioned(self, class_name: str, depth: int, into: RootObject | None = None) -> RootObject:
        """An object with a version before it, written by value; members of a base go ``into`` its heir."""
        if depth > _DEPTH:
            raise SnapshotError(f"objects inside objects, more than {_DEPTH} deep")
        made = RootObject(class_name) if into is None else into
        stop, version = self._version()
        if class_name in self.own:
            self.own[class_name](self, made, version)
        else:
            unversioned = version <= 0 and stop is not None and not self.classes.tells(class_name, version)
            checksum = self.number("I") if unversioned else None
            self._members(made, self.classes.layout(class_name, version, checksum), stop, depth)
        if stop is not None:
            if self.position > stop:
                raise SnapshotError(
                    f"{class_name} version {version} is {self.position - stop} bytes longer than stated"
                )
            self.position = stop
        return made

    def _version(self) -> tuple[int | None, int]:
        """Where the object ends, if that is told, and the version of its class."""
        start = self.position
        count = self.number("I")
        if count & _COUNT:
            stop = start + 4 + (count & ~_COUNT)
            if stop > self.length:
                raise SnapshotError(f"an object is {stop - self.length:,} bytes longer than what holds it")
            return stop, self.number("h")
        self.position = start
        return None, self.number("h")

    def _members(self, made: RootObject, layout: list[_Element], stop: int | None, depth: int) -> None:
        for element in layout:
            if made.missing:  # in a base
                return
            if not self._member(made, element, depth):
                if stop is None:
                    raise SnapshotError(f"cannot step over member {element.name} of {made.class_name}")
                made.missing = f"{element.name} ({element.type_name})"

    def _member(self, made: RootObject, element: _Element, depth: int) -> bool:
        """Read one member; False if it is of a kind that is not read and does not state its length."""
        kind, name, type_name = element.kind, element.name, element.type_name
        if kind in _NUMBERS:
            made.places[name] = self.position
            made.members[name] = self.number(_NUMBERS[kind])
        elif kind == _TOBJECT:
            _tobject(self, made, 0)
        elif kind == _BASE and name in _NOT_STREAMED:
            pass
        elif kind == _TNAMED or (kind == _BASE and name not in _ARRAYS):
            self.versioned(name, depth + 1, into=made)
        elif kind == _BASE:
            made.members["TArray"] = self.array(_ARRAYS[name], self.number("i"))
        elif kind == _TSTRING:
            made.members[name] = self.text()
        elif kind - _FIXED_ARRAY in _NUMBERS:
            made.members[name] = self.array(_NUMBERS[kind - _FIXED_ARRAY], element.length)
        elif kind - _COUNTED_ARRAY in _NUMBERS:
            present = self.number("b")
            count = made.members.get(element.counted_by, 0) if present else 0
            made.members[name] = self.array(_NUMBERS[kind - _COUNTED_ARRAY], count)
        elif kind in _INLINE and type_name in _ARRAYS:
            made.members[name] = self.array(_ARRAYS[type_name], self.number("i"))
        elif kind in _INLINE and (type_name in self.own or type_name in self.classes):
            made.members[name] = self.versioned(type_name, depth + 1)
        elif kind in _POINTER:
            made.members[name] = self.pointer(depth + 1)
        else:  # collections of the standard library, strings, whatever states its length
            return self._step_over()
        return True

    def _step_over(self) -> bool:
        """Leave out something that states its length, if it does."""
        if self.position + 4 > self.length:
            return False
        (count,) = struct.unpack_from(">I", self.data, self.position)
        stop = self.position + 4 + (count & ~_COUNT)
        if not count & _COUNT or stop > self.length:
            return False
        self.position = stop
        return True

    def pointer(self, depth: int) -> RootObject | None:
        """An object behind a pointer (``TBufferFile::ReadObjectAny``): new, seen before, or none."""
        start = self.position
        stop: int | None = None
        tag = self.number("I")
        if tag & _COUNT and tag != _NEW_CLASS:
            stop = self.position + (tag & ~_COUNT)
            if stop > self.length:
                raise SnapshotError(f"an object is {stop - self.length:,} bytes longer than what holds it")
            tag = self.number("I")
        if not tag & _CLASS:
            self.position = stop or self.position
            return self.known.get(tag) if tag else None
        if tag == _NEW_CLASS:
            tag_at = self.position - 4
            class_name = self.cstring()
            self.known[tag_at + self.displacement + _MAP_OFFSET] = class_name
        else:
            class_name = self.known.get(tag & ~_CLASS, "")
            if not isinstance(class_name, str) or not class_name:
                raise SnapshotError(f"an object of class number {tag & ~_CLASS}, which is not in the file")
        made = RootObject(class_name)
        self.known[start + self.displacement + _MAP_OFFSET] = made
        begin = self.position
        if class_name in self.own or class_name in self.classes:
            try:
                self.versioned(class_name, depth, into=made)
            except SnapshotError as error:
                if stop is None:
                    raise
                made.missing = str(error)
        elif stop is None:
            raise SnapshotError(f"the file does not tell the layout of {class_name}")
        else:
            made.missing = f"the file does not tell the layout of {class_name}"
        if stop is not None:
            if self.position > stop >= begin:
                made.missing = f"{class_name} is {self.position - stop} bytes longer than stated"
            self.position = stop
        return made


def _tobject(walk: _Walk, made: RootObject, version: int) -> None:
    """A TObject as base or member: a version without a length, id and bits."""
    walk.position += 2
    made.places["fUniqueID"] = walk.position
    made.members["fUniqueID"] = walk.number("I")
    made.members["fBits"] = walk.number("I")
    if made.members["fBits"] & _IS_REFERENCED:
        walk.position += 2


def _tnamed(walk: _Walk, made: RootObject, version: int) -> None:
    _tobject(walk, made, version)
    made.members["fName"] = walk.text()
    made.members["fTitle"] = walk.text()


def _tobjstring(walk: _Walk, made: RootObject, version: int) -> None:
    _tobject(walk, made, version)
    made.members["fString"] = walk.text()


def _titems(walk: _Walk, made: RootObject, count: int, options: bool) -> None:
    made.items = []
    for _ in range(count):
        made.items.append(walk.pointer(1))
        if options:
            walk.position += 1 + walk.data[walk.position]  # how to draw it; 255 and more never occur


def _tlist(walk: _Walk, made: RootObject, version: int) -> None:
    if version <= 3:  # ROOT 2
        raise SnapshotError(f"a {made.class_name} of version {version}; ROOT 3 and later are read")
    _tobject(walk, made, version)
    made.members["fName"] = walk.text()
    _titems(walk, made, walk.number("i"), options=True)


def _tobjarray(walk: _Walk, made: RootObject, version: int) -> None:
    if version > 2:
        _tobject(walk, made, version)
    if version > 1:
        made.members["fName"] = walk.text()
    count, _ = walk.number("i"), walk.number("i")
    _titems(walk, made, count, options=False)


def _tmap(walk: _Walk, made: RootObject, version: int) -> None:
    if version > 2:
        _tobject(walk, made, version)
    if version > 1:
        made.members["fName"] = walk.text()
    made.items = []
    for _ in range(walk.number("i")):
        key, value = walk.pointer(1), walk.pointer(1)
        made.items += [key, value]


def _tcanvas(walk: _Walk, made: RootObject, version: int) -> None:
    """A canvas is a pad, and more that `versioned` steps over."""
    walk.versioned("TPad", 1, into=made)


# Classes of ROOT with a streamer of their own.
_OWN: dict[str, Callable[[_Walk, RootObject, int], None]] = {
    "TNamed": _tnamed,
    "TObjString": _tobjstring,
    **dict.fromkeys(_LISTS, _tlist),
    "TObjArray": _tobjarray,
    "TMap": _tmap,
    "TCanvas": _tcanvas,
}


def _tstreamerinfo(walk: _Walk, made: RootObject, version: int) -> None:
    walk.versioned("TNamed", 1, into=made)
    made.members["fCheckSum"] = walk.number("I")
    made.members["fClassVersion"] = walk.number("i")
    elements = walk.pointer(1)
    if elements is None or elements.items is None:
        raise SnapshotError("a class layout without members")
    made.members["fElements"] = elements


def _tstreamerelement(walk: _Walk, made: RootObject, version: int) -> None:
    stop, own_version = walk._version()
    walk.versioned("TNamed", 1, into=made)
    made.members["fType"] = walk.number("i")
    _, made.members["fArrayLength"] = walk.number("i"), walk.number("i")
    _ = walk.number("i")
    walk.position += 4 * (walk.number("i") if own_version == 1 else 5)  # fMaxIndex
    made.members["fTypeName"] = walk.text()
    if stop is not None:
        walk.position = stop


def _tcounted(walk: _Walk, made: RootObject, version: int) -> None:
    """An array member, with the name of the member that tells its length."""
    _tstreamerelement(walk, made, version)
    walk.position += 4
    made.members["fCountName"] = walk.text()


# Classes of the record of class layouts: known without it.
_STREAMER_CLASSES: dict[str, Callable[[_Walk, RootObject, int], None]] = {
    **_OWN,
    "TStreamerInfo": _tstreamerinfo,
    **dict.fromkeys(
        ["TStreamerBase", "TStreamerBasicType", "TStreamerString", "TStreamerObject", "TStreamerObjectAny",
         "TStreamerObjectPointer", "TStreamerObjectAnyPointer", "TStreamerSTL", "TStreamerSTLstring",
         "TStreamerArtificial"], _tstreamerelement),
    "TStreamerBasicPointer": _tcounted,
    "TStreamerLoop": _tcounted,
}  # fmt: skip
