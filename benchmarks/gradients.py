"""Our PGD beside foolbox's on the same straight-through network, steps and restarts.

    pip install 'bnnopt[foolbox]'
    python benchmarks/gradients.py --images 0:40

attacks all images at once with each attack, on one thread of the CPU, in an order that turns with
each repeat, and prints per network and epsilon the flips and the mean objective, over the repeats,
and the median seconds; CPU seconds, too, which other work on the machine changes less. Every
point counts as snapped into the budget and replayed exactly, with the best restart of each image,
and the time includes that replay. foolbox's LinfPGD keeps the last iterate of the cross-entropy
towards the target class; it runs with the paper's clip, with our adaptive clip, and with our clip
and the margin in place of the cross-entropy. Results go to benchmarks/results/gradients.json
after every setting.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import foolbox
import numpy as np
import torch
from tabulate import tabulate

import bnnopt
from benchmarks.record import FOLDER, write
from bnnopt import AttackInstance, AttackResult, datasets
from bnnopt.attacks.base import Limits
from bnnopt.attacks.findings import Findings
from bnnopt.attacks.gradient import IteratedFgsmAttack, PgdAttack
from bnnopt.attacks.gradient.rows import Rows
from bnnopt.cli.images import parse_indices
from bnnopt.datasets.catalog import COUNTS
from bnnopt.surrogate import StraightThroughNetwork

TITLE = (__doc__ or "").split("\n", 1)[0]
OURS = "bnnopt pgd"
Contestant = Callable[[Sequence[AttackInstance], int], list[AttackResult]]


class MarginPgd(foolbox.attacks.LinfPGD):  # type: ignore[misc]
    """foolbox's PGD with the margin over the source class as its loss."""

    def __init__(self, sources: torch.Tensor, **options: Any) -> None:
        super().__init__(**options)
        self._sources = sources

    def get_loss_fn(self, model: Any, labels: Any) -> Callable[[Any], Any]:
        """What a targeted attack of foolbox descends."""
        rows = range(len(self._sources))

        def loss(inputs: Any) -> Any:
            logits = model(inputs)
            return (logits[rows, self._sources] - logits[rows, labels]).sum()

        return loss


@dataclass(frozen=True)
class Foolbox:
    """foolbox's PGD: all restarts in one batch, and the best of each image counts."""

    restarts: int
    steps: int
    is_adaptive: bool
    is_margin: bool = False

    def __call__(self, instances: Sequence[AttackInstance], seed: int) -> list[AttackResult]:
        """Attack, replay, report."""
        began = time.perf_counter()
        torch.manual_seed(seed)
        ours = PgdAttack(self.restarts, self.steps, "cpu")
        rows = Rows(instances, self.restarts, torch.device("cpu"), torch.float32)
        activation = ours.activation(rows) if self.is_adaptive else None
        model = StraightThroughNetwork(rows.network, activation, torch.float32).eval()
        targets = torch.tensor([i.targets[0] for i in instances]).repeat_interleave(self.restarts)
        sources = torch.tensor([i.source for i in instances]).repeat_interleave(self.restarts)
        options = {"steps": self.steps, "random_start": True}
        attack = (
            MarginPgd(sources, **options) if self.is_margin else foolbox.attacks.LinfPGD(**options)
        )
        adversarial = attack.run(
            foolbox.PyTorchModel(model, bounds=(0.0, 1.0), device="cpu"),
            rows.levels / rows.network.levels,
            foolbox.criteria.TargetedMisclassification(targets),
            epsilon=instances[0].epsilon,
        )
        points = adversarial.double().numpy().reshape(len(instances), self.restarts, -1)
        return [
            ours.conclude(i, Limits(), Findings(z * i.network.levels), began, None, None)
            for i, z in zip(instances, points, strict=True)
        ]


@dataclass(frozen=True)
class Run:
    """All images once."""

    seconds: float
    cpu_seconds: float
    results: list[AttackResult]


def contestants(restarts: int, steps: int) -> dict[str, Contestant]:
    ours = PgdAttack(restarts, steps, "cpu")
    iterated = IteratedFgsmAttack(steps, device="cpu")
    return {
        OURS: lambda instances, seed: ours.batch(instances, Limits(seed=seed)),
        "foolbox": Foolbox(restarts, steps, is_adaptive=False),
        "foolbox, our clip": Foolbox(restarts, steps, is_adaptive=True),
        "foolbox, our clip, margin": Foolbox(restarts, steps, is_adaptive=True, is_margin=True),
        "bnnopt ifgsm": lambda instances, seed: iterated.batch(instances, Limits(seed=seed)),
    }


def measure(
    attacks: dict[str, Contestant], instances: Sequence[AttackInstance], repeats: int
) -> list[dict[str, Any]]:
    """A row an attack; means over the repeats, each with a seed of its own."""
    runs: dict[str, list[Run]] = {name: [] for name in attacks}
    for seed in range(repeats):
        turn = seed % len(attacks)
        for name in (*list(attacks)[turn:], *list(attacks)[:turn]):
            began, worked = time.perf_counter(), time.process_time()
            results = attacks[name](instances, seed)
            assert all(result.verified for result in results)
            seconds, cpu = time.perf_counter() - began, time.process_time() - worked
            runs[name].append(Run(seconds, cpu, results))
    ours = float(np.median([run.cpu_seconds for run in runs[OURS]]))
    rows = []
    for name, repeated in runs.items():
        cpu = float(np.median([run.cpu_seconds for run in repeated]))
        objectives = [[result.objective for result in run.results] for run in repeated]
        rows.append(
            {
                "attack": name,
                "flips": float((np.array(objectives) > 0).sum(axis=1).mean()),
                "mean objective": float(np.mean(objectives)),
                "seconds": float(np.median([run.seconds for run in repeated])),
                "CPU seconds": cpu,
                "CPU / ours": cpu / ours,
                "objectives": objectives,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--networks", default="mnist-2x100,mnist-2x200,mnist-3x100")
    parser.add_argument("--epsilons", default="0.01,0.03")
    parser.add_argument("--images", default="0:40")
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=FOLDER / "gradients.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    attacks = contestants(arguments.restarts, arguments.steps)
    indices = parse_indices(arguments.images, COUNTS["test"])
    records: list[dict[str, Any]] = []
    for name in arguments.networks.split(","):
        network = bnnopt.zoo.load(name)
        images = datasets.for_indices(network.dataset, indices)
        for epsilon in map(float, arguments.epsilons.split(",")):
            instances = [AttackInstance(network, images.x(i), epsilon) for i in indices]
            setting = {"network": name, "epsilon": epsilon, "images": len(instances)}
            records += [setting | row for row in measure(attacks, instances, arguments.repeats)]
            write(arguments.out, TITLE, arguments, records)
    shown = [{k: v for k, v in record.items() if k != "objectives"} for record in records]
    print(tabulate(shown, headers="keys", floatfmt=".4g"))


if __name__ == "__main__":
    main()
