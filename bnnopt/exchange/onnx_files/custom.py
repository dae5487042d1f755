"""The operator of QONNX that files of binarized networks hold, in terms of those of ONNX."""

from __future__ import annotations

import onnx
from onnx import helper

__all__ = ["DOMAINS", "with_custom"]

DOMAINS = ("onnx.brevitas", "qonnx.custom_op.general", "finn.custom_op.general")
"""Where files say that it comes from."""


def with_custom(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a model that says what ``BipolarQuant(x, scale)`` is, so that others run it.

    It is `scale` where x >= 0, else ``-scale``.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    used = {node.domain for node in model.graph.node} & set(DOMAINS)
    versions = {entry.domain: entry.version for entry in model.opset_import}
    for domain in sorted(used):
        copy.functions.append(_bipolar(domain, versions.get("", 1)))
        if domain not in versions:
            copy.opset_import.append(helper.make_opsetid(domain, 1))
    copy.ir_version = max(copy.ir_version, 8) if used else copy.ir_version
    return copy


def _bipolar(domain: str, opset: int) -> onnx.FunctionProto:
    nodes = [
        helper.make_node("Sub", ["x", "x"], ["zero"]),
        helper.make_node("Less", ["x", "zero"], ["is_negative"]),
        helper.make_node("Neg", ["scale"], ["minus"]),
        helper.make_node("Where", ["is_negative", "minus", "scale"], ["y"]),
    ]
    imports = [helper.make_opsetid("", max(opset, 9))]
    return helper.make_function(domain, "BipolarQuant", ["x", "scale"], ["y"], nodes, imports)
