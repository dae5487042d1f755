"""How far each neuron's sum is from its threshold: dense, sparse and convolved, in torch."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from bnnopt.network import GRID, Convolution, HiddenLayer
from bnnopt.row_units import layer_units

__all__ = ["distances_of"]

DENSE_SIZE, LARGEST_DENSE, DENSE_SHARE = 2**22, 2**26, 1 / 8
"""Matrices of at most so many entries are dense, or of at most so many with this share of them."""

COARSE_GRID = 16
"""Parts of a level, or of a step of a deeper sum, that single precision keeps of convolutions."""


def distances_of(layer: HiddenLayer, dtype: torch.dtype) -> nn.Module:
    """A module of a layer: inputs, shape (batch, in), to sums less thresholds, in `row_units`.

    Parameters
    ----------
    layer : HiddenLayer
    dtype : torch.dtype
    """
    if layer.convolution is not None:
        return _Convolved(layer, layer.convolution, dtype)
    weight = layer.weight
    if isinstance(weight, np.ndarray) or _is_small(weight):
        return _Dense(layer, dtype)
    return _Sparse(layer, weight, dtype)


def _is_small(weight: csr_array) -> bool:
    size = weight.shape[0] * weight.shape[1]
    return size <= DENSE_SIZE or (size <= LARGEST_DENSE and weight.nnz >= DENSE_SHARE * size)


class _Distances(nn.Module):
    """What all have in common: buffers that move with the module, and units."""

    def __init__(self, layer: HiddenLayer, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype, self._units = dtype, layer_units(layer)
        self.keep("offset", -layer.threshold / self._units)

    def keep(self, name: str, values: npt.ArrayLike) -> None:
        # A copy: the network's own arrays are read-only.
        array = np.array(values, dtype=np.float64)
        self.register_buffer(name, torch.from_numpy(array).to(self._dtype))

    def keep_sparse(self, name: str, matrix: csr_array) -> None:
        values = torch.from_numpy(matrix.data.astype(np.float64)).to(self._dtype)
        parts = torch.from_numpy(matrix.indptr), torch.from_numpy(matrix.indices)
        with warnings.catch_warnings():  # that torch's sparse tensors are new
            warnings.simplefilter("ignore", UserWarning)
            tensor = torch.sparse_csr_tensor(*parts, values, matrix.shape, check_invariants=False)
        self.register_buffer(name, tensor)


class _Dense(_Distances):
    def __init__(self, layer: HiddenLayer, dtype: torch.dtype) -> None:
        super().__init__(layer, dtype)
        weight = layer.weight
        whole = weight if isinstance(weight, np.ndarray) else weight.toarray()
        self.keep("weight", whole / self._units[:, None])

    def forward(self, z: Tensor) -> Tensor:
        return nn.functional.linear(z, self.get_buffer("weight"), self.get_buffer("offset"))


class _Sparse(_Distances):
    def __init__(self, layer: HiddenLayer, weight: csr_array, dtype: torch.dtype) -> None:
        super().__init__(layer, dtype)
        scaled = weight.astype(np.float64)
        scaled.data /= np.repeat(self._units, np.diff(scaled.indptr))
        self.keep_sparse("weight", scaled)
        self.keep_sparse("transposed", csr_array(scaled.T))

    def forward(self, z: Tensor) -> Tensor:
        weight, transposed = self.get_buffer("weight"), self.get_buffer("transposed")
        sums: Tensor = _Multiply.apply(z, weight, transposed)  # type: ignore[no-untyped-call]
        return sums + self.get_buffer("offset")


class _Multiply(torch.autograd.Function):
    """``z @ weight.T`` of a sparse matrix, and its derivative by `z`."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor, transposed: Tensor) -> Tensor:
        ctx.transposed = transposed
        return (weight @ z.T).T.contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return (ctx.transposed @ gradients[0].T).T.contiguous(), None, None


class _Convolved(_Distances):
    def __init__(self, layer: HiddenLayer, convolution: Convolution, dtype: torch.dtype) -> None:
        super().__init__(layer, dtype)
        self._convolution = convolution
        self._grid = GRID if dtype == torch.float64 else COARSE_GRID
        self.keep("kernel", convolution.kernel)
        self.keep("inverse", 1.0 / self._units)

    def forward(self, z: Tensor) -> Tensor:
        channels, rows, columns = self._convolution.input_shape
        if self._convolution.channels_last:
            z = z.reshape(len(z), rows, columns, channels).permute(0, 3, 1, 2)
        images = z.reshape(len(z), channels, rows, columns)
        kernel = self.get_buffer("kernel")
        sums: Tensor = _Convolve.apply(  # type: ignore[no-untyped-call]
            images, kernel, self._convolution, self._grid
        )
        return torch.addcmul(self.get_buffer("offset"), sums.flatten(1), self.get_buffer("inverse"))


class _Convolve(torch.autograd.Function):
    """A convolution and its derivative by the images, in full precision and repeatable.

    Sums are rounded to a grid that has all sums of signs, and of levels in double precision, since
    quick algorithms are a little off.
    """

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, kernel: Tensor, convolution: Convolution, grid: float
    ) -> Tensor:
        (top, bottom), (left, right) = convolution.padding
        padded = nn.functional.pad(images, (left, right, top, bottom))
        ctx.save_for_backward(kernel)
        ctx.convolution, ctx.padded_shape = convolution, padded.shape
        with _exact():
            sums = nn.functional.conv2d(padded, kernel, **_how(convolution))
        return sums.mul_(grid).round_().div_(grid)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (kernel,), convolution = ctx.saved_tensors, ctx.convolution
        with _exact():
            padded = conv2d_input(  # type: ignore[no-untyped-call]
                ctx.padded_shape, kernel, gradients[0].contiguous(), **_how(convolution)
            )
        _, rows, columns = convolution.input_shape
        (top, _), (left, _) = convolution.padding
        return padded[:, :, top : top + rows, left : left + columns], None, None, None


def _how(convolution: Convolution) -> dict[str, Any]:
    return {
        "stride": convolution.stride,
        "dilation": convolution.dilation,
        "groups": convolution.groups,
    }


def _exact() -> AbstractContextManager[None]:
    """No tensor cores of lower precision on a GPU, and no order of summation that varies."""
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
