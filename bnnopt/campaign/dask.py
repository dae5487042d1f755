"""Workers of a Dask distributed cluster."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

from bnnopt.campaign.task import Task, run_task
from bnnopt.campaign.workers import Ended
from bnnopt.errors import CampaignError, InputError, MissingDependencyError

__all__ = ["DaskWorkers"]

CONNECT_SECONDS = 10.0
COUNT_SECONDS = 2.0
"""How often the cluster is asked for its size."""


class DaskWorkers:
    """The workers of the cluster whose scheduler listens at `address`, one task a thread.

    Parameters
    ----------
    address : str
        Such as ``tcp://host:8786``.

    Raises
    ------
    MissingDependencyError
        If distributed is not installed.
    InputError
        If no scheduler answers.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise MissingDependencyError("distributed", "--scheduler", "dask") from None
        try:
            self._client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"no Dask scheduler answers at {address!r}, which should be like "
                f"tcp://host:8786: {error}"
            ) from None
        self._futures: dict[str, Any] = {}
        self._ended: list[Ended] = []
        self._slots = 0
        self._counted = -COUNT_SECONDS

    def free(self) -> int:
        """How many more tasks could start right now."""
        if time.monotonic() - self._counted > COUNT_SECONDS:
            self._slots = sum(self._client.nthreads().values())
            self._counted = time.monotonic()
        return max(self._slots - len(self._futures), 0)

    def submit(self, task: Task) -> None:
        """Start a task wherever there is room."""
        self._futures[task.key] = self._client.submit(run_task, task, pure=False)

    def wait(self, seconds: float) -> list[Ended]:
        """Tasks that have ended; waits up to `seconds` for the first."""
        import distributed

        if not self._futures and not self._ended:
            time.sleep(seconds)
        elif not self._ended:
            with self._client.as_current(), suppress(TimeoutError):
                distributed.wait(
                    list(self._futures.values()), timeout=seconds, return_when="FIRST_COMPLETED"
                )
        if self._client.status != "running":
            raise CampaignError("the Dask scheduler is gone: start it, then the campaign, again")
        ended, self._ended = self._ended, []
        done = [key for key, future in self._futures.items() if future.done()]
        return ended + [self._settle(key) for key in done]

    def _settle(self, key: str) -> Ended:
        future = self._futures.pop(key)
        if future.status == "finished":
            return Ended(key, future.result())
        return Ended(key, None, " ".join(f"lost by Dask: {future.exception()}".split()))

    def abandon(self, key: str, why: str) -> None:
        """Forget a task, and restart its worker, which only a nanny can do."""
        future = self._futures.pop(key)
        where = [
            address
            for address, keys in self._client.processing().items()
            if any(str(future.key) == str(running) for running in keys)
        ]
        future.cancel(force=True)
        if where:
            # It takes seconds, in which other tasks would seem to hang.
            threading.Thread(target=self._restart, args=(where,), daemon=True).start()
        self._ended.append(Ended(key, None, why))

    def _restart(self, where: list[str]) -> None:
        with suppress(Exception):  # the worker, or the client, may be gone by now
            self._client.restart_workers(where, timeout=CONNECT_SECONDS, raise_for_error=False)

    def close(self) -> None:
        """Cancel what runs, and leave the cluster as it is."""
        for future in self._futures.values():
            future.cancel(force=True)
        self._futures.clear()
        self._client.close()
