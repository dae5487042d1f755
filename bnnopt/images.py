"""Images as people have them: numpy, torch, pandas or PIL, whole levels or values in [0, 1].

Floats are values in [0, 1] and whole numbers are levels. An 8-bit image stands for the same levels
in every type: the float32 and float16 nearest to ``k / levels``, and their neighbours, which
``k * (1 / levels)`` gives, are level k exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.errors import InputError

__all__ = ["Images", "as_array", "read_images", "read_mask"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]
Shape = tuple[int, ...]

BITS = {2: np.int16, 4: np.int32, 8: np.int64}
"""Integers as wide as a float: neighbouring floats above 0 are neighbouring integers."""

APART = 8
"""Levels are told apart in a float type if near 1 they are this many of its steps apart."""

BYTE = 2**8 - 1
"""White in an image of PIL."""

ROWS = 128
"""Images read at a time, so that a large batch stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Images:
    """Checked images, as they were given.

    Parameters
    ----------
    pixels : array, shape (batch, n)
        Whole levels if of integers, else values in [0, 1].
    levels : int
        Steps between black and white.
    single : bool
        Whether one image was given rather than a batch.
    """

    pixels: Array
    levels: int
    single: bool

    def values(self) -> FloatArray:
        """Values in [0, 1], shape (batch, n): the float64 nearest to k / levels for level k."""
        if self.pixels.dtype == np.float64:
            return self.pixels
        return self.scaled() / self.levels if self._is_exact else self._by_rows(_nearest_value)

    def scaled(self) -> FloatArray:
        """``levels * x``, shape (batch, n): whole where a pixel is a level, else not rounded."""
        if self.pixels.dtype == bool:
            return self.pixels * float(self.levels)
        if self._is_exact:
            return self.pixels.astype(np.float64)
        return self._by_rows(_scaled)

    def on_grid(self, grid: float) -> FloatArray:
        """`scaled`, rounded to multiples of ``1 / grid``, a power of two."""
        if self._is_exact:
            return self.scaled()
        # Rounding to the grid finds the levels of float64 values, in a fifth of the time.
        fine = self.pixels.dtype == np.float64
        rounded = self.pixels * (self.levels * grid) if fine else self.scaled() * grid
        np.rint(rounded, out=rounded)
        rounded /= grid
        return rounded

    @property
    def _is_exact(self) -> bool:
        return self.pixels.dtype.kind in "iub"

    def _by_rows(self, read: Any) -> FloatArray:
        found = np.empty(self.pixels.shape)
        for at in range(0, len(found), ROWS):
            found[at : at + ROWS] = read(self.pixels[at : at + ROWS], self.levels)
        return found


def _scaled(pixels: Array, levels: int) -> FloatArray:
    scaled = pixels.astype(np.float64) * levels
    whole = np.rint(scaled)
    np.copyto(scaled, whole, where=_are_levels(pixels, whole / levels, levels))
    return scaled


def _nearest_value(pixels: Array, levels: int) -> FloatArray:
    values = pixels.astype(np.float64)
    quotient = np.rint(values * levels) / levels
    np.copyto(values, quotient, where=_are_levels(pixels, quotient, levels))
    return values


def _are_levels(pixels: Array, quotient: FloatArray, levels: int) -> npt.NDArray[np.bool_]:
    """Whether pixels are at most one unit in the last place from the nearest level's quotient."""
    kind = pixels.dtype.newbyteorder("=")
    if levels * APART * float(np.finfo(kind).epsneg) > 1.0:
        return np.zeros(pixels.shape, dtype=bool)
    bits = BITS[kind.itemsize]
    given = np.abs(pixels).view(bits)  # without the sign of -0.0
    near: npt.NDArray[np.bool_] = np.abs(given - quotient.astype(kind).view(bits)) <= 1
    return near


