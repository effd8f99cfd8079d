"""A walk over an object's bytes, member by member, by the class layouts that its file carries.

The walk records where every number and array lies, so that the next object of the same layout need not be walked.
Sources: ``TBufferFile`` (byte counts, class tags, references), ``TStreamerInfo`` and the streamers of ROOT's
collections, which have no class layout.
"""

import contextlib
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.decode.class_layouts import ARRAYS, LACKS, LISTS, NUMBERS, ClassLayouts, Member
from ingest.decode.compression import Buffer
from ingest.decode.records import text
from ingest.limits import Budget, Limits
from owtrend.errors import SnapshotError

__all__ = ["DAMAGE", "STREAMERS", "Array", "ObjectWalk", "RootObject", "read_beginning", "read_key_object"]

# Errors that damaged bytes cause in the readers, in addition to the SnapshotErrors of their checks.
DAMAGE = (struct.error, LookupError, ValueError, ArithmeticError, TypeError, AttributeError, RecursionError)

_COUNT, _NEW_CLASS, _CLASS = 0x40000000, 0xFFFFFFFF, 0x80000000  # kByteCountMask, kNewClassTag, kClassMask
_MAP_OFFSET = 2
_IS_REFERENCED = 1 << 4  # TObject bit: a process id of two bytes follows
_DEPTH = 100  # of objects inside objects
_OFTEN = 64  # visits between two looks at the clock

_BASE, _FIXED_ARRAY, _COUNTED_ARRAY = 0, 20, 40
_INLINE, _POINTER = {61, 62, 63, 68}, {64, 69}  # kObject, kAny, kObjectp, kAnyp; kObjectP, kAnyP
_TSTRING, _TOBJECT, _TNAMED = 65, 66, 67
_NOT_STREAMED = {"TQObject"}


@dataclass(frozen=True, slots=True)
class Array:
    """Position of numbers in an object's bytes: offset [bytes], ``struct`` letter of their kind, count."""

    offset: int
    kind: str
    count: int

    def values(self, data: Buffer) -> NDArray[Any]:
        """The numbers, in native byte order and owning their memory."""
        swapped = np.frombuffer(data, dtype=f">{self.kind}", count=self.count, offset=self.offset)
        return swapped.astype(self.kind)


@dataclass(slots=True)
class RootObject:
    """One object: its members and those of its bases, by name; the items of a collection.

    ``places`` has the offset of each member that is a number. A base that is an array is the member ``TArray``.
    """

    class_name: str
    members: dict[str, Any] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)
    items: list["RootObject | None"] | None = None
    missing: str = ""  # why not all of it was read, or the first member that was not

    @property
    def name(self) -> str:
        """The name as by ``TObject::GetName``; the class name where it has none."""
        if self.class_name == "TObjString":
            return str(self.members.get("fString", ""))
        return str(self.members.get("fName") or self.class_name)


