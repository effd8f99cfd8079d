import threading
from itertools import pairwise

import numpy as np
import pytest

from owtrend.compute.cluster import runner
from owtrend.compute.tasks import bin_count, blocks, join
from owtrend.store.repository import Store


@pytest.fixture
def reader(small_store):
    return Store.open(small_store).reader()


@pytest.mark.parametrize(
    ("sizes", "bounds"),
    [
        pytest.param([4, 4, 4], [0, 2, 3], id="as many as fit"),
        pytest.param([1, 99, 1], [0, 1, 2, 3], id="one too large is a block of its own"),
        pytest.param([5, 5], [0, 2], id="just full"),
    ],
)
def test_blocks_hold_neighbouring_histograms_up_to_the_limit(reader, sizes, bounds):
    found = list(blocks(reader, "there", "EMC", sizes, 10))
    assert [(block.first, block.last) for block in found] == list(pairwise(bounds))
    assert {(block.location, block.version, block.subsystem) for block in found} == {("there", reader.version, "EMC")}


def test_a_block_opens_its_own_histograms(reader, small_store):
    known = list(reader.subsystem("EMC").registry.histograms.values())
    opened = [block.open()[1] for block in blocks(reader, str(small_store), "EMC", map(bin_count, known), 1)]
    assert [[one.path for one in histograms] for histograms in opened] == [[one.path] for one in known]


def test_joined_blocks_are_the_arrays_of_all_histograms():
    whole = {"value": np.arange(24.0).reshape(2, 4, 3), "run_value": np.arange(12.0).reshape(4, 3)}
    parts = [{"value": whole["value"][:, a:b], "run_value": whole["run_value"][a:b]} for a, b in ((0, 1), (1, 4))]
    for name, joined in join(parts).items():
        np.testing.assert_array_equal(joined, whole[name])


def test_threads_hand_over_a_result_while_a_slow_task_runs():
    release = threading.Event()

    def work(number):
        assert number or release.wait(10)
        return number

    with runner(workers=0) as threads:
        if threads.workers < 2:
            pytest.skip("one core runs one task at a time")
        found = []
        for number in threads.map(work, range(6)):
            found.append(number)
            if len(found) == 5:
                release.set()
    assert found == [1, 2, 3, 4, 5, 0]


def test_threads_begin_few_tasks_ahead_of_who_takes_the_results():
    begun = []
    with runner(workers=0) as threads:
        results = threads.map(begun.append, range(100))
        next(results)
        results.close()  # type: ignore[attr-defined]
        assert len(begun) <= 2 * threads.workers
