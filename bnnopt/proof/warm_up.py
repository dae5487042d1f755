"""Compiling what writes proofs, once a machine, and not in silence."""

from __future__ import annotations

from functools import cache

import numpy as np

from bnnopt.instance import AttackInstance
from bnnopt.network import BinarizedNetwork, HiddenLayer, OutputLayer
from bnnopt.proof.cuts import Cuts
from bnnopt.proof.statement import geometry_of, problem_of
from bnnopt.proof.tree import TargetTree
from bnnopt.search.warm_up import compile_by_running

__all__ = ["warm_up"]


@cache
def warm_up() -> None:
    """Compile, or load from numba's cache, by running on the smallest network."""
    compile_by_running(_run)


def _run() -> None:
    one, two = np.ones((1, 1), dtype=np.int8), np.array([[1], [-1]], dtype=np.int8)
    hidden = HiddenLayer(one, np.array([1])), HiddenLayer(one, np.array([1]))
    network = BinarizedNetwork(hidden, OutputLayer(two, np.ones(2), np.zeros(2)), levels=1)
    instance = AttackInstance(network, np.ones(1), 1, domain="pixels")
    cuts = Cuts(geometry_of(instance))
    (target,) = instance.targets
    TargetTree(problem_of(instance, cuts.geometry, target, 1.0), cuts, 1).compile()
