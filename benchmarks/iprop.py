"""IProp's default beside the paper's preset, iterated FGSM and the best known; and an ablation.

    python benchmarks/iprop.py --networks mnist-2x100 --epsilons 0.01 --images 0:20

attacks each image in one process, one thread, with

- ``default``: `bnnopt.IProp()`;
- ``anew``: the same algorithm with every Pyomo model built anew at each iteration;
- ``paper``: `bnnopt.IProp.paper()`, with the time limit ``--paper-seconds``;
- ``ifgsm``: iterated FGSM, where this version has it;
- ``milp``: a long run of the MILP attack, for the best known value.

Per setting it prints iterations a second, the mean share of the gap (best known of all - start)
that each closes, and the flips. ``--ablation`` compares the default with itself less one idea
each. Results go to benchmarks/results/iprop.json after every image.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

import bnnopt
from benchmarks.record import FOLDER, write
from bnnopt import AttackInstance, IProp, datasets
from bnnopt.attacks import METHODS, attack_class
from bnnopt.attacks.base import Attack, Limits
from bnnopt.attacks.iprop_aware import AwarePropagation
from bnnopt.attacks.iprop_state import State
from bnnopt.attacks.iprop_steps import uniform
from bnnopt.attacks.iprop_subsolver import Subsolver
from bnnopt.cli.images import parse_indices
from bnnopt.datasets.catalog import COUNTS

TITLE = (__doc__ or "").split("\n", 1)[0]
SignArray = npt.NDArray[np.int8]
Contestants = dict[str, tuple[Attack, float]]


class AnewPropagation(AwarePropagation):
    """Keeps no model, and so nothing learnt of patterns, from one iteration to the next."""

    def __init__(
        self, instance: AttackInstance, subsolver: Subsolver, rng: np.random.Generator
    ) -> None:
        super().__init__(instance, subsolver, rng)
        self._anew: Callable[[], AwarePropagation] = partial(
            AwarePropagation, instance, subsolver, rng
        )

    def points(self, state: State, target: SignArray) -> npt.NDArray[np.float64]:
        """As its parent, by another one that is thrown away."""
        with self._anew() as fresh:
            return fresh.points(state, target)


def contestants(arguments: argparse.Namespace) -> Contestants:
    """The attacks by name, each with its seconds."""
    seconds, solver = arguments.seconds, arguments.solver
    if arguments.ablation:
        return {name: (attack, seconds) for name, attack in ablations(solver).items()}
    attacks: Contestants = {
        "default": (IProp(solver), seconds),
        "anew": (IProp(solver, propagation=AnewPropagation), seconds),
        "paper": (IProp.paper(solver), arguments.paper_seconds),
        "milp": (attack_class("milp")(solver), arguments.milp_seconds),
    }
    if "ifgsm" in METHODS:
        attacks["ifgsm"] = (attack_class("ifgsm")(), arguments.paper_seconds)
    return attacks


def ablations(solver: str) -> dict[str, Attack]:
    def less(**options: Any) -> IProp:
        return IProp(solver, propagation=partial(AwarePropagation, **options))

    return {
        "default": IProp(solver),
        "without neighbourhoods": less(neighbours=0),
        "without restarts": less(restarts=0),
        "without conflict rows": less(conflicts=False),
        "with (9) over all neurons": less(moving=10**6),
        "with uniform G": IProp(solver, sampler=uniform),
        "with models built anew": IProp(solver, propagation=AnewPropagation),
    }


def summary(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a setting and contestant; images that all of them have attacked count."""
    rows = []
    for setting in dict.fromkeys((r["network"], r["epsilon"]) for r in records):
        here = [r for r in records if (r["network"], r["epsilon"]) == setting]
        best: dict[int, float] = {}
        for r in here:
            best[r["image"]] = max(r["objective"], best.get(r["image"], -np.inf))
        for name in dict.fromkeys(r["attack"] for r in here):
            own = [r for r in here if r["attack"] == name]
            shares = [
                (r["objective"] - r["start"]) / (best[r["image"]] - r["start"])
                for r in own
                if best[r["image"]] > r["start"]
            ]
            iterations, spent = (sum(r[key] or 0 for r in own) for key in ("iterations", "seconds"))
            rows.append(
                {
                    "network": setting[0],
                    "epsilon": setting[1],
                    "attack": name,
                    "images": len(own),
                    "iterations/s": round(iterations / spent, 2),
                    "gap closed": round(float(np.mean(shares)), 3) if shares else None,
                    "flips": sum(r["objective"] > 0 for r in own),
                    "mean objective": round(float(np.mean([r["objective"] for r in own])), 2),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--networks", default="mnist-2x100,mnist-2x200,mnist-3x100")
    parser.add_argument("--epsilons", default="0.01,0.03")
    parser.add_argument("--images", default="0:20")
    parser.add_argument("--solver", default="highs")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the default")
    parser.add_argument("--paper-seconds", type=float, default=60.0)
    parser.add_argument("--milp-seconds", type=float, default=180.0)
    parser.add_argument("--ablation", action="store_true")
    parser.add_argument("--out", type=Path, default=FOLDER / "iprop.json")
    arguments = parser.parse_args()
    indices = parse_indices(arguments.images, COUNTS["test"])
    records: list[dict[str, Any]] = []
    for name in arguments.networks.split(","):
        network = bnnopt.zoo.load(name)
        images = datasets.for_indices(network.dataset, indices)
        for epsilon in map(float, arguments.epsilons.split(",")):
            for index in indices:
                instance = AttackInstance(network, images.x(index), epsilon)
                for contestant, (attack, seconds) in contestants(arguments).items():
                    result = attack(instance, Limits(seconds))
                    record = {
                        "network": name,
                        "epsilon": epsilon,
                        "image": index,
                        "attack": contestant,
                        "start": result.start_objective,
                        "objective": result.objective,
                        "status": result.status.value,
                        "iterations": result.iterations,
                        "seconds": round(result.wall_time, 2),
                        "trace": result.as_dict()["trace"],
                    }
                    records.append(record)
                    print(json.dumps(record), file=sys.stderr, flush=True)
                write(arguments.out, TITLE, arguments, summary(records), records)
    print(tabulate(summary(records), headers="keys"))


if __name__ == "__main__":
    main()
