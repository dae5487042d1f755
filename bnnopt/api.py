"""The one call that attacks one image."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt import zoo
from bnnopt.arguments import read_class, read_names, read_whole
from bnnopt.attacks import attack_class, method_names
from bnnopt.attacks.base import Attack
from bnnopt.attacks.deadline import Deadline
from bnnopt.attacks.limits import Limits
from bnnopt.errors import InputError, SolverFailureError, SolverMissingError, UnknownNameError
from bnnopt.instance import AttackInstance, Direction, Domain
from bnnopt.margins import Ties
from bnnopt.network import BinarizedNetwork
from bnnopt.result import AttackResult

__all__ = [
    "FEW_IMAGES",
    "START_SECONDS",
    "attack",
    "load_network",
    "make_attack",
    "read_index",
    "read_label",
    "solver_errors",
]

FEW_IMAGES = 16
"""On which an imported network is compared with its file where nobody asks for more."""

START_SECONDS = 5.0
"""What a start by another method may take (the paper's Figure 6)."""


def load_network(
    network: BinarizedNetwork | str | os.PathLike[str], **reading: Any
) -> BinarizedNetwork:
    """A network itself, one of the zoo by name, or one from a file by path.

    Parameters
    ----------
    network : BinarizedNetwork, str or path
        A file is an ``.npz``, or one that `bnnopt.exchange.read` imports, by its ending: ``.onnx``.
    reading
        For files to import: ``input_range``, ``mean``, ``std`` and ``levels`` of
        `bnnopt.from_onnx`.

    Raises
    ------
    UnknownNameError
        If it is neither a known name nor the path of a file.
    NetworkFormatError
        If the file is not a valid network.
    ImportDisagreesError
        If an imported network does not give what its file gives.
    """
    from bnnopt.exchange.read import is_foreign, read

    if isinstance(network, str | os.PathLike) and is_foreign(network):
        return read(network, check=FEW_IMAGES, **reading).network
    if reading:
        raise InputError(f"{', '.join(reading)}: only for files of other programs, not {network}")
    if isinstance(network, BinarizedNetwork):
        return network
    if not isinstance(network, str | os.PathLike):
        raise InputError(
            f"a network is a BinarizedNetwork, a name of the zoo or the path of a file, "
            f"not {type(network).__name__}"
        )
    name = os.fspath(network)
    if name in zoo.NAMES:
        return zoo.load(name)
    if name.endswith(".npz") or os.sep in name or os.path.isfile(name):
        return BinarizedNetwork.load(name)
    return zoo.load(name)  # raises the error that lists the names


def attack(
    network: BinarizedNetwork | str | os.PathLike[str],
    image: npt.ArrayLike,
    epsilon: float | str = 0.01,
    *,
    method: str | Attack = "auto",
    solver: str = "highs",
    formulation: str = "tight",
    target: int | str = "runner-up",
    domain: Domain = "continuous",
    mask: npt.ArrayLike | None = None,
    direction: Direction = "both",
    max_pixels: int | None = None,
    max_l1: float | str | None = None,
    goal: str = "margin",
    ties: Ties = "lowest",
    source: int | str | None = None,
    within: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    start: str | Attack | npt.ArrayLike = "none",
    options: Mapping[str, Any] | None = None,
    time_limit: float | None = 180.0,
    effort: int | None = None,
    threads: int = 1,
    seed: int = 0,
    index: int | None = None,
    label: int | str | None = None,
    on_incumbent: Callable[[float, float], None] | None = None,
    proof: str | os.PathLike[str] | None = None,
) -> AttackResult:
    """Find the worst image within `epsilon` of an image, and prove it where time allows.

    Parameters
    ----------
    network : BinarizedNetwork, str or path
        A network, a name of the zoo (``bnnopt.zoo.NAMES``), or the path of an ``.npz`` file.
    image : array_like, shape (n,) or the network's input_shape
        Values in [0, 1], or whole levels in an array of integers; a numpy array, a torch tensor,
        a PIL image: see `BinarizedNetwork.images`.
    epsilon : float or str
        Largest change of a pixel, in [0, 1]: what is written, ``0.01`` or ``"8/255"``.
    method : {"auto", "bab", "milp", "pattern", "iprop", "fgsm", "ifgsm", "pgd"}, str or Attack
        ``"auto"`` takes branch and bound (``"bab"``) where it can, else the MILP. An attack
        object, such as a `bnnopt.exchange.foolbox.FoolboxAttack`, is taken as it is. Other
        packages may give further names (docs/how-to/add-an-attack.md).
    solver : {"highs", "cbc", "gurobi", "scip"}
        Any name of ``solvers.available()``.
    formulation : {"tight", "paper"} or str
        Both are for the MILP; other packages may give further ones.
    target : {"runner-up", "untargeted"}, int or str
        Which class's margin over the source class is maximised; a class by number or name.
    domain : {"continuous", "pixels"}
        Any real pixel value, or whole levels of the network only, such as k/255.
    mask : array_like of bool, optional
        True where a pixel may change; shape (n,) or the network's input_shape.
    direction : {"both", "lighten", "darken"}
        Whether pixels may rise, fall or both.
    max_pixels : int, optional
        Most pixels that may change.
    max_l1 : float, optional
        Largest sum of the changes, in [0, 1] units. These four are budgets beside `epsilon`, and
        all hold together: see `AttackInstance`.
    goal : str
        ``"margin"``, ``"flip"``, ``"linf"``, ``"l1"``, ``"l0"``, a weighted sum such as
        ``"margin+0.5*l1"``, or two in lexicographic order such as ``"l0,linf"``: see
        `AttackInstance`.
    ties : {"lowest", "never", "always"}
        When a target beats the source at a margin of 0: as the prediction goes, never (as in the
        paper), or always.
    source : int or str, optional
        The class whose loss counts as a flip; the prediction for the image if not given.
    within : pair of array_like, shape (n,) or the network's input_shape each, optional
        The lowest and the highest value of each pixel, beside `epsilon`: see `AttackInstance`.
    start : str, Attack or array_like, shape (n,), (count, n) or the network's input_shape
        Where to begin: ``"none"``, another method or attack object, which gets up to
        `START_SECONDS` of the time limit, or images in [0, 1].
    options : mapping, optional
        Further arguments of the method's class, such as ``{"decompose": False}`` for ``milp``.
    time_limit : float or None
        Wall-clock seconds, the start and the building of models included.
    effort : int, optional
        Most steps of the method's own: nodes of branch and bound and of the MILP, neighbourhoods
        of pattern search, iterations of IProp and of the gradient attacks. A run that it cuts
        off, with one thread, repeats itself on machines with the same versions.
    threads : int
        Of the solver, and of branch and bound.
    seed : int
        Of all that is drawn at random; 0 to 2**31 - 1.
    index : int, optional
        Test-set index, for the record.
    label : int or str, optional
        True class, for the record: a number, or a name of the network's classes.
    on_incumbent : callable, optional
        Called with (seconds, objective) of each better point while the method runs.

    proof : path, optional
        Where to write a proof of a result that is optimal or infeasible, which
        ``bnnopt check-proof`` and ``bnnopt/proof/check.py`` check (docs/proofs.md). It is made
        after the search, in no time limit; `AttackResult.proof` says what came of it.

    Returns
    -------
    AttackResult
        Its point was replayed exactly through the network; Ctrl-C returns the incumbent. Where a
        solver fails, its status is ``error``, with everything that was found before.

    Raises
    ------
    BnnoptError
        If an argument is wrong, or the solver is missing.

    Examples
    --------
    >>> import bnnopt
    >>> images = bnnopt.datasets.embedded()
    >>> result = bnnopt.attack("fashion-mnist-2x100", images.x(0), epsilon=0.005)
    >>> result.verified
    True
    """
    limits = Limits(time_limit, threads, seed, effort)
    loaded = load_network(network)
    instance = AttackInstance(
        loaded,
        image,
        epsilon,  # type: ignore[arg-type]
        target,
        domain,
        mask,
        direction,
        max_pixels,
        max_l1,  # type: ignore[arg-type]
        goal,
        ties,
        source,  # type: ignore[arg-type]
        within,
    )
    index, label = read_index(index), read_label(label, loaded)
    given = {"solver": solver, "formulation": formulation}
    with solver_errors():
        attacker = _attacker(method, given, options)  # may import torch, not on the clock
        attacker.prepare(instance)
        deadline = Deadline(limits)
        starts = _starts(instance, start, limits, given)
        left = replace(limits, time_limit=deadline.left, on_incumbent=on_incumbent)
        result: AttackResult = attacker(instance, left, image=index, label=label, starts=starts)
    result = replace(result, time_limit=limits.time_limit, wall_time=deadline.elapsed)
    return result if proof is None else _with_proof(instance, result, proof)


def _with_proof(
    instance: AttackInstance, result: AttackResult, path: str | os.PathLike[str]
) -> AttackResult:
    """Write a proof; the result says what came of it."""
    from bnnopt.proof.writing import NoProofError, write_proof  # compiles its own functions

    try:
        write_proof(instance, result, path)
    except NoProofError as error:
        return replace(result, proof=f"none: {error}")
    except KeyboardInterrupt:
        return replace(result, proof="none: interrupted", interrupted=True)
    return replace(result, proof=os.fspath(path))


def _attacker(
    method: str | Attack, given: Mapping[str, str], options: Mapping[str, Any] | None
) -> Attack:
    """A method's attack; one that is there already has all its options."""
    if isinstance(method, Attack):
        read_names(options, "option", ())
        return method
    return make_attack(attack_class(method), given, options)


def make_attack(
    method_class: Any, given: Mapping[str, str], options: Mapping[str, Any] | None
) -> Attack:
    """An attack, with what its constructor takes.

    Parameters
    ----------
    method_class : type
        By `attack_class`.
    given : mapping
        ``solver`` and ``formulation``, which it may take.
    options : mapping
        Further arguments by name.

    Raises
    ------
    InputError
        If there is no such option, or its value is of a wrong type.
    """
    taken = {name: given[name] for name in method_class.takes}
    known = [name for name in inspect.signature(method_class).parameters if name not in given]
    chosen = read_names(options, "option", known)
    try:
        attack: Attack = method_class(**taken, **chosen)
    except TypeError as error:
        raise InputError(f"the options do not fit the method: {error}") from None
    return attack


def read_index(index: Any) -> int | None:
    """A test-set index for the record."""
    return None if index is None else read_whole(index, "index", low=0)


def read_label(label: Any, network: BinarizedNetwork) -> int | None:
    """A true class for the record: a name of the network's classes, or any class number.

    A network may know fewer classes than its data.
    """
    if label is None:
        return None
    if isinstance(label, str):
        return read_class(label, "label", network.num_classes, network.class_names)
    return read_whole(label, "label", low=0)


def _starts(
    instance: AttackInstance,
    start: str | Attack | npt.ArrayLike,
    limits: Limits,
    given: dict[str, str],
) -> npt.NDArray[np.float64]:
    """Levels to begin from, shape (count, n)."""
    network = instance.network
    if not isinstance(start, str | Attack):
        return network.levels_of(start)
    if start == "none":
        return np.zeros((0, network.num_inputs))
    if isinstance(start, str) and start not in method_names():
        raise UnknownNameError("start", start, ("none", *method_names()))
    seconds = limits.time_limit
    if limits.effort is None:  # which the time must not decide else
        seconds = min(START_SECONDS, seconds or START_SECONDS)
    first = start if isinstance(start, Attack) else make_attack(attack_class(start), given, {})
    found = first(instance, replace(limits, time_limit=seconds))
    return network.levels_of(found.adversarial)


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
