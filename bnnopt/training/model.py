"""The trainable network: latent real weights, binarized with a straight-through gradient."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

__all__ = [
    "HEADS",
    "BinaryConvolution",
    "BinaryLayer",
    "BinaryLinear",
    "Head",
    "PixelCuts",
    "TrainableNetwork",
    "WholeLinear",
    "binarize",
]

Head = Literal["integer", "batchnorm"]
HEADS: tuple[Head, ...] = ("integer", "batchnorm")

CUT_WINDOW = 32.0
"""Levels within which a pixel pulls at a learnt cut, and unit of its steps: a power of 2."""


def binarize(x: Tensor, dead_zone: float = 0.0) -> Tensor:
    """Elementwise sign in {-1, +1} with the straight-through gradient of the surrogate g.

    g(x) = x on [-1, 1] and sign(x) elsewhere (section 4 of the paper), so the gradient passes
    where |x| <= 1 and is zero elsewhere. Values smaller in size than `dead_zone` become 0.
    """
    signs: Tensor = _Sign.apply(x)  # type: ignore[no-untyped-call]
    if dead_zone == 0.0:
        return signs
    return signs - (signs * (x.detach().abs() < dead_zone)).detach()


class _Sign(torch.autograd.Function):
    """`bnnopt.surrogate.signs_with_slope` for g, in three passes over memory instead of seven."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.copysign(x.new_ones(()), x + 0.0)  # which makes -0 a 0

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        least = 1.0 + torch.finfo(x.dtype).eps  # the smallest size where nothing passes
        passed: Tensor = torch.ops.aten.hardtanh_backward(gradients[0], x, -least, least)
        return passed


class PixelCuts(nn.Module):
    """Whether each pixel reaches each cut, as ±1.

    Parameters
    ----------
    cuts : sequence of float
        In levels: whole numbers and a half, which no whole level is on.
    learnt : bool
        Whether the gradient moves them; they are rounded to such numbers all the same.
    """

    def __init__(self, cuts: Sequence[float], learnt: bool) -> None:
        super().__init__()
        self.scaled = nn.Parameter(torch.tensor(cuts) / CUT_WINDOW, requires_grad=learnt)

    def levels(self) -> Tensor:
        """The cuts, in levels and a half, with a straight-through gradient."""
        levels = self.scaled * CUT_WINDOW
        return levels + (levels.floor() + 0.5 - levels).detach()

    def forward(self, levels: Tensor) -> Tensor:
        """Levels (batch, pixels) to bits (batch, cuts * pixels), those of a cut side by side."""
        distance = levels[:, None, :] - self.levels()[:, None]
        if not self.scaled.requires_grad:
            return torch.where(distance >= 0, 1.0, -1.0).to(levels.dtype).flatten(1)
        return binarize(distance / CUT_WINDOW).flatten(1)


def _single(value: float) -> float:
    """As single precision has it, so that it means the same in double precision."""
    return float(torch.tensor(value, dtype=torch.float32))