def read_key_object(
    data: Buffer, class_name: str, keylen: int, classes: ClassLayouts, budget: Budget | None = None
) -> RootObject:
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
        If the bytes are no such object, or the file lacks the layout of its class.
    OverBudget
        If it has more objects inside, or takes more time, than the ``budget`` of its file allows.
    """
    try:
        return ObjectWalk(data, keylen, classes, budget).versioned(class_name)
    except SnapshotError:
        raise
    except DAMAGE as error:
        raise SnapshotError(f"damaged object ({type(error).__name__}: {error})") from error


def read_beginning(
    data: Buffer, length: int, class_name: str, keylen: int, classes: ClassLayouts, budget: Budget
) -> RootObject:
    """The members of an object of ``length`` bytes that lie in its first bytes ``data``."""
    target = RootObject(class_name)
    with contextlib.suppress(*DAMAGE):
        ObjectWalk(data, keylen, classes, budget, length=length).versioned(class_name, into=target)
    return target


class ObjectWalk:
    """One pass over an object's bytes; ``data`` may be only their beginning.

    What is inside an object is read up to the object's stated end, never beyond. So each object begins after the one
    before, and the walk ends, whatever the bytes are.

    Parameters
    ----------
    displacement
        Length of the object's key, which references are counted from [bytes].
    streamers
        The classes that are read by a function instead of a class layout; `STREAMERS` by default.
    length
        Size of the whole object [bytes], if ``data`` is only its beginning.
    """

    def __init__(
        self, data: Buffer, displacement: int, classes: ClassLayouts, budget: Budget | None = None,
        streamers: dict[str, Callable[["ObjectWalk", RootObject, int], None]] | None = None, length: int | None = None,
    ) -> None:  # fmt: skip
        self.end = len(data) if length is None else length  # of the innermost object whose end is stated
        self.data = data
        self.position = 0
        self.depth = 0
        self._objects = self._visits = 0
        self.budget = budget or Budget(Limits())
        self.displacement = displacement
        self.classes = classes
        self.streamers = STREAMERS if streamers is None else streamers
        self.read_so_far: dict[int, Any] = {}  # classes and objects by where they were written

    def number(self, kind: str) -> Any:
        (value,) = struct.unpack_from(f">{kind}", self.data, self.position)
        self.position += struct.calcsize(f">{kind}")
        return value

    def text(self) -> str:
        value, self.position = text(self.data, self.position, self.end)
        return value

    def skip(self, count: int) -> None:
        """Skip ``count`` bytes of the object."""
        if not 0 <= count <= self.end - self.position:
            raise SnapshotError(f"{count:,} bytes to skip, but {self.end - self.position:,} are left")
        self.position += count

    def _visit(self, new: bool) -> None:
        """Count an object, a ``new`` one or a base; ends the reading if the budget allows no more."""
        self._objects += new
        self._visits += 1
        if not self._visits % _OFTEN:
            self.budget.require_objects(self._objects)

    def cstring(self) -> str:
        stop = bytes(self.data[self.position : self.position + 256]).find(b"\0")
        if stop < 0:
            raise SnapshotError("a class name does not end within 256 bytes")
        value = bytes(self.data[self.position : self.position + stop]).decode("latin-1")
        self.position += stop + 1
        return value

    def array(self, kind: str, count: int) -> Array:
        width = struct.calcsize(f">{kind}")
        if not 0 <= count <= (self.end - self.position) // width:
            raise SnapshotError(f"an array of {count:,} numbers does not fit into {self.end - self.position:,} bytes")
        array = Array(self.position, kind, count)
        self.position += count * width
        return array

    def versioned(self, class_name: str, into: RootObject | None = None) -> RootObject:
        """Read an object that begins with its version; the members of a base go ``into`` the derived object."""
        outer = self.depth, self.end
        self.depth += 1
        if self.depth > _DEPTH:
            raise SnapshotError(f"objects are nested more than {_DEPTH} deep")
        self._visit(new=into is None)
        target = RootObject(class_name) if into is None else into
        stop, version = self.version()
        if stop is not None:
            self.end = stop
        if class_name in self.streamers:
            self.streamers[class_name](self, target, version)
        else:
            unversioned = version <= 0 and stop is not None and not self.classes.has_version(class_name, version)
            checksum = self.number("I") if unversioned else None
            self._members(target, self.classes.members(class_name, version, checksum), stop)
        if stop is not None:
            if self.position > stop:
                raise SnapshotError(
                    f"{class_name} version {version} is {self.position - stop} bytes longer than its stated length"
                )
            self.position = stop
        self.depth, self.end = outer
        return target

    def version(self) -> tuple[int | None, int]:
        """The end of the object, None if it is not stated, and the version of its class."""
        start = self.position
        count = self.number("I")
        if count & _COUNT:
            stop = start + 4 + (count & ~_COUNT)
            self._require_inside(stop)
            return stop, self.number("h")
        self.position = start
        return None, self.number("h")

    def _require_inside(self, stop: int) -> None:
        if stop > self.end:
            raise SnapshotError(f"an object ends {stop - self.end:,} bytes after the one that contains it")

    def _members(self, target: RootObject, layout: list[Member], stop: int | None) -> None:
        for member in layout:
            if target.missing:  # in a base
                return
            if not self._member(target, member):
                if stop is None:
                    raise SnapshotError(f"cannot skip member {member.name} of {target.class_name}: no stated length")
                target.missing = f"{member.name} ({member.type_name})"

    def _member(self, target: RootObject, member: Member) -> bool:
        """Read one member; False if its kind is unknown and its length is not stated."""
        kind, name, type_name = member.kind, member.name, member.type_name
        if kind in NUMBERS:
            target.places[name] = self.position
            target.members[name] = self.number(NUMBERS[kind])
        elif kind == _TOBJECT:
            _object(self, target, 0)
        elif kind == _BASE and name in _NOT_STREAMED:
            pass
        elif kind == _TNAMED or (kind == _BASE and name not in ARRAYS):
            self.versioned(name, into=target)
        elif kind == _BASE:
            target.members["TArray"] = self.array(ARRAYS[name], self.number("i"))
        elif kind == _TSTRING:
            target.members[name] = self.text()
        elif kind - _FIXED_ARRAY in NUMBERS:
            target.members[name] = self.array(NUMBERS[kind - _FIXED_ARRAY], member.length)
        elif kind - _COUNTED_ARRAY in NUMBERS:
            present = self.number("b")
            count = target.members.get(member.counted_by, 0) if present else 0
            target.members[name] = self.array(NUMBERS[kind - _COUNTED_ARRAY], count)
        elif kind in _INLINE and type_name in ARRAYS:
            target.members[name] = self.array(ARRAYS[type_name], self.number("i"))
        elif kind in _INLINE and (type_name in self.streamers or type_name in self.classes):
            target.members[name] = self.versioned(type_name)
        elif kind in _POINTER:
            target.members[name] = self.pointer()
        else:  # collections and strings of the standard library, and anything else with a stated length
            return self._skip()
        return True

    def _skip(self) -> bool:
        """Skip a member by its stated length; False if there is none."""
        if self.position + 4 > self.end:
            return False
        (count,) = struct.unpack_from(">I", self.data, self.position)
        stop = self.position + 4 + (count & ~_COUNT)
        if not count & _COUNT or stop > self.end:
            return False
        self.position = stop
        return True

    def pointer(self) -> RootObject | None:
        """Read the object behind a pointer (``TBufferFile::ReadObjectAny``); None for a null pointer."""
        self._visit(new=True)
        start, depth, end = self.position, self.depth, self.end
        stop: int | None = None
        tag = self.number("I")
        if tag & _COUNT and tag != _NEW_CLASS:
            stop = self.position + (tag & ~_COUNT)
            self._require_inside(stop)
            tag = self.number("I")
        if not tag & _CLASS:
            if stop is not None:
                self.skip(stop - self.position)
            known = self.read_so_far.get(tag) if tag else None
            if isinstance(known, str):
                raise SnapshotError(f"a pointer refers to the class {known} where an object belongs")
            return known
        if tag == _NEW_CLASS:
            tag_at = self.position - 4
            class_name = self.cstring()
            self.read_so_far[tag_at + self.displacement + _MAP_OFFSET] = class_name
        else:
            class_name = self.read_so_far.get(tag & ~_CLASS, "")
            if not isinstance(class_name, str) or not class_name:
                raise SnapshotError(f"an object has class number {tag & ~_CLASS}, which the file does not define")
        if stop is not None:
            if stop < self.position:
                raise SnapshotError(f"{class_name} ends {self.position - stop} bytes before it begins")
            self.end = stop
        target = RootObject(class_name)
        self.read_so_far[start + self.displacement + _MAP_OFFSET] = target
        if class_name in self.streamers or class_name in self.classes:
            try:
                self.versioned(class_name, into=target)
            except SnapshotError as error:
                if stop is None:
                    raise
                target.missing = str(error)
        elif stop is None:
            raise SnapshotError(f"{LACKS} {class_name}")
        else:
            target.missing = f"{LACKS} {class_name}"
        self.depth, self.end = depth, end
        if stop is not None:
            if self.position > stop:  # by numbers at its very end: what has a length was not read beyond it
                target.missing = f"{class_name} is {self.position - stop} bytes longer than its stated length"
            self.position = stop
        return target


def _object(walk: ObjectWalk, target: RootObject, version: int) -> None:
    """Read a TObject as base or member: a version without a length, id and bits."""
    walk.position += 2
    target.places["fUniqueID"] = walk.position
    target.members["fUniqueID"] = walk.number("I")
    target.members["fBits"] = walk.number("I")
    if target.members["fBits"] & _IS_REFERENCED:
        walk.position += 2


def _named(walk: ObjectWalk, target: RootObject, version: int) -> None:
    _object(walk, target, version)
    target.members["fName"] = walk.text()
    target.members["fTitle"] = walk.text()


def _string(walk: ObjectWalk, target: RootObject, version: int) -> None:
    _object(walk, target, version)
    target.members["fString"] = walk.text()


def _items(walk: ObjectWalk, target: RootObject, count: int, options: bool) -> None:
    target.items = []
    for _ in range(count):
        target.items.append(walk.pointer())
        if options:
            walk.skip(1 + walk.data[walk.position])  # the drawing option; 255 characters and more never occur


def _list(walk: ObjectWalk, target: RootObject, version: int) -> None:
    if version <= 3:  # ROOT 2
        raise SnapshotError(f"{target.class_name} has version {version}; owtrend reads those of ROOT 3 and later")
    _object(walk, target, version)
    target.members["fName"] = walk.text()
    _items(walk, target, walk.number("i"), options=True)


def _object_array(walk: ObjectWalk, target: RootObject, version: int) -> None:
    if version > 2:
        _object(walk, target, version)
    if version > 1:
        target.members["fName"] = walk.text()
    count, _ = walk.number("i"), walk.number("i")
    _items(walk, target, count, options=False)


def _map(walk: ObjectWalk, target: RootObject, version: int) -> None:
    if version > 2:
        _object(walk, target, version)
    if version > 1:
        target.members["fName"] = walk.text()
    target.items = []
    for _ in range(walk.number("i")):
        key, value = walk.pointer(), walk.pointer()
        target.items += [key, value]


def _canvas(walk: ObjectWalk, target: RootObject, version: int) -> None:
    """Read a canvas: a pad, then members that `versioned` skips."""
    walk.versioned("TPad", into=target)


# Classes with a streamer of their own instead of a class layout.
STREAMERS: dict[str, Callable[[ObjectWalk, RootObject, int], None]] = {
    "TNamed": _named,
    "TObjString": _string,
    **dict.fromkeys(LISTS, _list),
    "TObjArray": _object_array,
    "TMap": _map,
    "TCanvas": _canvas,
}
