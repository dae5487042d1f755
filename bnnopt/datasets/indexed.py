"""Images by index, whatever set they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.counts import counted
from bnnopt.errors import InputError
from bnnopt.notebook import Shown

__all__ = ["Images"]


@dataclass(frozen=True, eq=False, repr=False)
class Images(Shown):
    """Images with labels, or without.

    Parameters
    ----------
    name : str
    images : array, shape (count, ...)
        Integers are levels, floats values in [0, 1].
    labels : array of int, shape (count,), or None
    """

    name: str
    images: npt.NDArray[Any]
    labels: npt.NDArray[Any] | None

    def __repr__(self) -> str:
        sides = "x".join(map(str, self.images.shape[1:]))
        images = f"{counted(len(self), 'image')} of {sides}"
        labels = "" if self.labels is not None else ", without labels"
        return f"{type(self).__name__}({self.name!r}, {images}{labels})"

    def __len__(self) -> int:
        return len(self.images)

    def x(self, index: int | Sequence[int] | slice = slice(None)) -> npt.NDArray[Any]:
        """Images as a network takes them: one for an int, else (count, ...)."""
        return np.asarray(self.images[index])

    def label(self, index: int) -> int | None:
        """The class of an image, if it is known."""
        return None if self.labels is None else int(self.labels[index])

    def check_indices(self, indices: Sequence[int]) -> None:
        """Raise `InputError` unless every index names an image."""
        for index in indices:
            if not 0 <= index < len(self):
                raise InputError(
                    f"image {index} does not exist: {self.name} has images 0 to {len(self) - 1}"
                )
