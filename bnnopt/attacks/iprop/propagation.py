"""What IProp's loop asks of the piece that turns targets into points."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bnnopt.attacks.iprop.state import State
from bnnopt.attacks.iprop.subsolver import Subsolver
from bnnopt.instance import AttackInstance

__all__ = ["MakePropagation", "Propagation"]


class Propagation(Protocol):
    """Problems (9) and (10), one after the other, and a way on from local optima."""

    def points(self, state: State, target: npt.NDArray[np.int8]) -> npt.NDArray[np.float64]:
        """Levels that may meet targets of the last layer, shape (count, n); often none."""

    def escape(self, state: State, best: State) -> State | None:
        """Where to go on from a local optimum; None ends the search."""


MakePropagation = Callable[
    [AttackInstance, Subsolver, np.random.Generator], AbstractContextManager[Propagation]
]
