"""Models as files for solvers elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import solvers
from bnnopt.errors import InputError
from bnnopt.files import write_atomically
from bnnopt.instance import AttackInstance
from bnnopt.network import fingerprint
from solvers.files import COMMENTS, model_lines

__all__ = ["ENDINGS", "describe_attack", "write_model"]

ENDINGS = tuple(COMMENTS)

LONGEST = 200
"""Characters of a line of comment, which some readers limit."""


def write_model(model: Any, path: str | os.PathLike[str], about: Iterable[str] = ()) -> None:
    """Write a Pyomo model as LP or MPS, by the file's ending.

    The file appears whole or not at all, and is the same each time. Variables and rows are called
    after the model's: ``p[17]`` is ``p17``, ``h[1, 4]`` is ``h1_4``, and the row ``on[1, 4]`` is
    ``on_1_4``.

    Parameters
    ----------
    model : pyomo ConcreteModel
    path : path
    about : iterable of str
        Lines of comment at the top, such as `describe_attack` gives.

    Raises
    ------
    InputError
        If the ending is another one.
    """
    target = Path(path)
    if target.suffix not in ENDINGS:
        raise InputError(f"a model file ends in {' or '.join(ENDINGS)}, not {target.name!r}")
    comment = [_printable(line) for line in about]
    lines = model_lines(solvers.compile_model(model), target.suffix, comment)
    write_atomically(target, "".join(lines).encode())


def _printable(line: str) -> str:
    """One line of ASCII, whatever a network's name holds."""
    return " ".join(line.split()).encode("ascii", "backslashreplace").decode()[:LONGEST]


def describe_attack(
    instance: AttackInstance, formulation: str, version: str, image: str = ""
) -> Iterator[str]:
    """What a reader of a model's file must know, line by line.

    Parameters
    ----------
    instance : AttackInstance
    formulation : str
        Of the model, by `bnnopt.formulations.attack.attack_model`.
    version : str
        Of bnnopt.
    image : str
        Which image it is, such as ``"image 3 of mnist"``.
    """
    network, names = instance.network, instance.network.class_names

    def called(c: int) -> str:
        return f"{c} ({names[c]})" if names else str(c)

    yield f"An attack on a binarized neural network, by bnnopt {version}"
    yield f"network: {network.name or 'without a name'}, fingerprint {fingerprint(network)}"
    if image:
        yield image
    yield f"epsilon: {instance.epsilon!r}; domain: {instance.domain}; levels: 0 to {network.levels}"
    moving = int((instance.box[1] > instance.box[0]).sum())
    limits = {"at most": instance.max_pixels, "by a sum of at most": instance.max_l1}
    more = "".join(f", {words} {most!r}" for words, most in limits.items() if most is not None)
    yield f"pixels that may move: {moving} of {network.num_inputs}{more}"
    yield f"source: {called(instance.source)}; ties: {instance.ties}"
    yield f"target: {', '.join(called(c) for c in instance.targets)}"
    yield f"formulation: {formulation}; goal: {instance.goal}"
    yield from _objective(instance)
    yield "p17: change of pixel 17, in levels, in flat order from 0"
    yield "h2_5: 1 if neuron 5 of layer 2 is +1, else 0; rows on_2_5 and off_2_5 say when"
    yield "a point that a solver finds is a claim until it is replayed through the network"


def _objective(instance: AttackInstance) -> Iterator[str]:
    """The sense, and what the objective's value means."""
    goal, margins = instance.sought, instance.of_margins
    stage = goal.stages[0] if goal.stages else None
    if stage is None:
        yield "objective: none, any feasible point is to change the prediction"
    elif stage.is_maximised:
        paid = "".join(f" - {w!r} * {name}" for name, w in stage.distances.items())
        weight = "" if stage.margin == 1.0 else f"{stage.margin!r} * "
        yield f"objective: maximize {weight}margin{paid}, in units of {margins.unit!r}"
        yield "margin: the target's logit less the source's"
        least = min(margins.least_flip(c) for c in instance.targets)
        yield f"the prediction changes at a margin of {least / margins.unit!r} units or more"
    else:
        paid = " + ".join(f"{w!r} * {name}" for name, w in stage.distances.items())
        yield f"objective: minimize {paid}, of pixel values in [0, 1]"
        yield "feasible points are to change the prediction"
