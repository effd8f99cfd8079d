"""A store that an earlier version wrote is read, upgraded without a changed number, and then finds damage."""

import tarfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from owtrend.cli import main
from owtrend.store.append import appender
from owtrend.store.layout import FORMAT
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from owtrend.store.upkeep.upgrade import upgrade
from tests import builders
from tests.store import faults

FIRST = Path(__file__).parents[2] / "data" / "store" / "format_1.tar.xz"


@pytest.fixture
def first(tmp_path):
    """A store of format 1: two runs with trends and scores."""
    with tarfile.open(FIRST) as archive:
        archive.extractall(tmp_path / "store", filter="data")
    return Store.open(tmp_path / "store")


def arrays(group):
    found = {name: group[name][...] for name in group.array_keys()}
    for name in group.group_keys():
        found |= {f"{name}/{inner}": values for inner, values in arrays(group[name]).items()}
    return found


@pytest.mark.slow
def test_a_store_of_format_1_is_read_and_written(first):
    assert (first.reader().format, check(first).problems) == (1, [])
    with appender(first) as live:
        live.append([builders.snapshot(minute, run=300002) for minute in range(3)])
        live.fold(everything=True)
    assert check(first).problems == []
    assert first.reader().format == 1


@pytest.mark.slow
def test_an_upgrade_changes_no_number_and_finds_damage_from_then_on(first):
    before, digest = arrays(first.reader().group), check(first).digest
    result = CliRunner().invoke(main.main, ["upgrade", first.location])
    assert result.output.startswith(f"{first.location}: upgraded to format {FORMAT}\n")
    after = arrays(Store.open(first.location).reader().group)
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values, err_msg=name)
    assert after.keys() - before.keys() == {"raw/EMC/row_hash"}
    assert (check(first).digest, check(first).problems) == (digest, [])
    faults.spoil(first, "trends/EMC/value", 0, 0, 0, 0)
    assert len(check(first).problems) == 1
    assert not upgrade(first)


@pytest.mark.slow
def test_an_interrupted_upgrade_goes_on(first):
    def interrupt(step, done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upgrade(first, interrupt)
    assert (first.reader().format, check(first).problems) == (1, [])
    assert upgrade(first)
    assert (first.reader().format, check(first).problems) == (FORMAT, [])
