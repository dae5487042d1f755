"""Networks of every kind of layer, beside what else computes them.

    python -m benchmarks.ground convolution      # forward pass beside torch's

A section writes benchmarks/results/ground-SECTION.json. Everything runs on one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tabulate import tabulate

from benchmarks.record import FOLDER, write
from bnnopt import BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.network.unroll import conv2d

CONVOLUTION = (
    "Exact forward pass of a convolutional network (3 x 30 x 30 pixels, 16 filters of 3 x 3, 32 of "
    "2 x 2, 43 classes), beside torch's float32 network of the same weights."
)
SHAPE = (3, 30, 30)
FILTERS = ((16, 3, 3, 3), (32, 16, 2, 2))


def convolutional_network() -> BinarizedNetwork:
    """Random weights of ±1, thresholds near the middle of the sums."""
    rng = np.random.default_rng(0)
    first = rng.choice([-1, 1], FILTERS[0])
    middle = np.ceil(first.sum(axis=(1, 2, 3)) * 127.5)
    before = conv2d(first, middle, SHAPE)
    behind = conv2d(rng.choice([-1, 1], FILTERS[1]), 0, before.output_shape)
    weight = rng.choice([-1, 1], (43, behind.shape[0]))
    return BinarizedNetwork((before, behind), OutputLayer(weight, np.ones(43), np.zeros(43)))


def torch_forward(network: BinarizedNetwork) -> Callable[[Any], Any]:
    """The same network in torch: levels of shape (batch, 3, 30, 30), in float32, to logits."""
    import torch

    torch.set_num_threads(1)
    weights, thresholds = [], []
    for layer in network.hidden:
        assert layer.convolution is not None
        weights.append(torch.tensor(layer.convolution.kernel, dtype=torch.float32))
        by_channel = layer.threshold.reshape(layer.output_shape)[:, 0, 0]
        thresholds.append(torch.tensor(by_channel, dtype=torch.float32))
    head = torch.tensor(network.output.weight, dtype=torch.float32)

    def forward(x: Any) -> Any:
        with torch.no_grad():
            for weight, threshold in zip(weights, thresholds, strict=True):
                # Half a step above, so that no sum is 0, where torch's sign is 0.
                x = torch.nn.functional.conv2d(x, weight, 0.5 - threshold).sign()
            return x.flatten(1) @ head.T

    return forward


def convolution(arguments: argparse.Namespace) -> None:
    """Batches of whole levels and of real values, in turn with torch."""
    import torch

    network, rng = convolutional_network(), np.random.default_rng(1)
    rows = tuple(HiddenLayer(layer.weight, layer.threshold) for layer in network.hidden)
    unrolled = BinarizedNetwork(rows, network.output, input_shape=SHAPE)
    forward = torch_forward(network)
    batch = rng.integers(0, 256, (arguments.batch, *SHAPE), dtype=np.uint8)
    real = rng.random((arguments.batch, *SHAPE))
    levels = torch.tensor(batch, dtype=torch.float32)
    contestants: dict[str, Callable[[], Any]] = {
        "torch, float32": lambda: forward(levels).numpy(),
        "8-bit images": lambda: network.logits(batch),
        "8-bit images, rows in CSR": lambda: unrolled.logits(batch),
        "images of real values": lambda: network.logits(real),
        "images of real values, rows in CSR": lambda: unrolled.logits(real),
    }
    results = {name: run() for name, run in contestants.items()}  # and warm up
    agree = np.array_equal(results["torch, float32"], results["8-bit images"])
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(arguments.repeats):
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    paired = np.array(seconds["torch, float32"])
    summary = [
        {
            "forward pass": name,
            "seconds (median)": float(np.median(own)),
            "times torch's": float(np.median(np.array(own) / paired)),
        }
        for name, own in seconds.items()
    ]
    records = [{"agrees with torch": agree, "seconds": seconds}]
    write(FOLDER / "ground-convolution.json", CONVOLUTION, arguments, summary, records)
    print(tabulate(summary, headers="keys"), f"\nagrees with torch: {agree}")


SECTIONS = {"convolution": convolution}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("section", choices=SECTIONS)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    SECTIONS[arguments.section](arguments)


if __name__ == "__main__":
    main()
