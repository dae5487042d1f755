"""Tensors of a network as it is read: what every element is, as a function of pixels or signs.

An element is ``offset + sum of scale * row @ base``, where the base is the image's levels or the
activations of neurons that are known already, and the rows hold whole numbers; then a chain of
functions of one number; then, behind a sign, one of a few values. Max pooling waits for the sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.traced.scalar import CONTINUOUS, Affine, Function, Steps
from bnnopt.network import HiddenLayer
from bnnopt.network.convolution import Convolution
from bnnopt.network.weights import LinearMap

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "SINGLE",
    "Applied",
    "Base",
    "Block",
    "Elements",
    "Pixels",
    "Sums",
    "Tensor",
    "Term",
    "check_count",
]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MOST_ELEMENTS = 2**23
"""Of a tensor."""

MOST_LINKS = 200
"""Functions between a sum and its sign."""

SINGLE = np.dtype(np.float32)

INFINITE = frozenset(["clip"])
"""Functions whose constants may be infinite."""

WHOLE = frozenset(["add", "multiply"])
"""Functions of whole numbers that are the same as of real ones."""


@dataclass(frozen=True, eq=False)
class Pixels:
    """The image: levels, of which the file sees ``low + unit * level``."""

    shape: tuple[int, ...]
    levels: int
    low: Fraction
    unit: Fraction

    depth = 0

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)


@dataclass(frozen=True, eq=False)
class Block:
    """Neurons side by side.

    Parameters
    ----------
    layer : HiddenLayer
        Its inputs are those of `base`, one part after the other.
    base : tuple of Pixels or Block
    name : str
        What the file calls the tensor that they are for.
    bound : array of float64, shape (size,)
        Each one's bound on its sum as the file has it, before it became whole; infinite for a
        constant.
    slack : array of float64, shape (size,)
        How far each one's weights may be from those of the file, since they became whole.
    is_pooling : bool
        Whether they take the maximum or minimum of signs.
    """

    layer: HiddenLayer
    base: Base
    name: str
    bound: FloatArray
    slack: FloatArray
    is_pooling: bool = False

    @property
    def size(self) -> int:
        """Number of neurons."""
        return self.layer.shape[0]

    @property
    def depth(self) -> int:
        """Number of layers up to this one."""
        return 1 + max(part.depth for part in self.base)


Base = tuple[Pixels | Block, ...]


@dataclass(frozen=True, eq=False)
class Sums:
    """Whole sums of a base: rows of a matrix, or the base's own numbers if that is None.

    Rows of real weights, which only a head may have, are `real` instead. Those that became whole
    are `off` by so much: the most that a weight of each sum was changed by.
    """

    base: Base
    linear: LinearMap | None = None
    real: csr_array | None = None
    off: FloatArray | None = None

    @property
    def inputs(self) -> int:
        """Numbers of the base."""
        return sum(part.size for part in self.base)

    @property
    def count(self) -> int:
        """Number of sums."""
        if self.real is not None:
            return int(self.real.shape[0])
        return self.linear.shape[0] if self.linear is not None else self.inputs

    @property
    def is_plain(self) -> bool:
        """Whether these are the base's own numbers."""
        return self.linear is None and self.real is None

    @property
    def pixels(self) -> Pixels | None:
        """The image, if these are sums of its levels."""
        found = [part for part in self.base if isinstance(part, Pixels)]
        if found and len(self.base) > 1:
            raise NetworkFormatError("it takes pixels and signs together")
        return found[0] if found else None


@dataclass(frozen=True, eq=False)
class Term:
    """What one sum adds to each element: ``scale * sums[row]``, shape (count,) each."""

    row: IntArray
    scale: FloatArray

    def take(self, index: IntArray) -> Term:
        """Of some elements."""
        return Term(self.row[index], self.scale[index])


@dataclass(frozen=True, eq=False)
class Applied:
    """A function and its constants, one of each an element."""

    function: Function
    constants: tuple[Array, ...]

    def take(self, index: IntArray) -> Applied:
        """Of some elements."""
        return Applied(self.function, tuple(c[index] for c in self.constants))


