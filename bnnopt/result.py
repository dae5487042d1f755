"""What every attack returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["AttackResult", "Status"]

FloatArray = npt.NDArray[np.float64]


class Status(StrEnum):
    """What an attack can claim."""

    OPTIMAL = "optimal"
    """No point of the box serves the goal better: the bound proves it."""
    FEASIBLE = "feasible"
    """A point, without that proof."""
    ERROR = "error"
    """The attack failed; `AttackResult.message` says why. The image itself is the point."""


@dataclass(frozen=True, eq=False)
class AttackResult:
    """The outcome of one attack; the point in it was replayed through the network.

    Parameters
    ----------
    network : str
        The network's name.
    image : int or None
        Test-set index, where the caller gave one.
    label : int or None
        The true class, where the caller gave one.
    source : int
        The class predicted for the original image.
    target : int
        The class whose margin is `objective`; of several, the best at the point found.
    epsilon : float
    domain, method, solver, formulation : str or None
        None where the method has no such thing.
    seed : int
    time_limit : float or None
        Seconds.
    status : Status
    objective : float
        Margin of the adversarial image, from an exact replay.
    bound : float or None
        No point of the box has a larger margin; None where the method proves nothing.
    start_objective : float
        Margin of the original image.
    flipped : bool
        Whether the margin is strictly positive.
    verified : bool
        Whether the replay agrees with `objective` and the point lies in the box.
    wall_time : float
        Seconds.
    iterations : int or None
        The method's own steps: branch-and-bound nodes for a MILP.
    trace : list of (float, float)
        (seconds, objective) of the incumbents.
    versions : dict
    goal : str
        What was sought (see `AttackInstance`); ``"margin"`` is the objective itself.
    goal_values : list of float
        The value of each stage of the goal at the point; none for ``"flip"``.
    goal_bounds : list of (float or None)
        A proved bound on each.
    distances : dict
        ``linf``, ``l1`` ([0, 1] units) and ``l0`` (pixels) of the perturbation.
    model : dict
        Size of the model: variables, binaries, rows, nonzeros, and stable neurons per layer;
        empty where the method has none.
    ran : str
        The method that did the work: `method` itself, or what ``"auto"`` chose.
    steps : list of dict
        What each iteration did, where the method keeps it. IProp: ``seconds``, ``step`` (neurons
        asked for beyond the ideal ones), ``asked`` and ``met`` (targets of the last hidden
        layer), and ``objective``; the last two None
        where no point was found.
    original, adversarial : array of float64, shape input_shape
        Images in [0, 1].
    logits, adversarial_logits : array of float64, shape (C,)
    interrupted : bool
        Whether Ctrl-C ended it.
    message : str
        What failed, for an error.
    """

    network: str
    image: int | None
    label: int | None
    source: int
    target: int
    epsilon: float
    domain: str
    method: str
    solver: str | None
    formulation: str | None
    seed: int
    time_limit: float | None
    status: Status
    objective: float
    bound: float | None
    start_objective: float
    flipped: bool
    verified: bool
    wall_time: float
    iterations: int | None
    trace: list[tuple[float, float]]
    versions: dict[str, str]
    goal: str
    goal_values: list[float]
    goal_bounds: list[float | None]
    distances: dict[str, float]
    model: dict[str, Any]
    ran: str
    original: FloatArray = field(repr=False)
    adversarial: FloatArray = field(repr=False)
    logits: FloatArray = field(repr=False)
    adversarial_logits: FloatArray = field(repr=False)
    steps: list[dict[str, Any]] = field(default_factory=list)
    interrupted: bool = False
    message: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The JSON record of the attack: numbers and names, no images."""
        record = {key: getattr(self, key) for key in _JSON_KEYS}
        record["status"] = self.status.value
        record["wall_time"] = round(self.wall_time, 4)
        record["trace"] = [[round(seconds, 4), value] for seconds, value in self.trace]
        return record


_JSON_KEYS = (
    "network",
    "image",
    "label",
    "source",
    "target",
    "epsilon",
    "domain",
    "method",
    "solver",
    "formulation",
    "seed",
    "time_limit",
    "status",
    "objective",
    "bound",
    "start_objective",
    "flipped",
    "verified",
    "wall_time",
    "iterations",
    "trace",
    "versions",
    "goal",
    "goal_values",
    "goal_bounds",
    "distances",
    "model",
    "ran",
    "steps",
)
