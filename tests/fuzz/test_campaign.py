"""Mutated files: what the campaign makes is what it says, and nothing it makes does harm."""

import random
from pathlib import Path

import pytest

from ingest import SnapshotReader
from tests import builders
from tests.fuzz.campaign import Campaign, file_of
from tests.fuzz.unpacked import bomb, circle, objects, replaced

FIRST = Path(__file__).parents[1] / "data/root/EMChistos_300000_C_2018_6_1_12_0_0.root"
SEED = 16


@pytest.mark.parametrize("packed", [True, False])
def test_an_object_that_is_packed_again_is_read_from_its_new_place(packed):
    content = FIRST.read_bytes()
    for key, payload in objects(content):
        content = replaced(content, key, payload, packed=packed)
    assert SnapshotReader().read(content).digest == SnapshotReader().read(FIRST).digest
    key, payload = objects(content)[0]
    changed = SnapshotReader().read(replaced(content, key, payload[: len(payload) // 2], packed=packed))
    assert len(changed.problems) == 1


@pytest.mark.slow
def test_some_mutated_files_are_snapshots_or_reasons():
    campaign = Campaign(SEED)
    for number in range(25):
        campaign.take(number)
    assert campaign.findings == {}
    assert campaign.read == 25
    assert file_of(SEED, 3) == file_of(SEED, 3)


@pytest.mark.slow
def test_many_mutated_files_are_snapshots_or_reasons():
    campaign = Campaign(SEED)
    for number in range(25, 1000):
        campaign.take(number)
    assert campaign.findings == {}


@pytest.mark.slow
def test_circles_and_bombs_are_snapshots_or_reasons():
    content, chance = FIRST.read_bytes(), random.Random(SEED)
    for make in (circle, bomb):
        for _ in range(20):
            SnapshotReader().read(make(content, chance))


@pytest.mark.slow
def test_good_files_beside_mutated_ones_are_all_taken_in(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, n, 0] for n in range(20)]})
    for number in range(60):
        (tmp_path / "data" / f"EMChistos_300001_C_2018_6_1_12_{number}_0.root").write_bytes(file_of(SEED, number)[1])
    summary = builders.ingest(tmp_path / "data", tmp_path / "store")
    assert summary.runs["EMC"] == [300000, 300001]
    assert summary.added + summary.quarantined + summary.duplicates >= 80
    assert builders.ingest(tmp_path / "data", tmp_path / "store").added == 0
