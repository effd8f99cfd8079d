"""The record of a file's class layouts (its list of ``TStreamerInfo``) -> `ClassLayouts`."""

from collections.abc import Callable

from ingest.decode.class_layouts import ClassLayouts, Member
from ingest.decode.compression import Buffer
from ingest.decode.streamer import DAMAGE, STREAMERS, ObjectWalk, RootObject
from ingest.limits import Budget
from owtrend.errors import SnapshotError

__all__ = ["INFO_STREAMERS", "read_class_layouts"]

_MEMBERS = 2**12  # of one class; a real one has a hundred


def read_class_layouts(
    record: Buffer, keylen: int, budget: Budget | None = None, *, behind_pointer: bool = False
) -> ClassLayouts:
    """The class layouts that a file, or a message, carries.

    Parameters
    ----------
    record
        The unpacked record of the file's ``TStreamerInfo`` list.
    keylen
        Length of its key [bytes], which references inside are counted from.
    behind_pointer
        The list begins with its class, as in a message: it may be any collection. In a file it is a ``TList``.

    Raises
    ------
    SnapshotError
        If the record is damaged.
    OverBudget
        If it takes more than the ``budget`` of its file allows.
    """
    layouts = ClassLayouts()
    if not len(record):
        return layouts
    try:
        walk = ObjectWalk(record, keylen, layouts, budget, streamers=INFO_STREAMERS)
        infos = walk.pointer() if behind_pointer else walk.versioned("TList")
        if infos is None or infos.items is None or infos.missing:
            raise SnapshotError("damaged class layouts: no list of them")
        for info in infos.items:
            if info is None or info.class_name != "TStreamerInfo":  # a list of rules is among them since ROOT 5
                continue
            members = [
                Member(
                    name=element.members["fName"],
                    kind=element.members["fType"],
                    type_name=element.members["fTypeName"].removesuffix("*").strip(),
                    length=element.members["fArrayLength"],
                    counted_by=element.members.get("fCountName", ""),
                )
                for element in info.members["fElements"].items or []
                if element is not None
            ]
            if len(members) > _MEMBERS:
                raise SnapshotError(f"a class layout with {len(members):,} members; expected at most {_MEMBERS:,}")
            checksum = info.members["fCheckSum"] & 0xFFFFFFFF
            layouts.add(info.members["fName"], info.members["fClassVersion"], checksum, members)
    except SnapshotError:
        raise
    except DAMAGE as error:
        raise SnapshotError(f"damaged class layouts ({type(error).__name__}: {error})") from error
    return layouts


def _streamer_info(walk: ObjectWalk, target: RootObject, version: int) -> None:
    walk.versioned("TNamed", into=target)
    target.members["fCheckSum"] = walk.number("I")
    target.members["fClassVersion"] = walk.number("i")
    elements = walk.pointer()
    if elements is None or elements.items is None:
        raise SnapshotError("a class layout without members")
    target.members["fElements"] = elements


def _element(walk: ObjectWalk, target: RootObject, version: int) -> None:
    stop, element_version = walk.version()
    walk.versioned("TNamed", into=target)
    target.members["fType"] = walk.number("i")
    _, target.members["fArrayLength"] = walk.number("i"), walk.number("i")
    _ = walk.number("i")
    walk.skip(4 * (walk.number("i") if element_version == 1 else 5))  # fMaxIndex
    target.members["fTypeName"] = walk.text()
    if stop is not None:
        walk.skip(stop - walk.position)


def _string_element(walk: ObjectWalk, target: RootObject, version: int) -> None:
    """A ``std::string`` member, whose class derives from the one of all standard collections."""
    stop, _ = walk.version()
    _element(walk, target, version)
    if stop is not None:
        walk.skip(stop - walk.position)


def _counted_element(walk: ObjectWalk, target: RootObject, version: int) -> None:
    """An array member, with the name of the member that holds its length."""
    _element(walk, target, version)
    walk.skip(4)
    target.members["fCountName"] = walk.text()


# The classes in this record. Their own layouts are not in the file.
INFO_STREAMERS: dict[str, Callable[[ObjectWalk, RootObject, int], None]] = {
    **STREAMERS,
    "TStreamerInfo": _streamer_info,
    **dict.fromkeys(
        ["TStreamerBase", "TStreamerBasicType", "TStreamerString", "TStreamerObject", "TStreamerObjectAny",
         "TStreamerObjectPointer", "TStreamerObjectAnyPointer", "TStreamerSTL",
         "TStreamerArtificial"], _element),
    "TStreamerSTLstring": _string_element,
    "TStreamerBasicPointer": _counted_element,
    "TStreamerLoop": _counted_element,
}  # fmt: skip
