from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.runner import Tally, run_campaign
from bnnopt.campaign.store import Store
from bnnopt.errors import InputError
from tests.campaign.conftest import patient_and_impatient_spec, small_spec, table

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


def test_a_hung_worker_of_dask_is_restarted_and_its_cell_tried_again(
    tmp_path: Path, cluster: Any
) -> None:
    from bnnopt.campaign.dask import DaskWorkers

    spec = patient_and_impatient_spec(4)
    patient = [plan.cell.key for plan in spec.cells() if plan.cell.time_limit > 2]
    stopped: list[int] = []
    with Store(tmp_path / "store", create=True) as store:

        def stop_one(tally: Tally) -> None:
            states = store.states()
            if not stopped and all(states[key] == "done" for key in patient):
                stopped.append(next(iter(cluster.workers.values())).pid)
                os.kill(stopped[0], signal.SIGSTOP)

        workers = DaskWorkers(cluster.scheduler_address)
        tally = run_campaign(spec, store, workers, grace=8.0, progress=stop_one)
        assert (tally.done, tally.failed) == (8, 0)
        messages = {message for _, message, _ in store.failures()}
        assert messages == {"no answer 8 s after its time limit of 2 s"}
        assert max(row.attempts for row in store.rows()) == 2


def test_a_scheduler_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from bnnopt.campaign import dask

    monkeypatch.setattr(dask, "CONNECT_SECONDS", 1.0)
    with pytest.raises(InputError, match="no Dask scheduler answers"):
        dask.DaskWorkers("tcp://127.0.0.1:9")
