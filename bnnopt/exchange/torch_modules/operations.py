"""What the operations of ATen do to tensors, most of them in the words of ONNX.

A handler takes a `Call` and returns the output, or a list of outputs.
"""

from __future__ import annotations

from bnnopt.exchange.torch_modules import choices as torch_choices
from bnnopt.exchange.torch_modules import elementwise as torch_elementwise
from bnnopt.exchange.torch_modules import maps as torch_maps
from bnnopt.exchange.torch_modules import moves as torch_moves
from bnnopt.exchange.traced.node import Handler

__all__ = ["OPERATIONS"]

OPERATIONS: dict[str, Handler] = {
    **torch_choices.HANDLERS,
    **torch_elementwise.HANDLERS,
    **torch_maps.HANDLERS,
    **torch_moves.HANDLERS,
}
