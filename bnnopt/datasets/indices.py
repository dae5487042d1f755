"""Naming test-set images: a list of indices and slices."""

from __future__ import annotations

from bnnopt.errors import InputError

__all__ = ["parse_indices"]


def parse_indices(text: str, count: int) -> list[int]:
    """Indices from text such as ``0:10``, ``3,17,20:30`` or ``0:100:10``.

    Parameters
    ----------
    text : str
        Numbers and Python slices, joined by commas; negative numbers are not allowed.
    count : int
        How many images there are; an open slice ends there.

    Returns
    -------
    list of int
        In the order given, each once.

    Raises
    ------
    InputError
        If the text is something else, or an index is out of range.
    """
    indices: dict[int, None] = {}
    for part in text.split(","):
        indices.update(dict.fromkeys(_part(part.strip(), count)))
    if not indices:
        raise InputError(f"images {text!r} name no image")
    for index in indices:
        if index >= count:
            raise InputError(f"image {index} does not exist: the test set has 0 to {count - 1}")
    return list(indices)


def _part(part: str, count: int) -> range:
    fields = part.split(":")
    if len(fields) > 3 or not all((f.isdecimal() and len(f) < 10) or not f for f in fields):
        raise InputError(f"images are numbers and slices such as 0:10 or 3,17,20:30, not {part!r}")
    numbers = [int(f) if f else None for f in fields]
    if len(numbers) == 1:
        if numbers[0] is None:
            raise InputError("images are numbers and slices such as 0:10, not an empty part")
        return range(numbers[0], numbers[0] + 1)
    start, stop = numbers[0] or 0, count if numbers[1] is None else numbers[1]
    step = numbers[2] if len(numbers) == 3 and numbers[2] is not None else 1
    if step == 0:
        raise InputError(f"images {part!r} have a step of 0")
    if stop > count:
        raise InputError(f"image {stop - 1} does not exist: the test set has 0 to {count - 1}")
    return range(start, stop, step)
