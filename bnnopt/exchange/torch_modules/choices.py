"""Operations of ATen that compare numbers, join comparisons, or choose by them."""

from __future__ import annotations

from typing import Any

import numpy as np

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.torch_modules.calls import Call
from bnnopt.exchange.torch_modules.steps import EQUAL, OF_SIGNS, are_of_one, combined
from bnnopt.exchange.traced.node import registry
from bnnopt.exchange.traced.tensor import Tensor

__all__ = ["HANDLERS", "STEPPING"]

STEPPING = frozenset(
    [
        "bitwise_and",
        "bitwise_not",
        "bitwise_or",
        "eq",
        "ge",
        "gt",
        "index_put",
        "le",
        "logical_and",
        "logical_not",
        "logical_or",
        "lt",
        "masked_fill",
        "ne",
        "where",
    ]
)
"""Operations that leave signs what they are: those need not be neurons yet."""

HANDLERS, handles = registry()


@handles("logical_and", "logical_or", "bitwise_and", "bitwise_or")
def _logical(call: Call) -> Any:
    parts = [call.tensor("self"), call.tensor("other")]
    if not are_of_one(parts):
        raise NetworkFormatError("it joins comparisons of different numbers")
    return combined(OF_SIGNS[call.operation.kind], parts, call.kind)


@handles("logical_not", "bitwise_not")
def _not(call: Call) -> Any:
    return call.onnx("Not", call.tensor())


@handles("ge", "gt", "le", "lt")
def _compared(call: Call) -> Any:
    kind = {"ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "lt": "Less"}
    left, right = call.get("self"), call.get("other")
    like = left if isinstance(left, Tensor) else call.tensor("other")
    if not isinstance(right, Tensor):
        right = call.constant("other", like)
    elif not isinstance(left, Tensor):
        left = call.constant("self", like)
    return call.onnx(kind[call.operation.kind], left, right)


@handles("eq", "ne")
def _equal(call: Call) -> Any:
    names = ("self", "other") if isinstance(call.get("self"), Tensor) else ("other", "self")
    tensor = call.single(names[0])
    found = tensor.step(EQUAL, call.constant(names[1], tensor), bool)
    return found if call.operation.kind == "eq" else call.onnx("Not", found)


@handles("where")
def _where(call: Call) -> Any:
    condition = call.get("condition")
    if not isinstance(condition, Tensor):
        raise NetworkFormatError("its condition must depend on the image")
    return _chosen(call, condition, call.get("self"), call.get("other"))


@handles("masked_fill")
def _masked_fill(call: Call) -> Any:
    return _chosen(call, call.tensor("mask"), call.constant("value"), call.get("self"))


@handles("index_put")
def _index_put(call: Call) -> Any:
    indices, value = call.get("indices"), call.get("values")
    if len(indices) != 1 or not isinstance(indices[0], Tensor) or np.size(value) != 1:
        raise NetworkFormatError("it sets single numbers: only x[x == 0] = 1 and the like fit")
    if call.get("accumulate"):
        raise NetworkFormatError("it adds to what it sets")
    return _chosen(call, indices[0], value, call.get("self"))


def _chosen(call: Call, condition: Tensor, yes: Any, no: Any) -> Any:
    tensors = [value for value in (condition, yes, no) if isinstance(value, Tensor)]
    if len(tensors) == 1:
        yes, no = (np.asarray(value, dtype=call.kind) for value in (yes, no))
        return call.onnx("Where", condition, yes, no)
    scalars = [np.size(v) == 1 for v in (yes, no) if not isinstance(v, Tensor)]
    if not are_of_one(tensors) or not all(scalars):
        raise NetworkFormatError("it chooses between real numbers: only signs fit")
    yes, no = (v if isinstance(v, Tensor) else float(np.ravel(v)[0]) for v in (yes, no))
    parts = [condition, yes, no]
    return combined(lambda c, y, n: np.asarray(np.where(c != 0, y, n)), parts, call.kind)
