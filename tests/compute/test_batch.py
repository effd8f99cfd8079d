"""Workers of a batch system: a Slurm that runs jobs here, and clusters of people's own."""

import os
import stat
import sys
from types import SimpleNamespace

import distributed
import pytest

from owtrend.compute import compute
from owtrend.compute.batch import Batch, batch_workers
from owtrend.compute.cluster import runner
from owtrend.config import Config, from_json
from owtrend.config.batch import BatchConfig
from owtrend.errors import UsageError
from tests.builders import append, snapshot

# Runs the job in the background; the job's number is that of its process, which leads its group.
SBATCH = """#!/bin/sh
PYTHONPATH={path} setsid sh "$1" >/dev/null 2>&1 &
echo $! >> {folder}/submitted
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
echo "$1" >> {folder}/cancelled
kill -- -"$1"
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder with the commands of Slurm, on the path."""
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        script = tmp_path / name
        script.write_text(text.format(folder=tmp_path, path=os.pathsep.join(sys.path)))
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


@pytest.mark.slow
def test_jobs_of_slurm_compute_what_this_process_would(slurm, tmp_path):
    options = {"cores": 1, "processes": 1, "memory": "1GB", "interface": "lo", "local_directory": str(tmp_path)}
    scratch = BatchConfig(jobs=1, options=options | {"log_directory": str(tmp_path)})
    rows = [snapshot(60 * run + minute, run=300000 + run) for run in range(3) for minute in (1, 2, 3)]
    for name in ("here", "there"):
        append(tmp_path / name, rows)
    here = compute.compute(tmp_path / "here", workers=0)
    there = compute.compute(tmp_path / "there", scheduler=batch_workers(Batch.SLURM, scratch), wait_for_workers=90)
    assert (here.runs, here.points, here.scored) == (there.runs, there.points, there.scored)
    submitted = (slurm / "submitted").read_text().split()
    assert len(submitted) >= 1
    assert set(submitted) <= set((slurm / "cancelled").read_text().split())
    compute.compute(tmp_path / "there", scheduler=batch_workers(Batch.SLURM, scratch))
    assert (slurm / "submitted").read_text().split() == submitted  # nothing to do: no job


@pytest.mark.slow
def test_a_factory_of_the_configuration_gives_the_cluster(monkeypatch):
    made = []

    def mine():
        made.append(
            distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None)
        )
        return made[-1]

    monkeypatch.setitem(sys.modules, "site_clusters", SimpleNamespace(mine=mine))
    start = batch_workers(Batch.FACTORY, BatchConfig(factory="site_clusters:mine"))
    with runner(scheduler=start) as tasks:
        assert list(tasks.map(abs, [-1])) == [1]
        assert made == []
        assert sorted(tasks.map(abs, [-1, -2, -3])) == [1, 2, 3]
        assert tasks.workers == 1
    assert made[0].status == distributed.Status.closed


@pytest.mark.parametrize(
    ("kind", "config", "words"),
    [
        (Batch.HTCONDOR, BatchConfig(), "no command condor_submit here"),
        (Batch.FACTORY, BatchConfig(), "has no `batch: {factory: MODULE:FUNCTION}`"),
        (Batch.FACTORY, BatchConfig(factory="no_such_module:x"), "ModuleNotFoundError"),
        (Batch.FACTORY, BatchConfig(factory="builtins:dict"), "dict is no Dask cluster"),
    ],
)
def test_a_batch_system_that_is_not_there_is_one_line(kind, config, words):
    with pytest.raises(UsageError) as error, batch_workers(kind, config):
        pass
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of what Dask has half made
def test_options_that_mean_nothing_are_one_line(slurm):
    for options in ({}, {"cores": 1, "memory": "1GB", "nonsense": 1}):
        with pytest.raises(UsageError, match="give at least cores and memory"), batch_workers(
            Batch.SLURM, BatchConfig(options=options)
        ):  # fmt: skip
            pass


def test_a_factory_is_taken_from_no_store():
    stored = '{"batch": {"factory": "os:abort"}}'
    assert from_json(stored).batch.factory is None
    assert "batch" not in Config(batch=BatchConfig(factory="os:abort")).model_dump_json()
