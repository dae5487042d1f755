"""How large a model will be, before it is built; known without Pyomo."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bnnopt.bounds import interval_bounds
from bnnopt.errors import InputError
from bnnopt.instance import AttackInstance
from bnnopt.network import HiddenLayer

__all__ = ["MAX_TERMS", "check_terms", "first_layer_terms", "layer_terms", "model_terms"]

BoolArray = npt.NDArray[np.bool_]

MAX_TERMS = 2**23
"""Most terms of a model: Pyomo and a solver take about 250 bytes for each."""


def check_terms(count: int, what: str, remedy: str) -> None:
    """Refuse a model that would not fit.

    Parameters
    ----------
    count : int
        Of its terms.
    what, remedy : str
        The model, and what takes the instance.

    Raises
    ------
    InputError
        If there are more than `MAX_TERMS`.
    """
    if count > MAX_TERMS:
        raise InputError(
            f"{what} of this network would have {count:,} terms, more than the {MAX_TERMS:,} "
            f"that are built: {remedy}"
        )


def model_terms(instance: AttackInstance, formulation: str) -> int:
    """About how many terms the model of an attack has, by the intervals of its sums."""
    hidden = instance.network.hidden
    if formulation == "paper":
        return sum(layer_terms(layer) for layer in hidden)
    unstable = [bounds.sign == 0 for bounds in interval_bounds(instance)]
    deeper = zip(hidden[1:], unstable[1:], unstable, strict=False)
    terms = [_count(layer, rows, inputs) for layer, rows, inputs in deeper]
    return 2 * (first_layer_terms(instance) + sum(terms))  # a row for on, and one for off


def first_layer_terms(instance: AttackInstance) -> int:
    """Weights of the unstable neurons of the first layer."""
    layer, unstable = instance.network.hidden[0], interval_bounds(instance)[0].sign == 0
    return _count(layer, unstable, np.ones(layer.shape[1], dtype=bool))


def layer_terms(layer: HiddenLayer) -> int:
    """All weights of a layer."""
    return int(layer.weight.size)


def _count(layer: HiddenLayer, rows: BoolArray, inputs: BoolArray) -> int:
    """Weights of some rows for some inputs."""
    weight = layer.weight
    if isinstance(weight, np.ndarray):
        return int(rows.sum()) * int(inputs.sum())
    return int(np.count_nonzero(inputs[weight.indices] & np.repeat(rows, np.diff(weight.indptr))))
