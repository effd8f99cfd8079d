"""A ROOT file -> Snapshot, by uproot, without ROOT."""

import io
import re
import struct
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import uproot
from numpy.typing import NDArray

from ingest import naming
from owtrend.errors import SnapshotError
from owtrend.snapshot import Axis, Histogram, Snapshot, display_name

__all__ = ["SnapshotReader", "written"]

_HISTOGRAM = re.compile(r"TH[123][CSILFD]|TProfile(2D|3D)?")
_FOLDER = re.compile(r"TDirectory(File)?")
_BYTES_PER_CELL = {"C": 1, "S": 2, "I": 4, "F": 4}
_IS_AVERAGE = 1 << 18  # TH1::kIsAverage
_SUMS = ("fEntries", "fTsumw", "fTsumw2", "fTsumwx", "fTsumwx2", "fTsumwy", "fTsumwy2", "fTsumwxy",
         "fTsumwz", "fTsumwz2", "fTsumwxz", "fTsumwyz", "fTsumwt", "fTsumwt2")  # fmt: skip
_ERROR_OPTIONS = ("", "s", "i", "g")  # EErrorType of TProfile, in its order


class SnapshotReader:
    """Reads files of monitoring histograms, each into a `Snapshot`; keep one reader per thread.

    Parameters
    ----------
    max_cells
        A histogram with more cells (bins, flow included) is refused by name before it is unpacked.
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

    def read(self, source: str | Path | bytes, name: str | None = None) -> Snapshot:
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
            Every histogram inside, also in folders; where a key has several cycles, the highest. What cannot be read
            is in ``problems``, what is no histogram in ``unsupported``.

        Raises
        ------
        SnapshotError
            If it is no ROOT file, empty, cut short or damaged beyond its objects; one line says what was found.
        """
        label = name or ("<bytes>" if isinstance(source, bytes) else str(source))
        data = source if isinstance(source, bytes) else _contents(Path(source), label)
        _check_header(data, label)
        histograms: dict[tuple[str, ...], Histogram] = {}
        problems: dict[str, str] = {}
        unsupported: dict[str, str] = {}
        try:
            with uproot.open(io.BytesIO(data), array_cache=None, object_cache=None) as file:
                for path, key in _keys(file):
                    if not _HISTOGRAM.fullmatch(key.fClassName):
                        unsupported[display_name(path)] = key.fClassName
                        continue
                    try:
                        histograms[path] = self._histogram(path, key)
                    except Exception as error:  # uproot raises whatever a damaged object makes it stumble on
                        problems[display_name(path)] = _reason(error)
        except Exception as error:  # as above, for the file's own records
            raise SnapshotError(
                f"{label}: damaged ROOT file ({_reason(error)}); copy it again or leave it out"
            ) from error
        told = naming.parse(label, self.patterns) or naming.FileName()
        try:
            when_written = _written(data, label)
        except SnapshotError:  # only who needs the date refuses a file without
            when_written = None
        return Snapshot(
            histograms=histograms,
            subsystem=told.subsystem,
            run=told.run,
            time=naming.to_utc(told.time, self.timezone)[0] if told.time else None,
            mode=told.mode,
            written=when_written,
            source=label,
            problems=problems,
            unsupported=unsupported,
        )

    def _histogram(self, path: tuple[str, ...], key: Any) -> Histogram:
        """The histogram behind ``key``; raises SnapshotError if it is larger than we want or than we can tell."""
        at_most = key.fObjlen // _BYTES_PER_CELL.get(key.fClassName[-1], 8)
        if at_most > self.max_cells:
            raise SnapshotError(f"about {at_most:,} cells, more than max_cells={self.max_cells:,}")
        root = key.get()
        members = root.all_members
        if members.get("fBufferSize") and np.size(members.get("fBuffer")) and members["fBuffer"][0] != 0:
            raise SnapshotError("its entries are in an unflushed fill buffer, which is not read yet")
        class_name = key.fClassName
        dimension = 1 if class_name == "TProfile" else int(re.findall(r"\d", class_name)[0])
        axes = tuple(_axis(members[f"f{letter}axis"]) for letter in "XYZ"[:dimension])
        profile = class_name.startswith("TProfile")
        parts = {"sumwy" if profile else "contents": _flat(root.base(uproot.models.TArray.Model_TArray)[0])}
        for part, member in (
            [("sumwy2", "fSumw2"), ("bin_entries", "fBinEntries"), ("bin_sumw2", "fBinSumw2")]
            if profile
            else [("sumw2", "fSumw2")]
        ):
            if member in members and len(members[member]):  # class versions before 2010 lack fBinSumw2
                parts[part] = _flat(members[member])
        cells = int(np.prod([len(axis) + 2 for axis in axes]))
        for part, values in parts.items():
            if len(values) != cells:
                raise SnapshotError(f"{part} has {len(values)} cells where the axes have {cells}")
        return Histogram(
            path=path,
            class_name=class_name,
            axes=axes,
            parts=parts,
            sums={name[1:].lower(): float(members[name]) for name in _SUMS if name in members},
            title=_text(members["fTitle"]),
            error_option=_ERROR_OPTIONS[members["fErrorMode"]] if profile else "",
            gauge=bool(members["@fBits"] & _IS_AVERAGE),
        )


