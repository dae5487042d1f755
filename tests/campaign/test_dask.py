from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from bnnopt import datasets, zoo
from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.runner import Tally, run_campaign
from bnnopt.campaign.store import Store
from bnnopt.campaign.task import Task
from bnnopt.errors import InputError
from tests.campaign.conftest import small_spec, table

distributed = pytest.importorskip("distributed")


@pytest.fixture
def cluster() -> Any:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as running:
        yield running


def test_a_campaign_on_dask_with_a_killed_worker_equals_a_local_one(
    tmp_path: Path, cluster: Any
) -> None:
    from bnnopt.campaign.dask import DaskWorkers

    spec = small_spec(4)
    killed: list[int] = []

    def kill_one(tally: Tally) -> None:
        if tally.done == 2 and not killed:
            killed.append(next(iter(cluster.workers.values())).pid)
            os.kill(killed[0], signal.SIGKILL)

    with Store(tmp_path / "dask", create=True) as store:
        workers = DaskWorkers(cluster.scheduler_address)
        tally = run_campaign(spec, store, workers, progress=kill_one)
    assert killed
    assert (tally.done, tally.failed) == (8, 0)
    with Store(tmp_path / "local", create=True) as store:
        run_campaign(spec, store, LocalWorkers(2))
    assert table(tmp_path / "dask") == table(tmp_path / "local")


def test_a_hung_worker_of_dask_is_restarted_and_runs_its_cell_again() -> None:
    from bnnopt.campaign.dask import DaskWorkers

    cell = next(iter(small_spec(1).cells())).cell
    network, images = zoo.load("fashion-mnist-2x100"), datasets.embedded()
    task = Task(cell.key, cell, network.to_bytes(), images.images[0], int(images.labels[0]))
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        os.kill(cluster.workers[0].pid, signal.SIGSTOP)
        workers = DaskWorkers(cluster.scheduler_address)
        workers.submit(task)
        while not any(w.processing for w in cluster.scheduler.workers.values()):
            time.sleep(0.01)
        workers.abandon(task.key, "hung")
        (ended,) = workers.wait(0.0)
        assert (ended.key, ended.outcome, ended.lost) == (task.key, None, "hung")
        workers.submit(task)
        again = workers.wait(60.0)
        assert [end.outcome.record is not None for end in again if end.outcome] == [True]
        workers.close()


def test_a_scheduler_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from bnnopt.campaign import dask

    monkeypatch.setattr(dask, "CONNECT_SECONDS", 1.0)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        dask.DaskWorkers("tcp://127.0.0.1:9")
