"""Networks of binary inputs: NPAQ's and BNNQuanalyst's, verified on MNIST's test images.

Both were trained on MNIST that torchvision resizes (bilinear, with antialiasing), normalizes by
mean 0.1307 and binarizes by a sign: a pixel is +1 from 0.1307 on. So the cut is a part of the
network here, and images are the resized ones, in grey levels: epsilon turns the bits of pixels that
are so near the cut. NPAQ itself counts bits: ``2 bits`` are any two.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.peer_files import locate, locate_folder
from benchmarks.peer_networks import from_csv, from_state_dict
from bnnopt import certify, datasets
from bnnopt.network import BinarizedNetwork
from bnnopt.search.warm_up import warm_up

__all__ = ["bnnquanalyst", "npaq", "verified"]

Record = dict[str, Any]
Results = Iterator[tuple[str, list[Record], list[Record]]]
Build = Callable[[], BinarizedNetwork]

CUT = "0.1307"
TITLE = (
    "Networks of {}, behind `pixel >= 0.1307`, on MNIST's test images (resized by PIL's bilinear "
    "filter where they are 10 x 10): accuracy of all, and how many of the first ones "
    "`bnnopt verify` settles at each epsilon, or where any two pixels may change."
)
QUESTIONS: dict[str, dict[str, Any]] = {
    "0.05": {"epsilon": "0.05"},
    "0.1": {"epsilon": "0.1"},
    "2 bits": {"epsilon": 1, "max_pixels": 2},
}


def npaq(arguments: argparse.Namespace) -> Results:
    """Torch state dicts, one with a sparse head."""
    names = ("mnist-100-bnn_1blk_50", "mnist-100-bnn_1blk_50_sparse=0.05")

    def build(name: str) -> Build:
        return lambda: from_state_dict(locate("npaq", f"{name}.pt"), (10, 10), CUT)

    return _verify("github.com/teobaluta/NPAQ", {n: (10, build(n)) for n in names}, arguments)


def bnnquanalyst(arguments: argparse.Namespace) -> Results:
    """CSV files."""
    names = {"mnist_bnn_1_blk_784_100_10": 28, "mnist_bnn_2_blk_100_50_20_10": 10}

    def build(name: str, side: int) -> Build:
        return lambda: from_csv(locate_folder("bnnquanalyst", name), (side, side), CUT)

    networks = {name: (side, build(name, side)) for name, side in names.items()}
    return _verify("github.com/S3L-official/BNNQuanalyst", networks, arguments)


def _verify(
    source: str, networks: dict[str, tuple[int, Build]], arguments: argparse.Namespace
) -> Results:
    images = datasets.load("mnist").images
    built = {n: (build(), resized(images, side)) for n, (side, build) in networks.items()}
    yield from verified(TITLE.format(source), built, arguments)


def verified(
    title: str, networks: dict[str, tuple[BinarizedNetwork, Any]], arguments: argparse.Namespace
) -> Results:
    """Verify the first images of MNIST's test set; all are given, as each network has them."""
    warm_up()
    labels, table, records = datasets.load("mnist").labels, [], []
    for name, (network, images) in networks.items():
        accuracy = float(np.mean(network.predict(images) == labels))
        for asked, question in QUESTIONS.items():
            rows: list[Record] = []
            for index in range(arguments.images):
                began = time.perf_counter()
                certificate = certify(
                    network, images[index], time_limit=arguments.limit, index=index, **question
                )
                rows.append(
                    {
                        "network": name,
                        "asked": asked,
                        "image": index,
                        "verdict": certificate.verdict.value,
                        "right": certificate.source == int(labels[index]),
                        "seconds": round(time.perf_counter() - began, 4),
                    }
                )
            records += rows
            table.append(_summary(name, accuracy, asked, rows))
            yield title, table, records


def _summary(name: str, accuracy: float, asked: str, rows: list[Record]) -> Record:
    seconds = [row["seconds"] for row in rows]
    return {
        "network": name,
        "accuracy": f"{100 * accuracy:.2f} %",
        "epsilon": asked,
        "images": len(rows),
        "settled": sum(row["verdict"] != "unknown" for row in rows),
        "robust": sum(row["verdict"] == "robust" for row in rows),
        "certified": sum(row["verdict"] == "robust" and row["right"] for row in rows),
        "seconds (median)": round(float(np.median(seconds)), 4),
        "seconds (largest)": round(max(seconds), 3),
    }


def resized(images: Any, side: int) -> Any:
    """Images as torchvision resizes them, in whole levels."""
    if images.shape[1:] == (side, side):
        return images
    size, how = (side, side), Image.Resampling.BILINEAR
    return np.array([np.asarray(Image.fromarray(image).resize(size, how)) for image in images])
