"""A ROOT file -> Snapshot, without ROOT: the first of a layout member by member, the following by what they share."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path as FilePath

import xxhash

from ingest.archive import naming
from ingest.decode.class_layouts import ClassLayouts
from ingest.decode.compression import Buffer, unpack
from ingest.decode.fill_buffer import flushed, is_filled
from ingest.decode.histogram import cells, cells_at_most, is_container, is_histogram, layout, leaves
from ingest.decode.records import Key, KeyList, RootFile, Scratch
from ingest.decode.streamer import DAMAGE, read_beginning, read_key_object
from ingest.decode.streamer_info import read_class_layouts
from ingest.decode.template import Contents, Template
from owtrend.errors import SnapshotError
from owtrend.model.histogram import Histogram, Path, display_name
from owtrend.model.snapshot import Snapshot

__all__ = ["SnapshotReader", "written"]

_FOLDERS = {"TDirectory", "TDirectoryFile"}
_DEPTH = 64  # of folders in folders
_CLASS_RECORDS, _FOLDER_LISTS, _TEMPLATES = 16, 4, 2**13  # remembered at most: of files, of one folder, in all
_LONGEST_KEPT = 2**20  # bytes of an object that is compared with the next
_LONGEST = 200  # of a reason; names in a damaged file may be anything
_BYTES_PER_CELL = 32  # of a profile with all its parts, the most that a histogram needs


@dataclass(slots=True)
class _Slot:
    """One key of a folder, and what is known of its object from the file before."""

    key: Key
    path: Path
    template: Template | None = None
    packed: bytes | None = None  # the bytes of the object in the file before
    contents: Contents | None = None  # and what they held
    unsupported: dict[str, str] = field(default_factory=dict)  # what is no histogram in it, by class

    @property
    def is_folder(self) -> bool:
        return self.key.class_name in _FOLDERS


@dataclass(slots=True)
class _Folder:
    """The keys of one folder as they were in some file."""

    keys: KeyList
    slots: list[_Slot]


@dataclass(slots=True)
class _Found:
    """What was read of one file so far."""

    histograms: dict[Path, tuple[Contents, int] | Histogram] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    unsupported: dict[str, str] = field(default_factory=dict)
    folders: set[int] = field(default_factory=set)


class _Histograms(Mapping[Path, Histogram]):
    """The histograms of one file: their numbers are there, the objects are made when asked for."""

    def __init__(self, found: dict[Path, tuple[Contents, int] | Histogram]) -> None:
        self._found = found

    def __getitem__(self, path: Path) -> Histogram:
        one = self._found[path]
        if not isinstance(one, Histogram):
            contents, number = one
            one = self._found[path] = contents[number]
        return one

    def __iter__(self) -> Iterator[Path]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class SnapshotReader:
    """Reads files of monitoring histograms, each into a `Snapshot`; keep one reader per thread.

    It remembers the layouts of what it read, so that the next snapshot of the same detector takes a tenth of the
    time. What it gives never depends on that.

    Parameters
    ----------
    max_cells
        A histogram with more cells (bins, flow included) is refused by name before it is unpacked. Below it, memory
        stays under twice the unpacked size of the largest object beside the histograms themselves.
    patterns
        How names tell subsystem, run and time, if not as Overwatch's do.
    timezone
        Zone of the times in names; what a snapshot carries is UTC.

    Examples
    --------
    >>> snapshot = SnapshotReader().read("tests/data/root/EMChistos_300000_C_2018_6_1_12_0_0.root")
    >>> snapshot.subsystem, snapshot.run, str(snapshot.time)
    ('EMC', 300000, '2018-06-01T10:00:00.000000000')
    """

    def __init__(
        self, max_cells: int = 2**24, patterns: tuple[naming.Pattern, ...] = (), timezone: str = naming.CERN
    ) -> None:
        self.max_cells = max_cells
        self.patterns = patterns
        self.timezone = timezone
        self._classes: OrderedDict[bytes, ClassLayouts] = OrderedDict()
        self._folders: OrderedDict[tuple[bytes, Path], list[_Folder]] = OrderedDict()
        self._slots = 0
        self._scratch = Scratch()

    def read(self, source: str | FilePath | Buffer, name: str | None = None) -> Snapshot:
        """The snapshot in a file, or in the bytes of one.

        Parameters
        ----------
        source
            Path, or the file's contents.
        name
            Path that tells subsystem, run and time, if it is not that of ``source``.

        Returns
        -------
        :
            Every histogram inside, also in folders and containers; where a key has several cycles, the highest. What
            cannot be read is in ``problems``, what is no histogram in ``unsupported``.

        Raises
        ------
        SnapshotError
            If it is no ROOT file, empty, cut short or damaged beyond its objects; one line says what was found.
        """
        told_by_path = isinstance(source, str | FilePath)
        label = name or (str(source) if told_by_path else "<bytes>")
        found = _Found()
        with RootFile(FilePath(source) if isinstance(source, str) else source, label, self._scratch) as file:
            try:
                classes, layouts = self._classes_of(file)
                self._folder(file, file.root, (), layouts, classes, found)
            except DAMAGE as error:
                raise SnapshotError(
                    f"{label}: damaged ROOT file ({_reason(error)}); copy it again or leave it out"
                ) from error
            try:
                when_written = file.written
            except SnapshotError:  # only who needs the date refuses a file without
                when_written = None
        told = naming.parse(label, self.patterns) or naming.FileName()
        return Snapshot(
            histograms=_Histograms(found.histograms),
            subsystem=told.subsystem,
            run=told.run,
            time=naming.to_utc(told.time, self.timezone)[0] if told.time else None,
            mode=told.mode,
            written=when_written,
            source=label,
            problems=found.problems,
            unsupported=found.unsupported,
        )

    def _classes_of(self, file: RootFile) -> tuple[ClassLayouts, bytes]:
        """The class layouts that a file carries, and what tells them from others."""
        record = file.class_record()
        if record is None:
            return ClassLayouts(), b""
        key, packed = record
        known_by = xxhash.xxh3_128_digest(packed)
        if known_by not in self._classes:
            self._classes[known_by] = read_class_layouts(unpack(packed, key.objlen), key.keylen)
            if len(self._classes) > _CLASS_RECORDS:
                self._classes.popitem(last=False)
        self._classes.move_to_end(known_by)
        return self._classes[known_by], known_by

    def _folder(
        self, file: RootFile, position: int, path: Path, layouts: bytes, classes: ClassLayouts, found: _Found
    ) -> None:
        """Read the keys of the folder whose record lies at ``position``, and all below."""
        if position in found.folders or len(path) > _DEPTH:
            raise SnapshotError("a folder inside itself")
        found.folders.add(position)
        record = file.key_list(position)
        if not len(record):
            return
        folder, nbytes, seeks = self._remembered(record, path, layouts)
        histograms = found.histograms
        for slot, size, seek in zip(folder.slots, nbytes, seeks, strict=True):
            start, template = seek + slot.key.keylen, slot.template
            try:
                if template is not None:
                    # Components report every few minutes: most objects are as they were in the snapshot before.
                    packed = bytes(file.bytes(start, seek + size))  # of a file whose memory the next is read into
                    contents = slot.contents if packed == slot.packed else None
                    if contents is None:
                        data = file.unpacked(start, seek + size, slot.key.objlen)
                        if (contents := template.contents(data)) is None:
                            self._walk(slot, data, classes, found)
                            continue
                        if len(packed) <= _LONGEST_KEPT:
                            slot.packed, slot.contents = packed, contents
                    for number, one in enumerate(template.paths):
                        histograms[one] = contents, number
                    if slot.unsupported:
                        found.unsupported |= slot.unsupported
                elif slot.is_folder:
                    self._folder(file, start, slot.path, layouts, classes, found)
                else:
                    self._object(file, slot, start, seek + size, classes, found)
            except DAMAGE as error:
                found.problems[display_name(slot.path)] = _reason(error)

    def _remembered(self, record: Buffer, path: Path, layouts: bytes) -> tuple[_Folder, list[int], list[int]]:
        """The folder as known from another file, or else anew; size and position of each of its keys."""
        known = self._folders.get((layouts, path), [])
        for place, folder in enumerate(known):
            if again := folder.keys.again(record):
                known.insert(0, known.pop(place))
                self._folders.move_to_end((layouts, path))
                return folder, *again
        keys = KeyList(record)
        known_slots = {_identity(slot.key): slot for slot in known[0].slots} if known else {}
        slots: list[_Slot] = []
        for key in keys.keys:
            slot = _Slot(key, (*path, key.name))
            if (before := known_slots.get(_identity(key))) is not None:
                slot.template, slot.unsupported = before.template, before.unsupported
            slots.append(slot)
        folder = _Folder(keys, slots)
        self._folders[layouts, path] = [folder, *known[: _FOLDER_LISTS - 1]]
        self._folders.move_to_end((layouts, path))
        self._slots += 1 + len(slots) - sum(1 + len(one.slots) for one in known[_FOLDER_LISTS - 1 :])
        while self._slots > _TEMPLATES and len(self._folders) > 1:
            _, dropped = self._folders.popitem(last=False)
            self._slots -= sum(1 + len(one.slots) for one in dropped)
        return folder, [key.nbytes for key in keys.keys], [key.seek for key in keys.keys]

    def _object(self, file: RootFile, slot: _Slot, start: int, stop: int, classes: ClassLayouts, found: _Found) -> None:
        """Read an object of which no template is known, if it may hold histograms of a size that we want."""
        class_name, objlen = slot.key.class_name, slot.key.objlen
        if not is_histogram(class_name) and not is_container(class_name):
            found.unsupported[display_name(slot.path)] = class_name
            return
        if is_histogram(class_name) and cells_at_most(class_name, objlen) > self.max_cells:
            begins = file.beginning(start, stop, objlen)
            if (size := cells(read_beginning(begins, objlen, class_name, slot.key.keylen, classes))) > self.max_cells:
                raise SnapshotError(f"{size:,} cells, more than max_cells={self.max_cells:,}")
        if objlen > _BYTES_PER_CELL * self.max_cells + 2**20:
            raise SnapshotError(f"{objlen:,} bytes, more than histograms of max_cells={self.max_cells:,} may need")
        self._walk(slot, file.unpacked(start, stop, objlen), classes, found)

    def _walk(self, slot: _Slot, data: Buffer, classes: ClassLayouts, found: _Found) -> None:
        """Read one object member by member, and remember its layout if all of it could be read."""
        histograms, unsupported, problems = [], {}, {}
        for path, one in leaves(read_key_object(data, slot.key.class_name, slot.key.keylen, classes), slot.path):
            if not is_histogram(one.class_name):
                unsupported[display_name(path)] = one.class_name
                continue
            try:
                histograms.append((one, layout(one, path, data, self.max_cells)))
            except DAMAGE as error:
                problems[display_name(path)] = _reason(error)
        template = Template(data, [own for _, own in histograms])
        contents = template.contents(data)
        assert contents is not None, "an object differs from its own template"
        again = not problems
        for number, (one, own) in enumerate(histograms):
            found.histograms[own.path] = contents, number
            if is_filled(one, data):  # its bins, and where it has none its binning, are only now made
                again = False
                try:
                    found.histograms[own.path] = flushed(contents[number], one, data)
                except SnapshotError as error:
                    del found.histograms[own.path]
                    problems[display_name(own.path)] = _reason(error)
        found.unsupported |= unsupported
        found.problems |= problems
        slot.template = template if again else None
        slot.packed = slot.contents = None
        slot.unsupported = unsupported


def written(path: FilePath) -> datetime:
    """When a file was last written by its own header: local time of the writing host, no zone.

    Raises
    ------
    SnapshotError
        If it is no ROOT file.
    """
    with RootFile(path, str(path)) as file:
        return file.written


def _identity(key: Key) -> tuple[str, str, int, int]:
    """What two keys must share for their objects to have one layout, as far as a list of keys can tell."""
    return key.name, key.class_name, key.keylen, key.objlen


def _reason(error: Exception) -> str:
    """The first line of an exception's text, with its class where the text alone would say little."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    line = line if len(line) < _LONGEST else f"{line[:_LONGEST]}..."
    return line if isinstance(error, SnapshotError) else f"{line} ({type(error).__name__})"
