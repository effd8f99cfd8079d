"""A simulated store that slices and tables are exported from."""

import pytest

from ingest import simulate
from ingest.archive.ingest import find_files, ingest
from owtrend.compute import compute


@pytest.fixture(scope="package")
def simulated(tmp_path_factory):
    """Two runs of half an hour, a restart in the first, trends computed for that one only."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate(folder / "data", runs=2, snapshots=30, scale=0.002, faults=["restart", "rebinning"])
    ingest(find_files([folder / "data"]), folder / "store", workers=0)
    compute.compute(folder / "store", runs=[300000], workers=0, scores=False)
    return folder / "store"
