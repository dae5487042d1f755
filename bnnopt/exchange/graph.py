"""A walk through the graph of an ONNX file, from the image to the logits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.building import Building, Walk
from bnnopt.exchange.constants import computed, initializers, work
from bnnopt.exchange.custom import DOMAINS
from bnnopt.exchange.imported import FileInput
from bnnopt.exchange.naming import short
from bnnopt.exchange.nodes import attributes, in_order
from bnnopt.exchange.operators import OPERATORS, Final
from bnnopt.exchange.tensor import Tensor

__all__ = ["walk"]

MOST_HELD = 2**29
"""Bytes of constants that are still needed."""

CONSTANT = 4
"""What a number of a constant takes of the work."""


def walk(
    model: onnx.ModelProto, about: FileInput, image: Tensor, known: Mapping[str, Tensor]
) -> Walk:
    """Evaluate the graph on tensors.

    Parameters
    ----------
    model : onnx.ModelProto
    about : FileInput
    image : Tensor
        What stands for the input.
    known : mapping of str to Tensor
        What stands for other tensors that no node gives.

    Raises
    ------
    NetworkFormatError
        With the node that does not fit, and why.
    """
    if len(model.graph.output) != 1:
        raise NetworkFormatError(f"the file has {len(model.graph.output)} outputs: one fits")
    return _Walker(model, about).run({about.name: image, **known})


class _Walker:
    def __init__(self, model: onnx.ModelProto, about: FileInput) -> None:
        self._graph, self._about = model.graph, about
        self._opsets = {entry.domain: entry.version for entry in model.opset_import}
        self._uses = Counter(name for node in model.graph.node for name in node.input)
        self._uses.update(value.name for value in model.graph.output)
        self._building = Building(Counter(self._uses), about.batch, about.has_batch, is_typed=True)
        self._values = self._building.values
        self._values.update(initializers(model.graph))
        self._held = sum(_bytes(value) for value in self._values.values())

    def run(self, given: Mapping[str, Tensor]) -> Walk:
        for name, tensor in given.items():
            if name in self._values:
                raise NetworkFormatError(f"{short(name)} is given twice")
            self._keep(name, tensor)
        for node in in_order(self._graph, [*self._values, *given]):
            where = f"node {short(node.name or node.output[0])} ({short(node.op_type)[1:-1]})"
            try:
                self._evaluate(node)
            except NetworkFormatError as error:
                raise NetworkFormatError(f"{where} does not fit: {error}") from None
            except (ValueError, TypeError, IndexError, KeyError, ArithmeticError) as error:
                raise NetworkFormatError(f"{where} cannot be read: {error}") from None
        return self._building.ended(self._graph.output[0].name)

    def _evaluate(self, node: onnx.NodeProto) -> None:
        inputs = [self._values[name] if name else None for name in node.input]
        if any(isinstance(value, Tensor | Final) for value in inputs):
            results = self._handled(node, inputs)
        else:
            self._building.spend(CONSTANT * work(node, inputs))
            results = computed(node, inputs, self._opsets)
        for name, result in zip(node.output, results, strict=False):
            self._keep(name, result)
        for name in node.input:
            self._uses[name] -= 1
            if not self._uses[name]:
                self._held -= _bytes(self._values.pop(name, None))

    def _keep(self, name: str, value: Any) -> None:
        """Name a value, if another node takes it."""
        if not name or not self._uses[name]:
            return
        self._building.put(name, value)
        self._held += _bytes(value)
        if self._held > MOST_HELD:
            raise NetworkFormatError(f"constants take {self._held} bytes: {MOST_HELD} fit")

    def _handled(self, node: onnx.NodeProto, inputs: list[Any]) -> list[Any]:
        domains = DOMAINS if node.op_type == "BipolarQuant" else ("", "ai.onnx")
        if node.op_type not in OPERATORS or node.domain not in domains:
            raise NetworkFormatError(
                f"{short(node.op_type)} of {short(node.domain)} is none of the operators of "
                f"binarized networks: {', '.join(sorted(OPERATORS))}"
            )
        wanted = sum(self._uses[name] > 0 for name in node.output[1:])
        result = self._building.applied(
            node.op_type,
            f"node {short(node.name or node.output[0])}",
            inputs,
            attributes(node),
            opset=self._opsets.get("", self._opsets.get("ai.onnx", 1)),
            outputs=len(node.output) if node.op_type == "Split" else 1 + wanted,
        )
        return result if isinstance(result, list) else [result]


def _bytes(value: Any) -> int:
    return value.nbytes if isinstance(value, np.ndarray) else 0
