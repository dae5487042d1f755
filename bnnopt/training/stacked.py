"""Many networks of one shape as one: their weights, norms and batches are stacked.

What is a small matrix product for one network is a batched one for all of them, and what is a
pass over one network's weights is one over everybody's: on a GPU, where either takes as long as
its launch, many networks take little more time than one.

A network of a stack is trained as it would be alone, from the same weights on the same batches,
with sums in another order: what a neuron of the first layer sees, and every gradient, are real
numbers in single precision, so that the two differ by rounding from the first step on, and in
single weights before long. (Sums of ±1 are whole and the same; so would be forward passes alone.)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bnnopt.training.model import BinaryLinear, TrainableNetwork, binarize

__all__ = ["StackedNetwork"]


class StackedNetwork:
    """Dense networks of one shape, on levels.

    Parameters
    ----------
    models : sequence of TrainableNetwork
        On one device; their state is copied, and `unstack` brings it back.
    """

    def __init__(self, models: Sequence[TrainableNetwork]) -> None:
        self._models = tuple(models)
        self._first = self._models[0]
        states = [model.state_dict() for model in self._models]
        self._state = {name: torch.stack([s[name] for s in states]) for name in states[0]}
        trained = [name for name, _ in self._first.named_parameters()]
        self._trained = {name: nn.Parameter(self._state[name]) for name in trained}
        self._state |= self._trained

    def parameters(self) -> list[nn.Parameter]:
        """In the order of a single network's, each with an axis of networks in front."""
        return list(self._trained.values())

    def unstack(self) -> None:
        """Bring the state back to the networks that were stacked."""
        for number, model in enumerate(self._models):
            model.load_state_dict({name: value[number] for name, value in self._state.items()})

    def scores(self, seen: Tensor) -> Tensor:
        """Scores for the cross-entropy, while training.

        Parameters
        ----------
        seen : Tensor, shape (networks, batch, pixels)
            In [0, 1].

        Returns
        -------
        Tensor, shape (networks, batch, classes)
        """
        seen = seen.transpose(1, 2)
        for number in range(len(self._first.hidden)):
            sums = self._sums(f"hidden.{number}", seen)
            seen = binarize(self._normalized(f"norms.{number}", sums))
        sums = self._sums("output", seen)
        if self._first.head == "integer":
            bias = self._state["bias"][:, :, None]
            logits = sums + bias + (bias.round() - bias).detach()
            return (logits * self._state["log_scale"].exp()[:, None, None]).transpose(1, 2)
        return self._normalized("output_norm", sums).transpose(1, 2)

    def _sums(self, name: str, seen: Tensor) -> Tensor:
        """(networks, in, batch) to (networks, out, batch)."""
        layer = self._first.get_submodule(name)
        assert isinstance(layer, BinaryLinear)
        return torch.bmm(layer.weights(self._state[f"{name}.latent"]), seen)

    def _normalized(self, name: str, sums: Tensor) -> Tensor:
        """Networks times neurons are the channels of one batch normalization."""
        norm = self._first.get_submodule(name)
        assert isinstance(norm, nn.BatchNorm1d) and norm.momentum is not None
        weight, bias, mean, variance = (
            self._state[f"{name}.{part}"].view(-1)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        self._state[f"{name}.num_batches_tracked"] += 1
        channels = sums.view(1, -1, sums.shape[2])
        return nn.functional.batch_norm(
            channels, mean, variance, weight, bias, True, norm.momentum, norm.eps
        ).view_as(sums)

    @torch.no_grad()
    def clamp(self) -> None:
        """Take latent weights back to [-1, 1]."""
        for name, value in self._trained.items():
            if name.endswith("latent"):
                value.clamp_(-1, 1)
