"""Options for what an attack may change, shared by the commands that make instances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from bnnopt.errors import InputError

__all__ = ["budget_options", "effort_option", "read_budget"]

OPTIONS = (
    click.option(
        "--epsilon",
        default="0.01",
        show_default=True,
        help="Largest change of a pixel, such as 0.01 or 8/255.",
    ),
    click.option("--domain", default="continuous", show_default=True, help="continuous or pixels."),
    click.option("--region", help="Rows and columns that may change, such as 4:24,10:18."),
    click.option("--direction", default="both", show_default=True, help="lighten, darken or both."),
    click.option("--max-pixels", type=int, help="Most pixels that may change (L0)."),
    click.option("--max-l1", help="Largest sum of changes, in [0, 1] units."),
    click.option(
        "--ties",
        default="lowest",
        show_default=True,
        help="Who wins at equal logits: lowest (index, as predictions do), never or always (the "
        "target).",
    ),
    click.option("--source", help="The class to leave; the prediction by default."),
)


effort_option = click.option(
    "--effort",
    type=int,
    help="Most steps of the method's own (nodes, neighbourhoods, iterations): a run that this "
    "cuts off repeats itself.",
)


def budget_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def read_budget(options: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """Replace ``region`` by the mask that `bnnopt.attack` takes."""
    region = options.pop("region")
    return options | {"mask": None if region is None else _mask(region, shape)}


def _mask(text: str, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    parts = text.split(",")
    if len(parts) != len(shape):
        raise InputError(
            f"--region {text!r}: the network's images have {len(shape)} axes, "
            f"so give {len(shape)} ranges such as 4:24"
        )
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(_range(part, size) for part, size in zip(parts, shape, strict=True))] = True
    return mask


def _range(text: str, size: int) -> slice:
    start, colon, stop = text.partition(":")
    if not colon or not all((n.isdecimal() and len(n) < 10) or not n for n in (start, stop)):
        raise InputError(f"--region takes ranges such as 4:24,10:18, not {text!r}")
    bounds = slice(int(start or 0), int(stop or size))
    if not 0 <= bounds.start < bounds.stop <= size:
        raise InputError(f"--region: the range {text!r} does not lie in 0:{size}")
    return bounds
