"""What an attack found, all of it claims, and what the replay lets stand of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.formulations.stopping import OutOfTime
from bnnopt.goal import Stage
from bnnopt.instance import AttackInstance
from bnnopt.result import Status
from bnnopt.tolerances import DISTANCE_GAP, MARGIN_GAP

__all__ = ["Findings", "Verdict", "judge", "keep_going"]

FloatArray = npt.NDArray[np.float64]


@dataclass
class Findings:
    """What an attack found; nothing in it is believed before the replay.

    Parameters
    ----------
    points : array of float, shape (count, n)
        Candidate levels; the best one is reported.
    bound : float or None
        A proved upper bound on the margin of every point of the box.
    no_flip : bool
        Whether it is proved that no admissible point is a flip.
    ruled_out : tuple of int
        Targets of which it is proved that no admissible point flips to them.
    goal_bounds : list of (float or None)
        A proved bound on the value of each stage of a goal other than the margin, up to the
        stage that was worked on last.
    iterations : int or None
        The method's own steps, where it counts them.
    trace : list of (float, float)
        (seconds, claimed objective).
    bounds : list of (float, float)
        (seconds, proved bound on the margin) of bounds that were better than those before.
    steps : list of dict
        What each iteration did, where the method keeps it.
    size : dict
        Of the model, where there is one.
    ran : str
        The method that did the work, where an attack chooses one.
    notes : list of str
        What stayed open, and why.
    cut_off : bool
        Whether a limit ended it.
    interrupted : bool
        Whether Ctrl-C ended it.
    message : str
        What failed; makes the result an error.
    """

    points: FloatArray
    bound: float | None = None
    no_flip: bool = False
    ruled_out: tuple[int, ...] = ()
    goal_bounds: list[float | None] = field(default_factory=list)
    iterations: int | None = None
    trace: list[tuple[float, float]] = field(default_factory=list)
    bounds: list[tuple[float, float]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    size: dict[str, Any] = field(default_factory=dict)
    ran: str = ""
    notes: list[str] = field(default_factory=list)
    cut_off: bool = False
    interrupted: bool = False
    message: str = ""

    def tighten(self, others: Findings) -> None:
        """Take over earlier bounds, and better ones: on margins, on a distance that comes first."""
        self.bounds = [*others.bounds, *self.bounds]
        if others.bound is not None:
            self.bound = others.bound if self.bound is None else min(self.bound, others.bound)
        self.no_flip |= others.no_flip
        if others.goal_bounds:
            both = (*others.goal_bounds[:1], *self.goal_bounds[:1])
            self.goal_bounds[:1] = [max((b for b in both if b is not None), default=None)]


def keep_going(findings: Findings, work: Callable[[], None]) -> Findings:
    """Do work that fills findings; Ctrl-C and a solver's failure end it, and keep what is there.

    Parameters
    ----------
    findings : Findings
        What the work has found so far; its failure is noted there.
    work : callable
        Takes nothing; fills the findings as it goes.

    Raises
    ------
    solvers.SolverError
        If the question was wrong: no such solver here, or an option that it does not have.
    """
    import solvers  # which brings scipy; whoever only lists methods need not wait for it

    try:
        work()
    except KeyboardInterrupt:
        findings.interrupted = True
    except (OutOfTime, solvers.CompilationStoppedError):
        findings.cut_off = True
    except (solvers.SolverUnavailableError, solvers.UnsupportedOptionError):
        raise
    except solvers.SolverError as error:
        findings.message = str(error)
    return findings


@dataclass(frozen=True)
class Verdict:
    """What may be reported: bounds on the margin and on the goal's stages, values, a status."""

    status: Status
    bound: float | None
    goal_values: list[float | None]
    goal_bounds: list[float | None]
    message: str = ""


def judge(
    instance: AttackInstance,
    findings: Findings,
    objective: float,
    is_flip: bool,
    moved: Mapping[str, float],
) -> Verdict:
    """Compare the bounds with the replayed point; bounds that exclude it are an error.

    Parameters
    ----------
    instance : AttackInstance
    findings : Findings
    objective, is_flip, moved
        Margin of the best point, whether it is a flip, and its distances.
    """
    goal, margins = instance.sought, instance.of_margins
    bound, message = _bound(instance, findings, objective, is_flip)
    no_flip = not message and (
        findings.no_flip or (findings.bound is not None and margins.excludes_flip(findings.bound))
    )
    if no_flip:
        most = margins.most_without_flip
        bound = max(objective, most if bound is None else min(bound, most))
    if goal.is_margin:
        proved = bound is not None and bound - objective <= margins.gap
        status = Status.OPTIMAL if proved else Status.FEASIBLE
        return _verdict(findings, Verdict(status, bound, [objective], [bound], message))
    found = is_flip or not goal.needs_flip
    values: list[float | None] = [*goal.values(objective, moved)] if found else []
    bounds: list[float | None] = []
    for stage, claim in zip(goal.stages, findings.goal_bounds, strict=False):
        bounds.append(None if claim is None else _rounded(stage, claim))
    bounds += [None] * (len(goal.stages) - len(bounds))
    if not found:
        nothing: list[float | None] = [None] * len(goal.stages)
        status = Status.INFEASIBLE if no_flip else Status.UNKNOWN
        return _verdict(findings, Verdict(status, bound, nothing, bounds, message))
    status = Status.OPTIMAL
    for number, stage in enumerate(goal.stages):
        value, limit = values[number], bounds[number]
        assert value is not None
        allowed = _allowed(stage, value, margins.unit)
        gap = np.inf if limit is None else _gap(stage, value, limit)
        if gap < -allowed:
            message = message or _excluded(goal.text, limit, value)
            bounds[number] = None
        if gap > allowed or message:
            # The next stage's bound speaks of points that reach this one's optimum only.
            status = Status.FEASIBLE
            break
    return _verdict(findings, Verdict(status, bound, values, bounds, message))


def _bound(
    instance: AttackInstance, findings: Findings, objective: float, is_flip: bool
) -> tuple[float | None, str]:
    """The bound on the margin, and what is wrong with it."""
    if findings.no_flip and is_flip:
        return None, "flips are ruled out, but the network has one"
    if findings.bound is None or not np.isfinite(findings.bound):
        return None, ""
    bound = instance.of_margins.round_bound(findings.bound)
    if bound < objective - instance.of_margins.gap:
        return None, _excluded("margin", bound, objective)
    return max(bound, objective), ""


def _verdict(findings: Findings, verdict: Verdict) -> Verdict:
    """A failure makes the status an error, unless the proof was complete without what failed."""
    message = verdict.message or findings.message
    is_settled = verdict.status in (Status.OPTIMAL, Status.INFEASIBLE) and not verdict.message
    if not message or is_settled:
        return verdict
    return Verdict(Status.ERROR, verdict.bound, verdict.goal_values, verdict.goal_bounds, message)


def _excluded(what: str, bound: float | None, value: float) -> str:
    return f"the bound {bound:g} on {what} excludes a point of {value:g} that the network has"


def _rounded(stage: Stage, bound: float) -> float:
    """Numbers of pixels are whole."""
    if stage == Stage(0.0, {"l0": 1.0}):
        return float(np.ceil(bound - 1e-3))
    return bound


def _gap(stage: Stage, value: float, bound: float) -> float:
    return bound - value if stage.is_maximised else value - bound


def _allowed(stage: Stage, value: float, unit: float) -> float:
    """How near a bound proves a value, which is in a margin's unit or in that of distances."""
    least = stage.margin * unit if stage.is_maximised else 1.0
    return MARGIN_GAP * least + DISTANCE_GAP * abs(value)