def read_images(x: Any, shape: Shape, levels: int) -> Images:
    """Read one image or a batch.

    Parameters
    ----------
    x : array_like
        Of numbers: an array, nested lists, a tensor, a pandas table, a PIL image, or a list of
        those. Its shape is `shape` or (n,), or that of a batch of those; axes of size one may be
        anywhere, as in (batch, 1, 28, 28) or (28, 28, 1) for (28, 28). A first axis of size one
        before a whole image is a batch of one.
    shape : tuple of int
        Of one image.
    levels : int
        Steps between black and white. Integers are levels 0 to `levels`, floats are values in
        [0, 1], and truth values are 0 and 1.

    Raises
    ------
    InputError
        On another type, shape or value, and on whole numbers 0 and 1 only, of which it is not
        known what they mean.
    """
    array = as_array(x)
    single = _is_single(array.shape, shape, "an image of this network")
    flat = array.reshape(-1, math.prod(shape))
    if flat.size and flat.dtype.kind == "f":
        _check_values(flat, levels)
    elif flat.size and flat.dtype.kind in "iu":
        _check_levels(flat, levels)
    return Images(flat, levels, single)


def read_mask(mask: Any, shape: Shape) -> npt.NDArray[np.bool_]:
    """Read a mask, true or false (or 1 and 0) for each pixel, to an array of shape `shape`.

    Parameters
    ----------
    mask : array_like
        Of the types and shapes that `read_images` takes for one image.
    shape : tuple of int
        Of one image.

    Raises
    ------
    InputError
        If it is not such a mask.
    """
    array = as_array(mask, "a mask")
    if not _is_single(array.shape, shape, "a mask of this network") and len(array) != 1:
        raise InputError(f"a mask is for one image: give shape {shape}, not {array.shape}")
    if not np.all((array == 0) | (array == 1)):
        raise InputError("a mask must hold true or false (1 or 0) for each pixel")
    return array.astype(bool).reshape(shape)


def as_array(x: Any, what: str = "an image") -> Array:
    """An array of truth values, integers or floats of at most 64 bits, copied only if it must be.

    Raises
    ------
    InputError
        If `x`, which a message calls `what`, is no array of numbers.
    """
    if isinstance(x, list | tuple) and any(_is_foreign(part) for part in x):
        x = [_from_library(part, what) for part in x]
    x = _from_library(x, what)
    try:
        array = np.asarray(x)
    except (TypeError, ValueError, RuntimeError) as error:
        cause = "its rows differ in length" if "inhomogeneous" in str(error) else _line(error)
        raise InputError(
            f"{what} must be an array of numbers, and this makes none ({cause}): "
            "give a numpy array, or lists of equal length"
        ) from None
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} must be an array of numbers, not {_kind(array)}")
    return array.astype(np.float64) if array.dtype.itemsize > 8 else array


def _is_foreign(x: Any) -> bool:
    if isinstance(x, np.ndarray | float | int | list | tuple | str):
        return isinstance(x, np.ma.MaskedArray)
    return any(hasattr(x, name) for name in ("detach", "getbands", "to_numpy"))


def _from_library(x: Any, what: str) -> Any:
    """What numpy reads, from a torch tensor, a PIL image, a pandas table or a masked array."""
    if not _is_foreign(x):
        return x
    if isinstance(x, np.ma.MaskedArray):
        if np.ma.is_masked(x):
            raise InputError(f"{what} must have every value: fill the masked ones (.filled(0))")
        return x.data
    if hasattr(x, "detach"):
        return _from_tensor(x, what)
    return _from_pil(x, what) if hasattr(x, "getbands") else x.to_numpy()


def _from_tensor(x: Any, what: str) -> Any:
    try:
        return x.detach().cpu().numpy()
    except (TypeError, RuntimeError) as error:
        cause = _line(error)
        if "bfloat16" in str(x.dtype):
            cause = "numpy has no bfloat16; call .float() on it"
        raise InputError(f"{what} cannot be this tensor: {cause}") from None


