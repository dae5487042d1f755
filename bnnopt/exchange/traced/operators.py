"""What the operators of ONNX do to tensors; their meaning is that of onnx.ai/onnx/operators.

A handler takes the node, with its attributes and inputs, and returns the output.
"""

from __future__ import annotations

from bnnopt.exchange.traced import elementwise, maps, moves
from bnnopt.exchange.traced.node import Final, Handler, Node

__all__ = ["OPERATORS", "Final", "Node"]

OPERATORS: dict[str, Handler] = {**elementwise.HANDLERS, **maps.HANDLERS, **moves.HANDLERS}
