"""A folder of ROOT files to a committed store, from end to end: time, size on disk, memory."""

from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path

import numpy as np

import owtrend
from benchmarks import plain
from benchmarks.inputs import Compare, Record, Size, Source
from benchmarks.peak import peaks
from ingest import SnapshotReader
from ingest.archive import ingest as archive
from ingest.archive.source_file import SourceFile


def ingester(folder: Path, files: Iterable[SourceFile], **options: object) -> Callable[[], Path]:
    """A function that ingests the files into a new store at each call."""
    numbers = count()

    def ingest() -> Path:
        location = folder / f"store{next(numbers)}"
        summary = archive.ingest(archive.FoundFiles(list(files)), location, **options)
        assert summary.quarantined == 0
        return location

    return ingest


def size_on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_ingest_against_decode(
    source: Source, size: Size, compare: Compare, workers: Callable[[int], str], tmp_path: Path
) -> None:  # fmt: skip
    """One worker process of one thread, already running, against `SnapshotReader` alone on the same files in one
    thread; the files several times, as several runs, into a new store. Ingest reads one file of each run twice, to
    look for new histograms.
    """
    files = source.copied(size.copies)

    def decode() -> None:
        reader = SnapshotReader()
        for file in files:
            reader.read(file.path)

    compare(
        "one worker", f"{source.label}, {size.copies} times", ingester(tmp_path, files, scheduler=workers(1)),
        "decode alone", decode, amount=sum(file.size for file in files) / 1e6, rate_unit="MB/s", target=">= 0.5 x",
        at_most=3,
    )  # fmt: skip


def test_ingest_against_uproot_and_numpy(source: Source, compare: Compare, tmp_path: Path) -> None:
    """In this process, against uproot and `np.savez` of the stacked values and variances, not compressed."""
    numbers = count()
    compare(
        "this process", source.label, ingester(tmp_path, source.files, workers=0), "uproot and savez",
        lambda: plain.uproot_to_npz(source.files, tmp_path / f"npz{next(numbers)}", compressed=False),
        amount=source.bytes / 1e6, rate_unit="MB/s", at_most=3,
    )  # fmt: skip
    check_contents(source, tmp_path / "store0")


def test_two_workers_against_one(
    source: Source, size: Size, compare: Compare, workers: Callable[[int], str], tmp_path: Path
) -> None:  # fmt: skip
    """Two worker processes against one, both already running; the same files as several runs, as a run of a
    subsystem is one task.
    """
    files = source.copied(max(size.copies, 2))
    compare(
        "two workers", f"{source.label}, {max(size.copies, 2)} times",
        ingester(tmp_path / "two", files, scheduler=workers(2)), "one worker",
        ingester(tmp_path / "one", files, scheduler=workers(1)),
        amount=sum(file.size for file in files) / 1e6, rate_unit="MB/s", target=">= 1.7 x",
        at_most=3,
    )  # fmt: skip


def test_size_on_disk(source: Source, record: Record, tmp_path: Path) -> None:
    """All bytes of a new store, catalogue and provenance included, against the ROOT files, and against
    `np.savez_compressed` of the values and variances.
    """
    store = size_on_disk(ingester(tmp_path, source.files, workers=0)())
    plain.uproot_to_npz(source.files, tmp_path / "npz", compressed=True)
    fraction = f"{store / source.bytes:.2f} of the ROOT files"
    record("size", source.label, store, "B", "ROOT files", source.bytes, target=">= 4 x", remark=fraction)
    record("size", source.label, store, "B", "savez_compressed", size_on_disk(tmp_path / "npz"))


def test_peak_memory_of_ingest(source: Source, size: Size, record: Record, tmp_path: Path) -> None:
    """One long run of the largest subsystem, made by repeating its files; the whole process, modules included;
    against uproot and `np.savez` of a run.
    """
    files = source.prolonged(size.long)
    ours, theirs = peaks(["ingest", "uproot"], files, tmp_path)
    where = f"{source.label}, {size.long} snapshots"
    record("peak memory", where, ours, "B", "uproot and savez", theirs, target="< 2 GiB")


def check_contents(source: Source, location: Path) -> None:
    """The last snapshot of the largest subsystem is in the store as uproot reads it."""
    last = source.largest[-1]
    opened = owtrend.open(location)
    for name, (values, _) in plain.uproot_histograms(last.path).items():
        histogram = opened.histogram(last.subsystem, name, run=last.run, flow=True)
        if "contents" in histogram:
            np.testing.assert_array_equal(histogram["contents"][-1].values, values)
