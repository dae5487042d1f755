"""A walk through the graph of an ONNX file, from the image to the logits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import onnx

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.content import short
from bnnopt.exchange.image import FileInput
from bnnopt.exchange.onnx_files.constants import computed, initializers, work
from bnnopt.exchange.onnx_files.custom import DOMAINS
from bnnopt.exchange.onnx_files.nodes import attributes, in_order
from bnnopt.exchange.traced.building import Building, Walk
from bnnopt.exchange.traced.operators import OPERATORS, Final
from bnnopt.exchange.traced.tensor import Tensor

__all__ = ["walk"]

CONSTANT = 4
"""What a number of a constant takes of the work that is bounded, about a nanosecond each."""


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
        self._graph = model.graph
        self._opsets = {entry.domain: entry.version for entry in model.opset_import}
        uses = Counter(name for node in model.graph.node for name in node.input if name)
        uses.update(value.name for value in model.graph.output)
        self._building = Building(about, uses)

    def run(self, given: Mapping[str, Tensor]) -> Walk:
        held = initializers(self._graph)
        for name in given:
            if name in held:
                raise NetworkFormatError(f"{short(name)} is given twice")
        for name, value in (held | dict(given)).items():
            self._building.put(name, value)
        for node in in_order(self._graph, [*held, *given]):
            where = f"node {short(node.name or node.output[0])} ({short(node.op_type)[1:-1]})"
            try:
                self._evaluate(node)
            except NetworkFormatError as error:
                raise NetworkFormatError(f"{where} does not fit: {error}") from None
            except (ValueError, TypeError, IndexError, KeyError, ArithmeticError) as error:
                raise NetworkFormatError(f"{where} cannot be read: {error}") from None
        return self._building.ended(self._graph.output[0].name)

    def _evaluate(self, node: onnx.NodeProto) -> None:
        inputs = [self._building.values[name] if name else None for name in node.input]
        if not any(isinstance(value, Tensor | Final) for value in inputs):
            self._building.spend(CONSTANT * work(node, inputs))
            results = computed(node, inputs, self._opsets)
        else:
            results = self._handled(node, inputs)
        for name, result in zip(node.output, results, strict=False):
            self._building.put(name, result)
        self._building.used(filter(None, node.input))

    def _handled(self, node: onnx.NodeProto, inputs: list[Any]) -> list[Any]:
        domains = DOMAINS if node.op_type == "BipolarQuant" else ("", "ai.onnx")
        if node.op_type not in OPERATORS or node.domain not in domains:
            raise NetworkFormatError(
                f"{short(node.op_type)} of {short(node.domain)} is none of the operators of "
                f"binarized networks: {', '.join(sorted(OPERATORS))}"
            )
        wanted = sum(self._building.is_used(name) for name in node.output[1:])
        result = self._building.applied(
            node.op_type,
            f"node {short(node.name or node.output[0])}",
            inputs,
            attributes(node),
            opset=self._opsets.get("", self._opsets.get("ai.onnx", 1)),
            outputs=len(node.output) if node.op_type == "Split" else 1 + wanted,
        )
        return result if isinstance(result, list) else [result]
