"""One snapshot file -> arrays: `SnapshotReader` against uproot itself, and against ROOT."""

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks import plain
from benchmarks.inputs import Compare, Source
from ingest import SnapshotReader

REMARK = "our reader still calls uproot for every object"


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
        amount=source.bytes / 1e6, rate_unit="MB/s", target=">= 20 x", remark=REMARK,
    )  # fmt: skip


def test_decode_against_root(source: Source, compare: Compare, root: Callable[[Sequence[str]], int]) -> None:
    """The same, against PyROOT in a process of its own: open the file, read every key, copy contents and sumw2 to
    NumPy, free the object.
    """
    assert root(source.paths) == read_all(source)
    compare(
        "all files", source.label, lambda: read_all(source), "PyROOT", lambda: root(source.paths),
        amount=source.bytes / 1e6, rate_unit="MB/s", target=">= 1.5 x", remark=REMARK,
    )  # fmt: skip
