"""A network as it is read: values by name, signs that become neurons, and the output."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.naming import short
from bnnopt.exchange.neurons import materialized
from bnnopt.exchange.operators import OPERATORS, Final, Node
from bnnopt.exchange.tensor import SINGLE, Tensor

__all__ = ["LINEAR", "Building", "Walk"]

LINEAR = frozenset(
    ["MatMul", "Gemm", "Conv", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "Pad"]
)
"""Operators whose input becomes neurons where it takes a few values; so do those of several."""

BEHIND = frozenset(
    ["Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"]
)
"""Operators that may follow a Softmax."""

TYPED = frozenset(["Cast", "CastLike", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Where"])
"""Operators that give another type than they take."""

REAL = frozenset(["AveragePool", "GlobalAveragePool", "ReduceMean"])
"""Operators that would round whole numbers."""

MOST_WORK = 2**36
"""Of about a nanosecond: a minute or so."""

ELEMENT = 64
"""What an element of a tensor takes of that."""


@dataclass
class Walk:
    """What came of it.

    Parameters
    ----------
    output : Tensor
        The logits, over the base of the last neurons.
    softmax : bool
        Whether a Softmax or LogSoftmax was left out at the end.
    notes : list of str
    signs : dict of str to Tensor
        The tensors that became neurons, by the file's names.
    precision : dtype
        The coarsest in which the file has real numbers before a sign.
    logits : str
        What the file calls them.
    """

    output: Tensor
    softmax: bool
    notes: list[str]
    signs: dict[str, Tensor]
    precision: np.dtype[Any]
    logits: str


class Building:
    """What is known while a network is read, operator by operator.

    Parameters
    ----------
    uses : Counter of str
        How many operators take each value that has a name.
    batch : int or None
        The batch's size that the file was written for, if it is fixed.
    has_batch : bool
        Whether the file's first axis is that of the batch, of which one image is read.
    is_typed : bool
        Whether whole numbers and truth values are computed as such, and not as real ones.
    """

    def __init__(
        self,
        uses: Counter[str],
        batch: int | None = None,
        has_batch: bool = False,
        is_typed: bool = False,
    ) -> None:
        self.values: dict[str, Any] = {}
        self.notes: list[str] = []
        self._uses, self._batch, self._has_batch = uses, batch, has_batch
        self._names: WeakKeyDictionary[Tensor, str] = WeakKeyDictionary()
        self._made: WeakKeyDictionary[Tensor, Tensor] = WeakKeyDictionary()
        self._signs: dict[str, Tensor] = {}
        self._is_typed = is_typed
        self._kinds = [SINGLE]
        self._logits = ""
        self._work = 0

    def spend(self, work: int) -> None:
        """Refuse what takes more than `MOST_WORK` all together."""
        self._work += work
        if self._work > MOST_WORK:
            raise NetworkFormatError("the file takes too much work up to here: it is too large")

    def put(self, name: str, value: Any) -> None:
        """Name a value; one of few values that several operators take becomes neurons at once."""
        if isinstance(value, Tensor):
            self.spend(ELEMENT * value.pick.size)
            if value.kind is None and not value.is_stepped:
                self._kinds.append(value.precision)
            self._names.setdefault(value, name)
            if value.is_stepped and self._uses[name] > 1:
                value = self.neurons(value)
        self.values[name] = value

    def neurons(self, tensor: Tensor, where: str = "") -> Tensor:
        """A tensor of few values over the neurons that decide them, made once."""
        if not tensor.is_stepped:
            return tensor
        if tensor not in self._made:
            name = self._names.get(tensor, where)
            self._made[tensor] = materialized(tensor, name)
            if tensor in self._names:
                self._signs[name] = self._made[tensor]
        return self._made[tensor]

    def noter(self, where: str) -> Callable[[str], None]:
        """What takes a note about an operator."""
        return lambda text: self.notes.append(f"{where}: {text}")

    def applied(
        self,
        kind: str,
        name: str,
        inputs: Sequence[Any],
        attributes: dict[str, Any],
        *,
        opset: int = 20,
        outputs: int = 1,
    ) -> Any:
        """What one of `OPERATORS` makes of tensors and constants.

        Parameters
        ----------
        kind : str
            In ONNX's names.
        name : str
            What to call it in notes.
        inputs : sequence of Tensor, Final, array or None
        attributes : dict
            ONNX's.
        opset, outputs : int
        """
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        if kind not in BEHIND and any(isinstance(value, Final) for value in inputs):
            raise NetworkFormatError("it follows a Softmax, which must be last")
        if kind in LINEAR or (len(tensors) > 1 and not _are_parts_of_one(kind, tensors)):
            inputs = [self.neurons(v, name) if isinstance(v, Tensor) else v for v in inputs]
        note = self.noter(name)
        about = Node(
            kind, opset, list(inputs), attributes, self._batch, self._has_batch, note, outputs
        )
        result = OPERATORS[kind](about)
        if isinstance(result, Final) and tensors:
            self._logits = self._names.get(tensors[0], "")
        if isinstance(result, Tensor):
            type_ = self._kind(kind, tensors, result)
            return result if result.kind == type_ else replace(result, kind=type_)
        return result

    def _kind(self, operator: str, tensors: list[Tensor], result: Tensor) -> Any:
        """The type of what an operator gives, if it is not real."""
        if not self._is_typed:
            return None
        if tensors[0].kind is None or operator in TYPED:
            return result.kind
        if operator in REAL:
            raise NetworkFormatError(f"it takes the mean of {tensors[0].kind}: cast them before")
        return tensors[0].kind

    def ended(self, name: str) -> Walk:
        """The logits, from the value that is the output."""
        value = self.values.get(name)
        is_final = isinstance(value, Final)
        tensor = value.tensor if isinstance(value, Final) else value
        if not isinstance(tensor, Tensor):
            raise NetworkFormatError("its output does not depend on the image")
        if math.prod(tensor.shape) != max(tensor.shape, default=0):
            raise NetworkFormatError(f"its output has the shape {tensor.shape}: one a class fits")
        try:
            output = self.neurons(tensor, name).affine()
        except NetworkFormatError as error:
            raise NetworkFormatError(f"output {short(name)} does not fit: {error}") from None
        notes = list(dict.fromkeys(self.notes))
        coarsest = max(self._kinds[1:] or self._kinds, key=lambda kind: float(np.finfo(kind).eps))
        return Walk(output, is_final, notes, self._signs, coarsest, self._logits or name)


def _are_parts_of_one(kind: str, tensors: list[Tensor]) -> bool:
    """Whether parts of one tensor are put together again, which need not become neurons."""
    first = tensors[0].elements
    return kind == "Concat" and all(t.elements is first and not t.is_pooled for t in tensors)
