import dask
import pytest

from owtrend.cluster import runner
from owtrend.errors import UsageError


def test_tasks_run_on_threads():
    with runner(workers=0) as tasks:
        assert sorted(tasks.map(abs, [-3, 1, -2])) == [1, 2, 3]


def test_no_cluster_becomes_the_default_of_the_users_own_dask():
    before = dask.config.get("scheduler", None)
    with runner(workers=1) as tasks:
        assert dask.config.get("scheduler", None) == before
        assert list(tasks.map(abs, [-1])) == [1]
    assert dask.config.get("scheduler", None) == before


def test_a_scheduler_that_is_not_there_is_an_error_and_leaves_nothing_behind():
    before = dask.config.get("scheduler", None)
    expected = r"scheduler 'nowhere': .*; expected an address such as tcp://host:8786"
    with pytest.raises(UsageError, match=expected), runner(scheduler="nowhere"):
        pass
    assert dask.config.get("scheduler", None) == before
