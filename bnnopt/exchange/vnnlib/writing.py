"""Write the question whether an instance has a flip as a VNN-LIB file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.arguments import read_choice
from bnnopt.errors import InputError
from bnnopt.files import write_atomically
from bnnopt.instance import AttackInstance

__all__ = ["VERSIONS", "write_vnnlib"]

VERSIONS = ("1.0", "2.0")

DIGITS = Decimal("1e-18")
"""To which bounds are rounded, outwards."""

FloatArray = npt.NDArray[np.float64]


def write_vnnlib(
    instance: AttackInstance, path: str | os.PathLike[str], version: str = "1.0"
) -> None:
    """Write a property whose counterexamples are an instance's flips.

    Inputs are the image's values in [0, 1], in the order of the network's input_shape; outputs
    are the logits. Bounds are rounded outwards after 18 digits.

    Parameters
    ----------
    instance : AttackInstance
        In the continuous domain, limited by a box only (epsilon, mask, direction, within).
    path : path
        Written whole or not at all.
    version : {"1.0", "2.0"}
        In 1.0 a tie that is no flip is excluded by ``>``, which not every reader takes.

    Raises
    ------
    InputError
        If the format cannot say what limits the instance.
    """
    read_choice(version, "version", VERSIONS)
    if instance.domain != "continuous":
        raise InputError("VNN-LIB has real inputs only: take domain 'continuous'")
    if not instance.is_box:
        raise InputError("VNN-LIB has boxes of inputs: leave max_pixels and max_l1 out")
    lines = _first(instance) if version == "1.0" else _second(instance)
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())


def _first(instance: AttackInstance) -> Iterator[str]:
    inputs, outputs = instance.network.num_inputs, instance.network.num_classes
    yield from (f"(declare-const X_{i} Real)" for i in range(inputs))
    yield from (f"(declare-const Y_{c} Real)" for c in range(outputs))
    yield from _statements(instance, [f"X_{i}" for i in range(inputs)], "Y_{}")


def _second(instance: AttackInstance) -> Iterator[str]:
    shape, outputs = instance.network.input_shape, instance.network.num_classes
    yield "(vnnlib-version <2.0>)"
    yield "(declare-network N"
    yield f"\t(declare-input X float32 [{', '.join(map(str, (1, *shape)))}])"
    yield f"\t(declare-output Y float32 [1, {outputs}])"
    yield ")"
    names = [f"X[{','.join(map(str, (0, *place)))}]" for place in np.ndindex(*shape)]
    yield from _statements(instance, names, "Y[0,{}]")


def _statements(instance: AttackInstance, names: list[str], output: str) -> Iterator[str]:
    for name, low, high in zip(names, *_box(instance), strict=True):
        yield f"(assert (<= {name} {_decimal(high, ROUND_CEILING)}))"
        yield f"(assert (>= {name} {_decimal(low, ROUND_FLOOR)}))"
    source = output.format(instance.source)
    yield "(assert (or"
    for target in instance.targets:
        sign = ">=" if instance.of_margins.wins_ties(target) else ">"
        yield f"\t(and ({sign} {output.format(target)} {source}))"
    yield "))"


def _box(instance: AttackInstance) -> tuple[list[float], list[float]]:
    """Bounds on the values, before anything is put on a grid."""
    image: FloatArray = np.ravel(np.asarray(instance.image))
    within: Any = instance.within or (np.zeros_like(image), np.ones_like(image))
    low = np.maximum(np.ravel(within[0]), image - instance.epsilon)
    high = np.minimum(np.ravel(within[1]), image + instance.epsilon)
    moves = np.full(len(image), True) if instance.mask is None else np.ravel(instance.mask)
    low = np.where(moves & (instance.direction != "lighten"), low, image)
    high = np.where(moves & (instance.direction != "darken"), high, image)
    return low.tolist(), high.tolist()


def _decimal(value: float, rounding: str) -> str:
    """A number without an exponent, and with a point, as version 2.0 wants real ones."""
    text = format(Decimal(value).quantize(DIGITS, rounding), "f").rstrip("0")
    return text + "0" if text.endswith(".") else text
