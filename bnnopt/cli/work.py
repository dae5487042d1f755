"""Running attacks one after the other, or on several processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from bnnopt import api
from bnnopt.bounds import count_unstable
from bnnopt.campaign.single_threaded import single_threaded
from bnnopt.network import BinarizedNetwork
from bnnopt.result import AttackResult

__all__ = ["Job", "run_jobs"]


@dataclass(frozen=True, eq=False)
class Job:
    """The arguments of one call of `bnnopt.attack`."""

    network: BinarizedNetwork
    image: npt.ArrayLike
    options: dict[str, Any]

    def having(self, **options: Any) -> Job:
        """The same job with other options."""
        return replace(self, options=self.options | options)

    @property
    def effort(self) -> int:
        """Grows with the time that an exact attack takes."""
        images = self.network.images(self.image)
        return int(count_unstable(self.network, images, self.options["epsilon"])[0])

    def run(self) -> AttackResult:
        """Attack."""
        return api.attack(self.network, self.image, **self.options)


def run_jobs(jobs: list[Job], workers: int) -> Iterator[AttackResult]:
    """Results as they come: in order with one worker; with more, the longest jobs begin.

    Ctrl-C with several workers raises KeyboardInterrupt here and ends the workers at once.
    """
    if workers == 1:
        yield from (job.run() for job in jobs)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker)
    try:
        jobs = sorted(jobs, key=lambda job: -job.effort)
        with single_threaded():
            futures = [pool.submit(job.run) for job in jobs]
        for future in as_completed(futures):
            yield future.result()
        pool.shutdown()
    except BaseException:
        for process in multiprocessing.active_children():
            process.terminate()
        pool.shutdown(cancel_futures=True)
        raise


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Pyomo makes a lock of multiprocessing; of this kind it is nothing that a terminated process
    # would leave behind in the system.
    multiprocessing.set_start_method("fork", force=True)
