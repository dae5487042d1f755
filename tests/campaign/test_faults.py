"""Kills, rivals and full disks, all of them real."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bnnopt.campaign.check import check_store
from bnnopt.campaign.local import LocalWorkers
from bnnopt.campaign.runner import run_campaign
from bnnopt.campaign.store import Store
from bnnopt.errors import StoreError
from tests.campaign.conftest import patient_and_impatient_spec, small_spec, spec_file, table

Launch = Callable[..., subprocess.Popen[str]]
IMAGES = 12
KILLS = 10


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, ...]]:
    """The table of a campaign that nobody disturbed."""
    path = tmp_path_factory.mktemp("calm") / "store"
    with Store(path, create=True) as store:
        tally = run_campaign(small_spec(IMAGES), store, LocalWorkers(2))
        assert (tally.done, tally.failed) == (tally.total, 0)
    return table(path)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    """Numbers of the worker processes of a runner."""
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        children = [int(number) for number in listed.read_text().split()]
        return [
            number
            for number in children
            if b"spawn_main" in Path(f"/proc/{number}/cmdline").read_bytes()
        ]
    except OSError:
        return []


def wait_until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def done(path: Path) -> int:
    if not path.exists():
        return 0
    with Store(path, create=True) as store:
        return list(store.states().values()).count("done")


def test_kills_of_runner_and_workers_at_random_moments_change_nothing(
    tmp_path: Path, launch: Launch, uninterrupted: dict[str, tuple[Any, ...]]
) -> None:
    path, rng = tmp_path / "store", random.Random(7)
    spec = spec_file(tmp_path, IMAGES)
    runner = launch("run", spec, "--store", path, "--workers", 2)
    for number in range(KILLS):
        wait_until(lambda run=runner: len(workers_of(run)) == 2 or run.poll() is not None)
        time.sleep(rng.uniform(0.0, 2.0))
        orphans = workers_of(runner)
        if number % 2 == 0 and orphans:
            os.kill(rng.choice(orphans), signal.SIGKILL)
        if number % 2 == 1 or runner.poll() is not None:
            runner.kill()
            runner.wait()
            for orphan in orphans:
                wait_until(lambda orphan=orphan: not is_running(orphan))
            runner = launch("run", spec, "--store", path, "--workers", 2)
    runner.communicate(timeout=120)
    last = launch("run", spec, "--store", path, "--workers", 2)
    _, errors = last.communicate(timeout=120)
    assert last.returncode == 0, errors
    assert table(path) == uninterrupted
    assert_sound(path)


def is_running(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_two_runners_share_the_cells_and_run_none_twice(
    tmp_path: Path, launch: Launch, uninterrupted: dict[str, tuple[Any, ...]]
) -> None:
    path, spec = tmp_path / "store", spec_file(tmp_path, IMAGES)
    rivals = [launch("run", spec, "--store", path) for _ in range(2)]
    for rival in rivals:
        _, errors = rival.communicate(timeout=120)
        assert rival.returncode == 0, errors
    with Store(path) as store:
        rows = list(store.rows())
        assert [row.attempts for row in rows] == [1] * len(rows)
        assert len({row.worker for row in rows}) == 2
    assert table(path) == uninterrupted


def test_a_runner_takes_over_from_one_that_is_killed_beside_it(
    tmp_path: Path, launch: Launch, uninterrupted: dict[str, tuple[Any, ...]]
) -> None:
    path, spec = tmp_path / "store", spec_file(tmp_path, IMAGES)
    victim, heir = (launch("run", spec, "--store", path) for _ in range(2))
    wait_until(lambda: workers_of(victim) and done(path) > 2)
    victim.kill()
    _, errors = heir.communicate(timeout=120)
    assert heir.returncode == 0, errors
    assert table(path) == uninterrupted


def test_ctrl_c_keeps_what_is_finished_and_opens_the_rest(tmp_path: Path, launch: Launch) -> None:
    path = tmp_path / "store"
    runner = launch("run", spec_file(tmp_path, 100), "--store", path)
    wait_until(lambda: done(path) > 0)
    runner.send_signal(signal.SIGINT)
    _, errors = runner.communicate(timeout=30)
    assert runner.returncode == 130
    assert "the same command goes on" in errors
    assert "Traceback" not in errors
    with Store(path) as store:
        states = set(store.states().values())
    assert states == {"done", "open"}


def test_a_hung_worker_costs_its_cell_two_tries_and_the_campaign_nothing(tmp_path: Path) -> None:
    """A worker that is stopped answers no more, like one that hangs."""
    spec = patient_and_impatient_spec(1)
    workers = _Stopping(1)
    hung = workers.victim = list(spec.cells())[1].cell.key
    with Store(tmp_path / "store", create=True) as store:
        tally = run_campaign(spec, store, workers, grace=1.0)
        rows = {row.key: row for row in store.rows()}
        assert (tally.done, tally.failed) == (1, 1)
        assert (rows[hung].state, rows[hung].attempts, rows[hung].losses) == ("failed", 2, 2)
        assert rows[hung].error == "no answer 1 s after its time limit of 2 s"
        assert len(store.failures()) == 2


class _Stopping(LocalWorkers):
    """Local workers of which the one with the victim's cell is sent SIGSTOP."""

    victim = ""

    def submit(self, task: Any) -> None:
        super().submit(task)
        if task.key == self.victim:
            os.kill(self._busy[task.key]._process.pid, signal.SIGSTOP)


