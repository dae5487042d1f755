"""Tiny binarized networks as ONNX files, and properties of them as VNN-LIB texts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bnnopt.exchange.vnnlib import Case, Choice


def tiny_onnx(
    seed: int,
    low: float = 0.0,
    high: float = 1.0,
    inputs: int = 3,
    widths: tuple[int, ...] = (4,),
    classes: int = 3,
    *,
    is_real: bool = False,
    softmax: bool = False,
    twins: bool = False,
    scale: float = 1.0,
) -> bytes:
    """Dense layers of ±1 and signs that are +1 at 0, on inputs from `low` to `high`.

    With `twins`, classes 0 and 1 have the same weights.
    """
    rng = np.random.default_rng(seed)
    nodes, constants, name, fan_in = [], [], "x", inputs

    def constant(values: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(values.astype(np.float32), f"c{len(constants)}"))
        return str(constants[-1].name)

    def apply(kind: str, *more: str) -> None:
        nonlocal name
        nodes.append(
            helper.make_node(kind, [name, *more], [f"t{len(nodes)}"], name=f"n{len(nodes)}")
        )
        name = f"t{len(nodes) - 1}"

    for number, width in enumerate(widths):
        weight = rng.choice([-1.0, 1.0], (fan_in, width))
        apply("MatMul", constant(weight))
        if number == 0:
            middle = weight.sum(axis=0) * (low + high) / 2
            apply("Sub", constant(middle + (high - low) * rng.integers(-3, 4, width) / 8))
        else:
            apply("Sub", constant(rng.integers(-1, 2, width) * 2.0 - fan_in % 2))
        apply("Sign")
        apply("Add", constant(np.array(0.1)))
        apply("Sign")
        fan_in = width
    head = rng.choice([-1.0, 1.0], (fan_in, classes))
    if twins:
        head[:, 1] = head[:, 0]
    apply("MatMul", constant(scale * head))
    if is_real:
        apply("Mul", constant(rng.normal(size=classes)))
        apply("Add", constant(rng.normal(size=classes)))
    if softmax:
        apply("Softmax")
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", inputs])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", classes])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def tiny_spec(case: Case, outputs: int, version: str = "1.0") -> str:
    """A case as a file; its numbers must have finite decimals."""
    inputs = len(case.low)
    if version == "1.0":
        lines = [f"(declare-const X_{i} Real)" for i in range(inputs)]
        lines += [f"(declare-const Y_{c} Real)" for c in range(outputs)]
        x, y = "X_{}", "Y_{}"
    else:
        lines = ["(vnnlib-version <2.0>)", "(declare-network N"]
        lines += [f"(declare-input X float32 [1,{inputs}])"]
        lines += [f"(declare-output Y float32 [1,{outputs}]))"]
        x, y = "X[0,{}]", "Y[0,{}]"
    for i, (low, high) in enumerate(zip(case.low, case.high, strict=True)):
        lines.append(f"(assert (<= {x.format(i)} {float(high):.20f}))")
        lines.append(f"(assert (>= {x.format(i)} {float(low):.20f}))")
    lines.append(f"(assert (or {' '.join(_choice(choice, y) for choice in case.choices)}))")
    return "\n".join(lines)


def _choice(choice: Choice, y: str) -> str:
    return f"(and {' '.join(_differences(choice, y))})"


def _differences(choice: Choice, y: str) -> Iterable[str]:
    for each in choice:
        sign = ">" if each.is_strict else ">="
        target, source = y.format(each.target), y.format(each.source)
        yield f"({sign} (- {target} {source}) {float(each.least):.4f})"
