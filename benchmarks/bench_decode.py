"""One snapshot file -> arrays: `SnapshotReader` against uproot, against ROOT, and against unpacking alone."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import deflate
import numpy as np
import pytest

from benchmarks import plain
from benchmarks.inputs import Compare, Source
from ingest import SnapshotReader
from ingest.decode.records import KeyList, RootFile
from ingest.decode.template import LazyHistograms
from ingest.limits import Budget
from ingest.live.hlt.known_layouts import known_layouts_message
from ingest.live.hlt.objects import MessageReader, ObjectsRead
from ingest.live.hlt.payload import LIMITS
from ingest.live.hlt.sender import histogram_message
from owtrend.model.histogram import Histogram


def read_all(source: Source) -> int:
    reader = SnapshotReader()
    return sum(len(reader.read(path)) for path in source.paths)


def test_decode_against_uproot(source: Source, compare: Compare) -> None:
    """All histograms of all files to `Snapshot`s, against `uproot.open` and `values(flow=True)` and
    `variances(flow=True)` of each; one thread.
    """
    snapshot = SnapshotReader().read(source.paths[-1])
    for name, (values, variances) in plain.uproot_histograms(source.paths[-1]).items():
        # uproot gives 0 for the mean of an empty bin of a profile, we NaN.
        np.testing.assert_array_equal(np.nan_to_num(snapshot[name].values(flow=True)), values)
        np.testing.assert_allclose(snapshot[name].variances(flow=True), variances)

    def theirs() -> None:
        for path in source.paths:
            plain.uproot_histograms(path)

    compare(
        "all files", source.label, lambda: read_all(source), "uproot", theirs,
        amount=source.bytes / 1e6, rate_unit="MB/s", target=">= 20 x",
    )  # fmt: skip


def test_decode_against_root(source: Source, compare: Compare, root: Callable[[Sequence[str]], int]) -> None:
    """The same, against PyROOT in its own process: open the file, read every key, copy contents and sumw2 to
    NumPy, free the object.
    """
    assert root(source.paths) == read_all(source)
    compare(
        "all files", source.label, lambda: read_all(source), "PyROOT", lambda: root(source.paths),
        amount=source.bytes / 1e6, rate_unit="MB/s", target=">= 1.5 x",
    )  # fmt: skip


def test_decode_against_unpacking_alone(source: Source, compare: Compare) -> None:
    """The same, against libdeflate unpacking the same records and nothing else: the limit for any reader."""
    packed = [block for path in source.paths for block in zlib_blocks(Path(path))]

    def theirs() -> None:
        for block, size in packed:
            deflate.zlib_decompress(block, size)

    compare(
        "all files", source.label, lambda: read_all(source), "libdeflate alone", theirs,
        amount=source.bytes / 1e6, rate_unit="MB/s",
    )  # fmt: skip


@pytest.mark.parametrize("layouts", ["known", "new"])
def test_decode_of_messages_against_uproot(layouts: str, source: Source, compare: Compare) -> None:
    """The histograms of the last file as plain messages of the HLT, by a receiver that has seen their layouts before
    or by a new one, against uproot's `read_object_any`, `values(flow=True)` and `variances(flow=True)` of each.
    """
    path = source.paths[-1]
    messages = [histogram_message(histogram) for histogram in SnapshotReader().read(path).values()]
    peer, known = plain.UprootMessages(path), MessageReader()

    def ours() -> list[Histogram]:
        reader = known if layouts == "known" else MessageReader()
        found = ObjectsRead(Budget(LIMITS, sum(map(len, messages))))
        announced = reader.layouts(known_layouts_message(), found.budget)
        for message in messages:
            reader.read(message, "", announced, found)
        assert not found.problems
        return list(LazyHistograms(found.histograms).values())

    expected = peer.histograms(messages)
    for histogram in ours():
        values, variances = expected[histogram.name]
        np.testing.assert_array_equal(np.nan_to_num(histogram.values(flow=True)), values)
        np.testing.assert_allclose(histogram.variances(flow=True), variances)
    compare(
        f"messages of {layouts} layouts", source.label, ours, "uproot", lambda: peer.histograms(messages),
        amount=sum(map(len, messages)) / 1e6, rate_unit="MB/s", target=">= 15 x" if layouts == "known" else "",
    )  # fmt: skip


def zlib_blocks(path: Path) -> Iterator[tuple[bytes, int]]:
    """The packed bytes of every object of a file in one block, and their unpacked size."""
    with RootFile(path, str(path)) as file:
        folders = [file.root]
        while folders:
            for key in KeyList(file.key_list(folders.pop())).keys:
                if key.class_name.startswith("TDirectory"):
                    folders.append(key.seek + key.keylen)
                record = bytes(file.bytes(key.seek + key.keylen, key.seek + key.nbytes))
                if len(record) < key.objlen < 2**24 and record[:2] == b"ZL":
                    yield record[9:], key.objlen
