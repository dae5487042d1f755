"""A CUDA graph's semantics on a CPU: what torch computed in one step is computed again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["Tape"]

WAITING = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "item")


class Tape(TorchDispatchMode):
    """Records a step's operations; a replay runs them on the very same tensors.

    Whatever the host would do differently from step to step (a Python number, a choice) stays what
    it was in the recorded step, as in a graph. Takes the place of `bnnopt.training.step.CudaGraph`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self.replays = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, out))
        return out

    def warm_up(self, step: Callable[[], None]) -> None:
        step()

    def capture(
        self, step: Callable[[], None], generators: Sequence[torch.Generator]
    ) -> Callable[[], None]:
        with self:
            step()
        return self.replay

    @torch.no_grad()
    def replay(self) -> None:
        self.replays += 1
        if self.replays == 1:  # a tape, unlike a graph, has run while it recorded
            return
        for func, args, kwargs, out in self.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(out), tree_leaves(again), strict=True):
                if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)

    def waits(self) -> list[str]:
        """Operations for which a GPU's host would wait."""
        return [str(call[0]) for call in self.calls if call[0].overloadpacket.__name__ in WAITING]
