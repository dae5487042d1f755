"""A walk through the graph of an ONNX file, from the image to the logits."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.building import Building, Walk
from bnnopt.exchange.custom import DOMAINS, with_custom
from bnnopt.exchange.imported import FileInput
from bnnopt.exchange.operators import OPERATORS, Final
from bnnopt.exchange.tensor import Tensor

__all__ = ["file_input", "walk"]

Array = npt.NDArray[Any]

MOST_NODES = 20_000
MOST_NUMBERS = 2**27
"""Of all constants together, and of one that is computed."""

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


def file_input(model: onnx.ModelProto) -> FileInput:
    """The one input that no initializer gives."""
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in given]
    if len(inputs) != 1:
        names = [value.name for value in inputs]
        raise NetworkFormatError(f"the file has {len(inputs)} inputs, {names}: one image fits")
    kind = inputs[0].type.tensor_type
    sides: list[int | None] = [
        d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim
    ]
    if not sides:
        raise NetworkFormatError("the file does not say the shape of its input")
    has_batch = len(sides) > 1
    shape = sides[1:] if has_batch else sides
    if any(side is None for side in shape):
        raise NetworkFormatError(
            f"its input has the shape {sides}: every side but the batch's must be a number"
        )
    whole = tuple(side for side in shape if side is not None)
    if math.prod(whole) > MOST_NUMBERS:
        raise NetworkFormatError(f"its input has {math.prod(whole)} numbers: too many")
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    return FileInput(inputs[0].name, whole, dtype, sides[0] if has_batch else None, has_batch)


def walk(model: onnx.ModelProto, about: FileInput, image: Tensor) -> Walk:
    """Evaluate the graph on tensors.

    Parameters
    ----------
    model : onnx.ModelProto
    about : FileInput
    image : Tensor
        What stands for the input.

    Raises
    ------
    NetworkFormatError
        With the node that does not fit, and why.
    """
    if len(model.graph.node) > MOST_NODES:
        raise NetworkFormatError(f"the file has {len(model.graph.node)} nodes; {MOST_NODES} fit")
    if len(model.graph.output) != 1:
        raise NetworkFormatError(f"the file has {len(model.graph.output)} outputs: one fits")
    return _Walker(model, about).run(image)


class _Walker:
    def __init__(self, model: onnx.ModelProto, about: FileInput) -> None:
        self._graph, self._about = model.graph, about
        self._opsets = {entry.domain: entry.version for entry in model.opset_import}
        self._uses = Counter(name for node in model.graph.node for name in node.input)
        self._building = Building(self._uses, about.batch)
        self._values = self._building.values
        self._values.update(_initializers(model.graph))

    def run(self, image: Tensor) -> Walk:
        self._values[self._about.name] = image
        for node in _in_order(self._graph, set(self._values)):
            where = f"node {node.name or node.output[0]!r} ({node.op_type})"
            try:
                self._evaluate(node)
            except NetworkFormatError as error:
                raise NetworkFormatError(f"{where} does not fit: {error}") from None
            except (ValueError, TypeError, IndexError, KeyError, ArithmeticError) as error:
                raise NetworkFormatError(f"{where} cannot be read: {error}") from None
        return self._building.ended(self._graph.output[0].name)

    def _evaluate(self, node: onnx.NodeProto) -> None:
        inputs = [self._values[name] if name else None for name in node.input]
        if not any(isinstance(value, Tensor | Final) for value in inputs):
            results = self._folded(node, inputs)
        else:
            results = self._handled(node, inputs)
        for name, result in zip(node.output, results, strict=False):
            self._building.put(name, result)

    def _handled(self, node: onnx.NodeProto, inputs: list[Any]) -> list[Any]:
        is_known = node.domain in ("", "ai.onnx") or (
            node.domain in DOMAINS and node.op_type == "BipolarQuant"
        )
        if node.op_type not in OPERATORS or not is_known:
            what = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise NetworkFormatError(
                f"{what} is none of the operators of binarized networks: "
                f"{', '.join(sorted(OPERATORS))}"
            )
        wanted = sum(bool(name) and self._is_used(name) for name in node.output[1:])
        result = self._building.applied(
            node.op_type,
            f"node {node.name or node.output[0]!r}",
            inputs,
            _attributes(node),
            opset=self._opsets.get(node.domain, self._opsets.get("", 1)),
            outputs=len(node.output) if node.op_type == "Split" else 1 + wanted,
        )
        return result if isinstance(result, list) else [result]

    def _is_used(self, name: str) -> bool:
        return self._uses[name] > 0 or any(out.name == name for out in self._graph.output)

    def _folded(self, node: onnx.NodeProto, inputs: list[Any]) -> list[Any]:
        """The value of a node that does not depend on the image."""
        if node.op_type not in FOLDED:
            raise NetworkFormatError("it computes a constant in a way that is not read")
        _check_size(node, inputs)
        imports = [onnx.helper.make_opsetid(d, v) for d, v in self._opsets.items()]
        names = [name for name in dict.fromkeys(node.input) if name]
        graph = onnx.helper.make_graph(
            [node],
            "constant",
            [onnx.ValueInfoProto(name=name) for name in names],
            [onnx.ValueInfoProto(name=name) for name in node.output if name],
        )
        model = with_custom(onnx.helper.make_model(graph, opset_imports=imports))
        values = dict(zip(node.input, inputs, strict=True))
        return list(ReferenceEvaluator(model).run(None, {n: values[n] for n in names}))


def _initializers(graph: onnx.GraphProto) -> dict[str, Any]:
    if graph.sparse_initializer:
        raise NetworkFormatError("the file has sparse initializers: write them as dense ones")
    found: dict[str, Any] = {}
    total = 0
    for tensor in graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise NetworkFormatError(
                f"initializer {tensor.name!r} lies in another file: save the model as one file"
            )
        total += math.prod(tensor.dims)
        if total > MOST_NUMBERS or min(tensor.dims, default=1) < 0:
            raise NetworkFormatError(f"initializer {tensor.name!r} is too large: {tensor.dims}")
        try:
            found[tensor.name] = numpy_helper.to_array(tensor)
        except (ValueError, TypeError) as error:
            raise NetworkFormatError(f"initializer {tensor.name!r} is broken: {error}") from None
    return found


def _in_order(graph: onnx.GraphProto, known: set[str]) -> list[onnx.NodeProto]:
    """Each node behind those whose outputs it takes, whatever their order in the file."""
    known = known | {""}
    left, found = list(graph.node), []
    while left:
        ready, waiting = [], []
        for node in left:
            if all(name in known for name in node.input):
                ready.append(node)
                known.update(node.output)
            else:
                waiting.append(node)
        if not ready:
            lacking = [name for name in waiting[0].input if name not in known]
            raise NetworkFormatError(
                f"node {waiting[0].name or waiting[0].output[0]!r} takes {lacking[0]!r}, which "
                "nothing before it gives: the graph is cyclic or incomplete"
            )
        found += ready
        left = waiting
    return found


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
            raise NetworkFormatError("it holds a graph of its own: branches and loops do not fit")
        value = onnx.helper.get_attribute_value(attribute)
        if attribute.name == "to" and node.op_type == "Cast":
            value = onnx.helper.tensor_dtype_to_np_dtype(value)
        found[attribute.name] = value
    return found


def _check_size(node: onnx.NodeProto, inputs: list[Any]) -> None:
    """Refuse a constant that would be too large before it is made."""
    arrays = [np.asarray(value) for value in inputs if value is not None]
    shape: tuple[int, ...] = ()
    match node.op_type:
        case "ConstantOfShape":
            shape = tuple(np.ravel(arrays[0]).tolist())
        case "Expand":
            shape = np.broadcast_shapes(arrays[0].shape, tuple(np.ravel(arrays[1]).tolist()))
        case "Range":
            start, limit, step = (float(np.ravel(a)[0]) for a in arrays)
            shape = (int(abs((limit - start) / step)) + 1,)
        case "MatMul":
            shape = (*arrays[0].shape[:-1], arrays[1].shape[-1])
        case "Gather":
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            rest = [side for at, side in enumerate(arrays[0].shape) if at != axis % arrays[0].ndim]
            shape = (*rest, *arrays[1].shape)
        case "Concat":
            shape = (sum(a.size for a in arrays),)
        case kind if kind not in ("Reshape", "Slice", "Squeeze", "Unsqueeze", "Constant", "Split"):
            try:
                shape = np.broadcast_shapes(*(a.shape for a in arrays))
            except ValueError:
                return  # not one that broadcasts, or wrong, as the evaluation will say
    if math.prod(int(side) for side in shape) > MOST_NUMBERS:
        raise NetworkFormatError(f"its constant would have the shape {shape}: too large")
