"""The network of a command, and the images that ``--images`` counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from bnnopt import api, datasets
from bnnopt.datasets.catalog import COUNTS
from bnnopt.datasets.indexed import Images
from bnnopt.datasets.indices import parse_indices
from bnnopt.errors import InputError
from bnnopt.network import BinarizedNetwork

__all__ = [
    "Source",
    "about",
    "network_options",
    "network_with_images",
    "parse_indices",
    "reading",
]

OPTIONS = (
    click.option(
        "--data",
        help="The images: an .npz file with arrays images and labels, mnist or fashion-mnist; the "
        "network's own data set by default.",
    ),
    click.option(
        "--input-range",
        help="What a file of another program takes for black and white, such as 0,255.",
    ),
    click.option(
        "--levels",
        type=int,
        help="Steps from black to white in images for such a file; as it says, or 255, by default.",
    ),
    click.option("--mean", help="What such a file has subtracted, one number or one a channel."),
    click.option("--std", help="What it is divided by then."),
)


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of networks and images to a command."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True)
class Source:
    """Where images come from.

    Parameters
    ----------
    name : str
        Of a data set, if `own` is None.
    own : Images or None
    """

    name: str
    own: Images | None = None

    def indices(self, text: str) -> list[int]:
        """Those that ``--images`` names."""
        return parse_indices(text, COUNTS["test"] if self.own is None else len(self.own))

    def at(self, indices: Sequence[int]) -> Images:
        """Images that have these indices among them."""
        if self.own is None:
            return datasets.for_indices(self.name, indices)
        self.own.check_indices(indices)
        return self.own


def network_with_images(name: str, options: dict[str, Any]) -> tuple[BinarizedNetwork, Source]:
    """Load a network and say where its images come from; the options of both are taken out.

    Raises
    ------
    BnnoptError
        If there is no such network, or nothing says which images.
    """
    data = options.pop("data")
    network = api.load_network(name, **reading(options))
    if data is not None and data not in datasets.NAMES:
        return network, Source(data, datasets.read_images(data))
    if data is None and not network.dataset:
        raise InputError(
            f"{name} names no data set: give images with --data, an .npz file or a data set's name"
        )
    return network, Source(data or network.dataset)


def about(images: Images, index: int) -> dict[str, Any]:
    """What a record says of an image."""
    return {"index": index, "label": images.label(index)}


def reading(options: dict[str, Any]) -> dict[str, Any]:
    """How a file of another program is to be read, out of a command's options."""
    given = {key: options.pop(key) for key in ("input_range", "mean", "std")}
    levels = options.pop("levels")
    read = {key: numbers(key, text) for key, text in given.items() if text is not None}
    return read if levels is None else read | {"levels": levels}


def numbers(name: str, text: str) -> list[str] | list[float]:
    """Comma-separated numbers; ranges are kept as they are written."""
    parts = [part.strip() for part in text.split(",")]
    if name == "input_range":
        if len(parts) != 2:
            raise InputError(f"--input-range takes two numbers, such as 0,255, not {text!r}")
        return parts
    try:
        return [float(part) for part in parts]
    except ValueError:
        option = f"--{name}"
        raise InputError(f"{option} takes numbers, such as 0.5 or 0.4,0.5,0.6: {text!r}") from None