def test_a_worker_beyond_its_memory_fails_its_cell_only(tmp_path: Path) -> None:
    spec = small_spec(1)
    with Store(tmp_path / "store", create=True) as store:
        tally = run_campaign(spec, store, LocalWorkers(1, memory=2**27))
        assert tally.failed == tally.total == 2
        assert all(row.error for row in store.rows())
        again = run_campaign(spec, store, LocalWorkers(1))
        assert again.done == 2


def full_disk(tmp_path: Path) -> None:
    """Let this process write no file beyond 200 kB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


def test_a_file_that_cannot_grow_ends_with_a_clear_error_and_an_intact_store(
    tmp_path: Path, launch: Launch
) -> None:
    path, spec = tmp_path / "store", spec_file(tmp_path, 100)
    runner = launch("run", spec, "--store", path, preexec_fn=lambda: full_disk(tmp_path))
    _, errors = runner.communicate(timeout=120)
    assert_full(runner, errors, path)


def test_a_full_disk_ends_with_a_clear_error_and_an_intact_store(
    tmp_path: Path, launch: Launch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    small = ["-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    if mount is None or subprocess.call([mount, *small]) != 0:
        pytest.skip("no right to mount a small disk")
    try:
        runner = launch("run", spec_file(tmp_path, 100), "--store", disk / "store")
        _, errors = runner.communicate(timeout=120)
        assert_full(runner, errors, disk / "store")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def assert_full(runner: subprocess.Popen[str], errors: str, path: Path) -> None:
    assert runner.returncode == 1
    assert "cannot grow" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    copy = path.parent.parent / "copy"
    for file in path.parent.glob(f"{path.name}*"):
        shutil.copy(file, copy.parent / file.name.replace(path.name, copy.name, 1))
    assert_sound(copy)


def assert_sound(path: Path) -> None:
    with Store(path) as store:
        assert [found for found in check_store(store) if found[1]] == []


def test_a_store_that_cannot_be_written_is_an_error_of_the_store(tmp_path: Path) -> None:
    with Store(tmp_path / "store", create=True) as store:
        store._db.execute("PRAGMA max_page_count = 20")
        with pytest.raises(StoreError, match="full"):
            run_campaign(small_spec(100), store, LocalWorkers(1))
        assert store.damage() == []
