"""A network as it is read: values by name, signs that become neurons, and the output.

What readers make of a file is bounded here: the constants that are held at a time, and the work.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from bnnopt.errors import NetworkFormatError
from bnnopt.exchange.content import short
from bnnopt.exchange.image import FileInput
from bnnopt.exchange.traced.neurons import materialized
from bnnopt.exchange.traced.operators import OPERATORS, Final, Node
from bnnopt.exchange.traced.tensor import SINGLE, Tensor

__all__ = ["LINEAR", "Building", "Walk"]

MOST_HELD = 2**29
"""Bytes of constants that are still needed."""

MOST_WORK = 2**36
"""Of about a nanosecond: a minute or so."""

ELEMENT = 64
"""What an element of a tensor takes of that."""

LINEAR = frozenset(
    ["MatMul", "Gemm", "Conv", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceSum", "Pad"]
)
"""Operators whose input becomes neurons where it takes a few values; so do those of several."""

BEHIND = frozenset(
    ["Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"]
)
"""Operators that may follow a Softmax."""


@dataclass
class Walk:
    """What came of it.

    Parameters
    ----------
    output : Tensor
        The logits, over the base of the last neurons.
    logits : str
        What the file calls them.
    softmax : bool
        Whether a Softmax or LogSoftmax was left out at the end.
    notes : list of str
    signs : dict of str to Tensor
        The tensors that became neurons, by the file's names.
    precision : dtype
        The coarsest in which the file has real numbers before a sign.
    """

    output: Tensor
    logits: str
    softmax: bool
    notes: list[str]
    signs: dict[str, Tensor]
    precision: np.dtype[Any]


class Building:
    """What is known while a network is read, operator by operator.

    Parameters
    ----------
    about : FileInput
        What the file takes.
    uses : Counter of str
        How many operators take each value that has a name, the output's one more: a value is
        let go behind the last of them.
    shared : collection of str or None
        Values that become neurons at once where they take a few values; those of several uses if
        that is None.
    """

    def __init__(
        self, about: FileInput, uses: Counter[str], shared: Collection[str] | None = None
    ) -> None:
        self.values: dict[str, Any] = {}
        self.notes: list[str] = []
        self._about, self._uses = about, Counter(uses)
        self._shared = {n for n, count in uses.items() if count > 1} if shared is None else shared
        self._names: WeakKeyDictionary[Tensor, str] = WeakKeyDictionary()
        self._made: WeakKeyDictionary[Tensor, Tensor] = WeakKeyDictionary()
        self._signs: dict[str, Tensor] = {}
        self._kinds: set[np.dtype[Any]] = set()
        self._logits = ""
        self._held = self._work = 0

    def put(self, name: str, value: Any) -> None:
        """Name a value, and keep it if an operator takes it; one of no name is counted only.

        Raises
        ------
        NetworkFormatError
            If that is too much work, or too many constants are held.
        """
        if isinstance(value, Tensor):
            self.spend(ELEMENT * value.pick.size)
            if name:
                self._names.setdefault(value, name)
            if value.is_stepped and name in self._shared:
                value = self.neurons(value)
            if value.precision.kind == "f" and not value.is_stepped:
                self._kinds.add(value.precision)
        if not self._uses[name]:
            return
        self.values[name] = value
        self._held += _bytes(value)
        if self._held > MOST_HELD:
            raise NetworkFormatError(f"constants take {self._held} bytes: {MOST_HELD} fit")

    def spend(self, work: int) -> None:
        """Count work, of about a nanosecond each."""
        self._work += work
        if self._work > MOST_WORK:
            raise NetworkFormatError("the file takes too much work up to here: it is too large")

    def used(self, names: Iterable[str]) -> None:
        """Let go what an operator was the last one to take."""
        for name in names:
            self._uses[name] -= 1
            if not self._uses[name]:
                self._held -= _bytes(self.values.pop(name, None))

    def is_used(self, name: str) -> bool:
        """Whether some operator, or the output, takes a value still."""
        return self._uses[name] > 0

    def neurons(self, tensor: Tensor, where: str = "") -> Tensor:
        """A tensor of few values over the neurons that decide them, made once."""
        if not tensor.is_stepped:
            return tensor
        if tensor not in self._made:
            name = self._names.get(tensor)
            made = materialized(tensor, where if name is None else name)
            self._made[tensor] = made
            if name is not None:
                self._signs[name] = made
                self._names[made] = name
        return self._made[tensor]

    def noter(self, where: str) -> Callable[[str], None]:
        """What takes a note about an operator."""
        return lambda text: self.notes.append(f"{where}: {text}")

    def applied(
        self,
        kind: str,
        where: str,
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
        where : str
            What to call it in notes.
        inputs : sequence of Tensor, Final, array or None
        attributes : dict
            ONNX's; the type of a Cast is one of numpy's.
        opset, outputs : int
            Of ONNX's operators, and how many outputs are used.
        """
        if kind not in BEHIND and any(isinstance(value, Final) for value in inputs):
            raise NetworkFormatError("it follows a Softmax, which must be last")
        tensors = [value for value in inputs if isinstance(value, Tensor)]
        if kind in LINEAR or (len(tensors) > 1 and not _are_parts_of_one(kind, tensors)):
            inputs = [self.neurons(v, where) if isinstance(v, Tensor) else v for v in inputs]
        note = self.noter(where)
        about = Node(kind, opset, list(inputs), attributes, self._about, note, outputs)
        result = OPERATORS[kind](about)
        if isinstance(result, Final) and not self._logits:
            self._logits = self._names.get(tensors[0], "")
        return result

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
        coarsest = max(self._kinds, key=lambda kind: float(np.finfo(kind).eps), default=SINGLE)
        notes = list(dict.fromkeys(self.notes))
        return Walk(output, self._logits or name, is_final, notes, self._signs, coarsest)


def _bytes(value: Any) -> int:
    return value.nbytes if isinstance(value, np.ndarray) else 0


def _are_parts_of_one(kind: str, tensors: list[Tensor]) -> bool:
    """Whether parts of one tensor are put together again, which need not become neurons."""
    return kind == "Concat" and all(
        tensor.elements is tensors[0].elements and not tensor.is_pooled for tensor in tensors
    )
