"""Write a network as an ONNX file of standard operators, which gives what the network gives.

The first layer's sums are in double precision, on the network's grid; deeper ones are whole and
below 2^24, which single precision has exactly; logits are in double precision. So nothing rounds,
whatever the order in which a program adds. Weights are kept as whole numbers of 8 or 16 bits.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import InputError
from bnnopt.exchange.content import LARGEST, needs
from bnnopt.exchange.onnx_files.own_file import LEVELS, PRODUCER
from bnnopt.files import write_atomically
from bnnopt.network import GRID, BinarizedNetwork, Convolution, HiddenLayer, OutputLayer

if TYPE_CHECKING:
    import onnx
    from scipy.sparse import csr_array

__all__ = ["onnx_model", "to_onnx"]

Array = npt.NDArray[Any]

OPSET, IR_VERSION = 15, 8

NEIGHBOUR = 1.01 * 2.0**-24
"""Of a float32: more than half the step to the next one, and less than one step and a half."""

SPARSE = 8
"""Sums are gathered, rather than multiplied, of rows with less than this part of the inputs."""


def to_onnx(network: BinarizedNetwork, path: str | os.PathLike[str]) -> None:
    """Write a network as an ONNX file (opset 15, standard operators only).

    Its input ``image`` is float32 of shape (N, *input_shape), values in [0, 1]; its output
    ``logits`` is float64 of shape (N, C). Both, and the activations ``hidden_1``, ``hidden_2``,
    ... of shape (N, neurons) in between, are those of `network` for every float32 image, ties and
    thresholds included.

    Parameters
    ----------
    network : BinarizedNetwork
        Any; layers of every kind are written.
    path : path
        Written whole or not at all.

    Raises
    ------
    InputError
        If the file would be too large, as of a wide layer in which some rows have many weights.
    MissingDependencyError
        If onnx is not installed.
    """
    write_atomically(path, onnx_model(network).SerializeToString())


def onnx_model(network: BinarizedNetwork) -> onnx.ModelProto:
    """The model that `to_onnx` writes; errors are the same.

    Parameters
    ----------
    network : BinarizedNetwork
        As for `to_onnx`.
    """
    needs("onnx", "writing ONNX files")
    from onnx import TensorProto, helper

    graph = _Graph()
    values = _levels(graph, network.levels)
    for number, layer in enumerate(network.hidden, 1):
        values = _hidden(graph, layer, values, number)
    _head(graph, network.output, values)
    single, double = TensorProto.FLOAT, TensorProto.DOUBLE
    made = helper.make_graph(
        graph.nodes,
        network.name or "network",
        [_value("image", single, network.input_shape)],
        [_value("logits", double, [network.num_classes])],
        initializer=graph.constants,
        value_info=[
            _value(f"hidden_{number}", single, [width])
            for number, width in enumerate(network.widths, 1)
        ],
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=PRODUCER,
    )
    helper.set_model_props(model, {LEVELS: str(network.levels)})
    return model


def _value(name: str, kind: Any, shape: Sequence[int]) -> Any:
    """A value of a batch of any size."""
    from onnx import helper

    return helper.make_tensor_value_info(name, kind, ["N", *shape])


class _Graph:
    """Nodes and constants; a value goes by its name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._bytes = 0

    def add(self, operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """A node with one output, which has its name."""
        from onnx import helper

        name = name or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def constant(self, values: npt.ArrayLike, dtype: Any, name: str = "") -> str:
        """An array that the file holds."""
        from onnx import numpy_helper

        array = np.ascontiguousarray(values, dtype=dtype)
        self._bytes += array.nbytes
        check_bytes(self._bytes)
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def weights(self, values: Array, dtype: Any, name: str) -> str:
        """Whole numbers, in as few bits as they need, as real ones of a type."""
        few = np.int8 if np.abs(values.astype(np.int32)).max(initial=0) < 128 else np.int16
        return self.cast(self.constant(values, few, name), dtype)

    def cast(self, value: str, dtype: Any) -> str:
        """A value in another type."""
        from onnx import helper

        return self.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def check_bytes(size: int) -> None:
    """Raise `InputError` where a file would be larger than those that are read."""
    if size > LARGEST:
        raise InputError(
            f"an ONNX file of this network would have at least {size} bytes, more than {LARGEST}: "
            "a layer given as a convolution, or as a matrix with few weights in every row, takes "
            "less"
        )


def _levels(graph: _Graph, levels: int) -> str:
    """Levels, shape (N, n) in float64, of pixels in float32: see `bnnopt.images`.

    A pixel next to ``k / levels``, or equal to it, is level k; others are rounded to the grid.
    """
    number = graph.constant(levels, np.float64, "steps")
    grid = graph.constant(GRID, np.float64, "grid")
    pixels = graph.add("Flatten", "image", axis=1)
    scaled = graph.add("Mul", graph.cast(pixels, np.float64), number)
    whole = graph.add("Round", scaled)
    nearest = graph.cast(graph.add("Div", whole, number), np.float32)
    near = graph.cast(nearest, np.float64)
    ends = []
    for factor, name in ((1.0 - NEIGHBOUR, "next_below"), (1.0 + NEIGHBOUR, "next_above")):
        moved = graph.add("Mul", near, graph.constant(factor, np.float64, name))
        ends.append(graph.cast(moved, np.float32))
    is_level = graph.add(
        "And",
        graph.add("GreaterOrEqual", pixels, ends[0]),
        graph.add("LessOrEqual", pixels, ends[1]),
    )
    rounded = graph.add("Div", graph.add("Round", graph.add("Mul", scaled, grid)), grid)
    return graph.add("Where", is_level, whole, rounded, name=LEVELS)


def _hidden(graph: _Graph, layer: HiddenLayer, values: str, number: int) -> str:
    """Signs of a layer, shape (N, out) in float32, where the layer before gives `values`."""
    dtype = np.float64 if number == 1 else np.float32
    name = f"weight_{number}"
    if layer.convolution is None:
        sums = _matrix_sums(graph, layer, values, dtype, name)
    elif number == 1:
        sums = _window_sums(graph, layer.convolution, values, name)
    else:
        sums = _convolution_sums(graph, layer.convolution, values, name)
    threshold = graph.constant(layer.threshold, dtype, f"threshold_{number}")
    is_on = graph.add("GreaterOrEqual", sums, threshold)
    if number == 1:
        graph.constant(1.0, np.float32, "on")
        graph.constant(-1.0, np.float32, "off")
    return graph.add("Where", is_on, "on", "off", name=f"hidden_{number}")


def _matrix_sums(graph: _Graph, layer: HiddenLayer, values: str, dtype: Any, name: str) -> str:
    weight = layer.weight
    if isinstance(weight, np.ndarray):
        return graph.add("MatMul", values, graph.weights(weight.T, dtype, name))
    most = int(np.diff(weight.indptr).max(initial=0))
    if SPARSE * most >= weight.shape[1]:
        check_bytes(weight.shape[0] * weight.shape[1])
        return graph.add("MatMul", values, graph.weights(weight.toarray().T, dtype, name))
    return _gathered_sums(graph, weight, values, dtype, name)


def _gathered_sums(graph: _Graph, rows: csr_array, values: str, dtype: Any, name: str) -> str:
    """Each row's own inputs, times its weights; shorter rows are filled up with a weight of 0."""
    counts = np.diff(rows.indptr)
    most = max(int(counts.max()), 1)
    check_bytes(5 * len(counts) * most)
    present = np.arange(most) < counts[:, None]
    index, factors = np.zeros(present.shape, np.int32), np.zeros(present.shape, np.int16)
    index[present], factors[present] = rows.indices, rows.data
    chosen = graph.add("Gather", values, graph.constant(index, np.int32, f"{name}_inputs"), axis=1)
    products = graph.add("Mul", chosen, graph.weights(factors, dtype, name))
    axis = graph.constant([2], np.int64, f"{name}_axis")
    return graph.add("ReduceSum", products, axis, keepdims=0)


def _window_sums(graph: _Graph, convolution: Convolution, values: str, name: str) -> str:
    """A convolution in double precision, for which programs have no operator of their own."""
    index = convolution.inputs
    groups, _, size = index.shape
    if (index < 0).any():  # of padding, which reads a zero behind the pixels
        index = np.where(index < 0, convolution.shape[1], index)
        values = graph.add("Pad", values, graph.constant([0, 0, 0, 1], np.int64, "one_more"))
    kernel = convolution.kernel.reshape(groups, -1, size).swapaxes(1, 2)
    windows = graph.add("Gather", values, graph.constant(index, np.int32, f"{name}_inputs"), axis=1)
    sums = graph.add("MatMul", windows, graph.weights(kernel, np.float64, name))
    return graph.add("Flatten", graph.add("Transpose", sums, perm=[0, 1, 3, 2]), axis=1)


def _convolution_sums(graph: _Graph, convolution: Convolution, values: str, name: str) -> str:
    shape = graph.constant([-1, *convolution.input_shape], np.int64, f"{name}_images")
    (above, below), (left, right) = convolution.padding
    sums = graph.add(
        "Conv",
        graph.add("Reshape", values, shape),
        graph.weights(convolution.kernel, np.float32, name),
        strides=convolution.stride,
        dilations=convolution.dilation,
        group=convolution.groups,
        pads=(above, left, below, right),
    )
    return graph.add("Flatten", sums, axis=1)


def _head(graph: _Graph, output: OutputLayer, values: str) -> None:
    double = graph.cast(values, np.float64)
    if output.is_binary:
        weight = graph.weights(output.weight.T, np.float64, "head")
    else:
        weight = graph.constant(output.weight.T, np.float64, "head")
    scaled = graph.add(
        "Mul",
        graph.add("MatMul", double, weight),
        graph.constant(output.scale, np.float64, "scale"),
    )
    graph.add("Add", scaled, graph.constant(output.bias, np.float64, "bias"), name="logits")
