"""Small, named, reproducible models: attack MILPs and target subproblems on shipped data only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import bnnopt
from bnnopt import AttackInstance
from bnnopt.formulations.attack import attack_model
from bnnopt.formulations.target import target_model

__all__ = ["REGISTRY", "BenchmarkInstance", "attack_instance"]


@dataclass(frozen=True)
class BenchmarkInstance:
    """A named model; `build` makes it anew."""

    name: str
    family: str
    build: Callable[[], Any]


def attack_instance(network: str, image: int, epsilon: float) -> AttackInstance:
    """Embedded test image `image` against its runner-up class, continuous domain."""
    return AttackInstance(bnnopt.zoo.load(network), bnnopt.datasets.embedded().x(image), epsilon)


def _attack(network: str, image: int, epsilon: float) -> BenchmarkInstance:
    return BenchmarkInstance(
        f"attack/{network}/{image}/{epsilon:g}",
        "attack",
        lambda: attack_model(attack_instance(network, image, epsilon), "paper"),
    )


def _target(network: str, image: int) -> BenchmarkInstance:
    """(9) for the second layer: the ideal target of a last hidden layer, and the image's signs."""

    def build() -> Any:
        instance = attack_instance(network, image, 0.0)
        output = instance.network.output
        difference = output.weight[instance.targets[0]] - output.weight[instance.source]
        first = instance.network.activations(instance.image)[0]
        return target_model(instance.network.hidden[1], np.sign(difference), first)

    return BenchmarkInstance(f"target/{network}/{image}", "target", build)


REGISTRY = {
    instance.name: instance
    for instance in (
        *(_attack("fashion-mnist-2x100", image, 0.002) for image in range(6)),
        *(_attack("fashion-mnist-2x100", image, 0.004) for image in range(6)),
        *(_attack("fashion-mnist-3x100", image, 0.002) for image in range(2)),
        *(_attack("fashion-mnist-2x200", image, 0.002) for image in range(2)),
        *(_target("fashion-mnist-2x100", image) for image in range(4)),
    )
}
"""Every model fits into the size that Gurobi's limited licence takes."""
