"""What the operations of ATen do to tensors, most of them in the words of ONNX.

A handler takes a `Call` and returns the output, or a list of outputs.
"""

from __future__ import annotations

from bnnopt.exchange import torch_choices, torch_elementwise, torch_maps, torch_moves
from bnnopt.exchange.node import Handler

__all__ = ["OPERATIONS"]

OPERATIONS: dict[str, Handler] = {
    **torch_choices.HANDLERS,
    **torch_elementwise.HANDLERS,
    **torch_maps.HANDLERS,
    **torch_moves.HANDLERS,
}
