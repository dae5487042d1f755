"""The one call that attacks one image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt import zoo
from bnnopt.attacks import attack_class
from bnnopt.attacks.base import Attack, Limits
from bnnopt.attacks.deadline import Deadline
from bnnopt.errors import SolverFailureError, SolverMissingError, UnknownNameError
from bnnopt.instance import AttackInstance, Direction, Domain
from bnnopt.network import BinarizedNetwork
from bnnopt.result import AttackResult

__all__ = ["START_SECONDS", "attack", "load_network", "read_target", "solver_errors"]

START_SECONDS = 5.0
"""What a start by another method may take (the paper's Figure 6)."""


def load_network(network: BinarizedNetwork | str | os.PathLike[str]) -> BinarizedNetwork:
    """A network itself, one of the zoo by name, or one from an ``.npz`` file by path.

    Raises
    ------
    UnknownNameError
        If it is neither a known name nor the path of a file.
    NetworkFormatError
        If the file is not a valid network.
    """
    if isinstance(network, BinarizedNetwork):
        return network
    name = os.fspath(network)
    if name in zoo.NAMES:
        return zoo.load(name)
    if name.endswith(".npz") or os.sep in name or os.path.isfile(name):
        return BinarizedNetwork.load(name)
    return zoo.load(name)  # raises the error that lists the names


def attack(
    network: BinarizedNetwork | str | os.PathLike[str],
    image: npt.ArrayLike,
    epsilon: float = 0.01,
    *,
    method: str = "auto",
    solver: str = "highs",
    formulation: str = "tight",
    target: int | str = "runner-up",
    domain: Domain = "continuous",
    mask: npt.ArrayLike | None = None,
    direction: Direction = "both",
    max_pixels: int | None = None,
    max_l1: float | None = None,
    goal: str = "margin",
    start: str | npt.ArrayLike = "none",
    options: Mapping[str, Any] | None = None,
    time_limit: float | None = 180.0,
    threads: int = 1,
    seed: int = 0,
    index: int | None = None,
    label: int | None = None,
    on_incumbent: Callable[[float, float], None] | None = None,
) -> AttackResult:
    """Find the worst image within `epsilon` of an image, and prove it where time allows.

    Parameters
    ----------
    network : BinarizedNetwork, str or path
        A network, a name of the zoo (``bnnopt.zoo.NAMES``), or the path of an ``.npz`` file.
    image : array_like, shape (n,) or the network's input_shape
        Values in [0, 1].
    epsilon : float
        Largest change of a pixel, in [0, 1].
    method : {"auto", "bab", "milp", "pattern", "iprop", "fgsm", "ifgsm", "pgd"}
        ``"auto"`` takes branch and bound (``"bab"``) where it can, else the MILP.
    solver : {"highs", "cbc", "gurobi", "scip"}
        Any name of ``solvers.available()``.
    formulation : {"tight", "paper"}
        Both are for the MILP.
    target : {"runner-up", "untargeted"} or int
        Which class's margin over the predicted class is maximised.
    domain : {"continuous", "pixels"}
        Any real pixel value, or whole levels k/255 only.
    mask : array_like of bool, optional
    direction : {"both", "lighten", "darken"}
    max_pixels : int, optional
    max_l1 : float, optional
        These four are budgets beside `epsilon`, and all hold together: see `AttackInstance`.
    goal : str
        ``"margin"``, ``"flip"``, ``"linf"``, ``"l1"``, ``"l0"``, a weighted sum such as
        ``"margin+0.5*l1"``, or two in lexicographic order such as ``"l0,linf"``: see
        `AttackInstance`.
    start : str or array_like, shape (n,), (count, n) or the network's input_shape
        Where to begin: ``"none"``, the name of another method, which gets up to
        `START_SECONDS` of the time limit, or images in [0, 1].
    options : mapping, optional
        Further arguments of the method's class, such as ``{"decompose": False}`` for ``milp``.
    time_limit : float or None
        Wall-clock seconds, the start included.
    threads : int
        Of the solver, and of branch and bound.
    seed : int
    index, label : int, optional
        Test-set index and true class, for the record.
    on_incumbent : callable, optional
        Called with (seconds, objective) of each better point while the method runs.

    Returns
    -------
    AttackResult
        Its point was replayed exactly through the network; Ctrl-C returns the incumbent.

    Raises
    ------
    BnnoptError
        If an argument is wrong, or the solver is missing or fails.

    Examples
    --------
    >>> import bnnopt
    >>> images = bnnopt.datasets.embedded()
    >>> result = bnnopt.attack("fashion-mnist-2x100", images.x(0), epsilon=0.005)
    >>> result.verified
    True
    """
    limits = Limits(time_limit, threads, seed)
    method_class = attack_class(method)  # may import torch, which is not the attack's time
    instance = AttackInstance(
        load_network(network),
        image,
        epsilon,
        target,
        domain,
        mask,
        direction,
        max_pixels,
        max_l1,
        goal,
    )
    given = {"solver": solver, "formulation": formulation}
    with solver_errors():
        attacker = _make(method_class, given, options or {})
        attacker.prepare(instance)
        deadline = Deadline(time_limit)
        starts = _starts(instance, start, limits, given)
        left = replace(limits, time_limit=deadline.left, on_incumbent=on_incumbent)
        result: AttackResult = attacker(instance, left, image=index, label=label, starts=starts)
    return replace(result, time_limit=time_limit, wall_time=deadline.elapsed)


def _make(method_class: Any, given: Mapping[str, str], options: Mapping[str, Any]) -> Attack:
    """An attack, with what its constructor takes."""
    taken = {name: given[name] for name in method_class.takes}
    attack: Attack = method_class(**taken, **options)
    return attack


def _starts(
    instance: AttackInstance, start: str | npt.ArrayLike, limits: Limits, given: dict[str, str]
) -> npt.NDArray[np.float64]:
    """Levels to begin from, shape (count, n)."""
    network = instance.network
    if not isinstance(start, str):
        return network.levels_of(start)
    if start == "none":
        return np.zeros((0, network.num_inputs))
    seconds = min(START_SECONDS, limits.time_limit or START_SECONDS)
    found = _make(attack_class(start), given, {})(instance, replace(limits, time_limit=seconds))
    return network.levels_of(found.adversarial)


def read_target(text: str) -> int | str:
    """A target as it is written on a command line: a class number or a name."""
    return int(text) if text.isdecimal() and len(text) < 10 else text


@contextmanager
def solver_errors() -> Iterator[None]:
    """Turn the solver layer's errors, which knows nothing of bnnopt, into ours."""
    import solvers

    try:
        yield
    except solvers.UnknownSolverError as error:
        raise UnknownNameError("solver", error.name, solvers.names()) from None
    except solvers.SolverUnavailableError as error:
        raise SolverMissingError(str(error)) from None
    except solvers.SolverError as error:
        raise SolverFailureError(str(error)) from None
