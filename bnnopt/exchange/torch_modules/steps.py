"""Functions of several signs of the same numbers, as custom sign functions are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.exchange.traced.scalar import Steps
from bnnopt.exchange.traced.tensor import Elements, Tensor

__all__ = ["EQUAL", "OF_SIGNS", "are_of_one", "combined"]

Array = npt.NDArray[Any]

EQUAL = Steps((True, False), (0.0, 1.0, 0.0))
"""Whether a number is the one that it is compared with."""

OF_SIGNS: dict[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "bitwise_and": np.logical_and,
    "bitwise_or": np.logical_or,
}
"""Operations that take signs of the same numbers, and are such a sign again."""


def are_of_one(tensors: list[Tensor]) -> bool:
    """Whether tensors are steps of the same numbers, at the same places."""
    first = tensors[0]
    return all(tensor.is_stepped for tensor in tensors) and all(
        _same_numbers(first.elements, tensor.elements) and np.array_equal(first.pick, tensor.pick)
        for tensor in tensors[1:]
    )


def _same_numbers(one: Elements, two: Elements) -> bool:
    same = one.sums is two.sums and one.terms is two.terms and one.offset is two.offset
    links = len(one.chain) == len(two.chain) and all(
        a is b for a, b in zip(one.chain, two.chain, strict=True)
    )
    return same and links and one.pooled == two.pooled and np.array_equal(one.at, two.at)


def combined(function: Callable[..., Array], parts: list[Any], kind: np.dtype[Any]) -> Tensor:
    """A function of tensors that are `are_of_one`, and of numbers.

    Parameters
    ----------
    function : callable
        Of arrays, elementwise.
    parts : list of Tensor or number
    kind : dtype
        Of what it gives.
    """
    tensors = [part for part in parts if isinstance(part, Tensor)]
    first = tensors[0]
    values = [_three(part.elements) if isinstance(part, Tensor) else [part] * 3 for part in parts]
    outcomes = tuple(np.asarray(function(*row)).astype(kind) for row in zip(*values, strict=True))
    steps = Steps((True, False), (0.0, 0.0, 0.0))
    elements = replace(first.elements, steps=steps, outcomes=outcomes)
    return replace(first, elements=elements, precision=kind)


def _three(elements: Elements) -> list[Array]:
    """What an element is below its jump, on it and above it."""
    assert elements.steps is not None
    outcomes = list(elements.outcomes)
    if len(outcomes) == 3:
        return outcomes
    low, high = outcomes
    return [low, high if elements.steps.closed[0] else low, high]
