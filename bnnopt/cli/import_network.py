"""``bnnopt import``: a file of another program becomes a network file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from bnnopt import datasets
from bnnopt.cli.images import network_options, reading
from bnnopt.cli.output import check_npz
from bnnopt.counts import counted
from bnnopt.datasets.indexed import Images
from bnnopt.errors import InputError
from bnnopt.network import BinarizedNetwork
from bnnopt.shapes import layers_text, shape_text

__all__ = ["import_network"]

AT_ONCE = 500


@click.command("import")
@click.argument("file")
@network_options
@click.option("--out", required=True, help="The network file to write; ends in .npz.")
@click.option("--check", default=200, show_default=True, help="Images drawn for the comparison.")
@click.option("--name", help="What to call the network; the file's name by default.")
def import_network(
    file: str, out: str, check: int, name: str | None, data: str | None, **options: Any
) -> None:
    """Import a network from FILE, and compare every neuron with what the file gives.

    FILE is ONNX or QONNX (.onnx), or of Keras or Larq (.h5, .keras), in .gz or not.

    With --data its accuracy on those images is measured, and kept in the network file.
    """
    from bnnopt.exchange.read import read

    check_npz(out, "--out")
    images = _images(data)
    imported = read(file, check=check, **reading(options))
    network = replace(imported.network, name=name or imported.network.name)
    print(
        f"{shape_text(network.input_shape)} pixels, hidden {layers_text(network)}, "
        f"{counted(network.num_classes, 'class')}"
    )
    for note in imported.notes:
        print(note)
    print(imported.agreement)
    if imported.softmax:
        print("the Softmax at its end is left out: logits are what it takes")
    if images is not None:
        network = _with_accuracy(network, images, data)
    network.save(out)
    print(f"{out}: {Path(out).stat().st_size} bytes")


def _images(data: str | None) -> Images | None:
    if data is None:
        return None
    return datasets.load(data) if data in datasets.NAMES else datasets.read_images(data)


def _with_accuracy(network: BinarizedNetwork, images: Images, data: Any) -> BinarizedNetwork:
    if images.labels is None:
        raise InputError(f"{data} has no labels: an accuracy needs them")
    parts = [
        network.predict(_shaped(images.x(slice(at, at + AT_ONCE)), network))
        for at in range(0, len(images), AT_ONCE)
    ]
    right = int((np.concatenate(parts) == images.labels).sum())
    print(f"{right} of {counted(len(images), 'image')} of {data} classified right")
    dataset = data if data in datasets.NAMES else ""
    return replace(network, accuracy=right / len(images), dataset=dataset)


def _shaped(images: npt.NDArray[Any], network: BinarizedNetwork) -> npt.NDArray[Any]:
    return images.reshape(len(images), -1) if len(network.input_shape) == 1 else images