def _contents(path: Path, label: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SnapshotError(f"{label}: cannot be opened ({error.strerror or error})") from error


def _check_header(data: bytes, label: str) -> None:
    """Raise SnapshotError unless the header is ROOT's and the file as long as it says."""
    if not data:
        raise SnapshotError(f"{label}: empty file (0 bytes); expected a ROOT file")
    if data[:4] != b"root" or len(data) < 64:
        raise SnapshotError(f"{label}: not a ROOT file ({len(data)} bytes that begin with {data[:8]!r})")
    (version,) = struct.unpack_from(">i", data, 4)
    (end,) = struct.unpack_from(">q" if version >= 1_000_000 else ">i", data, 12)
    if end > len(data):
        raise SnapshotError(f"{label}: cut short ({len(data):,} of {end:,} bytes); copy it again")


def written(path: Path) -> datetime:
    """When a file was last written by its own header: local time of the writing host, no zone.

    Raises
    ------
    SnapshotError
        If it is no ROOT file.
    """
    data = _contents(path, str(path))
    _check_header(data, str(path))
    return _written(data, str(path))


def _written(data: bytes, label: str) -> datetime:
    version, begin = struct.unpack_from(">ii", data, 4)
    # fEND and fSeekFree are 8 bytes long in large files; then fNbytesFree, nfree, fNbytesName (TFile::WriteHeader).
    try:
        (name_bytes,) = struct.unpack_from(">i", data, 12 + (16 if version >= 1_000_000 else 8) + 8)
        (bits,) = struct.unpack_from(">I", data, begin + name_bytes + 6)  # fDatimeM, as TDatime packs it
    except struct.error as error:
        raise SnapshotError(f"{label}: damaged header, no date in it; give times by --pattern") from error
    parts = (bits >> 26) + 1995, bits >> 22 & 15, bits >> 17 & 31, bits >> 12 & 31, bits >> 6 & 63, bits & 63
    try:
        return datetime(*parts)
    except ValueError as error:
        raise SnapshotError(f"{label}: no valid date in its header (found {parts}); give times by --pattern") from error


def _keys(folder: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """``(path, key)`` of everything in and below ``folder``; of several cycles the highest.

    Over the key objects, because look-up by name fails for names with ``/``.
    """
    newest: dict[str, Any] = {}
    for key in folder._keys:
        if key.fName not in newest or key.fCycle > newest[key.fName].fCycle:
            newest[key.fName] = key
    for name, key in newest.items():
        if _FOLDER.fullmatch(key.fClassName):
            yield from _keys(key.get(), (*above, _text(name)))
        else:
            yield (*above, _text(name)), key


def _flat(array: Any) -> NDArray[Any]:
    """A TArray as NumPy, in native byte order and owning its memory."""
    values = np.asarray(array)
    return np.array(values, dtype=values.dtype.newbyteorder("="))


def _text(name: Any) -> str:
    """A string of the file; ROOT does not say its encoding: UTF-8, else Latin-1."""
    raw = str(name).encode(errors="surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _axis(root: Any) -> Axis:
    axis = SimpleNamespace(**root.all_members)
    named = getattr(axis, "fLabels", None) or ()  # Geant4's own writer leaves the list out
    labels = {int(label.member("@fUniqueID")): _text(label) for label in named}
    if len(axis.fXbins):
        return Axis(_flat(axis.fXbins), regular=False, title=_text(axis.fTitle), labels=labels)
    spaced = Axis.spaced(axis.fNbins, axis.fXmin, axis.fXmax)
    return Axis(spaced.edges, title=_text(axis.fTitle), labels=labels)


def _reason(error: Exception) -> str:
    """The first line of an exception's text, with its class where the text alone would say little."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return text if isinstance(error, SnapshotError) else f"{text} ({type(error).__name__})"
