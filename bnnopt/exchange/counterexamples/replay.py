"""Points as a file's own program sees them: printed, parsed back and run in its precision."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import InputError
from bnnopt.exchange.counterexamples.questions import Range
from bnnopt.exchange.vnnlib import Case, Property
from bnnopt.network import GRID, BinarizedNetwork

__all__ = ["Replay", "Witness"]

FloatArray = npt.NDArray[np.float64]

DIGITS = Context(prec=60)

KINDS = {"tensor(float)": np.float32, "tensor(double)": np.float64}


@dataclass(frozen=True)
class Witness:
    """A counterexample that the network and its file agree on.

    Parameters
    ----------
    inputs, outputs : tuple of str
        Numbers as they are printed, without exponents.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def text(self, given: Property) -> str:
        """In the form that VNN-COMP wants for the property's version."""
        if given.version == "1.0":
            lines = [
                f"({name}_{index} {number})"
                for name, numbers in (("X", self.inputs), ("Y", self.outputs))
                for index, number in enumerate(numbers)
            ]
            return "(" + "\n".join(lines) + ")"
        parts = []
        for array, numbers in ((given.inputs, self.inputs), (given.outputs, self.outputs)):
            parts.append(f"{array.name} {array.kind} [{','.join(map(str, array.shape))}]")
            parts.extend(numbers)
        return "\n".join(parts)


class Replay:
    """Runs points through the network exactly, and through its file with onnxruntime.

    Parameters
    ----------
    content : bytes
        Of the ONNX file.
    network : BinarizedNetwork
        What was read from it.
    limits : (Fraction, Fraction)
        What the file takes for pixels 0 and 1.
    """

    def __init__(self, content: bytes, network: BinarizedNetwork, limits: Range) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self._network, self._limits = network, limits
        taken = self._session.get_inputs()[0]
        if taken.type not in KINDS:
            raise InputError(
                f"the network's input is a {taken.type}; floats and doubles are served"
            )
        self._kind: Any = KINDS[taken.type]
        self._name = taken.name
        self._shape = [side if isinstance(side, int) and side > 0 else 1 for side in taken.shape]
        self.mismatch = ""

    def witness(self, case: Case, levels: FloatArray) -> Witness | None:
        """A counterexample at the point that levels stand for, or at the whole levels near it.

        Parameters
        ----------
        case : Case
        levels : array of float64, shape (n,)

        Returns
        -------
        Witness or None
            `mismatch` says what was wrong with a point.
        """
        for point in (levels, np.round(levels)):
            inputs = self._printed(case, point)
            if inputs is None:
                continue
            if not self._is_found(case, inputs):
                rounded = "a flip is no counterexample once its numbers are rounded"
                self.mismatch = self.mismatch or rounded
                continue
            outputs = self._run(inputs)
            is_finite = all(map(math.isfinite, outputs))  # not where a box is beyond all floats
            if is_finite and case.holds([Fraction(number) for number in outputs]):
                return Witness(inputs, tuple(_plain(number) for number in outputs))
            self.mismatch = "a point was found at which the file's own arithmetic does not agree"
        return None

    def _printed(self, case: Case, levels: FloatArray) -> tuple[str, ...] | None:
        """Numbers in the box near a point, of the file's precision if there is one."""
        low, high = self._limits
        step = (high - low) / self._network.levels
        values = [low + step * Fraction(level) for level in levels.tolist()]
        printed = tuple(self._numbers(case, values))
        if any(number is None for number in printed):
            self.mismatch = "the box has a side without any number of 60 digits"
            return None
        return printed  # type: ignore[return-value]

    def _numbers(self, case: Case, values: Sequence[Fraction]) -> Iterator[str | None]:
        for low, value, high in zip(case.low, values, case.high, strict=True):
            clipped = min(max(value, low), high)
            with np.errstate(over="ignore"):
                near = self._kind(float(clipped))
                beside = [np.nextafter(near, self._kind(end)) for end in (-np.inf, np.inf)]
            for number in (near, *beside):
                if math.isfinite(number) and low <= Fraction(float(number)) <= high:
                    yield _plain(float(number))
                    break
            else:  # a side thinner than the precision: the number that is meant
                text = format(DIGITS.divide(clipped.numerator, Decimal(clipped.denominator)), "f")
                yield text if low <= Fraction(text) <= high else None

    def _is_found(self, case: Case, inputs: Sequence[str]) -> bool:
        """Whether printed numbers are a counterexample of the network, exactly."""
        values = [Fraction(number) for number in inputs]
        low, high = self._limits
        scale = self._network.levels * int(GRID) / (high - low)
        steps = [round((value - low) * scale) for value in values]
        levels = np.array(steps, dtype=np.float64) / GRID
        logits = self._network.logits_of_levels(levels[None])[0]
        return case.contains(values) and case.holds([Fraction(y) for y in logits.tolist()])

    def _run(self, inputs: Sequence[str]) -> list[float]:
        """What the file makes of printed numbers."""
        with np.errstate(over="ignore"):
            array = np.array([float(number) for number in inputs], dtype=self._kind)
        outputs: Any = self._session.run(None, {self._name: array.reshape(self._shape)})
        return [float(number) for number in np.ravel(outputs[0]).tolist()]


def _plain(number: float) -> str:
    """All digits of a float, without an exponent."""
    return format(Decimal(number), "f")
