"""One step of training, over tensors that stay on the device: captured in a CUDA graph there.

An epoch's order, its learning rates and its epsilon are copied to the device once; a counter there
chooses the batch and the rate of each step, and the losses add up there. So a step asks nothing of
the host and nothing in it waits for the device: it is the same work every time, which a CUDA graph
launches at once instead of kernel by kernel.

The first steps of a run warm the libraries up, outside the graph; since a step with and without
the graph is the same kernels on the same data, they count, and nothing has to be put back.

All is in single precision. bfloat16 would be exact only for sums of ±1 and of whole levels in the
forward pass (single precision sums of them are, in any order): gradients are not whole numbers, so
the backward pass, two thirds of the arithmetic, would change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

__all__ = ["CudaGraph", "Grapher", "Step", "cosine_rates"]

WARM_UP = 3
"""Steps before the capture, as torch does it."""


AVERAGES = ("step", "exp_avg", "exp_avg_sq")
"""What Adam keeps of a parameter: shapes (), and twice the parameter's."""


class Grapher(Protocol):
    """What turns a step into something that is replayed."""

    def warm_up(self, step: Callable[[], None]) -> None:
        """Run a step as the capture will, which makes libraries choose and allocate."""

    def capture(
        self, step: Callable[[], None], generators: Sequence[torch.Generator]
    ) -> Callable[[], None]:
        """Record a step without running it; what comes back runs it."""


class CudaGraph:
    """Capture by torch, in its documented order: a side stream first, then the graph."""

    def warm_up(self, step: Callable[[], None]) -> None:
        """Run a step on a side stream."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            step()
        torch.cuda.current_stream().wait_stream(stream)

    def capture(
        self, step: Callable[[], None], generators: Sequence[torch.Generator]
    ) -> Callable[[], None]:
        """Capture a step; the generators draw at each replay what they would without a graph."""
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph):
            step()
        return graph.replay


class Step:
    """Adam's steps on batches that a counter on the device chooses.

    Parameters
    ----------
    parameters : iterable of Parameter
        All on one device.
    shape : tuple of int, (batches, batch size) or (batches, networks, batch size)
        Of an epoch's order.
    graph : bool
        Whether steps are captured, on a CUDA device; elsewhere, and without, the same function
        runs as it is.
    generators : sequence of Generator
        What a step draws from, on the device.
    after : callable
        What follows Adam's step, such as clamping the weights.

    Attributes
    ----------
    optimizer : Adam
    radius : Tensor of float64, shape ()
        Of the epoch's attacks, in levels.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        shape: tuple[int, ...],
        *,
        graph: bool,
        generators: Sequence[torch.Generator] = (),
        after: Callable[[], None],
    ) -> None:
        self._parameters = list(parameters)
        place = self._parameters[0].device
        on_cuda = place.type == "cuda"
        # The fused kernel reads rates in single precision; elsewhere Adam takes Python numbers.
        precision = torch.float32 if on_cuda else torch.float64
        self._order = torch.zeros(shape, dtype=torch.int64, device=place)
        self._rates = torch.zeros(shape[0], dtype=precision, device=place)
        self._rate = torch.zeros((), dtype=precision, device=place)
        self._at = torch.zeros(1, dtype=torch.int64, device=place)
        self._total = torch.zeros(shape[1:-1], device=place)
        self.radius = torch.zeros((), dtype=torch.float64, device=place)
        self.optimizer = torch.optim.Adam(self._parameters, lr=self._rate, fused=on_cuda or None)
        self._after, self._generators = after, generators
        self.grapher: Grapher | None = CudaGraph() if graph and on_cuda else None
        self._warm = 0
        self._replay: Callable[[], None] | None = None

    def averages(self) -> dict[int, dict[str, Tensor]]:
        """What Adam keeps, by the number of the parameter; empty before the first step."""
        states: dict[int, dict[str, Tensor]] = self.optimizer.state_dict()["state"]
        return states

    def restore(self, states: dict[int, dict[str, Tensor]]) -> None:
        """Take over Adam's averages, by the number of the parameter.

        Rates and ways of computing stay those of this run: the averages may come from another
        device. Raises ValueError if they are not of these parameters.
        """
        for number, parameter in enumerate(self._parameters if states else ()):
            state = states.get(number, {})
            if parameter.requires_grad and (
                set(state) != set(AVERAGES)
                or [state[name].shape for name in AVERAGES] != [(), *[parameter.shape] * 2]
            ):
                raise ValueError(f"Adam's averages of parameter {number} are of another shape")
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": states, "param_groups": groups})
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate  # which loading has copied

    def epoch(
        self,
        loss: Callable[[Tensor], Tensor],
        order: Tensor,
        rates: Sequence[float],
        radius: float,
    ) -> Tensor:
        """All steps of an epoch.

        Parameters
        ----------
        loss : callable
            Of the numbers of a batch's images, shape (batch size,) or (networks, batch size), to
            the loss, shape () or (networks,). The same computation on the same tensors in every
            epoch: the first one's is captured.
        order : Tensor of int64, shape as in the constructor
        rates : sequence of float, one a batch
        radius : float

        Returns
        -------
        Tensor, shape () or (networks,)
            The mean loss of a batch, on the device, which may still be at work.
        """
        self._order.copy_(order)
        self._rates.copy_(torch.tensor(rates, dtype=torch.float64))
        self.radius.fill_(radius)
        self._at.zero_()
        self._total.zero_()
        # What cuDNN may choose is what repeats itself, in single precision.
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            for _ in range(len(order)):
                self._advance(lambda: self._step(loss))
        return self._total / len(order)

    def _advance(self, step: Callable[[], None]) -> None:
        if self.grapher is None:
            step()
        elif self._replay is not None:
            self._replay()
        elif self._warm < WARM_UP:
            self._warm += 1
            self.grapher.warm_up(step)
        else:
            for group in self.optimizer.param_groups:
                group["capturable"] = True  # which the fused kernel is in any case
            self._replay = self.grapher.capture(step, self._generators)
            self._replay()

    def _step(self, loss: Callable[[Tensor], Tensor]) -> None:
        batch = self._order.index_select(0, self._at)[0]
        self._rate.copy_(self._rates.index_select(0, self._at)[0])
        # Without gradients there, a graph gives them memory of its own.
        self.optimizer.zero_grad(set_to_none=True)
        losses = loss(batch)
        torch.autograd.backward(losses.sum())
        self.optimizer.step()
        self._after()
        self._total += losses.detach()
        self._at += 1


def cosine_rates(first: float, steps: int, start: int = 0) -> Iterator[float]:
    """Learning rates of steps from `start`: half a cosine from `first` to zero.

    By the recursion of torch's `CosineAnnealingLR`, whose rounding is part of what a seed gives.
    """
    rate = first
    for step in range(steps):
        if step >= start:
            yield rate
        rate *= (1 + math.cos(math.pi * (step + 1) / steps)) / (
            1 + math.cos(math.pi * step / steps)
        )
