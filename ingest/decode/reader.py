"""A ROOT file -> `Snapshot`, without ROOT: objects of a new layout member by member, known layouts by a template."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path as FilePath

import xxhash

from ingest import naming
from ingest.decode.class_layouts import ClassLayouts
from ingest.decode.compression import Buffer, unpack
from ingest.decode.histogram import cells, cells_at_most, is_container, is_histogram, listed, reason, require_short
from ingest.decode.records import Key, KeyList, RootFile, Scratch
from ingest.decode.streamer import DAMAGE, read_beginning, read_key_object
from ingest.decode.streamer_info import read_class_layouts
from ingest.decode.template import Contents, LazyHistograms, Template, histograms_in, prepare
from ingest.limits import Budget, Limits, OverBudget
from owtrend.errors import SnapshotError
from owtrend.model.histogram import Histogram, Path, display_name
from owtrend.model.snapshot import Snapshot

__all__ = ["SnapshotReader", "key_names", "written"]

_FOLDERS = {"TDirectory", "TDirectoryFile"}
_DEPTH = 64  # nested folders
_CLASS_RECORDS = 16  # class layouts kept
_FOLDER_LISTS = 4  # lists of keys kept per folder
_TEMPLATES = 2**13  # keys kept in all
_LONGEST_KEPT = 2**20  # [bytes] packed objects up to this size are kept to compare with the next file
_OFTEN = 64  # keys between two looks at the clock


@dataclass(slots=True)
class _Slot:
    """One key of a folder, with what the file before had in its place."""

    key: Key
    path: Path
    template: Template | None = None
    packed: bytes | None = None  # packed bytes of the object in the file before
    contents: Contents | None = None  # and their numbers
    unsupported: dict[str, str] = field(default_factory=dict)  # names of other objects in it, with their class

    @property
    def nbytes(self) -> int:
        """Memory of what is remembered of it [bytes]."""
        return 0 if self.template is None else 2 * self.template.length + self.template.size

    @property
    def is_folder(self) -> bool:
        return self.key.class_name in _FOLDERS


@dataclass(slots=True)
class _Folder:
    """The keys of one folder in an earlier file."""

    keys: KeyList
    slots: list[_Slot]


@dataclass(slots=True)
class _FileRead:
    """Everything read from one file so far, and what is left of its budget."""

    budget: Budget
    histograms: dict[Path, tuple[Contents, int] | Histogram] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    unsupported: dict[str, str] = field(default_factory=dict)
    folders: set[int] = field(default_factory=set)


class SnapshotReader:
    """Reader of files of monitoring histograms, each into a `Snapshot`; use one reader per thread.

    It remembers the layouts of the objects it read, so the next snapshot of the same detector takes a tenth of the
    time. The result never depends on that.

    Parameters
    ----------
    max_cells
        Histograms with more cells (bins, flow included) are listed in ``problems`` and not unpacked.
    patterns
        Patterns of file names with subsystem, run and time, in addition to Overwatch's.
    timezone
        Zone of the times in names. Times of snapshots are UTC.
    limits
        All limits on what one file may take, instead of ``max_cells``.

    Examples
    --------
    >>> snapshot = SnapshotReader().read("tests/data/root/EMChistos_300000_C_2018_6_1_12_0_0.root")
    >>> snapshot.subsystem, snapshot.run, str(snapshot.time)
    ('EMC', 300000, '2018-06-01T10:00:00.000000000')
    """

    def __init__(
        self, max_cells: int = 2**24, patterns: tuple[naming.Pattern, ...] = (), timezone: str = naming.CERN,
        limits: Limits | None = None,
    ) -> None:  # fmt: skip
        self.limits = limits or Limits(max_cells)
        self.patterns = patterns
        self.timezone = timezone
        self._classes: OrderedDict[bytes, ClassLayouts] = OrderedDict()
        self._folders: OrderedDict[tuple[bytes, Path], list[_Folder]] = OrderedDict()
        self._slots = 0
        self._remembered_bytes = 0
        self._scratch = Scratch()

    def read(self, source: str | FilePath | Buffer, name: str | None = None) -> Snapshot:
        """The snapshot in a file, or in the bytes of one.

        Parameters
        ----------
        source
            Path, or the file's contents.
        name
            Path with subsystem, run and time, if ``source`` has another or none.

        Returns
        -------
        :
            All histograms, also those in folders and containers, each in its highest cycle. ``problems`` lists
            histograms that could not be read, ``unsupported`` the objects that are no histograms.

        Raises
        ------
        SnapshotError
            If the file is no ROOT file, empty, cut short, damaged outside its objects, or takes more than the limits.
        """
        label = name or (str(source) if isinstance(source, str | FilePath) else "<bytes>")
        prepare()
        with RootFile(FilePath(source) if isinstance(source, str) else source, label, self._scratch) as file:
            read = _FileRead(Budget(self.limits, len(file)))
            try:
                classes, layouts = self._classes_of(file, read.budget)
                self._folder(file, file.root, (), layouts, classes, read)
            except DAMAGE as error:
                raise SnapshotError(
                    f"{label}: damaged ROOT file ({reason(error)}); copy it again or leave it out"
                ) from error
            except OverBudget as error:
                self._forget()
                raise SnapshotError(f"{label}: {error}, or leave it out") from error
            except MemoryError as error:
                self._forget()
                raise SnapshotError(
                    f"{label}: not enough free memory to read it; free some, run fewer workers, or leave it out"
                ) from error
            try:
                when_written = file.written
            except SnapshotError:  # a file without a date is refused only where the date is needed
                when_written = None
        file_name = naming.parse(label, self.patterns) or naming.FileName()
        return Snapshot(
            histograms=LazyHistograms(read.histograms),
            subsystem=file_name.subsystem,
            run=file_name.run,
            time=naming.to_utc(file_name.time, self.timezone)[0] if file_name.time else None,
            mode=file_name.mode,
            written=when_written,
            source=label,
            problems=read.problems,
            unsupported=read.unsupported,
        )

    def _forget(self) -> None:
        """Forget earlier files, which gives their memory back."""
        self._folders.clear()
        self._slots = self._remembered_bytes = 0

    def _classes_of(self, file: RootFile, budget: Budget) -> tuple[ClassLayouts, bytes]:
        """The class layouts that a file carries, and their hash."""
        record = file.class_record()
        if record is None:
            return ClassLayouts(), b""
        key, packed = record
        digest = xxhash.xxh3_128_digest(packed)
        if digest not in self._classes:
            budget.keep(0, len(packed) + key.objlen)
            self._classes[digest] = read_class_layouts(unpack(packed, key.objlen), key.keylen, budget)
            if len(self._classes) > _CLASS_RECORDS:
                self._classes.popitem(last=False)
        self._classes.move_to_end(digest)
        return self._classes[digest], digest

    def _folder(
        self, file: RootFile, position: int, path: Path, layouts: bytes, classes: ClassLayouts, read: _FileRead
    ) -> None:
        """Read the folder whose record lies at ``position``, and all folders in it."""
        if position in read.folders or len(path) > _DEPTH:
            raise SnapshotError(f"a folder contains itself, or folders are nested more than {_DEPTH} deep")
        read.folders.add(position)
        record = file.key_list(position)
        if not len(record):
            return
        folder, nbytes, seeks = self._remembered(record, path, layouts)
        histograms, budget = read.histograms, read.budget
        budget.count_keys(len(folder.slots))
        for number_of_key, (slot, size, seek) in enumerate(zip(folder.slots, nbytes, seeks, strict=True)):
            start, template = seek + slot.key.keylen, slot.template
            if not number_of_key % _OFTEN:
                budget.require_time()
            try:
                if template is not None:
                    # Components report every few minutes: most objects are unchanged since the snapshot before.
                    if size > _LONGEST_KEPT:
                        budget.keep(0, 2 * size)
                    packed = bytes(file.bytes(start, seek + size))  # a copy: the next file overwrites this memory
                    contents = slot.contents if packed == slot.packed else None
                    if contents is None:
                        budget.keep(template.size, slot.key.objlen)
                        data = file.unpacked(start, seek + size, slot.key.objlen)
                        if (contents := template.contents(data)) is None:
                            self._walk(slot, data, classes, read)
                            continue
                        if len(packed) <= _LONGEST_KEPT:
                            slot.packed, slot.contents = packed, contents
                    for number, histogram_path in enumerate(template.paths):
                        histograms[histogram_path] = contents, number
                    if slot.unsupported:
                        read.unsupported |= slot.unsupported
                elif slot.is_folder:
                    self._folder(file, start, slot.path, layouts, classes, read)
                else:
                    self._object(file, slot, start, seek + size, classes, read)
            except DAMAGE as error:
                read.problems[listed(slot.path)] = reason(error)

    def _remembered(self, record: Buffer, path: Path, layouts: bytes) -> tuple[_Folder, list[int], list[int]]:
        """The folder as in an earlier file, or a new one; size and position of each of its keys."""
        known = self._folders.get((layouts, path), [])
        for number, folder in enumerate(known):
            if again := folder.keys.again(record):
                known.insert(0, known.pop(number))
                self._folders.move_to_end((layouts, path))
                return folder, *again
        keys = KeyList(record)
        known_slots = {_identity(slot.key): slot for slot in known[0].slots} if known else {}
        slots: list[_Slot] = []
        for key in keys.keys:
            slot = _Slot(key, (*path, key.name))
            if (before := known_slots.get(_identity(key))) is not None:
                slot.template, slot.unsupported = before.template, before.unsupported
                self._remembered_bytes += slot.nbytes
            slots.append(slot)
        remembered = _Folder(keys, slots)
        self._folders[layouts, path] = [remembered, *known[: _FOLDER_LISTS - 1]]
        self._folders.move_to_end((layouts, path))
        self._slots += 1 + len(slots)
        self._drop(known[_FOLDER_LISTS - 1 :])
        while self._slots > _TEMPLATES and len(self._folders) > 1:
            self._drop(self._folders.popitem(last=False)[1])
        return remembered, [key.nbytes for key in keys.keys], [key.seek for key in keys.keys]

    def _drop(self, folders: list[_Folder]) -> None:
        """Count what was remembered of these folders no more."""
        self._slots -= sum(1 + len(folder.slots) for folder in folders)
        self._remembered_bytes -= sum(slot.nbytes for folder in folders for slot in folder.slots)

    def _object(
        self, file: RootFile, slot: _Slot, start: int, stop: int, classes: ClassLayouts, read: _FileRead
    ) -> None:
        """Read an object without a template, if it can have histograms within the limits."""
        class_name, objlen, budget = slot.key.class_name, slot.key.objlen, read.budget
        if not is_histogram(class_name) and not is_container(class_name):
            read.unsupported[listed(slot.path)] = class_name
            return
        budget.require_time()
        require_short(slot.path)
        if is_histogram(class_name) and cells_at_most(class_name, objlen) > self.limits.cells:
            begins = file.beginning(start, stop, objlen)
            histogram = read_beginning(begins, objlen, class_name, slot.key.keylen, classes, budget)
            if (size := cells(histogram)) > self.limits.cells:
                raise SnapshotError(f"{size:,} cells, more than max_cells={self.limits.cells:,}")
        if not budget.holds(needed := 2 * objlen):
            raise SnapshotError(
                f"{needed / 1e6:,.0f} MB of memory, more than max_megabytes={self.limits.memory / 1e6:,.0f}"
            )
        if not budget.holds(self._remembered_bytes + budget.kept + needed):
            self._forget()
        budget.keep(0, stop - start + needed)
        self._walk(slot, file.unpacked(start, stop, objlen), classes, read)

    def _walk(self, slot: _Slot, data: Buffer, classes: ClassLayouts, read: _FileRead) -> None:
        """Read one object member by member; remember its layout if all of it could be read."""
        whole = read_key_object(data, slot.key.class_name, slot.key.keylen, classes, read.budget)
        found = histograms_in(whole, slot.path, data, read.budget)
        read.histograms |= found.histograms
        read.unsupported |= found.unsupported
        read.problems |= found.problems
        self._remembered_bytes -= slot.nbytes
        slot.template = found.template if found.reusable else None
        self._remembered_bytes += slot.nbytes
        slot.packed = slot.contents = None
        slot.unsupported = found.unsupported


def key_names(path: FilePath) -> Iterator[str]:
    """Displayed names of the keys of a file, folder by folder; nothing is unpacked.

    Raises
    ------
    SnapshotError
        If the file is no ROOT file, or damaged.
    """
    with RootFile(path, str(path)) as file:
        budget = Budget(Limits(), len(file))
        waiting: list[tuple[int, Path]] = [(file.root, ())]
        seen: set[int] = set()
        try:
            while waiting:
                position, folder = waiting.pop()
                if position in seen or len(folder) > _DEPTH:
                    continue
                seen.add(position)
                record = file.key_list(position)
                keys = KeyList(record).keys if len(record) else []
                budget.count_keys(len(keys))
                for key in keys:
                    yield display_name((*folder, key.name))
                    if key.class_name in _FOLDERS:
                        waiting.append((key.seek + key.keylen, (*folder, key.name)))
        except DAMAGE as error:
            raise SnapshotError(f"{path}: damaged ROOT file ({reason(error)})") from error
        except OverBudget as error:
            raise SnapshotError(f"{path}: {error}") from error


def written(path: FilePath) -> datetime:
    """Time of the last write of a file, by its header: local time of the writing host, no zone.

    Raises
    ------
    SnapshotError
        If the file is no ROOT file, or its header has no valid date.
    """
    with RootFile(path, str(path)) as file:
        return file.written


def _identity(key: Key) -> tuple[str, str, int, int]:
    """The fields of a key that objects of one layout share."""
    return key.name, key.class_name, key.keylen, key.objlen
