"""Files of folders -> those to ingest, each with subsystem, run and time; and the reasons against the others."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ingest import naming
from ingest.archive.source_file import SourceFile, quarantine_line
from ingest.decode import reader
from ingest.renaming import Renaming
from owtrend.display import DisplayedFields
from owtrend.errors import SnapshotError, UsageError

__all__ = ["FoundFiles", "find_files"]

_MODE = re.compile(r"""\bhltMode['"]?\s*:\s*['"]?(\w+)""")  # Overwatch writes {hltMode: C}, people write a line


_UNKNOWN = "name not recognised (give --pattern; for a single file --run and --subsystem)"


@dataclass(repr=False)
class FoundFiles(DisplayedFields):
    """The files of some folders: those to ingest, and the reasons against the others, each with an example."""

    files: list[SourceFile] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    quarantine: list[str] = field(default_factory=list)

    def skip(self, reason: str, example: str) -> None:
        """Count a file that is left out; the first of each reason is its example."""
        self.skipped[reason] += 1
        self.examples.setdefault(reason, example)


def find_files(
    sources: Iterable[str | Path], *, patterns: Sequence[str] = (), timezone: str = naming.CERN,
    run: int | None = None, subsystem: str | None = None, rename: Sequence[str] = (),
) -> FoundFiles:  # fmt: skip
    """The snapshot files in folders (all levels, links followed), or given one by one.

    Parameters
    ----------
    patterns
        Patterns of paths with subsystem, run and time, in addition to Overwatch's; see `ingest.naming.parse`.
    timezone
        Zone of the times in names and in the headers of the files.
    run, subsystem
        For files whose name lacks them; a file given by itself, and with both, may have any name. A time that the name
        lacks is read from the file's header.
    rename
        Rules for names of histograms; a group ``run`` in a pattern gives the run where the file's name lacks it.

    Raises
    ------
    UsageError
        If a source does not exist.
    """
    if subsystem is not None and not re.fullmatch(r"[\w-]+", subsystem):
        raise UsageError(f"subsystem {subsystem!r}: expected a word such as EMC, without slashes or blanks")
    renaming = Renaming.compile(rename)
    compiled = tuple(naming.Pattern.compile(text) for text in patterns)
    result = FoundFiles()
    modes: dict[Path, str] = {}
    later: dict[int, int] = {}
    for root, path in _walk(sources):
        single = root == path
        label = path.relative_to(root.parent if single else root).as_posix()
        if naming.is_product(label):
            result.skip("product of Overwatch (combined, timeSlice, replay)", label)
            continue
        if not label.endswith(".root") and not single:
            continue
        if path.name.startswith("."):
            result.skip("half-written (its name begins with a dot)", label)
            continue
        # The whole path: subsystem or run may be in the name of a given folder, or above it.
        whole = path.absolute().as_posix()
        file_name = naming.parse(whole, compiled)
        if file_name is None and single and run is not None and subsystem is not None:
            file_name = naming.FileName(text=path.name)
        if file_name is None:
            result.skip(_UNKNOWN, f"{label}: {naming.reason(label, compiled)}")
            continue
        if file_name.mode == "E":
            result.skip("replay data (HLT mode E)", label)
            continue
        number = file_name.run if file_name.run is not None else run
        name = file_name.subsystem or subsystem
        if number is None and name is not None and renaming.reads_run:
            try:
                number = renaming.run(reader.key_names(path))
            except SnapshotError as error:
                result.skip("the run is not in its name, and it cannot be read", f"{label}: {error}")
                continue
        if number is None or name is None:
            missing = " and no ".join(["run"] * (number is None) + ["subsystem"] * (name is None))
            result.skip(f"no {missing} in the file name ({_ways(number is None, name is None)})", label)
            continue
        if not 0 < number <= naming.LARGEST_RUN:
            result.skip("run 0" if number == 0 else "no run has this number: expected 1 to 2^63 - 1", label)
            continue
        try:
            status = path.stat()
        except OSError:  # a broken link, or gone since the folder was listed
            result.skip("cannot be opened", label)
            continue
        file = SourceFile(
            path=str(path.absolute()), source=label, parsed=file_name.text, subsystem=name, run=number, time=0,
            size=status.st_size, mtime=status.st_mtime_ns, mode=file_name.mode or _mode(path, modes),
        )  # fmt: skip
        local = file_name.time
        if local is None:
            try:
                local = reader.written(path)
            except SnapshotError as error:
                result.quarantine.append(quarantine_line(file, str(error)))
                continue
        when, ambiguous = naming.to_utc(local, timezone)
        result.files.append(replace(file, time=int(when.astype(np.int64)), ambiguous=ambiguous))
        if ambiguous:
            later[len(result.files) - 1] = int(naming.to_utc(local, timezone, later=True)[0].astype(np.int64))
    _settle(result.files, later)
    return result


def _ways(run: bool, subsystem: bool) -> str:
    """What gives a run and a subsystem that names of files lack."""
    from_names = "--rename 'Run (?P<run>[0-9]+)/=' if it is in the names of histograms"
    ways = [f"give --run, or {from_names}"] * run + ["give --subsystem"] * subsystem
    return "; ".join(ways)


def _settle(files: list[SourceFile], later: dict[int, int]) -> None:
    """Resolve times that the clock change makes ambiguous: the ``later`` one where the rest of the run implies it."""
    for key in {(files[number].subsystem, files[number].run) for number in later}:
        of_run = [(number, file) for number, file in enumerate(files) if (file.subsystem, file.run) == key]
        numbers = [number for number, _ in of_run if number in later]
        certain = np.array([file.time for _, file in of_run if not file.ambiguous], dtype=np.int64)
        times = (
            np.array([files[number].time for number in numbers]),
            np.array([later[number] for number in numbers]),
        )
        if (is_later := naming.are_later(certain, *times)) is not None:
            for number in numbers:
                time = later[number] if is_later else files[number].time
                files[number] = replace(files[number], time=time, ambiguous=False)


def _walk(sources: Iterable[str | Path]) -> Iterator[tuple[Path, Path]]:
    """Yields (source, file) of all files in the sources, sorted in each folder.

    Linked folders come after the others, and no folder comes twice: a link may lead back to where it is.
    """
    for source in map(Path, sources):
        if not source.exists():
            raise UsageError(f"{source}: no such file or folder")
        if source.is_file():
            yield source, source
            continue
        seen: set[tuple[int, int]] = set()
        waiting = [source]
        while waiting:
            linked: list[Path] = []
            for start in waiting:
                for folder, folders, names in os.walk(start):
                    identity = _identity(folder)
                    if identity is None or identity in seen:
                        folders.clear()
                        continue
                    seen.add(identity)
                    paths = [Path(folder, name) for name in sorted(folders)]
                    linked += [path for path in paths if path.is_symlink()]
                    folders[:] = [path.name for path in paths if not path.is_symlink()]
                    for name in sorted(names):
                        yield source, Path(folder, name)
            waiting = linked


def _identity(folder: str) -> tuple[int, int] | None:
    """The folder behind all links; None if it is gone."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _mode(path: Path, known: dict[Path, str]) -> str:
    """HLT mode by the runInfo.yaml of a processed run folder; empty if there is none."""
    folder = path.parent.parent
    if folder not in known:
        try:
            run_info = (folder / "runInfo.yaml").read_text(errors="replace")
        except OSError:
            run_info = ""
        match = _MODE.search(run_info)
        known[folder] = match[1] if match else ""
    return known[folder]