@dataclass(frozen=True, eq=False)
class Elements:
    """Functions of sums, in a row.

    Parameters
    ----------
    sums : Sums
    terms : tuple of Term
    offset : array of float64, shape (count,)
    chain : tuple of Applied
        Continuous functions of that, in order.
    pooled : int or None
        How many of the chain come before max pooling; None without.
    steps : Steps or None
        The jumps behind the chain.
    at : array, shape (count,)
        Where they are.
    outcomes : tuple of arrays, shape (count,) each
        Values below, between and above the jumps, in the file's type.
    precision : dtype
        In which the file computes what comes before the jumps.
    rises : array of bool, shape (count,)
        Whether pooling takes the highest number of jumps, or else the lowest.
    """

    sums: Sums
    terms: tuple[Term, ...]
    offset: FloatArray
    chain: tuple[Applied, ...] = ()
    pooled: int | None = None
    steps: Steps | None = None
    at: Array = field(default_factory=lambda: np.zeros(0))
    outcomes: tuple[Array, ...] = ()
    precision: np.dtype[Any] = SINGLE
    rises: Array | None = None

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, index: IntArray) -> Elements:
        """Some elements, in the order of their numbers."""
        return replace(
            self,
            terms=tuple(term.take(index) for term in self.terms),
            offset=self.offset[index],
            chain=tuple(link.take(index) for link in self.chain),
            at=self.at[index] if self.steps else self.at,
            outcomes=tuple(values[index] for values in self.outcomes),
            rises=None if self.rises is None else self.rises[index],
        )

    def applied(self, function: Function, constants: tuple[Array, ...]) -> Elements:
        """Behind one function more."""
        if self.steps is None:
            if len(self.chain) >= MOST_LINKS:
                raise NetworkFormatError(f"{MOST_LINKS} functions come before it without a sign")
            return replace(self, chain=(*self.chain, Applied(function, constants)))
        outcomes = tuple(function.values(values, *constants) for values in self.outcomes)
        return replace(self, outcomes=outcomes)

    def stepped(
        self, steps: Steps, at: Array, precision: np.dtype[Any], kind: np.dtype[Any]
    ) -> Elements:
        """Behind a sign or a comparison with numbers `at`, whose values are of a type."""
        if self.steps is not None:
            outcomes = tuple(steps.values(values, at).astype(kind) for values in self.outcomes)
            return replace(self, outcomes=outcomes)
        values = tuple(np.full(len(self), v, dtype=kind) for v in steps.outcomes)
        rises = None if self.pooled is None else self._direction(self.pooled) >= 0
        return replace(self, steps=steps, at=at, outcomes=values, precision=precision, rises=rises)

    def _direction(self, start: int) -> Array:
        """Of the chain from a link on."""
        found = np.ones(len(self), dtype=np.int8)
        for link in self.chain[start:]:
            found = found * np.broadcast_to(link.function.direction(*link.constants), found.shape)
        return found

    def pool(self) -> Elements:
        """Before max pooling; what was pooled before must have risen since."""
        if self.steps is None:
            if self.pooled is not None and (self._direction(self.pooled) < 0).any():
                raise NetworkFormatError("it takes a maximum of minima, without a sign between")
            return replace(self, pooled=len(self.chain) if self.pooled is None else self.pooled)
        return replace(self, rises=self.outcomes[-1] >= self.outcomes[0])

    def affine(self) -> Elements:
        """Without a chain, if all of it is affine and nothing waits for a sign."""
        if self.pooled is not None:
            raise NetworkFormatError("it sees the maximum of real numbers: a sign must follow")
        offset, gain = self.offset, np.ones(len(self))
        for link in self.chain:
            if not isinstance(link.function, Affine):
                raise NetworkFormatError(
                    f"it sees what {link.function.name} gives, real numbers and no signs"
                )
            constants = (c.astype(np.float64) for c in link.constants)
            factor, shift = link.function.affine(*constants)
            offset, gain = offset * factor + shift, gain * factor
        if not (np.isfinite(offset).all() and np.isfinite(gain).all()):
            raise NetworkFormatError("it sees numbers that are not finite")
        terms = tuple(Term(term.row, term.scale * gain) for term in self.terms)
        return Elements(self.sums, terms, offset)


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of one image.

    Parameters
    ----------
    elements : Elements
    pick : array of int64, shape (*shape, k)
        Which elements each place is: one, or the k of its window; -1 where a window is padded.
    precision : dtype
        The type of its values in the file, float32 in most.
    windows : Convolution or None
        The sums of the windows, if the elements lie in the order channel, row, column.
    place : array of int64, shape `shape`, or None
        Then, the number of each place's window.
    """

    elements: Elements
    pick: IntArray
    precision: np.dtype[Any] = SINGLE
    windows: Convolution | None = None
    place: IntArray | None = None

    def __post_init__(self) -> None:
        check_count(self.pick.size)

    @property
    def shape(self) -> tuple[int, ...]:
        """With the batch's axis of one."""
        return tuple(int(side) for side in self.pick.shape[:-1])

    @property
    def is_pooled(self) -> bool:
        """Whether max pooling waits for a sign, or for the neurons."""
        return self.elements.pooled is not None or self.elements.rises is not None

    @property
    def is_stepped(self) -> bool:
        """Whether its elements take a few values only."""
        return self.elements.steps is not None

    def moved(self, move: Callable[[IntArray], Array]) -> Tensor:
        """With its places moved, chosen or repeated, as numpy does it to an array of its shape."""
        parts = [np.asarray(move(self.pick[..., k])) for k in range(self.pick.shape[-1])]
        check_count(parts[0].size * len(parts))
        place = None if self.place is None else np.asarray(move(self.place))
        return replace(self, pick=np.stack(parts, axis=-1), place=place)

    def reshaped(self, shape: Sequence[int]) -> Tensor:
        """In another shape of as many places."""
        return self.moved(lambda places: places.reshape(shape))

    def apply(self, name: str, *constants: Any, keeps_shape: bool = False) -> Tensor:
        """Behind one of `CONTINUOUS`; its constants may not widen the tensor if that is asked."""
        found = [np.asarray(constant) for constant in constants]
        if name not in INFINITE and not all(np.isfinite(array).all() for array in found):
            raise NetworkFormatError("its numbers are not all finite")
        if any(np.isnan(array).any() for array in found):
            raise NetworkFormatError("its limits are no numbers")
        if self.precision.kind != "f" and not (self.is_stepped and name in WHOLE):
            raise NetworkFormatError(
                f"it computes in {self.precision}: cast to real numbers before"
            )
        tensor, each = self._broadcast(found)
        if keeps_shape and tensor.shape != self.shape:
            raise NetworkFormatError(f"its numbers do not fit a tensor of shape {self.shape}")
        return replace(tensor, elements=tensor.elements.applied(CONTINUOUS[name], each))

    def step(self, steps: Steps, at: Any = 0, kind: Any = None) -> Tensor:
        """Behind a sign, or a comparison with numbers `at`; its values are of a type."""
        kind = self.precision if kind is None else np.dtype(kind)
        if not np.isfinite(at).all():
            raise NetworkFormatError("it compares with what is not finite")
        tensor, (found,) = self._broadcast((np.asarray(at),))
        precision = self.precision if self.precision.kind == "f" else np.dtype(np.float64)
        elements = tensor.elements.stepped(steps, found, precision, kind)
        return replace(tensor, elements=elements, precision=kind)

    def mapped(self, values: Callable[[Array], Array]) -> Tensor:
        """With other values behind its steps."""
        if not self.is_stepped:
            raise NetworkFormatError("it takes real numbers for true and false")
        outcomes = tuple(np.asarray(values(v)) for v in self.elements.outcomes)
        elements = replace(self.elements, outcomes=outcomes)
        return replace(self, elements=elements, precision=outcomes[0].dtype)

    def chosen(self, yes: Array, no: Array) -> Tensor:
        """One number where an element is true, not 0, and another elsewhere."""
        if not self.is_stepped:
            raise NetworkFormatError("it takes real numbers for true and false")
        kind = np.result_type(yes, no)
        tensor, (above, below) = self._broadcast((yes, no))
        outcomes = tuple(
            np.where(values != 0, above, below).astype(kind) for values in tensor.elements.outcomes
        )
        elements = replace(tensor.elements, outcomes=outcomes)
        return replace(tensor, elements=elements, precision=kind)

    def _broadcast(self, constants: Sequence[Array]) -> tuple[Tensor, tuple[Array, ...]]:
        """Of the shape of all together; and the constants, one of each an element."""
        shape = np.broadcast_shapes(self.shape, *(array.shape for array in constants))
        tensor = self
        if shape != self.shape:
            tensor = self.moved(lambda places: np.broadcast_to(places, shape))
        if not tensor.is_pooled and tensor.pick.size != len(np.unique(tensor.pick)):
            tensor = tensor.gathered()
        return tensor, tuple(tensor._each(array) for array in constants)

    def _each(self, constant: Array) -> Array:
        """One number an element, from numbers of the places."""
        count = len(self.elements)
        if constant.size == 1:
            return np.broadcast_to(constant.ravel(), (count,))
        wanted = np.broadcast_to(constant, self.shape)[..., None]
        each = np.full(
            count + 1, constant.flat[0]
        )  # also of padding, which is last, and the unused
        each[self.pick] = wanted
        if not np.all((each[self.pick] == wanted) | (self.pick < 0)):
            raise NetworkFormatError(
                "behind max pooling, its numbers differ within what overlapping windows share"
            )
        return each[:count]

    def gathered(self) -> Tensor:
        """With one element of its own for each place, in order; of a tensor that is not pooled."""
        index = self.pick[..., 0]
        elements = self.elements.take(index.ravel())
        return replace(self, elements=elements, pick=np.arange(index.size).reshape(*index.shape, 1))

    def affine(self) -> Tensor:
        """Gathered, without a chain: offsets and terms only."""
        if self.is_pooled:
            raise NetworkFormatError("it sees the maximum of real numbers: a sign must follow")
        return replace(self.gathered(), elements=self.gathered().elements.affine())


def check_count(count: int, what: str = "it") -> None:
    """Refuse what would be too large, before it is made."""
    if count > MOST_ELEMENTS:
        raise NetworkFormatError(f"{what} makes {count} numbers: {MOST_ELEMENTS} fit")