def _from_pil(x: Any, what: str) -> Any:
    if x.mode not in ("L", "RGB"):
        raise InputError(
            f'{what} of PIL\'s mode {x.mode!r} has no plain values: use .convert("L"), or '
            '.convert("RGB") for a network of colour images'
        )
    # Values, since a PIL image is of 8 bits whatever the network's levels are.
    return np.asarray(x) / BYTE


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0][:100].rstrip(".")


def _kind(array: Array) -> str:
    kind = array.dtype.kind
    if kind == "O" and array.ndim == 0:
        return f"{type(array.item()).__name__}: give a numpy array, or nested lists"
    if kind in "US":
        return 'text: read the file first, as np.asarray(PIL.Image.open(path).convert("L"))'
    if kind == "O":
        return f"objects ({type(array.flat[0]).__name__}): convert it with .astype(float)"
    if kind == "c":
        return "complex numbers: give their real part or size"
    return f"{array.dtype}: give floats or whole numbers"


def _check_values(flat: Array, levels: int) -> None:
    low, high = flat.min(), flat.max()
    if low >= 0.0 and high <= 1.0:  # neither holds for NaN
        return
    if np.isnan(low):
        raise InputError("pixel values must lie in [0, 1], not NaN: fill the missing ones")
    remedy = f"divide by {levels}, or give whole numbers ({np.min_scalar_type(levels)})"
    if low < 0.0 or high < 1.01:
        remedy = "undo a normalization, and clip what rounding left (np.clip(x, 0, 1))"
    raise InputError(f"pixel values must lie in [0, 1], not {low} to {high}: {remedy}")


def _check_levels(flat: Array, levels: int) -> None:
    low, high = int(flat.min()), int(flat.max())
    if low < 0 or high > levels:
        raise InputError(
            f"whole numbers must be levels 0 to {levels} of this network, not {low} to {high}: "
            "divide them by their largest possible value for values in [0, 1]"
        )
    if high == 1 < levels:
        raise InputError(
            f"whole numbers 0 and 1 alone may be values or the lowest of {levels} levels: convert "
            f"them to float if they are values in [0, 1], or divide by {levels} if they are levels"
        )


def _is_single(given: Shape, shape: Shape, what: str) -> bool:
    """Whether an array of shape `given` is one image of shape `shape`, or a batch (False)."""
    flat = (math.prod(shape),)
    if given in (flat, shape):
        return True
    if given[1:] in (flat, shape):
        return False
    wanted = (_core(flat), _core(shape))
    if given and _core(given) in wanted:
        return given[0] != 1
    if len(given) > 1 and _core(given[1:]) in wanted:
        return False
    shapes = " or ".join(str(each) for each in dict.fromkeys((shape, flat)))
    raise InputError(
        f"{what} has shape {shapes}, or is in a batch of those, not {given}{_hint(given, shape)}"
    )


def _core(shape: Sequence[int]) -> Shape:
    """A shape without its axes of size one, whose numbers lie in memory the same way."""
    return tuple(side for side in shape if side != 1)


def _hint(given: Shape, shape: Shape) -> str:
    """What to do about axes in another order, such as (8, 8, 3) for (3, 8, 8), and colours."""
    for part in (given, given[1:]):
        if part == (*shape[1:], shape[0]):
            return f": reorder its axes with np.moveaxis(x, -1, -{len(shape)})"
        if part == (shape[-1], *shape[:-1]):
            return f": reorder its axes with np.moveaxis(x, -{len(shape)}, -1)"
        if len(part) == len(shape) and sorted(part) == sorted(shape):
            return ": reorder its axes with np.transpose"
        if len(part) == 3 and _core(shape) in (part[1:], part[:-1]):
            return ': make it grey, as PIL\'s .convert("L") does'
    return ": flatten each image" if len(_core(shape)) < 2 and len(_core(given)) > 1 else ""
