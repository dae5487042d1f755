"""Networks of every kind of layer, beside what else computes them.

    python -m benchmarks.ground before --commit c20dae6     # dense networks, two versions in turn
    python -m benchmarks.ground binary --folder FOLDER      # networks that binarize their input
    python -m benchmarks.ground wide                        # memory and time of wide convolutions
    python -m benchmarks.ground convolution                 # forward pass beside torch's

A section writes benchmarks/results/ground-SECTION.json. Everything runs on one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tabulate import tabulate

from benchmarks.record import FOLDER, write
from bnnopt import (
    AttackInstance,
    BinarizedNetwork,
    HiddenLayer,
    OutputLayer,
    attack,
    certify,
    datasets,
)
from bnnopt.bounds import interval_bounds
from bnnopt.network.folding import fold
from bnnopt.network.unroll import conv2d, pixel_cuts
from bnnopt.search.warm_up import warm_up

ROOT = Path(__file__).resolve().parents[1]
MEASURE = Path(__file__).with_name("measure.py")
SETTINGS = (
    "mnist-2x100:0.01,mnist-3x100:0.01,fashion-mnist-2x100:0.01,mnist-2x100:0.02,mnist-2x200:0.01"
)
BINARY_SETTINGS = (
    "binary-input-1x1000:0.1,binary-input-1x1000:0.2,binary-input-2x200:0.1,binary-input-2x500:0.1"
)
MANY = 1000
"""Nodes from which on a rate says something."""

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


BEFORE = (
    "Branch and bound on dense networks, and an epoch of training, beside an earlier commit, in "
    "turn: ratios of the earlier one's CPU seconds and nodes to today's, as geometric means."
)


class Version:
    """A process that answers with one version of the code.

    Parameters
    ----------
    root : path
        A checkout.
    """

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", MEASURE.read_text()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(root)},
        )

    def ask(self, question: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a question of `benchmarks.measure`."""
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(arguments | {"question": question}), file=self._process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """A folder with the code of a commit; it goes when the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "before"
        subprocess.run(["git", "worktree", "add", "--detach", root, commit], cwd=ROOT, check=True)
        try:
            yield root
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", root], cwd=ROOT, check=True)


def before(arguments: argparse.Namespace) -> None:
    """Every instance by both versions, in alternating order; then an epoch."""
    records: list[dict[str, Any]] = []
    with checkout(arguments.commit) as root:
        versions = {"before": Version(root), "now": Version(ROOT)}
        for version in versions.values():  # compile, and load data
            version.ask("prove", network="mnist-2x100", epsilon=0.01, image=0, limit=60.0)
        for setting in arguments.settings.split(","):
            network, epsilon = setting.split(":")
            for image in range(arguments.images):
                question = {"network": network, "epsilon": float(epsilon), "image": image}
                names = list(versions) if image % 2 else list(versions)[::-1]
                answers = {
                    name: versions[name].ask("prove", **question, limit=arguments.limit)
                    for name in names
                }
                records.append({"setting": setting, "image": image} | answers)
        for _ in range(arguments.repeats):
            for name, version in versions.items():
                answer = version.ask("epoch", dataset="mnist", depth=2, width=100)
                records.append({"setting": "epoch", name: answer})
        for version in versions.values():
            version.close()
    summary = [_compared(setting, records) for setting in arguments.settings.split(",")]
    epochs = {
        name: np.median([r[name]["seconds"] for r in records if name in r and "image" not in r])
        for name in ("before", "now")
    }
    summary.append({"setting": "training, an epoch of 2x100", "speed": _rate(epochs)})
    write(FOLDER / "ground-before.json", BEFORE, arguments, summary, records)
    print(tabulate(summary, headers="keys"))


def _rate(seconds: dict[str, Any]) -> float:
    return round(float(seconds["before"] / seconds["now"]), 3)


def _compared(setting: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    """What both versions prove, and how fast; ratios over the images that both prove."""
    rows = [r for r in records if r["setting"] == setting]
    proved = [r for r in rows if all(r[v]["status"] == "optimal" for v in ("before", "now"))]
    ratios = {
        key: np.array([max(r["before"][key], 1e-4) / max(r["now"][key], 1e-4) for r in proved])
        for key in ("cpu", "nodes")
    }
    rates = [r["now"]["nodes"] / r["now"]["cpu"] for r in rows if r["now"]["nodes"] > MANY]
    rates_before = [
        r["before"]["nodes"] / r["before"]["cpu"] for r in rows if r["now"]["nodes"] > MANY
    ]
    return {
        "setting": setting,
        "proved before": sum(r["before"]["status"] == "optimal" for r in rows),
        "proved": sum(r["now"]["status"] == "optimal" for r in rows),
        "same optima": all(r["before"]["objective"] == r["now"]["objective"] for r in proved),
        "same nodes": sum(r["before"]["nodes"] == r["now"]["nodes"] for r in proved),
        "nodes": round(float(geometric_mean(ratios["nodes"])), 3),
        "speed": round(float(geometric_mean(ratios["cpu"])), 3),
        "node rate": round(float(geometric_mean(np.array(rates) / np.array(rates_before))), 3)
        if rates
        else None,
    }


def geometric_mean(values: Any) -> float:
    return float(np.exp(np.mean(np.log(values)))) if len(values) else float("nan")


BINARY = (
    "Networks that binarize their input, all other classes, by `bnnopt verify`: how many images it "
    "settles, and in how many seconds."
)


def binary_network(path: Path) -> BinarizedNetwork:
    """A network of a file with signs W, batch norms g, b, mu, var of each layer, and a bias.

    Its input is 1 where a pixel is at least 0.5, else 0.
    """
    with np.load(path) as arrays:
        parts = dict(arrays)
    depth = sum(name.startswith("mu") for name in parts)
    hidden = [pixel_cuts((1, 28, 28), [Fraction(1, 2)])]
    for number in range(depth):
        weight, (gamma, beta, mean, variance) = (
            parts[f"W{number}"].astype(np.int64),
            (parts[f"{name}{number}"].astype(np.float64) for name in ("g", "b", "mu", "var")),
        )
        if number == 0:  # of 0 and 1: half the sum of signs and of weights
            mean, gamma = 2.0 * mean - weight.sum(axis=1), gamma / 2.0
        hidden.append(fold(weight, gamma, beta, mean, np.sqrt(variance + 1e-4)))
    bias = np.round(parts["bias"].astype(np.float64))
    head = OutputLayer(parts[f"W{depth}"], np.ones(len(bias)), bias)
    return BinarizedNetwork(
        tuple(hidden), head, input_shape=(28, 28), name=path.stem, dataset="mnist"
    )


def binary(arguments: argparse.Namespace) -> None:
    """Settle the first images at each epsilon."""
    warm_up()
    summary: list[dict[str, Any]] = []
    records: list[dict[str, Any]] = []
    data = datasets.load("mnist")
    for setting in arguments.binary.split(","):
        name, epsilon = setting.split(":")
        network = binary_network(Path(arguments.folder) / f"{name}.npz")
        rows = [
            _settled(network, data, image, epsilon, arguments.limit)
            for image in range(arguments.images)
        ]
        records += rows
        seconds = [row["seconds"] for row in rows]
        summary.append(
            {
                "network": name,
                "epsilon": epsilon,
                "images": len(rows),
                "settled": sum(row["verdict"] != "unknown" for row in rows),
                "robust": sum(row["verdict"] == "robust" for row in rows),
                "seconds (median)": round(float(np.median(seconds)), 4),
                "seconds (mean)": round(float(np.mean(seconds)), 3),
            }
        )
        write(FOLDER / "ground-binary.json", BINARY, arguments, summary, records)
        print(tabulate(summary, headers="keys"), flush=True)


def _settled(
    network: BinarizedNetwork, data: datasets.Dataset, image: int, epsilon: str, limit: float
) -> dict[str, Any]:
    began = time.perf_counter()
    certificate = certify(network, data.x(image), epsilon, time_limit=limit)
    return {
        "network": network.name,
        "epsilon": epsilon,
        "image": image,
        "verdict": certificate.verdict.value,
        "seconds": round(time.perf_counter() - began, 4),
    }


WIDE = (
    "A convolutional network of 12,544 neurons of 27 inputs each, and of 23,328 behind them: what "
    "a box with about so many unstable neurons takes."
)


def wide(arguments: argparse.Namespace) -> None:
    """Bound, attack and try to verify within ever larger boxes."""
    warm_up()
    network, rng = convolutional_network(), np.random.default_rng(2)
    image = rng.integers(0, 256, SHAPE, dtype=np.uint8)
    summary: list[dict[str, Any]] = []
    for epsilon in (0.0005, 0.001, 0.002, 0.004, 0.006):
        instance = AttackInstance(network, image, epsilon, target="untargeted")
        row: dict[str, Any] = {
            "epsilon": epsilon,
            "unstable": len(interval_bounds(instance)[0].unstable),
        }
        for method in ("pgd", "pattern", "bab"):
            began = time.perf_counter()
            result = attack(
                network,
                image,
                epsilon,
                target="untargeted",
                method=method,
                time_limit=arguments.limit,
            )
            row[f"{method}: margin"] = result.objective
            row[f"{method}: seconds"] = round(time.perf_counter() - began, 1)
        row["GB so far"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
        summary.append(row)
        write(FOLDER / "ground-wide.json", WIDE, arguments, summary)
        print(tabulate(summary, headers="keys"), flush=True)


SECTIONS = {"before": before, "binary": binary, "convolution": convolution, "wide": wide}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("section", choices=SECTIONS)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--commit", default="HEAD~1", help="the earlier one")
    parser.add_argument("--settings", default=SETTINGS, help="of `before`")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds an image")
    parser.add_argument("--binary", default=BINARY_SETTINGS, help="settings of `binary`")
    parser.add_argument("--folder", help="of `binary`: where the networks are")
    arguments = parser.parse_args()
    SECTIONS[arguments.section](arguments)


if __name__ == "__main__":
    main()
