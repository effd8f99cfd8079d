"""Class layouts: the members of each class version, as the ``TStreamerInfo`` of a file or message list them."""

from dataclasses import dataclass

from owtrend.errors import SnapshotError

__all__ = ["ARRAYS", "LACKS", "LISTS", "NUMBERS", "ClassLayouts", "Member"]

# Kinds of numbers by TVirtualStreamerInfo::EReadWrite, and the ``struct`` letter of each as stored.
NUMBERS = {
    1: "b", 2: "h", 3: "i", 4: "q", 5: "f", 6: "i", 8: "d", 11: "B", 12: "H", 13: "I", 14: "Q", 15: "I", 16: "q",
    17: "Q", 18: "?",
}  # fmt: skip
ARRAYS = {"TArrayC": "b", "TArrayS": "h", "TArrayI": "i", "TArrayL": "q", "TArrayL64": "q", "TArrayF": "f",
          "TArrayD": "d"}  # fmt: skip
LACKS = "the file lacks the layout of"  # begins the reason
LISTS = {"TList", "THashList", "TSortedList"}


@dataclass(frozen=True, slots=True)
class Member:
    """One member or base of a class."""

    name: str
    kind: int  # TVirtualStreamerInfo::EReadWrite
    type_name: str
    length: int  # of a fixed array
    counted_by: str  # the member that holds the length of a variable array


class ClassLayouts:
    """The class layouts of a file, by name and version, or by name and checksum."""

    def __init__(self) -> None:
        self._by_version: dict[tuple[str, int], list[Member]] = {}
        self._by_checksum: dict[tuple[str, int], list[Member]] = {}
        self._names: set[str] = set()

    def add(self, name: str, version: int, checksum: int, members: list[Member]) -> None:
        self._by_version[name, version] = members
        self._by_checksum[name, checksum] = members
        self._names.add(name)

    def completed(self, others: "ClassLayouts") -> "ClassLayouts":
        """These layouts, and of ``others`` those that are not among them."""
        result = ClassLayouts()
        result._by_version = others._by_version | self._by_version
        result._by_checksum = others._by_checksum | self._by_checksum
        result._names = others._names | self._names
        return result

    def members(self, name: str, version: int, checksum: int | None) -> list[Member]:
        """Members of a class, by ``checksum`` where there is one, else by ``version``.

        Raises
        ------
        SnapshotError
            If the file has no such layout.
        """
        members = self._by_version.get((name, version)) if checksum is None else self._by_checksum.get((name, checksum))
        if members is None:
            raise SnapshotError(f"{LACKS} {name} version {version}")
        return members

    def has_version(self, name: str, version: int) -> bool:
        """Whether the file has the layout of this version. A class without versions is found by its checksum."""
        return (name, version) in self._by_version

    def __contains__(self, name: str) -> bool:
        return name in self._names
