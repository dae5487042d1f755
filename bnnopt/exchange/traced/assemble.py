"""A network of layers, from blocks of neurons that see each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array, eye_array, vstack

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.traced.linear import rows_of
from bnnopt.exchange.traced.tensor import Base, Block, Elements, Pixels, Tensor
from bnnopt.exchange.traced.whole import whole_rows
from bnnopt.network import BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.network.checks import MAX_NONZEROS, MAX_SINGLE

__all__ = ["Layers", "assembled"]

FloatArray = npt.NDArray[np.float64]


class Layers:
    """The hidden layers behind which a base lies: its blocks by depth, and copies between.

    Parameters
    ----------
    base : tuple of Block
        What the head sees.
    """

    def __init__(self, base: Base) -> None:
        self._level: list[list[Block]] = []
        depth = max(part.depth for part in base)
        wanted: list[Any] = list(base)
        for number in range(depth, 0, -1):
            here = [part for part in _unique(wanted) if part.depth <= number]
            self._level.insert(0, here)
            below = [part for part in here if part.depth < number]
            seen = [part for block in here if block.depth == number for part in block.base]
            wanted = [*seen, *below]
        self.pixels = _only_pixels(wanted)

    def hidden(self) -> list[HiddenLayer]:
        """In order."""
        before: list[Any] = [self.pixels]
        found = []
        for number, here in enumerate(self._level, 1):
            found.append(_layer(here, number, before))
            before = here
        return found

    @property
    def last(self) -> list[Block]:
        """The blocks of the last layer, in order."""
        return self._level[-1]

    def places(self) -> dict[Block, tuple[int, slice]]:
        """Each block's layer, from 0, and its neurons there."""
        found = {}
        for number, here in enumerate(self._level):
            start = 0
            for block in here:
                if block.depth == number + 1:
                    found[block] = number, slice(start, start + block.size)
                start += block.size
        return found


def _unique(parts: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(parts))


def _only_pixels(parts: list[Any]) -> Pixels:
    found = _unique(parts)
    if len(found) != 1 or not isinstance(found[0], Pixels):
        raise NetworkFormatError("it takes pixels and signs together")
    return found[0]


def _layer(here: list[Block], number: int, before: list[Any]) -> HiddenLayer:
    """Blocks and copies of earlier ones side by side, over the layer before."""
    if len(here) == 1 and list(here[0].base) == before:
        return here[0].layer
    starts = dict(zip(before, np.cumsum([0, *(part.size for part in before)]), strict=False))
    width = sum(part.size for part in before)
    rows, thresholds = [], []
    for block in here:
        if block.depth < number:
            weight = eye_array(block.size, dtype=np.int64, format="csr")
            base: Base = (block,)
            thresholds.append(np.zeros(block.size, dtype=np.int64))
        else:
            weight, base = csr_array(block.layer.weight).astype(np.int64), block.base
            thresholds.append(block.layer.threshold)
        part = weight.tocoo()
        column = np.concatenate([starts[one] + np.arange(one.size) for one in base])
        shape = (block.size, width)
        rows.append(csr_array((part.data, (part.row, column[part.col])), shape=shape))
    return HiddenLayer(vstack(rows, format="csr"), np.concatenate(thresholds))


def assembled(output: Tensor, **metadata: Any) -> tuple[BinarizedNetwork, Layers]:
    """The network whose logits a tensor is, and its layers.

    Parameters
    ----------
    output : Tensor
        Affine, of one number a class.
    metadata
        Of `BinarizedNetwork`.
    """
    elements = output.elements
    if elements.sums.pixels is not None:
        raise NetworkFormatError("its output has no sign between it and the image")
    layers = Layers(elements.sums.base)
    head = _head(elements, layers)
    pixels = layers.pixels
    about: dict[str, Any] = {"levels": pixels.levels, "input_shape": pixels.shape}
    return BinarizedNetwork(tuple(layers.hidden()), head, **about, **metadata), layers


def _head(elements: Elements, layers: Layers) -> OutputLayer:
    """Weights of ±1 and the like with a scale a class, or else real ones."""
    base = elements.sums.base
    width = sum(block.size for block in layers.last)
    if len(elements) * width > MAX_NONZEROS:
        raise NetworkFormatError(f"its output has {len(elements)} numbers: too many for classes")
    starts = dict(zip(layers.last, np.cumsum([0, *(b.size for b in layers.last)]), strict=False))
    weight = np.zeros((len(elements), width))
    column = np.concatenate([starts[part] + np.arange(part.size) for part in base])  # type: ignore[index]
    weight[:, column] = rows_of(elements).toarray()
    found = _whole_head(weight)
    if found is not None:
        return OutputLayer(*found, elements.offset)
    return OutputLayer(weight, np.ones(len(weight)), elements.offset)


def _whole_head(weight: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Whole weights and scales that give exactly these; None if there are none."""
    row = np.repeat(np.arange(len(weight)), weight.shape[1])
    try:
        found = whole_rows(weight.ravel(), row, len(weight), None)
    except NetworkFormatError:
        return None
    whole = found.whole.reshape(weight.shape).astype(np.float64)
    is_exact = np.array_equal(whole * found.scale[:, None], weight)
    return (whole, found.scale) if is_exact and np.abs(whole).max() < MAX_SINGLE else None
