"""Whether a network that was read gives what its file gives: neuron by neuron, by another program.

Sums of real numbers are rounded in the file's precision and not here, and real weights of pixels
are put on a grid here and not there. So a neuron may differ whose sum lies within that of its
bound; such ones are counted, any other is an error. Layers behind it are compared all the same: on
what the file has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.arguments import read_whole
from bnnopt.counts import counted
from bnnopt.errors import ImportDisagreesError
from bnnopt.exchange.comparison.evaluation import evaluated
from bnnopt.exchange.comparison.rounding import SLACK, Rounding, unit_of
from bnnopt.exchange.comparison.sought import sought_images
from bnnopt.exchange.content import short
from bnnopt.exchange.imported import Imported
from bnnopt.exchange.traced.tensor import Block, Elements, Tensor, Term

__all__ = ["Agreement", "compared"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LOGITS = 2.0**-45
"""Of the largest logit: more than what the network's own grid takes."""

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
        Neurons, of all images, that differ within that.
    changed : int
        Images whose prediction differs because of that, or of the rounding of logits.
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
        neurons = counted(self.neurons, "neuron")
        agree = "is that" if self.neurons == 1 else "are those"
        told = f"{neurons} {agree} of the file on {counted(self.images, 'image')}"
        if not self.rounded:
            return told
        return (
            f"{told}, but for {self.rounded} whose sums lie within rounding of their thresholds; "
            f"predictions that differ: {self.changed}"
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
    levels = _levels(imported, images, seed)
    names = [name for name, tensor in imported.signs.items() if _is_kept(imported, tensor)]
    neurons = sum(len(imported.signs[name].elements) for name in names)
    rounded = changed = 0
    for at in range(0, len(levels), AT_ONCE):
        part = _Part(imported, levels[at : at + AT_ONCE], names, at)
        part.compare()
        rounded, changed = rounded + part.rounded, changed + part.changed
        if part.wrong:
            return Agreement(len(levels), neurons, rounded, changed, part.wrong)
    return Agreement(len(levels), neurons, rounded, changed)


def _levels(imported: Imported, images: npt.ArrayLike | int, seed: int) -> FloatArray:
    network = imported.network
    if isinstance(images, int):
        count = read_whole(images, "check", low=0)
        return sought_images(network, count, np.random.default_rng(seed))
    levels = network.levels_of(images)
    return np.rint(levels) if imported.about.dtype.kind in "iu" else levels


def _is_kept(imported: Imported, tensor: Tensor) -> bool:
    """Whether the network has all its neurons: not if no output needs them."""
    places = imported.layers.places()
    return all(isinstance(part, Block) and part in places for part in tensor.elements.sums.base)


class _Part:
    """Some images: their activations, layer by layer, and what the file has for them.

    Parameters
    ----------
    imported : Imported
    levels : array of float64, shape (batch, n)
    names : list of str
        Tensors of signs to compare.
    start : int
        Number of the first image.
    """

    def __init__(
        self, imported: Imported, levels: FloatArray, names: list[str], start: int
    ) -> None:
        self._imported, self._start, self._names = imported, start, names
        self._levels, self._places = levels, imported.layers.places()
        self._activations: list[FloatArray] = [levels]
        parts = (part for name in names for part in imported.signs[name].elements.sums.base)
        known = {part for part in parts if isinstance(part, Block)}
        self._rounding = Rounding(imported, self._activations, known)
        self._is_followed = np.ones(len(levels), dtype=bool)
        self.rounded = self.changed = 0
        self.wrong = ""

    def compare(self) -> None:
        imported, network = self._imported, self._imported.network
        values = imported.file_values_of_levels(self._levels)
        *files, logits = evaluated(imported, values, [*self._names, imported.logits])
        depth = [_depth(imported.signs[name]) for name in self._names]
        for number, layer in enumerate(network.hidden, 1):
            self._activations.append(layer(self._activations[-1]))
            for at in np.flatnonzero(np.array(depth) == number).tolist():
                self._compare_signs(self._names[at], files[at])
                if self.wrong:
                    return
        self._compare_logits(logits)

    def _compare_signs(self, name: str, file: FloatArray) -> None:
        """Count what rounding explains, and go on with what the file has."""
        tensor = self._imported.signs[name].gathered()
        elements = tensor.elements
        least = _least_scale(elements)
        differs = np.abs(file - self._values(elements)) > least / 2.0
        images, places = np.nonzero(differs & self._is_followed[:, None])
        if not len(images):
            return
        may_differ = self._take_over(elements, file, images, places)
        left = np.abs(file - self._values(elements))[images, places] > least[places] / 2.0
        if (left & ~may_differ).any():
            first = int(np.flatnonzero(left & ~may_differ)[0])
            image, place = int(images[first]), int(places[first])
            self.wrong = _message(name, tensor, image + self._start, place, file[image])
        self._is_followed[images[left]] = False  # a 0 where no neuron says so
        self.rounded += len(images)

    def _values(self, elements: Elements) -> FloatArray:
        """What the network has for a tensor, shape (images, elements)."""
        parts = np.concatenate([self._of(block) for block in elements.sums.base], axis=1)
        values = np.broadcast_to(elements.offset, (len(parts), len(elements))).copy()
        for term in elements.terms:
            values += term.scale * parts[:, term.row]
        return values

    def _of(self, block: Any) -> FloatArray:
        number, neurons = self._places[block]
        return np.asarray(self._activations[number + 1][:, neurons])

    def _take_over(
        self, elements: Elements, file: FloatArray, images: IntArray, places: IntArray
    ) -> Array:
        """Turn neurons that rounding may have turned, where that gives what the file has.

        Returns whether some neuron of each element may differ at all.
        """
        lacking = file[images, places] - self._values(elements)[images, places]
        least = _least_scale(elements)[places]
        neurons = [self._neurons(elements, term, images, places) for term in elements.terms]
        for chosen in range(1, 2 ** len(neurons)):
            some = [one for number, one in enumerate(neurons) if chosen >> number & 1]
            change = sum(-2.0 * one.scale * one.sign for one in some)
            fits = np.abs(lacking - change) <= least / 2.0
            for one in some:
                fits &= one.may_differ & (one.scale != 0)
            for one in some:
                one.turn(images, fits)
            lacking[fits] = np.nan  # done
        return np.asarray(np.any([one.may_differ & (one.scale != 0) for one in neurons], axis=0))

    def _neurons(
        self, elements: Elements, term: Term, images: IntArray, places: IntArray
    ) -> _Neurons:
        rows, base = term.row[places], elements.sums.base
        starts = np.cumsum([0, *(block.size for block in base)])
        part = np.searchsorted(starts, rows, side="right") - 1
        column, may_differ = np.zeros(len(rows), dtype=np.int64), np.zeros(len(rows), dtype=bool)
        sign = np.zeros(len(rows))
        layers = np.zeros(len(rows), dtype=np.int64)
        for number, block in enumerate(base):
            mine = part == number
            layer, neurons = self._places[block]
            column[mine] = neurons.start + rows[mine] - starts[number]
            layers[mine] = layer + 1
            sign[mine] = self._activations[layer + 1][images[mine], column[mine]]
            own = rows[mine] - starts[number]
            may_differ[mine] = self._rounding.may_differ(block, images[mine], own)
        return _Neurons(self._activations, layers, column, sign, term.scale[places], may_differ)

    def _compare_logits(self, file: FloatArray) -> None:
        network = self._imported.network
        logits = network.output(self._activations[-1])
        if file.shape != logits.shape:
            self.wrong = f"the output has {file.shape[1]} numbers in the file, not one a class"
            return
        head = network.output
        size = np.abs(head.scale) * np.abs(head.weight).sum(axis=1) + np.abs(head.bias)
        terms = np.sqrt(head.weight.shape[1] + 16.0)
        unit = SLACK * terms * unit_of(self._imported) + LOGITS
        allowed = unit * float(size.max()) + 1e-30
        off = np.abs(logits - file).max(axis=1) * self._is_followed
        if not (off <= allowed).all():
            image = int(np.argmax(off))
            self.wrong = (
                f"the output differs by {off[image]:.3g} for image {image + self._start} of the "
                "comparison, whose neurons agree: give the file and this line to the authors"
            )
        own = network.logits_of_levels(self._levels)
        self.changed = int((own.argmax(axis=1) != file.argmax(axis=1)).sum())


@dataclass(frozen=True)
class _Neurons:
    """Some neurons of some images, by their layers' activations: one for each of a list."""

    activations: list[FloatArray]
    layer: IntArray
    column: IntArray
    sign: FloatArray
    scale: FloatArray
    may_differ: Array

    def turn(self, images: IntArray, which: Array) -> None:
        for layer in np.unique(self.layer[which]).tolist():
            mine = which & (self.layer == layer)
            self.activations[layer][images[mine], self.column[mine]] = -self.sign[mine]


def _least_scale(elements: Elements) -> FloatArray:
    """The least that a neuron changes each element by half of; where none does, very little."""
    sizes = np.abs([term.scale for term in elements.terms])
    least = np.where(sizes > 0, sizes, np.inf).min(axis=0)
    return np.where(np.isinf(least), 1e-6 * (1.0 + np.abs(elements.offset)), least)


def _depth(tensor: Tensor) -> int:
    return max(part.depth for part in tensor.elements.sums.base)


def _message(name: str, tensor: Tensor, image: int, element: int, file: FloatArray) -> str:
    place = np.unravel_index(element, tensor.shape)[1:]
    where = ", ".join(str(int(part)) for part in place)
    return (
        f"{short(name)}[{where}] is {float(file[element]):g} in the file for image {image} of "
        "the comparison, and the network that was read gives another value: give the file and "
        "this line to the authors"
    )
