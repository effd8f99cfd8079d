import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from types import SimpleNamespace

import dask
import numpy as np
import pytest
from distributed import LocalCluster, Security

from owtrend.compute import cluster, compute
from owtrend.compute.cluster import interrupts_blocked, local_cluster, runner
from owtrend.errors import UsageError, WorkersLostError
from owtrend.store.repository import Store

pytestmark = pytest.mark.slow

TRENDS = compute._trends


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


def killed_once(folder, task):
    """As `owtrend.compute.compute._trends`; the first process that comes to run 300001 is killed there."""
    if task.run == 300001 and not (folder / "killed").exists():
        (folder / "killed").write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)
    return TRENDS(task)


def test_a_worker_killed_in_mid_pass_costs_time_only(small_store, tmp_path, monkeypatch):
    """One of two processes is killed by SIGKILL while it has a task of `compute`; what is stored is the same."""
    for name in ("threads", "processes"):
        shutil.copytree(small_store, tmp_path / name)
    monkeypatch.setattr(compute, "BLOCK_BYTES", 1)  # a task per histogram and run
    compute.compute(tmp_path / "threads", workers=0, force=True)
    with local_cluster(2) as cluster:
        workers = {nanny.pid for nanny in cluster.workers.values()}
        monkeypatch.setattr(compute, "_trends", partial(killed_once, tmp_path))
        assert compute.compute(tmp_path / "processes", scheduler=cluster.scheduler_address, force=True).runs == 3
    assert int((tmp_path / "killed").read_text()) in workers
    for subsystem in ("EMC", "TPC"):
        expected, found = (
            Store.open(tmp_path / name).reader().subsystem(subsystem) for name in ("threads", "processes")
        )
        for name in ("value", "error", "state", "run_value", "run_error"):
            every = slice(0, len(expected.run_indices))
            np.testing.assert_array_equal(found.trends.block(name, every), expected.trends.block(name, every))


def test_workers_do_not_hear_ctrl_c_and_this_process_does():
    code = "import signal; print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))"

    def blocked_in_a_child():
        return subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True).stdout.strip()

    with interrupts_blocked():
        assert blocked_in_a_child() == "True"
    assert blocked_in_a_child() == "False"


def test_a_scheduler_without_workers_is_waited_for_as_long_as_one_wants(caplog):
    message = r"no worker came in 0.2 s; .*--wait-for-workers"
    with local_cluster(0, processes=False) as cluster:
        call = runner(scheduler=cluster.scheduler_address, wait_for_workers=0.2)
        with pytest.raises(WorkersLostError, match=message), call:
            pass
    assert "it has no workers yet; waiting for 0.2 s" in caplog.text


def test_workers_that_are_all_lost_end_a_pass(caplog):
    with (
        local_cluster(1, processes=False) as cluster,
        runner(scheduler=cluster.scheduler_address, wait_for_workers=0.3) as tasks,
    ):
        results = tasks.map(time.sleep, [0, 2])
        next(results)
        cluster.scale(0)
        with pytest.raises(WorkersLostError, match=r"no worker for 0.3 s"):
            next(results)
    assert "no worker left; waiting for 0.3 s" in caplog.text


@pytest.mark.parametrize(("status", "words"), [("running", "no worker for 3 s"), ("closed", "it is gone")])
def test_lost_tasks_are_those_of_lost_workers_or_of_a_lost_scheduler(status, words):
    lost = cluster._Cluster(SimpleNamespace(status=status), 1, "scheduler tcp://host:8786", 3.0)._lost()
    assert lost.startswith(f"scheduler tcp://host:8786: {words}; start ")


def test_a_task_that_kills_its_workers_is_given_up_in_one_line():
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        local_cluster(1) as cluster,
        runner(scheduler=cluster.scheduler_address) as tasks,
    ):
        with pytest.raises(WorkersLostError, match="1 workers died with it") as raised:
            list(tasks.map(killed, [0]))
        assert "\n" not in str(raised.value)


def killed(_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_scheduler_with_tls_takes_the_certificates_of_dasks_own_configuration(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-keyout", key, "-out", certificate], check=True, capture_output=True,
    )  # fmt: skip
    tls = "distributed.comm.tls"
    options = {f"{tls}.ca-file": str(certificate)}
    for role in ("client", "scheduler", "worker"):
        options |= {f"{tls}.{role}.cert": str(certificate), f"{tls}.{role}.key": str(key)}
    with dask.config.set(options):
        local = {"n_workers": 1, "processes": False, "dashboard_address": None}
        with LocalCluster(protocol="tls://", security=Security(), **local) as cluster:
            assert cluster.scheduler_address.startswith("tls://")
            with runner(scheduler=cluster.scheduler_address) as tasks:
                assert list(tasks.map(abs, [-3])) == [3]
