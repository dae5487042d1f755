"""From a flip to a nearer one that turns the same neurons of the first layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import solvers
from bnnopt.attacks.budgets.smallest import within
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.limits import Limits
from bnnopt.formulations.nearest import nearest_model, nearest_point
from bnnopt.instance import AttackInstance
from bnnopt.search.space import has_cuts_only

__all__ = ["nearest_of_pattern"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def nearest_of_pattern(
    instance: AttackInstance, name: str, z: FloatArray, limits: Limits
) -> FloatArray:
    """A flip as near as those of a flip's first-layer pattern, if linear programs find one.

    They ask for the neurons that have turned since the image only; those that turn beside them, if
    the point is no flip, are added until it is one.

    Parameters
    ----------
    instance : AttackInstance
    name : {"linf", "l1"}
        The distance.
    z : array of float, shape (n,)
        Levels of a flip.
    limits : Limits

    Returns
    -------
    array of float, shape (n,)
        Levels of a flip; `z` itself where none is nearer.
    """
    if has_cuts_only(instance) or (name == "linf" and instance.max_l1 is not None):
        return z  # whose points are the nearest of their cells; two distances, one limited
    deadline, distance = Deadline(limits), instance.distances(z)[name]
    part = within(instance, name, distance)
    wanted, at_image = (_signs(instance, levels) for levels in (z, instance.levels))
    needed = wanted != at_image
    while needed.any():
        point = _nearest(part, name, np.flatnonzero(needed), wanted[needed], deadline.share(1.0))
        if point is None:
            return z
        if instance.are_flips(point[None])[0]:
            return point if instance.distances(point)[name] < distance else z
        others = ~needed & (_signs(instance, point) != wanted)
        if not others.any():
            return z
        needed |= others
    return z


def _signs(instance: AttackInstance, levels: FloatArray) -> FloatArray:
    return np.asarray(instance.network.hidden[0](levels[None])[0])


def _nearest(
    part: AttackInstance,
    name: str,
    neurons: npt.NDArray[np.int64],
    signs: FloatArray,
    limits: Limits,
) -> FloatArray | None:
    """Solve the program of some neurons; None where the solver has no solution."""
    model = nearest_model(part, name, neurons, signs)
    options = solvers.SolveOptions(
        seed=limits.seed, threads=limits.threads, time_limit=limits.time_limit
    )
    try:
        with solvers.get("highs").session(model) as session:
            solved = session.solve(options)
    except solvers.SolverError:
        return None  # nothing depends on it
    if solved.interrupted:
        raise KeyboardInterrupt
    if solved.values is None:
        return None
    return part.snap(nearest_point(part, name, solved.values.array))
