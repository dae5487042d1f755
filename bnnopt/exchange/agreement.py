"""Whether a network that was read gives what its file gives: neuron by neuron, by another program.

Sums of real numbers are rounded in the file's precision and not here. So a neuron may differ whose
sum lies within that rounding of its bound; such ones are counted, any other is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.arguments import read_whole
from bnnopt.errors import ImportDisagreesError
from bnnopt.exchange.content import needs
from bnnopt.exchange.custom import with_custom
from bnnopt.exchange.imported import Imported
from bnnopt.exchange.sought import sought_images
from bnnopt.exchange.tensor import Block, Pixels, Tensor
from bnnopt.network import HiddenLayer

__all__ = ["Agreement", "compared"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

OPERATIONS = 16
"""Roundings of a sum beside those of its terms: of a scale, a norm and the pixels themselves."""

AT_ONCE = 64
"""Images that are evaluated at a time."""


@dataclass(frozen=True)
class Agreement:
    """What a comparison found.

    Parameters
    ----------
    images : int
        How many were compared.
    neurons : int
        Of the tensors of signs that the file names.
    rounded : int
        Neurons, of all images, that differ within the rounding of the file's precision.
    changed : int
        Images whose prediction differs because of that.
    wrong : str
        What differs beyond it, empty if nothing does.
    """

    images: int
    neurons: int
    rounded: int
    changed: int
    wrong: str = ""

    def raise_if_wrong(self) -> None:
        """Raise `ImportDisagreesError` if something differs that rounding does not explain."""
        if self.wrong:
            raise ImportDisagreesError(self.wrong)

    def __str__(self) -> str:
        if not self.images:
            return "not compared with the file"
        told = f"{self.neurons} neurons are those of the file on {self.images} images"
        if not self.rounded:
            return told
        return (
            f"{told}, but for {self.rounded} whose sums lie within the file's rounding of their "
            f"thresholds; {self.changed} predictions differ"
        )


def compared(imported: Imported, images: npt.ArrayLike | int, seed: int = 0) -> Agreement:
    """Compare a network with its file.

    Parameters
    ----------
    imported : Imported
    images : array_like or int
        Images as `BinarizedNetwork.images` takes them, or how many to draw.
    seed : int
        Of the drawing.

    Returns
    -------
    Agreement
    """
    network = imported.network
    if isinstance(images, int):
        count = read_whole(images, "check", low=0)
        levels = sought_images(network, count, np.random.default_rng(seed))
    else:
        levels = network.levels_of(images)
    names = [name for name, tensor in imported.signs.items() if _is_kept(imported, tensor)]
    neurons = sum(len(imported.signs[name].elements) for name in names)
    rounded = changed = 0
    for at in range(0, len(levels), AT_ONCE):
        some = levels[at : at + AT_ONCE]
        more, others, wrong = _compare(imported, some, names, at)
        rounded, changed = rounded + more, changed + others
        if wrong:
            return Agreement(len(levels), neurons, rounded, changed, wrong)
    return Agreement(len(levels), neurons, rounded, changed)


def _is_kept(imported: Imported, tensor: Tensor) -> bool:
    """Whether the network has all its neurons: not if no output needs them."""
    places = imported.layers.places()
    return all(isinstance(part, Block) and part in places for part in tensor.elements.sums.base)


def _compare(
    imported: Imported, levels: FloatArray, names: list[str], start: int
) -> tuple[int, int, str]:
    """Neurons within rounding, predictions that differ, and what is wrong, of some images."""
    network = imported.network
    files = evaluated(imported, imported.file_values_of_levels(levels), names)
    output = files.pop()
    activations = [levels, *network.activations_of_levels(levels)]
    agrees = np.ones(len(levels), dtype=bool)
    rounded = 0
    ordered = sorted(zip(names, files, strict=True), key=lambda p: _depth(imported.signs[p[0]]))
    for name, file in ordered:
        tensor = imported.signs[name]
        differs = _differs(imported, tensor, activations, file) & agrees[:, None]
        if not differs.any():
            continue
        explained = _within_rounding(imported, tensor, activations)
        if (differs & ~explained).any():
            image, element = np.argwhere(differs & ~explained)[0].tolist()
            return rounded, 0, _message(imported, name, image + start, element, file[image])
        rounded += int(differs.sum())
        agrees &= ~differs.any(axis=1)
    logits = network.logits_of_levels(levels)
    wrong = _wrong_output(imported, logits, output, agrees, start)
    changed = int((logits.argmax(axis=1) != output.argmax(axis=1))[~agrees].sum())
    return rounded, changed, wrong


def _depth(tensor: Tensor) -> int:
    return max(part.depth for part in tensor.elements.sums.base)


def _message(imported: Imported, name: str, image: int, element: int, file: Array) -> str:
    place = np.unravel_index(element, imported.signs[name].shape)[1:]
    where = ", ".join(str(int(part)) for part in place)
    return (
        f"{name!r}[{where}] is {float(file.ravel()[element]):g} in the file for image {image} of "
        "the comparison, and the network that was read gives another value: give the file and "
        "this line to the authors"
    )


def _differs(
    imported: Imported, tensor: Tensor, activations: list[FloatArray], file: Array
) -> Array:
    """Which elements the file has otherwise, shape (images, elements)."""
    elements, parts = _affine(tensor), _of_base(imported, tensor, activations)
    values = np.broadcast_to(elements.offset, (len(parts), len(elements))).copy()
    least = np.full(len(elements), np.inf)
    for term in elements.terms:
        values += term.scale * parts[:, term.row]
        size = np.abs(term.scale)
        least = np.where(size > 0, np.minimum(least, size), least)
    found = np.asarray(file, dtype=np.float64).reshape(values.shape)
    return np.asarray(np.abs(found - values) > np.minimum(least, 1e30) / 2.0)


def _affine(tensor: Tensor) -> Any:
    return tensor.gathered().elements


def _of_base(imported: Imported, tensor: Tensor, of_layers: list[Array]) -> Array:
    """Numbers of a tensor's base, from those of the layers."""
    places = imported.layers.places()
    parts = []
    for block in tensor.elements.sums.base:
        assert isinstance(block, Block)
        number, neurons = places[block]
        parts.append(of_layers[number + 1][:, neurons])
    return np.concatenate(parts, axis=1)


