"""From the record of a module's run to tensors."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_flatten, tree_map_only

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.content import first_line
from bnnopt.exchange.image import Image
from bnnopt.exchange.torch_modules.calls import Call, of_kind
from bnnopt.exchange.torch_modules.choices import STEPPING
from bnnopt.exchange.torch_modules.operations import OPERATIONS
from bnnopt.exchange.torch_modules.recording import Operation, Recorder, Value
from bnnopt.exchange.traced.building import Building, Walk
from bnnopt.exchange.traced.tensor import Tensor

__all__ = ["walk"]

COPIES = frozenset(["alias", "clone", "contiguous", "detach", "_to_copy"])


def walk(recorder: Recorder, output: torch.Tensor, image: Image) -> Walk:
    """Evaluate the record on tensors.

    Parameters
    ----------
    recorder : Recorder
        What the module did to one image.
    output : torch.Tensor
        What it returned.
    image : Image

    Raises
    ------
    NetworkFormatError
        With the operation that does not fit, and why.
    """
    last = recorder.value(output)
    if last is None:
        raise NetworkFormatError("its output does not depend on the image")
    same = _straight_through(recorder)
    last = _original(last, same)
    operations = _needed(recorder, same, last)
    names = {0: "image"} | {
        value.number: name
        for operation in operations
        for value, name in zip(operation.outputs, operation.names, strict=True)
    }
    uses, shared = _uses(operations, same, names)
    building = Building(image.about, uses + Counter([names[last.number]]), shared)
    building.put("image", image.tensor)
    for operation in operations:
        values = tree_map_only(
            Value, lambda v: building.values[names[_original(v, same).number]], operation.arguments
        )
        for name, result in zip(
            operation.names, _applied(operation, values, building), strict=False
        ):
            building.put(name, result)
        building.used(names[value.number] for value in _values_of(operation, same))
    return building.ended(names[last.number])


def _straight_through(recorder: Recorder) -> dict[int, int]:
    """Values that are another one: copies, and what ``(sign(x) - x) + x`` and the like leave.

    Straight-through estimators are written as sums in which all but one value cancel.
    """
    same: dict[int, int] = {}
    sums: dict[int, dict[int, int]] = {}
    for operation in recorder.operations:
        values = _values_of(operation, same)
        out = operation.outputs[0].number
        if operation.kind in COPIES and operation.arguments.get("dtype") is None:
            same[out] = values[0].number
        if operation.kind not in ("add", "sub") or len(values) != 2:
            continue
        if operation.arguments.get("alpha", 1) != 1:
            continue
        total: Counter[int] = Counter()
        for value, turn in zip(values, (1, -1 if operation.kind == "sub" else 1), strict=True):
            for number, count in sums.get(value.number, {value.number: 1}).items():
                total[number] += turn * count
        left = {number: count for number, count in total.items() if count}
        sums[out] = left
        only = next(iter(left), -1)
        if left == {only: 1} and recorder.shapes[only] == recorder.shapes[out]:
            same[out] = only
    return same


def _values_of(operation: Operation, same: dict[int, int]) -> list[Value]:
    """What of the image an operation sees."""
    flat, _ = tree_flatten(operation.arguments)
    return [_original(value, same) for value in flat if isinstance(value, Value)]


def _original(value: Value, same: dict[int, int]) -> Value:
    return Value(same.get(value.number, value.number))


def _needed(recorder: Recorder, same: dict[int, int], last: Value) -> list[Operation]:
    """Operations that the output depends on, in order."""
    wanted, found = {last}, []
    for operation in reversed(recorder.operations):
        if wanted.isdisjoint(operation.outputs):
            continue
        found.append(operation)
        wanted.update(_values_of(operation, same))
    return found[::-1]


def _uses(
    operations: list[Operation], same: dict[int, int], names: dict[int, str]
) -> tuple[Counter[str], set[str]]:
    """How many operators take each value; and those of several that do not leave signs as such."""
    uses: Counter[str] = Counter()
    ending: Counter[str] = Counter()
    for operation in operations:
        values = _values_of(operation, same)
        taken = [names[value.number] for value in values]
        uses.update(taken)
        is_sum = operation.kind in ("add", "sub", "mul") and len(values) > 1
        if operation.kind not in STEPPING and not is_sum:
            ending.update(taken)
    return uses, {name for name, count in ending.items() if count > 1}


def _applied(operation: Operation, values: dict[str, Any], building: Building) -> list[Any]:
    """An operation's outputs."""
    where = f"{operation.name!r} (aten.{operation.kind})"
    handler = OPERATIONS.get(operation.kind)
    if handler is None:
        raise NetworkFormatError(
            f"{where} does not fit: it is none of the operations of binarized networks"
        )
    try:
        result = handler(Call(operation, values, building))
        results = result if isinstance(result, list) else [result]
        return [
            of_kind(one, np.dtype(kind)) if isinstance(one, Tensor) else one
            for one, kind in zip(results, operation.kinds, strict=False)
        ]
    except NetworkFormatError as error:
        raise NetworkFormatError(f"{where} does not fit: {error}") from None
    except (ValueError, TypeError, IndexError, RuntimeError, ArithmeticError) as error:
        raise NetworkFormatError(f"{where} cannot be read: {first_line(error)}") from None
