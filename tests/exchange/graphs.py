"""Random tiny networks as ONNX files, in the many ways in which programs write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

QONNX = ("onnx.brevitas", "qonnx.custom_op.general", "finn.custom_op.general")


class Graph:
    """Nodes one after the other; `shape` is that of the last tensor, without the batch's axis."""

    def __init__(
        self,
        shape: tuple[int, ...],
        opset: int = 17,
        batch: int | str | None = "N",
        real: Any = np.float32,
    ):
        self.opset, self.batch, self.real = opset, batch, real
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.domains: set[str] = set()
        self.input_shape = self.shape = shape
        self.last = "image"

    def constant(self, values: Any, kind: Any = None) -> str:
        name = f"c{len(self.constants)}"
        array = np.asarray(values, dtype=self.real if kind is None else kind)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, kind: str, *more: str, shape: Any = None, domain: str = "", **given: Any) -> str:
        """A node of the last tensor, and constants behind it."""
        return self.node(kind, self.last, *more, shape=shape, domain=domain, **given)

    def node(
        self, kind: str, *inputs: str, shape: Any = None, domain: str = "", **given: Any
    ) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, inputs, [name], f"n{name}", domain=domain, **given)
        )
        if domain:
            self.domains.add(domain)
        self.last, self.shape = name, self.shape if shape is None else tuple(shape)
        return name

    def model(self, given: Any = None) -> onnx.ModelProto:
        """Whose input is of a type, that of its numbers if none is given."""
        kinds = [np.dtype(kind) for kind in (self.real, given or self.real)]
        real, elem = map(helper.np_dtype_to_tensor_dtype, kinds)
        batch = [self.batch] if self.batch is not None else []
        inputs = helper.make_tensor_value_info("image", elem, [*batch, *self.input_shape])
        outputs = helper.make_tensor_value_info(self.last, real, None)
        graph = helper.make_graph(self.nodes, "network", [inputs], [outputs], self.constants)
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(domain, 1) for domain in sorted(self.domains)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def bytes(self, given: Any = None) -> bytes:
        return self.model(given).SerializeToString()

    # what networks are made of

    def weights(self, rng: np.random.Generator, shape: Any) -> Any:
        """Signs, some absent, with a scale for each output perhaps."""
        values = rng.choice([-1.0, 1.0], shape)
        if rng.random() < 0.3:
            values *= rng.random(shape) < 0.7
        if rng.random() < 0.3:
            sides = (-1, *[1] * (len(shape) - 1))
            values *= rng.choice([0.5, 0.37, 2.0, 1.0], shape[0]).reshape(sides)
        return values

    def conv(self, rng: np.random.Generator) -> None:
        channels, rows, columns = self.shape
        groups = int(rng.choice([1, channels])) if channels <= 3 else 1
        out = groups * int(rng.integers(1, 4))
        size = [int(rng.integers(1, min(3, side) + 1)) for side in (rows, columns)]
        stride = [int(rng.integers(1, 3)) for _ in range(2)]
        given: dict[str, Any] = {"strides": stride, "group": groups}
        kind = rng.choice(["pads", "SAME_UPPER", "SAME_LOWER", "VALID", "none"])
        sides = []
        pads = [int(v) for v in rng.integers(0, 2, 4)]
        dilation = [1, 1]
        if kind in ("pads", "none") and rng.random() < 0.3 and min(rows, columns) >= 5:
            dilation = [2, 2]
            given["dilations"] = dilation
        for axis, side in enumerate((rows, columns)):
            reach = dilation[axis] * (size[axis] - 1) + 1
            if kind.startswith("SAME"):
                sides.append(-(-side // stride[axis]))
            else:
                more = pads[axis] + pads[axis + 2] if kind == "pads" else 0
                sides.append((side + more - reach) // stride[axis] + 1)
        if kind == "pads":
            given["pads"] = pads
        elif kind != "none":
            given["auto_pad"] = str(kind)
        if rng.random() < 0.5:
            given["kernel_shape"] = size
        kernel = self.constant(self.weights(rng, (out, channels // groups, *size)))
        bias = [self.constant(rng.integers(-2, 3, out))] if rng.random() < 0.4 else []
        self.add("Conv", kernel, *bias, shape=(out, *sides), **given)

    def dense(self, rng: np.random.Generator, out: int, real: bool = False) -> None:
        (size,) = self.shape
        weight = rng.normal(size=(out, size)) if real else self.weights(rng, (out, size))
        if rng.random() < 0.5:
            bias = [self.constant(rng.integers(-2, 3, out))]
            if self.opset >= 11 and rng.random() < 0.4:
                bias = []
            if rng.random() < 0.5:
                given = {"transB": 1, "alpha": 0.5}
                self.add("Gemm", self.constant(weight), *bias, shape=(out,), **given)
            else:
                given = {"beta": 2.0}
                self.add("Gemm", self.constant(weight.T), *bias, shape=(out,), **given)
            return
        self.add("MatMul", self.constant(weight.T), shape=(out,))
        if rng.random() < 0.5:
            kind = str(rng.choice(["Add", "Sub"]))
            number = self.constant(rng.integers(-2, 3, out))
            if rng.random() < 0.3:
                self.node(kind, number, self.last)
            else:
                self.add(kind, number)

    def norm(self, rng: np.random.Generator) -> None:
        channels = self.shape[0]
        gamma = rng.choice([-1.0, 1.0, 0.7, -1.3, 0.0], channels, p=[0.3, 0.3, 0.2, 0.15, 0.05])
        whole = rng.random() < 0.4
        beta = rng.integers(-1, 2, channels) if whole else rng.normal(size=channels)
        mean = rng.integers(-2, 3, channels) if whole else rng.normal(size=channels)
        variance = np.ones(channels) if whole else rng.random(channels) + 0.3
        names = [self.constant(v) for v in (gamma, beta, mean, variance)]
        self.add("BatchNormalization", *names, epsilon=0.0 if whole else 1e-3)

    def affine(self, rng: np.random.Generator) -> None:
        shape = (self.shape[0], *[1] * (len(self.shape) - 1))
        factor = rng.choice([-2.0, 0.5, 1.0, 0.3], shape)
        self.add(str(rng.choice(["Mul", "Div"])), self.constant(factor))
        self.add(str(rng.choice(["Add", "Sub"])), self.constant(rng.integers(-1, 2, shape) / 2))

    def max_pool(self, rng: np.random.Generator) -> None:
        channels, rows, columns = self.shape
        size = [min(2, rows), min(int(rng.integers(1, 4)), columns)]
        stride = [int(rng.integers(1, 3)) for _ in range(2)]
        pads = [int(rng.integers(0, min(side, 2))) for side in size] * 2
        ceil = self.opset >= 10 and not any(pads) and rng.random() < 0.5
        rooms = [side + 2 * pads[axis] - size[axis] for axis, side in enumerate((rows, columns))]
        steps = [-(-room // stride[axis]) for axis, room in enumerate(rooms)]
        if any(steps[axis] * stride[axis] >= side for axis, side in enumerate((rows, columns))):
            ceil = False  # which programs do not agree on
        if not ceil:
            steps = [room // stride[axis] for axis, room in enumerate(rooms)]
        sides = [step + 1 for step in steps]
        given: dict[str, Any] = {"ceil_mode": 1} if ceil else {}
        given |= {"kernel_shape": size, "strides": stride, "pads": pads}
        self.add("MaxPool", shape=(channels, *sides), **given)

    def mean_pool(self, rng: np.random.Generator) -> None:
        channels, rows, columns = self.shape
        if rng.random() < 0.3:
            self.add("GlobalAveragePool", shape=(channels, 1, 1))
            return
        size = [min(2, rows), min(2, columns)]
        pads = [int(rng.integers(0, min(side, 2))) for side in size] * 2
        given = {"kernel_shape": size, "count_include_pad": int(rng.integers(0, 2)), "pads": pads}
        sides = [
            side + pads[axis] + pads[axis + 2] - size[axis] + 1
            for axis, side in enumerate((rows, columns))
        ]
        self.add("AveragePool", shape=(channels, *sides), **given)

    def squash(self, rng: np.random.Generator) -> None:
        """What straight-through networks put before a sign."""
        match rng.integers(0, 4):
            case 0 if self.opset >= 11:
                self.add("Clip", self.constant(-1.0), self.constant(1.0))
            case 0:
                self.add("Clip", min=-1.0, max=1.0)
            case 1:
                self.add("Tanh")
            case 2:
                self.add("Neg")
            case 3:
                self.add("LeakyRelu", alpha=0.25)

    def sign(self, rng: np.random.Generator) -> None:
        match rng.integers(0, 7):
            case 0:
                self.add("Sign")
            case 1:
                self.add("Sign")
                self.add("Add", self.constant(0.1))
                self.add("Sign")
            case 2:
                domain = str(rng.choice(QONNX))
                scale = self.constant(rng.choice([1.0, 0.5]))
                self.add("BipolarQuant", scale, domain=domain)
            case 3:
                yes, no = self.constant(1.0), self.constant(-1.0)
                self.add("Greater", self.constant(0.0))
                self.node("Where", self.last, yes, no)
            case 4 if self.opset >= 12:
                self.node("LessOrEqual", self.constant(0.0), self.last)
                self.add("Cast", to=TensorProto.FLOAT)
                self.add("Mul", self.constant(2.0))
                self.add("Sub", self.constant(1.0))
            case 5:
                self.add("Less", self.constant(0.5))
                self.add("Not")
                self.add("Cast", to=TensorProto.FLOAT)  # activations of 0 and 1
            case _:
                self.add("Relu")
                self.add("Sign")  # 0 and 1

    def flatten(self, rng: np.random.Generator) -> None:
        size = int(np.prod(self.shape))
        match rng.integers(0, 4):
            case 0:
                self.add("Flatten", shape=(size,))
            case 1:
                self.add("Reshape", self.constant([-1, size], np.int64), shape=(size,))
            case 2:
                self.add("Reshape", self.constant([0, -1], np.int64), shape=(size,))
            case 3 if len(self.shape) == 3:
                self.add("Transpose", perm=[0, 2, 3, 1])
                self.add("Reshape", self.constant([-1, size], np.int64), shape=(size,))
            case _:
                self.add("Flatten", axis=1, shape=(size,))


def random_graph(rng: np.random.Generator) -> Graph:
    """A network of one to three layers of signs, dense or of images."""
    opset = int(rng.integers(9, 23))
    is_image = rng.random() < 0.6
    if not is_image:
        graph = Graph((int(rng.integers(2, 7)),), opset)
    elif rng.random() < 0.5:
        graph = Graph(tuple(int(v) for v in (rng.integers(1, 4), *rng.integers(3, 7, 2))), opset)
    else:
        rows, columns, channels = (int(v) for v in (*rng.integers(3, 7, 2), rng.integers(1, 4)))
        graph = Graph((rows, columns, channels), opset)
        graph.add("Transpose", perm=[0, 3, 1, 2], shape=(channels, rows, columns))
    match rng.integers(0, 4):
        case 0:
            graph.affine(rng)
        case 1:
            graph.add("Mul", graph.constant(2.0))
            graph.add("Sub", graph.constant(1.0))
        case 2:
            graph.norm(rng)
            graph.sign(rng)
    for _ in range(int(rng.integers(1, 4))):
        if len(graph.shape) == 3 and rng.random() < 0.3:
            graph.flatten(rng)
        _linear(graph, rng)
        is_nchw = len(graph.shape) == 3
        if is_nchw and rng.random() < 0.3:
            graph.max_pool(rng)
        if rng.random() < 0.7:
            graph.norm(rng) if rng.random() < 0.7 else graph.affine(rng)
        if is_nchw and rng.random() < 0.2:
            graph.max_pool(rng)
        if rng.random() < 0.3:
            graph.squash(rng)
        graph.sign(rng)
        if is_nchw and rng.random() < 0.25:
            graph.max_pool(rng)
        if is_nchw and rng.random() < 0.15:
            graph.mean_pool(rng)
            graph.sign(rng) if rng.random() < 0.5 else None
        if rng.random() < 0.15:
            graph.add("Identity")
    if len(graph.shape) == 3:
        graph.flatten(rng)
    graph.dense(rng, 3, real=bool(rng.random() < 0.4))
    if rng.random() < 0.3:
        graph.norm(rng)
    if rng.random() < 0.3:
        graph.add("Softmax", axis=1)
    return graph


def _linear(graph: Graph, rng: np.random.Generator) -> None:
    if len(graph.shape) == 3:
        before = graph.last
        if rng.random() < 0.15 and graph.opset >= 11:
            channels, rows, columns = graph.shape
            pads = graph.constant([0, 0, 1, 0, 0, 0, 0, 1], np.int64)
            value = graph.constant(float(rng.choice([0.0, -1.0, 1.0])))
            graph.add("Pad", pads, value, shape=(channels, rows + 1, columns + 1))
        assert before
        graph.conv(rng)
    else:
        graph.dense(rng, int(rng.integers(2, 7)))
