"""A walk through the graph of an ONNX file, from the image to the logits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.constants import computed, initializers, work
from bnnopt.exchange.custom import DOMAINS
from bnnopt.exchange.image import FileInput
from bnnopt.exchange.neurons import materialized
from bnnopt.exchange.nodes import attributes, in_order, short
from bnnopt.exchange.operators import OPERATORS, Final, Node
from bnnopt.exchange.tensor import Tensor

__all__ = ["Walk", "walk"]

MOST_HELD = 2**29
"""Bytes of constants that are still needed."""

MOST_WORK = 2**36
"""Of about a nanosecond: a minute or so."""

ELEMENT, CONSTANT = 64, 4
"""What an element of a tensor takes of that, and a number of a constant."""


@dataclass
class Walk:
    """What came of it.

    Parameters
    ----------
    output : Tensor
        The logits, over the base of the last neurons.
    logits : str
        What the file calls them.
    softmax : bool
        Whether a Softmax or LogSoftmax was left out at the end.
    notes : list of str
    signs : dict of str to Tensor
        The tensors that became neurons, by the file's names.
    precision : dtype
        The coarsest in which the file has real numbers before a sign.
    """

    output: Tensor
    logits: str
    softmax: bool
    notes: list[str]
    signs: dict[str, Tensor]
    precision: np.dtype[Any]


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
    if len(model.graph.output) != 1:
        raise NetworkFormatError(f"the file has {len(model.graph.output)} outputs: one fits")
    return _Walker(model, about).run(image)


class _Walker:
    def __init__(self, model: onnx.ModelProto, about: FileInput) -> None:
        self._graph, self._about = model.graph, about
        self._opsets = {entry.domain: entry.version for entry in model.opset_import}
        self._values: dict[str, Any] = dict(initializers(model.graph))
        self._held = sum(_bytes(value) for value in self._values.values())
        self._notes: list[str] = []
        self._signs: dict[str, Tensor] = {}
        self._uses = Counter(name for node in model.graph.node for name in node.input)
        self._uses.update(value.name for value in model.graph.output)
        self._work = 0
        self._logits = ""
        self._kinds: set[np.dtype[Any]] = set()

    def run(self, image: Tensor) -> Walk:
        if self._about.name in self._values:
            raise NetworkFormatError(f"{short(self._about.name)} is given twice")
        self._keep(self._about.name, image)
        for node in in_order(self._graph, self._values):
            where = f"node {short(node.name or node.output[0])} ({short(node.op_type)[1:-1]})"
            try:
                self._evaluate(node)
            except NetworkFormatError as error:
                raise NetworkFormatError(f"{where} does not fit: {error}") from None
            except (ValueError, TypeError, IndexError, KeyError, ArithmeticError) as error:
                raise NetworkFormatError(f"{where} cannot be read: {error}") from None
        return self._ended()

    def _ended(self) -> Walk:
        name = self._graph.output[0].name
        value = self._values.get(name)
        is_final = isinstance(value, Final)
        tensor = value.tensor if isinstance(value, Final) else value
        if not isinstance(tensor, Tensor):
            raise NetworkFormatError("its output does not depend on the image")
        if math.prod(tensor.shape) != max(tensor.shape, default=0):
            raise NetworkFormatError(f"its output has the shape {tensor.shape}: one a class fits")
        try:
            output = self._neurons(name, tensor).affine()
        except NetworkFormatError as error:
            raise NetworkFormatError(f"output {short(name)} does not fit: {error}") from None
        coarsest = max(self._kinds, key=lambda kind: float(np.finfo(kind).eps))
        logits = self._logits or name
        notes = list(dict.fromkeys(self._notes))
        return Walk(output, logits, is_final, notes, self._signs, coarsest)

    def _evaluate(self, node: onnx.NodeProto) -> None:
        inputs = [self._values[name] if name else None for name in node.input]
        if not any(isinstance(value, Tensor | Final) for value in inputs):
            self._spend(CONSTANT * work(node, inputs))
            results = computed(node, inputs, self._opsets)
        else:
            results = self._handled(node, inputs)
        for name, result in zip(node.output, results, strict=False):
            if isinstance(result, Tensor) and result.is_stepped and self._uses[name] > 1:
                result = self._neurons(name, result)  # noqa: PLW2901
            self._keep(name, result)
        for name in node.input:
            self._uses[name] -= 1
            if not self._uses[name]:
                self._held -= _bytes(self._values.pop(name, None))

    def _keep(self, name: str, value: Any) -> None:
        if isinstance(value, Tensor):
            self._spend(ELEMENT * value.pick.size)
            if value.precision.kind == "f" and not value.is_stepped:
                self._kinds.add(value.precision)
        if not name or not self._uses[name]:
            return
        self._values[name] = value
        self._held += _bytes(value)
        if self._held > MOST_HELD:
            raise NetworkFormatError(f"constants take {self._held} bytes: {MOST_HELD} fit")

    def _spend(self, numbers: int) -> None:
        self._work += numbers
        if self._work > MOST_WORK:
            raise NetworkFormatError("the file takes too much work up to here: it is too large")

    def _handled(self, node: onnx.NodeProto, inputs: list[Any]) -> list[Any]:
        handler = OPERATORS.get(node.op_type)
        domains = DOMAINS if node.op_type == "BipolarQuant" else ("", "ai.onnx")
        if handler is None or node.domain not in domains:
            raise NetworkFormatError(
                f"{short(node.op_type)} of {short(node.domain)} is none of the operators of "
                f"binarized networks: {', '.join(sorted(OPERATORS))}"
            )
        if node.op_type not in BEHIND and any(isinstance(value, Final) for value in inputs):
            raise NetworkFormatError("it follows a Softmax, which must be last")
        tensors = sum(isinstance(value, Tensor) for value in inputs)
        if node.op_type in LINEAR or (tensors > 1 and not _are_parts_of_one(node, inputs)):
            inputs = [
                self._neurons(name, value) if isinstance(value, Tensor) else value
                for name, value in zip(node.input, inputs, strict=True)
            ]
        wanted = sum(self._uses[name] > 0 for name in node.output[1:])
        about = Node(
            node.op_type,
            self._opsets.get("", self._opsets.get("ai.onnx", 1)),
            inputs,
            attributes(node),
            self._about,
            self._noter(node),
            len(node.output) if node.op_type == "Split" else 1 + wanted,
        )
        result = handler(about)
        if isinstance(result, Final) and not self._logits:
            self._logits = node.input[0]
        return result if isinstance(result, list) else [result]

    def _noter(self, node: onnx.NodeProto) -> Callable[[str], None]:
        where = f"node {short(node.name or node.output[0])}"
        return lambda text: self._notes.append(f"{where}: {text}")

    def _neurons(self, name: str, tensor: Tensor) -> Tensor:
        """A tensor of few values over the neurons that decide them, made once."""
        if not tensor.is_stepped:
            return tensor
        if name not in self._signs:
            self._signs[name] = materialized(tensor, name)
        self._values[name] = self._signs[name]
        return self._signs[name]


def _bytes(value: Any) -> int:
    return value.nbytes if isinstance(value, np.ndarray) else 0


LINEAR = frozenset(
    ["MatMul", "Gemm", "Conv", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "Pad"]
)
"""Operators whose input becomes neurons where it takes a few values; so do those of several."""


BEHIND = frozenset(
    ["Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"]
)
"""Operators that may follow a Softmax."""


def _are_parts_of_one(node: onnx.NodeProto, inputs: list[Any]) -> bool:
    """Whether parts of one tensor are put together again, which need not become neurons."""
    found = [value for value in inputs if isinstance(value, Tensor)]
    return node.op_type == "Concat" and all(
        value.elements is found[0].elements and not value.is_pooled for value in found
    )
