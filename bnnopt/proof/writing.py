"""Writing a proof of a result: a header of JSON, cuts, and a tree for each target."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from bnnopt.files import write_atomically
from bnnopt.instance import AttackInstance
from bnnopt.network import GRID, BinarizedNetwork
from bnnopt.proof import check
from bnnopt.proof.cuts import Cuts, NoCutError
from bnnopt.proof.statement import geometry_of, problem_of
from bnnopt.proof.tree import TargetTree
from bnnopt.result import AttackResult, Status

__all__ = ["proof_lines", "write_proof"]

_READ: WeakKeyDictionary[BinarizedNetwork, Any] = WeakKeyDictionary()


def as_checked(network: BinarizedNetwork) -> Any:
    """The network as the checker reads it."""
    if network not in _READ:
        _READ[network] = check.Network(io.BytesIO(network.to_bytes()))
    return _READ[network]


def proof_lines(instance: AttackInstance, result: AttackResult) -> Iterator[str]:
    network = as_checked(instance.network)
    about = _header(instance, result, network)
    geometry = geometry_of(instance)
    cuts = Cuts(geometry)
    yield json.dumps(about)
    yield from cuts.lines()
    for target in about["targets"] if about["claim"] != "flip" else ():
        problem = problem_of(instance, geometry, target, float(network.unit))
        wanted = check.wanted(about, network.unit, target)
        step = int(np.gcd.reduce(problem.gain)) or 1
        wanted += (problem.constant - wanted) % step
        yield f"target {target}"
        yield from TargetTree(problem, cuts, wanted).lines()
    yield "end"


def _header(instance: AttackInstance, result: AttackResult, network: Any) -> dict[str, Any]:
    level = GRID if instance.domain == "continuous" else 1.0
    image = [int(x) for x in instance.levels * level]
    witness = None
    if result.flipped or result.status is Status.OPTIMAL:
        z = instance.network.levels_of(result.adversarial)[0] * level
        moved = np.flatnonzero(z != instance.levels * level)
        witness = [[int(i), int(z[i])] for i in moved]
    fixed = [] if instance.mask is None else np.flatnonzero(~np.ravel(instance.mask)).tolist()
    exact = instance.exact_epsilon
    claim = "robust" if result.status is Status.INFEASIBLE else "flip"
    if result.status is Status.OPTIMAL and instance.sought.is_margin:
        claim = "margin"
    return {
        "format": check.VERSION,
        "network": network.digest,
        "image": hashlib.sha256(repr(image).encode()).hexdigest(),
        "epsilon": str(exact),
        "domain": instance.domain,
        "direction": instance.direction,
        "fixed": fixed,
        "l1": None if instance.max_l1 is None else str(instance.exact_l1),
        "source": instance.source,
        "ties": instance.ties,
        "targets": list(instance.targets),
        "claim": claim,
        "bound": str(Fraction(result.bound)) if claim == "margin" else None,
        "witness": witness,
    }


def write_proof(instance, result, path):
    text = "\n".join(proof_lines(instance, result)) + "\n"
    write_atomically(path, gzip.compress(text.encode(), mtime=0))
