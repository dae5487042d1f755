"""Operations of ATen that move numbers, choose or repeat them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils._pytree import tree_flatten

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.torch_modules.calls import Call
from bnnopt.exchange.traced.node import Final, registry
from bnnopt.exchange.traced.tensor import Tensor

__all__ = ["HANDLERS"]

Array = npt.NDArray[Any]

HANDLERS, handles = registry()


@handles("copy")
def _copy(call: Call) -> Any:
    source, shape = call.tensor("src"), np.shape(call.get("self"))
    if isinstance(call.get("self"), Tensor):
        shape = call.tensor().shape
    return source.moved(lambda places: np.broadcast_to(places, shape))


@handles("cat")
def _cat(call: Call) -> Any:
    return call.onnx("Concat", *call.get("tensors"), axis=int(call.get("dim")))


@handles("stack")
def _stack(call: Call) -> Any:
    tensors, axis = call.get("tensors"), int(call.get("dim"))
    if not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise NetworkFormatError("it puts constants beside parts of the image")
    known = [call.building.neurons(tensor, call.operation.name) for tensor in tensors]
    wide = [tensor.moved(lambda places: np.expand_dims(places, axis)) for tensor in known]
    return call.onnx("Concat", *wide, axis=axis)


@handles("_softmax", "_log_softmax")
def _softmax(call: Call) -> Any:
    kind = "Softmax" if call.operation.kind == "_softmax" else "LogSoftmax"
    return call.onnx(kind, call.tensor(), axis=int(call.get("dim")))


@handles("view", "_unsafe_view", "reshape", "permute", "transpose", "t", "expand", "slice")
@handles("select", "squeeze", "unsqueeze", "flip", "repeat", "index", "index_select", "roll")
@handles("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "split", "split_with_sizes")
@handles("unbind", "diagonal", "rot90", "unfold")
def _moved(call: Call) -> Any:
    """Torch itself moves the numbers of the places."""
    value, rest = call.get("self"), {k: v for k, v in call.values.items() if k != "self"}
    tensor = value.tensor if isinstance(value, Final) else call.tensor()
    if any(isinstance(part, Tensor | Final) for part in tree_flatten(rest)[0]):
        raise NetworkFormatError("where it looks depends on the image")
    rest = {name: _as_torch(part) for name, part in rest.items()}
    function = call.operation.function

    def moved(places: Array, number: int | None) -> Array:
        found = function(torch.from_numpy(np.ascontiguousarray(places)), **rest)
        return np.asarray((found if number is None else found[number]).numpy())

    count = len(call.operation.outputs)
    is_list = count > 1 or call.operation.kind.startswith(("split", "unbind"))
    found = [
        tensor.moved(lambda places, n=number if is_list else None: moved(places, n))  # type: ignore[misc]
        for number in range(count)
    ]
    if isinstance(value, Final):
        return [replace(value, tensor=one) for one in found]
    return found


def _as_torch(part: Any) -> Any:
    if isinstance(part, np.ndarray):
        return torch.from_numpy(part)
    return [_as_torch(one) for one in part] if isinstance(part, list | tuple) else part
