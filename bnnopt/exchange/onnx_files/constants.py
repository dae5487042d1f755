"""Constants of an ONNX file: those that it holds, and those that its nodes compute from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.content import short
from bnnopt.exchange.onnx_files.custom import with_custom
from bnnopt.exchange.onnx_files.nodes import check_tensor

__all__ = ["MOST_NUMBERS", "computed", "initializers", "work"]

Array = npt.NDArray[Any]

MOST_NUMBERS = 2**26
"""Of all constants that the file holds, and of one that is computed."""

FOLDED = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "BipolarQuant",
        "Cast",
        "Ceil",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "DequantizeLinear",
        "Div",
        "Dropout",
        "Equal",
        "Exp",
        "Expand",
        "Flatten",
        "Floor",
        "Gather",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "LessOrEqual",
        "Log",
        "MatMul",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "Not",
        "Or",
        "Pow",
        "Range",
        "Reciprocal",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Round",
        "Shape",
        "Sign",
        "Size",
        "Slice",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "Transpose",
        "Unsqueeze",
        "Where",
    ]
)
"""Operators that are evaluated where nothing depends on the image."""

EVALUATED = {"DequantizeLinear": 19}
"""The first version that onnx's own evaluation knows, where earlier ones mean the same."""

KEPT = frozenset(["Reshape", "Slice", "Split", "Squeeze", "Unsqueeze"])
"""Operators that give no more than their first input has, whatever the shapes of the others."""

KINDS = "biuf"
"""Of numpy: truth values, whole and real numbers."""


def initializers(graph: onnx.GraphProto) -> dict[str, Array]:
    """What the file holds, by name.

    Raises
    ------
    NetworkFormatError
        If one lies elsewhere, is broken, too large, or holds no numbers.
    """
    if graph.sparse_initializer:
        raise NetworkFormatError("the file has sparse initializers: write them as dense ones")
    found: dict[str, Array] = {}
    total = 0
    for tensor in graph.initializer:
        where = f"initializer {short(tensor.name)}"
        if tensor.name in found:
            raise NetworkFormatError(f"{where} is given twice")
        total += _numbers(tensor.dims, where)
        if total > MOST_NUMBERS:
            raise NetworkFormatError(f"{where} is one too many: {MOST_NUMBERS} numbers fit")
        try:
            check_tensor(tensor)
            found[tensor.name] = _array(tensor)
        except NetworkFormatError as error:
            raise NetworkFormatError(f"{where} does not fit: {error}") from None
        except Exception as error:  # noqa: BLE001  whatever onnx raises for what is broken
            raise NetworkFormatError(f"{where} is broken: {error}") from None
    return found


def _numbers(dims: Sequence[int], where: str) -> int:
    if min(dims, default=1) < 0:
        raise NetworkFormatError(f"{where} has the shape {list(dims[:9])}")
    return math.prod(dims)


def _array(tensor: onnx.TensorProto) -> Array:
    array = np.asarray(numpy_helper.to_array(tensor))
    if array.dtype.kind not in KINDS:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type)
        raise NetworkFormatError(f"it holds {kind}: truth values, whole and real numbers fit")
    return array


def work(node: onnx.NodeProto, inputs: Sequence[Any]) -> int:
    """About how many numbers a node makes or takes that does not depend on the image.

    Raises
    ------
    NetworkFormatError
        If what it computes would be too large, or in a way that is not read.
    """
    if node.op_type not in FOLDED:
        raise NetworkFormatError("it computes a constant in a way that is not read")
    arrays = [np.asarray(value) for value in inputs if value is not None]
    made = _made(node, arrays)
    if made > MOST_NUMBERS:
        raise NetworkFormatError(f"its constant would have {made} numbers: {MOST_NUMBERS} fit")
    inner = arrays[0].shape[-1] if node.op_type == "MatMul" and arrays[0].ndim else 1
    return made * inner + sum(array.size for array in arrays)


def _made(node: onnx.NodeProto, arrays: list[Array]) -> int:
    """How many numbers a node gives, or an upper bound."""
    shapes = [array.shape for array in arrays]
    match node.op_type:
        case "Constant" | "ConstantOfShape":
            given = [a for a in node.attribute if a.HasField("t")]
            sides = [tuple(np.ravel(array).tolist()) for array in arrays]
            return max(_product(shape) for shape in [*sides, *(tuple(a.t.dims) for a in given), ()])
        case "Expand":
            return _product(np.broadcast_shapes(shapes[0], tuple(np.ravel(arrays[1]).tolist())))
        case "Range":
            start, limit, step = (float(np.ravel(a)[0]) for a in arrays)
            return int(abs((limit - start) / step)) + 1
        case "MatMul":
            batch = np.broadcast_shapes(shapes[0][:-2], shapes[1][:-2])
            columns = shapes[1][-1] if len(shapes[1]) > 1 else 1
            return _product((*batch, *shapes[0][-2:-1], columns))
        case "Gather":
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0) % len(shapes[0])
            return _product((*shapes[0][:axis], *shapes[0][axis + 1 :], *shapes[1]))
        case "Concat":
            return sum(array.size for array in arrays)
        case kind if kind.startswith("Reduce") or kind in KEPT:
            return arrays[0].size
    try:
        return _product(np.broadcast_shapes(*shapes))
    except ValueError:  # one that does not broadcast, or wrong, as its evaluation will say
        return max(array.size for array in arrays)


def _product(shape: Sequence[int]) -> int:
    return math.prod(int(side) for side in shape)


def computed(node: onnx.NodeProto, inputs: Sequence[Any], opsets: dict[str, int]) -> list[Array]:
    """What a node gives that does not depend on the image, by onnx's own evaluation.

    Raises
    ------
    NetworkFormatError
    """
    versions = {d: max(v, EVALUATED.get(node.op_type, 0)) for d, v in opsets.items()}
    imports = [onnx.helper.make_opsetid(d, v) for d, v in versions.items()]
    names = [name for name in dict.fromkeys(node.input) if name]
    graph = onnx.helper.make_graph(
        [node],
        "constant",
        [onnx.ValueInfoProto(name=name) for name in names],
        [onnx.ValueInfoProto(name=name) for name in node.output if name],
    )
    model = with_custom(onnx.helper.make_model(graph, opset_imports=imports))
    values = dict(zip(node.input, inputs, strict=True))
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(model).run(None, {n: values[n] for n in names})
        found = [np.asarray(result) for result in results]
    except Exception as error:  # noqa: BLE001  whatever onnx raises for what is broken
        raise NetworkFormatError(f"it computes no constant: {error}") from None
    if any(array.dtype.kind not in KINDS for array in found):
        raise NetworkFormatError("its constant holds no numbers")
    return found