class BinaryLayer(nn.Module):
    """A linear map without bias whose weights are the signs of latent real weights.

    Parameters
    ----------
    shape : tuple of int
        Of the weights.
    dead_zone : float
        As for `binarize`.
    """

    def __init__(self, shape: tuple[int, ...], dead_zone: float) -> None:
        super().__init__()
        self.dead_zone = _single(dead_zone)
        self.latent = nn.Parameter(torch.empty(shape).uniform_(-0.1, 0.1))

    def weights(self, latent: Tensor) -> Tensor:
        """The weights of latent ones, elementwise, with a straight-through gradient."""
        return binarize(latent, self.dead_zone)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in) to what `by` gives."""
        return self.by(self.weights(self.latent), x)

    def by(self, weight: Tensor, x: Tensor) -> Tensor:
        """The same by other weights, of the same shape."""
        raise NotImplementedError


class BinaryLinear(BinaryLayer):
    """A dense layer; (batch, in) to (batch, out)."""

    def __init__(self, fan_in: int, fan_out: int, dead_zone: float = 0.0) -> None:
        super().__init__((fan_out, fan_in), dead_zone)

    def by(self, weight: Tensor, x: Tensor) -> Tensor:
        """(batch, in) to (batch, out)."""
        return nn.functional.linear(x, weight)


class WholeLinear(BinaryLinear):
    """A linear layer without bias whose weights are whole numbers.

    Parameters
    ----------
    fan_in, fan_out : int
        Inputs and outputs.
    largest : int
        Latent weights, in [-1, 1], are multiplied by it and rounded.
    """

    def __init__(self, fan_in: int, fan_out: int, largest: int) -> None:
        super().__init__(fan_in, fan_out)
        self.largest = largest

    def weights(self, latent: Tensor) -> Tensor:
        """The weights of latent ones, elementwise, with a straight-through gradient."""
        scaled = latent * self.largest
        return scaled + (scaled.round() - scaled).detach()


class BinaryConvolution(BinaryLayer):
    """A convolution; padded places are absent.

    Parameters
    ----------
    input_shape : (int, int, int)
        Channels, rows and columns.
    channels, side, stride : int
        Of the output, of the square kernel (odd), and of its steps.
    dead_zone : float
        As for `binarize`.
    """

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        channels: int,
        side: int,
        stride: int,
        dead_zone: float = 0.0,
    ) -> None:
        super().__init__((channels, input_shape[0], side, side), dead_zone)
        self.input_shape, self.stride, self.padding = input_shape, stride, side // 2

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns."""
        rows, columns = ((size - 1) // self.stride + 1 for size in self.input_shape[1:])
        return len(self.latent), rows, columns

    def by(self, weight: Tensor, x: Tensor) -> Tensor:
        """(batch, in) to (batch, channels, rows, columns)."""
        images = x.view(-1, *self.input_shape)
        return nn.functional.conv2d(images, weight, stride=self.stride, padding=self.padding)


class TrainableNetwork(nn.Module):
    """A binarized network in float form.

    Parameters
    ----------
    num_inputs : int
        Pixels an image.
    widths : sequence of int
        Neurons of each dense hidden layer.
    num_classes : int
        Logits.
    head : {"integer", "batchnorm"}
        ``integer``: whole weights and biases, and one shared positive scale that only
        the loss sees, so that the exported logits are integers. ``batchnorm``: binary weights,
        and the paper's affine map of batch normalization.
    levels : int
        Steps between black and white.
    cuts : sequence of float
        In levels, for `PixelCuts`; none where the first layer sees the pixels themselves.
    learn_cuts : bool
        Whether the gradient moves them.
    convolutions : sequence of (channels, side, stride)
        Layers before the dense ones; images are square then.
    dead_zone : float
        Of the hidden layers' weights, as for `binarize`.
    head_range : int
        Largest weight of an integer head; with 0 its weights are -1 and +1.
    """

    def __init__(
        self,
        num_inputs: int,
        widths: Sequence[int],
        num_classes: int,
        head: Head,
        *,
        levels: int = 255,
        cuts: Sequence[float] = (),
        learn_cuts: bool = False,
        convolutions: Sequence[tuple[int, int, int]] = (),
        dead_zone: float = 0.0,
        head_range: int = 0,
    ) -> None:
        super().__init__()
        self.num_inputs, self.num_levels = num_inputs, levels
        self.cuts = PixelCuts(cuts, learn_cuts) if cuts else None
        side = math.isqrt(num_inputs)
        shape = (len(cuts) or 1, side, side)
        hidden: list[nn.Module] = []
        norms: list[nn.Module] = []
        for block in convolutions:
            layer = BinaryConvolution(shape, *block, dead_zone)
            hidden.append(layer)
            norms.append(nn.BatchNorm2d(block[0]))
            shape = layer.output_shape
        fan_in = math.prod(shape) if convolutions else num_inputs * (len(cuts) or 1)
        sizes = [fan_in, *widths]
        hidden += [BinaryLinear(*pair, dead_zone) for pair in zip(sizes, widths, strict=False)]
        norms += map(nn.BatchNorm1d, widths)
        self.hidden, self.norms = nn.ModuleList(hidden), nn.ModuleList(norms)
        into = sizes[-1], num_classes
        self.output = WholeLinear(*into, head_range) if head_range else BinaryLinear(*into)
        self.head = head
        if head == "integer":
            self.bias = nn.Parameter(torch.zeros(num_classes))
            scale = -0.5 * math.log(sizes[-1]) - math.log(head_range or 1)
            self.log_scale = nn.Parameter(torch.tensor(scale))
        else:
            self.output_norm = nn.BatchNorm1d(num_classes)

    def read(self, x: Tensor) -> Tensor:
        """What the first linear layer sees of pixels in [0, 1]: themselves, or bits of ±1."""
        return x if self.cuts is None else self.cuts(x * self.num_levels)

    def activations(self, x: Tensor) -> list[Tensor]:
        """Activations in {-1, +1} of every hidden layer, each (batch, width), bits among them."""
        seen = self.read(x)
        return self._hidden(seen) if self.cuts is None else [seen, *self._hidden(seen)]

    def _hidden(self, seen: Tensor) -> list[Tensor]:
        activations = []
        for linear, norm in zip(self.hidden, self.norms, strict=True):
            seen = binarize(norm(linear(seen))).flatten(1)
            activations.append(seen)
        return activations

    def logits(self, activations: Tensor) -> Tensor:
        """Logits from the last hidden layer's activations, without the scale of the loss."""
        sums: Tensor = self.output(activations)
        if self.head == "integer":
            rounding = (self.bias.round() - self.bias).detach()
            return sums + self.bias + rounding
        normalized: Tensor = self.output_norm(sums)
        return normalized

    def scores(self, seen: Tensor) -> Tensor:
        """Scores for the cross-entropy, from what the first linear layer sees."""
        return self.scaled(self.logits(self._hidden(seen)[-1]))

    def scaled(self, logits: Tensor) -> Tensor:
        """Logits as the loss sees them."""
        return logits * self.log_scale.exp() if self.head == "integer" else logits

    def forward(self, x: Tensor) -> Tensor:
        """Scores for the cross-entropy, (batch, pixels in [0, 1]) to (batch, classes)."""
        return self.scores(self.read(x))

    def clamp(self) -> None:
        """Take latent weights back to [-1, 1], and cuts to where they cut."""
        with torch.no_grad():
            for weight in self.latent_weights():
                weight.clamp_(-1, 1)
            if self.cuts is not None and self.cuts.scaled.requires_grad:
                self.cuts.scaled.clamp_(0, (self.num_levels - 0.5) / CUT_WINDOW)

    def latent_weights(self) -> list[nn.Parameter]:
        """The latent weights of every layer; training keeps them in [-1, 1]."""
        return [layer.latent for layer in (*self.hidden, self.output)]
