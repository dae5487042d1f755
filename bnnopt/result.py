"""What every attack returns."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.notebook import Shown
from bnnopt.plotting import figure_of

__all__ = ["RECORD_VERSION", "AttackResult", "Status"]

FloatArray = npt.NDArray[np.float64]

RECORD_VERSION = 2
"""Of `AttackResult.as_dict`. Records without a version are of the first edition: ``ties`` was
``"never"``, and ``feasible`` also stood for `Status.INFEASIBLE` and `Status.UNKNOWN`."""

COLUMN = {"column": True}
"""Metadata of fields that `AttackResult.columns` names."""


class Status(StrEnum):
    """What an attack can claim."""

    OPTIMAL = "optimal"
    """A proof covers all admissible images: none is better by more than the gaps of
    `bnnopt.tolerances`."""
    FEASIBLE = "feasible"
    """A point that does what was asked, without that proof."""
    INFEASIBLE = "infeasible"
    """No admissible image does what was asked: a proof covers all of them."""
    UNKNOWN = "unknown"
    """None was found, and none ruled out."""
    ERROR = "error"
    """Something failed, as `AttackResult.message` says; what was found before stands."""


@dataclass(frozen=True, eq=False, repr=False)
class AttackResult(Shown):
    """The outcome of one attack; the point in it was replayed through the network.

    Where the goal asks for a flip and none was found, the point is the image itself, and
    `objective` its margin.

    Parameters
    ----------
    network : str
        The network's name.
    image : int or None
        Test-set index, where the caller gave one.
    label : int or None
        The true class, where the caller gave one.
    source : int
        The class whose loss counts: the one predicted for the original image unless given.
    target : int
        The class whose margin is `objective`; of several, the best at the point found.
    epsilon : float
        Largest change of a pixel that was allowed, in [0, 1].
    domain, method, solver, formulation : str or None
        None where the method has no such thing.
    seed : int
        Of all that was drawn at random.
    time_limit : float or None
        Seconds.
    status : Status
        What is claimed.
    objective : float
        Margin of the adversarial image, from an exact replay.
    bound : float or None
        No admissible image has a larger margin; None where nothing is proved.
    start_objective : float
        Margin of the original image.
    flipped : bool
        Whether a target beats the source at the point, by the rule of `ties`.
    verified : bool
        Whether the replay agrees with `objective` and the point is within the budget.
    wall_time : float
        Seconds.
    iterations : int or None
        The method's own steps: nodes of a MILP or of branch and bound, neighbourhoods of pattern
        search, iterations of IProp and of the gradient attacks.
    trace : list of (float, float)
        (seconds, objective) of the incumbents.
    bounds : list of (float, float)
        (seconds, bound) of what was proved of the margin meanwhile, each lower than the one
        before; the last is `bound`. Empty where there is none, and in older records.
    versions : dict
        Of Python, of this package and of those that did the work.
    goal : str
        What was sought (see `AttackInstance`); ``"margin"`` is the objective itself.
    goal_values : list of (float or None)
        The value of each stage of the goal at the point; none for ``"flip"``, and None where the
        goal asks for a flip and the point is none.
    goal_bounds : list of (float or None)
        A proved bound on each.
    distances : dict
        ``linf``, ``l1`` ([0, 1] units) and ``l0`` (pixels) of the perturbation.
    model : dict
        Size of the model: variables, binaries, rows, nonzeros, and stable neurons per layer;
        empty where the method has none.
    ran : str
        The method that did the work: `method` itself, or what ``"auto"`` chose.
    ties : str
        When a target beats the source at a margin of 0 (see `AttackInstance`).
    prediction : int
        The class that the network predicts for the adversarial image.
    original, adversarial : array of float64, shape input_shape
        Images in [0, 1].
    logits, adversarial_logits : array of float64, shape (C,)
        Of the two images.
    steps : list of dict
        What each iteration did, where the method keeps it. IProp: ``seconds``, ``step`` (neurons
        asked for beyond the ideal ones), ``asked`` and ``met`` (targets of the last hidden
        layer), and ``objective``; the last two None
        where no point was found.
    effort : int or None
        The limit on the method's own steps.
    ruled_out : tuple of int
        Targets of which it is proved that no admissible image flips to them.
    notes : list of str
        What stayed open though time was left, and why.
    interrupted : bool
        Whether Ctrl-C ended it.
    message : str
        What failed, for an error.
    proof : str or None
        Where one was asked for, the path of the file, or ``"none: "`` and why there is none.
    class_names : tuple of str
        Of the network, for figures.
    """

    network: str
    image: int | None
    label: int | None = field(metadata=COLUMN)
    source: int = field(metadata=COLUMN)
    target: int = field(metadata=COLUMN)
    epsilon: float
    domain: str
    method: str
    solver: str | None
    formulation: str | None
    seed: int
    time_limit: float | None
    status: Status = field(metadata=COLUMN)
    objective: float = field(metadata=COLUMN)
    bound: float | None = field(metadata=COLUMN)
    start_objective: float = field(metadata=COLUMN)
    flipped: bool = field(metadata=COLUMN)
    verified: bool = field(metadata=COLUMN)
    wall_time: float = field(metadata=COLUMN)
    iterations: int | None = field(metadata=COLUMN)
    trace: list[tuple[float, float]]
    versions: dict[str, str]
    goal: str
    goal_values: list[float | None]
    goal_bounds: list[float | None]
    distances: dict[str, float]
    model: dict[str, Any]
    ran: str
    ties: str
    prediction: int = field(metadata=COLUMN)
    original: FloatArray = field(repr=False)
    adversarial: FloatArray = field(repr=False)
    logits: FloatArray = field(repr=False)
    adversarial_logits: FloatArray = field(repr=False)
    bounds: list[tuple[float, float]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    effort: int | None = None
    ruled_out: tuple[int, ...] = ()
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    message: str = ""
    proof: str | None = None
    class_names: tuple[str, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        bound = "" if self.bound is None else f", bound {self.bound:.6g}"
        flipped = f", flipped to class {self.prediction}" if self.flipped else ""
        which = "" if self.image is None else f"image {self.image}: "
        return (
            f"AttackResult({which}{self.status.value}, margin {self.objective:.6g}{bound}{flipped},"
            f" {self.wall_time:.2f} s)"
        )

    def plot(self) -> Any:
        """A matplotlib figure: the image, what was changed, and the adversarial image.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        MissingDependencyError
            If matplotlib is not installed.
        """
        return figure_of("attack", self)

    @classmethod
    def columns(cls) -> tuple[str, ...]:
        """Keys of the record that a table of attacks shows as they are."""
        return tuple(each.name for each in fields(cls) if each.metadata.get("column"))

    def as_dict(self) -> dict[str, Any]:
        """The JSON record of the attack: numbers and names, no images."""
        record: dict[str, Any] = {"version": RECORD_VERSION}
        for each in fields(self):
            if each.repr:  # all but the images and their logits
                record[each.name] = getattr(self, each.name)
        record["status"] = self.status.value
        record["wall_time"] = round(self.wall_time, 4)
        for name in ("trace", "bounds"):
            record[name] = [[round(seconds, 4), value] for seconds, value in record[name]]
        return record