def _within_rounding(imported: Imported, tensor: Tensor, activations: list[FloatArray]) -> Array:
    """Which elements may differ, as some neuron of theirs lies on its bound, or nearly."""
    elements = _affine(tensor)
    near = [
        _near(imported, block, activations)
        for block in elements.sums.base
        if isinstance(block, Block)
    ]
    every = np.concatenate(near, axis=1)
    found = np.zeros((len(every), len(elements)), dtype=bool)
    for term in elements.terms:
        found |= every[:, term.row] & (term.scale != 0)
    return found


def _near(imported: Imported, block: Any, activations: list[FloatArray]) -> Array:
    """Neurons whose sums are within the file's rounding of their bounds, shape (images, size)."""
    layer = block.layer
    inputs = np.concatenate(
        [_inputs_of(imported, part, activations) for part in block.base], axis=1
    )
    if block.is_pooling:  # it rounds nothing of its own
        below = _near(imported, block.base[0], activations).astype(np.float64)
        return np.asarray(layer.spread(below) > 0)
    sums = layer.pre_activation(inputs)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(sums - block.bound) <= _rounding(imported, layer, block))


def _inputs_of(imported: Imported, part: Any, activations: list[FloatArray]) -> FloatArray:
    if isinstance(part, Pixels):
        return activations[0]
    number, neurons = imported.layers.places()[part]
    found: FloatArray = activations[number + 1][:, neurons]
    return found


def _rounding(imported: Imported, layer: HiddenLayer, block: Block) -> FloatArray:
    """The most that sums in the file's precision can be off, each neuron's in its own units."""
    kind = imported.about.dtype if imported.about.dtype.kind == "f" else np.dtype(np.float32)
    unit = float(np.finfo(kind).eps) / 2.0
    size = layer.spread(np.ones(layer.shape[1]))
    terms = _most_terms(layer)
    largest = 1.0
    if isinstance(block.base[0], Pixels):
        low, high = (float(limit) for limit in imported.limits)
        largest = imported.network.levels * max(abs(low), abs(high)) / (high - low)
    bound = np.where(np.isfinite(block.bound), np.abs(block.bound), 0.0)
    return np.asarray((terms + OPERATIONS) * unit * (size * largest + bound), dtype=np.float64)


def _most_terms(layer: HiddenLayer) -> int:
    """An upper bound on how many inputs a neuron has."""
    if layer.convolution is not None:
        return int(layer.convolution.kernel[0].size)
    if isinstance(layer.weight, np.ndarray):
        return layer.shape[1]
    return int(np.diff(layer.weight.indptr).max())


def _wrong_output(
    imported: Imported, logits: FloatArray, output: FloatArray, agrees: Array, start: int
) -> str:
    """What is wrong with the logits of images whose neurons agree."""
    head = imported.network.output
    size = np.abs(head.scale) * np.abs(head.weight).sum(axis=1) + np.abs(head.bias)
    allowed = 1e-5 * float(size.max()) + 1e-30
    if imported.softmax:
        logits = np.exp(logits - logits.max(axis=1, keepdims=True))
        logits /= logits.sum(axis=1, keepdims=True)
        if (output < 0).any():  # a LogSoftmax
            output = np.exp(output)
        allowed = 1e-4
    off = np.abs(logits - output).max(axis=1) * agrees
    if not (off > allowed).any():
        return ""
    image = int(np.argmax(off))
    return (
        f"the output differs by {off[image]:.3g} for image {image + start} of the comparison, "
        "whose neurons agree: give the file and this line to the authors"
    )


def evaluated(imported: Imported, values: Array, names: list[str]) -> list[Array]:
    """Tensors of the file by name, and its output last, for inputs of shape (batch, *shape).

    By onnxruntime, which is told what the operators of QONNX are; or by what the reader names.
    """
    if imported.evaluate is not None:
        return [part.astype(np.float64) for part in imported.evaluate(values, names)]
    run = _runner(imported, names)
    size = imported.about.batch or len(values)
    found = [run(part) for part in _groups(imported, values, size)]
    joined = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return [part[: len(values)].reshape(len(values), -1).astype(np.float64) for part in joined]


def _groups(imported: Imported, values: Array, size: int) -> Iterator[Array]:
    """Batches of a fixed size, the last one filled up."""
    if not imported.about.has_batch:
        yield from values
        return
    for at in range(0, len(values), size):
        part = values[at : at + size]
        short = size - len(part)
        yield np.concatenate([part, np.repeat(part[:1], short, axis=0)]) if short else part


def _runner(imported: Imported, names: list[str]) -> Any:
    import onnx

    model = with_custom(imported.model)
    last = model.graph.output[0].name
    for name in names:
        if name != last:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    wanted, feed = [*names, last], imported.about.name
    needs("onnxruntime", "comparing a network with its file")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda part: _batched(imported, session.run(wanted, {feed: part}))


def _batched(imported: Imported, results: list[Array]) -> list[Array]:
    return results if imported.about.has_batch else [np.asarray(part)[None] for part in results]
