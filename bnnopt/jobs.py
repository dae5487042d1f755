"""Work on many images, in turn or on several processes; one that fails ends no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy.typing as npt

from bnnopt.bounds import count_unstable
from bnnopt.errors import BnnoptError, MissingDependencyError, SolverMissingError, UnknownNameError
from bnnopt.network import BinarizedNetwork
from bnnopt.processes import run_on_workers

__all__ = ["Failure", "Job", "attempt", "run_jobs"]


@dataclass(frozen=True)
class Failure:
    """An image that brought no result.

    Parameters
    ----------
    image : int or None
    error : BnnoptError
    """

    image: int | None
    error: BnnoptError


@dataclass(frozen=True, eq=False)
class Job:
    """A call of `bnnopt.attack`, `bnnopt.certify` or `bnnopt.bracket_epsilon` on one image.

    Parameters
    ----------
    work : callable
        Takes a network, an image, an epsilon and options.
    network : BinarizedNetwork
    image : array_like
    epsilon : float or str
    options : dict
    """

    work: Callable[..., Any]
    network: BinarizedNetwork
    image: npt.ArrayLike
    epsilon: float | str
    options: dict[str, Any]

    def having(self, **options: Any) -> Job:
        """The same job with other options."""
        return replace(self, options=self.options | options)

    @property
    def difficulty(self) -> int:
        """Grows with the time that an exact attack takes."""
        images = self.network.images(self.image)
        return int(count_unstable(self.network, images, self.epsilon)[0])

    def run(self) -> Any:
        """What the call returns, or a `Failure`."""
        return attempt(
            self.options.get("index"),
            lambda: self.work(self.network, self.image, self.epsilon, **self.options),
        )


def attempt(image: int | None, work: Callable[[], Any]) -> Any:
    """What the work on one image gives, or its `Failure`.

    Raises
    ------
    BnnoptError
        If it would be the same for every image: an unknown name, or something not installed.
    """
    try:
        return work()
    except (UnknownNameError, SolverMissingError, MissingDependencyError):
        raise
    except BnnoptError as error:
        return Failure(image, error)
    except MemoryError:
        return Failure(image, BnnoptError("out of memory: use fewer workers"))


def run_jobs(jobs: Sequence[Job], workers: int) -> Iterator[Any]:
    """Results and failures as they come: in order with one worker; with more, the longest begin.

    Ctrl-C with several workers ends what they do: their incumbents still come, marked as
    interrupted, and then KeyboardInterrupt is raised.
    """
    if workers == 1:
        yield from (job.run() for job in jobs)
        return
    longest_first = sorted(jobs, key=lambda job: -job.difficulty)
    yield from run_on_workers(Job.run, longest_first, workers)
